"""A world: nodes, liars, miners, wallets and faults, all from one seed."""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from chaingen.specs import key

from ioex_chain.ledger.store import MemoryStore
from ioex_chain.p2p.types import Endpoint, PeerAddress
from ioex_chain.pow.difficulty import work_of
from ioex_chain.primitives.types import display

from .chain import SimChain
from .coins import Purse, sim_spec
from .disk import SimDisk
from .liars import KINDS, Garbler, Liar
from .mining import SimMiner
from .network import PORT, Conditions, SimNetwork, address_of
from .node import SimNode, genesis_rows
from .properties import problems
from .scheduler import Scheduler
from .wallets import Wallets

_SEEDS = 3
_LONGEST_WAIT = 24
"""Times of 5 seconds that mining goes on until every payment is in a block."""


@dataclass(frozen=True)
class Shape:
    """What a world is made of. Times in seconds of virtual time, rates a second."""

    nodes: int = 12
    """Honest ones."""
    liars: int = 0
    kinds: tuple[type[Liar], ...] = KINDS
    lie_every: float = 6.0
    garblers: int = 0
    miners: tuple[float, ...] = (3.0, 2.0, 1.0, 1.0)
    """Shares of the hash rate, of the first nodes."""
    hash_power: float = 1.0
    """In all, compared with what keeps the spacing at the easiest target."""
    retarget: bool = False
    duration: float = 200.0
    quiet: float = 40.0
    payments: float = 0.2
    pairs: float = 0.2
    coins: int = 150
    conditions: Conditions = field(default_factory=Conditions)
    partitions: tuple[tuple[float, float, int], ...] = ()
    """From, until, and n: every nth honest node is on one side, all others on the other."""
    crash_every: float | None = None
    """Mean time between crashes of honest nodes."""
    downtime: tuple[float, float] = (2.0, 30.0)
    firewalled: float = 0.2
    """Part of the honest nodes (not of the seeds) that cannot be dialled."""
    clock_offset: float = 2.0
    clock_steps: float | None = None
    """Mean time between steps of some node's clock by up to two minutes."""
    late: tuple[int, float] = (0, 0.0)
    """How many of the honest nodes (the last ones) start later, and when."""
    tick: float = 0.5
    outbound: int = 4
    """Nodes that each one dials: few, so that news travel over several hops."""
    max_depth: int = 100


