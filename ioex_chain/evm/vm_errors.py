"""How an execution ends badly in words that clients know."""

from eth.exceptions import (
    ContractCreationCollision,
    FullStack,
    InsufficientFunds,
    InsufficientStack,
    InvalidInstruction,
    InvalidJumpDestination,
    OutOfBoundsRead,
    OutOfGas,
    ReservedBytesInCode,
    Revert,
    StackDepthLimit,
    VMError,
    WriteProtection,
)

_WORDS: dict[type[VMError], str] = {
    OutOfGas: "out of gas",
    Revert: "execution reverted",
    InvalidJumpDestination: "invalid jump destination",
    WriteProtection: "write protection",
    OutOfBoundsRead: "return data out of bounds",
    ContractCreationCollision: "contract address collision",
    ReservedBytesInCode: "invalid code: must not begin with 0xef",
    StackDepthLimit: "max call depth exceeded",
    InsufficientFunds: "insufficient balance for transfer",
}


class CodeTooLarge(VMError):
    """A creation returned more code than EIP-170 allows."""


class CodeStoreOutOfGas(VMError):
    """A creation could not pay for the code it returned."""


class NonceOverflow(VMError):
    """An account's nonce is at its end (EIP-2681)."""


class PrecompileFailure(VMError):
    """A precompiled contract refused its input."""


_WORDS[CodeTooLarge] = "max code size exceeded"
_WORDS[CodeStoreOutOfGas] = "contract creation code storage out of gas"
_WORDS[NonceOverflow] = "nonce uint64 overflow"


class DeadlineExceeded(Exception):
    """The execution took longer than its caller allowed; nothing of it stands. Ask for less work."""


def words_of(error: VMError) -> str:
    """Say an execution error as clients expect it."""
    text = _WORDS.get(type(error))
    if text is not None:
        return text
    if isinstance(error, (InvalidInstruction, FullStack, InsufficientStack, PrecompileFailure)):
        return str(error)
    return str(error) or "execution failed"
