"""Which network this is and which rules it follows: identity, magic, fork id (docs/protocol.md section 7)."""

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from ioex_chain.crypto.hashes import tagged_hash
from ioex_chain.primitives.errors import IoexError


class ForkMismatch(IoexError):
    """A peer follows other rules: it or we must update, or it is on another network."""


def network_id(pow_genesis: bytes, dpos_genesis: bytes) -> bytes:
    """Give the network's 32-byte identity: BIP-340 tagged hash "ioeX/network" over both genesis hashes.

    Both are 32 bytes as they are hashed (internal order), the PoW chain's first.
    """
    return tagged_hash("ioeX/network", pow_genesis + dpos_genesis)


def dpos_identity(identity: bytes) -> bytes:
    """Give what the DPoS chain's peers name as their network: tagged hash "ioeX/dpos" over the identity.

    The two chains' connections can so not be taken for each other's.
    """
    return tagged_hash("ioeX/dpos", identity)


def magic(identity: bytes) -> bytes:
    """Give the 4 bytes that begin a message of this network: the identity's first."""
    return identity[:4]


class ForkId(NamedTuple):
    """EIP-2124: what rules are in force, and when they change next."""

    checksum: bytes
    """4 bytes: CRC32 over the identity and the activations passed, each a big-endian uint64."""
    next: int
    """The next activation, 0 if none is scheduled."""


def fork_id(identity: bytes, activations: Sequence[int], head: int) -> ForkId:
    """Give the fork id (EIP-2124) at height `head`; `activations` are rising heights above 0."""
    checksum = crc32(identity)
    for activation in activations:
        if head < activation:
            return ForkId(checksum.to_bytes(4, "big"), activation)
        checksum = crc32(activation.to_bytes(8, "big"), checksum)
    return ForkId(checksum.to_bytes(4, "big"), 0)


def check_fork_id(identity: bytes, activations: Sequence[int], head: int, peer: ForkId) -> None:
    """Raise ForkMismatch unless a peer's fork id is compatible with ours (EIP-2124, validation rules)."""
    ours = fork_id(identity, activations, head)
    if peer.checksum == ours.checksum:
        if peer.next and head >= peer.next:
            raise ForkMismatch(
                f"the peer changes rules at {peer.next}, which we passed unaware: update this node"
            )
        return
    checkpoints = (0, *activations)
    sums = [fork_id(identity, activations, height) for height in checkpoints]
    current = sums.index(ours)
    for position, known in enumerate(sums):
        if known.checksum != peer.checksum:
            continue
        if position > current or peer.next == known.next:
            return
        raise ForkMismatch(f"the peer does not know the rule change at {known.next}: it must update")
    raise ForkMismatch("the peer is on another network, or follows rules that this node does not know")
