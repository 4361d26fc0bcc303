"""The reader for `TraceConfig`, as debug_trace* take it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from ioex_chain.rpc.eth.call_params import read_block_override, read_overrides
from ioex_chain.rpc.eth.evm_port import TRACERS, BlockOverride, Overrides, TraceOptions
from ioex_chain.rpc.eth.values import fault, wrong_type
from ioex_chain.rpc.params import Param

TRACE_SECONDS = 10.0
MAX_TRACE_SECONDS = 25.0
"""Below the port's own limit for a request."""
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0}
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ns|us|µs|ms|s|m|h)){1,6}")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """How to trace, for how long at most, and, for debug_traceCall, what to change before."""

    options: TraceOptions = field(default_factory=TraceOptions)
    seconds: float = TRACE_SECONDS
    overrides: Overrides = field(default_factory=dict)
    block: BlockOverride = field(default_factory=BlockOverride)


def read_duration(value: object) -> float:
    """Read a Go duration such as "5s" or "300ms" as seconds."""
    if not isinstance(value, str):
        raise wrong_type('timeout must be a duration, such as "5s"')
    if not _DURATION.fullmatch(value):
        raise fault('timeout must be a duration, such as "5s"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    return min(seconds, MAX_TRACE_SECONDS)


def read_trace(value: object) -> TraceRequest:
    """Read a `TraceConfig`."""
    if not isinstance(value, dict):
        raise wrong_type("must be an object")
    config = value.get("tracerConfig")
    if config is not None and not isinstance(config, dict):
        raise wrong_type("tracerConfig must be an object")
    overrides, block = value.get("stateOverrides"), value.get("blockOverrides")
    return TraceRequest(
        TraceOptions(
            tracer=_tracer(value.get("tracer")),
            config=config or {},
            memory=_flag(value, "enableMemory"),
            stack=not _flag(value, "disableStack"),
            storage=not _flag(value, "disableStorage"),
            return_data=_flag(value, "enableReturnData"),
            limit=_limit(value.get("limit")),
        ),
        TRACE_SECONDS if value.get("timeout") is None else read_duration(value["timeout"]),
        {} if overrides is None else read_overrides(overrides),
        BlockOverride() if block is None else read_block_override(block),
    )


def _tracer(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise wrong_type("tracer must be a string")
    if value not in TRACERS:
        raise fault(f"there is no tracer {value[:40]!r}; there are {', '.join(TRACERS)}")
    return value


def _flag(value: Mapping[str, object], name: str) -> bool:
    given = value.get(name)
    if given is not None and not isinstance(given, bool):
        raise wrong_type(f"{name} must be true or false")
    return bool(given)


def _limit(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type("limit must be an integer")
    if not 0 <= value < 1 << 63:
        raise fault("limit must be 0 (as many as fit) or a number of steps")
    return value


_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "TraceConfig",
    "properties": {
        "tracer": {"enum": list(TRACERS)},
        "tracerConfig": {"type": "object"},
        "timeout": {"type": "string"},
        "enableMemory": {"type": "boolean"},
        "disableStack": {"type": "boolean"},
        "disableStorage": {"type": "boolean"},
        "enableReturnData": {"type": "boolean"},
        "limit": {"type": "integer", "minimum": 0},
        "debug": {"type": "boolean"},
    },
}
TraceParam = Annotated[
    TraceRequest, PlainValidator(read_trace), WithJsonSchema(_SCHEMA), Param("how to trace")
]
