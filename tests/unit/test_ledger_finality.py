"""What finality and unchecked headers ask of the ledger: anchor, notes, past states, forgetting."""

from dataclasses import replace

import pytest
from chaingen.dpos_forge import Forge, make_spec, private_key
from chaingen.dpos_tiny import tiny_transaction
from chaingen.toy import (
    CounterMachine,
    ToyBlock,
    ToyHeader,
    block_on,
    counter_body,
    grow,
    open_toy,
    state_rows,
)

from ioex_chain.dpos.block import Block
from ioex_chain.dpos.codec import make_block
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.evm.trie import list_root
from ioex_chain.ledger import schema
from ioex_chain.ledger.errors import (
    BelowFloor,
    InvalidBlock,
    KnownInvalid,
    NotYetValid,
    StoreCorrupt,
    UndoMissing,
    UnknownBlock,
    WrongSeal,
)
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import Entry, StateView, Status
from ioex_chain.ledger.verify import check
from ioex_chain.primitives.clock import FixedClock


def feed(ledger, blocks) -> None:
    for block in blocks:
        ledger.accept_block(block)


# --- the anchor ------------------------------------------------------------------------------------------


def test_a_preferred_branch_wins_whatever_it_weighs_and_stays_so_over_a_restart() -> None:
    store = MemoryStore()
    ledger = open_toy(store)
    light, heavy = grow(ledger.genesis.hash, 3, note=1), grow(ledger.genesis.hash, 6, note=2)
    feed(ledger, [*light, *heavy])
    assert ledger.head.hash == heavy[-1].hash
    changed = ledger.prefer(light[1].hash)
    assert [entry.hash for entry in changed.disconnected] == [block.hash for block in heavy[::-1]]
    assert ledger.head.hash == light[-1].hash  # the anchor's branch goes on to its own best tip
    assert ledger.anchor.hash == light[1].hash
    feed(ledger, grow(heavy[-1].hash, 3, note=2))
    assert ledger.head.hash == light[-1].hash
    again = open_toy(store)
    assert again.head.hash == light[-1].hash
    assert again.anchor.hash == light[1].hash
    assert check(store, again._codec).problems == []


def test_the_anchor_moves_up_only() -> None:
    ledger = open_toy(MemoryStore())
    one, other = grow(ledger.genesis.hash, 4, note=1), grow(ledger.genesis.hash, 4, note=2)
    feed(ledger, [*one, *other])
    ledger.prefer(other[2].hash)
    assert ledger.prefer(one[2].hash) is None
    assert ledger.head.hash == other[-1].hash
    ledger.prefer(one[3].hash)
    assert ledger.head.hash == one[-1].hash


def test_only_a_block_that_can_be_connected_is_preferred() -> None:
    ledger = open_toy(MemoryStore())
    blocks, side = grow(ledger.genesis.hash, 5, note=1), grow(ledger.genesis.hash, 2, note=2)
    ledger.accept_headers([block.header for block in blocks])
    feed(ledger, [*blocks[:2], *blocks[3:], *side])
    for unknown in (blocks[2].hash, bytes(32), blocks[4].hash):
        with pytest.raises(UnknownBlock):
            ledger.prefer(unknown)
    ledger.finalize(blocks[1].hash)
    with pytest.raises(BelowFloor):
        ledger.prefer(side[1].hash)
    ledger.invalidate(blocks[3].hash)
    with pytest.raises(KnownInvalid):
        ledger.prefer(blocks[3].hash)


def test_an_anchor_that_turns_out_invalid_gives_way() -> None:
    ledger = open_toy(MemoryStore())
    good, bad = grow(ledger.genesis.hash, 2, note=1), grow(ledger.genesis.hash, 4, note=2)
    feed(ledger, [*good, *bad])
    ledger.prefer(bad[2].hash)
    ledger.invalidate(bad[2].hash)
    assert ledger.head.hash in {good[1].hash, bad[1].hash}
    ledger.prefer(good[0].hash)
    assert ledger.head.hash == good[1].hash


# --- notes -----------------------------------------------------------------------------------------------


class NotingMachine(CounterMachine):
    """Notes the parent's note and its own height, and counts how often it was asked."""

    def connect(self, block: ToyBlock, entry: Entry[ToyHeader], view: StateView) -> int:
        parent = entry.parent
        before = b"" if parent is None else parent.note
        assert before is not None
        view.note(before + bytes((entry.height,)))
        return super().connect(block, entry, view)


