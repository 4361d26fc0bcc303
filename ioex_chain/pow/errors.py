"""One class per broken rule of the PoW chain, drawn as a tree.

`reason` is the short word that Bitcoin Core gives for the same rule where it has one; `getblocktemplate`
proposals, `submitblock` and the mempool answer with it.
"""

from typing import ClassVar

from ioex_chain.ledger.errors import InvalidBlock, InvalidHeader, MutatedBlock, NotYetValid
from ioex_chain.primitives.errors import IoexError

# --- headers ---------------------------------------------------------------------------------------------


class PowHeaderError(InvalidHeader):
    """A header that breaks a rule of docs/protocol.md section 3."""

    reason: ClassVar[str] = "bad-header"


class HighHash(PowHeaderError):
    """The work is less than the target asks for."""

    reason = "high-hash"


class WrongBits(PowHeaderError):
    """The target is not the one that the difficulty rule gives."""

    reason = "bad-diffbits"


class BadCompact(WrongBits):
    """Compact bits that are negative, zero or above 256 bits."""


class TimeTooOld(PowHeaderError):
    """The time is not after the median of the last 11."""

    reason = "time-too-old"


class TimeTooNew(NotYetValid):
    """The time is too far ahead of our clock; it may pass later."""

    reason = "time-too-new"


class AuxPowError(PowHeaderError):
    """The AuxPoW record does not prove work for this header."""

    reason = "bad-auxpow"


class AuxPowMissing(AuxPowError):
    """Version bit 8 is set and no record follows, or a record stands without the bit."""


class AuxPowTooLarge(AuxPowError):
    """The record or its coinbase is above its cap."""


class AuxPowChainId(AuxPowError):
    """The version does not carry our chain id, or the parent's carries it too."""


class AuxPowNotGenerate(AuxPowError):
    """The parent transaction is not at the coinbase's place in its block."""


class AuxPowBranchTooLong(AuxPowError):
    """A Merkle branch is deeper than 30."""


class AuxPowMerkleRoot(AuxPowError):
    """The parent coinbase is not in the parent block."""


class AuxPowNoInput(AuxPowError):
    """The parent coinbase has no input."""


class AuxPowRootMissing(AuxPowError):
    """The parent coinbase does not carry the chain Merkle root."""


class AuxPowManyHeaders(AuxPowError):
    """The parent coinbase has two merged-mining headers."""


class AuxPowHeaderPlace(AuxPowError):
    """The merged-mining header is not just before the root."""


class AuxPowRootTooLate(AuxPowError):
    """Without a merged-mining header the root must begin in the first 20 bytes."""


class AuxPowSizeMissing(AuxPowError):
    """Tree size and nonce do not follow the root."""


class AuxPowTreeSize(AuxPowError):
    """The tree size is not 2 to the branch's depth."""


class AuxPowChainIndex(AuxPowError):
    """The chain stands at the wrong leaf of the tree."""


# --- bodies ----------------------------------------------------------------------------------------------


class WrongMerkleRoot(MutatedBlock):
    """The transactions are not those of the header."""

    reason = "bad-txnmrklroot"


class DuplicateTransactions(MutatedBlock):
    """Two equal neighbours in the Merkle tree (CVE-2012-2459)."""

    reason = "bad-txns-duplicate"


class NodeSizedTransaction(MutatedBlock):
    """A transaction of 64 bytes without witness: it can pass for an inner node of the Merkle tree."""

    reason = "bad-txns-64-bytes"


class WrongWitnessCommitment(MutatedBlock):
    """The witnesses are not those that the coinbase commits to."""

    reason = "bad-witness-merkle-match"


class WitnessNonceSize(MutatedBlock):
    """The coinbase's witness is not one item of 32 bytes."""

    reason = "bad-witness-nonce-size"


class PowBlockError(InvalidBlock):
    """A block that breaks a rule of docs/protocol.md sections 1 and 3."""

    reason: ClassVar[str] = "bad-block"


class BlockTooLarge(PowBlockError):
    """Above 8,000,000 bytes or 10,000 transactions."""

    reason = "bad-blk-length"


class TooManySignatures(PowBlockError):
    """More signature checks than a block may cost."""

    reason = "bad-blk-sigops"


class NoCoinbase(PowBlockError):
    """The first transaction is not a coinbase."""

    reason = "bad-cb-missing"


class ManyCoinbases(PowBlockError):
    """A second coinbase."""

    reason = "bad-cb-multiple"


class WrongCoinbaseHeight(PowBlockError):
    """The coinbase does not begin with the height (BIP-34)."""

    reason = "bad-cb-height"


class WrongArbitratorReward(PowBlockError):
    """Output 0 is not exactly 20 IOEX to the RewardPool's deposit address."""

    reason = "bad-cb-reward"


