"""Cost of one full PoW block in the ledger alone: 70,000 keys through overlay, undo record and LevelDB.

    python benchmarks/bench_ledger.py [blocks]

The block spends 10,000 outputs (get + delete), makes 20,000 (create) and writes 40,000 index rows (create),
as a full block of 10,000 payments does (docs/protocol.md section 3).
"""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from ioex_chain.ledger.overlay import Overlay, decode_undo, encode_undo
from ioex_chain.ledger.store import LevelStore

QUICK_ARGUMENTS = ("2",)
SPENT, MADE, INDEXED = 10_000, 20_000, 40_000
KEYS = SPENT + MADE + INDEXED


def output_keys(block: int) -> list[bytes]:
    return [
        b"u" + sha256(b"%d %d" % (block, number // 2)).digest() + (number % 2).to_bytes(4, "little")
        for number in range(MADE)
    ]


def index_keys(block: int) -> list[bytes]:
    half = INDEXED // 2
    addresses = [b"a" + sha256(b"a%d %d" % (block, number)).digest()[:20] for number in range(half)]
    rows = [
        address + block.to_bytes(4, "big") + number.to_bytes(4, "big")
        for number, address in enumerate(addresses)
    ]
    return rows + [b"t" + sha256(b"t%d %d" % (block, number)).digest() for number in range(half)]


def timed(times: dict[str, float], name: str, work: Callable[[], object]) -> object:
    start = perf_counter()
    result = work()
    times[name] = times.get(name, 0.0) + perf_counter() - start
    return result


def connect(
    overlay: Overlay, block: int, outputs: list[bytes], indexed: list[bytes], times: dict[str, float]
) -> bytes:
    spent = output_keys(block - 1)[:SPENT] if block else []
    value, row = b"\x00" * 40, b"\x00" * 8

    def spend() -> None:
        for key in spent:
            overlay.get(key)
            overlay.delete(key)

    def make() -> None:
        for key in outputs:
            overlay.create(key, value)
        for key in indexed:
            overlay.create(key, row)

    overlay.begin()
    timed(times, "get + delete", spend)
    timed(times, "create", make)
    undo = timed(times, "seal (undo record)", overlay.seal)
    assert isinstance(undo, bytes)
    return undo


def main(blocks: int) -> None:
    counted: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = LevelStore(Path(folder) / "db", create=True)
        for block in range(blocks + 1):
            times: dict[str, float] = {} if block == 0 else counted  # the first makes what the second spends
            overlay = Overlay(store)
            outputs, indexed = output_keys(block), index_keys(block)
            undo = connect(overlay, block, outputs, indexed, times)
            overlay.changes[b"U" + block.to_bytes(4, "big")] = undo
            timed(times, "write, synced", partial(store.write, overlay.changes))
            before = timed(times, "(undo decode)", partial(decode_undo, undo))
            assert encode_undo(before) == undo  # type: ignore[arg-type]
        size = store.size()
        store.close()
    report(counted, blocks, size)


def report(times: dict[str, float], blocks: int, size: int) -> None:
    keys = {"get + delete": SPENT, "create": MADE + INDEXED}
    print(f"{blocks} blocks of {KEYS} keys; {size / 2**20:.0f} MiB on disk")
    for name, seconds in times.items():
        each = seconds / blocks
        print(f"{name:20} {each * 1000:8.1f} ms a block {each * 1e6 / keys.get(name, KEYS):8.2f} us a key")
    total = sum(seconds for name, seconds in times.items() if not name.startswith("(")) / blocks
    print(f"{'all':20} {total * 1000:8.1f} ms a block {total * 1e6 / KEYS:8.2f} us a key")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
