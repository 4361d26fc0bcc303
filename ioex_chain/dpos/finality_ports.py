"""What finality needs of the chain around it; the ledger and its records fulfil it, a simulation fakes it."""

from collections.abc import Callable
from threading import Lock
from typing import Protocol, TypeVar

from ioex_chain.dpos import seal
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.sets import ArbitratorSet
from ioex_chain.dpos.votes import Checkpoint, Vote
from ioex_chain.primitives.types import BlockHash


class Node(Protocol):
    """A block in the tree; the ledger's Entry is one."""

    @property
    def hash(self) -> BlockHash:
        """The block's identity."""
        ...

    @property
    def height(self) -> int:
        """Blocks below it."""
        ...


N = TypeVar("N", bound=Node)
N_contra = TypeVar("N_contra", bound=Node, contravariant=True)


def checkpoint(entry: Node) -> Checkpoint:
    """Name a block as votes do."""
    return Checkpoint(entry.hash, entry.height)


class Tree(Protocol[N]):
    """The blocks whose headers are known and not invalid, on all branches."""

    def entry(self, hash_: BlockHash) -> N | None:
        """Give a block; None if its header is not known or it is invalid."""
        ...

    def ancestor(self, entry: N, height: int) -> N:
        """Give the ancestor at `height`, at most the entry's own."""
        ...


class Facts(Protocol[N_contra]):
    """What was recorded of blocks when they were connected (docs/protocol.md section 4)."""

    def set_at(self, entry: N_contra) -> ArbitratorSet | None:
        """Give the set in force in the block's own round; None while the block was never connected."""
        ...

    def justified_at(self, entry: N_contra) -> Checkpoint | None:
        """Give the highest block justified by payloads of the block and its ancestors; None as `set_at`."""
        ...

    def finalised_at(self, entry: N_contra) -> Checkpoint | None:
        """Give the highest block finalised by payloads of the block and its ancestors; None as `set_at`."""
        ...

    def set_numbered(self, number: int) -> ArbitratorSet | None:
        """Give a set of the best chain: one that was or is in force, or waits for it; None if unknown."""
        ...


class Signatures(Protocol):
    """Who signed: 20-byte addresses. A simulation may fake it."""

    def voter(self, vote: Vote) -> bytes:
        """Give the key of a vote. Raises BadSignature."""
        ...

    def sealer(self, header: SealedHeader) -> bytes:
        """Give the key of a seal. Raises BadSignature."""
        ...


class RecoveredSignatures:
    """Signatures of one DPoS chain, by public key recovery; `genesis` is its genesis hash."""

    def __init__(self, genesis: bytes) -> None:
        self._genesis = genesis

    def voter(self, vote: Vote) -> bytes:
        """Give the key of a vote. Raises BadSignature."""
        return seal.signer_of(vote.signature, seal.vote_digest(self._genesis, vote.link))

    def sealer(self, header: SealedHeader) -> bytes:
        """Give the key of a seal. Raises BadSignature."""
        return seal.signer_of(header.seal, seal.seal_digest(self._genesis, header.hash))


class RememberedSignatures:
    """Signatures that are not checked twice: a vote comes alone, in a certificate, and in a payload.

    For several threads. Remembers the newest `size` signers; what is no signature is not remembered.
    """

    def __init__(self, inner: Signatures, size: int = 16_384) -> None:
        self._inner = inner
        self._size = size
        self._known: dict[tuple[object, bytes], bytes] = {}
        self._lock = Lock()

    def voter(self, vote: Vote) -> bytes:
        """Give the key of a vote. Raises BadSignature."""
        return self._ask((vote.link, vote.signature), lambda: self._inner.voter(vote))

    def sealer(self, header: SealedHeader) -> bytes:
        """Give the key of a seal. Raises BadSignature."""
        return self._ask((header.hash, header.seal), lambda: self._inner.sealer(header))

    def _ask(self, name: tuple[object, bytes], recover: Callable[[], bytes]) -> bytes:
        known = self._known.get(name)
        if known is None:
            known = recover()
            with self._lock:
                self._known[name] = known
                while len(self._known) > self._size:
                    del self._known[next(iter(self._known))]
        return known
