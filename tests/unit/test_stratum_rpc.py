"""The methods about miners."""

from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from unit.stratum_world import StratumWorld, address_of
from unit.test_stratum_session import hard_world, solve

from ioex_chain.pow.stratum_limits import StratumSettings
from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.openrpc import Info, document
from ioex_chain.rpc.pow.stratum import StratumApi
from ioex_chain.rpc.pow_errors import pow_error_table
from ioex_chain.rpc.registry import MethodTable


class Port:
    """The methods over a world of sessions, every result checked against its schema."""

    def __init__(self, world: StratumWorld | None) -> None:
        self.world = world
        self.table = MethodTable()
        clock = SimpleNamespace(now=lambda: world.world.clock.now() if world else 0)
        self.table.add_api(StratumApi(self.view, clock))
        self.errors = pow_error_table()
        self.dispatcher = Dispatcher(self.table, errors=self.errors)

    def view(self) -> Any:
        if self.world is None:
            return None
        miners = [SimpleNamespace(host="127.0.0.1", session=miner.session) for miner in self.world.miners]
        world = self.world
        return SimpleNamespace(
            settings=StratumSettings(),
            stats=world.stats,
            port=3333,
            now=lambda: world.time,
            connections=miners,
        )

    async def call(self, method: str, *params: object) -> Any:
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        reply = await self.dispatcher.handle(body, CallContext(False))
        assert reply.body is not None
        answer = orjson.loads(reply.body)
        if "error" in answer:
            return answer["error"]
        described = document(self.table, self.errors, Info("test", "1"))
        (schema,) = [one["result"]["schema"] for one in described["methods"] if one["name"] == method]
        Draft202012Validator({**schema, "components": described["components"]}).validate(answer["result"])
        return answer["result"]


@pytest.fixture
def world() -> StratumWorld:
    return hard_world()


async def test_nothing_without_a_server():
    port = Port(None)
    assert (await port.call("getstratuminfo"))["enabled"] is False
    assert "--stratum" in (await port.call("listworkers"))["message"]
    assert "--stratum" in (await port.call("listminers"))["message"]


async def test_figures(world):
    port = Port(world)
    rig, other = world.join("alice", ".rig"), world.join("alice", ".other")
    world.join("bob", "")
    shares = [solve(rig)]
    shares.append(solve(rig, start=int(shares[0][4], 16) + 1))
    for share in shares:
        rig.result("mining.submit", *share)
    rig.error("mining.submit", *shares[0])
    other.error("mining.submit", *shares[0])
    world.world.mine()
    world.hand_out()
    rig.error("mining.submit", *shares[0])
    world.advance(60)
    info = await port.call("getstratuminfo")
    assert (info["enabled"], info["port"], info["authorized"], info["workers"], info["addresses"]) == (
        True,
        3333,
        3,
        3,
        2,
    )
    assert (info["shares"]["accepted"], info["shares"]["stale"]) == (2, 1)
    assert info["shares"]["rejected"] == {"duplicate": 1, "unauthorized": 1}
    page = await port.call("listworkers")
    assert page["total"] == 3
    first = page["workers"][0]
    assert first["name"] == address_of("alice") + ".rig"
    assert first["shares"]["hashrate"] == pytest.approx(2e-9 * 2**32 / 60, rel=0.01)
    assert first["shares"]["lastshare"] == world.world.clock.now() - 60
    assert first["shares"]["rejected"] == {"duplicate": 1}
    by_address = await port.call("listworkers", "address")
    assert {one["name"]: one["connections"] for one in by_address["workers"]} == {
        address_of("alice"): 2,
        address_of("bob"): 1,
    }
    assert len((await port.call("listworkers", "worker", 2, 5))["workers"]) == 1
    miners = await port.call("listminers")
    assert [miner["workers"] for miner in miners][2] == [address_of("bob")]
    assert miners[0]["agent"] == "test/1"
    assert miners[0]["seconds"] == 60


async def test_who_left_comes_last(world):
    port = Port(world)
    first, second = world.join("alice"), world.join("bob")
    first.result("mining.submit", *solve(first))
    first.session.leave()
    page = await port.call("listworkers")
    assert [one["connections"] for one in page["workers"]] == [1, 0]
    assert page["workers"][0]["name"] == next(iter(second.session.workers))
