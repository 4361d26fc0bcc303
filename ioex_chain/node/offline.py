"""Both chains' databases for the tools of a stopped node: check, repair, compact, reindex, export, import."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ioex_chain.dpos.codec import block_codec
from ioex_chain.dpos.consensus import DposEngine
from ioex_chain.dpos.execution import EvmWorld
from ioex_chain.dpos.genesis import genesis_block as dpos_genesis_block
from ioex_chain.dpos.machine import DposMachine
from ioex_chain.dpos.mempool_known import KnownTransactions
from ioex_chain.dpos.pow_facts import StatePowFacts
from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.errors import MutatedBlock, StoreError
from ioex_chain.ledger.opening import refuse_foreign
from ioex_chain.ledger.store import LevelStore
from ioex_chain.ledger.types import Codec, KeyValueStore
from ioex_chain.node.build import CODEC, naming, open_ledger, open_store
from ioex_chain.node.clock import SystemClock
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.datadir import DataDir, Identity
from ioex_chain.node.dpos_build import Under, naming_dpos, open_dpos_ledger, open_dpos_store
from ioex_chain.node.processes import verify_pool
from ioex_chain.node.solo_chain import Notes
from ioex_chain.pow.block import MAX_BLOCK_SIZE
from ioex_chain.pow.genesis import genesis_block, identity_of
from ioex_chain.pow.machine import check_body
from ioex_chain.primitives.types import display
from ioex_chain.spec.identity import dpos_identity, magic
from ioex_chain.spec.load import load_network
from ioex_chain.spec.model import NetworkSpec

POW, DPOS = "pow", "dpos"
_RECOVERY_THREADS = 2
AnyLedger = Ledger[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A stopped node's folder, held by this process."""

    config: NodeConfig
    datadir: DataDir
    identity: Identity
    spec: NetworkSpec
    closing: ExitStack
    """What a tool started ends with it."""

    def tools(self, chain: str) -> "Tools":
        """Give the tools of `pow` or `dpos`."""
        return PowTools(self) if chain == POW else DposTools(self)

    @property
    def has_dpos(self) -> bool:
        """Whether the DPoS chain has a database here."""
        return self.datadir.dpos_database.exists()


@contextmanager
def stopped_node(config: NodeConfig) -> Iterator[Place]:
    """Take the folder of a stopped node. Raises NotInitialised, StoreError."""
    datadir = DataDir(config.datadir, config.network)
    identity = datadir.identity()
    datadir.lock()
    try:
        spec = load_network(identity.network, **identity.options())
        with ExitStack() as stack:
            yield Place(config, datadir, identity, spec, stack)
    finally:
        datadir.unlock()


class Tools(ABC):
    """One chain's database. Codec, blocks and ledger belong together."""

    codec: Codec[Any, Any]
    database: Path
    rebuilt: Path
    magic: bytes
    """4 bytes before each block of an export: no chain's export is taken for another's."""
    max_block_size: int

    def __init__(self, place: Place) -> None:
        self.place = place
        self.spec = place.spec

    @property
    @abstractmethod
    def genesis(self) -> Any:
        """The genesis block."""

    @abstractmethod
    def open_store(self, *, create: bool = False) -> LevelStore:
        """Open the database, damaged or not; it exists unless `create`. Raises StoreError."""

    @abstractmethod
    def open_ledger(self, store: KeyValueStore, *, indexes: bool = True) -> AnyLedger:
        """Put the chain's rules on a store; `indexes` is for the PoW chain. Raises StoreError."""

    @abstractmethod
    def named(self, error: StoreError) -> StoreError:
        """Give the error with the database's place and this chain's commands in its message."""

    @abstractmethod
    def take_rebuilt(self, indexes: bool) -> None:
        """Put the rebuilt database in the old one's place. Raises StoreFull."""

    @abstractmethod
    def shown(self, hash_: bytes) -> str:
        """Write a block's hash as this chain does."""

    @abstractmethod
    def check_body(self, block: Any) -> None:
        """Check a body against its header. Raises Rejected."""

    @contextmanager
    def opened(self, *, create: bool = False) -> Iterator[LevelStore]:
        """Open the database, damaged or not, unless it is somebody else's. Raises StoreError."""
        try:
            with closing(self.open_store(create=create)) as store:
                refuse_foreign(store, identity_of(self.spec), self.genesis.header.hash)
                yield store
        except StoreError as error:
            raise self.named(error) from error

    @contextmanager
    def open(self, *, create: bool = False) -> Iterator[AnyLedger]:
        """Open a sound database with the chain's rules on it. Raises StoreError."""
        with self.opened(create=create) as store:
            yield self.open_ledger(store)


