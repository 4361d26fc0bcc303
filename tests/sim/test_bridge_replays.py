"""Every deposit, reward and withdrawal said again, ten times and more, in every way that was thought of.

Nothing may be paid twice. What is replayed stands in blocks that somebody made against the rules, in paid
transactions, after reorganisations, restarts and set changes, and on a chain with another id.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ioex_chain.bridge.finality_proofs import FinalityProofs
from ioex_chain.bridge.settlement import build_settlement, choose_coins, settlement_rule
from ioex_chain.crypto.address import witness_script
from ioex_chain.crypto.hashes import sha256d
from ioex_chain.dpos.errors import DposBlockError, WrongWithdrawals
from ioex_chain.evm.bridge import DepositProof, encode_proof, on_block
from ioex_chain.evm.light_client import submit
from ioex_chain.pow import errors as pow_errors
from ioex_chain.pow import reserve_errors as refused
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import scan_coins
from ioex_chain.primitives.types import COIN

from .bridge_relay import output_proof, proof_call
from .bridge_spec import OPERATORS, bridge_network
from .bridge_world import BridgeWorld
from .test_bridge_world import ALICE, BOB, Story

PAYOUT = witness_script(0, b"\x77" * 20)


class Replays(Story):
    """Counts what was tried."""

    def __init__(self) -> None:
        super().__init__()
        self.tried = 0

    # --- deposits ---

    def block_refuses(self, **payload: tuple[bytes, ...]) -> None:
        """Make a block that carries these items against the rules; nobody takes it."""
        world = self.world
        world.pass_slots()
        block = world.dpos.produce(world.slot)
        wrong = world.dpos.altered(block, replace(block.payload, **payload))
        with pytest.raises(DposBlockError):
            world.dpos.ledger.accept_block(wrong)
        self.tried += 1

    def transaction_fails(self, account: bytes, to: str, data: bytes) -> None:
        """Send a call that must not succeed."""
        world = self.world
        tx = world.calls.send(account, world.contracts[to], data)
        block = world.produce()
        assert world.dpos.statuses[block.header.hash][block.transactions.index(tx)] == 0
        self.invariants.check()
        self.tried += 1

    def prove_again(self, proof: DepositProof) -> None:
        """Try a proof in a payload, twice in one, and by two accounts' transactions."""
        self.block_refuses(deposit_proofs=(encode_proof(proof),))
        self.block_refuses(deposit_proofs=(encode_proof(proof),) * 2)
        for account in (ALICE, BOB):
            self.transaction_fails(account, "Bridge", proof_call(proof))

    def change_set(self) -> None:
        """Have another set come in force, on both chains."""
        number = self.invariants.reserve.current.number
        self.world.call(OPERATORS[0], "ArbitratorRegistry", "setStandby(bool)", True)
        for _ in range(40):
            self.round()
            if self.invariants.reserve.current.number > number:
                return
        raise AssertionError("the other set never came in force")

    def restart(self) -> None:
        """Start both nodes again."""
        self.world.pow.reopen()
        self.world.dpos.open()
        self.world.restart_relayers()

    # --- settlements ---

    def pow_refuses(self, tx: Transaction, error: type[pow_errors.TransactionError]) -> None:
        """A miner puts a transaction into a block, and somebody offers it to the pool."""
        pow_side = self.world.pow
        assert not pow_side.offer(tx)
        block = pow_side.build(pow_side.head, [tx])
        with pytest.raises(pow_errors.BlockTransactionError) as found:
            pow_side.ledger.accept_block(block)
        assert isinstance(found.value.cause, error), found.value
        self.tried += 2

    def with_fresh_coins(self, old: Transaction) -> Transaction:
        """Give a settlement's words and payouts again, from reserve outputs that are there."""
        paid = [output for output in old.outputs if output.script[:1] != b"\x60"]
        view, spec = self.world.pow.ledger.view(), self.world.spec
        coins = choose_coins(view, spec, self.world.pow.height + 1, [])
        taken = sum(output.value + spec.bridge.withdrawal_fee for output in paid)
        change = [output for output in old.outputs if output.script[:1] == b"\x60"][:1]
        rest = sum(coin.value for _, coin in coins) - taken
        words = old.inputs[0].witness
        inputs = [
            old.inputs[0]._replace(outpoint=outpoint, witness=() if at else words)
            for at, (outpoint, _) in enumerate(coins)
        ]
        return Transaction.build(2, inputs, [*paid, change[0]._replace(value=rest)])

    def received(self) -> list[int]:
        """Give what the replayed withdrawal's script has, in units."""
        coins = scan_coins(self.world.pow.ledger.view())
        return [coin.value for _, coin in coins if coin.script == PAYOUT]


