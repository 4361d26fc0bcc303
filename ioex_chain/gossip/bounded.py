"""A set that forgets: for what peers were told, and what was refused."""


class RollingSet:
    """Remembers at least the last `capacity` / 2 hashes added, at most `capacity`."""

    __slots__ = ("_new", "_old", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()

    def __contains__(self, hash_: bytes, /) -> bool:
        return hash_ in self._new or hash_ in self._old

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def add(self, hash_: bytes) -> None:
        """Remember a hash."""
        if len(self._new) * 2 >= self.capacity:
            self._old = self._new
            self._new = set()
        self._new.add(hash_)

    def discard(self, hash_: bytes) -> None:
        """Forget a hash."""
        self._new.discard(hash_)
        self._old.discard(hash_)

    def clear(self) -> None:
        """Forget everything."""
        self._new.clear()
        self._old.clear()
