"""Named-block stories: blocks that break one rule each, and blocks that just keep it.

A story is a function that gets a `World` (a builder, a ledger, a tip), may add blocks that set the scene, and
gives a block on the tip with the verdict that it must get. The tests in tests/unit/test_pow_stories.py tell
them all; the rules are those of docs/protocol.md sections 1 and 3.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.model import NetworkSpec

from .builder import ChainBuilder, Funds, Pay
from .harness import open_ledger
from .owners import Owner
from .specs import key, story_spec


class World:
    """A chain whose genesis outputs have matured, and a ledger that follows it."""

    def __init__(self, spec: NetworkSpec) -> None:
        self.chain = ChainBuilder(spec)
        self.ledger = open_ledger(self.chain)
        self.tip = self.chain.genesis
        for block in self.chain.warm_up():
            self.accept(block)

    @property
    def next_height(self) -> int:
        """The height of a block on the tip."""
        return self.chain.height(self.tip) + 1

    def accept(self, block: Block) -> Block:
        """Give the ledger a block that must become its head."""
        self.ledger.accept_block(block)
        assert self.ledger.head.hash == block.hash
        self.tip = block
        return block

    def add(self, *transactions: Transaction, **fields: object) -> Block:
        """Make a valid block on the tip and have it accepted."""
        return self.accept(self.block(*transactions, **fields))

    def block(self, *transactions: Transaction, **fields: object) -> Block:
        """Make a block on the tip; `fields` are those of `ChainBuilder.block`."""
        return self.chain.block(self.tip, transactions, **fields)  # type: ignore[arg-type]

    def fund(self, *owners: Owner, value: int = COIN) -> list[Funds]:
        """Pay each owner in a block of its own, and give what they may spend then."""
        tx = self.chain.spend(self.chain.take(), [(value, owner) for owner in owners], fee=0)
        self.add(tx)
        return [Funds(tx.outpoint(index), value, owner) for index, owner in enumerate(owners)]

    def pay(self, *pays: Pay, fee: int | None = 1_000) -> Transaction:
        """Spend a genesis output."""
        return self.chain.spend(self.chain.take(), pays or [(COIN, key("bob"))], fee=fee)


@dataclass(frozen=True)
class Told:
    """A block that must be refused; `twin` has the same hash, is valid and must be taken afterwards."""

    block: Block
    twin: Block | None = None


@dataclass(frozen=True)
class Case:
    """A story with its verdict: `error` is the class of the one rule that breaks, None for a valid block."""

    name: str
    error: type[Exception] | None
    tell: Callable[[World], Block | Told]
    spec: Callable[[], NetworkSpec] = story_spec


CASES: list[Case] = []

Teller = Callable[[World], Block | Told]


def case(
    name: str, error: type[Exception] | None, spec: Callable[[], NetworkSpec] = story_spec
) -> Callable[[Teller], Teller]:
    """Register a story under a name of its own."""

    def register(tell: Teller) -> Teller:
        add_case(name, error, tell, spec)
        return tell

    return register


def add_case(
    name: str,
    error: type[Exception] | None,
    tell: Teller,
    spec: Callable[[], NetworkSpec] = story_spec,
) -> None:
    """Register a story that is one of several alike."""
    assert name not in {known.name for known in CASES}, f"two stories are called {name}"
    CASES.append(Case(name, error, tell, spec))


def all_cases() -> list[Case]:
    """Give every story of every file."""
    from . import story_bodies, story_headers, story_scripts, story_transactions  # noqa: F401

    return CASES


def recore(block: Block, **fields: int | bytes) -> Block:
    """Give the block with header fields replaced and nothing solved again."""
    old = block.header
    values = {
        "version": old.version,
        "parent_hash": old.parent_hash,
        "merkle_root": old.merkle_root,
        "time": old.time,
        "bits": old.bits,
        "nonce": old.nonce,
    }
    header = Header.build(**{**values, **fields})  # type: ignore[arg-type]
    return Block.build(header, block.transactions)


def rebody(block: Block, transactions: list[Transaction]) -> Block:
    """Give another body under the same header."""
    return Block.build(block.header, transactions)
