"""What the bridge owes its users, case by case, on both real chains."""

from dataclasses import replace

import pytest

from ioex_chain.crypto.address import reserve_change_script
from ioex_chain.dpos.errors import DepositProofRefused
from ioex_chain.evm.bridge import DepositProof, Door, PauseReason, encode_proof
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.model import NetworkSpec

from .bridge_history import FORMS
from .bridge_invariants import Invariants
from .bridge_pow_model import Deposit
from .bridge_relay import output_proof, proof_call
from .bridge_spec import OPERATORS, USER_ACCOUNTS, bridge_network, scattered_network
from .bridge_world import BridgeWorld

ALICE, BOB = USER_ACCOUNTS[:2]


class Story:
    """A world whose invariants are stated after each round of both chains."""

    def __init__(self, spec: NetworkSpec | None = None, **dpos: int) -> None:
        self.world = BridgeWorld(1, spec or bridge_network(None, **dpos))
        self.invariants = Invariants(self.world)

    def round(self, count: int = 1, *, settle: bool = True) -> None:
        """A DPoS block, a settlement if one is due, a PoW block."""
        for _ in range(count):
            self.world.produce()
            if settle:
                self.world.settle()
            self.world.mine()
            self.invariants.check()

    def deposit(self, units: int = COIN, account: bytes = ALICE) -> Deposit:
        """Mine a deposit and give it."""
        tx = self.world.deposit((units, account), direct=True)
        assert tx is not None
        self.world.mine([tx])
        self.invariants.check()
        return self.invariants.pow.deposits[tx.txid, 0]

    def times_credited(self, name: tuple[bytes, int]) -> int:
        """Say how often an output stands in the chain's credits."""
        self.invariants.check()
        return self.invariants.dpos.credited.count(name)

    def refusal(self, proof: DepositProof) -> str:
        """Have a block carry a proof against its producer's better knowledge; give why it is invalid."""
        world = self.world
        world.pass_slots()
        block = world.dpos.produce(world.slot)
        payload = replace(block.payload, deposit_proofs=(encode_proof(proof),))
        with pytest.raises(DepositProofRefused) as refused:
            world.dpos.ledger.accept_block(world.dpos.altered(block, payload))
        return str(refused.value)

    def status(self, proof: DepositProof) -> int:
        """Prove by a paid transaction; give its receipt's status."""
        world = self.world
        tx = world.calls.send(BOB, world.contracts["Bridge"], proof_call(proof))
        block = world.produce()
        self.invariants.check()
        return world.dpos.statuses[block.header.hash][block.transactions.index(tx)]


def test_a_deposit_is_credited_once_and_within_k_and_one_blocks() -> None:
    story = Story()
    story.round(5)
    before = story.world.dpos.state.get_balance(ALICE)
    deposit = story.deposit(7 * COIN)
    for _ in range(story.world.spec.pow.burial_depth):
        assert story.times_credited(deposit.name) == 0
        story.world.produce()
        story.world.mine()
    story.world.produce()  # hears of the block that buries it
    story.world.produce()  # carries its proof
    assert story.times_credited(deposit.name) == 1
    story.world.produce()
    story.invariants.check()
    assert story.world.dpos.state.get_balance(ALICE) == before + 7 * 10**18
    proof = story.world.relayers[0].proof_of(deposit.name)
    assert "credited before" in story.refusal(proof)
    assert story.status(proof) == 0
    assert story.times_credited(deposit.name) == 1


def test_a_withdrawal_is_payable_after_two_final_blocks_and_one_pow_block() -> None:
    story = Story()
    story.round(5)
    story.world.withdraw(ALICE, 3 * COIN, FORMS[0])
    asked = story.world.produce().header.header.number
    while story.world.dpos.record.finalised.height < asked:
        assert not story.world.settle(), "nothing is due before the request is final"
        story.world.produce()
    assert story.world.dpos.head.height <= asked + 3, (
        "the second block after it makes it final, a third tells"
    )
    assert story.world.settle()
    story.world.mine()
    story.invariants.check()
    fee = story.world.spec.bridge.withdrawal_fee
    assert story.invariants.pow.now.paid == ((3 * COIN - fee, FORMS[0]),)


