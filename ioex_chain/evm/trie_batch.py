"""Changes a stored trie by one sorted batch: each branch on the way is read, hashed and written once."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import NamedTuple

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.trie import (
    EMPTY,
    INDEX,
    NIBBLES,
    Branch,
    Trie,
    branch_head,
    build,
    decode_branch,
    encode_branch,
    leaf_node,
    reference,
    start_of,
    wrap_branch,
)
from ioex_chain.evm.types import EMPTY_TRIE_ROOT
from ioex_chain.primitives.errors import IoexError


class TrieDamaged(IoexError):
    """A branch row is missing: the database lost something; `ioex db check` shows what."""


class Change(NamedTuple):
    """A new value for a key of 32 bytes; None deletes. `existed`: whether the key has a leaf now."""

    key: bytes
    value: bytes | None
    existed: bool


class Swap(NamedTuple):
    """A row to be written: its key, what it is now and what it will be; None for absent."""

    key: bytes
    before: bytes | None
    after: bytes | None


_HASH = 0xA0
"""What a reference to a node of 32 bytes or more begins with."""
Found = tuple[bytes, bool]
"""A node's RLP (empty when nothing is left) and whether it is a leaf."""


def change_trie(trie: Trie, changes: Iterable[Change]) -> tuple[bytes, list[Swap]]:
    """Give the root after the changes, and the branch rows to be written; nothing is written here.

    The leaf rows must still be the old ones. A key stands in `changes` once; a deletion of what does not
    exist must be left out.
    """
    batch = _Batch(trie, sorted(changes))
    return batch.run(), batch.swaps()


