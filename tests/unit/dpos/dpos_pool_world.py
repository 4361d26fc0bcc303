"""A DPoS pool on a state that tests set by hand; the sender's number stands in r of a faked signature."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos.mempool import Mempool
from ioex_chain.dpos.mempool_types import PoolChange, PooledTransaction, PoolPolicy, PoolTip
from ioex_chain.evm.errors import InvalidSignature
from ioex_chain.evm.transactions import signed
from ioex_chain.evm.types import EMPTY_CODE_HASH, WEI, AccessEntry, Account, Authorization, Transaction
from ioex_chain.ledger.types import Connected, HeadChanged
from ioex_chain.spec.model import DposSpec

SPEC = DposSpec(chain_id=51337, block_time=1, seats=4, p2p_port=0, rpc_port=0)
GWEI = 10**9
FEE = 10 * GWEI
TIP = 2 * GWEI
NOBODY = b"\xfe" * 20
"""Whose signature is not valid."""


def address(number: int) -> bytes:
    """Give a sender's address."""
    return number.to_bytes(20, "big")


def tx(
    sender: bytes | int,
    nonce: int,
    *,
    fee: int = FEE,
    tip: int = TIP,
    gas: int = 21_000,
    to: bytes | None = b"\x99" * 20,
    value: int = 0,
    data: bytes = b"",
    kind: int = 2,
    chain_id: int | None = SPEC.chain_id,
    authorizations: tuple[Authorization, ...] = (),
    access_list: tuple[AccessEntry, ...] = (),
) -> Transaction:
    """Make a transaction that the fake below takes for this sender's."""
    sender = address(sender) if isinstance(sender, int) else sender
    tip = fee if kind < 2 else tip
    unsigned = Transaction(
        b"",
        b"",
        kind,
        chain_id,
        nonce,
        tip,
        fee,
        gas,
        to,
        value,
        data,
        access_list,
        authorizations,
        0,
        1,
        1,
        b"",
    )
    return signed(unsigned, 0, int.from_bytes(sender, "big"), 1)


class FakeSigners:
    """Reads senders from r; counts how many it was asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def sender(self, tx: Transaction) -> bytes:
        self.asked += 1
        found = tx.r.to_bytes(20, "big")
        if found == NOBODY:
            raise InvalidSignature
        return found

    def of(self, txs: Sequence[Transaction]) -> list[bytes]:
        return [self.sender(one) for one in txs]


class FakeClock:
    """Unix time by hand."""

    def __init__(self) -> None:
        self.time = 1_800_000_000

    def now(self) -> int:
        return self.time


@dataclass
class State:
    """Accounts and codes."""

    accounts: dict[bytes, Account] = field(default_factory=dict)
    codes: dict[bytes, bytes] = field(default_factory=dict)

    def account(self, address: bytes) -> Account:
        return self.accounts.get(address, Account())

    def code(self, code_hash: bytes) -> bytes:
        return self.codes[code_hash]


class PoolWorld:
    """A pool, its state, and a chain of blocks that are lists of transactions."""

    def __init__(self, **policy: Any) -> None:
        self.clock = FakeClock()
        self.signers = FakeSigners()
        self.pool = Mempool(SPEC, self.clock, self.signers, policy=PoolPolicy(**policy))
        self.state = State()
        self.base_fee = SPEC.min_base_fee
        self.blocks: list[list[Transaction]] = []
        self.changes: list[PoolChange] = []
        self.pool.subscribe(self.changes.append)

    # --- the chain's side -----------------------------------------------------------------------------------

    def tip(self) -> PoolTip:
        return PoolTip(self.state, self.base_fee)

    def transactions(self, entry: Any) -> Sequence[Transaction]:
        return entry

    def fund(self, *senders: int, nonce: int = 0, balance: int = 1_000 * WEI, code: bytes = b"") -> None:
        """Set accounts."""
        code_hash = keccak256(code) if code else EMPTY_CODE_HASH
        self.state.codes[code_hash] = code
        for sender in senders:
            self.state.accounts[address(sender)] = Account(nonce, balance, code_hash=code_hash)

    def mine(self, txs: Sequence[Transaction], *, undo: int = 0) -> None:
        """Take back `undo` blocks, then put these transactions into one."""
        gone = [self.blocks.pop() for _ in range(undo)]
        for block in gone:
            for one in reversed(block):
                self._move(one, -1)
        for one in txs:
            self._move(one, 1)
        self.blocks.append(list(txs))
        event: Any = HeadChanged(tuple(gone), (Connected(list(txs), None),), list(txs))  # type: ignore[arg-type]
        self.pool.on_head(event, self)

    def _move(self, one: Transaction, step: int) -> None:
        sender = one.r.to_bytes(20, "big")
        account = self.state.account(sender)
        nonce = one.nonce + (step > 0)
        price = one.gas * self.base_fee + one.value
        self.state.accounts[sender] = Account(
            nonce, account.balance - step * price, code_hash=account.code_hash
        )

    # --- the pool's side ------------------------------------------------------------------------------------

    def add(self, one: Transaction, **options: Any) -> PooledTransaction:
        return self.pool.add(one, self.tip(), **options)

    def pending(self, sender: int) -> list[int]:
        return [entry.tx.nonce for entry in self.pool.pending_of(address(sender))]

    def queued(self, sender: int) -> list[int]:
        return [entry.tx.nonce for entry in self.pool.queued_of(address(sender))]

    def check(self) -> None:
        """See that the pool is sound: caps, no gap, paid, counts."""
        pool, policy = self.pool, self.pool.policy
        status = pool.status()
        entries = []
        pending = 0
        for sender in pool.senders():
            account = self.state.account(sender)
            first, rest = pool.pending_of(sender), pool.queued_of(sender)
            assert first or rest
            assert [entry.tx.nonce for entry in first] == [account.nonce + at for at in range(len(first))]
            assert pool.next_nonce(sender) == account.nonce + len(first)
            assert sum(entry.cost for entry in first) <= account.balance
            assert all(entry.cost <= account.balance for entry in rest)
            assert len(rest) <= policy.max_queued_by_sender + policy.max_pending_by_sender
            following = [entry for entry in rest if entry.tx.nonce == account.nonce + len(first)]
            for entry in following:  # waits for money alone
                assert sum(one.cost for one in first) + entry.cost > account.balance
            assert all(entry.tx.nonce >= account.nonce + len(first) for entry in rest)
            entries += first + rest
            pending += len(first)
        assert len(entries) == len(pool) == status.pending + status.queued
        assert pending == status.pending
        assert sum(entry.usage for entry in entries) == status.usage <= policy.max_usage
        assert len(pool) <= policy.max_transactions
        assert status.queued <= policy.max_queued
        assert all(pool.get(entry.tx.hash) is entry for entry in entries)
