"""A DPoS state in a database and the full block that comes next: what `bench_dpos_block` imports.

Each of the block's transactions is signed by another key and pays another account, so that the state is read
and changed at places that have nothing to do with each other.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from coincurve import PrivateKey
from vyper import compile_code

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos import seal
from ioex_chain.dpos.machine import Candidate
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.transactions import signed, signing_hash
from ioex_chain.evm.types import Transaction
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.ledger.store import LevelStore
from ioex_chain.node.dpos_build import STATE_BLOCK, open_dpos_ledger
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.spec.load import load_network
from ioex_chain.spec.model import GenesisMember, NetworkSpec

CHAIN_ID = 51337
BASE_FEE = 10**9
SEAT = keccak256(b"benchmark seat")
FUNDS = 10**20
TOKENS = 10**24
_PER_WRITE = 50_000
TOKEN = bytes.fromhex("70" * 20)
TOKEN_SOURCE = """
# pragma version 0.4.3
event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

balanceOf: public(HashMap[address, uint256])
totalSupply: public(uint256)

@external
def transfer(receiver: address, amount: uint256) -> bool:
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=msg.sender, receiver=receiver, amount=amount)
    return True
"""


@cache
def token_code() -> bytes:
    """Give the run-time code of an ERC-20 transfer and its event."""
    code: str = compile_code(TOKEN_SOURCE, output_formats=["bytecode_runtime"])["bytecode_runtime"]
    return bytes.fromhex(code.removeprefix("0x"))


def token_slot(owner: bytes) -> int:
    """Give where Vyper keeps balanceOf[owner]: the mapping stands in slot 0."""
    return int.from_bytes(keccak256(bytes(32) + bytes(12) + owner), "big")


@dataclass(frozen=True)
class Shape:
    """What the measured block holds."""

    transactions: int = 10_000
    tokens: bool = False
    """ERC-20 transfers instead of plain ones."""
    other_accounts: int = 0
    """Accounts that lie in the state as well."""

    @property
    def name(self) -> str:
        kind = "ERC-20 transfers" if self.tokens else "plain transfers"
        others = f", {self.other_accounts:,} other accounts" if self.other_accounts else ""
        return f"{self.transactions:,} {kind}{others}"


def private_key(number: int) -> PrivateKey:
    return PrivateKey(keccak256(b"benchmark key %d" % number))


def address_of(key: PrivateKey) -> bytes:
    return keccak256(key.public_key.format(compressed=False)[1:])[12:]


def payee(number: int) -> bytes:
    return keccak256(b"benchmark payee %d" % number)[12:]


def transactions(shape: Shape) -> Iterator[Transaction]:
    """Give the block's transactions, signed; type 2."""
    for number in range(shape.transactions):
        to, value, data, gas = payee(number), 1, b"", 21_000
        if shape.tokens:
            data = bytes.fromhex("a9059cbb") + bytes(12) + to + (10**18).to_bytes(32, "big")
            to, value, gas = TOKEN, 0, 100_000
        yield sign(to, value, data, gas, private_key(number))


def sign(to: bytes, value: int, data: bytes, gas: int, key: PrivateKey, nonce: int = 0) -> Transaction:
    blank = Transaction(
        raw=b"",
        hash=b"",
        type=2,
        chain_id=CHAIN_ID,
        nonce=nonce,
        max_priority_fee=10**8,
        max_fee=3 * BASE_FEE,
        gas=gas,
        to=to,
        value=value,
        data=data,
        access_list=(),
        authorizations=(),
        y_parity=0,
        r=0,
        s=0,
        signing_hash=b"",
    )
    signature = key.sign_recoverable(signing_hash(blank), hasher=None)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return signed(blank, signature[64], r, s)


def fund(state: FlatState, shape: Shape) -> None:
    """Write the accounts that take part; the same names work on py-evm's state."""
    for number in range(shape.transactions):
        state.set_balance(address_of(private_key(number)), FUNDS)
        state.set_balance(payee(number), 1)
    if shape.tokens:
        state.set_code(TOKEN, token_code())
        state.set_nonce(TOKEN, 1)
        for number in range(shape.transactions):
            state.set_storage(TOKEN, token_slot(address_of(private_key(number))), TOKENS)
            state.set_storage(TOKEN, token_slot(payee(number)), 1)


def bench_spec() -> NetworkSpec:
    """Give devnet with one seat, whose key is known, and limits that let any measured block through."""
    network = load_network("devnet")
    seat = address_of(PrivateKey(SEAT))
    dpos = replace(
        network.dpos,
        members=(GenesisMember(seat, seat),),
        seats=1,
        min_members=1,
        block_time=30,
        slot_lengths=(),
        gas_limit=2_000_000_000,
        execution_gas_limit=2_000_000_000,
    )
    return replace(network, dpos=dpos)


def clock_of(spec: NetworkSpec) -> FixedClock:
    return FixedClock(spec.dpos.genesis_time + 10**6)


def add_accounts(store: LevelStore, shape: Shape) -> None:
    """Put the measured accounts into the state of the head."""
    _flush(store, lambda state: fund(state, shape))
    for start in range(0, shape.other_accounts, _PER_WRITE):
        numbers = range(start, min(start + _PER_WRITE, shape.other_accounts))
        _flush(store, lambda state, numbers=numbers: _others(state, numbers))
    store.compact()


def _others(state: FlatState, numbers: Iterable[int]) -> None:
    for number in numbers:
        state.set_balance(keccak256(b"benchmark other %d" % number)[12:], 1 + number)


def _flush(store: LevelStore, work: Callable[[FlatState], None]) -> None:
    overlay = Overlay(store)
    state = FlatState(overlay)
    work(state)
    state.flush()
    store.write(overlay.changes)


def save(folder: Path, shape: Shape) -> None:
    """Make the database and the block's bytes in `folder`."""
    folder.mkdir(parents=True)
    spec = bench_spec()
    store = LevelStore(folder / "db", create=True, block=STATE_BLOCK)
    open_dpos_ledger(spec, store, clock_of(spec))
    add_accounts(store, shape)
    rules = open_dpos_ledger(spec, store, clock_of(spec))
    candidate = Candidate(1, list(transactions(shape)))
    made = rules.ledger.try_on_head(
        lambda view, head: rules.machine.assemble(view, head, candidate)  # type: ignore[arg-type]
    )
    assert len(made.transactions) == shape.transactions, made.rejected[:1]
    digest = seal.seal_digest(rules.engine.genesis, made.header.hash)
    (folder / "block").write_bytes(made.sealed(seal.sign(SEAT, digest)).raw)
    store.close()