def test_notes_are_kept_through_reorganisations_and_read_in_one_go() -> None:
    store = MemoryStore()
    ledger = open_toy(store, NotingMachine())
    one, other = grow(ledger.genesis.hash, 3, note=1), grow(ledger.genesis.hash, 5, note=2)
    ledger.accept_headers([block.header for block in other])
    feed(ledger, [*one, *other[1:], other[0]])  # five blocks connect in one step
    assert ledger.head.hash == other[-1].hash
    assert ledger.note(one[2].hash) == bytes((0, 1, 2, 3))
    assert ledger.note(other[4].hash) == ledger.head.note == bytes((0, 1, 2, 3, 4, 5))
    again = open_toy(store, NotingMachine())
    assert again.entry(one[1].hash).note == bytes((0, 1, 2))
    assert again.note(bytes(32)) is None


def test_what_was_noted_before_a_block_failed_is_kept() -> None:
    store = MemoryStore()
    ledger = open_toy(store, NotingMachine())
    first = block_on(ledger.genesis.hash, counter_body([(1, 1)]))
    broken = block_on(first.hash, counter_body([(1, -5)]))
    ledger.accept_header(first.header)
    ledger.accept_block(broken)
    ledger.accept_block(first)
    assert ledger.head.hash == first.hash
    assert ledger.note(first.hash) == bytes((0, 1))
    assert ledger.note(broken.hash) is None


def test_a_note_without_a_header_is_reported() -> None:
    store = MemoryStore()
    ledger = open_toy(store, NotingMachine())
    store.write({schema.note_key(b"\x01" * 32): b"lost", schema.META_ANCHOR: b"\x02" * 32})
    problems = check(store, ledger._codec).problems
    assert len(problems) == 2
    with pytest.raises(StoreCorrupt):
        open_toy(store, NotingMachine())


# --- trying and looking back -----------------------------------------------------------------------------


def test_work_on_the_head_leaves_nothing() -> None:
    store = MemoryStore()
    ledger = open_toy(store)
    feed(ledger, grow(ledger.genesis.hash, 2))
    before = dict(store.scan(b""))

    def work(view: StateView, head: Entry[ToyHeader]) -> int:
        view.put(b"x", b"1")
        view.note(b"nothing")
        return head.height + len(view.get(b"x") or b"")

    assert ledger.try_on_head(work) == 3
    assert dict(store.scan(b"")) == before


def test_past_states_are_what_they_were() -> None:
    store = MemoryStore()
    ledger = open_toy(store, undo_depth=5)
    seen = {}
    for block in grow(ledger.genesis.hash, 9):
        ledger.accept_block(block)
        seen[ledger.head.height] = state_rows(ledger)
    held = ledger.state_at(ledger.entry_at(6))
    feed(ledger, grow(ledger.head.hash, 2))
    assert dict(held.scan(b"c")) == {key: value for key, value in seen[6].items() if key[:1] == b"c"}
    held.close()
    for height in range(6, 10):
        with ledger.state_at(ledger.entry_at(height)) as past:
            assert all(past.get(key) == value for key, value in seen[height].items())
            assert dict(past.scan(b"h")) == {k: v for k, v in seen[height].items() if k[:1] == b"h"}
            assert past.get(b"nothing") is None
    with pytest.raises(UndoMissing):
        ledger.state_at(ledger.entry_at(5))
    side = grow(ledger.entry_at(8).hash, 1, note=9)[0]
    ledger.accept_block(side)
    with pytest.raises(UnknownBlock):
        ledger.state_at(ledger.entry(side.hash))


def test_undo_records_reach_the_floor_however_far_it_is() -> None:
    forge = Forge(make_spec(3, seats=3))
    ledger = forge.open(MemoryStore(), FixedClock(forge.end_of(60)), undo_depth=4)
    long, side = forge.grow(forge.genesis, 20), forge.grow(forge.genesis, 2)
    feed(ledger, [*long, *side])
    ledger.prefer(side[1].header.hash)
    ledger.prefer(long[5].header.hash)
    assert ledger.head.hash == long[-1].header.hash
    ledger.finalize(long[12].header.hash)
    feed(ledger, forge.grow(long[-1], 1))
    with ledger.state_at(ledger.entry_at(13)):
        pass
    with pytest.raises(UndoMissing):
        ledger.state_at(ledger.entry_at(12))


