"""Gas of the light client: headers, records, changes of branch, and finding a block far down."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from benchmarks.report import Row, Table
from ioex_chain.evm import light_client
from ioex_chain.evm.light_client import jump_span
from ioex_chain.evm.system import artefact, mapping_slot
from ioex_chain.pow.auxpow import AuxPow
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction, TxOut
from tests.chaingen.builder import ChainBuilder
from tests.chaingen.light_world import ADDRESS, Headers, LightWorld
from tests.chaingen.specs import story_spec

PLAIN_BAR, MERGED_BAR = 150_000, 500_000
SYSTEM_GAS = 30_000_000
TEN_YEARS = 2_628_000
SPEC = story_spec(max_reorg_depth=720, burial_depth=12)


def _as_call(light: LightWorld, header: Header) -> int:
    light.submit_all([header])
    return light.gas_used


def _as_transaction(light: LightWorld, header: Header) -> int:
    light.time = max(light.time, header.time)
    if light.transaction(light_client.submit(header.encode())).status != 1:
        raise RuntimeError("a sound header was refused")
    return light.gas_used


def plain(send: Callable[[LightWorld, Header], int], count: int) -> list[int]:
    """Give the cost of each header of a chain."""
    headers, light = Headers(SPEC), LightWorld(SPEC)
    return [send(light, header) for header in headers.chain(headers.genesis, count)]


def like_a_pools(record: AuxPow) -> AuxPow:
    """A coinbase of about 300 bytes in a block of some thousand transactions."""
    outputs = [TxOut(1, b"\x00\x14" + bytes(20)), *(TxOut(0, b"\x6a" + bytes(size)) for size in (37, 60))]
    coinbase = Transaction.build(1, record.coinbase.inputs, outputs)
    return replace(record, coinbase=coinbase, coinbase_branch=(b"\x55" * 32,) * 12)


def deep(record: AuxPow) -> AuxPow:
    return replace(record, coinbase_branch=(b"\x55" * 32,) * 30)


REAL: dict[str, Any] = {
    "depth": 4,
    "script": lambda text: b"\x03abc" + text + bytes(40),
    "edit": like_a_pools,
}
WORST: dict[str, Any] = {"depth": 30, "script": lambda text: bytes(1_941) + text, "edit": deep}


def merged(send: Callable[[LightWorld, Header], int], form: dict[str, Any]) -> list[int]:
    """Give the cost of a merged-mined header as second (no jump) and as third block (with a jump)."""
    chain, light = ChainBuilder(SPEC), LightWorld(SPEC)
    costs, at = [], chain.genesis
    for _ in range(3):
        at = chain.merged(chain.block(at), **form)
        costs.append(send(light, at.header))
    return costs[1:]


def switch(depth: int) -> int:
    """Give the cost of the header that takes back `depth` blocks."""
    headers, light = Headers(SPEC), LightWorld(SPEC)
    light.submit_all(headers.chain(headers.genesis, depth))
    light.submit_all(headers.chain(headers.genesis, depth + 1))
    cost = light.gas_used
    if light.view("deepestReorg") != depth:
        raise RuntimeError("the branch did not change")
    return cost


def far(distance: int, samples: int) -> int:
    """Give the most that `hashAt` costs for some blocks up to `distance` below a tip ten years up.

    Only the records on the way are there.
    """
    light, chance, worst = LightWorld(SPEC), Random(1), 0
    slots = artefact(light_client.NAME).slots

    def record(height: int) -> int:
        return mapping_slot(slots["records"], height + 1)

    light.state.set_storage(ADDRESS, slots["best"], TEN_YEARS + 1)
    light.state.set_storage(ADDRESS, record(TEN_YEARS) + 1, TEN_YEARS << 224 | 1)
    for _ in range(samples):
        target = height = TEN_YEARS
        target -= chance.randint(1, distance)
        while height > target:
            span = jump_span(height)
            field, step = (3, span) if span > 1 and height - span >= target else (0, 1)
            light.state.set_storage(ADDRESS, record(height) + field, height - step + 1)
            height -= step
        light.state.lock_changes()
        if int.from_bytes(light.view("hashAt", target), "big") != target + 1:
            raise RuntimeError("another block was found")
        worst = max(worst, light.gas_used)
    return worst


def run(quick: bool) -> list[Table]:
    """Measure; gas does not depend on the machine."""
    count = 32 if quick else 512
    rows = []
    for name, send in (("system call", _as_call), ("transaction", _as_transaction)):
        costs = plain(send, count)
        rows.append(Row(f"plain header, {name}, average", [sum(costs) / count], "gas", PLAIN_BAR))
        rows.append(Row(f"plain header, {name}, most", [max(costs)], "gas", PLAIN_BAR))
        rows.append(Row(f"merged-mined header, {name}, most", [max(merged(send, REAL))], "gas", MERGED_BAR))
        rows.append(Row(f"the worst record, {name}, most", [max(merged(send, WORST))], "gas"))
    for depth in (1, 100) if quick else (1, 100, 720):
        rows.append(Row(f"header that takes back {depth} blocks", [switch(depth)], "gas", SYSTEM_GAS))
    for distance in (100, 720, TEN_YEARS):
        cost = far(distance, 20 if quick else 300)
        rows.append(Row(f"hashAt, up to {distance:,} blocks down, most", [cost], "gas"))
    return [Table("PowLightClient", rows)]
