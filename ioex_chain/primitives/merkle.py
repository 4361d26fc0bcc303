"""Bitcoin's Merkle tree over 32-byte hashes: root, branch, and the root that a branch leads to."""

from collections.abc import Sequence
from hashlib import sha256


def _level_up(level: list[bytes]) -> list[bytes]:
    if len(level) & 1:
        level.append(level[-1])
    joined = [level[i] + level[i + 1] for i in range(0, len(level), 2)]
    return [sha256(sha256(pair).digest()).digest() for pair in joined]


def merkle_root(leaves: Sequence[bytes]) -> tuple[bytes, bool]:
    """Give the root of `leaves` (at least one) and whether two neighbours at some level are equal.

    Equal neighbours mean that another, shorter list has the same root (CVE-2012-2459): such a body is
    refused without blaming the header.
    """
    level = list(leaves)
    mutated = False
    while len(level) > 1:
        mutated = mutated or any(level[i] == level[i + 1] for i in range(0, len(level) - 1, 2))
        level = _level_up(level)
    return level[0], mutated


def merkle_branch(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Give the siblings from leaf `index` up to the root, lowest first."""
    level = list(leaves)
    branch = []
    while len(level) > 1:
        sibling = min(index ^ 1, len(level) - 1)
        branch.append(level[sibling])
        level = _level_up(level)
        index >>= 1
    return branch


def branch_root(leaf: bytes, branch: Sequence[bytes], index: int) -> bytes:
    """Give the root that `leaf` at `index` has with the siblings in `branch`, lowest first."""
    node = leaf
    for sibling in branch:
        pair = sibling + node if index & 1 else node + sibling
        node = sha256(sha256(pair).digest()).digest()
        index >>= 1
    return node
