"""Who may seal and vote: numbered sets of members (docs/protocol.md section 4)."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """One seat: the address of the key that seals and votes, and where its rewards and tips go."""

    key: bytes
    payout: bytes


def quorum_of(count: int) -> int:
    """Give the votes of a set of `count` that make a certificate: floor(2n/3)+1."""
    return 2 * count // 3 + 1


@dataclass(frozen=True, slots=True)
class ArbitratorSet:
    """A numbered set; voter i of it is bit i of a certificate. Genesis has number 0.

    `before` are the members of the set before as long as no block under this one is recorded as final: until
    then a certificate needs the quorum of both, so that the two sets cannot finalise two chains.
    """

    number: int
    members: tuple[Member, ...]
    before: tuple[Member, ...] = ()

    @property
    def quorum(self) -> int:
        """Votes of members that make a certificate."""
        return quorum_of(len(self.members))

    @property
    def voters(self) -> tuple[Member, ...]:
        """Who may vote: the members, then those of the set before that are none."""
        if not self.before:
            return self.members
        own = {member.key for member in self.members}
        return (*self.members, *(member for member in self.before if member.key not in own))

    def has(self, key: bytes) -> bool:
        """Whether a key may vote."""
        return any(member.key == key for member in self.voters)

    def is_quorum(self, keys: Collection[bytes]) -> bool:
        """Whether votes of these keys make a certificate."""
        return all(
            sum(member.key in keys for member in members) >= quorum_of(len(members))
            for members in (self.members, self.before)
            if members
        )