class World:
    """Runs a shape from a seed; see `problems` for what must hold in the end."""

    most_queued = 2_000
    most_peers = 130

    def __init__(
        self,
        seed: int,
        shape: Shape,
        *,
        log: Callable[[str], None] | None = None,
        disk: Callable[[str], SimDisk] | None = None,
    ) -> None:
        """`log` receives every line of the trace; `disk` makes a node's disk, by default one in memory."""
        self.shape = shape
        self.scheduler = Scheduler(seed, log=log)
        self.spec = sim_spec(shape.coins, retarget=shape.retarget, max_reorg_depth=shape.max_depth)
        self.network = SimNetwork(self.scheduler, shape.conditions)
        self.faults: list[str] = []
        self.crashes = 0
        self._moved = 0
        self._chance = self.scheduler.stream("world")
        rows = genesis_rows(self.spec)
        self._disk = disk or (lambda _name: SimDisk(MemoryStore(rows)))
        purse = Purse(self.spec)
        self.honest = [self._node(number) for number in range(shape.nodes)]
        self.liars = [self._liar(number, purse) for number in range(shape.liars)]
        self.miners = self._miners()
        self.wallets = Wallets(self.scheduler, purse, self.running)
        self._garblers = [self._garbler(number) for number in range(shape.garblers)]
        self._schedule()

    def running(self) -> list[SimChain]:
        """Give the chains of the honest nodes that are up."""
        return [node.chain for node in self.honest if node.is_up]

    # --- building -----------------------------------------------------------------------------------------

    def _node(self, number: int) -> SimNode:
        shape, chance = self.shape, self._chance
        machine = self.network.machine(f"n{number}", address_of(number))
        machine.firewalled = number >= _SEEDS and chance.random() < shape.firewalled
        node = SimNode(
            self.scheduler,
            machine,
            self.spec,
            self._disk(machine.name),
            tick=shape.tick,
            outbound=shape.outbound,
        )
        node.clock.offset = chance.uniform(-shape.clock_offset, shape.clock_offset)
        node.seeds = self._seeds()
        node.on_fault = lambda error: self._fault(node, error)
        return node

    def _liar(self, number: int, purse: Purse) -> SimNode:
        shape = self.shape
        machine = self.network.machine(f"l{number}", address_of(100 + number))
        node = SimNode(
            self.scheduler,
            machine,
            self.spec,
            self._disk(machine.name),
            tick=shape.tick,
            outbound=shape.outbound,
        )
        kind = shape.kinds[number % len(shape.kinds)]
        chance = self.scheduler.stream(f"liar {number}")
        node.disguise = lambda gossip, chain: kind(
            gossip, chain, self.scheduler, purse, chance, shape.lie_every
        )
        node.seeds = self._seeds()
        node.on_fault = lambda error: self._fault(node, error)
        return node

    def _seeds(self) -> list[PeerAddress]:
        machines = [self.network.machine(f"n{number}", address_of(number)) for number in range(_SEEDS)]
        return [PeerAddress(SimNode.key_of(machine).id, Endpoint(machine.host, PORT)) for machine in machines]

    def _miners(self) -> list[SimMiner]:
        shape, spec = self.shape, self.spec.pow
        rate = shape.hash_power * work_of(spec.pow_limit_bits) / spec.spacing / sum(shape.miners)
        return [
            SimMiner(
                self.scheduler,
                node.name,
                lambda node=node: node.chain if node.is_up else None,  # type: ignore[misc]
                key(f"miner {node.name}").script,
                rate * share,
            )
            for node, share in zip(self.honest, shape.miners, strict=False)
        ]

    def _garbler(self, number: int) -> Garbler:
        machine = self.network.machine(f"g{number}", address_of(180 + number))
        victims = [Endpoint(node.machine.host, PORT) for node in self.honest]
        return Garbler(self.scheduler, machine.dial, victims, 2.0)

    # --- faults -------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        shape, scheduler = self.shape, self.scheduler
        late, when = shape.late
        for number, node in enumerate([*self.honest, *self.liars]):
            is_late = shape.nodes - late <= number < shape.nodes
            scheduler.after(self._chance.uniform(0.0, 3.0) + is_late * when, node.start)
        begin = self.spec.pow.coinbase_maturity * self.spec.pow.spacing
        scheduler.at(begin, self._open_wallets)
        for start, end, nth in shape.partitions:
            side = [node.machine.host for node in self.honest[::nth]]
            rest = [
                node.machine.host for node in [*self.honest, *self.liars] if node.machine.host not in side
            ]
            scheduler.at(start, lambda side=side, rest=rest: self.network.partition(side, rest))  # type: ignore[misc]
            scheduler.at(end, self.network.heal)
        if shape.crash_every is not None:
            self._poisson(shape.crash_every, self._crash)
        if shape.clock_steps is not None:
            self._poisson(shape.clock_steps, self._step_clock)
        self._rotate()

    def _open_wallets(self) -> None:
        if self.shape.payments:
            self.wallets.pay_at(self.shape.payments)
        if self.shape.pairs:
            self.wallets.double_spend_at(self.shape.pairs)

    def _poisson(self, mean: float, act: Callable[[], None]) -> None:
        def turn() -> None:
            if self.scheduler.now < self.shape.duration:
                self._poisson(mean, act)
                act()

        self.scheduler.after(self._chance.expovariate(1 / mean), turn)

    def _crash(self) -> None:
        node = self._chance.choice(self.honest)
        if node.is_up:
            self.crashes += 1
            node.crash()
            self.scheduler.after(self._chance.uniform(*self.shape.downtime), node.start)

    def _step_clock(self) -> None:
        node = self._chance.choice(self.honest)
        node.clock.offset = self._chance.uniform(-120.0, 120.0)
        self.scheduler.note(node.name, f"clock {node.clock.offset:.1f}")

    def _rotate(self) -> None:
        """Give a liar whom nobody wants any more another key and address."""
        self.scheduler.after(20.0, self._rotate)
        for liar in self.liars:
            if liar.is_up and not liar.host.peers() and self._chance.random() < 0.5:
                self._moved += 1
                liar.crash()
                liar.move(self.network.machine(f"{liar.name}'", address_of(200 + self._moved)))
                liar.start()

    def _fault(self, node: SimNode, error: Exception) -> None:
        self.scheduler.note(node.name, f"fault {type(error).__name__}: {error}")
        self.faults.append(f"{node.name} stopped: {''.join(traceback.format_exception(error)[-6:])}")

    # --- running ------------------------------------------------------------------------------------------

    def run(self) -> list[str]:
        """Run to the end, and give what does not hold."""
        with _errors_logged(self.faults):
            self._run()
        return problems(self)

    def _run(self) -> None:
        shape = self.shape
        self.scheduler.run(shape.duration)
        self.wallets.is_on = False
        self.network.heal()
        self.scheduler.run(shape.duration + shape.quiet)
        for _ in range(_LONGEST_WAIT):
            if not self.wallets.unconfirmed():
                break
            self.scheduler.run(self.scheduler.now + 5.0)
        for miner in self.miners:
            miner.is_on = False
        self.settle()

    def settle(self) -> None:
        """Let the last blocks spread; break a tie of equal work with one more block, as mining would."""
        self.scheduler.run(self.scheduler.now + 25.0)
        for miner in self.miners[:3]:
            heads = {chain.ledger.head.hash: chain.ledger.head.weight for chain in self.running()}
            if len(heads) < 2 or len(set(heads.values())) > 1:
                return
            chain = self.running()[0]
            miner.mine(chain)
            self.scheduler.run(self.scheduler.now + 15.0)

    def summary(self) -> str:
        """Say in a line what happened."""
        heads = sorted(
            {f"{chain.ledger.head.height}/{display(chain.ledger.head.hash)[-6:]}" for chain in self.running()}
        )
        return (
            f"seed {self.scheduler.seed}: heads {','.join(heads)}, "
            f"{sum(miner.found for miner in self.miners)} mined, "
            f"{sum(node.reorganisations for node in self.honest)} reorganisations, {self.crashes} crashes, "
            f"{sum(sum(node.lost) for node in self.honest)} blocks lost, "
            f"{len(self.wallets.pairs)} pairs, {sum(node.lies for node in self.liars)} lies, "
            f"{sum(len(node.bans.entries()) for node in self.honest if node.is_up)} bans, "
            f"{self.network.broken} links broken, {self.network.bytes_carried >> 10} KiB, "
            f"{self.scheduler.steps} steps, trace {self.scheduler.digest[:12]}"
        )


class _Errors(logging.Handler):
    """Hears of exceptions that the node survives by logging them: they are faults all the same."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        why = logging.Formatter().format(record)
        self._faults.append(f"logged: {why}")


@contextmanager
def _errors_logged(faults: list[str]) -> Iterator[None]:
    handler, logger = _Errors(faults), logging.getLogger("ioex_chain")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
