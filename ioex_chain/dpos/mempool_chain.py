"""The ledger as the pool sees it: the state after the head, the next base fee, blocks taken back."""

from collections.abc import Sequence
from typing import Any

from ioex_chain.dpos.block import Block
from ioex_chain.dpos.consensus import next_base_fee
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.mempool_types import PoolTip
from ioex_chain.evm.schema import code_key
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.types import Account, Transaction
from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.errors import UnknownBlock
from ioex_chain.ledger.types import Entry, Readable
from ioex_chain.spec.model import DposSpec

_NOBODY = Account()


class StateAccounts:
    """`mempool_types.Accounts` over one state; what was read is remembered, so use it for one head."""

    def __init__(self, view: Readable) -> None:
        self._view = view
        self._state = FlatState(view)

    def account(self, address: bytes) -> Account:
        """Give an account; an empty one for an address that has none."""
        return self._state.account(address) or _NOBODY

    def code(self, code_hash: bytes) -> bytes:
        """Give the code with this keccak256."""
        return self._view.get(code_key(code_hash)) or b""


class PoolChain:
    """`mempool.Chain` over the ledger. For the writing thread."""

    def __init__(self, ledger: Ledger[SealedHeader, Block, Any], spec: DposSpec) -> None:
        self._ledger = ledger
        self._spec = spec
        self._tip: tuple[bytes, PoolTip] | None = None

    def tip(self) -> PoolTip:
        """Give state and base fee on the head."""
        head = self._ledger.head
        if self._tip is None or self._tip[0] != head.hash:
            accounts = StateAccounts(self._ledger.view())
            self._tip = (head.hash, PoolTip(accounts, next_base_fee(self._spec, head.header.header)))
        return self._tip[1]

    def transactions(self, entry: Entry[SealedHeader]) -> Sequence[Transaction]:
        """Give the transactions of a block; none if its body is gone."""
        try:
            return self._ledger.body(entry.hash).transactions
        except UnknownBlock:
            return ()
