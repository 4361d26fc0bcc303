"""Why the pool does not take a transaction that may be valid, in geth's words: clients know errors by them.

What breaks a rule of the chain is refused by the classes of `evm.errors`.
"""

from ioex_chain.evm.errors import InsufficientFunds, InvalidTransaction, NonceTooLow, SenderNotExternal


class PoolError(InvalidTransaction):
    """A transaction that this pool does not take now."""

    reason = "transaction not taken"


class OversizedTransaction(PoolError):
    """It has more bytes than the pool takes."""

    reason = "oversized data"


class GasLimitExceeded(PoolError):
    """It asks for more gas than a block has."""

    reason = "exceeds block gas limit"


class AlreadyKnown(PoolError):
    """The pool has it."""

    reason = "already known"


class Underpriced(PoolError):
    """It pays less than the pool asks for."""

    reason = "transaction underpriced"


class ReplacementUnderpriced(PoolError):
    """It pays too little more than the one with its nonce."""

    reason = "replacement transaction underpriced"


class PoolFull(PoolError):
    """There is no room, and nothing cheaper to drop for it."""

    reason = "txpool is full"


class AccountLimitExceeded(PoolError):
    """Its sender has as many transactions in the pool as one may."""

    reason = "account limit exceeded"


class InFlightLimit(PoolError):
    """A delegated account has one transaction in the pool at a time (EIP-7702)."""

    reason = "in-flight transaction limit reached for delegated accounts"


class DelegatedGap(PoolError):
    """A delegated account's transaction must have its next nonce (EIP-7702)."""

    reason = "gapped-nonce tx from delegated accounts"


class AuthorityReserved(PoolError):
    """It would change the code of an account that has several transactions in the pool (EIP-7702)."""

    reason = "authority already reserved"


_OF_THE_MOMENT = (PoolError, NonceTooLow, InsufficientFunds, SenderNotExternal)


def is_hopeless(error: InvalidTransaction) -> bool:
    """Whether it can be in no block whatever the state: then who sent it is to blame."""
    return not isinstance(error, _OF_THE_MOMENT)
