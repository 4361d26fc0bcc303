"""Makes DPoS blocks on any block that it made, with real keys, seals and votes, and no ledger in between.

It holds the whole state after every block, so it is also the oracle: what a ledger has after a block must be
what a replay from genesis gave here, notes included.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from chaingen.dpos_tiny import TinyPowFacts, TinyWorld, decode_tiny
from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos import certificates, codec, seal
from ioex_chain.dpos.block import Block, Payload
from ioex_chain.dpos.consensus import DposEngine
from ioex_chain.dpos.execution import EvmWorld, World
from ioex_chain.dpos.header import EMPTY_OMMERS_HASH, Header, SealedHeader
from ioex_chain.dpos.machine import Assembled, BlockReceipt, Candidate, DposMachine
from ioex_chain.dpos.pow_facts import PowFacts, StatePowFacts
from ioex_chain.dpos.records import DposEntry, Record
from ioex_chain.dpos.sets import ArbitratorSet
from ioex_chain.dpos.votes import Certificate, Checkpoint, Evidence, Link, Vote
from ioex_chain.evm.genesis import EMPTY_PAYLOAD, NO_REQUESTS
from ioex_chain.evm.trie import list_root
from ioex_chain.evm.types import EMPTY_TRIE_ROOT, Transaction
from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.types import Codec, Entry, KeyValueStore, Status
from ioex_chain.primitives.clock import Clock
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.load import load_network
from ioex_chain.spec.model import GenesisMember, NetworkSpec

POW_GENESIS = keccak256(b"a PoW genesis block")
NETWORK = keccak256(b"a network")

DposLedger = Ledger[SealedHeader, Block, BlockReceipt]


def private_key(number: int) -> bytes:
    return keccak256(b"arbitrator" + number.to_bytes(4, "big"))


def payout_of(number: int) -> bytes:
    return keccak256(b"payout" + number.to_bytes(4, "big"))[:20]


KEYS = {seal.address_of(private_key(number)): private_key(number) for number in range(64)}
ADDRESSES = list(KEYS)


def member_row(number: int) -> list[str]:
    """One entry of a tiny `rank` transaction."""
    return [ADDRESSES[number].hex(), payout_of(number).hex()]


def make_spec(members: int = 4, **dpos: Any) -> NetworkSpec:
    network = load_network("devnet")
    fields: dict[str, Any] = {
        "members": tuple(GenesisMember(ADDRESSES[n], payout_of(n)) for n in range(members)),
        "seats": members,
        "min_members": 1,
        "term_rounds": 3,
        "block_time": 10,
        "nominal_block_time": 30,
        "genesis_time": 1_000_000,
        "slot_lengths": (),
    }
    return replace(network, dpos=replace(network.dpos, **(fields | dpos)))


class DictView:
    """A state in a dict; `note` keeps what is noted."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        self.rows = rows
        self.noted: bytes | None = None
        self.get = rows.get

    def note(self, value: bytes) -> None:
        self.noted = value

    def put(self, key: bytes, value: bytes) -> None:
        self.rows[key] = value

    def create(self, key: bytes, value: bytes) -> None:
        assert key not in self.rows
        self.rows[key] = value

    def swap(self, key: bytes, before: bytes | None, after: bytes | None) -> None:
        assert self.rows.get(key) == before
        if after is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = after

    def delete(self, key: bytes) -> None:
        self.rows.pop(key, None)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted((key, value) for key, value in self.rows.items() if key.startswith(prefix)))


def tiny_genesis(spec: NetworkSpec) -> Block:
    header = Header(
        BlockHash(bytes(32)),
        EMPTY_OMMERS_HASH,
        bytes(20),
        bytes(32),
        EMPTY_TRIE_ROOT,
        EMPTY_TRIE_ROOT,
        bytes(256),
        0,
        0,
        spec.dpos.gas_limit,
        0,
        spec.dpos.genesis_time,
        b"",
        POW_GENESIS,
        bytes(8),
        spec.dpos.min_base_fee,
        list_root([]),
        0,
        0,
        keccak256(EMPTY_PAYLOAD),
        keccak256(NO_REQUESTS),
    )
    return codec.make_block(SealedHeader(header, b""), (), (), Payload())


