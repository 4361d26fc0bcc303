"""Merkle-Patricia tries (yellow paper, appendix D): roots of lists in memory, and the rows of a stored trie.

A `Trie` has two kinds of rows in a view. A *leaf row* is `leaves` || key (32 bytes) and gives the leaf's
value; the caller writes it. A *branch row* is `nodes` || path (hexadecimal): a branch, with the extension
before it, if any, at the place where the extension begins:

    uint8 n    nibbles of the extension
    n bytes    the extension, hexadecimal
    uint16     bit i: child i is a leaf
    16 refs    the children as the branch's RLP has them: 0x80, 0xa0 hash, or a node below 32 bytes

A lone leaf has no branch above it, and neither has an empty trie: no row then. Where a branch loses all
but one leaf, or a new key meets an old leaf, that leaf is found by a scan of the leaf rows under its path:
keys are hashes, so this touches one row.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.strict_rlp import encode_uint
from ioex_chain.evm.types import EMPTY_TRIE_ROOT
from ioex_chain.ledger.types import Readable
from ioex_chain.primitives.rlp import LIST_HEADS, STRING_HEADS, encode_string, list_head, wrap_list

EMPTY = b"\x80"
_FULL = 16 * 33 + 1
_FULL_HEAD = list_head(_FULL)
_FULL_ROW = 3 + 16 * 33
"""Bytes of the row of a branch with sixteen hashes; with a node inside it is shorter."""
NIBBLES = "0123456789abcdef"
INDEX = {digit: at for at, digit in enumerate(NIBBLES)}

Pairs = Sequence[tuple[str, bytes]]
"""Keys in hexadecimal, sorted, with their values."""
Keep = Callable[[str, str, int, list[bytes]], None]
"""Takes a branch: path, extension, mask of leaves, references."""


def _path(nibbles: str, flag: int) -> bytes:
    """Hex-prefix encoding (appendix C), as an RLP string; `flag` is 2 for a leaf, 0 for an extension."""
    packed = bytes.fromhex((f"{flag + 1}" if len(nibbles) & 1 else f"{flag}0") + nibbles)
    return packed if len(packed) == 1 else STRING_HEADS[len(packed)] + packed


def leaf_node(nibbles: str, value: bytes) -> bytes:
    """Give the RLP of a leaf."""
    path = bytes.fromhex(("3" if len(nibbles) & 1 else "20") + nibbles)
    head = STRING_HEADS[len(path)] if len(path) > 1 else b""
    size = len(value)
    payload = head + path + (STRING_HEADS[size] + value if 1 < size < 256 else encode_string(value))
    return (LIST_HEADS[len(payload)] if len(payload) < 1024 else list_head(len(payload))) + payload


def reference(node: bytes) -> bytes:
    """Give how a parent's RLP has this node."""
    return node if len(node) < 32 else b"\xa0" + keccak256(node)


def wrap_branch(extension: str, payload: bytes, value: bytes = EMPTY) -> bytes:
    """Give the RLP of a branch from its joined references, or of the extension before it."""
    size = len(payload) + len(value)
    branch = (_FULL_HEAD if size == _FULL else list_head(size)) + payload + value
    if not extension:
        return branch
    return wrap_list(_path(extension, 0) + reference(branch))


def branch_node(extension: str, references: list[bytes], value: bytes = EMPTY) -> bytes:
    """Give the RLP of a branch, or of the extension before it."""
    return wrap_branch(extension, b"".join(references), value)


def build(pairs: Pairs, low: int, high: int, depth: int, keep: Keep | None) -> tuple[bytes, bool]:
    """Give the node over pairs[low:high], alike in `depth` nibbles, and whether it is a leaf."""
    key, value = pairs[low]
    if high - low == 1:
        return leaf_node(key[depth:], value), True
    last = pairs[high - 1][0]
    fork = depth
    while fork < len(key) and key[fork] == last[fork]:
        fork += 1
    references, mask, own = [EMPTY] * 16, 0, EMPTY
    at = low
    if len(key) == fork:  # only where keys differ in length, never in a stored trie
        own, at = encode_string(value), low + 1
    while at < high:
        digit = pairs[at][0][fork]
        end = at + 1
        while end < high and pairs[end][0][fork] == digit:
            end += 1
        node, is_leaf = build(pairs, at, end, fork + 1, keep)
        references[INDEX[digit]] = reference(node)
        mask |= is_leaf << INDEX[digit]
        at = end
    extension = key[depth:fork]
    if keep is not None:
        keep(key[:depth], extension, mask, references)
    return branch_node(extension, references, own), False


def root_of(items: Mapping[bytes, bytes]) -> bytes:
    """Give the root of a trie with these keys and values, in memory."""
    if not items:
        return EMPTY_TRIE_ROOT
    pairs = sorted((key.hex(), value) for key, value in items.items())
    return keccak256(build(pairs, 0, len(pairs), 0, None)[0])


