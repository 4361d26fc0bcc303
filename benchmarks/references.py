"""The same work by what a user might take instead: python-bitcoinlib, btclib, and bcoin if installed.

The libraries only parse and verify: no UTXO set, no indexes, no undo, no disk. They are slow enough that a
sample is measured and scaled to the whole.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from time import perf_counter

import bitcoin
from bitcoin.core import CBlockHeader, CheckProofOfWork, CTransaction, Hash160
from bitcoin.core.key import CPubKey
from bitcoin.core.script import (
    OP_CHECKSIG,
    OP_DUP,
    OP_EQUALVERIFY,
    OP_HASH160,
    SIGHASH_ALL,
    SIGVERSION_WITNESS_V0,
    CScript,
    SignatureHash,
)
from btclib.block.block_header import BlockHeader
from btclib.block.proof_of_work import REGTEST_POW_LIMIT_BITS
from btclib.script.engine import verify_transaction
from btclib.tx.tx import Tx
from btclib.tx.tx_out import TxOut as BtclibOut
from ecc.curves import is_libsecp256k1_serving

from benchmarks.report import Row, Table
from benchmarks.worlds import World
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import TxOut

SAMPLE = 500
RUNS = 3
BCOIN_PROGRAM = Path(__file__).with_name("verify_bcoin.js")
NO_BCOIN = (
    "bcoin: skipped, needs node on the PATH and IOEX_BENCH_BCOIN set to a folder where "
    "`npm install bcoin` was run"
)


def bitcoinlib_transaction(raw: bytes, spent: Sequence[TxOut]) -> None:
    """Parse and check every P2WPKH input. Its script interpreter has no witness programs, so the form's
    few steps stand here and the digest and the signature are the library's."""
    tx = CTransaction.stream_deserialize(BytesIO(raw))
    for index, output in enumerate(spent):
        signature, key = tx.wit.vtxinwit[index].scriptWitness.stack
        program = output.script[2:]
        assert Hash160(key) == program
        code = CScript([OP_DUP, OP_HASH160, program, OP_EQUALVERIFY, OP_CHECKSIG])
        digest = SignatureHash(code, tx, index, SIGHASH_ALL, output.value, SIGVERSION_WITNESS_V0)
        assert CPubKey(key).verify(digest, signature[:-1])
    tx.GetTxid()


def btclib_transaction(raw: bytes, spent: Sequence[TxOut]) -> None:
    """Parse, check, and run the script engine on every input."""
    tx = Tx.parse(raw)
    verify_transaction([BtclibOut(output.value, output.script) for output in spent], tx)


def bitcoinlib_header(core: bytes) -> None:
    """Parse and check the work alone: its rules know no ASERT and no median time."""
    header = CBlockHeader.stream_deserialize(BytesIO(core))
    CheckProofOfWork(header.GetHash(), header.nBits)


def btclib_header(core: bytes) -> None:
    """Parse, check the fields and the work: its difficulty rule is Bitcoin's, so it is left out."""
    BlockHeader.parse(core).assert_valid_pow(REGTEST_POW_LIMIT_BITS)


def _seconds_each(work: Callable[[int], None], count: int) -> list[float]:
    found = []
    for _ in range(RUNS):
        start = perf_counter()
        for number in range(count):
            work(number)
        found.append((perf_counter() - start) / count)
    return found


def block_references(world: World, wall: float, one_core: float) -> Table:
    """Give a table of the block's verification by others; `wall` and `one_core` are our seconds."""
    txs = world.block.transactions[1:]
    sample = txs[:SAMPLE]
    rows = [
        Row("ioex_chain, all of it, this machine's cores", [wall], "s"),
        Row("ioex_chain, one core", [one_core], "s"),
    ]
    for name, check in (
        ("python-bitcoinlib: parse, digest, verify", bitcoinlib_transaction),
        (f"btclib ({btclib_backend()}): parse, script engine", btclib_transaction),
    ):
        each = _seconds_each(lambda at, check=check: check(sample[at].raw, world.spent[at]), len(sample))
        rows.append(
            Row(name, [seconds * len(txs) for seconds in each], "s", note=f"{_times(each, txs, wall)}")
        )
    notes = [f"the others on one core, {len(sample)} transactions measured and scaled to {len(txs):,}"]
    return _with_bcoin(
        Table("The same block elsewhere: parse and verify only", rows, notes), _bcoin_block, world
    )


def _times(each: Sequence[float], txs: Sequence[object], ours: float) -> str:
    middle = sorted(each)[len(each) // 2]
    return f"{middle * 1e6:,.0f} us a transaction, {middle * len(txs) / ours:.1f} x ours"


def header_references(headers: Sequence[Header], ours: float) -> Table:
    """Give a table of header checks by others; `ours` is headers a second from bytes to verdict."""
    bitcoin.SelectParams("regtest")
    cores = [header.core for header in headers[: 10 * SAMPLE]]
    rows = [Row("ioex_chain: decode, work, ASERT, median time", [ours], "headers/s", higher_is_better=True)]
    for name, check in (
        ("python-bitcoinlib: parse, work", bitcoinlib_header),
        ("btclib: parse, fields, work", btclib_header),
    ):
        each = _seconds_each(lambda at, check=check: check(cores[at]), len(cores))
        rates = [1 / seconds for seconds in each]
        rows.append(Row(name, rates, "headers/s", higher_is_better=True))
    return _with_bcoin(
        Table("The same headers elsewhere: no difficulty rule, no median time", rows), _bcoin_headers, cores
    )


def btclib_backend() -> str:
    """Say what verifies btclib's signatures."""
    return "libsecp256k1" if is_libsecp256k1_serving() else "pure Python; install btclib[secp256k1] for C"


def _with_bcoin(table: Table, measure: Callable[..., Row], work: object) -> Table:
    folder, node = os.environ.get("IOEX_BENCH_BCOIN"), shutil.which("node")
    if not folder or node is None or not (Path(folder) / "node_modules" / "bcoin").is_dir():
        return Table(table.title, table.rows, [*table.notes, NO_BCOIN])
    return Table(table.title, [*table.rows, measure(node, folder, work)], table.notes)


def _bcoin(node: str, folder: str, work: dict[str, object]) -> dict[str, object]:
    done = subprocess.run(
        [node, str(BCOIN_PROGRAM), folder], input=json.dumps(work).encode(), check=True, capture_output=True
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def _bcoin_row(answer: dict[str, object], values: list[float], unit: str) -> Row:
    name = f"bcoin {answer['version']}, {answer['crypto']} signatures"
    return Row(name, values, unit, note=str(answer.get("note", "")))


def _bcoin_block(node: str, folder: str, world: World) -> Row:
    spent = [[[output.value, output.script.hex()] for output in outputs] for outputs in world.spent]
    answer = _bcoin(node, folder, {"block": world.block.raw.hex(), "spent": spent[:SAMPLE], "runs": RUNS})
    return _bcoin_row(answer, answer["seconds"], "s")  # type: ignore[arg-type]


def _bcoin_headers(node: str, folder: str, cores: Sequence[bytes]) -> Row:
    answer = _bcoin(node, folder, {"headers": [core.hex() for core in cores], "runs": RUNS})
    return _bcoin_row(answer, answer["rates"], "headers/s")  # type: ignore[arg-type]
