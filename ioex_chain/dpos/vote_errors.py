"""Why a vote, a certificate or an item of evidence is refused: one class per rule; the sender is to blame."""

from ioex_chain.primitives.errors import IoexError


class InvalidVote(IoexError):
    """A vote that breaks a rule for certain, whatever else becomes known."""


class WrongTargetHeight(InvalidVote):
    """The target is known, at another height than the vote says."""


class WrongSet(InvalidVote):
    """The vote names another set than the one in force at its target."""


class WrongSource(InvalidVote):
    """The source is not the highest justified block recorded in the target and its ancestors."""


class NotAMember(InvalidVote):
    """The key that signed has no seat in the set in force at the target."""


class InvalidCertificate(IoexError):
    """A certificate that breaks a rule for certain."""


class UnknownSigner(InvalidCertificate):
    """It names a member that the set does not have."""


class SignatureCount(InvalidCertificate):
    """It does not carry exactly one signature for each member that it names."""


class NoQuorum(InvalidCertificate):
    """It has fewer than floor(2n/3)+1 votes."""


class WrongMember(InvalidCertificate):
    """A signature was made by another key than the member's that it stands for."""


class WrongLink(InvalidCertificate):
    """Its votes are not those that the set in force at the target could rightly give."""


class InvalidEvidence(IoexError):
    """Evidence that proves nothing."""


class SameSigned(InvalidEvidence):
    """Both items are the same header or the same vote: signing a thing twice is no offence."""


class DifferentKeys(InvalidEvidence):
    """The two items were signed by different keys."""


class DifferentSlots(InvalidEvidence):
    """The two headers belong to different slots."""


class NoConflict(InvalidEvidence):
    """The two votes have different target heights and neither surrounds the other."""


class NotOrdered(InvalidEvidence):
    """The two items do not stand in their one order: by header hash, or by the votes' links."""


class NotInTheSet(InvalidEvidence):
    """The guilty key has no seat in the set that judges."""
