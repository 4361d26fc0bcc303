"""The stored trie and the roots of lists against the package `trie`, over any history of batches."""

from hypothesis import given
from hypothesis import strategies as st
from trie import HexaryTrie

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.trie import Trie, list_root, root_of
from ioex_chain.evm.trie_batch import Change, change_trie
from ioex_chain.evm.types import EMPTY_TRIE_ROOT


class Rows(dict):
    """A view in memory."""

    def scan(self, prefix):
        return iter(sorted((key, value) for key, value in self.items() if key.startswith(prefix)))


def key_of(nibbles: list[int]) -> bytes:
    """Make a key of 32 bytes whose first nibbles are these and whose others hash them: deep forks happen."""
    head = "".join(f"{nibble:x}" for nibble in nibbles)
    return bytes.fromhex((head + keccak256(head.encode()).hex())[:64])


class World:
    """Our trie and theirs, side by side."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.trie = Trie(self.rows, b"t", b"a")
        self.oracle = HexaryTrie({})

    def apply(self, batch: dict[bytes, bytes]) -> None:
        changes = [
            Change(key, value or None, b"a" + key in self.rows)
            for key, value in batch.items()
            if value or b"a" + key in self.rows
        ]
        root, swaps = change_trie(self.trie, changes)
        for row, before, after in swaps:
            assert self.rows.get(row) == before
            self._write(row, after)
        for key, value, _ in changes:
            self._write(b"a" + key, value)
        for key, value in batch.items():
            self.oracle[key] = value
        assert root == self.oracle.root_hash
        assert self.trie.root() == root

    def _write(self, row: bytes, value: bytes | None) -> None:
        if value is None:
            self.rows.pop(row, None)
        else:
            self.rows[row] = value


keys = st.lists(st.integers(0, 2) | st.integers(0, 15), min_size=2, max_size=12).map(key_of)
near = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda pair: bytes(29) + bytes((*pair, 7)))
values = st.just(b"") | st.binary(min_size=1, max_size=3) | st.binary(min_size=40, max_size=80)
batches = st.lists(st.dictionaries(keys | near, values, max_size=12), min_size=1, max_size=6)


@given(batches)
def test_any_history_has_the_oracles_roots(history):
    world = World()
    for batch in history:
        world.apply(batch)


@given(batches)
def test_proofs_verify_and_rows_vanish_with_their_leaves(history):
    world = World()
    for batch in history:
        world.apply(batch)
    everything = {key for batch in history for key in batch}
    for key in sorted(everything | {keccak256(b"absent")}):
        theirs = world.oracle.get(key)
        proof = world.trie.prove(key)
        if not proof:
            assert world.oracle.root_hash == EMPTY_TRIE_ROOT
            continue
        assert keccak256(proof[0]) == world.oracle.root_hash
        nodes = {keccak256(node): node for node in proof}
        assert HexaryTrie(nodes, root_hash=world.oracle.root_hash).get(key) == theirs
    world.apply(dict.fromkeys(sorted(everything), b""))
    assert world.rows == {}
    assert world.trie.root() == EMPTY_TRIE_ROOT


@given(st.dictionaries(st.binary(min_size=1, max_size=4), st.binary(min_size=1, max_size=60), max_size=30))
def test_roots_in_memory(items):
    oracle = HexaryTrie({})
    for key, value in items.items():
        oracle[key] = value
    assert root_of(items) == oracle.root_hash


def test_list_root_of_many():
    import rlp

    values = [bytes((number & 0xFF,)) * (1 + number % 90) for number in range(300)]
    oracle = HexaryTrie({})
    for index, value in enumerate(values):
        oracle[rlp.encode(index)] = value
    assert list_root(values) == oracle.root_hash
    assert list_root([]) == EMPTY_TRIE_ROOT
