"""How the bridge's answers are written: quantities and DPoS hashes as Ethereum's methods write them.

Hashes of the PoW chain are written as its own port writes them, reversed and without 0x, so that they can be
pasted there. All amounts are wei; one below zero is written `-0x5`.
"""

from typing import Any

from ioex_chain.bridge.missing import MissingDeposit
from ioex_chain.bridge.solvency import Solvency, Supply
from ioex_chain.crypto.address import script_to_address
from ioex_chain.dpos.votes import Checkpoint
from ioex_chain.evm.types import WEI_PER_POW_UNIT
from ioex_chain.primitives.types import display
from ioex_chain.rpc.bridge_port import (
    BridgeView,
    CountView,
    DepositView,
    Door,
    DposPlace,
    LightClientView,
    PoolView,
    PowPlace,
    RequestKind,
    RequestView,
    SettlementView,
    SetView,
    SolvencyView,
    TermReward,
)
from ioex_chain.rpc.eth.values import data


def point(block: Checkpoint) -> dict[str, Any]:
    """Write a DPoS block."""
    return {"hash": data(block.hash), "number": hex(block.height)}


def _pow_place(place: PowPlace | None) -> dict[str, Any] | None:
    if place is None:
        return None
    return {
        "blockHash": display(place.hash),
        "height": hex(place.height),
        "confirmations": hex(place.confirmations),
    }


def _dpos_place(place: DposPlace | None) -> dict[str, Any] | None:
    if place is None:
        return None
    shown = {
        "blockHash": data(place.block.hash),
        "blockNumber": hex(place.block.height),
        "finalized": place.finalized,
    }
    return shown if place.transaction is None else shown | {"transactionHash": data(place.transaction)}


def _count(value: int | None) -> str | None:
    return None if value is None else hex(value)


def deposit(view: DepositView) -> dict[str, Any]:
    """Write a deposit."""
    return {
        "id": f"{display(view.txid)}:{view.vout}",
        "txid": display(view.txid),
        "vout": hex(view.vout),
        "account": data(view.account),
        "amount": hex(view.amount),
        "state": view.state.value,
        "pow": _pow_place(view.place),
        "buried": hex(view.buried),
        "burialDepth": hex(view.burial),
        "creditIndex": _count(view.credit),
        "paid": _dpos_place(view.paid),
        "note": view.note,
    }


def request(prefix: str, view: RequestView) -> dict[str, Any]:
    """Write a request to the PoW chain; `prefix` is that of the chain's addresses."""
    shown: dict[str, Any] = {
        "number": hex(view.number),
        "kind": view.kind.value,
        "state": view.state.value,
        "requested": _dpos_place(view.requested),
        "drained": _dpos_place(view.drained),
        "settlement": None
        if view.settlement is None
        else {"txid": display(view.settlement)} | (_pow_place(view.place) or {}),
        "note": view.note,
    }
    if view.kind is RequestKind.HANDOVER:
        return shown | {"set": _count(view.set_number)}
    return shown | {
        "amount": hex(view.amount),
        "fee": hex(view.fee),
        "script": data(view.script),
        "address": script_to_address(prefix, view.script),
    }


def _door(door: Door) -> dict[str, Any]:
    return {"open": not door.reasons, "reasons": list(door.reasons)}


def light_client(view: LightClientView) -> dict[str, Any]:
    """Write the light client."""
    return {
        "bestHash": display(view.best),
        "bestHeight": hex(view.height),
        "bestWork": hex(view.work),
        "buriedHash": display(view.buried),
        "buriedHeight": hex(view.buried_height),
        "deepestReorg": hex(view.deepest_reorg),
        "deepReorgs": hex(view.deep_reorgs),
        "powHead": {"hash": display(view.head), "height": hex(view.head_height)},
        "onBestChain": view.on_best_chain,
        "forkHeight": _count(view.fork_height),
        "behind": _count(view.behind),
    }


def settlement(view: SettlementView) -> dict[str, Any]:
    """Write what the PoW chain knows of the DPoS chain."""
    return {
        "count": hex(view.count),
        "accumulator": data(view.accumulator),
        "current": _set(view.current),
        "handedOver": [_set(one) for one in view.handed_over],
    }