class Forge:
    """Blocks, entries, states and records of every block that was made with `extend` or taken with `add`."""

    def __init__(
        self,
        spec: NetworkSpec | None = None,
        world: Callable[[NetworkSpec], World] = TinyWorld,
        genesis: Block | None = None,
        decode: codec.DecodeTransaction = decode_tiny,
    ) -> None:
        self.spec = spec or make_spec()
        self.world = world
        self.genesis = genesis or tiny_genesis(self.spec)
        self.codec: Codec[SealedHeader, Block] = codec.block_codec(decode)
        self.engine, self.machine = self.rules()
        self.schedule = self.engine.schedule
        self.blocks: dict[BlockHash, Block] = {}
        self.entries: dict[BlockHash, DposEntry] = {}
        self.rows: dict[BlockHash, dict[bytes, bytes]] = {}
        self.add(self.genesis)

    def rules(self) -> tuple[DposEngine, DposMachine]:
        """Engine and machine of a node."""
        engine = DposEngine(self.spec.dpos, self.genesis.header.hash)
        world = self.world(self.spec)
        has_contracts = isinstance(world, EvmWorld)
        facts: PowFacts = StatePowFacts(self.spec) if has_contracts else TinyPowFacts(POW_GENESIS)
        return engine, DposMachine(self.spec, engine, world, facts)

    def open(self, store: KeyValueStore, clock: Clock, **options: Any) -> DposLedger:
        """A node's ledger; `engine` is kept at `ledger._engine`."""
        engine, machine = self.rules()
        settings: dict[str, Any] = {
            "network_id": NETWORK,
            "clock": clock,
            "max_reorg_depth": None,
            "undo_depth": 128,
            "undo_to_floor": True,
            "max_unverified": self.spec.dpos.max_unverified,
        }
        return Ledger(store, engine, machine, self.codec, self.genesis, **(settings | options))

    # Facts of blocks that were made.

    def entry(self, block: Block) -> DposEntry:
        return self.entries[block.header.hash]

    def entry_of(self, block: Block) -> DposEntry:
        """An entry for a block that is not taken; its parent is."""
        parent = self.entries[block.header.parent_hash]
        height = parent.height + 1
        return Entry(block.header, height, height, Status.BODY, height, parent, self.entries.__getitem__)

    def record(self, block: Block) -> Record:
        return self.engine.records.require(self.entry(block))

    def slot(self, block: Block) -> int:
        return self.schedule.slot_of(block.header.header.timestamp)

    def members_at(self, block: Block) -> ArbitratorSet:
        return self.engine.records.in_force(self.entry(block), self.record(block))

    def parent(self, block: Block) -> Block:
        return self.blocks[block.header.parent_hash]

    def path(self, block: Block) -> list[Block]:
        path = [block]
        while path[-1] is not self.genesis:
            path.append(self.parent(path[-1]))
        return path[::-1]

    def end_of(self, slot: int) -> int:
        return self.schedule.slot_end(slot) - 1

    def producer_key(self, parent: Block, slot: int) -> bytes:
        producer = self.engine.producer(self.entry(parent), slot)
        assert producer is not None
        return KEYS[producer.key]

    # Making.

    def checkpoint(self, block: Block) -> Checkpoint:
        return Checkpoint(block.header.hash, block.header.header.number)

    def link(self, target: Block) -> Link:
        """What an honest vote for `target` says."""
        return Link(self.members_at(target).number, self.record(target).justified, self.checkpoint(target))

    def vote(self, link: Link, private: bytes) -> Vote:
        return Vote(link, seal.sign(private, seal.vote_digest(self.genesis.header.hash, link)))

    def certificate(self, target: Block, voters: Iterable[int] | None = None) -> Certificate:
        """Honest votes for `target`: of all who may vote, or of those at `voters` among them."""
        members, link = self.members_at(target), self.link(target)
        chosen = range(len(members.voters)) if voters is None else voters
        keys = [members.voters[position].key for position in chosen]
        made = certificates.assemble(link, {key: self.vote(link, KEYS[key]) for key in keys}, members)
        assert made is not None
        return made

    def assemble(
        self,
        parent: Block,
        slot: int | None = None,
        transactions: Iterable[Transaction] = (),
        certificate: Certificate | None = None,
        evidence: tuple[Evidence, ...] = (),
        extra_data: bytes = b"",
        pow_headers: Sequence[bytes] = (),
        deposit_proofs: Sequence[bytes] = (),
    ) -> Assembled:
        view = DictView(dict(self.rows[parent.header.hash]))
        at = self.slot(parent) + 1 if slot is None else slot
        candidate = Candidate(
            at, tuple(transactions), certificate, evidence, extra_data, pow_headers, deposit_proofs
        )
        return self.machine.assemble(view, self.entry(parent), candidate)

    def seal(self, header: Header, private: bytes) -> bytes:
        return seal.sign(private, seal.seal_digest(self.genesis.header.hash, header.hash))

    def make(self, parent: Block, slot: int | None = None, **parts: Any) -> Block:
        """A valid block that is not taken."""
        made = self.assemble(parent, slot, **parts)
        return made.sealed(self.seal(made.header, KEYS[made.producer.key]))

    def extend(self, parent: Block, slot: int | None = None, **parts: Any) -> Block:
        """A valid block, taken."""
        return self.add(self.make(parent, slot, **parts))

    def grow(self, parent: Block, count: int, *, final: bool = False) -> list[Block]:
        """`count` blocks in consecutive slots; with `final` each carries the certificate of its parent."""
        made = []
        for _ in range(count):
            certificate = self.certificate(parent) if final and parent is not self.genesis else None
            parent = self.extend(parent, certificate=certificate)
            made.append(parent)
        return made

    def add(self, block: Block) -> Block:
        """Execute a block on its parent's state and keep both; raises as the machine."""
        hash_ = block.header.hash
        parent = self.entries.get(block.header.parent_hash)
        height = 0 if parent is None else parent.height + 1
        entry: DposEntry = Entry(
            block.header, height, height, Status.BODY, height, parent, self.entries.__getitem__
        )
        view = DictView({} if parent is None else dict(self.rows[parent.hash]))
        self.machine.connect(block, entry, view)
        assert view.noted is not None
        entry.note = view.noted
        self.entries[hash_] = entry
        self.rows[hash_] = view.rows
        self.blocks[hash_] = block
        return block
