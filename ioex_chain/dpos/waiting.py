"""Certificates that wait: their target is not connected, or their set is not known yet.

Two rooms: those whose signatures are a known set's, which nobody can make up, and those that cannot be
checked yet, by who told them, so that nobody can push out what another told.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ioex_chain.dpos.votes import Certificate, Link

MAX_SOUND = 64
"""Certificates kept whose signatures were checked; the oldest goes first."""
MAX_UNCHECKED = 64
"""Certificates kept that cannot be checked yet; of the source that has most, its oldest goes first."""
MAX_UNCHECKED_EACH = 16
"""Those of one source; its oldest goes first."""


@dataclass(slots=True)
class _Unchecked:
    certificate: Certificate
    is_tried: bool = False


class WaitingCertificates:
    """Holds at most one certificate for a link that is sound, and one of each source that may be."""

    def __init__(self) -> None:
        self._sound: dict[Link, Certificate] = {}
        self._unchecked: dict[int, dict[Link, _Unchecked]] = {}

    def __len__(self) -> int:
        return len(self._sound) + sum(map(len, self._unchecked.values()))

    def holds(self, certificate: Certificate) -> bool:
        """Whether this very certificate waits."""
        return certificate in self.of(certificate.link)

    def of(self, link: Link) -> list[Certificate]:
        """Give the certificates that wait for a link, one that was found sound first."""
        found = [room[link].certificate for room in self._unchecked.values() if link in room]
        return [self._sound[link], *found] if link in self._sound else found

    def links(self) -> list[Link]:
        """Give the links that certificates wait for, each once."""
        found = dict.fromkeys(self._sound)
        for room in self._unchecked.values():
            found.update(dict.fromkeys(room))
        return list(found)

    def keep_sound(self, certificate: Certificate) -> None:
        """Keep one whose signatures are a known set's."""
        self._sound[certificate.link] = certificate
        while len(self._sound) > MAX_SOUND:
            del self._sound[next(iter(self._sound))]

    def keep_unchecked(self, certificate: Certificate, source: int) -> None:
        """Keep one that `source` told and that cannot be checked yet."""
        room = self._unchecked.setdefault(source, {})
        room[certificate.link] = _Unchecked(certificate)
        if len(room) > MAX_UNCHECKED_EACH:
            self._drop_oldest(source)
        if sum(map(len, self._unchecked.values())) > MAX_UNCHECKED:
            self._drop_oldest(max(self._unchecked, key=lambda one: len(self._unchecked[one])))

    def _drop_oldest(self, source: int) -> None:
        room = self._unchecked[source]
        del room[next(iter(room))]
        if not room:
            del self._unchecked[source]

    def untried(self, can_try: Callable[[Link], bool]) -> Iterator[Link]:
        """Give the links of certificates that can be checked now, each certificate's once."""
        for room in list(self._unchecked.values()):
            for link, one in list(room.items()):
                if not one.is_tried and can_try(link):
                    one.is_tried = True
                    yield link

    def forget(self, is_done: Callable[[Link], bool]) -> None:
        """Forget the certificates for links that need none any more."""
        for link in [link for link in self._sound if is_done(link)]:
            del self._sound[link]
        for source, room in list(self._unchecked.items()):
            for link in [link for link in room if is_done(link)]:
                del room[link]
            if not room:
                del self._unchecked[source]