def test_a_deposit_is_credited_once_however_often_it_is_proven() -> None:
    story = Replays()
    story.round(5)
    before = story.world.dpos.state.get_balance(ALICE)
    deposit = story.deposit(3 * COIN)
    story.round(4)
    proof = story.world.relayers[0].proof_of(deposit.name)
    again: list[Callable[[], object]] = [
        lambda: None,
        lambda: story.round(3),
        story.restart,
        lambda: story.world.fork_pow(2),
        story.change_set,
        lambda: story.round(2),
    ]
    for happens in again:
        happens()
        story.prove_again(proof)
        assert story.times_credited(deposit.name) == 1
    for changed in (
        replace(proof, vout=1),
        replace(proof, index=proof.index + (1 << len(proof.branch))),
        replace(proof, branch=(*proof.branch, bytes(32))),
        replace(proof, raw=proof.raw + b"\0"),
        replace(proof, header=story.world.pow.head.header.core),
    ):
        story.prove_again(changed)
    spent = before + 3 * 10**18 - story.world.dpos.state.get_balance(ALICE)
    assert 0 < spent < 10**18, "Alice has paid for her tries and received nothing more"
    assert story.tried >= 10
    assert story.invariants.bridge.credited_deposits == 30 * 10**8


def test_a_deposit_whose_credit_a_dpos_reorganisation_took_back_is_credited_once_again() -> None:
    story = Replays()
    story.round(5)
    deposit = story.deposit(3 * COIN)
    for _ in range(2):
        story.world.produce()
        story.world.mine()
    story.world.produce()
    story.world.is_voting = False
    for _ in range(10):
        story.world.produce()
        assert story.times_credited(deposit.name) == 1
        assert story.world.fork_dpos(1)
        assert story.times_credited(deposit.name) <= 1
        story.world.produce()
        assert story.times_credited(deposit.name) == 1
    story.world.is_voting = True
    story.round(4)
    story.prove_again(story.world.relayers[0].proof_of(deposit.name))
    assert story.invariants.dpos.undone["credits"] >= 1
    assert story.invariants.bridge.credited_deposits == 30 * 10**8


def test_a_deposit_that_a_reorganisation_put_into_another_block_is_credited_once() -> None:
    story = Replays()
    story.round(5)
    deposit = story.deposit(3 * COIN)
    old = story.world.relayers[0].proof_of(deposit.name)
    proofs = [old]
    for depth in (1, 2):
        story.world.fork_pow(depth, keep=1)
        proofs.append(story.world.relayers[0].proof_of(deposit.name))
        assert story.times_credited(deposit.name) == 0
        for proof in proofs:
            story.block_refuses(deposit_proofs=(encode_proof(proof),))
        story.world.produce()
    assert len({proof.header for proof in proofs}) == 3
    story.round(4)
    assert story.times_credited(deposit.name) == 1
    for proof in proofs:
        story.prove_again(proof)
    assert story.tried >= 10
    assert story.invariants.bridge.credited_deposits == 30 * 10**8


def test_a_height_is_rewarded_once_whatever_is_submitted_again() -> None:
    story = Replays()
    story.round(8)
    headers = [story.world.pow.block_at(height).header.encode() for height in range(1, 9)]
    for header in headers:
        story.block_refuses(pow_headers=(header,))
    for header in headers[:4]:
        story.transaction_fails(ALICE, "PowLightClient", submit(header))
    for account in (ALICE, OPERATORS[0]):
        story.transaction_fails(account, "Bridge", on_block(0, story.world.slot + 1, story.world.slot))
    for height in range(1, 4):
        story.block_refuses(deposit_proofs=(encode_proof(output_proof(story.world.pow, height, 0, 0)),))
    for _ in range(10):
        story.world.fork_pow(2)
        story.world.produce()
        story.invariants.check()
    story.restart()
    story.change_set()
    bridge, light = story.invariants.bridge, story.invariants.light
    assert bridge.counted_height == light.buried_height()
    assert bridge.credited_rewards == 20 * 10**9 * bridge.counted_height
    assert story.tried >= 10


def test_a_credit_is_paid_once_whatever_withdrawals_a_block_claims() -> None:
    story = Replays()
    story.round(6)
    story.deposit(3 * COIN)
    for _ in range(10):
        story.world.mine()
        story.world.produce()
        story.invariants.check()
        due = story.invariants.dpos.due[story.world.dpos.head.hash]
        if not due:
            continue
        story.world.pass_slots()
        block = story.world.dpos.produce(story.world.slot)
        assert block.withdrawals == due
        for wrong in (
            (),
            (*due, due[-1]),
            (replace(due[0], amount=due[0].amount + 1), *due[1:]),
            (replace(due[0], address=BOB), *due[1:]),
            (replace(due[0], index=due[0].index + 1), *due[1:]),
        ):
            with pytest.raises(WrongWithdrawals):
                story.world.dpos.ledger.accept_block(story.world.dpos.altered(block, withdrawals=wrong))
            story.tried += 1
    assert story.tried >= 10


