"""A flood of cheap transactions through the RPC port: caps hold, templates come, an honest payment gets in.

The suite sends 5,000, the soak 50,000 (`pytest -m soak tests/e2e/test_node_flood.py -s`).
"""

import time
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from chaingen.builder import ChainBuilder, Funds
from e2e.devnet_chain import dev_chain
from e2e.node_process import ADDRESS, NodeProcess

from ioex_chain.pow.transaction import Transaction

pytestmark = pytest.mark.e2e
BATCH = 500
CAP = 5_000_000
TEMPLATE_SECONDS = 1.0
REFUSED = (-25, -26, -27)
"""Core's codes: inputs missing or spent, not accepted, known already."""
CHAIN = 30


def fund(node: NodeProcess, chain: ChainBuilder, coins: list[Funds], count: int) -> list[Funds]:
    """Mine the genesis coins' maturity and blocks that split them into `count` coins."""
    blocks = chain.warm_up()
    made: list[Funds] = []
    while len(made) < count:
        source = coins.pop(0)
        split = chain.fan_out(source, -(-count // 2), source.owner, fee=10_000_000)
        blocks.append(chain.block(blocks[-1], [split]))
        made += chain.all_funds(split)
    for block in blocks:
        assert node.rpc("submitblock", block.encode().hex()) is None
    return made


def flood(chain: ChainBuilder, coins: list[Funds], count: int, chance: Random) -> Iterator[Transaction]:
    """Give cheap payments: most alone, some in chains beyond the limit, some that replace for too little."""
    made = 0
    while made < count:
        coin, rate = coins.pop(), chance.uniform(1.0, 3.0)
        share = coin.value // 20
        wide = [(share, coin.owner)] * 19
        kind = chance.random()
        if kind < 0.8:
            yield chain.spend(coin, wide, fee=int(1_000 * rate))
            made += 1
        elif kind < 0.9:
            for _ in range(CHAIN):
                tx = chain.spend(coin, [], fee=int(300 * rate))
                coin = chain.funds(tx)
                yield tx
            made += CHAIN
        else:
            for step in range(10):
                yield chain.spend(coin, wide, fee=int(1_000 * rate) + step * 100)
            made += 10


def send(node: NodeProcess, transactions: Iterator[Transaction]) -> Counter[Any]:
    """Send all in batches; after each the pool is within its cap."""
    outcomes: Counter[Any] = Counter()
    waiting: list[tuple[str, list[Any]]] = []

    def flush() -> None:
        for answer in node.batch(waiting, timeout=120):
            outcomes[answer["error"]["code"] if "error" in answer else "accepted"] += 1
        waiting.clear()
        info = node.rpc("getmempoolinfo")
        assert info["usage"] <= CAP == info["maxmempool"], info

    for tx in transactions:
        waiting.append(("sendrawtransaction", [tx.encode().hex()]))
        if len(waiting) == BATCH:
            flush()
    if waiting:
        flush()
    return outcomes


def template_seconds(node: NodeProcess) -> float:
    """Give the time of a template that is new: each follows a new block."""
    node.rpc("generateblock", ADDRESS, [])
    began = time.monotonic()
    node.rpc("getblocktemplate", {"rules": ["segwit"], "address": ADDRESS})
    return time.monotonic() - began


def run(node: NodeProcess, count: int) -> None:
    chain, coins = dev_chain()
    with node.running("--mempool-mb", "5", "--log-level", "warning"):
        funds = fund(node, chain, coins, count)
        honest = chain.spend(funds.pop(), [], fee=50_000)
        began = time.monotonic()
        outcomes = send(node, flood(chain, funds, count, Random(12)))
        took = time.monotonic() - began
        assert set(outcomes) <= {"accepted", *REFUSED}, outcomes
        assert outcomes["accepted"] < outcomes.total(), "the cap was never reached"
        fastest = min(template_seconds(node) for _ in range(3))
        txid = node.rpc("sendrawtransaction", honest.encode().hex())
        mined = node.rpc("getblock", node.rpc("generatetoaddress", 1, ADDRESS)[0], 1)
        assert txid in mined["tx"]
        assert node.stop()[0] == 0
    print(f"\n{outcomes.total()} sent in {took:.0f} s: {dict(outcomes)}, template {fastest * 1000:.0f} ms")
    assert fastest <= TEMPLATE_SECONDS


def test_a_flood(node: NodeProcess) -> None:
    run(node, 5_000)


@pytest.mark.soak
def test_a_flood_of_fifty_thousand(node: NodeProcess) -> None:
    run(node, 50_000)
