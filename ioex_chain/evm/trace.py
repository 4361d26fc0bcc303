"""debug_trace*: transactions and calls under a tracer, as Ethereum's clients show them.

Tracers: None (the opcode log), callTracer, prestateTracer, 4byteTracer, noopTracer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ioex_chain.evm.call_session import open_session
from ioex_chain.evm.call_types import BlockChange, CallMessage, CallRefused, Changes
from ioex_chain.evm.trace_base import Tracer
from ioex_chain.evm.trace_calls import CallTracer, SelectorTracer
from ioex_chain.evm.trace_opcodes import OpcodeLog
from ioex_chain.evm.trace_prestate import PrestateTracer
from ioex_chain.evm.types import BlockEnv, Transaction, TxOutcome
from ioex_chain.evm.vm import PRAGUE, apply_transaction
from ioex_chain.evm.vm_rules import Rules
from ioex_chain.evm.vm_world import Accounts
from ioex_chain.ledger.types import Readable


class TraceOptions(Protocol):
    """How to trace, as the asker says it."""

    @property
    def tracer(self) -> str | None:
        """Name of the tracer; None for the opcode log."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """The tracer's own options."""
        ...

    @property
    def memory(self) -> bool:
        """Whether the opcode log shows memory."""
        ...

    @property
    def stack(self) -> bool:
        """Whether it shows the stack."""
        ...

    @property
    def storage(self) -> bool:
        """Whether it shows storage."""
        ...

    @property
    def return_data(self) -> bool:
        """Whether it shows return data."""
        ...

    @property
    def limit(self) -> int:
        """Most operations that it shows; 0 for no such limit."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """Options by name, with the defaults of Ethereum's clients."""

    tracer: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    memory: bool = False
    stack: bool = True
    storage: bool = True
    return_data: bool = False
    limit: int = 0


def _log(options: TraceOptions) -> Tracer:
    return OpcodeLog(
        memory=options.memory,
        stack=options.stack,
        storage=options.storage,
        return_data=options.return_data,
        limit=options.limit,
    )


def _calls(options: TraceOptions) -> Tracer:
    config = options.config
    return CallTracer(only_top_call=bool(config.get("onlyTopCall")), with_log=bool(config.get("withLog")))


def _prestate(options: TraceOptions) -> Tracer:
    config = options.config
    return PrestateTracer(
        diff_mode=bool(config.get("diffMode")),
        disable_code=bool(config.get("disableCode")),
        disable_storage=bool(config.get("disableStorage")),
        include_empty=bool(config.get("includeEmpty")),
    )


TRACERS: dict[str | None, Callable[[TraceOptions], Tracer]] = {
    None: _log,
    "callTracer": _calls,
    "prestateTracer": _prestate,
    "4byteTracer": lambda _: SelectorTracer(),
    "noopTracer": lambda _: Tracer(),
}


def make_tracer(options: TraceOptions) -> Tracer:
    """Build the tracer that is asked for. Raises CallRefused for one that there is not."""
    build = TRACERS.get(options.tracer)
    if build is None:
        names = ", ".join(sorted(name for name in TRACERS if name))
        raise CallRefused(f"there is no tracer {options.tracer!r}; there are {names}")
    return build(options)


def trace_transaction(
    state: Accounts,
    env: BlockEnv,
    tx: Transaction,
    sender: bytes,
    options: TraceOptions,
    *,
    check: Callable[[], None] | None = None,
    rules: Rules = PRAGUE,
) -> tuple[Any, TxOutcome]:
    """Run a transaction on the state, which keeps its changes; give the tracer's JSON and the outcome.

    Raises InvalidTransaction, CallRefused, and what `check` raises.
    """
    tracer = make_tracer(options)
    tracer.begin(state, env, tx, sender)
    outcome = apply_transaction(state, env, tx, sender, tracer=tracer, rules=rules, check_deadline=check)
    return tracer.result(tx, outcome), outcome


def trace_call(
    view: Readable,
    env: BlockEnv,
    message: CallMessage,
    options: TraceOptions,
    *,
    changes: Changes | None = None,
    block: BlockChange | None = None,
    check: Callable[[], None] | None = None,
) -> Any:
    """Trace a message on a state that stays as it is; give the tracer's JSON. Raises CallRefused."""
    session = open_session(view, env, changes, block, check)
    tx = session.fill(message)
    tracer = make_tracer(options)
    tracer.begin(session.state, session.env, tx, message.sender)
    return tracer.result(tx, session.run(tx, message.sender, tracer))
