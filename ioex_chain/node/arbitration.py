"""The arbitrators of this node: their keys, their journal, the producer that seals and votes with them."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ioex_chain.bridge.relayer import PowItems
from ioex_chain.crypto.address import checksum_account
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.clock_guard import ClockGuard, PeerClocks
from ioex_chain.dpos.duties import Reason
from ioex_chain.dpos.ears import Ears
from ioex_chain.dpos.evidence import Offence
from ioex_chain.dpos.journal import Journal
from ioex_chain.dpos.journal_file import DiskFile, KeyMarkers, NoMarker
from ioex_chain.dpos.machine import Assembled, Candidate
from ioex_chain.dpos.mempool_select import Offers
from ioex_chain.dpos.producer import Event, Missed, Order, Producer, Sealed, Silent
from ioex_chain.dpos.records import DposEntry
from ioex_chain.dpos.registry import RegistryReader
from ioex_chain.dpos.sets import Member
from ioex_chain.dpos.signer import Signer, SigningKey
from ioex_chain.dpos.signing_errors import SigningRefused
from ioex_chain.dpos.votes import Vote
from ioex_chain.evm.state import FlatState
from ioex_chain.ledger.errors import StoreError
from ioex_chain.ledger.types import Readable, StateView
from ioex_chain.node import log
from ioex_chain.node.config import ConfigError, NodeConfig
from ioex_chain.node.dpos_service import DposService
from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.eth_backend import SigningView
from ioex_chain.wallet.files import read_key_file
from ioex_chain.wallet.hd import DEV_MNEMONIC, MasterKey

logger = log.get(__name__)
MAX_SEATS = 51
_REMEMBERED_MISSES = 4_096
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


Items = Callable[[Readable, int], PowItems]
"""Gives what a block on this state, at this Unix time, can carry of the PoW chain."""


def no_items(_state: Readable, _timestamp: int) -> PowItems:
    """Give nothing: for a node without the PoW chain beside it."""
    return PowItems()


class ProducerChain:
    """What the producer needs of the node: `dpos.producer.Chain`."""

    def __init__(self, service: DposService, *, is_alone: bool, items: Items = no_items) -> None:
        """`is_alone`: the node needs no peers to know the best chain (a devnet's first node).

        `items` gives what a block carries of the PoW chain.
        """
        self._service = service
        self._items = items
        self._is_alone = is_alone

    def head(self) -> DposEntry:
        """Give the best chain's last block."""
        return self._service.ledger.head

    def slot_of(self, entry: DposEntry) -> int:
        """Give the slot of a block."""
        return self._service.engine.slot_of(entry)

    def producer(self, parent: DposEntry, slot: int) -> Member | None:
        """Give who may seal a block in `slot`; None while that is not known."""
        return self._service.engine.producer(parent, slot)

    def is_synced(self) -> bool:
        """Whether the node knows the best chain, as far as it can tell."""
        return not self._service.peers.sync_state().is_syncing and self.is_heard()

    def is_late(self, entry: DposEntry) -> bool:
        """Whether a block was first seen after its slot had ended."""
        return self._service.engine.is_late(entry.hash)

    def tallest(self) -> int:
        """Give the height of the highest block known on any branch."""
        return max(entry.height for entry in self._service.ledger.tips())

    def is_heard(self) -> bool:
        """Whether the node hears the network, or needs nobody."""
        return self._is_alone or bool(self._service.peers.peers())

    async def assemble(self, order: Order[DposEntry]) -> Assembled | None:
        """Build a block; None if the parent is the head no more. Raises IoexError."""
        until = time.monotonic() + order.fill_seconds
        return await self._service.call(lambda: self._assemble(order, until))

    def _assemble(self, order: Order[DposEntry], until: float) -> Assembled | None:
        service = self._service
        if service.ledger.head.hash != order.parent.hash:
            return None
        spec = service.spec.dpos
        selection = service.mempool.select(
            service.next_base_fee(order.parent),
            max_count=spec.max_block_transactions,
            max_bytes=spec.max_block_size,
        )
        timestamp = service.engine.schedule.slot_start(order.slot)

        def work(view: StateView, head: DposEntry) -> Assembled:
            items = self._items(view, timestamp)
            candidate = Candidate(
                order.slot,
                Offers(selection),
                order.certificate,
                order.evidence,
                pow_headers=items.headers,
                deposit_proofs=items.proofs,
            )
            return service.chain.machine.assemble(view, head, candidate, lambda: time.monotonic() < until)

        assembled = service.ledger.try_on_head(work)
        for tx, reason in assembled.rejected:
            logger.debug("a transaction of the pool fits in no block", hash=tx.hash.hex(), reason=str(reason))
            service.mempool.drop(tx.hash, reason)
        return assembled

    async def publish(self, block: Block) -> None:
        """Hand a block of ours to the ledger; the gossip announces the new head. Raises IoexError."""
        await self._service.submit_block(block)

    def is_counted(self, offence: Offence) -> bool:
        """Whether the registry takes no evidence for an offence: its key was never one, or is burned."""
        state = FlatState(self._service.ledger.view())
        return not RegistryReader(self._service.spec, state).takes_evidence(offence.key)

    def cast(self, votes: Sequence[Vote]) -> None:
        """Hand votes of ours to finality, which tells peers."""
        self._service.follower.on_votes(votes)


class Arbitrators:
    """Seals and votes with keys of this node. `start` and `stop` are awaited by the node."""

    def __init__(
        self,
        service: DposService,
        keys: Sequence[SigningKey],
        journal: Path,
        peer_clocks: PeerClocks,
        *,
        is_alone: bool,
        items: Items = no_items,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._items = items
        self._keys = keys
        self._journal_path = journal
        self._is_alone = is_alone
        self._wall = wall
        self._peer_clocks = peer_clocks
        self.missed: dict[int, str] = {}
        """Why slots of ours stayed empty, the newest of them."""
        self._task: asyncio.Task[None] | None = None
        self._marker: KeyMarkers | NoMarker = NoMarker()
        self.producer: Producer[DposEntry] | None = None
        self.signer: Signer | None = None

    @property
    def addresses(self) -> tuple[bytes, ...]:
        """The keys that this node signs with."""
        return tuple(key.address for key in self._keys)

    async def start(self) -> None:
        """Open the journal and begin. Raises StoreError, WrongJournal, MarkerLocked."""
        service, spec = self._service, self._service.spec.dpos
        schedule = service.engine.schedule
        guard = ClockGuard(
            self._wall,
            time.monotonic,
            spec.clock_tolerance,
            settle=2.0 * spec.block_time,
            peers=self._peer_clocks.estimate,
        )
        try:
            self._journal_path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._marker = self._open_marker()
            path = self._journal_path / "journal"
            journal = Journal(DiskFile(path), self._marker, service.engine.genesis)
        except OSError as error:
            raise StoreError(f"cannot use {self._journal_path}: {error.strerror}") from error
        if journal.damage is not None:
            logger.warning(
                "the signer's journal was damaged; the node listens before it signs", what=journal.damage
            )
        self.signer = Signer(
            self._keys,
            journal,
            service.engine.genesis,
            schedule,
            guard.now,
            window=spec.seats,
            is_new_chain=service.chain.is_new and self._is_alone,
        )
        self.producer = Producer(
            ProducerChain(service, is_alone=self._is_alone, items=self._items),
            service.finality,
            service.facts,
            self.signer,
            schedule,
            guard.now,
            max_evidence=spec.max_evidence,
            report=self._report,
        )
        service.finality.heard = Ears(self.signer, schedule, self._slot_of)
        producer = self.producer
        service.on_head.append(lambda _: producer.on_head())
        self._task = asyncio.create_task(self.producer.run())
        self._task.add_done_callback(self._ended)

    def signing(self) -> list[SigningView]:
        """Tell of each key whether it signs, and why not."""
        if self.signer is None or self.producer is None:
            return [SigningView(key, "starting") for key in self.addresses]
        return [self._signing_of(self.signer, key) for key in self.addresses]

    def _signing_of(self, signer: Signer, key: bytes) -> SigningView:
        try:
            signer.check(key)
        except SigningRefused as refused:
            return SigningView(key, refused.reason, str(refused))
        if not ProducerChain(self._service, is_alone=self._is_alone).is_synced():
            return SigningView(key, Reason.NOT_SYNCED, "the node is fetching the chain, or hears nobody")
        return SigningView(key, "")

    def _open_marker(self) -> KeyMarkers | NoMarker:
        try:
            boot = _BOOT_ID.read_bytes()
        except OSError:
            return NoMarker()
        folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"ioex-{os.getuid()}"
        return KeyMarkers(folder, self._service.engine.genesis, self.addresses, boot)

    def _slot_of(self, hash_: BlockHash) -> int | None:
        entry = self._service.ledger.entry(hash_)
        return None if entry is None else self._service.engine.slot_of(entry)

    def _report(self, event: Event) -> None:
        match event:
            case Sealed(slot=slot, hash=hash_):
                logger.debug("sealed", slot=slot, hash=hash_.hex())
            case Missed(slot=slot, key=key, idle=idle):
                self.missed[slot] = idle.reason
                while len(self.missed) > _REMEMBERED_MISSES:
                    del self.missed[next(iter(self.missed))]
                logger.warning(
                    "missed a slot of ours",
                    slot=slot,
                    key=None if key is None else checksum_account(key),
                    reason=idle.reason,
                    detail=idle.detail,
                )
            case Silent(idle=None):
                logger.info("signing again")
            case Silent(idle=idle) if idle is not None:
                logger.warning("signing nothing", reason=idle.reason, detail=idle.detail)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            logger.error("the producer failed; stopping", exc_info=task.exception())
            self._service.stopping.set()

    async def stop(self) -> None:
        """Sign nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if isinstance(self._marker, KeyMarkers):
            self._marker.close()


def load_keys(config: NodeConfig) -> list[SigningKey]:
    """Give the keys that this node signs with. Raises KeystoreError, ConfigError."""
    if not config.arbitrator_accounts:
        return [SigningKey(private) for private in _keystores(config)]
    if config.network != "devnet":
        raise ConfigError("arbitrator_accounts are those of the published mnemonic: on devnet only")
    master = MasterKey.from_mnemonic(DEV_MNEMONIC)
    return [SigningKey(master.dpos_key(_account(text))) for text in config.arbitrator_accounts]


def _account(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < MAX_SEATS):
        raise ConfigError(f"setting arbitrator_accounts: {text!r} is no number from 0 to {MAX_SEATS - 1}")
    return int(text)


def _keystores(config: NodeConfig) -> list[bytes]:
    if not config.arbitrator_keys:
        return []
    if config.arbitrator_password_file is None:
        raise ConfigError("arbitrator_keys needs arbitrator_password_file: a node starts without a person")
    try:
        password = config.arbitrator_password_file.read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"setting arbitrator_password_file: cannot read {config.arbitrator_password_file}"
        ) from error
    return [read_key_file(Path(path).expanduser(), lambda: password) for path in config.arbitrator_keys]
