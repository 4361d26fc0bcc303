"""What can be wrong with a network's file; every error names the file and the field."""

from ioex_chain.primitives.errors import IoexError


class SpecError(IoexError):
    """A network that cannot be loaded."""


class UnknownNetwork(SpecError):
    """No network of this name ships with the program."""


class SpecFileUnreadable(SpecError):
    """The file does not exist, cannot be read, or is no JSON."""


class OptionRefused(SpecError):
    """An option that this network does not take, or a value outside its range."""


class GenesisError(SpecError):
    """A field that breaks a rule. `file` is empty until the loader, which knows it, has filled it in."""

    def __init__(self, field: str, message: str, file: str = "") -> None:
        super().__init__(field, message, file)
        self.field = field
        self.message = message
        self.file = file

    def __str__(self) -> str:
        where = f"{self.file}: " if self.file else ""
        return f"{where}{self.field}: {self.message}"


class BadField(GenesisError):
    """A field is missing, unknown, of the wrong type or outside its range."""


class BadBeneficiary(GenesisError):
    """Not an address of this network or a script that genesis may pay."""


class Unbacked(GenesisError):
    """A balance of the DPoS genesis and the PoW genesis outputs to its deposit address differ."""


class WrongSupply(GenesisError):
    """The outputs do not sum to the supply of genesis."""


class OutputTooLarge(GenesisError):
    """One output is above the limit for a single output."""


class WrongShare(GenesisError):
    """A line of the plan does not have the amount that the token plan gives it."""


class WrongLock(GenesisError):
    """An output is locked otherwise than the token plan says."""
