"""Settlements at the RPC port: decoded, tested with typed reasons, sent, mined."""

import pytest
from chaingen.settlements import SettlementWorld
from chaingen.specs import key
from pow_rpc_world import LIMITS, FakeBackend, RpcRefused, World
from settlement_all_cases import CASES
from settlement_cases import good, prepared

from ioex_chain.primitives.types import display
from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.pow.table import pow_port

NAMES = ["one signature short", "a payout of one unit more", "a set that nobody handed over"]


class Port(World):
    """The port of a node on the world's chain and pool."""

    def __init__(self, world: SettlementWorld) -> None:
        self.chain, self.ledger = world.chain, world.ledger
        self.backend = FakeBackend(world.chain)
        self.backend.ledger, self.backend.mempool = world.ledger, world.pool
        self.port = pow_port(self.backend, payout_script=key("miner").script)
        self.dispatcher = Dispatcher(self.port.table, errors=self.port.errors, limits=LIMITS)


@pytest.fixture
def world() -> SettlementWorld:
    return prepared()


async def test_it_is_sent_decoded_and_mined(world: SettlementWorld) -> None:
    port, tx = Port(world), good(world)
    (verdict,) = await port.call("testmempoolaccept", [tx.raw.hex()])
    assert verdict["allowed"]
    assert await port.call("sendrawtransaction", tx.raw.hex()) == display(tx.txid)
    entry = await port.call("getmempoolentry", display(tx.txid))
    assert entry["fees"]["base"] == 0.0003
    template = await port.call("getblocktemplate", {"rules": ["segwit"]})
    assert template["transactions"][0]["txid"] == display(tx.txid)
    assert template["transactions"][0]["fee"] == 30_000
    world.mine(tx)
    found = await port.call("getrawtransaction", display(tx.txid), 2)
    assert found["vin"][0]["txinwitness"] == [item.hex() for item in tx.inputs[0].witness]
    assert found["hex"] == tx.raw.hex()
    assert found["confirmations"] == 1
    decoded = await port.call("decoderawtransaction", tx.raw.hex())
    assert len(decoded["vout"]) == 4
    assert await port.call("getblock", display(world.tip.hash), 3)


@pytest.mark.parametrize(
    "name", ["one signature short", "a payout of one unit more", "a set that nobody handed over"]
)
async def test_a_refusal_has_its_own_word(world: SettlementWorld, name: str) -> None:
    error, make = CASES[name]
    tx = make(world)
    port = Port(world)
    (verdict,) = await port.call("testmempoolaccept", [tx.raw.hex()])
    assert not verdict["allowed"]
    assert verdict["reject-reason"] == error.reason  # type: ignore[attr-defined]
    with pytest.raises(RpcRefused) as refused:
        await port.call("sendrawtransaction", tx.raw.hex())
    assert error.reason in refused.value.message  # type: ignore[attr-defined]
