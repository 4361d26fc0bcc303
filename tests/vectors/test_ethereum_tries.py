"""Ethereum's TrieTests: roots in memory, and where keys are hashed, by the stored trie too."""

import json

import pytest

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.trie import Trie, root_of
from ioex_chain.evm.trie_batch import Change, change_trie


def raw(text: str) -> bytes:
    return bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()


def steps(case):
    pairs = case["in"].items() if isinstance(case["in"], dict) else case["in"]
    return [(raw(key), raw(value) if value else b"") for key, value in pairs]


@pytest.mark.parametrize(
    ("name", "hashed"),
    [
        ("trietest.json", False),
        ("trieanyorder.json", False),
        ("trietest_secureTrie.json", True),
        ("trieanyorder_secureTrie.json", True),
        ("hex_encoded_securetrie_test.json", True),
    ],
)
def test_roots(vectors, name, hashed):
    cases = json.loads((vectors / "TrieTests" / name).read_text())
    assert cases
    for case_name, case in cases.items():
        items: dict[bytes, bytes] = {}
        for key, value in steps(case):
            key = keccak256(key) if hashed else key
            items.pop(key, None)
            if value:
                items[key] = value
        assert root_of(items) == raw(case["root"]), case_name
        if hashed:
            assert stored_root(steps(case)) == raw(case["root"]), case_name


class Rows(dict):
    def scan(self, prefix):
        return iter(sorted((key, value) for key, value in self.items() if key.startswith(prefix)))


def stored_root(pairs) -> bytes:
    """Change a stored trie by one key at a time."""
    rows = Rows()
    trie = Trie(rows, b"t", b"a")
    root = trie.root()
    for key, value in pairs:
        leaf = b"a" + keccak256(key)
        if not value and leaf not in rows:
            continue
        root, swaps = change_trie(trie, [Change(leaf[1:], value or None, leaf in rows)])
        for row, before, after in [*swaps, (leaf, rows.get(leaf), value or None)]:
            assert rows.pop(row, None) == before
            if after is not None:
                rows[row] = after
    return root
