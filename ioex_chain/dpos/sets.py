"""Who may seal and vote: numbered sets of members (docs/protocol.md section 4)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """One seat: the address of the key that seals and votes, and where its rewards and tips go."""

    key: bytes
    payout: bytes


@dataclass(frozen=True, slots=True)
class ArbitratorSet:
    """A numbered set; member i of it is bit i of a certificate. Genesis has number 0."""

    number: int
    members: tuple[Member, ...]

    @property
    def quorum(self) -> int:
        """Votes that make a certificate: floor(2n/3)+1."""
        return 2 * len(self.members) // 3 + 1
