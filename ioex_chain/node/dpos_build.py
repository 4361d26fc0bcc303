"""Puts the DPoS chain together: its rules, its state, its database."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ioex_chain.dpos.block import Block
from ioex_chain.dpos.codec import block_codec
from ioex_chain.dpos.consensus import DposEngine
from ioex_chain.dpos.execution import EvmWorld, World
from ioex_chain.dpos.finality_ports import RecoveredSignatures, RememberedSignatures
from ioex_chain.dpos.genesis import genesis_block
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.machine import BlockReceipt, DposMachine
from ioex_chain.dpos.mempool_known import KnownTransactions
from ioex_chain.dpos.pow_facts import StatePowFacts
from ioex_chain.dpos.votes import Checkpoint
from ioex_chain.evm.senders import Senders
from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.errors import StoreError
from ioex_chain.ledger.group_store import GroupStore
from ioex_chain.ledger.store import LevelStore
from ioex_chain.ledger.types import KeyValueStore
from ioex_chain.node.build import naming
from ioex_chain.node.checkpoint import parse_checkpoint, refuse_contradiction
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.datadir import DataDir
from ioex_chain.node.solo_chain import Notes, SoloClock, SoloSenders, SoloWorld
from ioex_chain.pow.genesis import genesis_block as pow_genesis_block
from ioex_chain.pow.genesis import identity_of
from ioex_chain.primitives.clock import Clock
from ioex_chain.spec.model import NetworkSpec

HISTORY = 256
"""Blocks below the head whose state RPC can ask for, unless the node is an archive."""
STATE_BLOCK = 2_048
"""Bytes that the database reads for one row: those of a state are read one by one, all over the place."""
_MIB = 1 << 20
_RECOVERY_THREADS = 2

_COMMAND = re.compile(r"ioex db (?:check|repair|compact|reindex)(?! --chain)")

DposLedger = Ledger[SealedHeader, Block, BlockReceipt]


@dataclass(frozen=True, slots=True)
class DposChain:
    """An open DPoS chain without a node around it."""

    spec: NetworkSpec
    store: LevelStore
    ledger: DposLedger
    engine: DposEngine
    machine: DposMachine
    senders: Senders
    known: KnownTransactions
    clock: Clock
    notes: Notes | None
    """What a solo chain keeps beside itself; None for any other."""
    is_new: bool
    """Whether this very start made the chain's genesis."""
    database: Path

    def naming(self, error: StoreError) -> StoreError:
        """Give the error with this chain's place and commands in its message."""
        return naming_dpos(error, self.database)


def naming_dpos(error: StoreError, place: Path) -> StoreError:
    """Give the error with the database's folder in its message, and the commands as this chain takes them."""
    text = str(naming(error, place))
    return type(error)(_COMMAND.sub(r"\g<0> --chain dpos", text))


@dataclass(frozen=True, slots=True)
class DposRules:
    """The chain's rules, and the ledger that they stand on."""

    ledger: DposLedger
    engine: DposEngine
    machine: DposMachine


def open_dpos_ledger(
    spec: NetworkSpec,
    store: KeyValueStore,
    clock: Clock,
    *,
    world: World | None = None,
    known: KnownTransactions | None = None,
    archive: bool = False,
    checkpoint: Checkpoint | None = None,
) -> DposRules:
    """Put the DPoS chain's rules on a store; `world` is the EVM's state by default. Raises StoreError.

    CheckpointContradicted is raised when the best chain has another block at the checkpoint's height.
    """
    pow_genesis = pow_genesis_block(spec).hash
    block = genesis_block(spec, pow_genesis)
    genesis = block.header.hash
    engine = DposEngine(spec.dpos, genesis, checkpoint=checkpoint)
    signatures = RememberedSignatures(RecoveredSignatures(genesis))
    machine = DposMachine(
        spec,
        engine,
        world or EvmWorld(spec),
        StatePowFacts(spec),
        signatures,
        reuse_own=not isinstance(world, SoloWorld),  # whose edits may come between building and connecting
    )
    ledger: DposLedger = Ledger(
        store,
        engine,
        machine,
        block_codec((known or KnownTransactions(most_gas=spec.dpos.gas_limit)).decode),
        block,
        network_id=identity_of(spec),
        clock=clock,
        max_reorg_depth=None,
        undo_depth=HISTORY,
        undo_to_floor=True,
        archive=archive,
        max_unverified=spec.dpos.max_unverified,
    )
    trusted = None if checkpoint is None else ledger.entry_at(checkpoint.height)
    refuse_contradiction(checkpoint, None if trusted is None else trusted.hash)
    return DposRules(ledger, engine, machine)


@contextmanager
def open_dpos(config: NodeConfig, datadir: DataDir, spec: NetworkSpec, clock: Clock) -> Iterator[DposChain]:
    """Open the chain in a data directory that is locked already. Raises StoreError, InvalidCheckpoint."""
    with (
        ThreadPoolExecutor(_RECOVERY_THREADS, thread_name_prefix="recover") as threads,
        ExitStack() as opened,
    ):
        opened.callback(threads.shutdown, cancel_futures=True)
        try:
            chain = _open(config, datadir, spec, clock, threads, opened)
        except StoreError as error:
            raise naming_dpos(error, datadir.dpos_database) from error
        yield chain


def _open(
    config: NodeConfig,
    datadir: DataDir,
    spec: NetworkSpec,
    clock: Clock,
    threads: ThreadPoolExecutor,
    opened: ExitStack,
) -> DposChain:
    checkpoint = parse_checkpoint(config.dpos_checkpoint)
    is_new = datadir.is_new and not datadir.dpos_database.exists()
    datadir.dpos.mkdir(mode=0o700, exist_ok=True)
    under = Under.of(spec, clock, threads, datadir if config.solo else None)
    store = open_dpos_store(config, datadir, create=True)
    kept = opened.enter_context(closing(GroupStore(store)))
    known = KnownTransactions(most_gas=spec.dpos.gas_limit)
    rules = open_dpos_ledger(
        spec,
        kept,
        under.clock,
        world=under.world,
        known=known,
        archive=config.archive,
        checkpoint=checkpoint,
    )
    return DposChain(
        spec,
        store,
        rules.ledger,
        rules.engine,
        rules.machine,
        under.senders,
        known,
        under.clock,
        under.notes,
        is_new,
        datadir.dpos_database,
    )


def open_dpos_store(config: NodeConfig, datadir: DataDir, *, create: bool) -> LevelStore:
    """Open the DPoS chain's database. Raises StoreError."""
    cache = config.db_cache_mb * _MIB
    return LevelStore(
        datadir.dpos_database,
        create=create,
        write_buffer=max(4 * _MIB, cache // 3),
        cache=cache // 3,
        block=STATE_BLOCK,
    )


@dataclass(frozen=True, slots=True)
class Under:
    """What lies under the chain's rules: the EVM's state and the clock, or a solo chain's."""

    world: World
    senders: Senders
    clock: Clock
    notes: Notes | None

    @classmethod
    def of(
        cls, spec: NetworkSpec, clock: Clock, threads: ThreadPoolExecutor, solo: DataDir | None = None
    ) -> "Under":
        """Put it together; `solo` is the folder of a solo chain. Raises StoreError."""
        if solo is None:
            senders = Senders(threads)
            return cls(EvmWorld(spec, senders), senders, clock, None)
        notes = Notes.load(solo.solo_notes, is_new=not solo.dpos_database.exists())
        recovered = SoloSenders(threads)
        return cls(SoloWorld(spec, recovered, notes), recovered, SoloClock(clock, notes), notes)
