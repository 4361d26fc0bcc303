"""The flat state: accounts, slots and code as an execution sees them, with a journal; tries at the end only.

Its names are those of py-evm's account database. Opening it costs nothing: rows are read when asked
for. Over a `Readable` (a snapshot, a past state) it is an overlay in memory; `flush` needs a `StateView`.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import cast

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.accounts import Live, leaf_of, leaf_of_sound
from ioex_chain.evm.errors import BalanceOverflow
from ioex_chain.evm.schema import ACCOUNT, ACCOUNT_NODE, CODE, SLOT, SLOT_NODE
from ioex_chain.evm.strict_rlp import encode_uint
from ioex_chain.evm.trie import Trie
from ioex_chain.evm.trie_batch import Change, Swap, change_trie
from ioex_chain.evm.types import EMPTY_CODE_HASH, EMPTY_TRIE_ROOT, Account
from ioex_chain.ledger.types import Readable, StateView
from ioex_chain.primitives.errors import IoexError

_CODES_KEPT = 1_024
"""Codes kept in memory for all states: at most 24 KiB each."""
_codes: dict[bytes, bytes] = {}


class CodeMissing(IoexError):
    """An account's code is not in the database; `ioex db check` shows what else is not."""


class StaleCheckpoint(IoexError):
    """A checkpoint of an earlier transaction: a fault of the program."""


class _Nothing:
    """A state without rows."""

    def get(self, key: bytes) -> bytes | None:  # noqa: ARG002
        return None

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:  # noqa: ARG002
        return iter(())