# --- headers that wait -----------------------------------------------------------------------------------


def badly_sealed(forge: Forge, block: Block) -> Block:
    header = SealedHeader(block.header.header, forge.seal(block.header.header, private_key(60)))
    return make_block(header, block.transactions, block.withdrawals, block.payload)


def test_headers_wait_for_their_round_and_are_bounded() -> None:
    forge = Forge(make_spec(3, seats=3))
    blocks = forge.grow(forge.genesis, 12)
    ledger = forge.open(MemoryStore(), FixedClock(forge.end_of(60)), max_unverified=4)
    headers = [block.header for block in blocks]
    with pytest.raises(NotYetValid):
        ledger.accept_headers(headers)
    known = [ledger.entry(block.header.hash) for block in blocks]
    assert [bool(entry.status & Status.UNVERIFIED) for entry in known[:6]] == [False, False, *[True] * 4]
    assert known[6] is None
    feed(ledger, blocks[:3])  # block 2 ends round 0, block 3 is of round 1
    assert not any(entry.status & Status.UNVERIFIED for entry in known[:5])
    assert known[5].status & Status.UNVERIFIED
    assert len(ledger.accept_headers(headers[:9])) == 9


def test_a_wrong_seal_is_forgotten_with_all_above_it() -> None:
    store = MemoryStore()
    forge = Forge(make_spec(3, seats=3))
    blocks = forge.grow(forge.genesis, 6)
    ledger = forge.open(store, FixedClock(forge.end_of(60)))
    wrong = badly_sealed(forge, blocks[2])
    entries = ledger.accept_headers([*(block.header for block in blocks[:2]), wrong.header])
    above = ledger.accept_headers([block.header for block in blocks[3:]])
    assert entries[2].status & Status.UNVERIFIED
    feed(ledger, blocks[:2])
    assert ledger.entry(wrong.header.hash) is None
    assert all(ledger.entry(entry.hash) is None for entry in above)
    assert entries[2].status.is_invalid  # for those who still hold the object
    with pytest.raises(WrongSeal):
        ledger.accept_block(wrong)
    feed(ledger, blocks[2:])
    assert ledger.head.hash == blocks[-1].header.hash
    assert check(store, forge.codec).problems == []


@pytest.mark.parametrize("as_block", [False, True])
def test_a_wrong_seal_is_exchanged_for_the_right_one_that_came_too(as_block: bool) -> None:
    store = MemoryStore()
    forge = Forge(make_spec(3, seats=3))
    blocks = forge.grow(forge.genesis, 6)
    ledger = forge.open(store, FixedClock(forge.end_of(60)))
    wrong = badly_sealed(forge, blocks[2])
    entries = ledger.accept_headers([*(block.header for block in blocks[:2]), wrong.header])
    above = ledger.accept_headers([block.header for block in blocks[3:]])
    if as_block:
        with pytest.raises(NotYetValid):
            ledger.accept_block(blocks[2])  # which of the two seals is right cannot be told yet
    else:
        assert ledger.accept_header(blocks[2].header) is entries[2]
    feed(ledger, blocks[:2])
    assert ledger.entry(wrong.header.hash) is entries[2]
    assert entries[2].header == blocks[2].header
    assert all(ledger.entry(entry.hash) is entry for entry in above)
    again = forge.open(store, FixedClock(forge.end_of(60)))
    for one in (again, ledger):
        assert one.entry(wrong.header.hash).header == blocks[2].header
    feed(ledger, blocks[2:])
    assert ledger.head.hash == blocks[-1].header.hash
    assert ledger._others == {}
    assert check(store, forge.codec).problems == []


def test_a_header_keeps_few_other_seals_and_only_while_it_waits() -> None:
    forge = Forge(make_spec(3, seats=3))
    blocks = forge.grow(forge.genesis, 3)
    ledger = forge.open(MemoryStore(), FixedClock(forge.end_of(60)))
    ledger.accept_headers([block.header for block in blocks])
    for number in (60, 61, 60, 62, 63):
        header = blocks[2].header.header
        ledger.accept_header(SealedHeader(header, forge.seal(header, private_key(number))))
    assert [len(others) for others in ledger._others.values()] == [2]
    feed(ledger, blocks[:2])
    assert ledger.entry(blocks[2].header.hash).header == blocks[2].header
    assert ledger._others == {}


