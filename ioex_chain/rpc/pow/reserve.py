"""The bridge reserve and what was settled from it (docs/protocol.md section 6)."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.pow.reserve import NumberedSet, reserve_state, settlement_of
from ioex_chain.primitives.types import display
from ioex_chain.rpc.jsonio import JsonAmount, amount
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.pow.reader import ChainReader
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.registry import method

GROUP = "bridge"


class SetJson(TypedDict):
    """A set of arbitrators; `members` are the addresses of their signing keys on the DPoS chain."""

    number: int
    members: list[str]


class ReserveJson(TypedDict):
    """The reserve after the best block: genesis + rewards + deposits + donations - settled.

    `donations` were paid to reserve change by others than a settlement. `count` is the number of the last
    request of the DPoS chain that was settled, `accumulator` the running hash up to it. `current` is the set
    whose word is taken, `pending` those that were handed over and have not signed yet.
    """

    height: int
    bestblock: str
    reserve: JsonAmount
    genesis: JsonAmount
    rewards: JsonAmount
    deposits: JsonAmount
    donations: JsonAmount
    settled: JsonAmount
    withdrawals: int
    settlements: int
    count: int
    accumulator: str
    current: SetJson
    pending: list[SetJson]


class SettlementJson(TypedDict):
    """A settlement of the best chain; it settled requests `first` to `last`, none when last < first."""

    txid: str
    blockhash: str
    height: int
    confirmations: int
    first: int
    last: int
    set: int


class ReserveApi:
    """Reads the reserve's row and the settlements."""

    def __init__(self, backend: PowBackend, reader: ChainReader) -> None:
        self._ledger = backend.ledger
        self._reader = reader

    @method("getreserveinfo", group=GROUP)
    def getreserveinfo(self) -> ReserveJson:
        """Tell what the bridge reserve holds, where it came from, and how far it is settled."""
        with self._ledger.snapshot() as snapshot:
            head, state = snapshot.head, reserve_state(snapshot)
        return {
            "height": head.height,
            "bestblock": display(head.hash),
            "reserve": amount(state.reserve),
            "genesis": amount(state.genesis),
            "rewards": amount(state.rewards),
            "deposits": amount(state.deposits),
            "donations": amount(state.donations),
            "settled": amount(state.settled),
            "withdrawals": state.withdrawals,
            "settlements": state.settlements,
            "count": state.count,
            "accumulator": state.accumulator.hex(),
            "current": _set(state.current),
            "pending": [_set(one) for one in state.pending],
        }

    @method("getsettlement", group=GROUP)
    def getsettlement(
        self, request: Annotated[int, Field(ge=1, le=2**63 - 1), Param("number of a request, from 1")]
    ) -> SettlementJson | None:
        """Give the settlement that settled a request of the DPoS chain; null while it is not settled."""
        with self._ledger.snapshot() as snapshot:
            head, found = snapshot.head, settlement_of(snapshot, request)
        if found is None:
            return None
        return {
            "txid": display(found.txid),
            "blockhash": display(self._ledger.ancestor(head, found.height).hash),
            "height": found.height,
            "confirmations": head.height - found.height + 1,
            "first": found.first,
            "last": found.last,
            "set": found.set_number,
        }


def _set(known: NumberedSet) -> SetJson:
    return {"number": known.number, "members": ["0x" + member.hex() for member in known.members]}
