"""How far a deposit has come, over both ledgers (docs/protocol.md section 6)."""

from ioex_chain.dpos import indexes
from ioex_chain.evm import bridge as contract
from ioex_chain.evm.bridge import Door
from ioex_chain.evm.types import WEI_PER_POW_UNIT
from ioex_chain.ledger.errors import UnknownBlock
from ioex_chain.ledger.types import Entry
from ioex_chain.node.bridge_pow import PowSide, account_of
from ioex_chain.node.bridge_side import Side
from ioex_chain.node.dpos_build import DposLedger
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN, display
from ioex_chain.rpc.bridge_port import (
    DepositProofView,
    DepositState,
    DepositView,
    DposPlace,
    NotProvable,
    PowPlace,
)
from ioex_chain.spec.model import NetworkSpec

_GWEI = 10**9


class Deposits:
    """Finds deposits by transaction id and output; `side` is the DPoS chain as it is now."""

    def __init__(self, spec: NetworkSpec, pow_side: PowSide, ledger: DposLedger) -> None:
        self._spec = spec
        self._pow = pow_side
        self._ledger = ledger

    def one(self, side: Side, txid: bytes, vout: int) -> DepositView | None:
        """Find a deposit; None for an output that is not known or pays no deposit address."""
        found = self._pow.find(txid, vout)
        if found is None:
            return self._by_credit(side, txid, vout)
        return self._view(side, *found, vout)

    def all_of(self, side: Side, txid: bytes) -> list[DepositView]:
        """Give all deposits of a transaction."""
        found = self._pow.find(txid, None)
        if found is None:
            return []
        views = (self._view(side, *found, vout) for vout in range(len(found[0].outputs)))
        return [view for view in views if view is not None]

    def _by_credit(self, side: Side, txid: bytes, vout: int) -> DepositView | None:
        """Give what the Bridge alone knows of a deposit whose transaction this node has not."""
        credit = side.bridge.credit_of(txid, vout)
        if credit is None:
            return None
        row, burial = side.bridge.credit(credit), self._spec.pow.burial_depth
        state, paid = self._paid(side, credit)
        note = "this node's PoW chain does not have its transaction"
        amount = row.amount * _GWEI
        return DepositView(txid, vout, row.address, amount, state, None, burial, burial, credit, paid, note)

    def _view(
        self, side: Side, tx: Transaction, entry: Entry[Header] | None, vout: int
    ) -> DepositView | None:
        account = account_of(tx, vout)
        if account is None:
            return None
        place = None if entry is None else self._pow.place(entry)
        credit = side.bridge.credit_of(tx.txid, vout)
        buried, paid = self._buried(side, entry), None
        if credit is not None:
            (state, paid), note = self._paid(side, credit), ""
        else:
            state, note = self._waiting(side, tx, vout, place, buried)
        amount, burial = tx.outputs[vout].value * WEI_PER_POW_UNIT, self._spec.pow.burial_depth
        return DepositView(tx.txid, vout, account, amount, state, place, buried, burial, credit, paid, note)

    def _buried(self, side: Side, entry: Entry[Header] | None) -> int:
        """Count the blocks upon a block in the light client, up to k; 0 while it does not have the block."""
        if entry is None or side.light.hash_at(entry.height) != entry.hash:
            return 0
        return min(self._spec.pow.burial_depth, side.light.best()[1] - entry.height)

    def _paid(self, side: Side, credit: int) -> tuple[DepositState, DposPlace | None]:
        if credit >= side.bridge.credit_head:
            return DepositState.CREDITED, None
        height = indexes.find_credit(side.view, credit)
        place = None if height is None else side.place(self._ledger.ancestor(side.head, height))
        return DepositState.PAID, place

    def _waiting(
        self, side: Side, tx: Transaction, vout: int, place: PowPlace | None, buried: int
    ) -> tuple[DepositState, str]:
        """Say where a deposit is that nobody has proven, and what it waits for."""
        never = self._never(tx, vout, place)
        if never:
            return DepositState.NEVER, never
        if place is None:
            return DepositState.MEMPOOL, "it waits for a PoW block"
        note = self._hint(side, tx, vout)
        if buried < self._spec.pow.burial_depth:
            return DepositState.CONFIRMING, note
        return DepositState.PROVABLE, note

    @staticmethod
    def _never(tx: Transaction, vout: int, place: PowPlace | None) -> str:
        if tx.is_coinbase and place is not None and place.height == 0:
            return "an output of the genesis block backs balances of the DPoS genesis"
        if tx.is_coinbase:
            return "an output of a coinbase is no deposit: rewards are counted by height"
        return "" if tx.outputs[vout].value else "the output holds nothing"

    def _hint(self, side: Side, tx: Transaction, vout: int) -> str:
        shut = side.reasons(Door.IN)
        if shut:
            return "the door is shut: " + "; ".join(shut)
        least = self._spec.bridge.min_relayed_deposit
        if tx.outputs[vout].value < least:
            return (
                f"arbitrators carry deposits from {least / COIN:g} IOEX on; prove it yourself: "
                f"'ioex bridge prove {display(tx.txid)}:{vout}'"
            )
        return ""

    def proof(self, side: Side, txid: bytes, vout: int) -> DepositProofView | None:
        """Prove a deposit; None when there is none. Raises NotProvable."""
        view = self.one(side, txid, vout)
        if view is None:
            return None
        if view.state is not DepositState.PROVABLE or view.place is None:
            raise NotProvable(_why(view))
        entry = self._pow.at(view.place.hash)
        try:
            proof = None if entry is None else self._pow.prove(entry, txid, vout)
        except UnknownBlock:
            proof = None
        if proof is None:
            raise NotProvable("this node has not kept the block of this deposit")
        return DepositProofView(
            proof.header,
            proof.index,
            proof.branch,
            proof.raw,
            vout,
            self._spec.contracts.addresses[contract.NAME],
            contract.prove_deposit(proof),
        )


def _why(view: DepositView) -> str:
    match view.state:
        case DepositState.CREDITED | DepositState.PAID:
            return "this deposit is credited already"
        case DepositState.MEMPOOL:
            return "this deposit is in no PoW block yet"
        case DepositState.CONFIRMING:
            return f"this deposit has {view.buried} of {view.burial} blocks upon it in the light client"
    return f"this output is never credited: {view.note}"
