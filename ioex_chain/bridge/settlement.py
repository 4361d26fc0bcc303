"""Settlements: the one transaction that may spend the bridge reserve (docs/protocol.md section 6.2).

`BridgeSettlements` is the rule, given to the PoW state machine; `build_settlement` makes a transaction that
satisfies it. Both are functions of what they are given: transaction, outputs spent, state before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from ioex_chain.bridge.dpos_light import (
    Electorate,
    Requests,
    Votes,
    read_final,
    read_request,
    voters_of,
)
from ioex_chain.crypto.address import reserve_change_script
from ioex_chain.dpos.header import Header
from ioex_chain.dpos.seal import BadSignature
from ioex_chain.dpos.sets import ArbitratorSet, quorum_of
from ioex_chain.dpos.votes import Certificate
from ioex_chain.evm.bridge_messages import Handover, Request, Withdraw
from ioex_chain.evm.genesis import genesis_hash
from ioex_chain.pow import reserve_errors as errors
from ioex_chain.pow.genesis import genesis_block
from ioex_chain.pow.reserve import (
    WITNESS_ITEMS,
    NumberedSet,
    ReserveState,
    Settlement,
    is_reserve,
    scan_reserve,
)
from ioex_chain.pow.transaction import SEQUENCE_FINAL, Transaction, TxIn, TxOut
from ioex_chain.pow.utxo import Coin, Reads
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import OutPoint
from ioex_chain.spec.model import MAX_OUTPUT, BridgeSpec, NetworkSpec

CHECKS_PER_SIGNATURE = 2
"""What a signature of a certificate costs a block: recovering a key takes twice a verification's time."""
REWARDS = 16
"""Inputs that are left for arbitrator rewards, of which each block makes one."""
_CHANGE = reserve_change_script()


LOOKED_AT = 2_048
"""Outputs that are looked at for what may be gathered: a flood of small deposits must not cost time."""
GATHERED = 32
"""Outputs that a settlement must save which does nothing else: the reserve must not fall to pieces."""


class CannotSettle(IoexError):
    """No settlement can be made of what was given; the message says what to wait for."""


class Scattered(CannotSettle):
    """The reserve lies in too many small outputs for these withdrawals at once."""


@dataclass(frozen=True, slots=True)
class _Effect:
    """What requests do: outputs to pay, what they take, and the sets after them."""

    payouts: tuple[TxOut, ...]
    paid: int
    fee: int
    handed_over: tuple[NumberedSet, ...]


class BridgeSettlements:
    """The rule of production: `pow.reserve.SettlementRule`."""

    def __init__(self, spec: BridgeSpec, dpos_genesis: bytes) -> None:
        """`dpos_genesis` is the 32-byte hash of the DPoS genesis block."""
        self.spec = spec
        self.electorate = Electorate(dpos_genesis)

    def check(self, tx: Transaction, coins: Sequence[Coin], state: ReserveState) -> Settlement:
        """Check a spend of the reserve, as `pow.reserve.SettlementRule` says. Raises SettlementError."""
        first, second, votes_raw, requests_raw = self._check_form(tx, coins)
        final, link = read_final(first, second)
        votes = Votes.decode(votes_raw)
        self.electorate.check(votes, link, voters_of(state, votes.set_number))
        requests = Requests.decode(requests_raw)
        effect = self._effect(requests.read(state.count), state)
        count = state.count + len(requests.raw)
        accumulator = requests.accumulate(state.accumulator)
        if count == state.count and votes.set_number == state.current.number:
            _check_gathers(tx)
        else:
            requests.check_drained(final, count, accumulator)
        _check_outputs(tx, effect, sum([coin.value for coin in coins]))
        current, pending = _sets_after(state, votes.set_number, effect.handed_over)
        checks = CHECKS_PER_SIGNATURE * len(votes.signatures)
        return Settlement(count, accumulator, current, pending, effect.paid, len(effect.payouts), checks)

    def _check_form(self, tx: Transaction, coins: Sequence[Coin]) -> tuple[bytes, ...]:
        """Check what is not in the witness items; give these four."""
        for at, coin in enumerate(coins):
            if not is_reserve(coin.script):
                raise errors.MixedInputs(f"input {at} spends no output of the reserve")
        if len(tx.inputs) > self.spec.max_settlement_inputs:
            raise errors.TooManyReserveInputs(f"{len(tx.inputs)} inputs")
        if tx.version != 2:
            raise errors.SettlementVersion(f"version {tx.version}; a settlement's is 2")
        if tx.lock_time:
            raise errors.SettlementLockTime(f"lock time {tx.lock_time}; a settlement's is 0")
        for at, item in enumerate(tx.inputs):
            if item.sequence != SEQUENCE_FINAL:
                raise errors.SettlementSequence(f"input {at} has the sequence {item.sequence:08x}")
            if item.script:
                raise errors.SettlementScript(f"input {at} has an input script")
            if at and item.witness:
                raise errors.OtherWitness(f"input {at} has a witness; the first input's stands for all")
        if len(tx.inputs[0].witness) != WITNESS_ITEMS:
            raise errors.SettlementWitness(
                f"only a settlement may spend the bridge reserve: its first witness has {WITNESS_ITEMS} "
                f"items, this one {len(tx.inputs[0].witness)}"
            )
        return tx.inputs[0].witness

    def _effect(self, requests: Sequence[Request], state: ReserveState) -> _Effect:
        return effect_of(requests, state, self.spec.withdrawal_fee)


