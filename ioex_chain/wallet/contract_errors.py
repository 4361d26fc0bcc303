"""Everything that can go wrong with an account, a contract or its artefact, one class per reason."""

from ioex_chain.wallet.errors import WalletError


class ContractError(WalletError):
    """Something about a contract or a transaction of the DPoS chain; the message says what helps."""


class NodeError(ContractError):
    """The node answered a call with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{message} (code {code})")
        self.code = code
        self.message = message
        self.data = data


# --- values and ABI --------------------------------------------------------------------------------------


class InvalidAbi(ContractError, ValueError):
    """Not a contract ABI in JSON, or a type that it does not know."""


class InvalidArgument(ContractError, ValueError):
    """A text that is no value of the parameter's type."""

    def __init__(self, name: str, kind: str, why: str) -> None:
        super().__init__(f"argument {name or '?'} ({kind}): {why}")
        self.name = name
        self.kind = kind


class WrongArgumentCount(ContractError, ValueError):
    """More or fewer arguments than the function takes."""

    def __init__(self, signature: str, wanted: int, given: int) -> None:
        super().__init__(f"{signature} takes {wanted} arguments, {given} were given")


class NoSuchFunction(ContractError, ValueError):
    """The ABI has no function of this name or signature."""


class AmbiguousFunction(ContractError, ValueError):
    """The ABI has several functions of this name; the signature is needed."""


# --- artefacts and compilers -----------------------------------------------------------------------------


class NotAnArtefact(ContractError, ValueError):
    """The file is no source, artefact or compiler output that is known here."""


class ContractNotChosen(ContractError, ValueError):
    """The file holds several contracts, or none of the name that was asked for."""


class NotDeployable(ContractError, ValueError):
    """An interface or an abstract contract: there is no code to deploy."""


class LibrariesMissing(ContractError, ValueError):
    """The code calls libraries whose addresses were not given."""


class CompilerMissing(ContractError):
    """The compiler is not installed."""


class CompilationFailed(ContractError):
    """The compiler refused the source."""


# --- transactions ----------------------------------------------------------------------------------------


class WrongChain(ContractError):
    """The node belongs to another chain than the one that was chosen."""


class Reverted(ContractError):
    """The contract refused. `reason` is decoded where that is possible, `data` is what it returned."""

    def __init__(self, reason: str, data: bytes = b"") -> None:
        super().__init__(f"the contract reverted: {reason}")
        self.reason = reason
        self.data = data


class TransactionFailed(ContractError):
    """The transaction is in a block and failed; its fee is spent."""

    def __init__(self, transaction: str, reason: str) -> None:
        super().__init__(f"transaction {transaction} is in a block and failed: {reason}")
        self.transaction = transaction
        self.reason = reason


class NotMinedYet(ContractError):
    """The transaction was sent, and the time to wait for it is over."""

    def __init__(self, transaction: str, seconds: float, wanted: str) -> None:
        super().__init__(
            f"transaction {transaction} is not {wanted} after {seconds:g} s. It was sent and may still be: "
            "look with 'ioex rpc eth_getTransactionReceipt', or wait longer with --timeout"
        )
        self.transaction = transaction


class NoContract(ContractError):
    """There is no code at the address."""


# --- deployment records ----------------------------------------------------------------------------------


class DeploymentError(ContractError):
    """A deployment record that cannot be used or written."""


class DeploymentExists(DeploymentError):
    """There is a record already, and it is not written over."""


class DeploymentDamaged(DeploymentError, ValueError):
    """The file is no deployment record."""
