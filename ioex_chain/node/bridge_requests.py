"""Where requests to the PoW chain stand in the DPoS chain: the block that drained one, what made it."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from threading import Lock

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos import indexes
from ioex_chain.dpos.consensus import DposEngine
from ioex_chain.dpos.records import DposEntry
from ioex_chain.evm import bridge
from ioex_chain.evm.types import Log, Receipt
from ioex_chain.ledger.types import Readable
from ioex_chain.node.dpos_build import DposLedger
from ioex_chain.rpc.eth.log_filter import Criteria
from ioex_chain.spec.model import NetworkSpec

_REQUESTED = keccak256(b"WithdrawalRequested(uint256,address,uint256,bytes)")
_REMEMBERED = 256
"""Blocks whose withdrawals are remembered with their transactions."""
_MOST_BLOCKS = 512
"""Blocks below the one that drained a request in which its transaction is looked for."""


class RequestPlaces:
    """Finds requests on the best chain by records, blooms and receipts; from any thread."""

    def __init__(self, spec: NetworkSpec, ledger: DposLedger, engine: DposEngine) -> None:
        self._address = spec.contracts.addresses[bridge.NAME]
        self._ledger = ledger
        self._records = engine.records
        self._known: OrderedDict[bytes, dict[int, bytes]] = OrderedDict()
        self._lock = Lock()

    def drained_upto(self, entry: DposEntry) -> int:
        """Give the number of the last request that a block or its ancestors drained."""
        return self._records.require(entry).requests

    def drained_at(self, number: int, head: DposEntry) -> DposEntry | None:
        """Find the block of `head`'s chain that drained a request; None while none has."""
        if not 0 < number <= self.drained_upto(head):
            return None
        low, high = 0, head.height
        while high - low > 1:  # drained after `high`, not yet after `low`
            middle = (low + high) // 2
            if self.drained_upto(self._ledger.ancestor(head, middle)) < number:
                low = middle
            else:
                high = middle
        return self._ledger.ancestor(head, high)

    def made_at(self, number: int, last: DposEntry, view: Readable) -> tuple[DposEntry, bytes] | None:
        """Find the block at or below `last`, and the transaction in it, that made a withdrawal.

        `view` is the state of a block of the same chain above it. None when it is too far down, or when the
        body is not stored.
        """
        topic = number.to_bytes(32, "big")
        wanted = Criteria(frozenset((self._address,)), (frozenset((_REQUESTED,)), frozenset((topic,))))
        for height in range(last.height, max(0, last.height - _MOST_BLOCKS), -1):
            entry = self._ledger.ancestor(last, height)
            if wanted.may_match(entry.header.header.logs_bloom):
                found = self._makers(entry, view).get(number)
                if found is not None:
                    return entry, found
        return None

    def _makers(self, entry: DposEntry, view: Readable) -> dict[int, bytes]:
        """Give the transaction of every withdrawal that a block made, by number; remembered."""
        found = self._known.get(entry.hash)
        if found is None:
            found = self._read_makers(entry, view)
        if found:
            with self._lock:
                self._known[entry.hash] = found
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return found

    def _read_makers(self, entry: DposEntry, view: Readable) -> dict[int, bytes]:
        makers = {
            number: index
            for index, receipt in enumerate(indexes.receipts(view, entry.height))
            for number in numbers_in(self._own(receipt))
        }
        if not makers or self._ledger.body_bytes(entry.hash) is None:
            return {}
        transactions = self._ledger.body(entry.hash).transactions
        return {number: transactions[index].hash for number, index in makers.items()}

    def made_by(self, transaction: bytes, view: Readable) -> list[int] | None:
        """Give the numbers of the withdrawals that a transaction made; None when it is in no block."""
        place = indexes.find_transaction(view, transaction)
        if place is None:
            return None
        height, index = place
        receipts = indexes.receipts(view, height)
        return list(numbers_in(self._own(receipts[index]))) if index < len(receipts) else None

    def _own(self, receipt: Receipt) -> Sequence[Log]:
        return [log for log in receipt.logs if log.address == self._address]


def numbers_in(logs: Sequence[Log]) -> Iterator[int]:
    """Give the numbers in the Bridge's events of new withdrawals."""
    for log in logs:
        if len(log.topics) > 1 and log.topics[0] == _REQUESTED:
            yield int.from_bytes(log.topics[1], "big")
