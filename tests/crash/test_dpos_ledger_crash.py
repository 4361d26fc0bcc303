"""A DPoS ledger that dies before or after any of its writes is whole when it is opened again."""

import pytest
from chaingen.dpos_forge import Forge, make_spec
from chaingen.stores import Crashed, Disk, FailingStore, Moment

from ioex_chain.dpos.block import Block
from ioex_chain.ledger.errors import Rejected
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import KeyValueStore
from ioex_chain.ledger.verify import check, state_digest
from ioex_chain.primitives.clock import FixedClock


def make_world() -> tuple[Forge, list[Block], Block]:
    """A chain with finality, and a branch that is justified higher and then longer."""
    forge = Forge(make_spec(3, seats=3, term_rounds=2))
    trunk = forge.grow(forge.genesis, 6, final=True)
    old = forge.grow(trunk[2], 5)
    justified = forge.grow(trunk[-1], 4, final=True)
    return forge, [*trunk, *old, *justified], justified[1]


def run(forge: Forge, store: KeyValueStore, blocks: list[Block], anchor: Block) -> None:
    ledger = forge.open(store, FixedClock(forge.end_of(100)))
    ledger.accept_headers([block.header for block in blocks[:4]])
    for block in blocks:
        try:
            ledger.accept_block(block)
        except Rejected:  # a branch below the floor, on the second run
            continue
    ledger.prefer(anchor.header.hash)
    ledger.finalize(forge.parent(anchor).header.hash)


@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.AFTER, Moment.POWER])
def test_every_write_may_be_the_last(moment: Moment) -> None:
    forge, blocks, anchor = make_world()
    control = MemoryStore()
    run(forge, control, blocks, anchor)
    counter = FailingStore(Disk(), -1, moment)
    run(forge, counter, blocks, anchor)
    for at in range(counter.writes):
        disk = Disk()
        with pytest.raises(Crashed):
            run(forge, FailingStore(disk, at, moment), blocks, anchor)
        forge.open(disk.store, FixedClock(forge.end_of(100)))
        assert check(disk.store, forge.codec).problems == []
        run(forge, disk.store, blocks, anchor)
        assert state_digest(disk.store) == state_digest(control)
        assert disk.store.get(b"Manchor") == control.get(b"Manchor") == anchor.header.hash
        for key, note in disk.store.scan(b"K"):
            assert note == forge.entries[key[1:]].note
