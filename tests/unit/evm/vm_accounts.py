"""An account state in dictionaries: the plainest thing that the EVM can run on, to test the EVM alone."""

from collections.abc import Callable

import rlp

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.trie import root_of
from ioex_chain.evm.types import EMPTY_CODE_HASH


class DictAccounts:
    """Accounts with an undo list; a checkpoint is a place in it."""

    def __init__(self) -> None:
        self.accounts: dict[bytes, tuple[int, int, bytes]] = {}
        self.slots: dict[bytes, dict[int, int]] = {}
        self._before: dict[tuple[bytes, int], int] = {}
        self._undo: list[Callable[[], None]] = []

    def add(self, address: bytes, nonce: int = 0, balance: int = 0, code: bytes = b"", slots=None) -> None:
        self.accounts[address] = (nonce, balance, code)
        self.slots[address] = dict(slots or {})

    def _get(self, address: bytes) -> tuple[int, int, bytes]:
        return self.accounts.get(address, (0, 0, b""))

    def _put(self, address: bytes, account: tuple[int, int, bytes] | None) -> None:
        before = self.accounts.get(address)
        self._undo.append(lambda: self._restore(address, before))
        self._restore(address, account)

    def _restore(self, address: bytes, account: tuple[int, int, bytes] | None) -> None:
        if account is None:
            self.accounts.pop(address, None)
        else:
            self.accounts[address] = account

    def get_storage(self, address: bytes, slot: int, from_journal: bool = True) -> int:
        if not from_journal and (address, slot) in self._before:
            return self._before[address, slot]
        return self.slots.get(address, {}).get(slot, 0)

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        slots = self.slots.setdefault(address, {})
        before = slots.get(slot, 0)
        self._before.setdefault((address, slot), before)
        self._undo.append(lambda: self.slots.setdefault(address, {}).__setitem__(slot, before))
        slots[slot] = value

    def has_storage(self, address: bytes) -> bool:
        return any(self.slots.get(address, {}).values())

    def get_balance(self, address: bytes) -> int:
        return self._get(address)[1]

    def set_balance(self, address: bytes, balance: int) -> None:
        nonce, _, code = self._get(address)
        self._put(address, (nonce, balance, code))

    def get_nonce(self, address: bytes) -> int:
        return self._get(address)[0]

    def set_nonce(self, address: bytes, nonce: int) -> None:
        _, balance, code = self._get(address)
        self._put(address, (nonce, balance, code))

    def get_code(self, address: bytes) -> bytes:
        return self._get(address)[2]

    def get_code_hash(self, address: bytes) -> bytes:
        code = self._get(address)[2]
        return keccak256(code) if code else EMPTY_CODE_HASH

    def set_code(self, address: bytes, code: bytes) -> None:
        nonce, balance, _ = self._get(address)
        self._put(address, (nonce, balance, code))

    def delete_account(self, address: bytes) -> None:
        self._put(address, None)
        before = self.slots.pop(address, {})
        self._undo.append(lambda: self.slots.__setitem__(address, before))

    def account_is_empty(self, address: bytes) -> bool:
        return self._get(address) == (0, 0, b"")

    def record(self) -> object:
        return len(self._undo)

    def discard(self, checkpoint: object) -> None:
        assert isinstance(checkpoint, int)
        while len(self._undo) > checkpoint:
            self._undo.pop()()

    def commit(self, checkpoint: object) -> None:
        pass

    def lock_changes(self) -> None:
        self._before.clear()
        self._undo.clear()

    def root(self) -> bytes:
        """State root over all accounts (yellow paper, appendix D)."""
        leaves = {}
        for address, (nonce, balance, code) in self.accounts.items():
            if (nonce, balance, code) == (0, 0, b"") and not self.has_storage(address):
                continue
            slots = {
                keccak256(slot.to_bytes(32, "big")): rlp.encode(value)
                for slot, value in self.slots.get(address, {}).items()
                if value
            }
            fields = [nonce, balance, root_of(slots), keccak256(code) if code else EMPTY_CODE_HASH]
            leaves[keccak256(address)] = rlp.encode(fields)
        return root_of(leaves)