class PowTools(Tools):
    """The PoW chain's."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.codec = CODEC
        self.database, self.rebuilt = place.datadir.database, place.datadir.rebuilt
        self.magic = magic(identity_of(self.spec))
        self.max_block_size = MAX_BLOCK_SIZE
        self.genesis_block = genesis_block(self.spec)

    @property
    def genesis(self) -> Any:
        """The genesis block."""
        return self.genesis_block

    def open_store(self, *, create: bool = False) -> LevelStore:
        """Open the database, damaged or not. Raises StoreError."""
        return open_store(self.place.config, self.place.datadir, create=create)

    def open_ledger(self, store: KeyValueStore, *, indexes: bool = True) -> AnyLedger:
        """Put the chain's rules on a store. Raises StoreError."""
        config = self.place.config
        workers = verify_pool(config.verify_processes)
        if workers is not None:
            self.place.closing.callback(workers.shutdown, cancel_futures=True)
        return open_ledger(
            self.spec, store, SystemClock(), indexes=indexes, archive=config.archive, workers=workers
        )

    def named(self, error: StoreError) -> StoreError:
        """Give the error with the database's place in its message."""
        return naming(error, self.database)

    def take_rebuilt(self, indexes: bool) -> None:
        """Put the rebuilt database in the old one's place. Raises StoreFull."""
        self.place.datadir.take_rebuilt(replace(self.place.identity, indexes=indexes))

    def shown(self, hash_: bytes) -> str:
        """Write a block's hash in display order, as Bitcoin does."""
        return display(hash_)

    def check_body(self, block: Any) -> None:
        """Check a body against its header; genesis is exempt from rules, and compared as it is."""
        _check(block, self.genesis_block, partial(check_body, self.spec))


class DposTools(Tools):
    """The DPoS chain's, a solo devnet's with its edits."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        datadir = place.datadir
        self.database, self.rebuilt = datadir.dpos_database, datadir.dpos_rebuilt
        self.codec = block_codec(KnownTransactions().decode)
        self.magic = magic(dpos_identity(identity_of(self.spec)))
        self.max_block_size = self.spec.dpos.max_block_size
        threads = ThreadPoolExecutor(_RECOVERY_THREADS, thread_name_prefix="recover")
        place.closing.callback(threads.shutdown, cancel_futures=True)
        self._threads = threads
        pow_hash = genesis_block(self.spec).hash
        self.genesis_block = dpos_genesis_block(self.spec, pow_hash)
        engine = DposEngine(self.spec.dpos, self.genesis_block.header.hash)
        self._machine = DposMachine(self.spec, engine, EvmWorld(self.spec), StatePowFacts(self.spec))

    @property
    def genesis(self) -> Any:
        """The genesis block."""
        return self.genesis_block

    def open_store(self, *, create: bool = False) -> LevelStore:
        """Open the database, damaged or not. Raises StoreError."""
        datadir = self.place.datadir
        if create and not self.database.exists():
            datadir.dpos.mkdir(mode=0o700, exist_ok=True)
            if self.place.identity.solo:
                Notes.load(datadir.solo_notes, is_new=True)
        return open_dpos_store(self.place.config, datadir, create=create)

    def open_ledger(self, store: KeyValueStore, *, indexes: bool = True) -> AnyLedger:  # noqa: ARG002
        """Put the chain's rules on a store. Raises StoreError."""
        place = self.place
        solo = place.datadir if place.identity.solo else None
        under = Under.of(self.spec, SystemClock(), self._threads, solo)
        return open_dpos_ledger(
            self.spec, store, under.clock, world=under.world, archive=place.config.archive
        ).ledger

    def named(self, error: StoreError) -> StoreError:
        """Give the error with the database's place and this chain's commands in its message."""
        return naming_dpos(error, self.database)

    def take_rebuilt(self, indexes: bool) -> None:  # noqa: ARG002
        """Put the rebuilt database in the old one's place. Raises StoreFull."""
        self.place.datadir.take_rebuilt_dpos()

    def shown(self, hash_: bytes) -> str:
        """Write a block's hash as Ethereum does."""
        return "0x" + hash_.hex()

    def check_body(self, block: Any) -> None:
        """Check a body against its header; genesis is compared as it is."""
        _check(block, self.genesis_block, self._machine.check_block)


def _check(block: Any, genesis: Any, check_block: Callable[[Any], None]) -> None:
    if block.header.hash != genesis.header.hash:
        check_block(block)
    elif block.encode() != genesis.encode():
        raise MutatedBlock("it is not this network's genesis block")
