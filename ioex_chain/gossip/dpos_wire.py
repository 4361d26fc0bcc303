"""The DPoS chain's headers and blocks for the gossip (docs/protocol.md sections 4 and 9)."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos import codec
from ioex_chain.dpos.block import Block, Payload
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.evm.types import Transaction, Withdrawal
from ioex_chain.gossip.examine import Report, on_invalid, skip_known
from ioex_chain.gossip.verdicts import Outcome, Verdict, store_headers
from ioex_chain.gossip.wire import AnyLedger
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.primitives import rlp
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.identity import dpos_identity

DecodeTransaction = Callable[[bytes], Transaction]


class Watch(Protocol):
    """Looks at what peers send after the ledger has: `dpos.follower.Follower`. In the peers' thread."""

    def on_headers(self, headers: Sequence[SealedHeader]) -> None:
        """Look for who seals twice."""
        ...

    def on_body(self, block: Block) -> None:
        """Look at the certificate of a block that may be on a side branch."""
        ...


@dataclass(frozen=True, slots=True)
class Extras:
    """Item 0 of a block: rlp([withdrawals, payload])."""

    raw: bytes
    withdrawals: tuple[Withdrawal, ...]
    payload: Payload

    @property
    def hash(self) -> bytes:
        """keccak256 of the bytes."""
        return keccak256(self.raw)


class DposForm:
    """A block's items: its extras, which always go whole, then the transactions.

    Whether the items are the header's is left to the ledger: the root of ten thousand transactions is dear.
    """

    max_items = 1 + codec.MAX_TRANSACTIONS
    is_proven = False

    def __init__(self, decode_transaction: DecodeTransaction) -> None:
        """Take a decoder that knows the pool's transactions by heart."""
        self.decode_transaction = decode_transaction

    def read_header(self, raw: bytes) -> SealedHeader:
        """Read rlp([header, seal])."""
        return codec.decode_sealed_header(raw)

    def items(self, block: Block) -> Sequence[Extras | Transaction]:
        """Give extras and transactions."""
        raw = codec.encode_withdrawals_and_payload(block.withdrawals, block.payload)
        return (Extras(raw, block.withdrawals, block.payload), *block.transactions)

    def item(self, place: int, raw: bytes) -> Extras | Transaction:
        """Read the extras at place 0, transactions at the others."""
        if place:
            return self.decode_transaction(raw)
        return Extras(raw, *codec.decode_withdrawals_and_payload(raw))

    def id(self, item: Extras | Transaction) -> bytes:
        """Give keccak256 of the bytes."""
        return item.hash

    def build(self, header: SealedHeader, items: Sequence[Extras | Transaction]) -> Block | None:
        """Put the block together."""
        extras = items[0]
        transactions = [item for item in items if isinstance(item, Transaction)]
        if not isinstance(extras, Extras) or len(transactions) + 1 != len(items):
            return None
        return codec.make_block(header, transactions, extras.withdrawals, extras.payload)

    def bounds(self, block: Block) -> "array[int]":
        """Give where the transactions stand; the extras are not in one piece."""
        data = block.raw
        transactions = rlp.items(data, rlp.whole(data), 5)[2]
        bounds = array("I", (0, 0))
        for item in rlp.items(data, transactions, codec.MAX_TRANSACTIONS):
            bounds.extend((item.at if item.is_list else item.start, item.end))
        return bounds


