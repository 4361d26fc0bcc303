"""Why the ledger refused a header, a block or a database."""

from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import BlockHash


class LedgerError(IoexError):
    """Something that concerns a block or the database."""


class Rejected(LedgerError):
    """A header or block that is not taken."""


class NotYetValid(Rejected):
    """It may pass later (its time is ahead of our clock); nobody is to blame."""


class UnknownParent(Rejected):
    """The block before it is not known."""

    def __init__(self, parent: BlockHash) -> None:
        super().__init__(f"parent {parent[::-1].hex()} is not known")
        self.parent = parent


class BelowFloor(Rejected):
    """It would change the chain at or below a finalised block."""


class NotOnHead(Rejected):
    """A block to preview does not stand on the head; build it again."""


class UnknownBlock(LedgerError):
    """No such block, or its body is not stored."""


class InvalidHeader(Rejected):
    """A header that breaks a rule; chains subclass it, one class per rule."""


class InvalidBlock(Rejected):
    """A block that breaks a rule; chains subclass it, one class per rule. It is remembered."""


class KnownInvalid(InvalidBlock, InvalidHeader):
    """A block that was found invalid before, or that stands on one."""


class MutatedBlock(Rejected):
    """A body that is not the one its header commits to (CVE-2012-2459): never remembered against the hash."""


class WrongSeal(Rejected):
    """A seal that is not its producer's: the messenger's fault. Another seal for the same hash may come.

    Never remembered against the hash; a header that was taken before its seal could be checked is forgotten.
    """


class StoreError(LedgerError):
    """The database cannot be used; the message names the place and the command that helps."""


class StoreMissing(StoreError):
    """There is no database here, and the caller did not ask for a new one."""


class StoreLocked(StoreError):
    """Another process has the database open."""


class StoreCorrupt(StoreError):
    """The database is damaged."""


class StoreFull(StoreError):
    """The disk took no more; nothing of the change was kept."""


class WrongFormat(StoreError):
    """The data was written by a newer program, or is not ours."""


class WrongNetwork(StoreError):
    """The data belongs to another network."""


class UndoMissing(LedgerError):
    """A reorganisation would go deeper than the undo records that are kept."""
