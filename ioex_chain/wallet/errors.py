"""Everything that a wallet refuses, one class per reason. No message ever holds a key or a mnemonic."""

from pathlib import Path

from ioex_chain.primitives.errors import DecodeError, IoexError
from ioex_chain.primitives.types import COIN


class WalletError(IoexError):
    """Something that a wallet refuses to do or cannot do; the message says what helps."""


# --- key files -------------------------------------------------------------------------------------------


class KeystoreError(WalletError):
    """A key file that cannot be used as it is; `path` names it."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class KeystoreMissing(KeystoreError):
    """There is no such file."""


class KeystoreExists(KeystoreError):
    """The file exists already; key files are never overwritten."""


class KeystoreUnreadable(KeystoreError):
    """The operating system refuses to read or write the file."""


class KeystoreDamaged(KeystoreError):
    """The file is not what was written: restore it from a backup or from the mnemonic."""


class KeystoreTooNew(KeystoreError):
    """The file was written by a newer version of this program."""


class WrongPassword(KeystoreError):
    """The file is whole, and the password does not open it."""


class WrongPasswordOrDamaged(WrongPassword):
    """A foreign key file without a checksum: its MAC cannot tell a wrong password from damage."""


class WrongNetwork(KeystoreError):
    """The wallet belongs to another network."""


# --- keys ------------------------------------------------------------------------------------------------


class InvalidMnemonic(WalletError, ValueError):
    """Not a BIP-39 mnemonic; the message says which word or check is wrong, by position."""


class InvalidExtendedKey(WalletError, ValueError):
    """Not a BIP-32 extended key, or not one that this wallet can use."""


class InvalidPrivateKey(WalletError, ValueError):
    """Not a private key in hex or WIF."""


class NoPrivateKeys(WalletError):
    """A watch-only wallet was asked to sign."""


# --- payments --------------------------------------------------------------------------------------------


class PaymentError(WalletError):
    """A payment that the wallet does not build."""


class InvalidAmount(PaymentError, ValueError):
    """An amount that is not a positive number of units with at most 8 decimals, or is out of range."""


class InvalidMemo(PaymentError, ValueError):
    """A memo above the 80 bytes that an OP_RETURN output of 83 bytes carries."""


class InvalidFeeRate(PaymentError, ValueError):
    """A fee rate below the relay minimum or absurdly high."""


class DustOutput(PaymentError):
    """An output too small to be worth spending; nodes do not relay it."""


class InsufficientFunds(PaymentError):
    """The coins that may be spent now do not cover amount and fee."""

    def __init__(self, needed: int, available: int, hint: str = "") -> None:
        more = f"; {hint}" if hint else ""
        super().__init__(
            f"needs {needed / COIN:.8f} IOEX with the fee, {available / COIN:.8f} IOEX can be spent now{more}"
        )
        self.needed = needed
        self.available = available


class TransactionTooBig(PaymentError):
    """Above the standard size: send less at once or gather small coins first."""


class MixedLocks(PaymentError):
    """Coins locked by height and coins locked by time cannot be spent in one transaction (BIP-65)."""


class NotReplaceable(PaymentError):
    """A transaction whose fee cannot be raised: confirmed, final or not ours."""


# --- PSBT ------------------------------------------------------------------------------------------------


class PsbtError(WalletError):
    """A partially signed transaction that cannot be used."""


class InvalidPsbt(PsbtError, DecodeError):
    """Bytes that are not a version 0 PSBT (BIP-174)."""


class PsbtMismatch(PsbtError):
    """PSBTs of different transactions, or with contradicting facts, cannot be combined."""


class PreviousOutputMissing(PsbtError):
    """The PSBT does not say (or does not prove) what an input spends."""


class PreviousOutputMismatch(PsbtError):
    """What the PSBT says about a spent output contradicts the transaction that made it."""


class UnsafeSighash(PsbtError):
    """The PSBT asks for a signature that leaves outputs or inputs open."""


class ScriptMismatch(PsbtError):
    """A script or key in the PSBT does not hash to the output that is spent."""


class NotComplete(PsbtError):
    """An input lacks signatures; `missing` counts the inputs that do."""

    def __init__(self, missing: int, total: int) -> None:
        super().__init__(f"{missing} of {total} inputs are not fully signed yet")
        self.missing = missing


class ChainUnavailable(WalletError):
    """The node did not answer, or answered with an error."""
