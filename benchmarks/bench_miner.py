"""Hashes a second of the CPU miner's search and of a bare hashlib loop, in turn, on one core."""

from collections.abc import Callable
from hashlib import sha256
from statistics import median
from time import process_time

from benchmarks.report import Row, Table
from ioex_chain.pow.hashing import BATCH, search

ROUNDS = 15
BATCHES = 16
BAR = 0.9
HEADER = bytes(range(76))


def bare(count: int) -> None:
    """Double SHA-256 of a header with a counting nonce, and nothing else."""
    header = HEADER
    for nonce in range(count):
        sha256(sha256(header + nonce.to_bytes(4, "little")).digest()).digest()


def bare_ready(nonces: list[bytes]) -> None:
    """The same with the nonces' bytes ready made: the least that Python can do for a hash."""
    header = HEADER
    for nonce in nonces:
        sha256(sha256(header + nonce).digest()).digest()


def rate(count: int, work: Callable[[], object]) -> float:
    start = process_time()
    work()
    return count / (process_time() - start)


def mine(batches: int) -> None:
    for batch in range(batches):
        search(HEADER, 1, batch)


def run(quick: bool) -> list[Table]:
    rounds, batches = (2, 1) if quick else (ROUNDS, BATCHES)
    count = batches * BATCH
    ready = [nonce.to_bytes(4, "little") for nonce in range(count)]
    plain, prepared, ours = [], [], []
    for _ in range(rounds):
        plain.append(rate(count, lambda: bare(count)) / 1e6)
        prepared.append(rate(count, lambda: bare_ready(ready)) / 1e6)
        ours.append(rate(count, lambda: mine(batches)) / 1e6)
    ratios = [mined / hashed for mined, hashed in zip(ours, plain, strict=True)]
    least = [mined / hashed for mined, hashed in zip(ours, prepared, strict=True)]
    return [
        Table(
            "CPU miner, one core",
            [
                Row("bare hashlib loop", plain, "MH/s"),
                Row("bare loop, nonces ready made", prepared, "MH/s"),
                Row("the miner's search, target compared", ours, "MH/s"),
                Row("miner / bare loop", ratios, "", BAR, True),
                Row("miner / bare loop, nonces ready made", least, "", BAR, True),
            ],
            [f"processor time of this process; median of {rounds} rounds, {median(ours):.2f} MH/s per core"],
        )
    ]
