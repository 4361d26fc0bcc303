"""How the signer hears what is signed with its keys: `Finality.heard` calls it with every signature."""

from collections.abc import Callable
from contextlib import suppress

from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.schedule import Schedule
from ioex_chain.dpos.signer import Signer
from ioex_chain.dpos.signing_errors import JournalFailed
from ioex_chain.dpos.votes import Vote
from ioex_chain.primitives.types import BlockHash


class Ears:
    """Tells a signer of seals and votes, whether their blocks are on the best chain or not."""

    def __init__(
        self, signer: Signer, schedule: Schedule, slot_of: Callable[[BlockHash], int | None]
    ) -> None:
        """`slot_of` gives the slot of a block by its hash, None if its header is not known."""
        self._signer = signer
        self._schedule = schedule
        self._slot_of = slot_of
        self._keys = frozenset(signer.addresses)

    def __call__(self, key: bytes, signed: Vote | SealedHeader) -> None:
        """Hear a signature of `key`."""
        if key not in self._keys:
            return
        with suppress(JournalFailed):  # then the signer signs nothing, and says so when it is asked
            if isinstance(signed, Vote):
                self._signer.saw_vote(key, signed.link, self._slot_of(signed.link.target.hash))
            else:
                slot = self._schedule.slot_of(signed.header.timestamp)
                self._signer.saw_seal(key, slot, signed.hash)