def test_a_coinbase_output_is_credited_by_its_height_alone() -> None:
    story = Story()
    story.round(8)
    proof = output_proof(story.world.pow, 2, 0, 0)
    assert "coinbase" in story.refusal(proof)
    assert "coinbase" in story.refusal(replace(proof, index=1))
    assert story.status(proof) == 0
    bridge = story.invariants.bridge
    assert bridge.credited_rewards == 20 * 10**9 * bridge.counted_height > 0
    assert bridge.credited_deposits == 0


@pytest.mark.soak
def test_rewards_of_a_long_closure_are_counted_once_and_not_all_in_one_block() -> None:
    story = Story()
    world = story.world
    story.round(4)
    world.owner_call("Bridge", "pause(uint256)", int(Door.IN))
    story.round(2)
    counted = story.invariants.bridge.counted_height
    for _ in range(540):
        world.mine()
    while story.invariants.light.best()[1] < world.pow.height:
        world.produce()
        story.invariants.check()
    assert story.invariants.bridge.counted_height == counted
    world.owner_call("Bridge", "resume(uint256)", int(Door.IN))
    world.produce()
    assert story.invariants.bridge.counted_height == counted + 512
    world.produce()
    story.invariants.check()
    assert story.invariants.bridge.counted_height == world.pow.height - world.spec.pow.burial_depth
    story.round(2)
    story.invariants.count_all()


def test_genesis_outputs_that_back_balances_are_never_credited() -> None:
    story = Story()
    story.round(8)
    coinbase = story.world.pow.chain.genesis.transactions[0]
    backing = [vout for vout, output in enumerate(coinbase.outputs) if output.script[:1] == b"\x60"]
    assert len(backing) > len(USER_ACCOUNTS)
    for vout in backing:
        proof = output_proof(story.world.pow, 0, 0, vout)
        assert "coinbase" in story.refusal(proof)
        assert story.status(replace(proof, index=1)) == 0
    assert story.invariants.bridge.credited_deposits == 0


def test_settlement_change_and_gifts_to_the_reserve_are_never_credited() -> None:
    story = Story()
    story.round(5)
    gift = story.world.pow.pay(
        story.world.pow.spendable(story.world.chance), [(COIN, reserve_change_script())]
    )
    story.world.mine([gift])
    story.world.withdraw(ALICE, 3 * COIN, FORMS[0])
    story.round(8)
    found = 0
    for height in range(1, story.world.pow.height - 3):
        for place, tx in enumerate(story.world.pow.block_at(height).transactions[1:], 1):
            for vout, output in enumerate(tx.outputs):
                if output.script == reserve_change_script():
                    found += 1
                    proof = output_proof(story.world.pow, height, place, vout)
                    assert "no deposit output" in story.refusal(proof)
                    assert story.status(proof) == 0
    assert found >= 2
    assert story.invariants.bridge.credited_deposits == 0
    assert story.invariants.pow.now.donations == COIN


def test_a_finality_pause_of_200_slots_ends_with_every_withdrawal_settled() -> None:
    story = Story(stall_slots=100)
    world = story.world
    story.round(4)
    world.is_voting = False
    before = story.invariants.dpos.now.count
    for slot in range(200):
        if slot % 5 == 0:
            world.withdraw(ALICE if slot % 2 else BOB, 2 * COIN + slot, FORMS[slot % 3])
        world.produce()
        assert not world.settle() or slot < 5
        if slot % 4 == 0:
            world.mine()
        story.invariants.check()
    taken = story.invariants.dpos.now.count - before
    assert 15 <= taken <= 21, "the door shuts after 100 slots and not before"
    assert story.invariants.bridge.pause_reasons(Door.OUT) == PauseReason.STALL
    assert not story.invariants.bridge.is_paused(Door.IN)
    assert story.invariants.pow.now.settled == before
    world.is_voting = True
    story.round(6)
    assert story.invariants.pow.now.settled == story.invariants.dpos.now.count
    assert not story.invariants.bridge.is_paused(Door.OUT)
    world.withdraw(ALICE, COIN, FORMS[0])
    story.round(6)
    assert story.invariants.pow.now.settled == before + taken + 1
    story.invariants.count_all()


