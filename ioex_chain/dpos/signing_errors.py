"""Why the signer does not sign, and what may be wrong with its journal. No message ever holds a secret."""

from ioex_chain.primitives.errors import IoexError


class SigningRefused(IoexError):
    """Nothing was signed; `reason` names the kind for counters."""

    reason = "refused"


class UnknownKey(SigningRefused):
    """This process does not hold the key."""

    reason = "unknown_key"


class Watching(SigningRefused):
    """The journal may be an old copy: the signer listens to the network before it signs."""

    reason = "watching"

    def __init__(self, slots_left: int) -> None:
        super().__init__(
            "the signer cannot prove that its journal is the newest one (first start, reboot, or a restored "
            f"backup), so it listens to the network for {slots_left} more slots before it signs"
        )
        self.slots_left = slots_left


class TwinSeen(SigningRefused):
    """Another process signs with this key."""

    reason = "twin"


class SlotTaken(SigningRefused):
    """A seal for this slot or a later one was signed, or may have been."""

    reason = "slot_taken"


class NotThisSlot(SigningRefused):
    """Only the slot that the clock shows is sealed."""

    reason = "not_this_slot"


class HeightTaken(SigningRefused):
    """A vote for this target height or a higher one was given, or may have been."""

    reason = "height_taken"


class SourceLower(SigningRefused):
    """A vote with a higher source was given: this one could be surrounded by it."""

    reason = "source_lower"


class ClockOff(SigningRefused):
    """The clock differs from the peers'."""

    reason = "clock_off"

    def __init__(self, seconds: float, tolerance: float) -> None:
        super().__init__(
            f"this machine's clock is {abs(seconds):.1f} s {'behind' if seconds > 0 else 'ahead of'} its "
            f"peers', more than the {tolerance:g} s allowed; set it by NTP. Nothing is signed until then"
        )
        self.seconds = seconds


class ClockStepped(SigningRefused):
    """The clock jumped; it must run steadily for a while."""

    reason = "clock_stepped"

    def __init__(self, seconds: float, left: float) -> None:
        super().__init__(
            f"this machine's clock jumped by {seconds:+.1f} s (or the machine slept); nothing is signed "
            f"until it has run steadily for {left:.0f} more seconds"
        )
        self.seconds = seconds


class JournalFailed(SigningRefused):
    """The disk refused the journal: what stands on it is unknown, so nothing is signed until a restart."""

    reason = "journal_failed"


class JournalUnusable(IoexError):
    """The journal cannot be opened."""


class WrongJournal(JournalUnusable):
    """The file is the journal of another chain, or none at all."""


class MarkerLocked(JournalUnusable):
    """Another process on this machine signs with the same keys."""
