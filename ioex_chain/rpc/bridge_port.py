"""What the `ioex_*` methods of the bridge need of a running node: declared here, built in `node`.

Every method may be called from any thread and reads the database; none of them waits for an import. All
amounts are wei, also those of the PoW chain (1 unit = 1e10 wei). PoW hashes are in internal order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ioex_chain.bridge.missing import MissingDeposit
from ioex_chain.bridge.solvency import Counted, Solvency, Supply
from ioex_chain.dpos.votes import Checkpoint
from ioex_chain.primitives.errors import IoexError


class NotProvable(IoexError):
    """No proof of this deposit can be made now; the message says why."""


@dataclass(frozen=True, slots=True)
class PowPlace:
    """A block of this node's best PoW chain and how many blocks it has upon it, itself counted."""

    hash: bytes
    height: int
    confirmations: int


@dataclass(frozen=True, slots=True)
class DposPlace:
    """A block of the best DPoS chain, and the transaction in it that is meant, if one is."""

    block: Checkpoint
    finalized: bool
    transaction: bytes | None = None


class DepositState(StrEnum):
    """How far a deposit has come."""

    MEMPOOL = "mempool"
    CONFIRMING = "confirming"
    """In a PoW block that has too few blocks upon it for the light client."""
    PROVABLE = "provable"
    CREDITED = "credited"
    """Proven; it waits in the queue of credits."""
    PAID = "paid"
    NEVER = "never"
    """It is no deposit that counts; `note` says why."""


@dataclass(frozen=True, slots=True)
class DepositView:
    """An output of a PoW transaction that pays a deposit address."""

    txid: bytes
    vout: int
    account: bytes
    amount: int
    state: DepositState
    place: PowPlace | None
    buried: int
    """Blocks upon its block that the light client has, at most `burial`."""
    burial: int
    """How many it needs (k)."""
    credit: int | None
    """Place in the queue of credits."""
    paid: DposPlace | None
    note: str = ""
    """What it waits for, or what the payer can do."""


class RequestState(StrEnum):
    """How far a request to the PoW chain has come."""

    REQUESTED = "requested"
    DRAINED = "drained"
    """A DPoS block carries it."""
    FINALIZED = "finalized"
    SETTLED = "settled"


class RequestKind(StrEnum):
    """What a request asks for."""

    WITHDRAWAL = "withdrawal"
    HANDOVER = "handover"


@dataclass(frozen=True, slots=True)
class RequestView:
    """A message to the PoW chain: a withdrawal, or the members of the next set of arbitrators."""

    number: int
    kind: RequestKind
    state: RequestState
    amount: int
    """0 of a handover."""
    fee: int
    script: bytes
    set_number: int | None
    requested: DposPlace | None
    """The transaction that made it; None of a handover, and when the block is not stored here."""
    drained: DposPlace | None
    settlement: bytes | None
    """Id of the PoW transaction that settled it."""
    place: PowPlace | None
    """Where that is."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Door:
    """One direction of the bridge."""

    reasons: Sequence[str]
    """Why it is shut; empty while it is open."""


@dataclass(frozen=True, slots=True)
class LightClientView:
    """The light client in the DPoS state, beside this node's PoW chain."""

    best: bytes
    height: int
    work: int
    buried: bytes
    buried_height: int
    deepest_reorg: int
    deep_reorgs: int
    """Switches of branch deeper than k."""
    on_best_chain: bool
    """Whether its best block is on this node's best chain."""
    fork_height: int | None
    """The highest block that both have; None when this node does not know the light client's."""
    head: bytes
    head_height: int

    @property
    def behind(self) -> int | None:
        """How many blocks of this node's chain it lacks."""
        return None if self.fork_height is None else self.head_height - self.fork_height


