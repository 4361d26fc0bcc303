"""Deposits in PoW blocks, and proofs of them that the Bridge contract takes (docs/protocol.md section 6.1).

`check_proof` is the contract's rule in Python: the same order, the same words. What only the contract's state
knows (the best chain, what was credited) it asks of a `LightChain`.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, Protocol

from ioex_chain.crypto.hashes import sha256d
from ioex_chain.evm.bridge_messages import MAX_BRANCH, MAX_OUTPUT, MAX_RAW, DepositProof
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import HEADER_SIZE
from ioex_chain.pow.script import Form, classify
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.errors import DecodeError, IoexError, TrailingBytes, UnexpectedEnd
from ioex_chain.primitives.merkle import branch_root
from ioex_chain.primitives.types import TxHash, display, from_display

MIN_RAW = 94
"""Bytes of the smallest transaction with a deposit: one input without a script, one deposit output."""


class DepositRefused(IoexError):
    """A proof that credits nothing. `reason` is the contract's word for it."""

    reason: ClassVar[str] = "refused"


class CoinbaseDeposit(DepositRefused):
    """A coinbase's outputs are rewards, which count by height."""

    reason = "coinbase"


class InnerNode(DepositRefused):
    """A transaction of 64 bytes can pass for an inner node of the Merkle tree."""

    reason = "64 bytes"


class TransactionTruncated(DepositRefused):
    """The bytes end before the transaction does."""

    reason = "truncated"


class TransactionTooLarge(DepositRefused):
    """More bytes than a transaction with a deposit may have."""

    reason = "too large"


class TransactionTrailing(DepositRefused):
    """Bytes follow the transaction."""

    reason = "trailing bytes"


class SizeForm(DepositRefused):
    """A CompactSize that is longer than it needs to be, or than the transaction is."""

    reason = "size form"


class NoInputs(DepositRefused):
    """No inputs, or the form with witnesses, which begins like one without inputs."""

    reason = "no inputs"


class NoSuchOutput(DepositRefused):
    """The transaction has fewer outputs."""

    reason = "no such output"


class NoDepositOutput(DepositRefused):
    """The output pays something else than a deposit address."""

    reason = "no deposit output"


class NoAmount(DepositRefused):
    """The output holds nothing."""

    reason = "no amount"


class TooMuch(DepositRefused):
    """The output holds more than one may."""

    reason = "amount"


class CreditedBefore(DepositRefused):
    """The outpoint was credited."""

    reason = "credited before"


class NotOnBestChain(DepositRefused):
    """The light client's best chain does not have this header."""

    reason = "not on the best chain"


class WrongIndex(DepositRefused):
    """The branch has no leaf at this place."""

    reason = "index"


class DuplicateNode(DepositRefused):
    """A right child that equals its sibling: the tree's filling, not a transaction."""

    reason = "duplicate"


class HeaderSize(DepositRefused):
    """A block's header has 80 bytes."""

    reason = "size"


class EmptyRoot(DepositRefused):
    """A Merkle root of zeros is no root."""

    reason = "zero"


class WrongBranch(DepositRefused):
    """Transaction, place and branch do not lead to the header's Merkle root."""

    reason = "root"


class GenesisDeposit(DepositRefused):
    """Genesis outputs back balances of the DPoS genesis."""

    reason = "genesis"


class NotBuried(DepositRefused):
    """Too few blocks stand on it yet."""

    reason = "not buried"


class Deposit(NamedTuple):
    """An output to a deposit program: `txid` as hashed, the 20-byte DPoS account, PoW units."""

    txid: TxHash
    vout: int
    account: bytes
    amount: int

    @property
    def id(self) -> str:
        """Its name for users: the id as explorers print it, a colon, the output's number."""
        return deposit_id(self.txid, self.vout)


def deposit_id(txid: bytes, vout: int) -> str:
    """Give a deposit's name for users: `<txid as explorers print it>:<vout>`."""
    return f"{display(txid)}:{vout}"


def parse_deposit_id(text: str) -> tuple[bytes, int]:
    """Read what `deposit_id` wrote: (txid as hashed, vout). Raises ValueError for anything else."""
    txid, _, vout = text.partition(":")
    if not (vout.isascii() and vout.isdigit()) or vout != str(int(vout[:10])) or int(vout) >= 1 << 32:
        raise ValueError(f"a deposit is named <transaction id>:<output>, not {text!r}")
    return from_display(txid), int(vout)


# --- finding and proving ---------------------------------------------------------------------------------


def deposits_of(transaction: Transaction) -> tuple[Deposit, ...]:
    """Give the outputs of a transaction that can be credited; a coinbase has none."""
    if transaction.is_coinbase:
        return ()
    return tuple(
        Deposit(transaction.txid, vout, output.script[14:], output.value)
        for vout, output in enumerate(transaction.outputs)
        if output.value and classify(output.script) is Form.DEPOSIT
    )


def find_deposits(block: Block) -> tuple[tuple[int, Deposit], ...]:
    """Give every deposit of a block with its transaction's place; genesis, a mere coinbase, has none."""
    return tuple(
        (index, deposit)
        for index, transaction in enumerate(block.transactions)
        for deposit in deposits_of(transaction)
    )


