"""One class per broken rule of headers and blocks of the DPoS chain (docs/protocol.md section 4).

Faults of a header are InvalidBlock too: those that wait for the state come to light when the block is
connected. A wrong seal is neither: it is the messenger's fault (ledger.errors.WrongSeal).
"""

from ioex_chain.ledger.errors import InvalidBlock, InvalidHeader, MutatedBlock, NotYetValid, WrongSeal
from ioex_chain.primitives.errors import IoexError

# --- headers ---------------------------------------------------------------------------------------------


class DposHeaderError(InvalidHeader, InvalidBlock):
    """A header that breaks a rule."""


class HasOmmers(DposHeaderError):
    """`ommersHash` is not that of the empty list."""


class HasDifficulty(DposHeaderError):
    """`difficulty` is not 0."""


class HasNonce(DposHeaderError):
    """`nonce` is not 8 zero bytes."""


class HasBlobs(DposHeaderError):
    """`blobGasUsed` or `excessBlobGas` is not 0."""


class ExtraDataTooLong(DposHeaderError):
    """`extraData` has more than 32 bytes."""


class WrongNumber(DposHeaderError):
    """`number` is not the parent's plus one."""


class WrongGasLimit(DposHeaderError):
    """`gasLimit` is not the network's."""


class GasUsedAboveLimit(DposHeaderError):
    """`gasUsed` is above `gasLimit`."""


class WrongBaseFee(DposHeaderError):
    """`baseFeePerGas` is not what EIP-1559 gives, with the network's floor."""


class NotASlotStart(DposHeaderError):
    """`timestamp` is not the start of a slot."""


class SlotNotAfterParent(DposHeaderError):
    """The slot is not later than the parent's."""


class SlotAhead(NotYetValid):
    """The slot has not begun by our clock; the header may pass later."""


class WrongSeed(DposHeaderError):
    """`mixHash` is not the seed of the slot's round."""


class WrongBeneficiary(DposHeaderError):
    """`beneficiary` is not the producer's payout address at the round's reading block."""


class SealMissing(WrongSeal):
    """A header without a seal; only genesis has none."""


class SealMalformed(WrongSeal):
    """The seal is no signature: its length, recovery byte, high S, or no key can have made it."""


class SealOfAnother(WrongSeal):
    """The seal is by another key than that of the slot's producer."""


class NotTheCheckpoint(WrongSeal):
    """At the operator's checkpoint (`dpos_checkpoint`) stands another block.

    Treated as a wrong seal: nothing on it is followed, and nothing is remembered against the hash, because
    the setting may be the one that is wrong.
    """


# --- bodies ----------------------------------------------------------------------------------------------


class WrongTransactionsRoot(MutatedBlock):
    """The transactions are not those that the header commits to."""


class WrongWithdrawalsRoot(MutatedBlock):
    """The withdrawals are not those that the header commits to."""


class WrongPayloadRoot(MutatedBlock):
    """The payload is not the one that `parentBeaconBlockRoot` commits to."""


class DposBlockError(InvalidBlock):
    """A block that breaks a rule."""


class BlockTooLarge(DposBlockError):
    """More bytes than a block of this network may have."""


class TooManyTransactions(DposBlockError):
    """More transactions than a block may have."""


class TooManyWithdrawals(DposBlockError):
    """More withdrawals than a block may have."""


class TooMuchEvidence(DposBlockError):
    """More items of evidence than a payload may have."""


class TooManyPowHeaders(DposBlockError):
    """More PoW headers than a payload may have (plain, or merged-mined)."""


class TooManyDepositProofs(DposBlockError):
    """More deposit proofs than a payload may have."""


class PowHeaderMalformed(DposBlockError):
    """A PoW header in a payload that has not 80 bytes, or with version bit 8 not 80 to 4,176 and a record."""


class DepositProofMalformed(DposBlockError):
    """A deposit proof in a payload that is too long or does not decode."""


# --- payload ---------------------------------------------------------------------------------------------


class PayloadError(DposBlockError):
    """A payload that breaks a rule."""


class CertificateTarget(PayloadError):
    """The certificate's target is not an ancestor of the block, or not above the recorded justified one."""


class CertificateSource(PayloadError):
    """The certificate's source is not the highest justified block recorded at its target."""


class CertificateSet(PayloadError):
    """The certificate is of another set than the one in force at its target."""


class CertificateSigners(PayloadError):
    """The certificate names members that the set does not have, or has no signature for some."""


class CertificateQuorum(PayloadError):
    """The certificate has fewer votes than the quorum."""


class CertificateSignature(PayloadError):
    """A signature of the certificate is not by the member that it stands for."""


class EvidenceProvesNothing(PayloadError):
    """An item of evidence does not prove an offence."""


class EvidenceRepeated(PayloadError):
    """Two items of one payload are against one key."""


class PowHeaderRefused(PayloadError):
    """PowLightClient refuses a PoW header, or the block's system gas does not suffice for it."""


class DepositProofRefused(PayloadError):
    """The Bridge refuses a deposit proof, or the block's system gas does not suffice for it."""


class EvidenceRefused(PayloadError):
    """The registry refuses the evidence: the key is unknown, or was punished before."""


# --- execution -------------------------------------------------------------------------------------------


class ExecutionError(DposBlockError):
    """The block's execution breaks a rule, or does not give what the header says."""


class SystemCallReverted(ExecutionError):
    """A system call reverted or ran out of the block's system gas."""


class BlockTransactionError(ExecutionError):
    """A transaction that cannot stand at its place; `cause` says why."""

    def __init__(self, index: int, cause: IoexError) -> None:
        super().__init__(f"transaction {index}: {cause}")
        self.index = index
        self.cause = cause


class TooMuchExecutionGas(ExecutionError):
    """The transactions use more execution gas (beyond their intrinsic gas) than the network allows."""


class WrongWithdrawals(ExecutionError):
    """The withdrawals are not the first of the Bridge's queue."""


class WrongGasUsed(ExecutionError):
    """`gasUsed` is not what the transactions use."""


class WrongReceiptsRoot(ExecutionError):
    """`receiptsRoot` is not that of the receipts."""


class WrongBloom(ExecutionError):
    """`logsBloom` is not that of the logs."""


class WrongRequestsHash(ExecutionError):
    """`requestsHash` is not that of the requests (EIP-7685)."""


class WrongStateRoot(ExecutionError):
    """`stateRoot` is not that of the state after the block."""
