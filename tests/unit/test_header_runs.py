"""What makes a run of headers quick must not change a verdict: the times carried along, the reads spared."""

from random import Random

from chaingen.specs import GENESIS_TIME, story_spec
from chaingen.toy import GENESIS, grow, open_toy

from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.pow.consensus import PowEngine, median_time_past
from ioex_chain.pow.header import Header


def header_on(parent: Entry[Header] | None, time: int) -> Entry[Header]:
    hash_ = parent.hash if parent else bytes(32)
    header = Header.build(1, hash_, bytes(32), time, 0x207FFFFF, 0)
    return Entry(header, parent.height + 1 if parent else 0, 0, Status.HEADER, 0, parent, lambda _: parent)


def test_the_carried_median_is_that_of_the_branch_however_headers_come():
    chance = Random(11)
    engine = PowEngine(story_spec().pow)
    tree = [header_on(None, GENESIS_TIME)]
    for _ in range(400):  # mostly on the newest, sometimes on any: forks at every depth
        parent = tree[-1] if chance.random() < 0.8 else chance.choice(tree)
        assert engine._median_time(parent) == median_time_past(parent)
        tree.append(header_on(parent, parent.header.time + chance.randrange(-300, 600)))
    for entry in chance.choices(tree, k=400):
        assert engine._median_time(entry) == median_time_past(entry)


class CountingStore(MemoryStore):
    heights_read = 0

    def get(self, key: bytes) -> bytes | None:
        self.heights_read += key[:1] == b"H"
        return super().get(key)


def test_a_new_header_on_the_tip_costs_no_look_at_the_disk():
    store = CountingStore()
    ledger = open_toy(store)
    blocks = grow(GENESIS.hash, 5)
    before = store.heights_read
    ledger.accept_headers([block.header for block in blocks])
    assert store.heights_read == before


def test_a_known_header_is_given_back_from_below_the_window_and_at_its_edge():
    ledger = open_toy(MemoryStore(), window=3)
    blocks = grow(GENESIS.hash, 12)
    for block in blocks:
        ledger.accept_block(block)
    for block in (GENESIS, *blocks):
        known = ledger.accept_header(block.header)
        assert known.hash == block.hash
        assert ledger.is_on_best_chain(known)
        assert known.status & Status.BODY
