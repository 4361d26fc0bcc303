"""Random DPoS trees in every order of arrival: wrong seals, late blocks, anchors, floors, restarts.

The forge holds the state and the record after every block as a replay from genesis gives them; from the rules
of fork choice alone a model says which block must be the head.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from chaingen.dpos_forge import ADDRESSES, Forge, make_spec, member_row, private_key
from chaingen.dpos_tiny import tiny_transaction

from ioex_chain.dpos.block import Block
from ioex_chain.dpos.codec import encode_block
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.ledger.errors import LedgerError, Rejected
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import Status
from ioex_chain.ledger.verify import check, reindex, state_digest
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.primitives.types import BlockHash

LAST_SLOT = 400


class DposTrees:
    """One ledger, and all that was made and sent; every step is drawn from one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.forge = Forge(make_spec(3, seats=3, term_rounds=2, max_unverified=6))
        self.store = MemoryStore()
        self.sound: list[Block] = [self.forge.genesis]
        self.pool: list[Block] = []
        self.late: set[BlockHash] = set()
        self.restart()

    def restart(self) -> None:
        self.ledger = self.forge.open(self.store, FixedClock(self.forge.end_of(LAST_SLOT)))
        self.engine = self.ledger._engine
        self.late.clear()

    def step(self) -> None:
        steps: dict[Callable[[], None], int] = {
            self.make_block: 8,
            self.make_branch: 3,
            self.send_header: 4,
            self.send_headers: 2,
            self.send_block: 10,
            self.send_some_in_order: 4,
            self.prefer: 1,
            self.finalize: 1,
            self.restart: 1,
            self.older_states_can_be_read: 1,
        }
        self.chance.choices(list(steps), list(steps.values()))[0]()
        self.head_is_what_fork_choice_says()
        self.state_and_notes_are_a_replay()
        self.no_header_waits_longer_than_it_must()
        assert check(self.store, self.forge.codec).problems == []

    # What happens.

    def _base(self) -> Block:
        return self.chance.choice(self.sound if self.chance.random() < 0.3 else self.sound[-4:])

    def make_block(self) -> None:
        below = self._base()
        slot = self.forge.slot(below) + self.chance.randint(1, 5)
        if slot >= LAST_SLOT:
            return
        certificate = None
        if self.chance.random() < 0.5 and below is not self.forge.genesis:
            certificate = self.forge.certificate(below)
        transactions = [tiny_transaction(n=len(self.pool))]
        if self.chance.random() < 0.3:
            first = self.chance.randint(0, 2)
            members = [member_row(n) for n in range(first, first + 3)]
            transactions.append(tiny_transaction(n=len(self.pool), rank=members))
        block = self.forge.make(below, slot, transactions=transactions, certificate=certificate)
        if self.chance.random() < 0.15:
            header = replace(block.header.header, state_root=bytes(32))
            signature = self.forge.seal(header, self.forge.producer_key(below, slot))
            block = _sealed(self.forge, block, SealedHeader(header, signature))
        else:
            self.sound.append(self.forge.add(block))
        self.pool.append(block)

    def make_branch(self) -> None:
        below, count = self._base(), self.chance.randint(2, 9)
        if self.forge.slot(below) + count < LAST_SLOT:
            made = self.forge.grow(below, count, final=self.chance.random() < 0.5)
            self.sound += made
            self.pool += made

    def pick(self, wrong_seal: float) -> Block:
        block = self.chance.choice(self.pool or [self.forge.genesis])
        if block is self.forge.genesis or self.chance.random() >= wrong_seal:
            return block
        return _badly_sealed(self.forge, block)

    def send_header(self) -> None:
        self._send_header(self.pick(0.5))

    def send_headers(self) -> None:
        for block in self.pool:
            self._send_header(block)

    def _send_header(self, block: Block) -> None:
        try:
            self.ledger.accept_header(block.header)
        except Rejected:
            return

    def send_block(self) -> None:
        block = self.pick(0.3)
        if self.chance.random() < 0.3 and self.ledger.entry(block.header.hash) is None:
            self.engine.mark_late(block.header.hash)
            self.late.add(block.header.hash)
        self._send(block)

    def send_some_in_order(self) -> None:
        wrong = self.chance.choice([0.0, 0.0, 0.3])
        for block in self.pool:
            if self.chance.random() < wrong:
                self._send(_badly_sealed(self.forge, block))
            if self.chance.random() < 0.9:
                self._send(block)

    def _send(self, block: Block) -> None:
        try:
            self.ledger.accept_block(block)
        except Rejected:
            return

    def prefer(self) -> None:
        try:
            self.ledger.prefer(self.chance.choice(self.sound).header.hash)
        except (Rejected, LedgerError):
            return

    def finalize(self) -> None:
        low = [block for block in self.sound if block.header.header.number < self.ledger.head.height - 3]
        if not low:
            return
        try:
            self.ledger.finalize(self.chance.choice(low).header.hash)
        except (Rejected, LedgerError):
            return

    # What must hold.

    def _is_here(self, block: Block) -> bool:
        """Whether the ledger has the block's body under its right seal."""
        entry = self.ledger.entry(block.header.hash)
        return entry is not None and bool(entry.status & Status.BODY) and entry.header == block.header

    def _rank(self, path: list[Block]) -> tuple:
        tip = path[-1].header
        anchor = self.ledger.anchor
        on_anchor = anchor is None or anchor.hash in {block.header.hash for block in path}
        in_time = tip.hash not in self.late
        return on_anchor, len(path), in_time, -tip.header.timestamp, [-byte for byte in tip.hash]

    def head_is_what_fork_choice_says(self) -> None:
        floor = self.ledger.floor.hash
        paths = [self.forge.path(block) for block in self.sound]
        allowed = [
            path
            for path in paths
            if all(self._is_here(block) for block in path[1:])
            and floor in {block.header.hash for block in path}
        ]
        assert self.ledger.head.hash == max(allowed, key=self._rank)[-1].header.hash

    def state_and_notes_are_a_replay(self) -> None:
        head = self.ledger.head.hash
        rows = {key: value for key, value in self.ledger.view().scan(b"") if b"a" <= key < b"{"}
        assert rows == self.forge.rows[head]
        for block in self.forge.path(self.forge.blocks[head]):
            hash_ = block.header.hash
            assert self.ledger.note(hash_) == self.forge.entries[hash_].note
        for key, note in self.store.scan(b"K"):
            assert note == self.forge.entries[BlockHash(key[1:])].note

    def no_header_waits_longer_than_it_must(self) -> None:
        waiting = 0
        for entry in self.ledger._index.in_memory():
            if entry.height == 0:
                continue
            slot = self.engine.slot_of(entry)
            known = self.engine.context(entry.parent, slot) is not None
            unverified = bool(entry.status & Status.UNVERIFIED)
            waiting += unverified
            assert not (known and unverified)
            assert not (unverified and not self.ledger._choice.stands_on_floor(entry))
            if not unverified:
                assert self.engine.sealer(entry.header) in ADDRESSES[:10]
        assert waiting <= 6

    def older_states_can_be_read(self) -> None:
        back = self.chance.randint(1, 9)
        entry = self.ledger.entry_at(max(0, self.ledger.head.height - back))
        with self.ledger.state_at(entry) as past:
            expected = self.forge.rows[entry.hash]
            assert dict(past.scan(b"")).items() >= expected.items()
            assert {key for key, _ in past.scan(b"y")} == {key for key in expected if key.startswith(b"y")}
            assert all(past.get(key) == value for key, value in expected.items())

    def end(self) -> None:
        self.restart()
        fresh = MemoryStore()
        rebuilt = self.forge.open(fresh, FixedClock(self.forge.end_of(LAST_SLOT)))
        reindex(self.store, rebuilt, self.forge.codec)
        assert rebuilt.head.hash == self.ledger.head.hash
        assert state_digest(fresh) == state_digest(self.store)


def _sealed(forge: Forge, block: Block, header: SealedHeader) -> Block:
    raw = encode_block(header, [tx.raw for tx in block.transactions], block.withdrawals, block.payload)
    return forge.codec.block(raw)


def _badly_sealed(forge: Forge, block: Block) -> Block:
    signature = forge.seal(block.header.header, private_key(60))
    return _sealed(forge, block, SealedHeader(block.header.header, signature))


def run(seed: int, steps: int) -> None:
    trees = DposTrees(seed)
    for _ in range(steps):
        trees.step()
    trees.end()


@pytest.mark.parametrize("seed", range(30))
def test_head_state_and_records_follow_from_the_rules(seed: int) -> None:
    run(seed, 40)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_trees() -> None:
    for seed in range(1_000, 2_000):
        run(seed, 60)