@dataclass(frozen=True, slots=True)
class SetView:
    """A set of arbitrators as the PoW chain knows it; 20-byte signing keys in the set's order."""

    number: int
    members: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class SettlementView:
    """What the PoW chain knows of the DPoS chain."""

    count: int
    """Number of the last request that was settled."""
    accumulator: bytes
    current: SetView
    """The set whose word is taken."""
    handed_over: Sequence[SetView]
    """Sets that were handed over and have not signed a settlement yet."""


@dataclass(frozen=True, slots=True)
class BridgeView:
    """How the bridge stands after one DPoS block and at this node's PoW head."""

    block: Checkpoint
    inward: Door
    outward: Door
    credits_paid: int
    """Credits that blocks have carried: the next block's first index."""
    credits_made: int
    counted_height: int
    requests: int
    """Number of the last request."""
    withdrawals: int
    drained: int
    finalized: int
    """Number of the last request that a final block has drained."""
    daily_cap: int
    used_today: int
    minimum: int
    fee: int
    min_relayed_deposit: int
    burial: int
    light_client: LightClientView
    settlement: SettlementView


@dataclass(frozen=True, slots=True)
class PoolView:
    """RewardPool after one DPoS block."""

    block: Checkpoint
    balance: int
    income: int
    accrued: int
    claimed: int
    forfeited: int
    unclaimed: int
    debt: int
    """Earned and not covered by what the pool has."""
    open_term: int


@dataclass(frozen=True, slots=True)
class TermReward:
    """What a key earned in a term, what of it was paid, and what a claim would pay now."""

    term: int
    earned: int
    paid: int
    claimable: int


@dataclass(frozen=True, slots=True)
class SolvencyView:
    """The equation of both chains, and the supply, with the blocks that were read."""

    dpos: Checkpoint
    pow_head: bytes
    pow_height: int
    result: Solvency
    supply: Supply


@dataclass(frozen=True, slots=True)
class CountView:
    """What was counted after one block of each chain."""

    dpos: Checkpoint
    pow_head: bytes
    pow_height: int
    result: Counted
    supply: Supply


@dataclass(frozen=True, slots=True)
class DepositProofView:
    """Arguments of Bridge.proveDeposit, and the whole call."""

    header: bytes
    index: int
    branch: Sequence[bytes]
    raw: bytes
    vout: int
    to: bytes
    calldata: bytes


class BridgePort(Protocol):
    """Transfers in both directions, and what holds of both chains."""

    def deposit(self, txid: bytes, vout: int) -> DepositView | None:
        """Find a deposit; None for an output that this node does not know or that pays no deposit address."""
        ...

    def deposits_of(self, txid: bytes) -> Sequence[DepositView]:
        """Give all deposits of a PoW transaction."""
        ...

    def proof(self, txid: bytes, vout: int) -> DepositProofView | None:
        """Prove a deposit of the best PoW chain; None when there is none. Raises NotProvable."""
        ...

    def request(self, number: int) -> RequestView | None:
        """Find a request by its number, from 1; None beyond the last one."""
        ...

    def requests_of(self, transaction: bytes) -> Sequence[RequestView] | None:
        """Give the withdrawals that a DPoS transaction made; None when it is in no block."""
        ...

    def status(self) -> BridgeView:
        """Tell how the bridge stands."""
        ...

    def solvency(self, *, quick: bool = False) -> SolvencyView:
        """Set both chains against each other; `quick` opens no past state of the PoW chain.

        Then what is not credited may not be split, and deposits not be compared with the buried block.
        """
        ...

    def count(self) -> CountView:
        """Count every unspent output and every balance; minutes on a long chain."""
        ...

    def missing(self) -> Sequence[MissingDeposit]:
        """Name the credited deposits that the best PoW chain lacks: what a reorganisation beyond k took."""
        ...

    def pool(self) -> PoolView:
        """Tell how RewardPool stands."""
        ...

    def rewards(self, key: bytes, first: int, last: int) -> Sequence[TermReward]:
        """Give the terms in which a key earned something."""
        ...