def _set(view: SetView) -> dict[str, Any]:
    return {"set": hex(view.number), "members": [data(member) for member in view.members]}


def bridge(view: BridgeView) -> dict[str, Any]:
    """Write how the bridge stands."""
    return {
        "block": point(view.block),
        "in": _door(view.inward),
        "out": _door(view.outward),
        "credits": {"made": hex(view.credits_made), "paid": hex(view.credits_paid)},
        "countedHeight": hex(view.counted_height),
        "requests": {
            "made": hex(view.requests),
            "drained": hex(view.drained),
            "finalized": hex(view.finalized),
            "settled": hex(view.settlement.count),
        },
        "withdrawals": hex(view.withdrawals),
        "dailyCap": hex(view.daily_cap),
        "usedToday": hex(view.used_today),
        "minimum": hex(view.minimum),
        "fee": hex(view.fee),
        "minRelayedDeposit": hex(view.min_relayed_deposit),
        "burialDepth": hex(view.burial),
        "lightClient": light_client(view.light_client),
        "settlement": settlement(view.settlement),
    }


def pool(view: PoolView) -> dict[str, Any]:
    """Write RewardPool's figures."""
    return {
        "block": point(view.block),
        "balance": hex(view.balance),
        "income": hex(view.income),
        "accrued": hex(view.accrued),
        "claimed": hex(view.claimed),
        "forfeited": hex(view.forfeited),
        "unclaimed": hex(view.unclaimed),
        "debt": hex(view.debt),
        "openTerm": hex(view.open_term),
    }


def term(reward: TermReward) -> dict[str, str]:
    """Write a term of one key."""
    return {
        "term": hex(reward.term),
        "earned": hex(reward.earned),
        "paid": hex(reward.paid),
        "claimable": hex(reward.claimable),
    }


def solvency(view: SolvencyView) -> dict[str, Any]:
    """Write both sides of the equation and what holds."""
    found, supply = view.result, view.supply
    return {
        "verdict": found.verdict.value,
        "broken": list(found.broken),
        "dposBlock": point(view.dpos),
        "powBlock": {"hash": display(view.pow_head), "height": hex(view.pow_height)},
        "reserve": hex(found.reserve),
        "required": hex(found.required),
        "difference": hex(found.difference),
        "parts": _parts(found),
        "checks": dict(found.checks),
        "supply": _supply(supply),
    }


def count(view: CountView) -> dict[str, Any]:
    """Write what was counted beside what the totals say."""
    found, supply = view.result, view.supply
    return {
        "sound": found.is_sound,
        "dposBlock": point(view.dpos),
        "powBlock": {"hash": display(view.pow_head), "height": hex(view.pow_height)},
        "unspent": hex(found.unspent),
        "reserve": hex(found.reserve),
        "reserveDifference": hex(found.reserve_difference),
        "balances": hex(found.balances),
        "balancesDifference": hex(found.balances_difference),
        "supply": _supply(supply),
    }


def _supply(supply: Supply) -> dict[str, str | None]:
    return {
        "genesis": hex(supply.genesis),
        "mined": hex(supply.mined),
        "unclaimed": _count(supply.unclaimed),
        "total": _count(supply.total),
    }


def missing(one: MissingDeposit) -> dict[str, Any]:
    """Write a credited deposit that lost its block."""
    return {
        "id": one.deposit.id,
        "txid": display(one.deposit.txid),
        "vout": hex(one.deposit.vout),
        "account": data(one.deposit.account),
        "amount": hex(WEI_PER_POW_UNIT * one.deposit.amount),
        "block": display(one.block),
        "height": hex(one.height),
    }


def _parts(found: Solvency) -> dict[str, str]:
    waiting = found.not_credited
    return {
        "native": hex(found.native),
        "queued": hex(found.queued),
        "unsettled": hex(found.unsettled),
        "retired": hex(found.retired),
        "unseen": hex(waiting.unseen),
        "unburied": hex(waiting.unburied),
        "uncounted": hex(waiting.uncounted),
        "unproven": hex(waiting.unproven),
        "uncreditable": hex(found.uncreditable),
    }
