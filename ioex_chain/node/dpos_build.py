"""Puts the DPoS chain together: its rules, its state, its database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from ioex_chain.dpos.block import Block
from ioex_chain.dpos.codec import block_codec
from ioex_chain.dpos.consensus import DposEngine
from ioex_chain.dpos.execution import EvmWorld, World
from ioex_chain.dpos.finality_ports import RecoveredSignatures, RememberedSignatures
from ioex_chain.dpos.genesis import genesis_block
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.machine import BlockReceipt, DposMachine
from ioex_chain.dpos.mempool_known import KnownTransactions
from ioex_chain.dpos.pow_facts import GenesisPowFacts
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
_MIB = 1 << 20
_RECOVERY_THREADS = 2

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
        GenesisPowFacts(pow_genesis),
        signatures,
    )
    ledger: DposLedger = Ledger(
        store,
        engine,
        machine,
        block_codec((known or KnownTransactions()).decode),
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
    checkpoint = parse_checkpoint(config.dpos_checkpoint)
    is_new = datadir.is_new and not datadir.dpos_database.exists()
    datadir.dpos.mkdir(mode=0o700, exist_ok=True)
    cache = config.db_cache_mb * _MIB
    threads = ThreadPoolExecutor(_RECOVERY_THREADS, thread_name_prefix="recover")
    kept: GroupStore | None = None
    try:
        store = LevelStore(
            datadir.dpos_database, create=True, write_buffer=max(4 * _MIB, cache // 3), cache=cache // 3
        )
        kept = GroupStore(store)
        senders, known = Senders(threads), KnownTransactions()
        world: World = EvmWorld(spec, senders)
        notes = None
        if config.solo:
            notes = Notes.load(datadir.solo_notes)
            senders, clock = SoloSenders(threads), SoloClock(clock, notes)
            world = SoloWorld(spec, senders, notes)
        rules = open_dpos_ledger(
            spec, kept, clock, world=world, known=known, archive=config.archive, checkpoint=checkpoint
        )
        yield DposChain(
            spec, store, rules.ledger, rules.engine, rules.machine, senders, known, clock, notes, is_new
        )
    except StoreError as error:
        raise naming(error, datadir.dpos_database) from error
    finally:
        threads.shutdown(cancel_futures=True)
        if kept is not None:
            kept.close()
