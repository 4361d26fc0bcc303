"""The opcode log: every operation with its gas, stack, memory and storage, as debug_trace* show it.

Names and forms are those of the execution-apis' StructLog, which Ethereum's clients converge on: memory and
storage in 0x-prefixed words of 32 bytes, the stack in quantities, `refund` always.
"""

from typing import Any

from eth.exceptions import Revert

from ioex_chain.evm.trace_base import Tracer, hex_data
from ioex_chain.evm.types import Transaction, TxOutcome
from ioex_chain.evm.vm_errors import words_of
from ioex_chain.evm.vm_frame import Frame

_SLOAD, _SSTORE = 0x54, 0x55
_CREATES = ("CREATE", "CREATE2")
_MAX_BYTES = 16_000_000
"""About how much JSON a trace may become; what comes later is left out."""
_STEP_BYTES, _WORD_BYTES = 100, 70


class OpcodeLog(Tracer):
    """Logs each operation before it runs; its cost is known when the next thing happens."""

    steps = True

    def __init__(
        self,
        *,
        memory: bool = False,
        stack: bool = True,
        storage: bool = True,
        return_data: bool = False,
        limit: int = 0,
    ) -> None:
        self._memory = memory
        self._stack = stack
        self._storage = storage
        self._return_data = return_data
        self._limit = limit
        self._bytes = 0
        self._logs: list[dict[str, Any]] = []
        self._frames: list[Frame] = []
        self._open: list[dict[str, Any] | None] = []
        self._slots: dict[bytes, dict[str, str]] = {}

    def enter(self, frame: Frame) -> None:
        """Close the operation that called."""
        if self._frames:
            self._close(self._frames[-1], frame.msg.gas if frame.msg.kind in _CREATES else 0)
        self._frames.append(frame)
        self._open.append(None)

    def leave(self, frame: Frame) -> None:
        """Close the last operation, with its error if it had one."""
        entry = self._open[-1]
        if entry is not None and frame.error is not None and not isinstance(frame.error, Revert):
            entry["gasCost"] = frame.world.rules.costs[entry.pop("#")]
            entry["error"] = words_of(frame.error)
        else:
            self._close(frame, 0)
        self._open.pop()
        self._frames.pop()

    def _close(self, frame: Frame, given: int) -> None:
        entry = self._open[-1]
        if entry is not None:
            del entry["#"]
            entry["gasCost"] = entry["gas"] - frame.gas - given
            self._open[-1] = None

    def step(self, frame: Frame, pc: int, op: int) -> None:
        """Log the operation."""
        self._close(frame, 0)
        if (self._limit and len(self._logs) >= self._limit) or self._bytes > _MAX_BYTES:
            return
        entry: dict[str, Any] = {
            "pc": pc,
            "op": frame.world.rules.names[op],
            "gas": frame.gas,
            "gasCost": 0,
            "depth": frame.msg.depth + 1,
            "refund": frame.world.refund,
            "#": op,
        }
        self._bytes += _STEP_BYTES
        self._add_machine(entry, frame)
        if self._storage and op in (_SLOAD, _SSTORE):
            self._add_storage(entry, frame, op)
        self._logs.append(entry)
        self._open[-1] = entry

    def _add_machine(self, entry: dict[str, Any], frame: Frame) -> None:
        if self._stack:
            entry["stack"] = [hex(word) for word in frame.stack]
            self._bytes += sum(map(len, entry["stack"])) + 3 * len(frame.stack)
        if self._memory:
            memory = frame.memory.hex()
            entry["memory"] = ["0x" + memory[at : at + 64] for at in range(0, len(memory), 64)]
            self._bytes += _WORD_BYTES * len(entry["memory"])
        if self._return_data:
            entry["returnData"] = hex_data(frame.return_data)
            self._bytes += 2 * len(frame.return_data)

    def _add_storage(self, entry: dict[str, Any], frame: Frame, op: int) -> None:
        stack = frame.stack
        if len(stack) < (1 if op == _SLOAD else 2):
            return
        slot = stack[-1]
        value = frame.world.get_storage(frame.msg.target, slot) if op == _SLOAD else stack[-2]
        slots = self._slots.setdefault(frame.msg.target, {})
        slots[f"0x{slot:064x}"] = f"0x{value:064x}"
        entry["storage"] = dict(slots)
        self._bytes += 2 * _WORD_BYTES * len(slots)

    def result(self, tx: Transaction, outcome: TxOutcome) -> Any:  # noqa: ARG002
        """Give the log with the gas used and what was returned."""
        return {
            "gas": outcome.gas_used,
            "failed": outcome.error is not None,
            "returnValue": hex_data(outcome.output),
            "structLogs": self._logs,
        }
