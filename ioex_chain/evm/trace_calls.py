"""The call tree (callTracer) and the count of function selectors (4byteTracer)."""

from typing import Any

from eth.exceptions import Revert

from ioex_chain.evm.revert import revert_reason
from ioex_chain.evm.trace_base import Tracer, hex_data
from ioex_chain.evm.types import Transaction, TxOutcome
from ioex_chain.evm.vm_errors import words_of
from ioex_chain.evm.vm_frame import Frame

_CREATES = ("CREATE", "CREATE2")


class CallTracer(Tracer):
    """Builds the tree of calls, with logs on demand."""

    def __init__(self, *, only_top_call: bool = False, with_log: bool = False) -> None:
        self._only_top = only_top_call
        self._with_log = with_log
        self._open: list[dict[str, Any]] = []
        self._top: dict[str, Any] = {}
        self._seen = 0

    def enter(self, frame: Frame) -> None:
        """Open a node below the current one."""
        if self._only_top and frame.msg.depth:
            return
        self._take_logs(frame)
        self._open.append(_node(frame))

    def leave(self, frame: Frame) -> None:
        """Close the node and hang it into its parent."""
        if self._only_top and frame.msg.depth:
            return
        self._take_logs(frame)
        node = self._open.pop()
        _end(node, frame)
        if frame.error is not None:
            _drop_logs(node)
        if self._open:
            self._open[-1].setdefault("calls", []).append(node)
        else:
            self._top = node

    def destroy(self, frame: Frame, beneficiary: bytes, balance: int) -> None:
        """Show a self-destruction as a call."""
        if not self._only_top:
            self._open[-1].setdefault("calls", []).append(
                {
                    "type": "SELFDESTRUCT",
                    "from": hex_data(frame.msg.target),
                    "gas": "0x0",
                    "gasUsed": "0x0",
                    "to": hex_data(beneficiary),
                    "input": "0x",
                    "value": hex(balance),
                }
            )

    def _take_logs(self, frame: Frame) -> None:
        """Give the current node the logs that are new; a failed call's are gone already."""
        logs = frame.world.logs
        if self._with_log and self._open:
            node = self._open[-1]
            position = hex(len(node.get("calls", ())))
            for index, log in enumerate(logs[self._seen :], self._seen):
                node.setdefault("logs", []).append(
                    {
                        "address": hex_data(log.address),
                        "topics": [hex_data(topic) for topic in log.topics],
                        "data": hex_data(log.data),
                        "position": position,
                        "index": hex(index),
                    }
                )
        self._seen = len(logs)

    def result(self, tx: Transaction, outcome: TxOutcome) -> Any:
        """Give the tree; the top node's gas is the transaction's."""
        return {**self._top, "gas": hex(tx.gas), "gasUsed": hex(outcome.gas_used)}


def _node(frame: Frame) -> dict[str, Any]:
    msg = frame.msg
    node = {
        "type": msg.kind,
        "from": hex_data(msg.target if msg.kind == "DELEGATECALL" else msg.sender),
        "gas": hex(msg.gas),
        "gasUsed": "0x0",
        "to": hex_data(msg.to),
        "input": hex_data(msg.code if msg.kind in _CREATES else msg.data),
    }
    if msg.kind != "STATICCALL":
        node["value"] = hex(msg.value)
    return node


def _end(node: dict[str, Any], frame: Frame) -> None:
    node["gasUsed"] = hex(frame.msg.gas - frame.gas)
    error = frame.error
    if error is None:
        code = frame.world.get_code(frame.msg.target) if frame.msg.kind in _CREATES else frame.output
        if code:
            node["output"] = hex_data(code)
        return
    node["error"] = words_of(error)
    if frame.msg.kind in _CREATES:
        del node["to"]
    if isinstance(error, Revert) and frame.output:
        node["output"] = hex_data(frame.output)
        reason = revert_reason(frame.output)
        if reason is not None:
            node["revertReason"] = reason


def _drop_logs(node: dict[str, Any]) -> None:
    node.pop("logs", None)
    for child in node.get("calls", ()):
        _drop_logs(child)


class SelectorTracer(Tracer):
    """Counts calls by selector and size of arguments: "0x27dc297e-128"."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def enter(self, frame: Frame) -> None:
        """Count a call with four bytes of data or more; creations and precompiles do not count."""
        msg = frame.msg
        if msg.kind in _CREATES or len(msg.data) < 4 or msg.code_address in frame.world.precompiles:
            return
        key = f"{hex_data(msg.data[:4])}-{len(msg.data) - 4}"
        self._counts[key] = self._counts.get(key, 0) + 1

    def result(self, tx: Transaction, outcome: TxOutcome) -> Any:  # noqa: ARG002
        """Give the counts."""
        return self._counts
