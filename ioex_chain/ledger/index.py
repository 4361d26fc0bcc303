"""The header tree.

In memory are the entries from `floor_height` (the head's height less `window`) upwards, side branches and
headers ahead of the head included; everything older loads from disk when it is asked for. There is never
more than one object for an entry, so that a status changed through one holder is seen by all. One thread
writes; lookups from other threads are right each for itself.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import Any, Generic
from weakref import WeakValueDictionary

from ioex_chain.ledger import schema
from ioex_chain.ledger.errors import StoreCorrupt, UnknownBlock
from ioex_chain.ledger.types import Entry, H, KeyValueStore, Status
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash

_RECENTLY_LOADED = 4096


class Index(Generic[H]):
    """Finds entries; `load` fills it from the store's rows. Raises StoreCorrupt where rows disagree."""

    def __init__(self, store: KeyValueStore, decode: Callable[[bytes], H], window: int) -> None:
        self._store = store
        self._decode = decode
        self._window = window
        self._entries: dict[BlockHash, Entry[H]] = {}
        self._levels: dict[int, list[Entry[H]]] = {}
        self._children: dict[BlockHash, list[Entry[H]]] = {}
        self._best: dict[int, Entry[H]] = {}
        self._old: WeakValueDictionary[BlockHash, Entry[H]] = WeakValueDictionary()
        self._recent: OrderedDict[BlockHash, Entry[H]] = OrderedDict()
        self._lock = Lock()
        self.floor_height = 0
        self.head: Entry[H]

    def load(self, head_hash: BlockHash) -> None:
        """Read the rows from the head's window upwards."""
        height = self._height_of(head_hash)
        if height is None:
            raise schema.damaged(schema.height_key(head_hash), "is missing, but it is the head")
        self.floor_height = max(0, height - self._window)
        for entry in self._read_from(self.floor_height):
            self.add(entry)
        best = list(self._read_best(height))
        if best[-1] != head_hash:
            raise schema.damaged(schema.best_key(height), "is not the head")
        for at in range(self.floor_height, height + 1):
            entry_at = self.get(best[at - height - 1])
            if entry_at is None:
                raise schema.damaged(schema.best_key(at), "names a block that is not known")
            self._best[at] = entry_at
            if at > self.floor_height and self._best[at].header.parent_hash != self._best[at - 1].hash:
                raise schema.damaged(schema.best_key(at), "does not stand on the row before it")
        self.head = self._best[height]

    def _read_from(self, height: int) -> Iterator[Entry[H]]:
        for key, value in self._store.scan(schema.ENTRY, start=schema.level_prefix(height)):
            entry = self._decode_entry(key, value)
            if entry.height > height and entry.header.parent_hash not in self._entries:
                raise schema.damaged(key, "has no parent")
            yield entry

    def _read_best(self, head_height: int) -> Iterator[BlockHash]:
        """Give the window's part of the best chain; the whole of it is checked for gaps.

        A file that was lost leaves a gap in the order of writing, and every block writes a row here.
        """
        expected = 0
        for key, value in self._store.scan(schema.BEST):
            if key != schema.best_key(expected):
                break
            if expected >= self.floor_height:
                yield schema.decode_hash(key, value)
            expected += 1
        else:
            if expected == head_height + 1:
                return
        raise schema.damaged(schema.best_key(expected), "is missing or one too many")

    def _decode_entry(self, key: bytes, value: bytes) -> Entry[H]:
        height, hash_ = schema.split_tall_key(key)
        status, sequence, weight, header_bytes = schema.decode_entry(key, value)
        try:
            header = self._decode(header_bytes)
        except DecodeError as error:
            raise schema.damaged(key, f"holds no header ({error})") from error
        if header.hash != hash_:
            raise schema.damaged(key, "holds another header")
        parent = self._parent_of(header)
        return Entry(header, height, weight, Status(status), sequence, parent, self.require, self.note)

    def note(self, hash_: BlockHash) -> bytes | None:
        """Give what was noted of a block, None before it was first connected."""
        return self._store.get(schema.note_key(hash_))

    def _parent_of(self, header: H) -> Entry[H] | None:
        return self._entries.get(header.parent_hash)

    def _height_of(self, hash_: BlockHash) -> int | None:
        key = schema.height_key(hash_)
        value = self._store.get(key)
        return None if value is None else schema.decode_height(key, value)

    def get(self, hash_: BlockHash) -> Entry[H] | None:
        """Give the entry, or None if no such header is known."""
        found = self._entries.get(hash_)
        return found if found is not None else self._get_old(hash_)

    def get_on(self, parent: Entry[H] | None, hash_: BlockHash) -> Entry[H] | None:
        """Give the entry that stands on `parent` (None: not known) as `get` does, if possible without a read.

        All children of a parent in memory are in memory too: a new header costs no look at the disk.
        """
        found = self._entries.get(hash_)
        if found is not None or (parent is not None and parent.height + 1 >= self.floor_height):
            return found
        return self._get_old(hash_)

    def _get_old(self, hash_: BlockHash) -> Entry[H] | None:
        with self._lock:
            entry = self._entries.get(hash_) or self._old.get(hash_)
            if entry is None:
                height = self._height_of(hash_)
                if height is None:
                    return None
                key = schema.entry_key(height, hash_)
                value = self._store.get(key)
                if value is None:
                    raise schema.damaged(key, "is missing")
                entry = self._old[hash_] = self._decode_entry(key, value)
            self._recent[hash_] = entry
            self._recent.move_to_end(hash_)
            if len(self._recent) > _RECENTLY_LOADED:
                self._recent.popitem(last=False)
            return entry

    def require(self, hash_: BlockHash) -> Entry[H]:
        """Give an entry that must be there. Raises UnknownBlock."""
        entry = self.get(hash_)
        if entry is None:
            raise UnknownBlock(f"no block {hash_[::-1].hex()} is known")
        return entry

    def at(self, height: int) -> Entry[H] | None:
        """Give the best chain's entry at `height`, None above the head and below genesis."""
        entry = self._best.get(height)
        if entry is not None or height < 0:
            return entry
        key = schema.best_key(height)
        value = self._store.get(key)
        return None if value is None else self.require(schema.decode_hash(key, value))

    def is_best(self, entry: Entry[H]) -> bool:
        """Whether the entry is on the best chain."""
        if entry.height >= self.floor_height:
            return self._best.get(entry.height) is entry
        return self._store.get(schema.best_key(entry.height)) == entry.hash

    def ancestor(self, entry: Entry[H], height: int) -> Entry[H]:
        """Give the entry's ancestor (or itself) at `height`; quick once the walk meets the best chain."""
        if not 0 <= height <= entry.height:
            raise ValueError(f"a block at height {entry.height} has no ancestor at {height}")
        while entry.height > height:
            if self.is_best(entry):
                found = self.at(height)
                if found is None:
                    raise schema.damaged(schema.best_key(height), "is missing")
                return found
            entry = self.parent(entry)
        return entry

    def parent(self, entry: Entry[H]) -> Entry[H]:
        """Give the parent of an entry that is not genesis."""
        parent = entry.parent
        if parent is None:
            raise StoreCorrupt(
                "genesis has no parent: two chains without a common block; run `ioex db check`"
            )
        return parent

    def fork(self, one: Entry[H], other: Entry[H]) -> Entry[H]:
        """Give the last entry that both descend from (or are)."""
        height = min(one.height, other.height)
        one, other = self.ancestor(one, height), self.ancestor(other, height)
        while one is not other:
            one, other = self.parent(one), self.parent(other)
        return one

    def level(self, height: int) -> list[Entry[H]]:
        """Give all entries at `height`."""
        if height >= self.floor_height:
            return list(self._levels.get(height, ()))
        rows = self._store.scan(schema.level_prefix(height))
        return [self.require(schema.split_tall_key(key)[1]) for key, _ in rows]

    def children(self, entry: Entry[H]) -> list[Entry[H]]:
        """Give the entries that stand on this one."""
        if entry.height + 1 >= self.floor_height:
            return list(self._children.get(entry.hash, ()))
        return [child for child in self.level(entry.height + 1) if child.header.parent_hash == entry.hash]

    def descendants(self, entry: Entry[H]) -> list[Entry[H]]:
        """Give all entries above this one that descend from it, lower ones first."""
        found = self.children(entry)
        for descendant in found:  # grows while it is walked
            found.extend(self.children(descendant))
        return found

    def in_memory(self) -> list[Entry[H]]:
        """Give every entry from `floor_height` upwards."""
        return list(self._entries.values())

    def tips(self) -> list[Entry[H]]:
        """Give the head and the kept entries that nothing stands on."""
        leaves = [entry for entry in self.in_memory() if entry.hash not in self._children]
        return leaves if self.head in leaves else [self.head, *leaves]

    def add(self, entry: Entry[H]) -> None:
        """Take a new entry; its row is the caller's to write."""
        if entry.height < self.floor_height:
            self._old[entry.hash] = self._recent[entry.hash] = entry
            return
        self._entries[entry.hash] = entry
        self._levels.setdefault(entry.height, []).append(entry)
        self._children.setdefault(entry.header.parent_hash, []).append(entry)

    def remove(self, entry: Entry[H]) -> None:
        """Forget an entry on which nothing stands; its rows are the caller's to delete."""
        with self._lock:
            self._old.pop(entry.hash, None)
            self._recent.pop(entry.hash, None)
            if self._entries.pop(entry.hash, None) is None:
                return
        _drop(self._levels, entry.height, entry)
        _drop(self._children, entry.header.parent_hash, entry)

    def set_head(self, head: Entry[H], connected: Iterable[Entry[H]]) -> None:
        """Follow a committed change of the best chain; `connected` ends with `head` unless it is empty."""
        entries = list(connected)
        below = entries[0].height if entries else head.height + 1
        if below <= self.head.height:  # replaced as a whole: readers see the old chain or the new one
            self._best = {height: entry for height, entry in self._best.items() if height < below}
        for entry in entries:
            self._best[entry.height] = entry
        self.head = head
        self.keep_window_below(head)

    def keep_window_below(self, base: Entry[H]) -> None:
        """Have in memory what is at most `window` below `base`, and drop what is older."""
        height = max(0, base.height - self._window)
        while self.floor_height > height:
            self._lower_floor()
        for old in range(self.floor_height, height):
            self._forget_level(old)
        for entry in self._levels.get(height, ()):
            entry.detach()

    def _forget_level(self, height: int) -> None:
        with self._lock:
            self.floor_height = height + 1  # first, so that readers go to the disk from now on
            for entry in self._levels.pop(height, ()):
                self._old[entry.hash] = entry
                del self._entries[entry.hash]
                self._children.pop(entry.header.parent_hash, None)
            self._best.pop(height, None)

    def _lower_floor(self) -> None:
        height = self.floor_height - 1
        entries = self.level(height)
        best = self.at(height)
        self.floor_height = height
        for entry in entries:
            self.add(entry)
        if best is not None:
            self._best[height] = best


def _drop(lists: "dict[Any, list[Entry[H]]]", key: object, entry: Entry[H]) -> None:
    kept = [other for other in lists.get(key, ()) if other is not entry]
    if kept:
        lists[key] = kept
    else:
        lists.pop(key, None)