def effect_of(requests: Sequence[Request], state: ReserveState, fee: int) -> _Effect:
    """Give what requests do. Raises RequestUnreadable, WrongSetNumber."""
    payouts, paid = [], 0
    known = state.pending[-1] if state.pending else state.current
    last, handed_over = known.number, []
    for request in requests:
        if isinstance(request, Withdraw):
            if not fee < request.amount <= MAX_OUTPUT:
                raise errors.RequestUnreadable(f"request {request.number} withdraws {request.amount} units")
            payouts.append(TxOut(request.amount - fee, request.script))
            paid += request.amount
        else:
            handed_over.append(_handed_over(request, last + 1))
            last += 1
    return _Effect(tuple(payouts), paid, fee * len(payouts), tuple(handed_over))


def _handed_over(request: Handover, expected: int) -> NumberedSet:
    if request.set_number != expected:
        raise errors.WrongSetNumber(
            f"request {request.number} hands over to set {request.set_number}, the next one is {expected}"
        )
    return NumberedSet(request.set_number, request.members)


def _sets_after(
    state: ReserveState, used: int, handed_over: tuple[NumberedSet, ...]
) -> tuple[NumberedSet, tuple[NumberedSet, ...]]:
    """Give the current set and those that wait: whom the settlement believed, and all that came later."""
    known = (state.current, *state.pending, *handed_over)
    at = next(at for at, one in enumerate(known) if one.number == used)
    return known[at], known[at + 1 :]


def change_of(rest: int) -> tuple[TxOut, ...]:
    """Split what remains into reserve change: as many largest outputs as go, then the remainder."""
    whole, left = divmod(rest, MAX_OUTPUT)
    pieces = (MAX_OUTPUT,) * whole + ((left,) if left else ())
    return tuple(TxOut(piece, _CHANGE) for piece in pieces)


def _check_gathers(tx: Transaction) -> None:
    """Check what only moves the reserve's coins together: nothing of the other chain needs to be shown."""
    if len(tx.inputs) - len(tx.outputs) < GATHERED:
        raise errors.NothingSettled(
            f"it settles no request, changes no set and gathers fewer than {GATHERED} outputs"
        )


def _check_outputs(tx: Transaction, effect: _Effect, spent: int) -> None:
    payouts, outputs = effect.payouts, tx.outputs
    if spent < effect.paid:
        raise errors.ReserveTooSmall(f"{spent} units come in, the withdrawals take {effect.paid}")
    for at, payout in enumerate(payouts):
        if at >= len(outputs) or outputs[at] != payout:
            raise errors.WrongPayout(f"output {at} is not the {payout.value} units to {payout.script.hex()}")
    change, expected = outputs[len(payouts) :], change_of(spent - effect.paid)
    if len(change) < len(expected):
        raise errors.MissingChange(f"{len(change)} pieces of reserve change instead of {len(expected)}")
    if len(change) > len(expected):
        raise errors.ExtraOutput(f"{len(change)} outputs follow the payouts instead of {len(expected)}")
    if any(output.script != _CHANGE for output in change):
        raise errors.ChangeScript("what remains must go to reserve change")
    fee = spent - sum([output.value for output in outputs])
    if fee != effect.fee:
        raise errors.WrongFee(f"the miner gets {fee} units instead of {effect.fee}")
    if change != expected:
        raise errors.ChangePieces("the change is as many pieces of 20,000,000 IOEX as go, then the rest")


# --- building --------------------------------------------------------------------------------------------