class DposExaminer:
    """Gives headers to the ledger, which bounds those that it cannot check yet. On the worker."""

    def __init__(self, ledger: AnyLedger, clock: Callable[[], int]) -> None:
        self._ledger = ledger
        self._clock = clock

    def take(self, items: Sequence[bytes], run: Any, redo: Any) -> Report:  # noqa: ARG002 - nothing is summed
        """Read and judge the headers of an answer."""
        try:
            headers = [codec.decode_sealed_header(item) for item in items]
        except DecodeError as error:
            return Report(verdict=Verdict(Outcome.MALFORMED, None, error))
        return self.judge(headers)

    def judge(self, headers: Sequence[SealedHeader]) -> Report:
        """Judge headers that are decoded."""
        if not headers:
            return Report()
        last, new = skip_known(self._ledger, headers)
        others = [header for header in headers if self._is_other(header)]
        if others:
            store_headers(self._ledger, others)
        if last is None:
            return Report(verdict=Verdict(Outcome.UNKNOWN_PARENT), count=len(headers))
        if last.status.is_invalid:
            return on_invalid(last)
        if not new:
            return Report(last, tail=last.hash)
        entries, refused = store_headers(self._ledger, new)
        valid_at = None
        if refused is not None and refused.outcome is Outcome.NOT_YET_VALID:
            valid_at = valid_time(new[len(entries)], self._clock())
        return Report(
            entries[-1] if entries else last,
            refused,
            valid_at=valid_at,
            count=len(headers),
            tail=headers[-1].hash,
            seen=tuple(new),
            unverified=tuple(entry for entry in entries if entry.status & Status.UNVERIFIED),
        )

    def _is_other(self, header: SealedHeader) -> bool:
        """Whether a header waits for its check under another seal: the ledger keeps this one beside it."""
        known = self._ledger.entry(header.hash)
        return (
            known is not None
            and bool(known.status & Status.UNVERIFIED)
            and known.header.encode() != header.encode()
        )


def valid_time(header: SealedHeader, now: int) -> int | None:
    """Say when a header that is not valid yet will be; None: when blocks below it are here."""
    time = header.header.timestamp
    return time if time > now else None


class DposWire:
    """`gossip.wire.ChainWire` of the DPoS chain."""

    has_ties = True

    def __init__(
        self,
        network_id: bytes,
        activations: tuple[int, ...],
        decode_transaction: DecodeTransaction,
        ledger: AnyLedger,
        *,
        watch: Watch | None = None,
        is_late: Callable[[SealedHeader], bool] = lambda _: False,
        mark_late: Callable[[BlockHash], None] = lambda _: None,
    ) -> None:
        """`network_id` is the identity over both genesis blocks.

        `is_late` says whether the slot of a header has ended by our clock, and `mark_late` is told of the
        blocks that were first seen then, before the ledger takes them.
        """
        self.form = DposForm(decode_transaction)
        self.identity = dpos_identity(network_id)
        self.activations = activations
        self.watch = watch
        self._ledger = ledger
        self._is_late = is_late
        self._mark_late = mark_late

    def read_block(self, raw: bytes) -> Block:
        """Read a block."""
        return codec.decode_block(raw, self.form.decode_transaction)

    def block_hash(self, raw: bytes) -> BlockHash:
        """Give keccak256 of a block's first item."""
        whole = rlp.whole(raw)
        header = rlp.span(raw, whole.start, whole.end)
        if not (whole.is_list and header.is_list):
            raise rlp.WrongShape("a block is a list that begins with its header, a list")
        return BlockHash(keccak256(raw[header.at : header.end]))

    def time_of(self, header: SealedHeader) -> int:
        """Give the start of the header's slot."""
        return header.header.timestamp

    def valid_at(self, header: SealedHeader, now: int) -> int | None:
        """Say when the slot begins; None if it has."""
        return valid_time(header, now)

    def check_pushed(self, header: SealedHeader) -> None:
        """Leave it to the ledger, which gets the header before anything else is done."""

    def with_known_proof(self, block: Block, known: Entry[Any] | None) -> Block:  # noqa: ARG002 - see below
        """Give the block as it is: the ledger checks a seal that is not the stored one."""
        return block

    def examiner(self, ledger: AnyLedger, clock: Callable[[], int]) -> DposExaminer:
        """Give what passes headers on to the ledger."""
        return DposExaminer(ledger, clock)

    def arriving(self, block: Block) -> None:
        """Note a block that is first seen after its slot, before the ledger takes it."""
        known = self._ledger.entry(block.header.hash)
        if (known is None or not known.status & Status.BODY) and self._is_late(block.header):
            self._mark_late(block.header.hash)

    def saw_headers(self, headers: Sequence[SealedHeader]) -> None:
        """Show headers to finality."""
        if self.watch is not None:
            self.watch.on_headers(headers)

    def saw_block(self, block: Block) -> None:
        """Show a block to finality."""
        if self.watch is not None:
            self.watch.on_body(block)
