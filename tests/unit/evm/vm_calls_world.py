"""Messages and changes as a port describes them, and a state to call on."""

from dataclasses import dataclass
from typing import Any

from ioex_chain.evm.state import FlatState
from ioex_chain.ledger.overlay import Overlay


@dataclass(frozen=True)
class Message:
    sender: bytes = bytes(20)
    to: bytes | None = None
    gas: int | None = None
    value: int = 0
    data: bytes = b""
    nonce: int | None = None
    max_fee: int | None = None
    max_priority_fee: int | None = None
    access_list: Any = None
    authorizations: Any = ()


@dataclass(frozen=True)
class Change:
    nonce: int | None = None
    balance: int | None = None
    code: bytes | None = None
    state: Any = None
    state_diff: Any = None
    move_precompile_to: bytes | None = None


@dataclass(frozen=True)
class Block:
    number: int | None = None
    time: int | None = None
    gas_limit: int | None = None
    fee_recipient: bytes | None = None
    prev_randao: bytes | None = None
    base_fee: int | None = None
    blob_base_fee: int | None = None


class Rows(dict[bytes, bytes]):
    def scan(self, prefix: bytes):
        return iter(sorted((key, value) for key, value in self.items() if key.startswith(prefix)))


def world(**accounts: Any) -> Overlay:
    """An overlay with accounts: `hex address` = dict of nonce, balance, code, slots."""
    overlay = Overlay(Rows())
    state = FlatState(overlay)
    for name, fields in accounts.items():
        address = bytes.fromhex(name.removeprefix("a"))
        state.set_nonce(address, fields.get("nonce", 0))
        state.set_balance(address, fields.get("balance", 0))
        state.set_code(address, fields.get("code", b""))
        for slot, value in fields.get("slots", {}).items():
            state.set_storage(address, slot, value)
    state.flush()
    return overlay
