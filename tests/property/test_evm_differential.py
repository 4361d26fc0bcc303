"""Random transactions on random byte code: our EVM against Ethereum's executable specification.

Everything that a header commits to must be the same: which transactions stand, gas, receipts, state root.
"""

import os
from typing import Any

from evm_oracle import Start, Verdict, run_oracle
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.crypto.recovery import recover_address
from ioex_chain.crypto.secp256k1 import sign_recoverable
from ioex_chain.evm.block import BlockRules, BlockRun
from ioex_chain.evm.errors import InvalidTransaction, ListsBeyondGas
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.strict_rlp import encode_uint
from ioex_chain.evm.transactions import signed, signing_hash
from ioex_chain.evm.types import AccessEntry, Authorization, BlockEnv, Transaction
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.primitives.rlp import encode_string, wrap_list

EXAMPLES = 5_000 if os.environ.get("IOEX_SOAK") else 250
CHAIN = 51_337
KEYS = [bytes(31) + bytes((number,)) for number in range(1, 4)]


def address_of(private: bytes) -> bytes:
    signature = sign_recoverable(private, bytes(32))
    found = recover_address(bytes(32), signature[:64], signature[64])
    assert found is not None
    return found


SENDERS = [address_of(key) for key in KEYS]
CONTRACTS = [bytes.fromhex("c0") * 19 + bytes((number,)) for number in range(3)]
COINBASE = bytes.fromhex("bb" * 20)
# Elliptic curves and KZG have vectors of their own; the cheap precompiles are here.
PRECOMPILES = [bytes(19) + bytes((number,)) for number in (1, 2, 3, 4, 5, 9)]
ABSENT = bytes.fromhex("ee" * 20)
ACCOUNTS = [*SENDERS, *CONTRACTS, COINBASE, *PRECOMPILES, ABSENT]
ENV = BlockEnv(
    chain_id=CHAIN,
    number=300,
    timestamp=1_700_000_000,
    beneficiary=COINBASE,
    gas_limit=30_000_000,
    base_fee=10**9,
    prev_randao=keccak256(b"randao"),
    block_hash=lambda number: keccak256(str(number).encode()),
)


def push(value: int) -> bytes:
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes((0x5F + size,)) + value.to_bytes(size, "big")


words = st.one_of(
    st.integers(0, 1),
    st.integers(0, 4),
    st.integers(0, 300),
    st.integers(0, 2**256 - 1),
    st.sampled_from([2**255, 2**256 - 1, 2**255 - 1, 31, 32, 33, 255, 256, 2**64]),
)
small = st.integers(0, 96)
account = st.sampled_from(ACCOUNTS)
COMPUTE = [*range(0x01, 0x0C), *range(0x10, 0x1E), 0x20, *range(0x80, 0x84), *range(0x90, 0x94), 0x5F]
READ = [0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x3D, *range(0x41, 0x4B), 0x58, 0x59, 0x5A, 0x47, 0x50]


def operation(ops: list[int]) -> st.SearchStrategy[bytes]:
    return st.sampled_from(ops).map(lambda op: bytes((op,)))


def join(*parts: Any) -> st.SearchStrategy[bytes]:
    return st.tuples(*(part if not isinstance(part, bytes) else st.just(part) for part in parts)).map(
        b"".join
    )


