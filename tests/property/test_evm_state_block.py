"""Blocks of plain transfers and their edge cases: the short path against the general one and stock py-evm.

py-evm executes each block through its own state, trie, receipts and bloom; all of it must be the same.
"""

import rlp
from eth.consensus.context import ConsensusContext
from eth.db.atomic import AtomicDB
from eth.db.chain import ChainDB
from eth.db.trie import make_trie_root_and_nodes
from eth.vm.chain_context import ChainContext
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.crypto.recovery import recover_address
from ioex_chain.crypto.secp256k1 import sign_recoverable
from ioex_chain.evm.block import BlockRules, BlockRun
from ioex_chain.evm.errors import InvalidTransaction
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.transactions import decode_transaction, signed
from ioex_chain.evm.types import AccessEntry, Authorization, BlockEnv, Transaction
from ioex_chain.ledger.overlay import Overlay

CHAIN = 1337
BASE_FEE = 10**9
KEYS = [bytes(31) + bytes((number,)) for number in range(1, 6)]


def address_of(private: bytes) -> bytes:
    signature = sign_recoverable(private, bytes(32))
    return recover_address(bytes(32), signature[:64], signature[64])


SENDERS = [address_of(key) for key in KEYS]
POOR, RICH = SENDERS[4], SENDERS[:4]
DELEGATED = SENDERS[3]
COINBASE = bytes.fromhex("c0" * 20)
CONTRACT = bytes.fromhex("cc" * 20)
TARGETS = [
    *SENDERS,
    COINBASE,
    CONTRACT,
    bytes(19) + b"\x01",
    bytes(19) + b"\x04",
    bytes(19) + b"\x11",
    bytes.fromhex("dd" * 20),
    bytes.fromhex("ee" * 20),
]
# SSTORE(NUMBER, CALLVALUE); LOG0 of nothing; STOP
CODE = bytes.fromhex("34435560006000a000")


class Rows(dict):
    def scan(self, prefix):
        return iter(sorted((key, value) for key, value in self.items() if key.startswith(prefix)))


def genesis(state) -> None:
    """Give the same accounts to our state and to py-evm's: they share these names."""
    for address in RICH:
        state.set_balance(address, 10**18)
    state.set_balance(POOR, 21_000 * 2 * BASE_FEE + 5)
    state.set_code(DELEGATED, b"\xef\x01\x00" + CONTRACT)
    state.set_code(CONTRACT, CODE)
    state.set_nonce(CONTRACT, 1)


def unsigned(kind: int, **fields) -> Transaction:
    base = {
        "raw": b"",
        "hash": b"",
        "type": kind,
        "chain_id": CHAIN,
        "nonce": 0,
        "max_priority_fee": 0,
        "max_fee": 2 * BASE_FEE,
        "gas": 21_000,
        "to": None,
        "value": 0,
        "data": b"",
        "access_list": (),
        "authorizations": (),
        "y_parity": 0,
        "r": 0,
        "s": 0,
        "signing_hash": b"",
    }
    return Transaction(**(base | fields))


def sign(tx: Transaction, private: bytes) -> Transaction:
    from ioex_chain.evm.transactions import signing_hash

    signature = sign_recoverable(private, signing_hash(tx))
    return signed(
        tx, signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    )


def authorize(private: bytes, target: bytes, nonce: int) -> Authorization:
    digest = keccak256(b"\x05" + rlp.encode([CHAIN, target, nonce]))
    signature = sign_recoverable(private, digest)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return Authorization(CHAIN, target, nonce, signature[64], r, s)


class Wish:
    """What a transaction shall be; its nonce is filled in when its turn comes."""

    def __init__(self, kind, sender, to, value, data, gas, tip, cap, off, slots) -> None:
        self.sender = sender
        self.off = off
        if kind in (0, 1):
            tip = cap
        self.fields = {
            "kind": kind,
            "to": to,
            "value": value,
            "data": data,
            "gas": gas,
            "max_priority_fee": tip,
            "max_fee": cap,
            "access_list": (AccessEntry(CONTRACT, (bytes(32),)),) if slots and kind else (),
        }

    def make(self, nonces: list[int]) -> Transaction:
        extra = {}
        if self.fields["kind"] == 4:
            extra["authorizations"] = (authorize(KEYS[2], CONTRACT, nonces[2] + (self.sender == 2)),)
        return sign(
            unsigned(nonce=max(0, nonces[self.sender] + self.off), **self.fields, **extra), KEYS[self.sender]
        )


