"""The state after a block as the methods read it, over whatever holds its rows."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from ioex_chain.evm.accounts import decode_account
from ioex_chain.evm.roots import account_proof, storage_proof
from ioex_chain.evm.schema import account_key
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.types import EMPTY_TRIE_ROOT, Account
from ioex_chain.ledger.types import Readable
from ioex_chain.rpc.eth_backend import Proof

NO_ACCOUNT = Account()


class StateView:
    """A `StateReader` over rows of the database: a snapshot, the newest state or a past one.

    `release` is called once, when it is left.
    """

    __slots__ = ("_release", "_view")

    def __init__(self, view: Readable, release: Callable[[], None] | None = None) -> None:
        self._view = view
        self._release = release

    @property
    def rows(self) -> Readable:
        """The rows themselves."""
        return self._view

    def account(self, address: bytes) -> Account:
        """Give an account; an empty one for an address that has none."""
        row = self._view.get(account_key(address))
        return NO_ACCOUNT if row is None else decode_account(row)

    def code(self, address: bytes) -> bytes:
        """Give an account's code."""
        return FlatState(self._view).get_code(address)

    def storage(self, address: bytes, slot: int) -> int:
        """Give the value of a storage slot, 0 when it is empty."""
        return FlatState(self._view).get_storage(address, slot)

    def prove(self, address: bytes, slots: Sequence[int]) -> Proof:
        """Prove an account, or that there is none, and its slots, against the state root."""
        account = self.account(address)
        state = FlatState(self._view)
        empty = account.storage_root == EMPTY_TRIE_ROOT
        rows = [
            (
                slot,
                state.get_storage(address, slot),
                [] if empty else storage_proof(self._view, address, slot),
            )
            for slot in slots
        ]
        return Proof(account, account_proof(self._view, address), rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._release is not None:
            self._release()
