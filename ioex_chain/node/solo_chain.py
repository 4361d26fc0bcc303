"""What a solo devnet's chain has that no other has: edits of the state, a clock that leads, impersonation.

It is kept in a file beside the database, so that the blocks stay valid when they are verified again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ioex_chain.dpos.execution import EvmWorld
from ioex_chain.evm.block import BlockRun
from ioex_chain.evm.errors import InvalidSignature
from ioex_chain.evm.senders import Senders
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.types import BlockEnv, Transaction
from ioex_chain.ledger.errors import StoreCorrupt, StoreFull
from ioex_chain.ledger.types import StateView
from ioex_chain.node.datadir import checksum, write_atomically
from ioex_chain.primitives.clock import Clock
from ioex_chain.spec.model import NetworkSpec

MARK = int.from_bytes(b"impersonates", "big")
"""The upper 96 bits of r in the signature of an impersonated account's transaction; s is 1."""


_ELSE = "or start a new chain with another --datadir"


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of the state before a block's transactions; `kind` names a setter of FlatState."""

    kind: str
    address: bytes
    value: int = 0
    slot: int = 0
    code: bytes = b""

    def apply(self, state: FlatState) -> None:
        """Make the change."""
        if self.kind == "balance":
            state.set_balance(self.address, self.value)
        elif self.kind == "nonce":
            state.set_nonce(self.address, self.value)
        elif self.kind == "storage":
            state.set_storage(self.address, self.slot, self.value)
        else:
            state.set_code(self.address, self.code)


@dataclass
class Notes:
    """What is kept beside a solo chain: seconds that its clock leads, edits by height."""

    path: Path
    lead: int = 0
    edits: dict[int, list[Edit]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, *, is_new: bool) -> "Notes":
        """Read the file, or begin it with a new chain. Raises StoreCorrupt, StoreFull."""
        notes = cls(path)
        try:
            if is_new:
                notes.save()
            else:
                notes._read(json.loads(path.read_bytes()))
        except FileNotFoundError as error:
            raise StoreCorrupt(f"{path} is missing beside a solo chain; put it back, {_ELSE}") from error
        except OSError as error:
            raise StoreFull(f"cannot use {path}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreCorrupt(f"{path} is damaged; restore it, {_ELSE}") from error
        return notes

    def _read(self, content: Any) -> None:
        if content.pop("checksum") != checksum(content):
            raise ValueError
        self.lead = content["lead"]
        for height, rows in content["edits"].items():
            self.edits[int(height)] = [_edit(row) for row in rows]

    def save(self) -> None:
        """Write the file. Raises OSError."""
        edits = {str(height): [_row(edit) for edit in rows] for height, rows in self.edits.items()}
        content: dict[str, Any] = {"lead": self.lead, "edits": edits}
        write_atomically(self.path, json.dumps({**content, "checksum": checksum(content)}).encode())


def _row(edit: Edit) -> dict[str, Any]:
    return {
        "kind": edit.kind,
        "address": edit.address.hex(),
        "value": hex(edit.value),
        "slot": hex(edit.slot),
        "code": edit.code.hex(),
    }


def _edit(row: dict[str, Any]) -> Edit:
    return Edit(
        row["kind"],
        bytes.fromhex(row["address"]),
        int(row["value"], 16),
        int(row["slot"], 16),
        bytes.fromhex(row["code"]),
    )


class SoloClock:
    """The system's time and a lead that only grows, but for a revert."""

    def __init__(self, clock: Clock, notes: Notes) -> None:
        self._clock = clock
        self._notes = notes

    def now(self) -> int:
        """Give Unix time."""
        return self._clock.now() + self._notes.lead


class SoloSenders(Senders):
    """Knows impersonated senders by their mark: nobody can make a signature with it by chance."""

    def sender(self, tx: Transaction) -> bytes:
        """Give who signed, or who is impersonated. Raises InvalidSignature."""
        return impersonated_by(tx) or super().sender(tx)

    def of(self, txs: Sequence[Transaction]) -> list[bytes]:
        """Give all senders in order. Raises InvalidSignature."""
        found: list[bytes] = []
        for at, tx in enumerate(txs):
            try:
                found.append(self.sender(tx))
            except InvalidSignature as error:
                raise InvalidSignature(f"transaction {at}: {error}") from error
        return found


def impersonated_by(tx: Transaction) -> bytes | None:
    """Give the account in whose name a marked transaction is sent; None for a signed one."""
    return (tx.r & ((1 << 160) - 1)).to_bytes(20, "big") if tx.s == 1 and tx.r >> 160 == MARK else None


class SoloWorld(EvmWorld):
    """The EVM's state, with edits at the beginning of blocks."""

    def __init__(self, spec: NetworkSpec, senders: Senders, notes: Notes) -> None:
        super().__init__(spec, senders)
        self._notes = notes

    def run(self, view: StateView, env: BlockEnv) -> BlockRun:
        """Begin a block."""
        run = BlockRun(view, env, self.rules, self.senders)
        for edit in self._notes.edits.get(env.number, ()):
            edit.apply(run.state)
        run.state.lock_changes()
        return run
