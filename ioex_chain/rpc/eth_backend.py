"""What the Ethereum port's methods need of a running node: declared here by the consumer, built in `node`.

Threads: everything that is not a coroutine may be called from any thread, answers at once from memory or
with few reads of the database, and never waits for an import. Coroutines are awaited in the event loop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, TypeVar

from ioex_chain.dpos.block import Block
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.mempool_types import PoolPolicy, PoolStatus
from ioex_chain.dpos.sets import ArbitratorSet, Member
from ioex_chain.dpos.votes import Certificate, Checkpoint, Evidence, Link, Vote
from ioex_chain.evm.types import Account, Receipt, Transaction
from ioex_chain.gossip.sync import SyncState
from ioex_chain.ledger.types import Entry
from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.eth.evm_port import Deadline, Evm
from ioex_chain.rpc.peer_port import PeerPort
from ioex_chain.spec.model import NetworkSpec

T = TypeVar("T")
DposEntry = Entry[SealedHeader]


@dataclass(frozen=True, slots=True)
class Location:
    """Where a transaction of the best chain stands."""

    block_hash: BlockHash
    index: int


@dataclass(frozen=True, slots=True)
class Proof:
    """A Merkle proof of one account and some of its slots (EIP-1186); trie nodes from the root down."""

    account: Account
    nodes: Sequence[bytes]
    storage: Sequence[tuple[int, int, Sequence[bytes]]]
    """Slot, value and nodes, in the order in which they were asked for."""


class StateReader(Protocol):
    """The state after one block; `rpc.eth.state_view.StateView` is one over rows of the database.

    A context manager: it may hold a snapshot.
    """

    def account(self, address: bytes) -> Account:
        """Give an account; an empty one for an address that has none."""
        ...

    def code(self, address: bytes) -> bytes:
        """Give an account's code, empty when it has none."""
        ...

    def storage(self, address: bytes, slot: int) -> int:
        """Give the value of a storage slot, 0 when it is empty."""
        ...

    def prove(self, address: bytes, slots: Sequence[int]) -> Proof:
        """Prove an account, or that there is none, and its slots, against the block's state root."""
        ...

    def __enter__(self) -> Self:
        """Use it as a context manager that releases it."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it."""
        ...


class Pooled(Protocol):
    """A transaction of the pool."""

    @property
    def tx(self) -> Transaction:
        """The transaction."""
        ...

    @property
    def sender(self) -> bytes:
        """Who signed it."""
        ...


class PoolPort(Protocol):
    """The transaction pool: `dpos.mempool.Mempool` is one."""

    @property
    def policy(self) -> PoolPolicy:
        """What the pool takes."""
        ...

    # From any thread.

    def get(self, hash_: bytes, /) -> Pooled | None:
        """Find a transaction."""
        ...

    def next_nonce(self, address: bytes, /) -> int | None:
        """Give the nonce after a sender's pending transactions; None for one without any here."""
        ...

    def status(self) -> PoolStatus:
        """Give the pool's sizes."""
        ...

    # In the worker thread only (`EthBackend.call`).

    def senders(self) -> Sequence[bytes]:
        """Give all senders."""
        ...

    def pending_of(self, address: bytes, /) -> Sequence[Pooled]:
        """Give a sender's executable transactions by nonce."""
        ...

    def queued_of(self, address: bytes, /) -> Sequence[Pooled]:
        """Give by nonce a sender's transactions that wait for another one or for money."""
        ...


@dataclass(frozen=True, slots=True)
class SlotPosition:
    """A moment in the schedule; -1 all over before genesis."""

    time: int
    """Unix seconds."""
    slot: int
    round: int
    term: int


@dataclass(frozen=True, slots=True)
class Standing:
    """An arbitrator in the registry, as the state after some block has it."""

    owner: bytes
    """Address by which the registry knows the partner."""
    key: bytes
    payout: bytes
    votes: int
    """Votes by locked IOEX, in wei."""
    jailed: bool
    standby: bool
    """Admitted and ranked, but without a seat."""
    produced: int
    missed: int
    unclaimed: int = 0
    """Reward that accrued and is not claimed yet, in wei."""


