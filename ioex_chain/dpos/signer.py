"""The signer: remembers, then signs (docs/protocol.md section 4). It alone holds arbitrators' private keys.

One seal per slot, slots rising; votes with rising target and never lower source. At a start without proof
that its journal is the newest, it listens to the network for a window of slots first. What it hears there by
its own keys raises the floor under which it never signs; what it hears of slots after its own start and has
not signed is a twin's: that key is silent for the rest of the run.
"""

from collections.abc import Callable, Iterable, Sequence
from threading import RLock

from ioex_chain.dpos import seal, signing_errors
from ioex_chain.dpos.header import Header
from ioex_chain.dpos.journal import Ballot, Floor, Journal, Memory, Seal
from ioex_chain.dpos.schedule import Schedule
from ioex_chain.dpos.votes import Link, Vote
from ioex_chain.primitives.types import BlockHash

REMEMBERED = 4096
"""Seals and votes of this run remembered per key, to tell our own from a twin's."""


class SigningKey:
    """A private key that shows its address only."""

    __slots__ = ("__private", "address")

    def __init__(self, private: bytes) -> None:
        """Take 32 bytes. Raises InvalidKey."""
        self.address: bytes = seal.address_of(private)
        self.__private = private

    def __repr__(self) -> str:
        return f"<SigningKey 0x{self.address.hex()}>"

    def __reduce__(self) -> str:
        raise TypeError("a signing key is never copied out of its process")

    def sign(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest; gives 65 bytes."""
        return seal.sign(self.__private, digest)


class _Signed:
    """What a key signed in this run."""

    def __init__(self) -> None:
        self.seals: dict[int, BlockHash] = {}
        self.links: dict[int, Link] = {}
        self.seals_from = self.links_from = -1
        self.slot = self.target = self.source = -1  # heard, not yet in the journal

    def note_seal(self, slot: int, header: BlockHash) -> None:
        self.seals[slot] = header
        while len(self.seals) > REMEMBERED:
            oldest = min(self.seals)
            del self.seals[oldest]
            self.seals_from = oldest

    def note_link(self, link: Link) -> None:
        self.links[link.target.height] = link
        while len(self.links) > REMEMBERED:
            oldest = min(self.links)
            del self.links[oldest]
            self.links_from = oldest


class Signer:
    """Signs for its keys. Calls may come from any thread, one at a time is served."""

    def __init__(
        self,
        keys: Iterable[SigningKey],
        journal: Journal,
        genesis: bytes,
        schedule: Schedule,
        now: Callable[[], float],
        *,
        window: int,
        is_new_chain: bool = False,
    ) -> None:
        """`now` gives checked Unix time or raises ClockOff or ClockStepped; `window`: slots to listen.

        `is_new_chain`: this very process made the chain's genesis, so nobody can have signed under it yet.
        """
        self._keys = {key.address: key for key in keys}
        self._journal = journal
        self._genesis = genesis
        self._schedule = schedule
        self._now = now
        self._window = window
        self._signed = {address: _Signed() for address in self._keys}
        self._twins: dict[bytes, str] = {}
        self._is_continuous = journal.is_continuous or is_new_chain
        self._start: int | None = None
        self._last_watched = -1
        self._left = window
        self._lock = RLock()

    def __repr__(self) -> str:
        return f"<Signer of {len(self._keys)} keys>"

    @property
    def addresses(self) -> tuple[bytes, ...]:
        """The keys that it holds."""
        return tuple(self._keys)

    @property
    def slots_left(self) -> int:
        """Slots that it still listens before it signs; 0 when it may sign."""
        return self._left

    def memory(self, key: bytes) -> Memory:
        """Give what the journal holds of a key."""
        return self._journal.memory(key)

    def twin_of(self, key: bytes) -> str | None:
        """Say what shows that another process uses the key; None if nothing does."""
        return self._twins.get(key)

    # --- listening ------------------------------------------------------------------------------------

    def tick(self, online: bool, tallest: int) -> None:
        """Count a slot of listening; to be called at least once a slot.

        `online`: the node is synced and hears peers, or needs none. `tallest`: height of the highest block
        that may be on any branch (`duties.highest_possible`). Raises ClockOff, ClockStepped, JournalFailed.
        """
        with self._lock:
            slot = self._slot()
            if self._start is None:
                self._begin(slot)
            if self._left and online and slot > self._last_watched:
                self._left -= self._last_watched >= 0
                self._last_watched = slot
                if not self._left:
                    self._end_watch(tallest)

    def _begin(self, slot: int) -> None:
        self._start = slot
        if self._is_continuous or slot < 1:  # before slot 1 nothing of this chain can have been signed
            self._left = 0

    def _end_watch(self, tallest: int) -> None:
        """Put on disk what may have been signed: all slots until the start, and what was heard."""
        assert self._start is not None  # noqa: S101 - `tick` began
        floors = []
        for key, heard in self._signed.items():
            known = self._journal.memory(key)
            slot = max(self._start + 1, heard.slot, known.slot)
            target = max(tallest, heard.target, known.target)
            floors.append(Floor(key, slot, target, max(0, heard.source, known.source)))
        self._journal.append(floors)

    def interrupt(self) -> None:
        """Begin anew as after a start without proof: the clock jumped, the machine may have been copied."""
        with self._lock:
            self._is_continuous = False
            self._start, self._last_watched, self._left = None, -1, self._window

    def saw_seal(self, key: bytes, slot: int, header: BlockHash) -> None:
        """Hear a seal of anybody, from a block or a peer. Raises JournalFailed."""
        with self._lock:
            signed = self._signed.get(key)
            if signed is None or slot <= signed.seals_from or signed.seals.get(slot) == header:
                return
            known = self._journal.memory(key)
            if known.seal is not None and (known.seal.slot, known.seal.header) == (slot, header):
                return
            if self._is_after_start(slot):
                self._found_twin(key, f"a seal of slot {slot}")
            elif slot > max(known.slot, signed.slot):
                signed.slot = slot
                self._raise_floor(key, signed)

    def saw_vote(self, key: bytes, link: Link, slot: int | None) -> None:
        """Hear a vote of anybody; `slot` is its target's, None if that is not known. Raises JournalFailed."""
        with self._lock:
            signed, height = self._signed.get(key), link.target.height
            if signed is None or height <= signed.links_from or signed.links.get(height) == link:
                return
            known = self._journal.memory(key)
            if known.ballot is not None and known.ballot.link == link:
                return
            if slot is not None and self._is_after_start(slot):
                self._found_twin(key, f"a vote for height {height} in slot {slot}")
            elif height > max(known.target, signed.target) or link.source.height > max(
                known.source, signed.source
            ):
                signed.target = max(signed.target, height)
                signed.source = max(signed.source, link.source.height)
                self._raise_floor(key, signed)

    def _is_after_start(self, slot: int) -> bool:
        return self._start is not None and slot > self._start + 1  # clocks may differ by a slot's edge

    def _found_twin(self, key: bytes, what: str) -> None:
        self._twins.setdefault(key, what)

    def _raise_floor(self, key: bytes, heard: _Signed) -> None:
        if not self._left and self._start is not None:  # while listening it is kept for the end of it
            known = self._journal.memory(key)
            self._journal.append(
                (
                    Floor(
                        key,
                        max(0, heard.slot, known.slot),
                        max(0, heard.target, known.target),
                        max(0, heard.source, known.source),
                    ),
                )
            )

    # --- signing --------------------------------------------------------------------------------------

    def check(self, key: bytes) -> None:
        """Raise the SigningRefused that keeps a key silent now, whatever is to be signed."""
        with self._lock:
            self._slot()
            self._check_key(key)

    def sign_seal(self, key: bytes, header: Header) -> bytes:
        """Seal a header of the present slot; gives 65 bytes. Raises SigningRefused's subclasses."""
        with self._lock:
            slot = self._schedule.slot_at(header.timestamp)
            if slot is None or slot != self._slot():
                raise signing_errors.NotThisSlot(f"the header's time {header.timestamp} is not the slot's")
            self._check_key(key)
            known = self._journal.memory(key)
            again = known.seal is not None and (known.seal.slot, known.seal.header) == (slot, header.hash)
            if slot <= known.slot and not (again and slot == known.slot):
                raise signing_errors.SlotTaken(f"slots up to {known.slot} are signed, this is {slot}")
            if not again:
                self._journal.append((Seal(key, slot, header.hash),))
            self._signed[key].note_seal(slot, header.hash)
            return self._keys[key].sign(seal.seal_digest(self._genesis, header.hash))

    def sign_votes(
        self, keys: Sequence[bytes], link: Link
    ) -> tuple[list[Vote], list[tuple[bytes, signing_errors.SigningRefused]]]:
        """Vote with several keys after one write; gives the votes, and the keys that may not, with reasons.

        Raises ClockOff, ClockStepped, JournalFailed.
        """
        with self._lock:
            self._slot()
            refused, able, new = [], [], []
            for key in keys:
                try:
                    is_new = self._check_vote(key, link)
                except signing_errors.SigningRefused as reason:
                    refused.append((key, reason))
                    continue
                able.append(key)
                new += [Ballot(key, link)] if is_new else []
            if new:
                self._journal.append(new)
            digest = seal.vote_digest(self._genesis, link)
            for key in able:
                self._signed[key].note_link(link)
            return [Vote(link, self._keys[key].sign(digest)) for key in able], refused

    def _check_vote(self, key: bytes, link: Link) -> bool:
        """Give whether the vote is new; the identical one again is fine."""
        self._check_key(key)
        return check_vote(self._journal.memory(key), link)

    def _check_key(self, key: bytes) -> None:
        if key not in self._keys:
            raise signing_errors.UnknownKey(f"this process does not hold the key of 0x{key.hex()}")
        if key in self._twins:
            raise signing_errors.TwinSeen(
                f"another process signs with the key of 0x{key.hex()} ({self._twins[key]}); this one is "
                "silent until it is restarted: stop the other one first"
            )
        if self._left or self._start is None:
            raise signing_errors.Watching(self._left)

    def _slot(self) -> int:
        try:
            return self._schedule.slot_of(int(self._now()))
        except signing_errors.ClockStepped:
            self.interrupt()
            raise


def check_vote(known: Memory, link: Link) -> bool:
    """Hold a vote against what its key did: the voting rule's memory (docs/protocol.md section 4).

    False: this very vote was given before, and may be again. Raises HeightTaken unless the target is
    strictly higher than any before, SourceLower if the source is lower than one before.
    """
    if known.ballot is not None and known.ballot.link == link:
        return False
    if link.target.height <= known.target:
        raise signing_errors.HeightTaken(
            f"votes up to height {known.target} are given, this is for {link.target.height}"
        )
    if link.source.height < known.source:
        raise signing_errors.SourceLower(
            f"a vote with source {known.source} was given, this one's is {link.source.height}"
        )
    return True