def settled(story: Replays) -> Transaction:
    """Have Bob withdraw once, and give the settlement that paid it."""
    story.round(4)
    story.world.withdraw(BOB, 2 * COIN, PAYOUT)
    for _ in range(10):
        story.round()
        if story.received():
            block = story.world.pow.head
            return next(tx for tx in block.transactions[1:] if len(tx.inputs[0].witness) == 4)
    raise AssertionError("it was never settled")


def test_a_withdrawal_is_settled_once_however_often_its_settlement_comes() -> None:
    story = Replays()
    old = settled(story)
    fee = story.world.spec.bridge.withdrawal_fee
    expected = [2 * COIN - fee]
    again: list[Callable[[], object]] = [lambda: None, lambda: story.round(2), story.restart]
    for happens in again:
        happens()
        story.pow_refuses(old, pow_errors.MissingInput)
        story.pow_refuses(story.with_fresh_coins(old), refused.RequestSettled)
        assert story.received() == expected
    story.change_set()
    story.pow_refuses(story.with_fresh_coins(old), refused.ForgottenSet)
    assert story.received() == expected
    assert story.tried >= 10


def test_a_settlement_that_a_reorganisation_undid_is_made_again_once() -> None:
    story = Replays()
    old = settled(story)
    for number in range(10):
        story.world.fork_pow(1, keep=number % 2)
        story.world.settle()
        story.world.mine()
        story.invariants.check()
        assert len(story.received()) == 1
        if number % 2:  # the old one may stand in a block again, or another one in its place
            story.world.pow.offer(old)
            story.world.mine()
        assert len(story.received()) == 1
    assert story.invariants.pow.now.settled == 1
    assert story.invariants.pow.undone["withdrawals"] >= 1


def test_two_relayers_settlements_of_one_request_pay_it_once() -> None:
    story = Replays()
    story.round(4)
    for _ in range(10):
        story.world.withdraw(BOB, 2 * COIN, PAYOUT)
        for _ in range(4):
            story.world.produce()
        first = story.world.relayers[0].settlement()
        assert first is not None
        story.world.produce()
        second = story.world.relayers[1].settlement()
        story.world.mine([first])
        assert second is not None
        story.pow_refuses(second, pow_errors.TransactionError)
        story.invariants.check()
    assert len(story.received()) == 10


def other_chain() -> BridgeWorld:
    """Give a world whose only difference is its DPoS chain's id: the same keys, members and PoW genesis."""
    spec = bridge_network()
    return BridgeWorld(1, replace(spec, dpos=replace(spec.dpos, chain_id=spec.dpos.chain_id + 1)))


def test_a_settlement_of_a_chain_with_another_id_pays_nothing() -> None:
    story, other = Replays(), other_chain()
    story.round(6)
    other.withdraw(BOB, 2 * COIN, PAYOUT)
    for _ in range(6):
        other.produce()
        other.mine()
    due = other.relayers[0].due()
    assert due is not None
    assert due.count == 1
    story.pow_refuses(story.with_fresh_coins(due.transaction), refused.NotAMember)
    view, height = story.world.pow.ledger.view(), story.world.pow.height
    request = other_bridge(other)
    found = FinalityProofs(other.dpos.ledger, other.dpos.engine.records).next_for(0, [], due.count)
    assert found is not None
    rule = settlement_rule(other.spec)
    coins = choose_coins(view, story.world.spec, height + 1, [request])
    state = story.invariants.reserve
    for own in (0, 1):
        tx = build_settlement(
            rule,
            found.final.header,
            found.child.header,
            found.certificate,
            [request],
            own,
            state,
            coins,
        )
        story.pow_refuses(tx, refused.NotAMember)
    assert story.received() == []


def other_bridge(other: BridgeWorld) -> bytes:
    """Give the only request of another world."""
    from .bridge_invariants import Invariants

    request = Invariants(other).bridge.request(1)
    assert request is not None
    return request


def test_deposits_and_calls_of_another_chain_are_refused() -> None:
    story, other = Replays(), other_chain()
    story.round(6)
    elsewhere = Replays()
    elsewhere.world.mine()
    elsewhere.world.pow.build(elsewhere.world.pow.head)
    elsewhere.round(3)
    deposit = elsewhere.deposit(5 * COIN, BOB)
    elsewhere.round(4)
    assert elsewhere.times_credited(deposit.name) == 1
    proof = elsewhere.world.relayers[0].proof_of(deposit.name)
    story.prove_again(proof)
    assert sha256d(proof.header) != story.world.pow.head.hash
    tx = other.withdraw(BOB, COIN, PAYOUT)
    story.world.calls.add(tx)
    block = story.world.produce()
    assert tx not in block.transactions
    story.round(4)
    assert story.invariants.dpos.now.count == 0
    assert story.invariants.bridge.credited_deposits == 0