wishes = st.builds(
    Wish,
    kind=st.sampled_from([0, 1, 2, 2, 4]),
    sender=st.integers(0, 4),
    to=st.sampled_from(TARGETS),
    value=st.sampled_from([0, 0, 1, 5, 10**17, 10**18]),
    data=st.sampled_from([b"", b"", b"\x00\x01", b"\x07" * 200]),
    gas=st.sampled_from([21_000, 21_000, 30_000, 100_000]),
    tip=st.sampled_from([0, 1, BASE_FEE]),
    cap=st.sampled_from([2 * BASE_FEE, 2 * BASE_FEE, BASE_FEE, BASE_FEE - 1]),
    off=st.sampled_from([0, 0, 0, 0, 1, -1]),
    slots=st.booleans(),
)


def our_env(gas_limit=2_000_000) -> BlockEnv:
    return BlockEnv(CHAIN, 1, 1_000, COINBASE, gas_limit, BASE_FEE, bytes(32), lambda number: None)


def our_genesis() -> Rows:
    rows = Rows()
    write(rows, FlatState, genesis)
    return rows


def write(rows, opened, work):
    overlay = Overlay(rows)
    state = opened(overlay)
    result = work(state)
    if isinstance(state, FlatState):
        result = state.flush()
    for key, value in overlay.changes.items():
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value
    return result


def fill(rules: BlockRules, wanted: list[Wish]):
    """Let a producer try all; give its result and the transactions that went in."""
    run = BlockRun(Overlay(our_genesis()), our_env(), rules)
    nonces, taken, refused = [0] * 5, [], []
    for wish in wanted:
        try:
            tx = wish.make(nonces)  # one whose lists cost more than its gas is none
            run.try_transaction(tx)
        except InvalidTransaction as error:
            refused.append(str(error))
            continue
        taken.append(tx)
        nonces = [run.state.get_nonce(address) for address in SENDERS]
    return run.finish(), taken, refused


def py_evm(txs: list[Transaction]) -> tuple[bytes, bytes, bytes, int]:
    """Have stock py-evm apply them; give state root, receipts root, bloom, gas."""
    db = AtomicDB()
    accounts = PragueVM.get_state_class().get_account_db_class()(db)
    genesis(accounts)
    root = accounts.make_state_root()
    accounts.persist()
    header = PragueBlockHeader(
        difficulty=0,
        block_number=1,
        gas_limit=2_000_000,
        timestamp=1_000,
        coinbase=COINBASE,
        state_root=root,
        base_fee_per_gas=BASE_FEE,
    )
    vm = PragueVM(header, ChainDB(db), ChainContext(CHAIN), ConsensusContext(db))
    decode = PragueTransactionBuilder.decode
    header, receipts, _ = vm.apply_all_transactions([decode(tx.raw) for tx in txs], header)
    receipts_root, _ = make_trie_root_and_nodes(receipts)
    bloom = header.bloom.to_bytes(256, "big")
    return vm.state.make_state_root(), receipts_root, bloom, header.gas_used


def results(result) -> tuple:
    return result.state_root, result.receipts_root, result.logs_bloom, result.gas_used


@settings(max_examples=60)
@given(st.lists(wishes, min_size=1, max_size=8))
def test_blocks_are_py_evms(wanted):
    made, taken, refused = fill(BlockRules(), wanted)
    general, general_taken, general_refused = fill(BlockRules(short_path=False), wanted)
    assert made == general
    assert taken == general_taken
    assert refused == general_refused
    assert results(made) == py_evm(taken)
    imported = BlockRun(Overlay(our_genesis()), our_env(), BlockRules())
    imported.transactions([decode_transaction(tx.raw) for tx in taken])
    assert imported.finish() == made


def test_the_short_path_is_taken():
    """Plain means that no interpreter starts: a state that refuses code would not notice."""
    rows = our_genesis()
    run = BlockRun(Overlay(rows), our_env(), BlockRules())
    run.state.get_code = None
    target = bytes.fromhex("ab" * 20)
    for nonce, kind in enumerate((0, 1, 2)):
        tx = sign(unsigned(kind, nonce=nonce, to=target, value=7, data=b"\x01" * kind, gas=30_000), KEYS[0])
        assert run.try_transaction(tx).status == 1
    assert run.state.get_balance(target) == 21
    assert run.gas_used == 21_000 + 21_040 + 21_080
