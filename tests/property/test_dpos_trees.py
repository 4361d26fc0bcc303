"""Random DPoS trees in every order of arrival: wrong seals, late blocks, anchors, floors, restarts.

The forge holds the state and the record after every block as a replay from genesis gives them; from the rules
of fork choice alone a model says which block must be the head.
"""

from dataclasses import replace

from chaingen.dpos_forge import ADDRESSES, Forge, make_spec, member_row, private_key
from chaingen.dpos_tiny import tiny_transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ioex_chain.dpos.block import Block
from ioex_chain.dpos.codec import encode_block
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.ledger.errors import LedgerError, Rejected
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import Status
from ioex_chain.ledger.verify import check, reindex, state_digest
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.primitives.types import BlockHash

picks = st.integers(0, 1 << 16)
LAST_SLOT = 400


class DposTrees(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.forge = Forge(make_spec(3, seats=3, term_rounds=2, max_unverified=5))
        self.store = MemoryStore()
        self.sound: list[Block] = [self.forge.genesis]
        self.pool: list[Block] = []
        self.late: set[BlockHash] = set()
        self.restart()

    @rule()
    def restart(self) -> None:
        self.ledger = self.forge.open(self.store, FixedClock(self.forge.end_of(LAST_SLOT)))
        self.engine = self.ledger._engine
        self.late.clear()

    @rule(
        parent=picks,
        recent=st.integers(0, 3),
        skip=st.integers(0, 4),
        final=st.booleans(),
        rank=st.integers(0, 9),
        wrong=st.integers(0, 9),
    )
    def make_block(self, parent: int, recent: int, skip: int, final: bool, rank: int, wrong: int) -> None:
        below = self.sound[-1] if recent else self.sound[parent % len(self.sound)]
        if self.forge.slot(below) + 1 + skip >= LAST_SLOT:
            return
        certificate = None
        if final and below is not self.forge.genesis:
            certificate = self.forge.certificate(below)
        transactions = [tiny_transaction(n=len(self.pool))]
        if rank > 6:
            members = [member_row(n) for n in range(rank - 7, rank - 4)]
            transactions.append(tiny_transaction(n=len(self.pool), rank=members))
        slot = self.forge.slot(below) + 1 + skip
        block = self.forge.make(below, slot, transactions=transactions, certificate=certificate)
        if wrong == 0:
            header = replace(block.header.header, state_root=bytes(32))
            signature = self.forge.seal(header, self.forge.producer_key(below, slot))
            block = replace(block, header=SealedHeader(header, signature))
            block = self.forge.codec.block(_raw(block))
        else:
            self.sound.append(self.forge.add(block))
        self.pool.append(block)

    @rule(parent=picks, count=st.integers(2, 8))
    def make_branch(self, parent: int, count: int) -> None:
        below = self.sound[parent % len(self.sound)]
        if self.forge.slot(below) + count < LAST_SLOT:
            made = self.forge.grow(below, count, final=True)
            self.sound += made
            self.pool += made

    def pick(self, number: int, wrong_seal: bool) -> Block | None:
        if not self.pool:
            return None
        block = self.pool[number % len(self.pool)]
        return _badly_sealed(self.forge, block) if wrong_seal else block

    @rule(number=picks, wrong_seal=st.booleans())
    def send_header(self, number: int, wrong_seal: bool) -> None:
        block = self.pick(number, wrong_seal)
        try:
            if block:
                self.ledger.accept_header(block.header)
        except Rejected:
            return

    @rule(number=picks, wrong_seal=st.integers(0, 3), late=st.integers(0, 3))
    def send_block(self, number: int, wrong_seal: int, late: int) -> None:
        block = self.pick(number, not wrong_seal)
        if block is None:
            return
        if not late and self.ledger.entry(block.header.hash) is None:
            self.engine.mark_late(block.header.hash)
            self.late.add(block.header.hash)
        self._send(block)

    @rule(wrong_seals=st.booleans())
    def send_all_in_order(self, wrong_seals: bool) -> None:
        for block in self.pool:
            if wrong_seals:
                self._send(_badly_sealed(self.forge, block))
            self._send(block)

    @rule()
    def send_all_headers(self) -> None:
        for block in self.pool:
            try:
                self.ledger.accept_header(block.header)
            except Rejected:
                continue

    def _send(self, block: Block) -> None:
        try:
            self.ledger.accept_block(block)
        except Rejected:
            return

    @rule(number=picks)
    def prefer(self, number: int) -> None:
        try:
            self.ledger.prefer(self.sound[number % len(self.sound)].header.hash)
        except (Rejected, LedgerError):
            return

    @rule(number=picks, seldom=st.integers(0, 4))
    def finalize(self, number: int, seldom: int) -> None:
        if seldom:
            return
        try:
            self.ledger.finalize(self.sound[number % len(self.sound)].header.hash)
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

    @invariant()
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

    @invariant()
    def state_and_notes_are_a_replay(self) -> None:
        head = self.ledger.head.hash
        rows = {key: value for key, value in self.ledger.view().scan(b"") if b"a" <= key < b"{"}
        assert rows == self.forge.rows[head]
        for block in self.forge.path(self.forge.blocks[head]):
            hash_ = block.header.hash
            assert self.ledger.note(hash_) == self.forge.entries[hash_].note
        for key, note in self.store.scan(b"K"):
            assert note == self.forge.entries[BlockHash(key[1:])].note

    @invariant()
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
            if not unverified:
                assert self.engine.sealer(entry.header) in ADDRESSES[:10]
        assert waiting <= 5

    @invariant()
    def database_is_sound(self) -> None:
        assert check(self.store, self.forge.codec).problems == []

    @rule(back=st.integers(1, 9))
    def older_states_can_be_read(self, back: int) -> None:
        entry = self.ledger.entry_at(max(0, self.ledger.head.height - back))
        with self.ledger.state_at(entry) as past:
            expected = self.forge.rows[entry.hash]
            assert dict(past.scan(b"")).items() >= expected.items()
            assert {key for key, _ in past.scan(b"y")} == {key for key in expected if key.startswith(b"y")}
            assert all(past.get(key) == value for key, value in expected.items())

    def teardown(self) -> None:
        self.restart()
        fresh = MemoryStore()
        rebuilt = self.forge.open(fresh, FixedClock(self.forge.end_of(LAST_SLOT)))
        reindex(self.store, rebuilt, self.forge.codec)
        assert rebuilt.head.hash == self.ledger.head.hash
        assert state_digest(fresh) == state_digest(self.store)


def _raw(block: Block) -> bytes:
    return encode_block(block.header, [tx.raw for tx in block.transactions], block.withdrawals, block.payload)


def _badly_sealed(forge: Forge, block: Block) -> Block:
    signature = forge.seal(block.header.header, private_key(60))
    return forge.codec.block(_raw(replace(block, header=SealedHeader(block.header.header, signature))))


def test_head_state_and_records_follow_from_the_rules() -> None:
    run_state_machine_as_test(
        DposTrees,
        settings=settings(
            max_examples=120,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            phases=(Phase.generate,),  # a failing run is short enough to read; shrinking signatures is slow
        ),
    )