class CoinbaseReserveOutput(PowBlockError):
    """A reserve output of the coinbase other than output 0."""

    reason = "bad-cb-reserve"


class CoinbaseTooMuch(PowBlockError):
    """The coinbase pays more than 24 IOEX and the fees."""

    reason = "bad-cb-amount"


class NoWitnessCommitment(PowBlockError):
    """The coinbase has no witness commitment."""

    reason = "bad-cb-commitment"


class BlockTransactionError(PowBlockError):
    """A transaction of the block breaks a rule; `cause` says which."""

    def __init__(self, index: int, cause: "TransactionError") -> None:
        super().__init__(f"transaction {index}: {cause}")
        self.index = index
        self.cause = cause

    @property
    def rule(self) -> str:
        """The transaction rule's short word."""
        return self.cause.reason


# --- transactions ----------------------------------------------------------------------------------------


class TransactionError(IoexError):
    """A transaction that breaks a consensus rule of docs/protocol.md section 3."""

    reason: ClassVar[str] = "bad-txns"


class NoInputs(TransactionError):
    """No inputs."""

    reason = "bad-txns-vin-empty"


class NoOutputs(TransactionError):
    """No outputs."""

    reason = "bad-txns-vout-empty"


class TransactionTooLarge(TransactionError):
    """Larger than a block."""

    reason = "bad-txns-oversize"


class TransactionNodeSized(TransactionError):
    """64 bytes without witness: it could pass for an inner node of a Merkle tree in a proof."""

    reason = "bad-txns-64-bytes"


class OutputTooLarge(TransactionError):
    """An output above 20,000,000 IOEX."""

    reason = "bad-txns-vout-toolarge"


class OutputSumTooLarge(TransactionError):
    """The outputs' sum is above MAX_MONEY."""

    reason = "bad-txns-txouttotal-toolarge"


class DuplicateInputs(TransactionError):
    """Two inputs spend the same output."""

    reason = "bad-txns-inputs-duplicate"


class NullInput(TransactionError):
    """An input that spends nothing, outside a coinbase."""

    reason = "bad-txns-prevout-null"


class CoinbaseScriptSize(TransactionError):
    """A coinbase script outside 2 to 100 bytes."""

    reason = "bad-cb-length"


class InputScriptNotEmpty(TransactionError):
    """An input script: every spendable form here is a native witness program."""

    reason = "scriptsig-not-empty"


class OutputFormClosed(TransactionError):
    """An output script outside the closed set."""

    reason = "scriptpubkey"


class DataTooLarge(TransactionError):
    """An OP_RETURN output above 83 bytes or with a value."""

    reason = "datacarrier"


class DepositTooLarge(TransactionError):
    """A transaction with a deposit above 32,768 bytes without witness."""

    reason = "bad-deposit-size"


class MissingInput(TransactionError):
    """An output that does not exist or is spent."""

    reason = "bad-txns-inputs-missingorspent"


class Immature(TransactionError):
    """A coinbase output spent before it matured."""

    reason = "bad-txns-premature-spend-of-coinbase"


class OutputsAboveInputs(TransactionError):
    """More goes out than comes in."""

    reason = "bad-txns-in-belowout"


class AmountOutOfRange(TransactionError):
    """A sum of inputs or fees above MAX_MONEY."""

    reason = "bad-txns-inputvalues-outofrange"


class NotFinal(TransactionError):
    """The lock time is not reached (BIP-113)."""

    reason = "bad-txns-nonfinal"


class SequenceLocked(TransactionError):
    """A relative lock is not reached (BIP-68)."""

    reason = "non-BIP68-final"


class ReserveSpend(TransactionError):
    """A spend of the bridge reserve that is not a settlement."""

    reason = "bad-txns-reserve"


class ScriptError(TransactionError):
    """A witness does not satisfy the output that it spends."""

    reason = "mandatory-script-verify-flag-failed"


class WitnessShape(ScriptError):
    """The wrong number of witness items, or an item that must be empty is not."""


class WitnessProgramMismatch(ScriptError):
    """The key or script does not hash to the program."""


class ScriptFormClosed(ScriptError):
    """A witness script outside the closed set, or not minimally written."""


class KeyEncoding(ScriptError):
    """A public key that is not compressed."""


class SignatureEncoding(ScriptError):
    """A signature that is not strict DER with low S, or has an undefined hash type."""


class SignatureWrong(ScriptError):
    """The signature does not verify."""


class LockTimeUnsatisfied(ScriptError):
    """OP_CHECKLOCKTIMEVERIFY fails (BIP-65)."""


class SequenceUnsatisfied(ScriptError):
    """OP_CHECKSEQUENCEVERIFY fails (BIP-112)."""
