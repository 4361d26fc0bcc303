"""`ioex peers` and `ioex status` against the real RPC methods, in one process."""

import json
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import orjson
import pytest
from click.testing import Result
from pow_rpc_world import LIMITS, World, peer_address, peer_info
from typer.testing import CliRunner

from ioex_chain.cli import peers
from ioex_chain.cli.main import app
from ioex_chain.cli.options import EXIT_FAILED, Session
from ioex_chain.rpc.client import RpcCallError
from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.jsonio import loads

URL = peer_address(40).url


class Client:
    """Speaks to a world's dispatcher as RpcClient speaks to a node."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def call(self, method: str, /, *params: object) -> Any:
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        reply = await self.world.dispatcher.handle(body, CallContext(True))
        answer = loads(reply.body or b"", LIMITS)
        if "error" in answer:
            raise RpcCallError(answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    async def batch(self, calls: list[tuple[str, list[Any]]]) -> list[Any]:
        return [await self.call(method, *params) for method, params in calls]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(Session, "client", lambda *_: Client(made))
    monkeypatch.setenv("COLUMNS", "200")
    return made


def ioex(*words: str) -> Result:
    result = CliRunner().invoke(app, [*words, "--network", "devnet"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def answer(*words: str) -> Any:
    result = ioex(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_peers_as_a_table(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.backend.peers.connected[0] = peer_info(1, agent="/x:[red]\x1b[2J/", kind="manual", score=34)
    monkeypatch.setattr(peers.out, "_width", 120)
    head, first, second, _ = ioex("peers").stdout.splitlines()
    assert head.split() == [
        "#",
        "id",
        "address",
        "way",
        "height",
        "ping",
        "up",
        "in",
        "out",
        "score",
        "agent",
    ]
    assert first.split()[:7] == ["1", "01010101", "93.184.216.1:20338", "out*", "7", "12", "ms"]
    assert first.split()[8:] == ["2.0", "kB", "1.0", "kB", "34", "/x:?red]??2J/"]
    assert second.split()[3:5] == ["in", "5"]
    monkeypatch.setattr(peers.out, "_width", 80)
    assert "agent" not in ioex("peers").stdout


def test_the_json_has_keys_that_stay(world: World) -> None:
    rows = answer("peers")
    assert rows == answer("peers", "list")
    assert set(rows[0]) == {
        "number",
        "id",
        "address",
        "direction",
        "type",
        "agent",
        "height",
        "ping",
        "up",
        "bytes_in",
        "bytes_out",
        "score",
        "url",
    }
    assert rows[0]["url"] == f"ioex://{'01' * 32}@93.184.216.1:20338"
    world.backend.peers.connected = []
    assert answer("peers") == []
    assert ioex("peers").stdout == "no peers\n"


def test_options_before_the_word_do_not_get_lost() -> None:
    """`ioex peers --network testnet add X` must not add X to another network's node."""
    result = CliRunner().invoke(app, ["peers", "--network", "testnet", "add", URL])
    assert result.exit_code == 2


def test_the_help_lists_the_words() -> None:
    shown = CliRunner().invoke(app, ["peers", "--help"]).stdout
    assert all(word in shown for word in ("add", "remove", "disconnect", "ban", "unban", "bans"))


def test_adding_and_removing(world: World) -> None:
    assert answer("peers", "add", URL) == {"added": URL, "once": False}
    assert [address.url for address in world.backend.peers.kept] == [URL]
    again = ioex("peers", "add", URL)
    assert (again.exit_code, again.stderr) == (EXIT_FAILED, "error: Node already added\n")
    answer("peers", "add", URL, "--once")
    assert [address.url for address in world.backend.peers.tried] == [URL]
    answer("peers", "remove", URL)
    assert world.backend.peers.kept == []
    assert "ioex://" in ioex("peers", "add", "192.0.2.1").stderr


@pytest.mark.parametrize("who", ["1", "93.184.216.1:20338", "01" * 32])
def test_disconnecting(world: World, who: str) -> None:
    assert answer("peers", "disconnect", who) == {"disconnected": who}
    assert [peer.number for peer in world.backend.peers.connected] == [2, 3]
    assert ioex("peers", "disconnect", who).exit_code == EXIT_FAILED


def test_bans(world: World) -> None:
    now = world.backend.clock.now()
    assert answer("peers", "ban", "192.0.2.0/24", "--seconds", "7200") == {
        "banned": "192.0.2.0/24",
        "seconds": 7200,
    }
    assert answer("peers", "bans") == [
        {
            "subject": "192.0.2.0/24",
            "created": now,
            "until": now + 7200,
            "seconds_left": 7200,
            "reason": "by hand",
        }
    ]
    assert ioex("peers", "bans").stdout.splitlines()[1].split() == ["192.0.2.0/24", "2h", "by", "hand"]
    answer("peers", "unban", "192.0.2.0/24")
    assert ioex("peers", "bans").stdout == "no bans\n"
    failed = ioex("peers", "ban", "nobody", "--json")
    assert json.loads(failed.stderr)["error"]["message"].startswith("Invalid IP/Subnet")


def line(name: str) -> str:
    found = [text for text in ioex("status").stdout.splitlines() if text.startswith(name)]
    assert len(found) == 1
    return " ".join(found[0].split()[1:])


def test_status_shows_peers_and_progress(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    port = world.backend.peers
    assert line("peers") == "3 (1 in, 2 out)"
    assert line("syncing") == "no"
    port.syncing = True
    assert line("syncing") == "yes, waiting to hear of the peers' chains"
    port.heights = (5, 105)
    assert line("syncing") == "yes, height 5 of 105 (4.7 %), 20.0 blocks/s, 5s left"
    state = port.sync_state()
    monkeypatch.setattr(port, "sync_state", lambda: replace(state, blocks_per_second=0.0, seconds_left=None))
    assert line("syncing") == "yes, height 5 of 105 (4.7 %)"
    shown = answer("status")
    assert (shown["headers"], shown["connections_in"], shown["secondsleft"]) == (105, 1, None)
