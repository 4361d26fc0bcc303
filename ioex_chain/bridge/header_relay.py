"""Which PoW headers the next DPoS block should carry to the light client (docs/protocol.md section 6)."""

from typing import Protocol

from ioex_chain.ledger.types import Entry
from ioex_chain.pow.header import Header
from ioex_chain.pow.ledger import PowLedger
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import DposSpec


class LightClient(Protocol):
    """The light client in one state of the DPoS chain; `evm.light_client.LightClientReader` is one."""

    def best(self) -> tuple[bytes, int, int]:
        """Give hash, height and work of the best header."""
        ...

    def hash_at(self, height: int) -> bytes | None:
        """Give the hash at a height of the light client's best chain."""
        ...

    def knows(self, hash_: bytes) -> bool:
        """Whether it has this header, on any branch."""
        ...


def headers_due(light: LightClient, ledger: PowLedger, spec: DposSpec, latest: int) -> tuple[bytes, ...]:
    """Give the headers of our best chain that the light client lacks, lowest first.

    At most as many as a block may carry, and none later than Unix time `latest`. Nothing while the light
    client's best chain is one that we find at least as good as ours, or do not know.
    """
    head = ledger.head
    best, height, work = light.best()
    if work >= head.weight or best == head.hash:
        return ()
    due: list[bytes] = []
    merged = 0
    for number in range(_fork(light, ledger, height) + 1, head.height + 1):
        entry = ledger.entry_at(number)
        if entry is None or len(due) == spec.max_pow_headers or entry.header.time > latest:
            break
        if light.knows(entry.hash):
            continue
        merged += entry.header.is_merged
        if merged > spec.max_merged_headers:
            break
        due.append(entry.header.encode())
    return tuple(due)


def _fork(light: LightClient, ledger: PowLedger, height: int) -> int:
    """Give the height of the last block that both best chains have."""
    at = min(height, ledger.head.height)
    while at > 0 and not _same(ledger.entry_at(at), light.hash_at(at)):
        at -= 1
    return at


def _same(entry: Entry[Header] | None, hash_: bytes | None) -> bool:
    return entry is not None and hash_ is not None and entry.hash == BlockHash(hash_)
