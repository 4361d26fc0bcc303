"""FlatState against a model that copies everything at each checkpoint and builds whole tries by `trie`."""

from copy import deepcopy

import rlp
from hypothesis import given, settings
from hypothesis import strategies as st
from trie import HexaryTrie

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.types import EMPTY_CODE_HASH, EMPTY_TRIE_ROOT
from ioex_chain.ledger.overlay import Overlay

ADDRESSES = [bytes(19) + bytes((number,)) for number in range(1, 6)]
SLOTS = [0, 1, 2, 2**255 + 3]


class Rows(dict):
    def scan(self, prefix):
        return iter(sorted((key, value) for key, value in self.items() if key.startswith(prefix)))


class Model:
    """Accounts as plain values: [nonce, balance, code, slots]."""

    def __init__(self) -> None:
        self.accounts: dict[bytes, list] = {}
        self.original: dict[tuple[bytes, int], int] = {}

    def of(self, address):
        return self.accounts.setdefault(address, [0, 0, b"", {}])

    def read(self, address, slot):
        return self.accounts.get(address, [0, 0, b"", {}])[3].get(slot, 0)

    def root(self) -> bytes:
        whole = HexaryTrie({})
        for address in list(self.accounts):
            nonce, balance, code, slots = self.accounts[address]
            if not nonce and not balance and not code:
                del self.accounts[address]
                continue
            inner = HexaryTrie({})
            for slot, value in slots.items():
                if value:
                    inner[keccak256(slot.to_bytes(32, "big"))] = rlp.encode(value)
            account = [nonce, balance, inner.root_hash, keccak256(code)]
            whole[keccak256(address)] = rlp.encode(account)
        return whole.root_hash


address = st.sampled_from(ADDRESSES)
operations = st.one_of(
    st.tuples(st.just("balance"), address, st.integers(0, 3) | st.just(2**200)),
    st.tuples(st.just("nonce"), address, st.integers(0, 200)),
    st.tuples(st.just("code"), address, st.sampled_from([b"", b"\x60", b"\xef\x01\x00" + bytes(20)])),
    st.tuples(
        st.just("store"), address, st.sampled_from(SLOTS), st.sampled_from([0, 1, 127, 128, 2**256 - 1])
    ),
    st.tuples(st.just("delete"), address),
    st.tuples(st.just("wipe"), address),
    st.sampled_from([("record",), ("discard",), ("commit",), ("lock",), ("block",)]),
)


class World:
    def __init__(self) -> None:
        self.rows = Rows()
        self.begin()
        self.model = Model()

    def begin(self) -> None:
        self.overlay = Overlay(self.rows)
        self.state = FlatState(self.overlay)
        self.marks: list[tuple[object, Model]] = []

    def do(self, kind, *arguments) -> None:
        getattr(self, f"do_{kind}")(*arguments)

    def do_balance(self, address, value):
        self.state.set_balance(address, value)
        self.model.of(address)[1] = value

    def do_nonce(self, address, value):
        self.state.set_nonce(address, value)
        self.model.of(address)[0] = value

    def do_code(self, address, code):
        self.state.set_code(address, code)
        self.model.of(address)[2] = code

    def do_store(self, address, slot, value):
        if address in self.model.accounts:
            self.model.original.setdefault((address, slot), self.model.read(address, slot))
            self.state.set_storage(address, slot, value)
            self.model.of(address)[3][slot] = value

    def do_delete(self, address):
        self.state.delete_account(address)
        self.model.accounts.pop(address, None)

    def do_wipe(self, address):
        self.state.delete_storage(address)
        if address in self.model.accounts:
            self.model.accounts[address][3] = {}

    def do_record(self):
        self.marks.append((self.state.record(), deepcopy(self.model)))

    def do_discard(self):
        if self.marks:
            mark, model = self.marks.pop()
            self.state.discard(mark)
            model.original = self.model.original
            self.model = model

    def do_commit(self):
        if self.marks:
            self.state.commit(self.marks.pop()[0])

    def do_lock(self):
        self.marks = []
        self.state.lock_changes()
        self.model.original = {}

    def do_block(self):
        self.overlay.begin()
        assert self.state.flush() == self.model.root()
        self.model.original = {}
        undo = self.overlay.seal()
        before = dict(self.rows)
        self.write(self.overlay.changes)
        after = dict(self.rows)
        self.overlay.restore(undo)
        self.write(self.overlay.changes)
        assert self.rows == before, "the ledger's before-images take the block back"
        self.rows = Rows(after)
        self.begin()

    def write(self, changes):
        for key, value in changes.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value

    def compare(self) -> None:
        for address in ADDRESSES:
            nonce, balance, code, slots = self.model.accounts.get(address, [0, 0, b"", {}])
            state = self.state
            assert (state.get_nonce(address), state.get_balance(address)) == (nonce, balance)
            assert state.get_code(address) == code
            assert state.get_code_hash(address) == keccak256(code)
            assert state.account_exists(address) == (address in self.model.accounts)
            assert state.account_is_empty(address) == (not nonce and not balance and not code)
            assert state.has_storage(address) == any(slots.values())
            for slot in SLOTS:
                assert state.get_storage(address, slot) == slots.get(slot, 0)
                before = self.model.original.get((address, slot), slots.get(slot, 0))
                assert state.get_storage(address, slot, from_journal=False) == before


@settings(max_examples=300)
@given(st.lists(operations, max_size=40))
def test_any_history_is_the_models(history):
    world = World()
    for operation in history:
        world.do(*operation)
        if operation[0] in ("discard", "lock", "block"):
            world.compare()
    world.do_block()
    world.compare()


@given(st.lists(operations, max_size=30), st.lists(operations, max_size=15))
def test_what_is_taken_back_leaves_no_trace(history, attempt):
    world = World()
    for operation in history:
        world.do(*operation)
    world.do_lock()
    model = deepcopy(world.model)
    world.state.hold()
    for operation in attempt:
        if operation[0] != "block":
            world.do(*operation)
    world.state.take_back()
    world.model, world.marks = model, []
    world.compare()
    world.do_block()


def test_deleting_everything_leaves_code_only():
    world = World()
    for address in ADDRESSES:
        world.do("balance", address, 5)
        world.do("code", address, b"\x60")
        for slot in SLOTS:
            world.do("store", address, slot, 7)
    world.do_block()
    for address in ADDRESSES:
        world.do("delete", address)
    world.do_block()
    assert list(world.rows) == [b"c" + keccak256(b"\x60")]
    assert world.model.root() == EMPTY_TRIE_ROOT
    assert world.state.get_code_hash(ADDRESSES[0]) == EMPTY_CODE_HASH
