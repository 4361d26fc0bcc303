"""The bridge as RPC and metrics read it, over both ledgers of the node: `rpc.bridge_port.BridgePort`.

A method reads each chain in one snapshot. For solvency the PoW chain is read first: what it has settled, the
DPoS chain has then requested, unless this node's DPoS chain is behind.
"""

from collections.abc import Sequence

from ioex_chain.bridge.missing import MissingDeposit, missing_deposits
from ioex_chain.bridge.solvency import (
    Buried,
    Counted,
    DposFigures,
    PowFigures,
    Rules,
    Supply,
    Verdict,
    solvency,
)
from ioex_chain.evm.accounts import decode_account
from ioex_chain.evm.bridge import Door as ContractDoor
from ioex_chain.evm.bridge import Withdraw, decode_request
from ioex_chain.evm.genesis import node_rewards_balance
from ioex_chain.evm.schema import ACCOUNT
from ioex_chain.evm.types import WEI_PER_POW_UNIT
from ioex_chain.node.bridge_deposits import Deposits
from ioex_chain.node.bridge_pow import PowSide
from ioex_chain.node.bridge_requests import RequestPlaces
from ioex_chain.node.bridge_side import Side, dpos_side
from ioex_chain.node.chain_service import ChainService
from ioex_chain.node.dpos_service import DposService
from ioex_chain.pow.reserve import NumberedSet, reserve_state, scan_reserve
from ioex_chain.pow.utxo import scan_coins
from ioex_chain.rpc.bridge_port import (
    BridgeView,
    CountView,
    DepositProofView,
    DepositView,
    Door,
    LightClientView,
    PoolView,
    RequestKind,
    RequestState,
    RequestView,
    SettlementView,
    SetView,
    SolvencyView,
    TermReward,
)

_GWEI = 10**9
_TRIES = 3


