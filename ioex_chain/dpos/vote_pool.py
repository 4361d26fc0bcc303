"""The votes that are kept: for certificates, and to catch who votes twice.

Bounded per key, so that nobody can push out another's votes. Every vote here has a valid signature.
"""

from collections.abc import Iterator

from ioex_chain.dpos import evidence
from ioex_chain.dpos.votes import Link, Vote, VoteEvidence

PER_HEIGHT = 2
"""Votes kept per key and target height: a second one is proof already."""
PER_KEY = 512
"""Votes kept per key; those with the lowest targets go first."""
MAX_KEYS = 256
"""Keys kept: those of the sets that can be known, several times over."""


class VotePool:
    """Verified votes by key and target height, and tallies by link."""

    def __init__(self, per_key: int = PER_KEY, max_keys: int = MAX_KEYS) -> None:
        self._per_key = per_key
        self._max_keys = max_keys
        self._by_key: dict[bytes, dict[int, list[Vote]]] = {}
        self._tops: dict[bytes, tuple[int, int]] = {}
        self._tallies: dict[Link, dict[bytes, Vote]] = {}
        self._signatures: dict[tuple[Link, bytes], None] = {}

    def __len__(self) -> int:
        return len(self._signatures)

    def holds(self, vote: Vote) -> bool:
        """Whether this very vote, signature included, was taken before: no need to verify it again."""
        return (vote.link, vote.signature) in self._signatures

    def votes_for(self, link: Link) -> dict[bytes, Vote]:
        """Give the votes for a link by key."""
        return self._tallies.get(link, {})

    def links(self) -> list[Link]:
        """Give the links that have votes, in the order of their first one."""
        return list(self._tallies)

    def above(self, height: int) -> Iterator[Vote]:
        """Give the votes whose target is higher than `height`, in the order of links and members' arrival."""
        for link, votes in self._tallies.items():
            if link.target.height > height:
                yield from votes.values()

    def add(self, key: bytes, vote: Vote) -> tuple[bool, VoteEvidence | None]:
        """Take a vote of a key: whether it is new, and what it proves together with an earlier one."""
        heights = self._by_key.setdefault(key, {})
        at_height = heights.setdefault(vote.link.target.height, [])
        if any(known.link == vote.link for known in at_height):
            return False, None
        proof = None if self._goes_up(key, vote.link) else self._conflict(heights, vote)
        if len(at_height) < PER_HEIGHT:
            at_height.append(vote)
            self._tallies.setdefault(vote.link, {})[key] = vote
            self._signatures[vote.link, vote.signature] = None
            self._shrink(key)
        return True, proof

    def _goes_up(self, key: bytes, link: Link) -> bool:
        """Whether a key's target is higher than any before and its source not lower: that breaks no rule."""
        target, source = self._tops.get(key, (-1, -1))
        self._tops[key] = max(target, link.target.height), max(source, link.source.height)
        return link.target.height > target and link.source.height >= source

    def _conflict(self, heights: dict[int, list[Vote]], vote: Vote) -> VoteEvidence | None:
        for votes in heights.values():
            for known in votes:
                if evidence.conflict(known.link, vote.link) is not None:
                    return evidence.of_votes(known, vote)
        return None

    def _shrink(self, key: bytes) -> None:
        heights = self._by_key[key]
        while sum(map(len, heights.values())) > self._per_key:
            self._forget(key, min(heights))
        while len(self._by_key) > self._max_keys:
            oldest = next(iter(self._by_key))
            for height in list(self._by_key[oldest]):
                self._forget(oldest, height)
            del self._by_key[oldest], self._tops[oldest]

    def _forget(self, key: bytes, height: int) -> None:
        for vote in self._by_key[key].pop(height):
            self._signatures.pop((vote.link, vote.signature), None)
            tally = self._tallies[vote.link]
            del tally[key]
            if not tally:
                del self._tallies[vote.link]

    def prune(self, height: int) -> None:
        """Forget the votes whose target is lower than `height`."""
        for key, heights in self._by_key.items():
            for low in [low for low in heights if low < height]:
                self._forget(key, low)