class FlatState:
    """Accounts and storage over a view. One thread; nothing reaches the view before `flush`."""

    def __init__(self, view: Readable) -> None:
        self._view = view
        self._get = view.get
        self._live: dict[bytes, Live] = {}
        self._dirty: dict[bytes, Live] = {}
        self._codes: dict[bytes, bytes] = {}
        self._original: dict[tuple[bytes, int], int] = {}
        self._journal: list[tuple[object, ...]] = []
        self._held = False

    # Accounts

    def live(self, address: bytes) -> Live:
        """Give the account in hand, read if need be. Whoever changes it directly calls `mark`."""
        found = self._live.get(address)
        if found is None:
            key = keccak256(address)
            found = self._live[address] = Live(key, self._get(ACCOUNT + key))
        return found

    def mark(self, address: bytes, live: Live) -> None:
        """Note that the account was changed beside the journal: nothing can go back behind this."""
        live.exists = True
        self._dirty[address] = live

    def _change(self, address: bytes) -> Live:
        live = self.live(address)
        self._journal.append((live, live.nonce, live.balance, live.code_hash, live.exists))
        live.exists = True
        self._dirty[address] = live
        return live

    def account(self, address: bytes) -> Account | None:
        """Give the fields as of now; `storage_root` is the last flushed one. None for no account."""
        live = self.live(address)
        return Account(live.nonce, live.balance, live.root, live.code_hash) if live.exists else None

    def get_balance(self, address: bytes) -> int:
        """Give the balance in wei."""
        return self.live(address).balance

    def set_balance(self, address: bytes, balance: int) -> None:
        """Write the balance. Raises BalanceOverflow at 2^256, ValueError below 0."""
        if balance >> 256:
            if balance < 0:
                raise ValueError(f"a balance is not negative: {balance}")
            raise BalanceOverflow(f"0x{address.hex()} would have {balance}")
        self._change(address).balance = balance

    def get_nonce(self, address: bytes) -> int:
        """Give the nonce."""
        return self.live(address).nonce

    def set_nonce(self, address: bytes, nonce: int) -> None:
        """Write the nonce."""
        self._change(address).nonce = nonce

    def account_exists(self, address: bytes) -> bool:
        """Whether the account is in the state, empty or not."""
        return self.live(address).exists

    def account_is_empty(self, address: bytes) -> bool:
        """Whether nonce and balance are 0 and there is no code (EIP-161)."""
        return self.live(address).is_empty

    def delete_account(self, address: bytes) -> None:
        """Remove the account with its storage."""
        live = self._change(address)
        live.nonce, live.balance, live.code_hash, live.exists = 0, 0, EMPTY_CODE_HASH, False
        self._wipe(live)

    # Code

    def get_code_hash(self, address: bytes) -> bytes:
        """Give the code's keccak256; that of nothing where there is no account."""
        return self.live(address).code_hash

    def get_code(self, address: bytes) -> bytes:
        """Give the code, empty when there is none. Raises CodeMissing when the database lost it."""
        code_hash = self.live(address).code_hash
        if code_hash == EMPTY_CODE_HASH:
            return b""
        code = self._codes.get(code_hash) or _codes.get(code_hash)
        return self._read_code(code_hash) if code is None else code

    def _read_code(self, code_hash: bytes) -> bytes:
        code = self._get(CODE + code_hash)
        if code is None:
            raise CodeMissing(f"code {code_hash.hex()} is missing; run `ioex db check`")
        if len(_codes) >= _CODES_KEPT:
            with suppress(RuntimeError):  # another thread does the same just now
                _codes.pop(next(iter(_codes)), None)
        _codes[code_hash] = code
        return code

    def set_code(self, address: bytes, code: bytes) -> None:
        """Write the code."""
        code_hash = keccak256(code)
        if code:
            self._codes[code_hash] = code
        self._change(address).code_hash = code_hash

    # Storage

    def get_storage(self, address: bytes, slot: int, from_journal: bool = True) -> int:
        """Give a slot's value; that at the transaction's begin when `from_journal` is False."""
        if not from_journal:
            original = self._original.get((address, slot))
            if original is not None:
                return original
        live = self._live.get(address)
        if live is None:
            live = self.live(address)
        value = live.storage.get(slot)
        return self._read_slot(live, slot) if value is None else value

    def _read_slot(self, live: Live, slot: int) -> int:
        value = 0
        if not live.wiped and live.root != EMPTY_TRIE_ROOT:
            row = self._get(SLOT + live.key + keccak256(slot.to_bytes(32, "big")))
            if row is not None:
                value = row[0] if len(row) == 1 else int.from_bytes(row[1:], "big")
        live.storage[slot] = value
        return value

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        """Write a slot."""
        before = self.get_storage(address, slot)
        live = self._live[address]
        self._journal.append((live.storage, slot, before))
        self._original.setdefault((address, slot), before)
        live.base.setdefault(slot, before)
        live.storage[slot] = value
        self._dirty[address] = live

    def has_storage(self, address: bytes) -> bool:
        """Whether any slot is not zero (EIP-7610)."""
        live = self.live(address)
        if any(live.storage.values()):
            return True
        if live.wiped or live.root == EMPTY_TRIE_ROOT:
            return False
        cleared = {keccak256(slot.to_bytes(32, "big")) for slot in live.base}
        at = 1 + len(live.key)
        return any(key[at:] not in cleared for key, _ in self._view.scan(SLOT + live.key))

    def delete_storage(self, address: bytes) -> None:
        """Set all slots to zero."""
        live = self.live(address)
        self._dirty[address] = live
        self._wipe(live)

    def _wipe(self, live: Live) -> None:
        self._journal.append((live, live.storage, live.base, live.wiped, None, None))
        live.storage, live.base, live.wiped = {}, {}, True

    # Journal

    def record(self) -> int:
        """Set a checkpoint."""
        return len(self._journal)

    def discard(self, checkpoint: object) -> None:
        """Go back to a checkpoint."""
        journal, mark = self._journal, cast("int", checkpoint)
        if mark > len(journal):
            raise StaleCheckpoint("this checkpoint belongs to a transaction that has ended")
        while len(journal) > mark:
            _undo(journal.pop())

    def commit(self, checkpoint: object) -> None:
        """Keep what came after a checkpoint: nothing needs to be done."""

    def lock_changes(self) -> None:
        """End a transaction: what stands now is the next one's beginning."""
        self._original = {}
        if not self._held:
            self._journal.clear()

    def hold(self) -> None:
        """Begin something that can be taken back whole, ends of transactions included."""
        self._journal.clear()
        self._held = True

    def take_back(self) -> None:
        """Undo everything since `hold`."""
        self._held = False
        self.discard(0)
        self.lock_changes()

    def release(self) -> None:
        """Keep everything since `hold`."""
        self._held = False
        self.lock_changes()

    # Rows and roots

    def flush(self) -> bytes:
        """Write what changed to the view, tries included; give the state root."""
        view = cast("StateView", self._view)
        rows: dict[bytes, Swap] = {}
        changes = []
        for live in self._dirty.values():
            if live.base or live.wiped:
                self._flush_storage(live, rows)
            row = live.next_row(live.root)
            if row is None and live.root != EMPTY_TRIE_ROOT:  # an empty account that had slots
                live.wiped = True
                self._flush_storage(live, rows)
            if row != live.row:
                leaf = None if row is None else leaf_of_sound(row)
                changes.append(Change(live.key, leaf, live.row is not None))
                rows[ACCOUNT + live.key] = Swap(ACCOUNT + live.key, live.row, row)
                self._flush_code(live, rows)
                live.row, live.exists = row, row is not None
        root, branches = change_trie(account_trie(view), changes)
        swap = view.swap
        for key, before, after in (*rows.values(), *branches):
            swap(key, before, after)
        self._dirty = {}
        self._codes = {}
        self.lock_changes()
        return root

    def _flush_code(self, live: Live, rows: dict[bytes, Swap]) -> None:
        code = self._codes.get(live.code_hash)
        if code is not None and self._get(CODE + live.code_hash) is None:
            rows[CODE + live.code_hash] = Swap(CODE + live.code_hash, None, code)

    def _flush_storage(self, live: Live, rows: dict[bytes, Swap]) -> None:
        """Plan the rows of an account's slots and their trie; set its storage root."""
        view: Readable = self._view
        if live.wiped and live.root != EMPTY_TRIE_ROOT:
            for prefix in (SLOT + live.key, SLOT_NODE + live.key):
                rows.update((key, Swap(key, value, None)) for key, value in view.scan(prefix))
        if live.wiped or live.root == EMPTY_TRIE_ROOT:
            view = _Nothing()
        slots = [(slot, before) for slot, before in live.base.items() if live.storage[slot] != before]
        if live.wiped:
            live.root = EMPTY_TRIE_ROOT
        if slots:
            changes = [_slot_change(slot, before, live.storage[slot]) for slot, before in slots]
            live.root, branches = change_trie(storage_trie(view, live.key), changes)
            for key, row, after in branches:
                _merge(rows, key, row, after)
            for (_, before), (key, value, _) in zip(slots, changes, strict=True):
                _merge(rows, SLOT + live.key + key, encode_uint(before) if before else None, value)
        live.base, live.wiped = {}, False