def choose_coins(
    view: Reads, spec: NetworkSpec, height: int, requests: Sequence[bytes]
) -> list[tuple[OutPoint, Coin]]:
    """Choose reserve outputs for a settlement of these requests in a block at `height`.

    Largest first until they cover the withdrawals, at least one. Then, so that the reserve stays in few
    outputs and can always pay a large withdrawal, the next largest and 16 arbitrator rewards, all of them
    buried, up to the limit of inputs. Works with and without indexes. Raises CannotSettle.
    """
    limit = spec.bridge.max_settlement_inputs
    read = [read_request(request) for request in requests]
    needed = sum(request.amount for request in read if isinstance(request, Withdraw))
    chosen: dict[OutPoint, Coin] = {}
    total = 0
    for place, (outpoint, coin) in enumerate(scan_reserve(view)):
        covers = bool(chosen) and total >= needed
        if len(chosen) >= (limit - REWARDS if covers else limit) or (covers and place >= LOOKED_AT):
            break
        if _is_mature(spec, coin, height) and (not covers or _is_buried(spec, coin, height)):
            chosen[outpoint] = coin
            total += coin.value
    if not chosen or total < needed:
        raise Scattered(
            f"the {limit} largest mature reserve outputs do not cover {needed} units; settle fewer requests, "
            "or wait until coinbase outputs have matured"
        )
    rewards = (
        (outpoint, coin)
        for outpoint, coin in islice(scan_reserve(view, spec.pow.arbitrator_reward), LOOKED_AT)
        if outpoint not in chosen and _is_mature(spec, coin, height) and _is_buried(spec, coin, height)
    )
    chosen.update(islice(rewards, limit - len(chosen)))
    return list(chosen.items())


def _is_buried(spec: NetworkSpec, coin: Coin, height: int) -> bool:
    """Whether no ordinary reorganisation takes the coin, and so the settlement, away again."""
    return height - coin.height > spec.pow.burial_depth


def _is_mature(spec: NetworkSpec, coin: Coin, height: int) -> bool:
    return not coin.is_coinbase or height - coin.height >= spec.pow.coinbase_maturity


def build_settlement(
    rule: BridgeSettlements,
    final: Header,
    child: Header,
    certificate: Certificate,
    requests: Sequence[bytes],
    own: int,
    state: ReserveState,
    coins: Sequence[tuple[OutPoint, Coin]],
) -> Transaction:
    """Make the settlement of `requests`, the ones after `state.count` up to the final block's count.

    `certificate` is for final -> child, with whatever voters; `own` of the requests, the last ones, were
    drained by the final block itself; `coins` are mature reserve outputs (`choose_coins`). Raises
    CannotSettle, and a SettlementError where the set of the certificate is unknown or forgotten in `state`.
    """
    votes = _cut(rule, certificate, voters_of(state, certificate.link.set_number))
    effect = effect_of([read_request(raw) for raw in requests], state, rule.spec.withdrawal_fee)
    rest = sum(coin.value for _, coin in coins) - effect.paid
    if rest < 0:
        raise CannotSettle(f"the reserve outputs chosen are {-rest} units short of the withdrawals")
    shown = Requests(own, tuple(requests))
    witness = (final.encode(), child.encode(), votes.encode(), shown.encode())
    inputs = [
        TxIn(outpoint, b"", SEQUENCE_FINAL, witness if at == 0 else ())
        for at, (outpoint, _) in enumerate(coins)
    ]
    return Transaction.build(2, inputs, (*effect.payouts, *change_of(rest)))


def _cut(rule: BridgeSettlements, certificate: Certificate, voters: ArbitratorSet) -> Votes:
    """Take of a certificate's signatures as many as the voters' quorums need. Raises CannotSettle."""
    signed = {}
    for signature in certificate.signatures:
        try:
            signed[rule.electorate.signer(certificate.link, signature)] = signature
        except BadSignature as error:
            raise CannotSettle(f"the certificate has a signature that is none: {error}") from error
    keys, missing = [], [quorum_of(len(members)) for members in (voters.members, voters.before)]
    groups = [{member.key for member in members} for members in (voters.members, voters.before)]
    if not voters.before:
        missing[1] = 0
    both_first = sorted(voters.voters, key=lambda member: -sum(member.key in group for group in groups))
    for member in both_first:
        helps = [member.key in group and left > 0 for group, left in zip(groups, missing, strict=True)]
        if member.key in signed and any(helps):
            keys.append(member.key)
            missing = [left - (member.key in group) for group, left in zip(groups, missing, strict=True)]
    if max(missing) > 0:
        raise CannotSettle(f"the certificate lacks {max(missing)} signatures of the sets that are believed")
    places = [at for at, member in enumerate(voters.voters) if member.key in keys]
    chosen = tuple([signed[voters.voters[at].key] for at in places])
    return Votes(voters.number, sum(1 << at for at in places), chosen)


def settlement_rule(spec: NetworkSpec) -> BridgeSettlements:
    """Give the rule of a network: what every state machine and pool of its PoW chain is to be given.

    It is one object for equal networks, so that a pool and a block do not check the same signatures twice.
    """
    return _rule(spec.bridge, genesis_hash(spec, genesis_block(spec).hash))


@lru_cache(maxsize=16)
def _rule(spec: BridgeSpec, dpos_genesis: bytes) -> BridgeSettlements:
    return BridgeSettlements(spec, dpos_genesis)
