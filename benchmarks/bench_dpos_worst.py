"""Worst-case contracts: how much execution gas a second each of them burns, and the limit that follows.

Execution gas counts slow precompiled contracts by weight (`ioex_chain.evm.work`).

Every case runs as one transaction of a block, by the code that imports blocks, on a state in a database.
"""

import tempfile
from pathlib import Path
from time import process_time

from benchmarks.dpos_world import BASE_FEE, CHAIN_ID, FUNDS, address_of, private_key, sign
from benchmarks.dpos_worst import Case, cases
from benchmarks.report import Row, Table
from ioex_chain.evm.block import BlockRules, BlockRun
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.types import BlockEnv
from ioex_chain.evm.work import WEIGHTS
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.ledger.store import LevelStore

TARGET = bytes.fromhex("ba" * 20)
SLOT = 30
"""Seconds of a slot on the main network."""
FIRST = 400_000
"""Gas of the first run: the dearest single call costs less."""
FIXED = 6
"""Seconds left for what is not execution gas: signatures, tries and receipts of 10,000 transactions."""


def gas_rate(store: LevelStore, case: Case, gas: int) -> float:
    """Run a case once with this much gas; give execution gas per second of processor time, tries included."""
    overlay = Overlay(store)
    state = FlatState(overlay)
    state.set_balance(address_of(private_key(0)), FUNDS)
    state.set_code(TARGET, case.code)
    state.set_balance(TARGET, FUNDS)
    state.flush()
    env = BlockEnv(CHAIN_ID, 1, 1_000, bytes(20), 10**9, BASE_FEE, bytes(32), lambda _number: None)
    run = BlockRun(overlay, env, BlockRules())
    start = process_time()
    outcome = run.try_transaction(sign(TARGET, 0, b"", 21_000 + gas, private_key(0)))
    run.finish()
    return outcome.execution_gas / (process_time() - start)


def measure_case(store: LevelStore, case: Case, quick: bool) -> Row:
    """Measure roughly, then with as much gas as takes half a second, if it is not that slow anyway."""
    rate, gas = gas_rate(store, case, FIRST), FIRST
    runs = [rate / 1e6]
    if not quick and rate > 10 * FIRST:
        gas = int(min(10_000_000, rate / 2))
        runs = [gas_rate(store, case, gas) / 1e6 for _ in range(3)]
    weight = WEIGHTS.get(case.precompile, 1)
    note = f"{gas:,} gas" + (f", each counted {weight} times" if weight > 1 else "")
    return Row(case.name, runs, "Mgas/s", note=note)


def measure(quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        store = LevelStore(Path(folder) / "db", create=True)
        rows = [measure_case(store, case, quick) for case in cases()]
        store.close()
    return sorted(rows, key=lambda row: row.value)


def run(quick: bool) -> list[Table]:
    rows = measure(quick)
    slowest = rows[0].value
    limit = slowest * (SLOT - FIXED)
    note = (
        f"slowest: {rows[0].name}; {slowest:.2f} Mgas/s x ({SLOT} s of a slot - {FIXED} s for all else) "
        f"= {limit:.1f} Mgas: the most that spec.execution_gas_limit may be on this machine"
    )
    return [Table("Worst-case contracts, slowest first", rows, (note,))]
