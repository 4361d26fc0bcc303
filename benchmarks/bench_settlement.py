"""What it costs to verify a settlement: of 51 arbitrators, of two sets of 51, and of 20,000 withdrawals."""

from collections.abc import Callable, Sequence
from time import perf_counter, thread_time

from benchmarks.report import Row, Table
from ioex_chain.bridge.dpos_light import Votes
from ioex_chain.bridge.settlement import BridgeSettlements
from ioex_chain.pow.reserve import ReserveState
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import Coin
from ioex_chain.primitives.types import COIN
from tests.chaingen.settlements import SettlementWorld, arbitrators, edited
from tests.chaingen.specs import key

SEATS, REQUESTS, DRAINED, RUNS = 51, 20_000, 256, 15
BAR = 30.0
"""Milliseconds for one settlement of 51 arbitrators."""
PAYEE = key("payee").script


class Measured:
    """A settlement with what it spends, in the state that it is checked on."""

    def __init__(self, world: SettlementWorld, tx: Transaction) -> None:
        self.world = world
        self.tx = tx
        self.coins: list[Coin] = world.coins_of(tx)
        self.state: ReserveState = world.state

    def fresh(self) -> Callable[[], object]:
        """Give a check by a node that saw none of the signatures before."""
        rule = BridgeSettlements(self.world.spec.bridge, self.world.dpos.genesis)
        return lambda: rule.check(self.tx, self.coins, self.state)

    def again(self) -> Callable[[], object]:
        """Give a check by a node that had it in its pool."""
        self.world.rule.check(self.tx, self.coins, self.state)
        return lambda: self.world.rule.check(self.tx, self.coins, self.state)


def timed(make: Callable[[], Callable[[], object]], runs: int) -> tuple[list[float], list[float]]:
    """Give milliseconds of wall clock and of this thread's processor time, run by run."""
    wall, used = [], []
    for _ in range(runs):
        work = make()
        start, begun = perf_counter(), thread_time()
        work()
        wall.append(1_000 * (perf_counter() - start))
        used.append(1_000 * (thread_time() - begun))
    return wall, used


def rows(
    name: str, make: Callable[[], Callable[[], object]], runs: int, bar: float | None = None, note: str = ""
) -> list[Row]:
    """Give the two rows of one measurement; the bar is for processor time, which others do not take."""
    wall, used = timed(make, runs)
    return [Row(name, used, "ms", bar, note=note), Row("- by the wall clock", wall, "ms")]


def one_set() -> Measured:
    """51 arbitrators, one withdrawal: 35 signatures."""
    world = SettlementWorld(SEATS)
    world.dpos.drain(world.dpos.withdraw(COIN, PAYEE))
    return Measured(world, world.settlement())


def two_sets() -> Measured:
    """51 arbitrators that give way to 51 others: the quorums of both."""
    world = SettlementWorld(SEATS)
    world.dpos.drain(world.dpos.handover(arbitrators(SEATS, "next")))
    world.mine(world.settlement())
    height = world.dpos.drain(world.dpos.withdraw(COIN, PAYEE))
    world.dpos.drain()
    certificate = world.dpos.certificate(height, 1, before=world.privates)
    return Measured(world, world.settlement(height, certificate=certificate))


def everybody() -> Measured:
    """The same with all 102 signatures: the most that the format carries for 51 seats."""
    measured = two_sets()
    world = measured.world
    height = len(world.dpos.headers) - 2
    certificate = world.dpos.certificate(height, 1, before=world.privates)
    votes = Votes(1, certificate.signers, certificate.signatures)
    return Measured(world, edited(measured.tx, items={2: votes.encode()}))


def many(count: int) -> Measured:
    """`count` withdrawals, drained 256 a block, as after a pause of finality."""
    world = SettlementWorld(SEATS)
    for at in range(0, count, DRAINED):
        number = min(DRAINED, count - at)
        world.dpos.drain(*(world.dpos.withdraw(2 * COIN, PAYEE) for _ in range(number)))
    return Measured(world, world.settlement())


def block_of(measured: Measured) -> Callable[[], object]:
    """Give the connecting of a block that carries it, by a node that had it in its pool."""
    world = measured.world
    block = world.chain.block(world.tip, [measured.tx], fees=0)
    world.rule.check(measured.tx, measured.coins, measured.state)
    return lambda: world.ledger.preview(block)


def run(quick: bool) -> Sequence[Table]:
    """Measure all of it."""
    runs, count = (2, 512) if quick else (RUNS, REQUESTS)
    one, two, all_ = one_set(), two_sets(), everybody()
    small = [
        *rows("51 arbitrators, 35 signatures", one.fresh, runs, BAR),
        *rows("two sets of 51, 70 signatures", two.fresh, runs),
        *rows("two sets of 51, all 102 signatures", all_.fresh, runs),
        *rows("51 arbitrators, signatures seen before", one.again, runs),
    ]
    large = many(count)
    size = f"{large.tx.size:,} bytes"
    few = max(1, runs // 3)
    big = [
        *rows(f"{count:,} withdrawals: check", large.fresh, few, note=size),
        *rows(f"{count:,} withdrawals: bytes to fields", lambda: _decoding(large.tx.raw), few),
        *rows(f"{count:,} withdrawals: a block with it", lambda: block_of(large), few),
    ]
    return [Table("Verifying a settlement", small), Table("A settlement after a pause of finality", big)]


def _decoding(raw: bytes) -> Callable[[], object]:
    return lambda: Transaction.decode(raw)
