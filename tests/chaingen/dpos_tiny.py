"""A DPoS world without an EVM: blocks execute in microseconds, every rule of the chain around them is real.

A transaction is `\x02` and JSON: `{"rank": [[key, payout], ...]}` sets the registry's ranking, `{"payout":
[key, payout]}` a payout address, `{"gas": n}` what it uses beyond 21,000, `{"bad": 1}` may never stand,
`{"log": "hex"}` logs, `{"starve": 1}` makes
the system calls after it fail. Rows begin with `y`.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos.pow_facts import Call
from ioex_chain.dpos.sets import Member
from ioex_chain.evm import system
from ioex_chain.evm.block import BlockResult
from ioex_chain.evm.errors import (
    ExecutionGasReached,
    InvalidTransaction,
    SystemCallFailed,
    TransactionRefused,
)
from ioex_chain.evm.genesis import NO_REQUESTS
from ioex_chain.evm.receipts import join_blooms, make_receipt, receipts_root
from ioex_chain.evm.types import BlockEnv, Log, Transaction, TxOutcome, Withdrawal
from ioex_chain.ledger.types import Readable, StateView
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.spec.model import NetworkSpec

NOBODY, BRIDGE = b"\x01" * 20, b"\x02" * 20
"""A contract that refuses all, and one that takes all."""
RANKING, VERSION, FEES = b"yranking", b"yversion", b"yfees"


def tiny_transaction(**content: object) -> Transaction:
    return decode_tiny(b"\x02" + json.dumps(content, sort_keys=True).encode())


def decode_tiny(raw: bytes) -> Transaction:
    try:
        json.loads(raw[1:])
    except ValueError as error:
        raise DecodeError("no tiny transaction") from error
    rest: tuple[Any, ...] = (2, None, 0, 0, 0, 21_000, None, 0, b"", (), (), 0, 0, 0, b"")
    return Transaction(raw, keccak256(raw), *rest)


class TinyRegistry:
    def version(self, view: Readable) -> int:
        return int(view.get(VERSION) or b"0")

    def ranking(self, view: Readable) -> tuple[Member, ...]:
        rows = json.loads(view.get(RANKING) or b"[]")
        return tuple(
            Member(bytes.fromhex(key), bytes.fromhex(payout))
            for key, payout in rows
            if view.get(b"yburned" + bytes.fromhex(key)) is None
        )

    def payout(self, view: Readable, key: bytes) -> bytes | None:
        return view.get(b"ypayout" + key)


class TinyRun:
    def __init__(self, spec: NetworkSpec, view: StateView, env: BlockEnv) -> None:
        self._spec = spec
        self._view = view
        self._env = env
        self._rows: dict[bytes, bytes] = {}
        self._gas = self._execution_gas = 0
        self._starved = False
        self._receipts: list[Any] = []
        self._outcomes: list[TxOutcome] = []

    def _get(self, key: bytes) -> bytes | None:
        return self._rows.get(key) or self._view.get(key)

    def _add(self, key: bytes, number: int = 1) -> None:
        self._rows[key] = str(int(self._get(key) or b"0") + number).encode()

    def begin(self, parent_hash: bytes, parent_beacon_root: bytes) -> None:
        self._rows[b"yparent"] = parent_hash + parent_beacon_root

    @property
    def system_gas_left(self) -> int:
        return self._spec.dpos.system_gas_limit

    def system_call(self, to: bytes, data: bytes) -> bytes:
        if self._starved:
            raise SystemCallFailed("out of gas")
        if to == NOBODY:
            raise SystemCallFailed("there is no such contract")
        if to == BRIDGE:
            return b""
        words = [data[at : at + 32] for at in range(4, len(data), 32)]
        key = words[0][12:]
        if data[:4] == system.on_evidence(bytes(20), 0, 0)[:4]:
            if self._get(b"ypayout" + key) is None or self._get(b"yburned" + key) is not None:
                raise SystemCallFailed("unknown key or known evidence")
            self._rows[b"yburned" + key] = words[1] + words[2]
            self._add(VERSION)
        elif data[:4] == system.accrue(bytes(20), 0, 0)[:4]:
            self._add(b"yearned" + key, int.from_bytes(words[2], "big"))
        else:
            self._add(b"yproduced" + key)
            for missed in words[3:]:
                self._add(b"ymissed" + missed[12:])
        return b""

    def transactions(self, txs: Sequence[Transaction]) -> None:
        for position, tx in enumerate(txs):
            try:
                self.try_transaction(tx)
            except InvalidTransaction as error:
                raise TransactionRefused(position, error) from error

    def try_transaction(self, tx: Transaction, times: int | None = None) -> TxOutcome:
        content = json.loads(tx.raw[1:])
        gas = int(content.get("gas", 0))
        if "bad" in content:
            raise InvalidTransaction("bad")
        if self._execution_gas + gas > self._spec.dpos.execution_gas_limit:
            raise ExecutionGasReached("too much")
        self._starved = self._starved or "starve" in content
        if "rank" in content:
            self._rows[RANKING] = json.dumps(content["rank"]).encode()
            for key, payout in content["rank"]:
                self._rows[b"ypayout" + bytes.fromhex(key)] = bytes.fromhex(payout)
            self._add(VERSION)
        if "payout" in content:
            key, payout = map(bytes.fromhex, content["payout"])
            self._rows[b"ypayout" + key] = payout
            ranking = json.loads(self._get(RANKING) or b"[]")
            changed = [[k, payout.hex() if k == key.hex() else p] for k, p in ranking]
            self._rows[RANKING] = json.dumps(changed).encode()
            self._add(VERSION)
        logs = (Log(bytes(20), (), bytes.fromhex(content["log"])),) if "log" in content else ()
        self._gas += 21_000 + gas
        self._execution_gas += gas
        self._receipts.append(make_receipt(tx.type, 1, self._gas, logs))
        outcome = TxOutcome(1, 21_000 + gas, gas, logs, b"", None, None)
        self._outcomes.append(outcome)
        return outcome

    def settle_base_fees(self) -> None:
        self._add(FEES, self._gas * self._env.base_fee)

    def withdrawals(self, items: Iterable[Withdrawal]) -> None:
        for item in items:
            self._add(b"ybalance" + item.address, item.amount)

    def finish(self) -> BlockResult:
        root = keccak256((self._view.get(b"yroot") or b"") + repr(sorted(self._rows.items())).encode())
        self._rows[b"yroot"] = root
        for key, value in self._rows.items():
            self._view.put(key, value)
        blooms = join_blooms(receipt.bloom for receipt in self._receipts)
        receipts = tuple(self._receipts)
        return BlockResult(
            root,
            receipts_root(receipts),
            blooms,
            self._gas,
            self._execution_gas,
            receipts,
            tuple(self._outcomes),
        )


class TinyPowFacts:
    """`dpos.pow_facts.PowFacts` of a world that knows the PoW genesis block alone, and carries nothing."""

    def __init__(self, pow_genesis: bytes) -> None:
        self._pow_genesis = pow_genesis

    def buried_hash(self, view: Readable) -> bytes:
        return self._pow_genesis

    def due_withdrawals(self, view: Readable) -> tuple[Withdrawal, ...]:
        return ()

    def requests(self, view: Readable) -> tuple[bytes, ...]:
        return (NO_REQUESTS,)

    def drained(self, view: Readable) -> int:
        return 0

    def header_call(self, header: bytes) -> Call:
        return Call(NOBODY, header)

    def proof_call(self, proof: bytes) -> Call:
        return Call(NOBODY, proof)

    def handover_call(self, number: int, members: Sequence[bytes]) -> Call:
        return Call(BRIDGE, b"")

    def end_call(self, taken: int, slot: int, final_slot: int) -> Call:
        return Call(BRIDGE, b"")


class TinyWorld:
    """`dpos.execution.World` in a few rows."""

    def __init__(self, spec: NetworkSpec) -> None:
        self.spec = spec
        self.registry = TinyRegistry()

    def genesis(self, view: StateView, pow_genesis: bytes) -> None:
        members = [[member.key.hex(), member.payout.hex()] for member in self.spec.dpos.members]
        view.put(RANKING, json.dumps(members).encode())
        for member in self.spec.dpos.members:
            view.put(b"ypayout" + member.key, member.payout)

    def run(self, view: StateView, env: BlockEnv) -> TinyRun:
        return TinyRun(self.spec, view, env)
