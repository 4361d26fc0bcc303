"""A ledger in memory for a builder's chain, and an oracle for its state.

chain = ChainBuilder(story_spec())
ledger = open_ledger(chain)
ledger.accept_block(chain.block(chain.genesis))
assert state_hash(ledger) == replay_hash(chain, tip)
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256

from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import Codec, Entry, KeyValueStore, Status
from ioex_chain.pow.block import Block
from ioex_chain.pow.consensus import PowEngine
from ioex_chain.pow.genesis import identity_of
from ioex_chain.pow.header import Header
from ioex_chain.pow.machine import PowMachine, PowReceipt
from ioex_chain.pow.reserve import SettlementRule
from ioex_chain.pow.utxo import scan_coins

from .builder import ChainBuilder

PowLedger = Ledger[Header, Block, PowReceipt]


def open_ledger(
    chain: ChainBuilder,
    store: KeyValueStore | None = None,
    machine: PowMachine | None = None,
    max_reorg_depth: int | None = -1,
) -> PowLedger:
    """Open a ledger on the builder's genesis, network and clock; by default in a new MemoryStore.

    `max_reorg_depth` is the spec's unless it is given (None: no limit).
    """
    depth = chain.spec.pow.max_reorg_depth if max_reorg_depth == -1 else max_reorg_depth
    return Ledger(
        MemoryStore() if store is None else store,
        PowEngine(chain.spec.pow),
        machine or PowMachine(chain.spec),
        Codec(Header.decode, Block.decode),
        chain.genesis,
        network_id=identity_of(chain.spec),
        clock=chain.clock,
        max_reorg_depth=depth,
        undo_depth=max(depth or 0, 2_000),
    )


def hash_rows(rows: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Give one hash over rows in key order."""
    digest = sha256()
    for key, value in rows:
        digest.update(len(key).to_bytes(4, "big") + key + len(value).to_bytes(4, "big") + value)
    return digest.digest()


def state_hash(ledger: PowLedger) -> bytes:
    """Give one hash over the ledger's state rows: UTXO set and indexes."""
    view = ledger.view()
    return hash_rows(row for letter in range(ord("a"), ord("z") + 1) for row in view.scan(bytes((letter,))))


def unspent(ledger: PowLedger) -> int:
    """Give the sum of the UTXO set in PoW units."""
    return sum(coin.value for _, coin in scan_coins(ledger.view()))


class DictView:
    """A state view over a dict that knows no undo: what a replay writes into."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.rows[key] = value

    def create(self, key: bytes, value: bytes) -> None:
        """Write a row, and hold the caller to its word that there is none."""
        assert key not in self.rows, f"create of a row that exists: {key.hex()}"
        self.rows[key] = value

    def swap(self, key: bytes, before: bytes | None, value: bytes | None) -> None:
        """Write a row (None deletes), and hold the caller to its word about the previous value."""
        assert self.rows.get(key) == before, f"swap of a row that holds another value: {key.hex()}"
        if value is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = value

    def delete(self, key: bytes) -> None:
        self.rows.pop(key, None)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted((key, value) for key, value in self.rows.items() if key.startswith(prefix)))


def replay(
    chain: ChainBuilder, tip: Block, *, indexes: bool = True, settlements: SettlementRule | None = None
) -> DictView:
    """Give the state after `tip`, made block by block from genesis with no ledger in between."""
    machine = PowMachine(chain.spec, indexes=indexes, settlements=settlements)
    view = DictView()
    parent: Entry[Header] | None = None
    for height, block in enumerate([chain.genesis, *chain.branch(tip)]):
        entry = Entry(block.header, height, 0, Status.BODY, 0, parent, _no_load)
        machine.connect(block, entry, view)
        parent = entry
    return view


def replay_hash(chain: ChainBuilder, tip: Block, settlements: SettlementRule | None = None) -> bytes:
    """Give `state_hash` of a replay up to `tip`."""
    return hash_rows(sorted(replay(chain, tip, settlements=settlements).rows.items()))


def _no_load(_hash: object) -> Entry[Header]:
    raise AssertionError("a replay holds every entry")
