"""The operator's checkpoint: no other block is taken at its height, and nothing is held against the hash."""

from contextlib import suppress

import pytest
from chaingen.dpos_forge import Forge

from ioex_chain.dpos.block import Block
from ioex_chain.dpos.errors import NotTheCheckpoint
from ioex_chain.dpos.votes import Checkpoint
from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.errors import WrongSeal
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.node.checkpoint import (
    CheckpointContradicted,
    InvalidCheckpoint,
    parse_checkpoint,
    refuse_contradiction,
)
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.primitives.types import BlockHash

HASH = "ab" * 32


def open_with(forge: Forge, checkpoint: Checkpoint | None, store: MemoryStore) -> Ledger:
    ledger = forge.open(store, FixedClock(forge.end_of(50)))
    ledger._engine.checkpoint = checkpoint
    return ledger


def point(block: Block) -> Checkpoint:
    return Checkpoint(block.header.hash, block.header.header.number)


def test_a_chain_without_the_checkpoint_is_not_followed_and_not_condemned() -> None:
    forge, store = Forge(), MemoryStore()
    ours = forge.grow(forge.genesis, 4)
    theirs = [forge.extend(forge.genesis, slot=2)]
    theirs += forge.grow(theirs[0], 5)
    ledger = open_with(forge, point(ours[1]), store)
    ledger.accept_block(theirs[0])
    with pytest.raises(NotTheCheckpoint, match="not the checkpoint"):
        ledger.accept_block(theirs[1])
    with pytest.raises(NotTheCheckpoint):
        ledger.accept_header(theirs[1].header)
    for block in ours:
        ledger.accept_block(block)
    assert ledger.head.hash == ours[-1].header.hash
    other = open_with(forge, point(theirs[1]), store)  # the setting was wrong: nothing is remembered
    for block in theirs[1:]:
        other.accept_block(block)
    assert other.head.hash == theirs[-1].header.hash


def test_a_stored_branch_without_the_checkpoint_is_not_joined() -> None:
    forge, store = Forge(), MemoryStore()
    ours = forge.grow(forge.genesis, 3)
    theirs = [forge.extend(forge.genesis, slot=2)]
    theirs += forge.grow(theirs[0], 4)
    before = open_with(forge, None, store)
    for block in [*ours, *theirs[:3]]:
        before.accept_block(block)
    ledger = open_with(forge, point(ours[1]), store)
    assert ledger.head.hash == ours[-1].header.hash
    with suppress(WrongSeal):
        ledger.accept_block(theirs[3])
    assert ledger.head.hash == ours[-1].header.hash
    assert ledger.entry(theirs[1].header.hash) is None


def test_the_setting_is_height_and_hash() -> None:
    assert parse_checkpoint(None) is None
    assert parse_checkpoint(f"12:0x{HASH}") == Checkpoint(BlockHash(bytes.fromhex(HASH)), 12)


@pytest.mark.parametrize(
    "text",
    ["", "12", f"0x{HASH}", f"12:{HASH}", f"-1:0x{HASH}", f"12:0x{HASH}00", f"x:0x{HASH}", f"٣:0x{HASH}"],
)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidCheckpoint, match="dpos_checkpoint"):
        parse_checkpoint(text)


def test_a_stored_chain_that_has_another_block_there_is_refused() -> None:
    trusted = parse_checkpoint(f"12:0x{HASH}")
    refuse_contradiction(trusted, None)
    refuse_contradiction(None, BlockHash(bytes(32)))
    refuse_contradiction(trusted, BlockHash(bytes.fromhex(HASH)))
    with pytest.raises(CheckpointContradicted, match=r"block 12 .* --datadir"):
        refuse_contradiction(trusted, BlockHash(bytes(32)))