@dataclass(frozen=True, slots=True)
class RoundView:
    """A round on the branch of some block: the set in force, the seed, and who has which slot."""

    round: int
    term: int
    first_slot: int
    set: ArbitratorSet
    seed: bytes
    producers: Sequence[Member]
    """One per slot, in order."""


@dataclass(frozen=True, slots=True)
class SlotResult:
    """What became of a slot: the block in it, or nothing."""

    slot: int
    producer: Member
    block: Checkpoint | None
    reason: str = ""
    """Why this node's own arbitrator missed it; empty when it was another's or it was produced."""


@dataclass(frozen=True, slots=True)
class VotesView:
    """Votes for one target that this node has seen."""

    link: Link
    votes: Sequence[tuple[int, Vote]]
    """Index in the set, and the vote."""
    members: int
    quorum: int


@dataclass(frozen=True, slots=True)
class FinalityView:
    """How finality stands."""

    justified: Checkpoint
    finalized: Checkpoint
    set_number: int
    quorum: int
    slots_since: int
    """Slots between the finalised block and now."""
    stalled: bool
    """More slots than the spec's `stall_slots`: the bridge pauses."""


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """Evidence that this node knows, and the block that carries it, if one does."""

    evidence: Evidence
    culprit: bytes
    """Address of the key that broke the rule."""
    block: Checkpoint | None


@dataclass(frozen=True, slots=True)
class SigningView:
    """An arbitrator key of this node, and why it signs nothing at present."""

    key: bytes
    reason: str
    """Empty while it signs."""
    detail: str = ""


class ArbitrationPort(Protocol):
    """Schedule, sets, votes and finality."""

    def position(self, time: int | None = None) -> SlotPosition:
        """Tell slot, round and term of a Unix time, of now without one."""
        ...

    def set_in_force(self, entry: DposEntry) -> ArbitratorSet:
        """Give the set that votes for a block."""
        ...

    def sets(self, entry: DposEntry) -> Sequence[ArbitratorSet]:
        """Give the sets that were read and wait, lowest number first."""
        ...

    def standings(self, entry: DposEntry) -> Sequence[Standing]:
        """Give all admitted arbitrators by rank. Raises StatePruned."""
        ...

    def round(self, entry: DposEntry, round_: int) -> RoundView | None:
        """Give a round on the branch of `entry`; None when its seed is not known yet."""
        ...

    def slots(self, first: int, last: int) -> Sequence[SlotResult]:
        """Give what became of slots of the best chain up to now; later ones are left out."""
        ...

    def votes(self, target: BlockHash) -> Sequence[VotesView]:
        """Give the votes for a block that were seen, by what they say."""
        ...

    def certificate(self, target: BlockHash) -> Certificate | None:
        """Give a certificate for a block, from a payload or from gossip."""
        ...

    def finality(self) -> FinalityView:
        """Tell how finality stands."""
        ...

    def evidence(self) -> Sequence[EvidenceView]:
        """Give what is known, newest first."""
        ...

    def signing(self) -> Sequence[SigningView]:
        """Tell of each arbitrator key of this node whether it signs; none on a node that seals nothing."""
        ...


@dataclass(frozen=True, slots=True)
class SoloTransaction:
    """What `eth_sendTransaction` of an impersonated account asks for; None is for the node to fill in."""

    sender: bytes
    to: bytes | None
    value: int = 0
    data: bytes = b""
    gas: int | None = None
    nonce: int | None = None
    max_fee: int | None = None
    max_priority_fee: int | None = None
    access_list: tuple[tuple[bytes, tuple[bytes, ...]], ...] = field(default=())


