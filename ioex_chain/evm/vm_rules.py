"""The parameters of a hard fork's EVM, built by vm_table from py-evm's tables."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """One fork's machine. Both lists have 256 entries, by operation."""

    name: str
    costs: tuple[int, ...]
    """Constant gas of each operation."""
    functions: tuple[Callable[[Any], None], ...]
    """What each operation does to its frame, after its constant gas was taken."""
    names: tuple[str, ...]
    """Mnemonics as tracers print them."""
    precompiles: dict[bytes, Callable[[Any], object]]
    """Precompiled contracts by address; each takes the frame."""
    delegations: bool
    """EIP-7702."""
    data_floor: bool
    """EIP-7623: call data has a least price."""
    code_run: Callable[[Any], None] | None = None
    """Hears of each frame before its code runs; may raise ExecutionGasReached (`work.py`)."""
    blob_base_fee: int = 1
    """What BLOBBASEFEE pushes: this chain has no blobs."""
