"""Databases with a chain in them, and the full block that comes next: what `bench_block` connects.

Every transaction of the block spends outputs of the block before it, each of another transaction, so that
the database is read at keys that have nothing to do with each other.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ioex_chain.ledger.store import LevelStore
from ioex_chain.node.build import open_ledger
from ioex_chain.pow.block import Block
from ioex_chain.pow.transaction import Transaction, TxOut
from ioex_chain.pow.utxo import COIN_PREFIX, encode_coin
from tests.chaingen.builder import ChainBuilder, Funds
from tests.chaingen.owners import KeyHash, Owner, ScriptHash, private_key
from tests.chaingen.specs import story_spec

KEYS = 300
FEE = 1_000
_PER_WRITE = 50_000


def key_hash(number: int) -> Owner:
    """P2WPKH."""
    return KeyHash(private_key(number))


def two_of_three(number: int) -> Owner:
    """P2WSH of 2-of-3 CHECKMULTISIG."""
    return ScriptHash(tuple(private_key(f"{number} of {member}") for member in range(3)), 2, kind="multisig")


@dataclass(frozen=True)
class Shape:
    """What the measured block is made of; `transactions` counts the coinbase."""

    transactions: int
    form: str = "P2WPKH"
    owner: Callable[[int], Owner] = key_hash
    inputs: int = 1
    outputs: int = 2
    other_coins: int = 0
    """Coins of nobody that lie in the database as well."""

    def scaled(self, part: float) -> "Shape":
        """Give a smaller block of the same kind."""
        count = max(2, int(self.transactions * part))
        others = int(self.other_coins * part)
        return Shape(count, self.form, self.owner, self.inputs, self.outputs, others)

    @property
    def name(self) -> str:
        """Say what it is."""
        others = f", {self.other_coins:,} other coins in the database" if self.other_coins else ""
        return f"{self.transactions:,} transactions, {self.form}, {self.inputs} in {self.outputs} out{others}"


@dataclass(frozen=True)
class World:
    """A folder with the database `db` and the block; `spent` are the outputs that each spend spends."""

    folder: Path
    shape: Shape
    block: Block
    spent: Sequence[Sequence[TxOut]]


def make_world(folder: Path, shape: Shape) -> World:
    """Build the chain, connect all of it but the last block, and write down that block."""
    chain = ChainBuilder(story_spec())
    owners = [shape.owner(number) for number in range(KEYS)]
    blocks = chain.warm_up()
    count = shape.transactions - 1
    sources = _fan_out(chain, count, [key_hash(number) for number in range(KEYS)])
    blocks.append(chain.block(blocks[-1], [sources[0]]))
    split = _split(chain, sources[1], owners, shape.inputs)
    blocks.append(chain.block(blocks[-1], split))
    funds = [chain.all_funds(tx) for tx in split]
    chosen = [[funds[(at + 997 * n) % count][n] for n in range(shape.inputs)] for at in range(count)]
    body = [_pay(chain, coins, owners, at, shape.outputs) for at, coins in enumerate(chosen)]
    last = chain.block(blocks[-1], body)
    folder.mkdir(parents=True)
    _fill(folder / "db", chain, blocks, shape.other_coins)
    (folder / "block").write_bytes(last.raw)
    (folder / "facts").write_text(json.dumps({"time": chain.clock.time}))
    return World(folder, shape, last, [[coin.output() for coin in coins] for coins in chosen])


def _fan_out(chain: ChainBuilder, count: int, owners: Sequence[Owner]) -> tuple[Transaction, Sequence[Funds]]:
    source = chain.take()
    share = (source.value - FEE) // count
    tx = chain.spend(source, [(share, owners[at % len(owners)]) for at in range(count)])
    return tx, chain.all_funds(tx)


def _split(
    chain: ChainBuilder, sources: Sequence[Funds], owners: Sequence[Owner], parts: int
) -> list[Transaction]:
    share = (sources[0].value - FEE) // parts
    return [
        chain.spend(source, [(share, owners[(at + part) % len(owners)]) for part in range(parts)])
        for at, source in enumerate(sources)
    ]


def _pay(
    chain: ChainBuilder, coins: Sequence[Funds], owners: Sequence[Owner], at: int, outputs: int
) -> Transaction:
    share = (sum(coin.value for coin in coins) - FEE) // outputs
    return chain.spend(coins, [(share, owners[(7 * at + n) % len(owners)]) for n in range(outputs)])


def _fill(path: Path, chain: ChainBuilder, blocks: Sequence[Block], others: int) -> None:
    store = LevelStore(path, create=True)
    ledger = open_ledger(chain.spec, store, chain.clock)
    for start in range(0, others, _PER_WRITE):
        store.write(dict(map(_nobodys_coin, range(start, min(others, start + _PER_WRITE)))), sync=False)
    for block in blocks:
        ledger.accept_block(block)
    assert ledger.head.hash == blocks[-1].hash
    store.close()


def _nobodys_coin(number: int) -> tuple[bytes, bytes]:
    name = sha256(b"nobody's coin %d" % number).digest()
    return COIN_PREFIX + name + bytes(4), encode_coin(number, b"\x00\x14" + name[:20], 1, False)
