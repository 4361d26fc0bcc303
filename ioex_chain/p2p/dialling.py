"""Whom to dial next: peers that the operator asked for, anchors, the address book, seeds; and feelers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ioex_chain.p2p.addrbook import AddressBook
from ioex_chain.p2p.addrtable import Chance
from ioex_chain.p2p.connection import FEELER, FULL_RELAY, MANUAL, Connection
from ioex_chain.p2p.groups import is_routable, network_group
from ioex_chain.p2p.types import PeerAddress, PeerId

FIRST_BACKOFF = 1.0
ASKED_BACKOFF = 60.0
"""Most seconds between two dials of a peer that the operator asked for, and of a seed."""
LONGEST_BACKOFF = 600.0
GOOD_SECONDS = 60.0
"""A connection that held so long was no failure."""
FEELER_SECONDS = 120.0
"""Between two feelers on average."""
MAX_FEELERS = 2
NOTHING_SECONDS = 1.0
"""How long not to look again when there was nobody to dial."""
MAX_BACKOFFS = 10_000
SHORT_SECONDS = 60.0
"""After so long with free places half of the looks go to the seeds: the book may be full of lies."""


@dataclass(slots=True)
class _Backoff:
    failures: int
    until: float


class Dialler:
    """Decides; the host dials. Anchors come first, then the book.

    Seeds come before a book in which nobody ever answered (whoever reached this node first may have filled
    it), after a book that gives nobody, and now and then while places stay free.
    """

    def __init__(
        self,
        book: AddressBook,
        own: PeerId,
        *,
        max_outbound: int,
        seeds: Sequence[PeerAddress],
        anchors: Sequence[PeerAddress],
        now: Callable[[], float],
        chance: Chance,
    ) -> None:
        self._book, self._own = book, own
        self._max_outbound = max_outbound
        self._seeds = list(seeds)
        self._anchors = list(anchors)
        self._now, self._chance = now, chance
        self._backoffs: dict[PeerId, _Backoff] = {}
        self._look_at = 0.0
        self._full_at = now()
        """When no place was free."""
        self._feel_at = now() + self._feeler_wait()
        self.kept: dict[PeerId, PeerAddress] = {}
        """The peers that the operator asked for."""

    def next(
        self, connections: Iterable[Connection], allowed: Callable[[PeerAddress], bool]
    ) -> list[tuple[str, PeerAddress]]:
        """Give whom to dial now, each with its kind; `connections` are all, also unfinished ones."""
        outbound = [one for one in connections if one.outbound and not one.gone]
        busy = {one.target.id for one in outbound if one.target is not None}
        busy |= {one.id for one in connections if one.up}

        def fits(address: PeerAddress) -> bool:
            return address.id not in busy and address.id != self._own and allowed(address)

        found = [(MANUAL, one) for one in self.kept.values() if fits(one) and self._is_due(one.id)]
        busy |= {address.id for _, address in found}
        full = [one for one in outbound if one.kind == FULL_RELAY]
        now = self._now()
        if len(full) >= self._max_outbound:
            self._full_at = now
        elif now >= self._look_at:
            chosen = self._choose(full, fits)
            if chosen is None:
                self._look_at = now + NOTHING_SECONDS
            else:
                found.append((FULL_RELAY, chosen))
                busy.add(chosen.id)
        if self._max_outbound and now >= self._feel_at:
            self._feel_at = now + self._feeler_wait()
            feelers = sum(one.kind == FEELER for one in outbound)
            if feelers < MAX_FEELERS and (tested := self._feel(fits)) is not None:
                found.append((FEELER, tested))
        return found

    def failed(self, address: PeerAddress) -> None:
        """Wait longer before this one is dialled again."""
        old = self._backoffs.pop(address.id, None)
        failures = min(old.failures + 1 if old else 1, 20)
        asked = address.id in self.kept or address in self._seeds
        longest = ASKED_BACKOFF if asked else LONGEST_BACKOFF
        wait = min(longest, FIRST_BACKOFF * 2 ** (failures - 1)) * (0.5 + self._chance.random())
        self._backoffs[address.id] = _Backoff(failures, self._now() + wait)
        if len(self._backoffs) > MAX_BACKOFFS:
            del self._backoffs[next(iter(self._backoffs))]

    def held(self, address: PeerAddress) -> None:
        """Forget earlier failures: a connection was good."""
        self._backoffs.pop(address.id, None)

    def _is_due(self, id_: PeerId) -> bool:
        backoff = self._backoffs.get(id_)
        return backoff is None or self._now() >= backoff.until

    def _choose(self, full: Sequence[Connection], fits: Callable[[PeerAddress], bool]) -> PeerAddress | None:
        groups = {network_group(one.endpoint.host) for one in full}

        def accept(address: PeerAddress) -> bool:
            host = address.endpoint.host
            far = not is_routable(host) or network_group(host) not in groups
            return far and fits(address) and self._is_due(address.id)

        while self._anchors:
            anchor = self._anchors.pop(0)
            if accept(anchor):
                return anchor
        is_short = self._now() - self._full_at >= SHORT_SECONDS
        if not self._book.tried or (is_short and self._chance.random() < 0.5):
            return self._seed(accept) or self._book.choose(accept=accept)
        return self._book.choose(accept=accept) or self._seed(accept)

    def _seed(self, accept: Callable[[PeerAddress], bool]) -> PeerAddress | None:
        fitting = [seed for seed in self._seeds if accept(seed)]
        return fitting[int(self._chance.random() * len(fitting))] if fitting else None

    def _feel(self, fits: Callable[[PeerAddress], bool]) -> PeerAddress | None:
        holder = self._book.to_test()
        if holder is not None and fits(holder):
            return holder
        return self._book.choose(new_only=True, accept=fits) or self._book.choose(accept=fits)

    def _feeler_wait(self) -> float:
        return FEELER_SECONDS * (0.5 + self._chance.random())
