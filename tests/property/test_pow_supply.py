"""The UTXO set is genesis and what was minted, at every step of random histories (R16's PoW half)."""

from chaingen.builder import ChainBuilder, Funds
from chaingen.generate import World
from chaingen.harness import replay_hash, state_hash, unspent
from chaingen.owners import Owner
from chaingen.specs import GENESIS_OWNERS, key, story_spec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ioex_chain.crypto.address import deposit_script
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN

PEOPLE: list[Owner] = [key("ann"), key("ben"), *GENESIS_OWNERS.values()]
BURNT = b"\x6a\x04burn"


class Supply(RuleBasedStateMachine):
    """Spends of every form, fees claimed in full, in part or not at all, and reorganisations."""

    @initialize()
    def start(self) -> None:
        self.world = World(story_spec())
        self.chain: ChainBuilder = self.world.chain
        self.chain.know(*PEOPLE)
        self.pending: list[Transaction] = []
        self.unclaimed: dict[bytes, int] = {}
        self.loose: list[Funds] = [self.chain.take(form) for form in GENESIS_OWNERS]

    @precondition(lambda self: self.loose)
    @rule(
        data=st.data(), fee=st.integers(0, COIN), to=st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=3)
    )
    def spend(self, data: st.DataObject, fee: int, to: list[Owner]) -> None:
        funds = self.loose.pop(data.draw(st.integers(0, len(self.loose) - 1)))
        fee = min(fee, funds.value)
        share = (funds.value - fee) // len(to)
        tx = self.chain.spend(funds, [(share, owner) for owner in to])
        self.pending.append(tx)
        self.loose += [self.chain.funds(tx, index) for index in range(len(to))]

    @precondition(lambda self: self.loose)
    @rule(part=st.integers(0, 100))
    def deposit(self, part: int) -> None:
        """Moves coins into the reserve: they stay in the UTXO set."""
        funds = self.loose.pop()
        inside = funds.value * part // 100
        tx = self.chain.spend(
            funds, [(inside, deposit_script(bytes(20))), (0, BURNT), (funds.value - inside, key("ann"))]
        )
        self.pending.append(tx)
        self.loose.append(self.chain.funds(tx, 2))

    @rule(claimed=st.sampled_from([0, 50, 100]))
    def mine(self, claimed: int) -> None:
        fees = sum(map(self.chain.fee_of, self.pending))
        block = self.world.add(*self.pending, fees=fees * claimed // 100)
        self.unclaimed[block.hash] = fees - fees * claimed // 100
        self.pending = []

    @precondition(lambda self: self.chain.height(self.world.tip) > 6)
    @rule(depth=st.integers(1, 3))
    def reorganise(self, depth: int) -> None:
        """Replaces the last blocks by empty ones, and one more: what they spent is loose again elsewhere."""
        fork = self.world.tip
        for _ in range(depth):
            fork = self.chain.parent(fork)
        for block in self.chain.extend(fork, depth + 1):
            self.world.ledger.accept_block(block)
            self.world.tip = block
        assert self.world.ledger.head.hash == self.world.tip.hash
        self.pending = []
        self.loose = self._still_there()

    def _still_there(self) -> list[Funds]:
        view = self.world.ledger.view()
        known = [self.chain.funds(tx, n) for tx in self._all() for n in self._payees(tx)]
        return [funds for funds in known if view.get(b"u" + funds.outpoint) is not None]

    def _all(self) -> list[Transaction]:
        """Everything on the chain but coinbases that may be immature."""
        blocks = self.chain.branch(self.world.tip)
        spends = [tx for block in blocks for tx in block.transactions[1:]]
        return [self.chain.genesis.transactions[0], *spends]

    def _payees(self, tx: Transaction) -> list[int]:
        return [n for n, output in enumerate(tx.outputs) if output.script in self.chain.owners]

    @invariant()
    def supply_is_exact(self) -> None:
        if not hasattr(self, "world"):
            return
        height = self.chain.height(self.world.tip)
        lost = sum(self.unclaimed.get(block.hash, 0) for block in self.chain.branch(self.world.tip))
        assert unspent(self.world.ledger) == self.chain.spec.token.supply + 24 * COIN * height - lost

    def teardown(self) -> None:
        if hasattr(self, "world"):
            assert state_hash(self.world.ledger) == replay_hash(self.chain, self.world.tip)


TestSupply = Supply.TestCase
TestSupply.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