class NodeBridge:
    """Reads transfers, doors, rewards and solvency; from any thread."""

    def __init__(self, pow_chain: ChainService, dpos: DposService, *, solo: bool = False) -> None:
        spec = dpos.spec
        self._spec = spec
        self._dpos = dpos
        self._pow = PowSide(spec, pow_chain.ledger, pow_chain.mempool, pow_chain.indexes)
        pow_chain.on_head.append(self._pow.head_changed)
        self._places = RequestPlaces(spec, dpos.ledger, dpos.engine)
        self._deposits = Deposits(spec, self._pow, dpos.ledger)
        self._solo = solo
        self._genesis = sum(row.wei for row in spec.dpos.accounts) + node_rewards_balance(spec)
        self._rules = Rules(WEI_PER_POW_UNIT * spec.pow.arbitrator_reward)

    # --- deposits ---

    def deposit(self, txid: bytes, vout: int) -> DepositView | None:
        """Find a deposit; None for an output that is not known or pays no deposit address."""
        with dpos_side(self._dpos) as side:
            return self._deposits.one(side, txid, vout)

    def deposits_of(self, txid: bytes) -> Sequence[DepositView]:
        """Give all deposits of a PoW transaction."""
        with dpos_side(self._dpos) as side:
            return self._deposits.all_of(side, txid)

    def proof(self, txid: bytes, vout: int) -> DepositProofView | None:
        """Prove a deposit of the best PoW chain; None when there is none. Raises NotProvable."""
        with dpos_side(self._dpos) as side:
            return self._deposits.proof(side, txid, vout)

    # --- requests ---

    def request(self, number: int) -> RequestView | None:
        """Find a request by its number, from 1; None beyond the last one."""
        with dpos_side(self._dpos) as side:
            return self._request(side, number)

    def requests_of(self, transaction: bytes) -> Sequence[RequestView] | None:
        """Give the withdrawals that a DPoS transaction made; None when it is in no block."""
        with dpos_side(self._dpos) as side:
            numbers = self._places.made_by(transaction, side.view)
            if numbers is None:
                return None
            found = [self._request(side, number) for number in numbers]
        return [one for one in found if one is not None]

    def _request(self, side: Side, number: int) -> RequestView | None:
        raw = side.bridge.request(number)
        if raw is None:
            return None
        request = decode_request(raw)
        is_withdrawal = isinstance(request, Withdraw)
        drained = self._places.drained_at(number, side.head)
        made = self._places.made_at(number, drained or side.head, side.view) if is_withdrawal else None
        settled = self._pow.settlement(number)
        state = RequestState.REQUESTED
        if drained is not None:
            is_final = drained.height <= side.final_height
            state = RequestState.FINALIZED if is_final else RequestState.DRAINED
        note = "" if drained is not None or is_withdrawal else "it waits for the block's end"
        return RequestView(
            number=number,
            kind=RequestKind.WITHDRAWAL if isinstance(request, Withdraw) else RequestKind.HANDOVER,
            state=state if settled is None else RequestState.SETTLED,
            amount=WEI_PER_POW_UNIT * request.amount if isinstance(request, Withdraw) else 0,
            fee=WEI_PER_POW_UNIT * self._spec.bridge.withdrawal_fee if is_withdrawal else 0,
            script=request.script if isinstance(request, Withdraw) else b"",
            set_number=None if isinstance(request, Withdraw) else request.set_number,
            requested=None if made is None else side.place(*made),
            drained=None if drained is None else side.place(drained),
            settlement=None if settled is None else settled[0].txid,
            place=None if settled is None else settled[1],
            note=note,
        )

    # --- the whole ---

    def status(self) -> BridgeView:
        """Tell how the bridge stands."""
        with dpos_side(self._dpos) as side:
            reader, spec, unit = side.bridge, self._spec, WEI_PER_POW_UNIT
            final = self._dpos.ledger.entry(self._dpos.finality.finalised.hash)
            return BridgeView(
                block=side.block,
                inward=Door(side.reasons(ContractDoor.IN)),
                outward=Door(side.reasons(ContractDoor.OUT)),
                credits_paid=reader.credit_head,
                credits_made=reader.credit_tail,
                counted_height=reader.counted_height,
                requests=reader.queued,
                withdrawals=reader.withdrawals_count,
                drained=reader.drained,
                finalized=0 if final is None else self._places.drained_upto(final),
                daily_cap=unit * reader.daily_cap,
                used_today=unit * reader.outflow_on(side.head.header.header.timestamp),
                minimum=unit * spec.bridge.min_withdrawal,
                fee=unit * spec.bridge.withdrawal_fee,
                min_relayed_deposit=unit * spec.bridge.min_relayed_deposit,
                burial=spec.pow.burial_depth,
                light_client=self._light_client(side),
                settlement=self._settlement(),
            )

    def _light_client(self, side: Side) -> LightClientView:
        light, ledger = side.light, self._pow.ledger
        best, height, work = light.best()
        head = ledger.head
        own = ledger.entry_at(height)
        return LightClientView(
            best=best,
            height=height,
            work=work,
            buried=light.buried_hash(),
            buried_height=light.buried_height(),
            deepest_reorg=light.deepest_reorg(),
            deep_reorgs=light.deep_reorgs(),
            on_best_chain=own is not None and own.hash == best,
            fork_height=self._fork(side, height),
            head=head.hash,
            head_height=head.height,
        )

    def _fork(self, side: Side, height: int) -> int | None:
        """Find the highest block that light client and PoW chain both have, not below what can be undone."""
        top = min(height, self._pow.ledger.head.height)
        for at in range(top, max(-1, top - self._spec.pow.max_reorg_depth - 1), -1):
            own = self._pow.ledger.entry_at(at)
            if own is not None and own.hash == side.light.hash_at(at):
                return at
        return None

    def _settlement(self) -> SettlementView:
        state = self._pow.reserve()
        handed = [_set(one) for one in state.pending]
        return SettlementView(state.count, state.accumulator, _set(state.current), handed)

    # --- solvency ---

    def solvency(self, *, quick: bool = False) -> SolvencyView:
        """Set both chains against each other; `quick` opens no past state of the PoW chain."""
        for _ in range(_TRIES):
            with self._pow.ledger.snapshot() as view:
                head = self._pow.reserves.of(view.head, view)
            with dpos_side(self._dpos) as side:
                found = self._compare(head, side, quick)
            if found.result.verdict in (Verdict.SOUND, Verdict.VOID):
                break  # else a block may have come in between
        return found

    def _compare(self, head: PowFigures, side: Side, quick: bool) -> SolvencyView:
        buried, where = self._buried(head, side, quick)
        result = solvency(
            self._rules,
            head,
            self._figures(head, side),
            buried=buried,
            tip=self._own(side.light.best()[0], head, quick),
            where=where,
            void=self._solo,
        )
        return SolvencyView(side.block, head.hash, head.height, result, self._supply(head.height))

    def _supply(self, height: int, unspent: int | None = None) -> Supply:
        """Give what exists at a height; `unspent` (wei) is the sum of all outputs, if it was counted."""
        spec, unit = self._spec, WEI_PER_POW_UNIT
        genesis = unit * spec.token.supply
        mined = unit * (spec.pow.miner_reward + spec.pow.arbitrator_reward) * height
        return Supply(genesis, mined, None if unspent is None else genesis + mined - unspent)

    def count(self) -> CountView:
        """Count every unspent output and every balance; minutes on a long chain."""
        unit = WEI_PER_POW_UNIT
        with self._pow.ledger.snapshot() as view:
            head = view.head
            total = unit * reserve_state(view).reserve
            unspent = unit * sum(coin.value for _, coin in scan_coins(view))
            reserve = unit * sum(coin.value for _, coin in scan_reserve(view))
        with dpos_side(self._dpos) as side:
            balances = sum(decode_account(row).balance for _, row in side.view.scan(ACCOUNT))
            reader = side.bridge
            made = reader.credited_rewards + reader.credited_deposits - reader.queued_gwei()
            counted = Counted(unspent, reserve, balances, total, self._genesis + _GWEI * made)
        return CountView(side.block, head.hash, head.height, counted, self._supply(head.height, unspent))

    def _figures(self, head: PowFigures, side: Side) -> DposFigures:
        reader = side.bridge
        return DposFigures(
            hash=side.head.hash,
            height=side.head.height,
            genesis=self._genesis,
            rewards=_GWEI * reader.credited_rewards,
            deposits=_GWEI * reader.credited_deposits,
            queued=_GWEI * reader.queued_gwei(),
            requested=WEI_PER_POW_UNIT * reader.requested_units,
            retired=reader.retired_wei,
            count=reader.queued,
            accumulator=reader.accumulator(head.count) if head.count <= reader.queued else None,
            counted_height=reader.counted_height,
        )

    def _buried(self, head: PowFigures, side: Side, quick: bool) -> tuple[PowFigures | None, Buried]:
        """Give the figures at the buried block, or at the counted height where a short fork lowered it."""
        hash_ = side.light.buried_hash()
        entry = self._pow.at(hash_)
        if entry is None or entry.height > head.height:
            return None, Buried.UNKNOWN
        if not self._pow.ledger.is_on_best_chain(entry):
            ahead = side.light.best()[2] > self._pow.ledger.head.weight
            return None, Buried.UNKNOWN if ahead else Buried.OTHER_BRANCH
        counted = side.bridge.counted_height
        if entry.height < counted <= head.height:
            entry = self._pow.ledger.entry_at(counted) or entry
        return self._pow.reserves.at(entry, quick=quick), Buried.BEST

    def _own(self, hash_: bytes, head: PowFigures, quick: bool) -> PowFigures | None:
        """Give the figures after a block if it is on this node's best chain, not above `head`."""
        entry = self._pow.at(hash_)
        if entry is None or entry.height > head.height or not self._pow.ledger.is_on_best_chain(entry):
            return None
        return self._pow.reserves.at(entry, quick=quick)

    def missing(self) -> Sequence[MissingDeposit]:
        """Name the credited deposits that the best PoW chain lacks: what a reorganisation beyond k took.

        Reads no block while light client and node are of one mind and there never was one.
        """
        with dpos_side(self._dpos) as side:
            best = self._pow.at(side.light.best()[0])
            if not side.light.deep_reorgs() and best and self._pow.ledger.is_on_best_chain(best):
                return ()
            return missing_deposits(self._pow.ledger, side.bridge)

    # --- rewards ---

    def pool(self) -> PoolView:
        """Tell how RewardPool stands."""
        with dpos_side(self._dpos) as side:
            pool = side.pool
            return PoolView(
                block=side.block,
                balance=pool.balance,
                income=pool.income,
                accrued=pool.accrued,
                claimed=pool.claimed,
                forfeited=pool.forfeited,
                unclaimed=pool.unclaimed,
                debt=pool.debt,
                open_term=pool.open_term,
            )

    def rewards(self, key: bytes, first: int, last: int) -> Sequence[TermReward]:
        """Give the terms in which a key earned something."""
        with dpos_side(self._dpos) as side:
            found = (side.pool.of_key(key, term) for term in range(first, last + 1))
            return [TermReward(one.term, one.earned, one.paid, one.claimable) for one in found if one.earned]


def _set(known: NumberedSet) -> SetView:
    return SetView(known.number, known.members)
