"""An account's row, and the accounts and slots that an execution has in hand."""

from ioex_chain.evm.strict_rlp import LIST_HEADS, encode_uint
from ioex_chain.evm.types import EMPTY_CODE_HASH, EMPTY_TRIE_ROOT, Account
from ioex_chain.primitives.errors import DecodeError

_HASHES = 66
"""Two hashes with their RLP heads stand at the end of each row."""


def encode_account(nonce: int, balance: int, storage_root: bytes, code_hash: bytes) -> bytes:
    """Give rlp([nonce, balance, storage root, code hash]): an account's leaf and its row."""
    head = encode_uint(nonce) + encode_uint(balance)
    return LIST_HEADS[len(head) + _HASHES] + head + b"\xa0" + storage_root + b"\xa0" + code_hash


def _uint_at(row: bytes, at: int) -> tuple[int, int]:
    first = row[at]
    if first < 0x80:
        return first, at + 1
    end = at + first - 0x7F
    return int.from_bytes(row[at + 1 : end], "big"), end


def decode_account(row: bytes) -> Account:
    """Read what `encode_account` wrote. Raises DecodeError."""
    if len(row) < _HASHES + 4 or row[0] != 0xF8:
        raise DecodeError("an account's row is damaged; run `ioex db check`")
    nonce, at = _uint_at(row, 2)
    balance, _ = _uint_at(row, at)
    return Account(nonce, balance, row[-65:-33], row[-32:])


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
        if row is None:
            self.nonce, self.balance = 0, 0
            self.root, self.code_hash = EMPTY_TRIE_ROOT, EMPTY_CODE_HASH
            self.exists = False
            return
        if len(row) < _HASHES + 4 or row[0] != 0xF8:
            raise DecodeError("an account's row is damaged; run `ioex db check`")
        self.nonce, at = _uint_at(row, 2)
        self.balance = _uint_at(row, at)[0]
        self.root, self.code_hash = row[-65:-33], row[-32:]
        self.exists = True

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
        row = encode_account(self.nonce, self.balance, root, self.code_hash)
        return None if self.is_empty and row != self.row else row
