"""The composition root: the one place that constructs. Everything else is given what it needs."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ioex_chain.bridge.settlement import settlement_rule
from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.errors import StoreError
from ioex_chain.ledger.group_store import GroupStore
from ioex_chain.ledger.store import LevelStore
from ioex_chain.ledger.types import Codec, KeyValueStore
from ioex_chain.node.clock import SystemClock
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.datadir import DataDir
from ioex_chain.node.processes import verify_pool
from ioex_chain.node.setup import prepare_datadir
from ioex_chain.pow.block import Block
from ioex_chain.pow.consensus import PowEngine
from ioex_chain.pow.genesis import genesis_block, identity_of
from ioex_chain.pow.header import Header
from ioex_chain.pow.ledger import PowLedger
from ioex_chain.pow.machine import PowMachine
from ioex_chain.pow.verified import VerifiedCache
from ioex_chain.primitives.clock import Clock
from ioex_chain.spec.model import NetworkSpec

CODEC: Codec[Header, Block] = Codec(Header.decode, Block.decode)
HISTORY = 288
"""Blocks of undo kept beyond the deepest reorganisation, for what RPC answers about the recent past."""
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Chain:
    """An open PoW chain without a node around it: what offline commands work on."""

    datadir: DataDir
    spec: NetworkSpec
    store: LevelStore
    ledger: PowLedger
    verified: VerifiedCache
    workers: ProcessPoolExecutor | None
    clock: Clock


def undo_depth(spec: NetworkSpec) -> int:
    """Give how many undo records the network's nodes keep."""
    return spec.pow.max_reorg_depth + HISTORY


def open_store(config: NodeConfig, datadir: DataDir, *, create: bool) -> LevelStore:
    """Open the PoW chain's database. Raises StoreError."""
    cache = config.db_cache_mb * _MIB
    return LevelStore(
        datadir.database, create=create, write_buffer=max(4 * _MIB, cache // 3), cache=cache // 3
    )


def pow_machine(
    spec: NetworkSpec,
    *,
    workers: ProcessPoolExecutor | None = None,
    verified: VerifiedCache | None = None,
    indexes: bool = True,
) -> PowMachine:
    """Make the PoW chain's state machine with the bridge's rule: no part of the program makes another one."""
    return PowMachine(
        spec,
        workers=workers,
        verified=VerifiedCache() if verified is None else verified,
        indexes=indexes,
        settlements=settlement_rule(spec),
    )


def open_ledger(
    spec: NetworkSpec,
    store: KeyValueStore,
    clock: Clock,
    *,
    indexes: bool = True,
    archive: bool = False,
    workers: ProcessPoolExecutor | None = None,
    verified: VerifiedCache | None = None,
) -> PowLedger:
    """Put the PoW chain's rules on a store. Raises StoreError."""
    return Ledger(
        store,
        PowEngine(spec.pow),
        pow_machine(spec, workers=workers, verified=verified, indexes=indexes),
        CODEC,
        genesis_block(spec),
        network_id=identity_of(spec),
        clock=clock,
        max_reorg_depth=spec.pow.max_reorg_depth,
        undo_depth=undo_depth(spec),
        archive=archive,
    )


def naming(error: StoreError, place: Path) -> StoreError:
    """Give the error with the database's folder in its message: rows do not know where they lie."""
    return error if str(place.parent) in str(error) else type(error)(f"{place}: {error}")


@contextmanager
def open_chain(config: NodeConfig, clock: Clock | None = None, *, create: bool = True) -> Iterator[Chain]:
    """Lock the data directory, open the chain in it, and close both. Raises StoreError, SpecError.

    With `create` false there must be a data directory already.
    """
    clock = clock or SystemClock()
    datadir = DataDir(config.datadir, config.network)
    if not create:
        datadir.identity()
    datadir, spec = prepare_datadir(config, clock)
    datadir.lock()
    kept: GroupStore | None = None
    workers = verify_pool(config.verify_processes)
    try:
        store = open_store(config, datadir, create=True)
        kept = GroupStore(store)
        verified = VerifiedCache()
        ledger = open_ledger(
            spec,
            kept,
            clock,
            indexes=datadir.identity().indexes,
            archive=config.archive,
            workers=workers,
            verified=verified,
        )
        yield Chain(datadir, spec, store, ledger, verified, workers, clock)
    except StoreError as error:
        raise naming(error, datadir.database) from error
    finally:
        if workers is not None:
            workers.shutdown(cancel_futures=True)
        if kept is not None:
            kept.close()
        datadir.unlock()
