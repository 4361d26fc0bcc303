"""An account's row, and the accounts and slots that an execution has in hand."""

from ioex_chain.evm.strict_rlp import encode_uint
from ioex_chain.evm.types import EMPTY_CODE_HASH, EMPTY_TRIE_ROOT, Account
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.rlp import LIST_HEADS

_HASHES = 66
"""Two hashes with their RLP heads stand at the end of each leaf."""
_BARE_ROW = 64
"""A row with hashes has more bytes, one without has fewer."""
_NO_HASHES = b"\xa0" + EMPTY_TRIE_ROOT + b"\xa0" + EMPTY_CODE_HASH


def encode_account(nonce: int, balance: int, storage_root: bytes, code_hash: bytes) -> bytes:
    """Give rlp([nonce, balance, storage root, code hash]): an account's leaf in the trie."""
    head = encode_uint(nonce) + encode_uint(balance)
    return LIST_HEADS[len(head) + _HASHES] + head + b"\xa0" + storage_root + b"\xa0" + code_hash


def encode_row(nonce: int, balance: int, storage_root: bytes, code_hash: bytes) -> bytes:
    """Give an account's row: rlp(nonce), rlp(balance), and both hashes unless nothing is behind them."""
    head = encode_uint(nonce) + encode_uint(balance)
    if code_hash == EMPTY_CODE_HASH and storage_root == EMPTY_TRIE_ROOT:
        return head
    return head + storage_root + code_hash


def leaf_of(row: bytes) -> bytes:
    """Give an account's leaf from its row. Raises DecodeError."""
    _, _, end = _numbers(row)
    tail = row[end:]
    hashes = b"\xa0" + tail[:32] + b"\xa0" + tail[32:] if tail else _NO_HASHES
    return LIST_HEADS[end + _HASHES] + row[:end] + hashes


def decode_account(row: bytes) -> Account:
    """Read what `encode_row` wrote. Raises DecodeError."""
    nonce, balance, end = _numbers(row)
    if end == len(row):
        return Account(nonce, balance)
    return Account(nonce, balance, row[-64:-32], row[-32:])


def leaf_of_sound(row: bytes) -> bytes:
    """Give an account's leaf from a row that `encode_row` gave just now."""
    if len(row) < _BARE_ROW:
        return LIST_HEADS[len(row) + _HASHES] + row + _NO_HASHES
    return leaf_of(row)


def _numbers(row: bytes) -> tuple[int, int, int]:
    """Give nonce, balance and where they end."""
    try:
        nonce, at = _uint_at(row, 0)
        balance, end = _uint_at(row, at)
    except IndexError:
        end, nonce, balance = -1, 0, 0
    if len(row) - end not in (0, 64):
        raise DecodeError("an account's row is damaged; run `ioex db check`")
    return nonce, balance, end


def _uint_at(row: bytes, at: int) -> tuple[int, int]:
    first = row[at]
    if first < 0x80:
        return first, at + 1
    end = at + first - 0x7F
    return int.from_bytes(row[at + 1 : end], "big"), end


class Live:
    """An account as an execution changes it: its fields now, and what is stored of it.

    `storage` holds every slot read or written; `base` what the written ones were when the block began.
    `wiped` says that no stored slot counts any more.
    """

    __slots__ = ("balance", "base", "code_hash", "exists", "key", "nonce", "root", "row", "storage", "wiped")

    def __init__(self, key: bytes, row: bytes | None) -> None:
        self.key = key
        self.row = row
        self.storage: dict[int, int] = {}
        self.base: dict[int, int] = {}
        self.wiped = False
        self.exists = row is not None
        self.root, self.code_hash = EMPTY_TRIE_ROOT, EMPTY_CODE_HASH
        if row is None:
            self.nonce = self.balance = 0
            return
        self.nonce, self.balance, end = _numbers(row)
        if end != len(row):
            self.root, self.code_hash = row[-64:-32], row[-32:]

    @property
    def is_empty(self) -> bool:
        """Empty as EIP-161 means it; so is an account that does not exist."""
        return not self.nonce and not self.balance and self.code_hash == EMPTY_CODE_HASH

    def next_row(self, root: bytes) -> bytes | None:
        """Give the row that belongs here now; None for no account.

        An empty account is never written (EIP-161); one that stood in the state and was left alone stays.
        """
        if not self.exists:
            return None
        row = encode_row(self.nonce, self.balance, root, self.code_hash)
        return None if self.is_empty and row != self.row else row