def pushed(values: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
    return values.map(push)


address_push = account.map(lambda address: b"\x73" + address)
gas_push = st.one_of(st.just(b"\x5a"), pushed(st.integers(0, 100_000)))
areas = st.tuples(small, small, small, small).map(lambda four: b"".join(map(push, four)))
slot = pushed(st.integers(0, 3))
snippets = st.one_of(
    join(pushed(words), pushed(words), pushed(words), operation(COMPUTE), operation(COMPUTE)),
    operation(READ),
    join(pushed(words), slot, b"\x55"),
    join(slot, b"\x54"),
    join(pushed(words), slot, b"\x5d"),
    join(slot, b"\x5c"),
    join(pushed(words), pushed(small), operation([0x52, 0x53])),
    join(pushed(small), operation([0x51, 0x35])),
    join(pushed(small), pushed(st.one_of(small, words)), pushed(small), operation([0x37, 0x39, 0x3E, 0x5E])),
    join(address_push, operation([0x31, 0x3B, 0x3F])),
    join(pushed(small), pushed(small), pushed(small), address_push, b"\x3c"),
    join(areas, pushed(st.integers(0, 2)), address_push, gas_push, operation([0xF1, 0xF2])),
    join(areas, address_push, gas_push, operation([0xF4, 0xFA])),
    join(pushed(words), pushed(words), pushed(words), pushed(words), pushed(small), pushed(small),
         operation(list(range(0xA0, 0xA5)))),
    join(pushed(small), pushed(small), pushed(st.integers(0, 2)), b"\xf0"),
    join(pushed(st.integers(0, 1)), pushed(small), pushed(small), pushed(st.integers(0, 2)), b"\xf5"),
    join(pushed(st.integers(40, 300)), b"\x40"),
    join(pushed(st.integers(0, 1)), pushed(st.integers(0, 60)), b"\x57"),
    st.just(b"\x5b"),
    join(address_push, b"\xff"),
    join(pushed(small), pushed(small), operation([0xF3, 0xFD])),
    st.binary(min_size=1, max_size=3),
)  # fmt: skip
# Init code in memory: what CREATE and CREATE2 find there most often.
prologue = st.sampled_from(
    [b"", push(int.from_bytes(bytes.fromhex("6001600055600a6000f3") + bytes(22), "big")) + b"\x5f\x52"]
)
codes = st.tuples(prologue, st.lists(snippets, max_size=12)).map(lambda parts: parts[0] + b"".join(parts[1]))
any_code = st.one_of(codes, account.map(lambda address: b"\xef\x01\x00" + address))


@st.composite
def starts(draw: st.DrawFn) -> list[Start]:
    slots = st.dictionaries(st.integers(0, 3), st.integers(1, 2**256 - 1), max_size=2)
    found = [
        Start(address, 0, draw(st.sampled_from([10**18, 10**18, 10**15, 0])), b"", ()) for address in SENDERS
    ]
    for address in CONTRACTS:
        storage = tuple(draw(slots).items())
        found.append(Start(address, 1, draw(st.integers(0, 3)), draw(any_code), storage))
    return found


@st.composite
def authorizations(draw: st.DrawFn) -> Authorization:
    key = draw(st.sampled_from(KEYS))
    chain, nonce = draw(st.sampled_from([CHAIN, 0, 1])), draw(st.sampled_from([0, 0, 1, 2]))
    target = draw(st.one_of(account, st.just(bytes(20))))
    body = encode_uint(chain) + encode_string(target) + encode_uint(nonce)
    signature = sign_recoverable(key, keccak256(b"\x05" + wrap_list(body)))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return Authorization(chain, target, nonce, signature[64], r, s)


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    kind = draw(st.sampled_from([0, 1, 2, 4]))
    cap = draw(st.sampled_from([2 * 10**9, 2 * 10**9, 10**9, 10**9 - 1]))
    entry = st.builds(
        AccessEntry,
        account,
        st.lists(st.integers(0, 3).map(lambda n: n.to_bytes(32, "big")), max_size=2).map(tuple),
    )
    to = draw(st.one_of(account, st.sampled_from(CONTRACTS), st.none())) if kind != 4 else draw(account)
    tx = Transaction(
        raw=b"",
        hash=b"",
        type=kind,
        chain_id=CHAIN,
        nonce=draw(st.sampled_from([0, 0, 0, 1, 2])),
        max_priority_fee=cap if kind < 2 else draw(st.sampled_from([0, 1, 10**9])),
        max_fee=cap,
        gas=draw(st.sampled_from([400_000, 400_000, 100_000, 53_000, 21_000])),
        to=to,
        value=draw(st.sampled_from([0, 0, 1, 10**14])),
        data=draw(st.one_of(st.binary(max_size=80), codes)),
        access_list=tuple(draw(st.lists(entry, max_size=2))) if kind else (),
        authorizations=tuple(draw(st.lists(authorizations(), min_size=1, max_size=2))) if kind == 4 else (),
        y_parity=0,
        r=0,
        s=0,
        signing_hash=b"",
    )
    signature = sign_recoverable(draw(st.sampled_from(KEYS)), signing_hash(tx))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    try:
        return signed(tx, signature[64], r, s)
    except ListsBeyondGas:  # no transaction here, and refused there for its gas
        reject()


class Rows(dict[bytes, bytes]):
    def scan(self, prefix: bytes):
        return iter(sorted((key, value) for key, value in self.items() if key.startswith(prefix)))


def run_ours(accounts: list[Start], txs: list[Transaction]) -> Verdict:
    overlay = Overlay(Rows())
    state = FlatState(overlay)
    for item in accounts:
        state.set_nonce(item.address, item.nonce)
        state.set_balance(item.address, item.balance)
        state.set_code(item.address, item.code)
        for key, value in item.slots:
            state.set_storage(item.address, key, value)
    state.flush()
    block, accepted = BlockRun(overlay, ENV, BlockRules()), []
    for tx in txs:
        try:
            block.try_transaction(tx)
            accepted.append(True)
        except InvalidTransaction:
            accepted.append(False)
    result = block.finish()
    return Verdict(tuple(accepted), result.gas_used, result.state_root, result.receipts_root)


@settings(max_examples=EXAMPLES)
@given(accounts=starts(), txs=st.lists(transactions(), min_size=1, max_size=3))
def test_blocks_come_out_as_the_specification_says(accounts: list[Start], txs: list[Transaction]):
    assert run_ours(accounts, txs) == run_oracle(accounts, ENV, [tx.raw for tx in txs])


@settings(max_examples=EXAMPLES)
@given(code=codes, data=st.binary(max_size=40))
def test_code_does_what_the_specification_says(code: bytes, data: bytes):
    rich = Start(SENDERS[0], 0, 10**18, b"", ())
    accounts = [rich, Start(CONTRACTS[0], 1, 5, code, ((0, 1), (1, 2)))]
    tx = Transaction(
        raw=b"", hash=b"", type=2, chain_id=CHAIN, nonce=0, max_priority_fee=1, max_fee=2 * 10**9,
        gas=300_000, to=CONTRACTS[0], value=1, data=data, access_list=(), authorizations=(),
        y_parity=0, r=0, s=0, signing_hash=b"",
    )  # fmt: skip
    signature = sign_recoverable(KEYS[0], signing_hash(tx))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    tx = signed(tx, signature[64], r, s)
    assert run_ours(accounts, [tx]) == run_oracle(accounts, ENV, [tx.raw])