def test_a_body_under_a_wrong_seal_is_forgotten_when_its_turn_comes() -> None:
    forge = Forge(make_spec(3, seats=3))
    blocks = forge.grow(forge.genesis, 5)
    ledger = forge.open(MemoryStore(), FixedClock(forge.end_of(60)))
    ledger.accept_headers([block.header for block in blocks[:2]])
    wrong = badly_sealed(forge, blocks[2])
    assert ledger.accept_block(wrong) is None
    feed(ledger, blocks[:2])
    assert ledger.head.hash == blocks[1].header.hash
    feed(ledger, blocks[2:])
    assert ledger.head.hash == blocks[4].header.hash
    assert ledger.body(blocks[2].header.hash).header.seal == blocks[2].header.seal


def test_an_anchor_under_a_wrong_seal_falls_back_until_it_comes_again() -> None:
    store = MemoryStore()
    forge = Forge(make_spec(3, seats=3))
    head, side = forge.grow(forge.genesis, 6), [forge.extend(forge.genesis, extra_data=b"side")]
    side += forge.grow(side[0], 2)
    ledger = forge.open(store, FixedClock(forge.end_of(60)))
    feed(ledger, [*head, *side[:2], badly_sealed(forge, side[2])])  # lighter: nobody has looked at its round
    with pytest.raises(NotYetValid):
        ledger.accept_block(side[2])
    with pytest.raises(UnknownBlock):
        ledger.prefer(side[2].header.hash)
    assert ledger.anchor.hash == side[1].header.hash
    assert ledger.head.hash == side[1].header.hash
    again = forge.open(store, FixedClock(forge.end_of(60)))
    assert again.anchor.hash == side[1].header.hash
    again.accept_block(side[2])
    again.prefer(side[2].header.hash)
    assert again.head.hash == again.anchor.hash == side[2].header.hash


def test_waiting_headers_are_known_after_a_restart() -> None:
    store = MemoryStore()
    forge = Forge(make_spec(3, seats=3))
    blocks = forge.grow(forge.genesis, 6)
    clock = FixedClock(forge.end_of(60))
    forge.open(store, clock, max_unverified=4).accept_headers([block.header for block in blocks])
    ledger = forge.open(store, clock, max_unverified=4)
    assert len(ledger._unverified) == 4
    side = forge.make(blocks[-1], extra_data=b"one more")
    with pytest.raises(NotYetValid):
        ledger.accept_header(side.header)
    feed(ledger, blocks)
    assert ledger._unverified == {}
    ledger.accept_header(side.header)


def test_nothing_is_held_against_a_header_whose_seal_was_not_checked() -> None:
    forge = Forge(make_spec(3, seats=3, max_block_transactions=1))
    blocks = forge.grow(forge.genesis, 4)
    ledger = forge.open(MemoryStore(), FixedClock(forge.end_of(60)))
    ledger.accept_headers([block.header for block in blocks[:2]])
    many = [tiny_transaction(n=n) for n in range(2)]
    root = list_root([tx.raw for tx in many])
    header = SealedHeader(replace(blocks[2].header.header, transactions_root=root), bytes(64) + b"\1")
    with pytest.raises(InvalidBlock):
        ledger.accept_block(make_block(header, many, (), blocks[2].payload))
    assert ledger.entry(header.hash) is None
    assert ledger._unverified == {}


def test_headers_that_wait_above_an_invalid_block_are_forgotten() -> None:
    store = MemoryStore()
    forge = Forge(make_spec(3, seats=3))
    blocks = forge.grow(forge.genesis, 6)
    ledger = forge.open(store, FixedClock(forge.end_of(60)))
    entries = ledger.accept_headers([block.header for block in blocks])
    assert len(ledger._unverified) == 4
    ledger.invalidate(blocks[0].header.hash)
    assert ledger._unverified == {}
    assert [ledger.entry(block.header.hash) is None for block in blocks] == [False, False, *[True] * 4]
    assert all(entry.status.is_invalid for entry in entries)
    ledger.reconsider(blocks[0].header.hash)
    feed(ledger, blocks)
    assert ledger.head.hash == blocks[-1].header.hash
    assert check(store, forge.codec).problems == []