def account_trie(view: Readable) -> Trie:
    """Give the account trie of a view."""
    return Trie(view, ACCOUNT_NODE, ACCOUNT, leaf_of)


def storage_trie(view: Readable, account: bytes) -> Trie:
    """Give the storage trie of the account whose address hashes to `account`."""
    return Trie(view, SLOT_NODE + account, SLOT + account)


def _slot_change(slot: int, before: int, value: int) -> Change:
    key = keccak256(slot.to_bytes(32, "big"))
    return Change(key, encode_uint(value) if value else None, before != 0)


def _merge(rows: dict[bytes, Swap], key: bytes, before: bytes | None, after: bytes | None) -> None:
    """Plan a row; one that is being removed keeps what it really was before."""
    planned = rows.get(key)
    rows[key] = Swap(key, before if planned is None else planned.before, after)


def _undo(entry: tuple[object, ...]) -> None:
    """Take one step back. Length tells the kinds apart: a slot, an account's fields, a wiped storage."""
    if len(entry) == 3:
        storage, slot, before = cast("tuple[dict[int, int], int, int]", entry)
        storage[slot] = before
    elif len(entry) == 5:
        live, nonce, balance, code_hash, exists = cast("tuple[Live, int, int, bytes, bool]", entry)
        live.nonce, live.balance, live.code_hash, live.exists = nonce, balance, code_hash, exists
    else:
        live, live.storage, live.base, live.wiped, _, _ = cast(
            "tuple[Live, dict[int, int], dict[int, int], bool, None, None]", entry
        )
