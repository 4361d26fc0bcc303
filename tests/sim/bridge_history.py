"""Random histories of both chains: one seed, one history. `step` does one thing and states the invariants."""

from collections.abc import Callable
from random import Random

from ioex_chain.crypto.address import reserve_change_script, witness_script
from ioex_chain.crypto.secp256k1 import sign_recoverable
from ioex_chain.dpos.seal import address_of
from ioex_chain.evm.bridge import Door, encode_proof
from ioex_chain.evm.types import WEI
from ioex_chain.ledger.verify import state_digest
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.model import NetworkSpec

from .bridge_dpos import POINTS, DposSide
from .bridge_dpos_model import DESTROY
from .bridge_invariants import Invariants, ask
from .bridge_pow import PowSide
from .bridge_relay import proof_call
from .bridge_spec import (
    MEMBER_KEYS,
    OPERATORS,
    PAYERS,
    USER_ACCOUNTS,
    payer,
)
from .bridge_world import BridgeWorld

CONTRACTS = ("Bridge", "RewardPool", "PowLightClient", "NodeRewards", "ArbitratorRegistry")
FORMS = (
    witness_script(0, b"\x11" * 20),
    witness_script(0, b"\x22" * 32),
    witness_script(1, b"\x33" * 32),
)
WRONG_FORMS = (
    b"",
    b"\x00\x14" + b"\x11" * 19,
    b"\x51\x14" + b"\x11" * 20,
    b"\x60\x20ioeX:deposit" + b"\x11" * 20,
    reserve_change_script(),
    b"\x6a\x20" + b"\x11" * 32,
    b"\x52\x20" + b"\x33" * 32,
)