def list_root(values: Iterable[bytes]) -> bytes:
    """Give the root of transactions, receipts or withdrawals: the keys are the RLP of their indices."""
    return root_of({encode_uint(index): value for index, value in enumerate(values)})


class Branch:
    """A branch row, read."""

    __slots__ = ("extension", "mask", "references")

    def __init__(self, extension: str, mask: int, references: list[bytes]) -> None:
        self.extension = extension
        self.mask = mask
        self.references = references

    @property
    def node(self) -> bytes:
        """The RLP of the branch, or of the extension before it."""
        return branch_node(self.extension, self.references)


def branch_head(extension: str, mask: int) -> bytes:
    """Give what stands before the references in a branch row."""
    if not extension:
        return b"\x00" + mask.to_bytes(2, "big")
    return bytes((len(extension),)) + extension.encode() + mask.to_bytes(2, "big")


def encode_branch(extension: str, mask: int, references: list[bytes]) -> bytes:
    """Write a branch row."""
    return branch_head(extension, mask) + b"".join(references)


_REFERENCES = re.compile(rb"\xa0.{32}|\x80", re.DOTALL)


def decode_branch(row: bytes) -> Branch:
    """Read a branch row."""
    size = row[0]
    at = size + 3
    mask = row[size + 1] << 8 | row[size + 2]
    extension = row[1 : size + 1].decode() if size else ""
    references = _REFERENCES.findall(row, at)
    absent = references.count(EMPTY)
    if len(references) != 16 or absent + 33 * (16 - absent) != len(row) - at:  # some stand inside the row
        references = _read_references(row, at)
    return Branch(extension, mask, references)


def start_of(row: bytes, child: int) -> int:
    """Give where the reference of a child begins in the row of a branch without extension."""
    if len(row) == _FULL_ROW:
        return 3 + 33 * child
    at = 3
    for _ in range(child):
        first = row[at]
        at += 33 if first == 0xA0 else 1 if first == 0x80 else first - 0xBF
    return at


def _read_references(row: bytes, at: int) -> list[bytes]:
    references = []
    while at < len(row):
        first = row[at]
        end = at + (33 if first == 0xA0 else 1 if first == 0x80 else first - 0xBF)
        references.append(row[at:end])
        at = end
    return references


class Trie:
    """A stored trie over the view. `nodes` and `leaves` are the rows' prefixes.

    `leaf_of` gives a leaf's value from its row, where the row is not the value itself.
    """

    __slots__ = ("_leaf_of", "leaves", "nodes", "view")

    def __init__(
        self, view: Readable, nodes: bytes, leaves: bytes, leaf_of: Callable[[bytes], bytes] = bytes
    ) -> None:
        self.view = view
        self._leaf_of = leaf_of
        self.nodes = nodes
        self.leaves = leaves

    def branch(self, path: str) -> Branch | None:
        """Give the branch (or extension) that begins at `path`."""
        row = self.view.get(self.nodes + path.encode())
        return None if row is None else decode_branch(row)

    def leaf(self, path: str, skip: Callable[[str], bool] | None = None) -> tuple[str, bytes] | None:
        """Give the first leaf row under `path` whose key is not to be skipped."""
        start = len(self.leaves)
        whole = bytes.fromhex(path[: len(path) & ~1])
        for key, value in self.view.scan(self.leaves + whole):
            digits = key[start:].hex()
            if digits.startswith(path) and not (skip and skip(digits)):
                return digits, self._leaf_of(value)
        return None

    def root(self) -> bytes:
        """Give the root from the topmost row."""
        top = self.branch("")
        if top is not None:
            return keccak256(top.node)
        only = self.leaf("")
        return EMPTY_TRIE_ROOT if only is None else keccak256(leaf_node(*only))

    def prove(self, key: bytes) -> list[bytes]:
        """Give the nodes from the root towards `key` (EIP-1186): they show its value, or that it has none.

        Nodes below 32 bytes stand inside their parents and are not listed, but for the root.
        """
        digits, path, proof = key.hex(), "", list[bytes]()
        while (top := self.branch(path)) is not None:
            nodes = (top.node, branch_node("", top.references)) if top.extension else (top.node,)
            proof += [node for node in nodes if len(node) >= 32 or not proof]
            path += top.extension
            if not digits.startswith(path):
                return proof
            child = INDEX[digits[len(path)]]
            path += digits[len(path)]
            if top.mask >> child & 1:
                break
            if top.references[child] == EMPTY:
                return proof
        only = self.leaf(path)
        if only is not None:
            node = leaf_node(only[0][len(path) :], only[1])
            proof += [node] if len(node) >= 32 or not proof else []
        return proof