class BlockProofs:
    """Proofs of deposits in one block: its Merkle tree is computed once."""

    def __init__(self, block: Block) -> None:
        self._block = block
        level = [bytes(transaction.txid) for transaction in block.transactions]
        self._levels = [level]
        while len(level) > 1:
            level = [*level, level[-1]] if len(level) & 1 else level
            level = [sha256d(level[at] + level[at + 1]) for at in range(0, len(level), 2)]
            self._levels.append(level)

    def branch(self, index: int) -> tuple[bytes, ...]:
        """Give the siblings of transaction `index`, lowest first."""
        return tuple(
            level[min((index >> depth) ^ 1, len(level) - 1)] for depth, level in enumerate(self._levels[:-1])
        )

    def prove(self, index: int, vout: int) -> DepositProof:
        """Prove output `vout` of transaction `index`; whether it is a deposit is not looked at."""
        raw = self._block.transactions[index].encode_stripped()
        return DepositProof(self._block.header.core, index, self.branch(index), vout, raw)


def prove_deposits(
    block: Block, wanted: Callable[[Deposit], bool] = lambda _: True
) -> tuple[tuple[Deposit, DepositProof], ...]:
    """Give the deposits of a block that are wanted (all by default), each with its proof."""
    found = [(index, deposit) for index, deposit in find_deposits(block) if wanted(deposit)]
    if not found:
        return ()
    proofs = BlockProofs(block)
    return tuple((deposit, proofs.prove(index, deposit.vout)) for index, deposit in found)


# --- checking --------------------------------------------------------------------------------------------


class LightChain(Protocol):
    """What the Bridge knows when it checks a proof."""

    def height_of(self, hash_: bytes) -> int | None:
        """Give the height of a header on the best chain, None for any other."""
        ...

    def buried_height(self) -> int:
        """Give the highest height that is buried deep enough."""
        ...

    def is_credited(self, txid: bytes, vout: int) -> bool:
        """Whether an outpoint was credited."""
        ...


def read_deposit(raw: bytes, vout: int) -> Deposit:
    """Read output `vout` of a transaction without witness, to its last byte. Raises DepositRefused."""
    if len(raw) == 64:
        raise InnerNode("a transaction of 64 bytes proves nothing")
    if len(raw) < MIN_RAW:
        raise TransactionTruncated(f"{len(raw)} bytes are too few for a deposit")
    if len(raw) > MAX_RAW:
        raise TransactionTooLarge(f"{len(raw)} bytes, at most {MAX_RAW}")
    if raw[4] == 0:
        raise NoInputs("the transaction has no inputs, or is written with witnesses")
    transaction = _decode(raw)
    if any(not any(item.outpoint[:32]) for item in transaction.inputs):
        raise CoinbaseDeposit("a coinbase is no deposit")
    if vout >= len(transaction.outputs):
        raise NoSuchOutput(f"output {vout} of {len(transaction.outputs)}")
    output = transaction.outputs[vout]
    if classify(output.script) is not Form.DEPOSIT:
        raise NoDepositOutput(f"output {vout} pays {output.script.hex()}")
    if not output.value:
        raise NoAmount(f"output {vout} holds nothing")
    if output.value > MAX_OUTPUT:
        raise TooMuch(f"output {vout} holds {output.value} units")
    return Deposit(transaction.txid, vout, output.script[14:], output.value)


def _decode(raw: bytes) -> Transaction:
    try:
        return Transaction.decode(raw)
    except TrailingBytes as error:
        raise TransactionTrailing(str(error)) from error
    except UnexpectedEnd as error:
        raise TransactionTruncated(str(error)) from error
    except DecodeError as error:
        raise SizeForm(str(error)) from error


def check_branch(root: bytes, leaf: bytes, index: int, branch: Sequence[bytes]) -> None:
    """Check that a leaf stands at this place under a Merkle root, in the one way. Raises DepositRefused."""
    node = leaf
    for depth, sibling in enumerate(branch):
        if index >> depth & 1 and sibling == node:
            raise DuplicateNode(f"place {index} is filling at depth {depth}")
        node = branch_root(node, (sibling,), index >> depth)
    if node != root:
        raise WrongBranch("the branch leads to another root")


def check_proof(proof: DepositProof, chain: LightChain) -> Deposit:
    """Check a proof as the Bridge does with an open door; give what it credits. Raises DepositRefused."""
    if proof.index == 0:
        raise CoinbaseDeposit("the first transaction of a block is its coinbase")
    deposit = read_deposit(proof.raw, proof.vout)
    if chain.is_credited(deposit.txid, deposit.vout):
        raise CreditedBefore(f"{deposit.id} was credited")
    height = _height(proof, chain)
    check_branch(proof.header[36:68], deposit.txid, proof.index, proof.branch)
    if height == 0:
        raise GenesisDeposit("genesis outputs are credited by genesis")
    if height > chain.buried_height():
        raise NotBuried(f"height {height}, buried up to {chain.buried_height()}")
    return deposit


def _height(proof: DepositProof, chain: LightChain) -> int:
    if len(proof.header) != HEADER_SIZE:
        raise HeaderSize(f"a header of {len(proof.header)} bytes")
    if len(proof.branch) > MAX_BRANCH or proof.index >> len(proof.branch):
        raise WrongIndex(f"place {proof.index} with a branch of {len(proof.branch)} hashes")
    if not any(proof.header[36:68]):
        raise EmptyRoot("the header's Merkle root is zero")
    height = chain.height_of(sha256d(proof.header))
    if height is None:
        raise NotOnBestChain("the light client's best chain does not have this header")
    return height
