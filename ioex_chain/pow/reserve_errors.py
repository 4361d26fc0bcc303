"""One class per rule that a settlement can break (docs/protocol.md section 6.2), in their order."""

from ioex_chain.pow.errors import ReserveSpend


class SettlementError(ReserveSpend):
    """A spend of the bridge reserve that shows something, but not all that a settlement must."""

    reason = "bad-settlement"


class StaleSettlement(SettlementError):
    """A settlement that this branch cannot take now: it may be right before, later, or on another branch."""

    reason = "bad-settlement-stale"


# --- form ------------------------------------------------------------------------------------------------


class MixedInputs(SettlementError):
    """An ordinary output is spent beside the reserve's."""

    reason = "bad-settlement-mixed-inputs"


class TooManyReserveInputs(SettlementError):
    """More inputs than a settlement may have."""

    reason = "bad-settlement-inputs"


class SettlementVersion(SettlementError):
    """A version other than 2."""

    reason = "bad-settlement-version"


class SettlementLockTime(SettlementError):
    """A lock time other than 0."""

    reason = "bad-settlement-locktime"


class SettlementSequence(SettlementError):
    """A sequence other than ffffffff."""

    reason = "bad-settlement-sequence"


class SettlementScript(SettlementError):
    """An input script that is not empty."""

    reason = "bad-settlement-script"


class SettlementWitness(SettlementError):
    """The first witness has not exactly 4 items: two headers, certificate, requests."""

    reason = "bad-settlement-witness"


class OtherWitness(SettlementError):
    """A witness beside the first one."""

    reason = "bad-settlement-other-witness"


# --- the two headers -------------------------------------------------------------------------------------


class HeaderUnreadable(SettlementError):
    """A header of the DPoS chain that is not in its one form."""

    reason = "bad-settlement-header"


class NotItsChild(SettlementError):
    """The second header's parent is not the first."""

    reason = "bad-settlement-parent"


class WrongHeights(SettlementError):
    """The second header's number is not the first's plus one, or the first is genesis."""

    reason = "bad-settlement-height"


# --- the certificate -------------------------------------------------------------------------------------


class CertificateUnreadable(SettlementError):
    """The certificate is not in its one form."""

    reason = "bad-settlement-certificate"


class ForgottenSet(StaleSettlement):
    """The certificate is of a set that gave way to a later one: there is no way back."""

    reason = "bad-settlement-old-set"


class UnknownSet(StaleSettlement):
    """The certificate is of a set that no settlement before this one handed over."""

    reason = "bad-settlement-unknown-set"


class UnknownSigner(SettlementError):
    """A bit beyond the voters."""

    reason = "bad-settlement-signer"


class SignatureCount(SettlementError):
    """More or fewer signatures than bits."""

    reason = "bad-settlement-signature-count"


class NoQuorum(SettlementError):
    """Fewer members of the set than its quorum."""

    reason = "bad-settlement-quorum"


class NoQuorumBefore(SettlementError):
    """A set that was handed over speaks without the quorum of the set that it takes over from."""

    reason = "bad-settlement-joint-quorum"


class SignatureForm(SettlementError):
    """A signature with a high S or recovery byte, or one that no key can have made."""

    reason = "bad-settlement-signature"


class DuplicateSigner(SettlementError):
    """One key stands for two members."""

    reason = "bad-settlement-duplicate-signer"


class WrongOrder(SettlementError):
    """A member's signature stands at another member's bit."""

    reason = "bad-settlement-signer-order"


class NotAMember(SettlementError):
    """The signature is by no voter: another key, another link, or another chain."""

    reason = "bad-settlement-not-a-member"


# --- the requests ----------------------------------------------------------------------------------------


class RequestsUnreadable(SettlementError):
    """The list of requests is not in its one form."""

    reason = "bad-settlement-requests"


class RequestUnreadable(SettlementError):
    """A request that is not in its one form."""

    reason = "bad-settlement-request"


class UnknownRequestKind(SettlementError):
    """A request of a kind outside the closed list."""

    reason = "bad-settlement-request-kind"


class RequestSettled(StaleSettlement):
    """It begins with a request that was settled before."""

    reason = "bad-settlement-replay"


class RequestMissing(StaleSettlement):
    """It begins after requests that are not settled yet."""

    reason = "bad-settlement-gap"


class RequestOrder(SettlementError):
    """Within it a request's number is not the one after the request before."""

    reason = "bad-settlement-order"


class WrongOwnCount(SettlementError):
    """The final block cannot have drained so many of the requests itself."""

    reason = "bad-settlement-own-count"


class WrongRequestsHash(SettlementError):
    """The final block's requestsHash is not that of its own requests and the accumulator up to them."""

    reason = "bad-settlement-requests-hash"


class WrongSetNumber(SettlementError):
    """A handover that does not name the set after the last known one."""

    reason = "bad-settlement-handover-number"


class WrongMembers(SettlementError):
    """A handover of nobody, or of one key twice."""

    reason = "bad-settlement-handover-members"


class NothingSettled(StaleSettlement):
    """Neither a request is settled nor does the set change."""

    reason = "bad-settlement-idle"


# --- the outputs -----------------------------------------------------------------------------------------


class ReserveTooSmall(SettlementError):
    """The outputs spent do not cover the withdrawals."""

    reason = "bad-settlement-short"


class WrongPayout(SettlementError):
    """An output is missing that a withdrawal asks for, or it pays another amount or script."""

    reason = "bad-settlement-payout"


class MissingChange(SettlementError):
    """A piece of reserve change is missing."""

    reason = "bad-settlement-missing-change"


class ExtraOutput(SettlementError):
    """An output after the last piece of reserve change."""

    reason = "bad-settlement-extra-output"


class ChangeScript(SettlementError):
    """What remains goes elsewhere than to reserve change."""

    reason = "bad-settlement-change-script"


class WrongFee(SettlementError):
    """The miner gets something else than the fixed fee of each withdrawal."""

    reason = "bad-settlement-fee"


class ChangePieces(SettlementError):
    """The change is not split into as many largest outputs as go, then the rest."""

    reason = "bad-settlement-change"