def test_a_long_queue_of_withdrawals_does_not_hold_a_handover_up() -> None:
    """The PoW chain must hear of a set before it comes in force, or it could never believe it."""
    story = Story(bridge_network({"max_requests": 1, "max_waiting": 1_000}))
    world = story.world
    story.round(2)
    for number in range(60):
        world.withdraw(USER_ACCOUNTS[number % 6], 20_000, FORMS[number % 3])
    world.call(OPERATORS[0], "ArbitratorRegistry", "setStandby(bool)", True)
    story.round(4)
    assert story.invariants.dpos.now.count - story.invariants.dpos.now.drained > 50
    story.round(26)
    assert story.invariants.dpos.now.sets == 1
    assert world.dpos.record.in_force.number == 1
    assert story.invariants.reserve.current.number == 1
    assert story.invariants.pow.now.settled == 60


def test_two_settlements_may_stand_in_one_block_when_each_brings_more() -> None:
    story = Story()
    world = story.world
    story.round(4)
    made = []
    for number in range(2):
        world.withdraw(BOB, 2 * COIN + number, FORMS[number])
        for _ in range(4):
            world.produce()
        tx = world.relayers[number].settlement()
        assert tx is not None
        made.append(tx)
        world.mine([tx])
        story.invariants.check()
    assert {item.outpoint[:32] for item in made[1].inputs} & {made[0].txid}, (
        "the second spends the first's change"
    )
    world.fork_pow(2, keep=0, instead=made)
    story.invariants.check()
    row = next(row for row in story.invariants.pow.rows if row.paid)
    fee = world.spec.bridge.withdrawal_fee
    assert row.paid == ((2 * COIN - fee, FORMS[0]), (2 * COIN + 1 - fee, FORMS[1]))
    assert story.invariants.pow.now.settlements == 2
    story.round(3)
    story.invariants.count_all()


def test_a_reserve_in_small_pieces_pays_a_large_withdrawal_in_the_end() -> None:
    """64 outputs of 50 IOEX cannot pay 3,800: they are gathered first."""
    story = Story(scattered_network(50 * COIN))
    world = story.world
    story.round(4)
    world.withdraw(ALICE, 3_800 * COIN, FORMS[1])
    world.withdraw(BOB, 30 * COIN, FORMS[2])
    story.round(12)
    fee = world.spec.bridge.withdrawal_fee
    paid = [item for row in story.invariants.pow.rows for item in row.paid]
    wanted = [(3_800, FORMS[1]), (30, FORMS[2])]
    assert paid == [(units * COIN - fee, script) for units, script in wanted]
    assert story.invariants.pow.now.settlements > sum(1 for row in story.invariants.pow.rows if row.paid)
    story.invariants.count_all()


def test_sets_that_came_and_went_while_finality_was_away_are_followed_in_order() -> None:
    story = Story(stall_slots=1_000)
    world, operator = story.world, story.world.spec.dpos.members[0].operator
    story.round(4)
    for standby in (True, False, True):
        world.call(operator, "ArbitratorRegistry", "setStandby(bool)", standby)
        world.withdraw(ALICE, COIN, FORMS[0])
        story.round(20)
    world.is_voting = False
    for standby in (False, True, False):
        world.call(operator, "ArbitratorRegistry", "setStandby(bool)", standby)
        world.withdraw(BOB, COIN, FORMS[1])
        for _ in range(20):
            world.produce()
            story.invariants.check()
    world.is_voting = True
    story.round(60)
    assert story.invariants.dpos.now.sets >= 4
    assert story.invariants.pow.now.settled == 6
    story.invariants.count_all()
