"""The addresses of account extended public keys, found by the address index; no wallet, no state on disk."""

import re
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from ioex_chain.rpc.errors import Code, RpcError
from ioex_chain.wallet.errors import InvalidExtendedKey
from ioex_chain.wallet.hd import CHANGE, GAP_LIMIT, RECEIVE, Account, Purpose

KEPT_ACCOUNTS = 64
MAX_INDEX = 1_000_000
"""Addresses on one branch that a call follows."""
_WRAPPED = re.compile(r"(wpkh|tr)\(([0-9A-Za-z]{20,120})\)")
_PURPOSES = {"wpkh": Purpose.P2WPKH, "tr": Purpose.P2TR}


class Origin(NamedTuple):
    """Where a watched script comes from. `key` is empty for an address that was named itself."""

    key: str
    branch: int
    number: int

    @property
    def is_change(self) -> bool:
        """Whether it is on the account's inner branch (BIP-44)."""
        return bool(self.key) and self.branch == CHANGE


class WatchedAccount:
    """One account's scripts, derived once."""

    def __init__(self, text: str) -> None:
        """Read `xpub`, `zpub`, `wpkh(xpub)` or `tr(xpub)`. Raises InvalidExtendedKey."""
        wrapped = _WRAPPED.fullmatch(text)
        purpose = _PURPOSES[wrapped[1]] if wrapped else None
        self._account = Account.parse(wrapped[2] if wrapped else text, purpose)
        self._scripts: dict[int, list[bytes]] = {RECEIVE: [], CHANGE: []}

    def script(self, branch: int, index: int) -> bytes:
        """Give the output script of an address."""
        made = self._scripts[branch]
        while len(made) <= index:
            made.append(self._account.script(branch, len(made)))
        return made[index]

    def discover(self, is_used: Callable[[bytes], bool]) -> dict[bytes, tuple[int, int]]:
        """Give script -> (branch, index) up to 20 unused addresses behind the last used one."""
        found: dict[bytes, tuple[int, int]] = {}
        for branch in (RECEIVE, CHANGE):
            unused = index = 0
            while unused < GAP_LIMIT and index < MAX_INDEX:
                script = self.script(branch, index)
                found[script] = (branch, index)
                unused = 0 if is_used(script) else unused + 1
                index += 1
        return found


class WatchedAccounts:
    """The accounts that callers named lately, so that a poll every minute derives nothing anew."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[str, WatchedAccount] = OrderedDict()
        self._lock = Lock()

    def scripts(self, keys: list[str], is_used: Callable[[bytes], bool]) -> dict[bytes, Origin]:
        """Give every script of the accounts. Raises Core's -5 for what is no extended public key."""
        found: dict[bytes, Origin] = {}
        with self._lock:
            for place, key in enumerate(keys):
                for script, (branch, index) in self._get(place, key).discover(is_used).items():
                    found[script] = Origin(key, branch, index)
        return found

    def _get(self, place: int, key: str) -> WatchedAccount:
        account = self._accounts.get(key)
        if account is None:
            try:
                account = self._accounts[key] = WatchedAccount(key)
            except InvalidExtendedKey as error:
                raise RpcError(Code.INVALID_ADDRESS_OR_KEY, f"keys[{place}]: {error}") from None
            if len(self._accounts) > KEPT_ACCOUNTS:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(key)
        return account