class _Batch:
    def __init__(self, trie: Trie, changes: list[Change]) -> None:
        self._trie = trie
        self._get = trie.view.get
        self._keys = [change.key.hex() for change in changes]
        self._values = [change.value for change in changes]
        self._existed = [change.existed for change in changes]
        self._before: dict[str, bytes | None] = {}
        self._after: dict[str, bytes | None] = {}

    def run(self) -> bytes:
        """Work from the top; give the root."""
        if not self._keys:
            return self._trie.root()
        top = self._row("")
        count = len(self._keys)
        node, _ = self._grow("", 0, count) if top is None else self._branch("", top, 0, count)
        return keccak256(node) if node else EMPTY_TRIE_ROOT

    def swaps(self) -> list[Swap]:
        """Give the rows that differ."""
        before, nodes = self._before.get, self._trie.nodes
        return [
            Swap(nodes + path.encode(), before(path), after)
            for path, after in self._after.items()
            if before(path) != after
        ]

    def _row(self, path: str) -> bytes | None:
        if path in self._after:
            return self._after[path]
        row = self._before[path] = self._get(self._trie.nodes + path.encode())
        return row

    def _keep(self, path: str, extension: str, mask: int, references: list[bytes]) -> None:
        self._after[path] = encode_branch(extension, mask, references)

    def _grow(self, path: str, low: int, high: int, may_have_leaf: bool = True) -> Found:
        """Build what stands at `path`, where no more than one leaf has been."""
        keys, values = self._keys, self._values
        pairs = [(keys[at], value) for at in range(low, high) if (value := values[at]) is not None]
        if may_have_leaf and True not in self._existed[low:high]:
            old = self._trie.leaf(path)  # none of the changed keys has a row yet, so it is another's
            if old is not None:
                insort(pairs, old)
        if not pairs:
            return b"", False
        return build(pairs, 0, len(pairs), len(path), self._keep)

    def _branch(self, path: str, row: bytes, low: int, high: int) -> Found:
        """Change the branch at `path` by the keys in [low:high], which all begin with `path`."""
        keys, values, existed = self._keys, self._values, self._existed
        if not row[0] and keys[low][len(path)] == keys[high - 1][len(path)]:
            found = self._one_child(path, row, low, high)
            if found is not None:
                return found
        top = decode_branch(row)
        if top.extension:
            base = path + top.extension
            if not (keys[low].startswith(base) and keys[high - 1].startswith(base)):
                top = self._split(path, top, low, high)
        references, depth = top.references, len(path) + len(top.extension)
        below, at = depth + 1, low
        while at < high:
            key = keys[at]
            digit, end = key[depth], at + 1
            while end < high and keys[end][depth] == digit:
                end += 1
            child = INDEX[digit]
            value = values[at]
            if end - at == 1 and existed[at] and value is not None and top.mask >> child & 1:  # nearly always
                node = leaf_node(key[below:], value)
                references[child] = node if len(node) < 32 else b"\xa0" + keccak256(node)
            else:
                self._child(key[:below], top, child, at, end)
            at = end
        return self._changed(path, top, low, high)

    def _changed(self, path: str, top: Branch, low: int, high: int) -> Found:
        """Plan the row of a branch whose children are up to date."""
        if top.references.count(EMPTY) < 15:
            payload = b"".join(top.references)
            self._after[path] = branch_head(top.extension, top.mask) + payload
            return wrap_branch(top.extension, payload), False
        return self._collapse(path, top, low, high)

    def _one_child(self, path: str, row: bytes, low: int, high: int) -> Found | None:
        """Change one child's hash within the row, which is not taken apart; None if that is not all.

        In a large trie nearly all branches are changed so. With None nothing was done.
        """
        key, below = self._keys[low], len(path) + 1
        child = INDEX[key[below - 1]]
        at = start_of(row, child)
        if row[at] != _HASH:
            return None
        if (row[1] << 8 | row[2]) >> child & 1:
            value = self._values[low]
            if high - low != 1 or value is None or not self._existed[low]:
                return None
            node, is_leaf = leaf_node(key[below:], value), True
        else:
            node, is_leaf = self._branch(key[:below], self._known(key[:below]), low, high)
            if is_leaf:
                return self._with_child(path, row, child, node, True, low, high)
        if len(node) < 32:
            return self._with_child(path, row, child, node, is_leaf, low, high)
        payload = row[3:at] + b"\xa0" + keccak256(node) + row[at + 33 :]
        self._after[path] = row[:3] + payload
        return wrap_branch("", payload), False

    def _with_child(
        self, path: str, row: bytes, child: int, node: bytes, is_leaf: bool, low: int, high: int
    ) -> Found:
        top = decode_branch(row)
        self._put_child(top, child, node, is_leaf)
        return self._changed(path, top, low, high)

    def _child(self, path: str, top: Branch, child: int, low: int, high: int) -> None:
        """Change one child of a branch, which stands at `path`."""
        if top.references[child] == EMPTY:
            node, is_leaf = self._grow(path, low, high, False)
        elif top.mask >> child & 1:
            node, is_leaf = self._grow(path, low, high)
        else:
            node, is_leaf = self._branch(path, self._known(path), low, high)
        self._put_child(top, child, node, is_leaf)

    def _put_child(self, top: Branch, child: int, node: bytes, is_leaf: bool) -> None:
        top.references[child] = reference(node) if node else EMPTY
        top.mask = top.mask | 1 << child if is_leaf else top.mask & ~(1 << child)

    def _known(self, path: str) -> bytes:
        row = self._row(path)
        if row is None:
            raise TrieDamaged(f"the branch of a state trie at {path} is missing; run `ioex db check`")
        return row

    def _split(self, path: str, top: Branch, low: int, high: int) -> Branch:
        """Cut an extension where the first of the keys leaves it; what it led to moves below the cut."""
        at = len(path)
        cut = min(_alike(top.extension, self._keys[end][at:]) for end in (low, high - 1))
        digit = top.extension[cut]
        moved = Branch(top.extension[cut + 1 :], top.mask, top.references)
        self._keep(path + top.extension[: cut + 1], moved.extension, moved.mask, moved.references)
        references = [EMPTY] * 16
        references[INDEX[digit]] = reference(moved.node)
        return Branch(top.extension[:cut], 0, references)

    def _collapse(self, path: str, top: Branch, low: int, high: int) -> Found:
        """Replace a branch with at most one child by that child."""
        self._after[path] = None
        left = [child for child in range(16) if top.references[child] != EMPTY]
        if not left:
            return b"", False
        below = path + top.extension + NIBBLES[left[0]]
        if top.mask >> left[0] & 1:
            key, value = self._leaf(below, low, high)
            return leaf_node(key[len(path) :], value), True
        child = decode_branch(self._known(below))
        self._after[below] = None
        joined = Branch(below[len(path) :] + child.extension, child.mask, child.references)
        self._keep(path, joined.extension, joined.mask, joined.references)
        return joined.node, False

    def _leaf(self, path: str, low: int, high: int) -> tuple[str, bytes]:
        """Give the one leaf under `path` after the changes."""
        keys = self._keys
        at = bisect_left(keys, path, low, high)
        while at < high and keys[at].startswith(path):
            value = self._values[at]
            if value is not None:
                return keys[at], value
            at += 1
        found = self._trie.leaf(path, self._is_changed)
        if found is None:
            raise TrieDamaged(f"the leaf of a state trie under {path} is missing; run `ioex db check`")
        return found

    def _is_changed(self, key: str) -> bool:
        at = bisect_left(self._keys, key)
        return at < len(self._keys) and self._keys[at] == key


def _alike(one: str, other: str) -> int:
    at = 0
    while at < len(one) and one[at] == other[at]:
        at += 1
    return at
