"""Evidence that was found or heard, until blocks carry it; and the seals that were seen. Bounded."""

from collections.abc import Callable

from ioex_chain.dpos import evidence
from ioex_chain.dpos.evidence import Offence
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.votes import Evidence, SealEvidence
from ioex_chain.primitives.types import BlockHash

PER_KEY = 4
"""Offences kept per key: one jails it already."""
MAX_OFFENCES = 512
MAX_CARRIERS = 8
"""Blocks remembered per offence that carry it, on whatever branch."""
SEALS_PER_KEY = 128
MAX_KEYS = 256


class SealWatch:
    """The headers that were seen, by key and slot: two different ones are proof.

    Of a key with too many those that the ledger did not take go first: whoever seals twice could make up any
    number of later slots, to have the true ones forgotten.
    """

    def __init__(self, per_key: int = SEALS_PER_KEY, max_keys: int = MAX_KEYS) -> None:
        self._per_key = per_key
        self._max_keys = max_keys
        self._seen: dict[bytes, dict[int, tuple[bool, SealedHeader]]] = {}

    def add(self, key: bytes, header: SealedHeader, is_taken: bool = True) -> SealEvidence | None:
        """Take a header that `key` sealed; give the proof if it sealed another one for the slot.

        `is_taken`: it stands in the ledger.
        """
        slots = self._seen.setdefault(key, {})
        was_taken, known = slots.get(header.header.timestamp, (False, header))
        if known.hash != header.hash:
            return evidence.of_seals(known, header)
        slots[header.header.timestamp] = was_taken or is_taken, known
        while len(slots) > self._per_key:
            del slots[min(slots, key=lambda time: (slots[time][0], time))]
        while len(self._seen) > self._max_keys:
            del self._seen[next(iter(self._seen))]
        return None


class EvidencePool:
    """One item per offence, at most PER_KEY offences per key; knows which blocks carry them."""

    def __init__(self) -> None:
        self._items: dict[Offence, Evidence] = {}
        self._carried: dict[Offence, list[BlockHash]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def items(self) -> dict[Offence, Evidence]:
        """Give everything that is kept, oldest first."""
        return dict(self._items)

    def carriers(self, offence: Offence) -> tuple[BlockHash, ...]:
        """Give the blocks that are known to carry an offence, on whatever branch."""
        return tuple(self._carried.get(offence, ()))

    def add(self, offence: Offence, item: Evidence) -> bool:
        """Keep an item unless its offence is known or its key has enough; say whether it was new."""
        if offence in self._items or len(self._items) >= MAX_OFFENCES:
            return False
        if sum(known.key == offence.key for known in self._items) >= PER_KEY:
            return False
        self._items[offence] = item
        return True

    def carried(self, offence: Offence, block: BlockHash) -> None:
        """Note that a block carries the offence."""
        blocks = self._carried.setdefault(offence, [])
        if block not in blocks:
            blocks.append(block)
            del blocks[:-MAX_CARRIERS]
        while len(self._carried) > 2 * MAX_OFFENCES:
            del self._carried[next(iter(self._carried))]

    def due(self, is_carried: Callable[[Offence, list[BlockHash]], bool], limit: int) -> tuple[Evidence, ...]:
        """Give up to `limit` items that `is_carried` (by offence and the blocks noted) does not hold back.

        One item for each key: a payload may hold no more, and one jails. So a key with one offence that is
        carried is done: what else it did would be refused, and must not take the place of another's.
        """
        keys = {offence.key for offence in self._items}
        done = {
            offence.key
            for offence, blocks in self._carried.items()
            if offence.key in keys and is_carried(offence, blocks)
        }
        due: dict[bytes, Evidence] = {}
        for offence, item in self._items.items():
            if len(due) == limit:
                break
            key = offence.key
            if key not in due and key not in done and not is_carried(offence, self._carried.get(offence, [])):
                due[key] = item
        return tuple(due.values())

    def settle(self, is_final: Callable[[BlockHash], bool]) -> None:
        """Drop the offences that a final block carries; they stay known by their carrier."""
        for offence in list(self._items):
            if any(is_final(block) for block in self._carried.get(offence, [])):
                del self._items[offence]