class SoloPort(Protocol):
    """State editing of `ioex devnet --solo`: one arbitrator, no peers, a virtual clock."""

    automine: bool
    """Whether a transaction gets its block at once."""

    async def mine(self, blocks: int, interval: int = 1) -> None:
        """Produce blocks, `interval` slots apart."""
        ...

    async def snapshot(self) -> int:
        """Keep the present chain, pool and clock; give its number."""
        ...

    async def revert(self, number: int) -> bool:
        """Go back to a snapshot and drop it and all later ones; False if there is none."""
        ...

    async def set_balance(self, address: bytes, wei: int) -> None:
        """Set a balance."""
        ...

    async def set_nonce(self, address: bytes, nonce: int) -> None:
        """Set a nonce."""
        ...

    async def set_code(self, address: bytes, code: bytes) -> None:
        """Set an account's code."""
        ...

    async def set_storage(self, address: bytes, slot: int, value: int) -> None:
        """Set a storage slot."""
        ...

    def impersonate(self, address: bytes, on: bool) -> None:
        """Let transactions of this address in without its signature, or no longer."""
        ...

    def impersonated(self) -> Sequence[bytes]:
        """Give the addresses that are impersonated."""
        ...

    async def send(self, tx: SoloTransaction) -> bytes:
        """Put an impersonated account's transaction into the pool; give its hash. Raises as `submit`."""
        ...

    async def increase_time(self, seconds: int) -> int:
        """Move the clock on; give by how many seconds it is ahead in all."""
        ...

    async def set_next_timestamp(self, time: int) -> None:
        """Give the next block the first slot at or after this Unix time. Raises ValueError for the past."""
        ...


class EthBackend(Protocol):
    """A running DPoS chain."""

    spec: NetworkSpec
    version: str
    """Of this program."""
    pool: PoolPort
    evm: Evm
    """Its methods are called inside `run_heavy`."""
    arbitration: ArbitrationPort
    solo: SoloPort | None
    state_depth: int | None
    """Blocks below the head whose state is kept; None: all."""

    @property
    def peers(self) -> PeerPort:
        """The peer-to-peer side; used in the event loop only."""
        ...

    def sync_state(self) -> SyncState:
        """Tell how far behind the node is."""
        ...

    def head(self) -> DposEntry:
        """Give the best chain's last block; the newest committed state is the state after it."""
        ...

    def safe(self) -> DposEntry:
        """Give the highest justified block of the best chain."""
        ...

    def finalized(self) -> DposEntry:
        """Give the highest finalised block."""
        ...

    def entry(self, hash_: BlockHash) -> DposEntry | None:
        """Find a block on any branch."""
        ...

    def entry_at(self, height: int) -> DposEntry | None:
        """Find the best chain's block at a height."""
        ...

    def is_on_best_chain(self, entry: DposEntry) -> bool:
        """Whether a block is the head or below it."""
        ...

    def block(self, hash_: BlockHash) -> Block | None:
        """Give a whole block, None when its body is not stored."""
        ...

    def senders(self, block: Block) -> Sequence[bytes]:
        """Give who signed each transaction: stored beside the receipts, or recovered in parallel."""
        ...

    def receipts(self, hash_: BlockHash) -> Sequence[Receipt] | None:
        """Give the receipts of a block that was connected once, also when it left the best chain since."""
        ...

    def locate(self, tx_hash: bytes) -> Location | None:
        """Find a transaction of the best chain."""
        ...

    def state(self, entry: DposEntry) -> StateReader:
        """Open the state after a block of the best chain. Raises StatePruned."""
        ...

    def next_base_fee(self, entry: DposEntry) -> int:
        """Give the base fee of a block on `entry`, in wei."""
        ...

    def next_timestamp(self) -> int:
        """Give the Unix time of the next slot after the head that is not over yet."""
        ...

    def bad_blocks(self) -> Sequence[Block]:
        """Give blocks of peers that broke a rule lately, newest first, few of them."""
        ...

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the chain's worker thread, after what it is at, and give its result."""
        ...

    async def submit(self, raw: bytes) -> bytes:
        """Decode a transaction, put it into the pool, announce it; give its hash.

        Raises DecodeError, and what the pool raises.
        """
        ...

    async def run_heavy(self, work: Callable[[Deadline], T], seconds: float) -> T:
        """Run `work` in a thread beside the import.

        Raises EngineBusy, ExecutionTimeout, and what `work` raises.
        """
        ...