class History:
    """What users, arbitrators, miners and bad luck do, drawn from one seed."""

    def __init__(self, seed: int, spec: NetworkSpec | None = None) -> None:
        self.chance = Random(seed)
        self.world = BridgeWorld(seed, spec)
        self.invariants = Invariants(self.world)
        self.steps = 0
        self.last = ""
        """The step that was done last, by name."""
        self._rotated = len(OPERATORS)
        self._standby: set[bytes] = set()
        self._quiet_until = 0
        self._old_settlements: list[Transaction] = []
        self._actions: dict[Callable[[], None], int] = {
            self.produce: 30,
            self.miss_slots: 3,
            self.mine: 12,
            self.deposit: 10,
            self.odd_deposit: 3,
            self.donate: 1,
            self.withdraw: 10,
            self.wrong_withdrawal: 4,
            self.prove_by_transaction: 3,
            self.settle: 6,
            self.race_settlements: 3,
            self.offer_old_settlement: 2,
            self.fork_pow: 4,
            self.fork_dpos: 4,
            self.lose_votes: 3,
            self.find_votes: 2,
            self.pause_finality: 1,
            self.crash_pow: 3,
            self.crash_dpos: 3,
            self.change_set: 3,
            self.rotate_key: 1,
            self.claim: 2,
            self.move_gas: 2,
            self.retire: 1,
            self.destroy: 1,
            self.owner_pauses: 1,
        }

    def step(self) -> None:
        """Do one thing and state the invariants."""
        if self.world.slot >= self._quiet_until:
            self.world.is_voting = True
        action = self.chance.choices(list(self._actions), list(self._actions.values()))[0]
        self.last = action.__name__
        action()
        self.steps += 1
        self.invariants.check()
        if self.steps % 25 == 0:
            self.invariants.count_all()
        if self.steps % 100 == 0:
            self.world.calls.forget_final()

    def run(self, steps: int, *, newcomers: bool = True) -> None:
        """Do many steps, then let both chains rest and see that nothing is left open.

        With `newcomers` two nodes then execute everything from genesis, which takes as long again.
        """
        for _ in range(steps):
            self.step()
        self.rest()
        if newcomers:
            self.newcomers_agree()

    # --- time ---

    def produce(self) -> None:
        for _ in range(self.chance.choice((1, 1, 2, 4))):
            rubbish = self._rubbish() if self.chance.random() < 0.1 else ((), ())
            self.world.produce(relayers=self.chance.choice(((0,), (1,), (0, 1))), rubbish=rubbish)

    def _rubbish(self) -> tuple[list[bytes], list[bytes]]:
        """Headers and proofs of old, cut and flipped: a producer that takes one makes an invalid block."""
        known = list(self.invariants.pow.deposits.values())
        head = self.world.pow.head.header.encode()
        headers = [
            head[:79],
            bytes(80),
            head,
            self.world.pow.chain.genesis.header.encode(),
            _flipped(head, 36),
        ]
        proofs = [b"", bytes(85)]
        if known:
            proof = encode_proof(self.world.relayers[0].proof_of(self.chance.choice(known).name))
            proofs += [proof, proof, _flipped(proof, self.chance.randrange(len(proof)))]
        return headers, proofs

    def miss_slots(self) -> None:
        self.world.pass_slots(self.chance.randint(1, 5))

    def mine(self) -> None:
        ahead, modest = self.chance.choice((0, 0, 1, 200, 600)), self.chance.random() < 0.1
        self.world.mine(ahead=ahead, modest=modest, merged=self.chance.random() < 0.15)

    # --- PoW users ---

    def _account(self) -> bytes:
        return self.chance.choice(USER_ACCOUNTS)

    def deposit(self) -> None:
        units = self.chance.randint(COIN // 100, 30 * COIN)
        self.world.deposit((units, self._account()), direct=False)

    def odd_deposit(self) -> None:
        """Several in one transaction, dust, to contracts, to the same account twice, by a miner's favour."""
        contract = self.world.contracts[self.chance.choice(CONTRACTS)]
        same = self._account()
        pays = self.chance.choice(
            (
                [(self.chance.randint(1, 500), self._account())],
                [(COIN, contract)],
                [(COIN, same), (COIN, same), (2 * COIN, contract), (1, self._account())],
                [(COIN, self._account()) for _ in range(self.chance.randint(2, 20))],
                [(3 * COIN, bytes(20)), (COIN, b"\xff" * 20)],
            )
        )
        tx = self.world.deposit(*pays, direct=True)
        if tx is not None:
            self.world.mine([tx])

    def donate(self) -> None:
        """Pay to reserve change: nobody can be credited for it."""
        sources = self.world.pow.spendable(self.chance, 2 * COIN)
        if sources:
            self.world.pow.offer(self.world.pow.pay(sources, [(COIN, reserve_change_script())]))

    # --- DPoS users ---

    def _script(self) -> bytes:
        return self.chance.choice((*FORMS, payer(self.chance.randrange(PAYERS)).script))

    def withdraw(self) -> None:
        for _ in range(self.chance.choice((1, 1, 3))):
            units = self.chance.choice((20_000, self.chance.randint(20_000, 40 * COIN)))
            self.world.withdraw(self._account(), units, self._script())

    def wrong_withdrawal(self) -> None:
        """What the Bridge must refuse before it gives a number: checked by the model, which counts none."""
        units, script, spare = self.chance.choice(
            (
                (COIN, self.chance.choice(WRONG_FORMS), 0),
                (COIN, FORMS[0], self.chance.choice((1, 10**10 - 1))),
                (self.chance.choice((0, 1, 19_999)), FORMS[0], 0),
                (4_001 * COIN, FORMS[0], 0),
            )
        )
        self.world.withdraw(self._account(), units, script, spare=spare)

    def claim(self) -> None:
        key = self.chance.choice(self.world.dpos.members_at(self.world.dpos.head).members).key
        term = self.world.dpos.schedule.term_of(max(1, self.world.dpos.slot))
        terms = list(range(max(0, term - 4), term))
        self.world.call(self._account(), "RewardPool", "claim(address,uint256[])", key, terms)

    def move_gas(self) -> None:
        """Somebody tries to hand points on, or to make some: none of these calls may succeed."""
        one, other, amount = self._account(), self._account(), self.chance.choice((0, 1, POINTS))
        name, *args = self.chance.choice(
            (
                ("transfer(address,uint256)", other, amount),
                ("approve(address,uint256)", other, amount),
                ("transferFrom(address,address,uint256)", other, one, amount),
                ("mint(uint256,address,uint256,uint256)", 1, one, 1, amount),
            )
        )
        self.world.call(one, "GasPoints", str(name), *args)

    def retire(self) -> None:
        self.world.call(self._account(), "Bridge", "retire()", value=self.chance.randint(1, WEI))

    def destroy(self) -> None:
        """Have a contract destroy itself with what it was given."""
        self.world.calls.send(self._account(), None, DESTROY, self.chance.randint(0, WEI))

    def prove_by_transaction(self) -> None:
        """Anybody proves a deposit by a paid transaction: one that waits, is new, or was credited."""
        known = list(self.invariants.pow.deposits.values())
        if known:
            chosen = self.chance.choice(known if self.chance.random() < 0.5 else known[-3:])
            proof = self.world.relayers[0].proof_of(chosen.name)
            self.world.calls.send(self._account(), self.world.contracts["Bridge"], proof_call(proof))

    # --- relaying ---

    def settle(self) -> None:
        self._offer(self.chance.randrange(2))

    def race_settlements(self) -> None:
        """Two relayers offer theirs, one before the other has heard of it, and a block is mined."""
        first = self.world.relayers[0].settlement()
        self.world.produce(relayers=(1,))
        for tx in (self.world.relayers[1].settlement(), first):
            if tx is not None:
                self.world.pow.offer(tx)
                self._old_settlements.append(tx)
        self.world.mine()

    def _offer(self, relayer: int) -> None:
        tx = self.world.relayers[relayer].settlement()
        if tx is not None:
            self._old_settlements.append(tx)
            self.world.pow.offer(tx)

    def offer_old_settlement(self) -> None:
        """Somebody offers a settlement again that stood in a block, or lost a race."""
        if self._old_settlements:
            self.world.pow.offer(self.chance.choice(self._old_settlements))

    # --- forks and crashes ---

    def fork_pow(self) -> None:
        k = self.world.spec.pow.burial_depth
        depth = self.chance.randint(1, k)
        if self.world.pow.height >= depth:
            longer, keep = self.chance.choice((1, 1, 2)), self.chance.choice((0, 0.5, 1))
            self.world.fork_pow(depth, longer, keep)

    def fork_dpos(self) -> None:
        """Some blocks get no quorum, and a longer branch without them comes."""
        was, self.world.is_voting = self.world.is_voting, False
        depth = self.chance.randint(1, 3)
        if depth > 1:  # so that something is credited on the branch that is left
            self.mine()
            self.withdraw()
        for _ in range(depth):
            self.world.produce()
        self.invariants.check()
        self.world.fork_dpos(depth, longer=self.chance.choice((1, 1, 2)))
        self.world.is_voting = was

    def lose_votes(self) -> None:
        """Arbitrators vote, and nobody hears a quorum: what they voted for may be left behind."""
        was, self.world.is_voting = self.world.is_voting, False
        self.world.produce()
        self.world.dpos.vote(heard=False)
        self.world.is_voting = was

    def find_votes(self) -> None:
        """Votes that were lost turn up, perhaps for a branch that was left since."""
        lost = self.world.dpos.lost_votes()
        if not lost:
            self.lose_votes()
            self.invariants.check()
            self.world.fork_dpos(1, longer=self.chance.choice((1, 2, 3)))
            lost = self.world.dpos.lost_votes()
        if lost:
            best = self.world.dpos.head.hash
            self.world.dpos.hear_late(self.chance.choice(lost))
            self.world.happened["late votes"] += 1
            self.world.happened["late votes that moved the head"] += self.world.dpos.head.hash != best

    def pause_finality(self) -> None:
        self.world.is_voting = False
        self._quiet_until = self.world.slot + self.chance.randint(3, 40)

    def crash_pow(self) -> None:
        work = self.chance.choice((self.mine, self.odd_deposit, self.fork_pow))
        self.world.crash_pow(work, self.chance.choice((1, 1, 2)), applied=self.chance.random() < 0.5)

    def crash_dpos(self) -> None:
        work = self.chance.choice((self.produce, self.fork_dpos))
        self.world.crash_dpos(work, self.chance.randint(1, 4), applied=self.chance.random() < 0.5)

    # --- arbitrators and owner ---

    def change_set(self) -> None:
        """One operator goes on standby, or comes back."""
        operator = self.chance.choice(OPERATORS)
        leaves = operator not in self._standby and not self._standby
        if leaves or operator in self._standby:
            self._standby ^= {operator}
            self.world.call(operator, "ArbitratorRegistry", "setStandby(bool)", leaves)

    def rotate_key(self) -> None:
        if self._rotated == len(MEMBER_KEYS):
            return
        operator, private = self.chance.choice(OPERATORS), MEMBER_KEYS[self._rotated]
        self._rotated += 1
        digest = ask(self.world.dpos, "ArbitratorRegistry", "keyDigest(address)", "bytes32", operator)
        signature = sign_recoverable(private, digest)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        self.world.call(
            operator,
            "ArbitratorRegistry",
            "setKey(address,uint256,uint256,uint256)",
            address_of(private),
            signature[64] + 27,
            r,
            s,
        )

    def owner_pauses(self) -> None:
        """The owner closes a door, and opens it again some blocks later."""
        door = self.chance.randrange(2)
        for name in ("pause", "resume"):
            self.world.owner_call("Bridge", f"{name}(uint256)", door)
            self.world.produce()

    # --- the end ---

    def rest(self) -> None:
        """Let both chains go on quietly until nothing is owed, and see that nothing is."""
        world, chance = self.world, self.chance
        world.is_voting = True
        for door in Door:
            world.owner_call("Bridge", "resume(uint256)", int(door))
        for at in range(60):
            world.produce()
            if at % 2 == 0:
                self._offer(chance.randrange(2))
                world.mine()
            self.invariants.check()
            if self._prove_small() and self.is_settled():
                break
        self.invariants.count_all()
        assert self.is_settled(), "something is owed after a rest"

    def newcomers_agree(self) -> None:
        """Nodes that execute both best chains from genesis have the same state, row for row."""
        world = self.world
        dpos = DposSide(world.spec, world.clock)
        for height in range(1, world.dpos.head.height + 1):
            entry = world.dpos.ledger.entry_at(height)
            assert entry is not None
            dpos.ledger.accept_block(world.dpos.ledger.body(entry.hash))
        assert state_digest(dpos.store) == state_digest(world.dpos.store)
        pow_side = PowSide(world.spec, world.clock)
        for block in reversed(list(world.pow.best())[:-1]):
            pow_side.take(block)
        assert state_digest(pow_side.store) == state_digest(world.pow.store)

    def _prove_small(self) -> bool:
        """Prove buried deposits that relayers leave to others; whether none is left."""
        buried = self.invariants.light.buried_height()
        left = [
            item
            for name, item in self.invariants.pow.deposits.items()
            if item.height <= buried and name not in self.invariants.dpos.places
        ]
        for item in left:
            proof = self.world.relayers[0].proof_of(item.name)
            self.world.calls.send(self._account(), self.world.contracts["Bridge"], proof_call(proof))
        return not left

    def is_settled(self) -> bool:
        """Whether every request is settled and everything buried is credited and paid."""
        invariants = self.invariants
        buried = invariants.light.buried_height()
        unsettled = invariants.dpos.now.requested - invariants.pow.now.payouts - invariants.pow.now.fees
        owed = [
            name
            for name, item in invariants.pow.deposits.items()
            if item.height <= buried and name not in invariants.dpos.places
        ]
        return not unsettled and not owed and not invariants.dpos.due[invariants.dpos.now.hash]


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
