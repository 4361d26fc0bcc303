"""What all tracers share: the hooks that they do not use, and how values are written."""

from typing import Any

from ioex_chain.evm.types import BlockEnv, Transaction, TxOutcome
from ioex_chain.evm.vm_frame import Frame
from ioex_chain.evm.vm_world import Accounts


def hex_data(value: bytes) -> str:
    """Write bytes as 0x and two digits each."""
    return "0x" + value.hex()


class Tracer:
    """Follows one transaction; a subclass overrides the hooks that it needs.

    `begin` comes before anything is paid, `result` after everything; between them the machine's hooks.
    """

    steps = False

    def begin(self, state: Accounts, env: BlockEnv, tx: Transaction, sender: bytes) -> None:
        """Take up a transaction."""

    def enter(self, frame: Frame) -> None:
        """Hear of a call that begins."""

    def leave(self, frame: Frame) -> None:
        """Hear of a call that ended."""

    def step(self, frame: Frame, pc: int, op: int) -> None:
        """Hear of an operation."""

    def destroy(self, frame: Frame, beneficiary: bytes, balance: int) -> None:
        """Hear of a self-destruction."""

    def result(self, tx: Transaction, outcome: TxOutcome) -> Any:  # noqa: ARG002
        """Give what the trace shows, ready for JSON."""
        return {}
