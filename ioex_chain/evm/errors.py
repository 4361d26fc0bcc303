"""Why a transaction or a block's execution is refused: one class per rule, in words that clients know."""

from typing import ClassVar

from ioex_chain.primitives.errors import DecodeError, IoexError


class EvmError(IoexError):
    """Something that the execution side refuses."""


class InvalidTransaction(EvmError):
    """A transaction that breaks a rule. `reason` is what Ethereum clients say of it."""

    reason: ClassVar[str] = "invalid transaction"

    def __init__(self, detail: str = "") -> None:
        super().__init__(f"{self.reason}: {detail}" if detail else self.reason)


class MalformedTransaction(InvalidTransaction, DecodeError):
    """The bytes are no transaction: not RLP, wrong number or kind of fields."""

    reason = "malformed transaction"


class UnsupportedType(MalformedTransaction):
    """A transaction type that this chain does not have."""

    reason = "transaction type not supported"


class BlobsNotSupported(UnsupportedType):
    """A type 3 (EIP-4844) transaction: this chain has no blobs."""

    reason = "blob transactions are not supported on this chain"


class FieldOverflow(MalformedTransaction):
    """A number that is larger than its field."""

    reason = "field overflow"


class GasUintOverflow(FieldOverflow):
    """Gas of 2^64 and more."""

    reason = "gas uint64 overflow"


class GasPriceOverflow(InvalidTransaction):
    """gas times price is 2^256 or more."""

    reason = "gas * price overflow"


class InvalidSignature(InvalidTransaction):
    """v, r or s out of range, a high S (EIP-2), or no key can have made it."""

    reason = "invalid sender"


class MalformedSignature(InvalidSignature, DecodeError):
    """v, r or s out of range or a high S (EIP-2): seen in the bytes already."""


class WrongChainId(InvalidTransaction):
    """Signed for another chain."""

    reason = "invalid chain id for signer"


class NonceTooHigh(InvalidTransaction):
    """Nonces before this one are missing."""

    reason = "nonce too high"


class NonceTooLow(InvalidTransaction):
    """This nonce was used."""

    reason = "nonce too low"


class NonceExhausted(InvalidTransaction):
    """The nonce is 2^64 - 1 (EIP-2681)."""

    reason = "nonce has max value"


class InsufficientFunds(InvalidTransaction):
    """The balance does not cover value and the most that gas may cost."""

    reason = "insufficient funds for gas * price + value"


class IntrinsicGasTooLow(InvalidTransaction):
    """Less gas than the transaction itself costs."""

    reason = "intrinsic gas too low"


class ListsBeyondGas(IntrinsicGasTooLow, DecodeError):
    """Less gas than its lists alone cost: seen in the bytes already, before anything is made of them."""


class FloorGasTooLow(IntrinsicGasTooLow):
    """Less gas than its data costs at least (EIP-7623)."""

    reason = "insufficient gas for floor data gas cost"


class TipAboveFeeCap(InvalidTransaction):
    """maxPriorityFeePerGas above maxFeePerGas (EIP-1559)."""

    reason = "max priority fee per gas higher than max fee per gas"


class FeeCapTooLow(InvalidTransaction):
    """maxFeePerGas below the block's base fee (EIP-1559)."""

    reason = "max fee per gas less than block base fee"


class InitcodeTooLarge(InvalidTransaction):
    """A creation with more than 49,152 bytes of data (EIP-3860)."""

    reason = "max initcode size exceeded"


class SenderNotExternal(InvalidTransaction):
    """The sender has code other than a delegation (EIP-3607)."""

    reason = "sender not an eoa"


class SetCodeCreates(InvalidTransaction):
    """A type 4 transaction without a recipient (EIP-7702)."""

    reason = "EIP-7702 transaction cannot be used to create contract"


class NoAuthorizations(InvalidTransaction):
    """A type 4 transaction without authorisations (EIP-7702)."""

    reason = "EIP-7702 transaction with empty auth list"


class GasLimitReached(InvalidTransaction):
    """More gas than is left in the block."""

    reason = "gas limit reached"


class ExecutionGasReached(InvalidTransaction):
    """More execution gas than is left in the block (docs/protocol.md section 4)."""

    reason = "execution gas limit reached"


class HeavierThanPaid(ExecutionGasReached):
    """More execution gas than so many times the gas that it pays; only a producer that tries it asks."""

    reason = "more execution gas than it pays for"

    def __init__(self, paid: int, extra: int, done: int) -> None:
        """Say that it used `paid` gas, counts `extra` beyond that, and did `done` of this."""
        super().__init__(f"{extra} execution gas beyond the {paid} gas that it had used")
        self.wasted = paid + done
        """Execution gas spent on finding it out."""
        self.times = -(-(paid + extra) // max(paid, 1))
        """Execution gas for each gas used so far, rounded up."""


class BalanceOverflow(InvalidTransaction):
    """A balance of 2^256 wei or more: only made-up states get there (overrides, a devnet's helpers)."""

    reason = "a balance reaches 2^256 wei"


class InvalidExecution(EvmError):
    """A block whose execution breaks a rule."""


class SystemCallFailed(InvalidExecution):
    """A system call reverted or ran out of its gas."""


class SystemGasExceeded(SystemCallFailed):
    """The block's system calls together need more than their shared budget."""


class TransactionRefused(InvalidExecution):
    """A transaction of the block may not stand where it stands; `cause` says why."""

    def __init__(self, position: int, cause: InvalidTransaction) -> None:
        super().__init__(f"transaction {position}: {cause}")
        self.position = position
        self.cause = cause
