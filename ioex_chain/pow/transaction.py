"""Bitcoin's transaction: bytes to fields and back (BIP-141/144), ids, sizes. Rules are in `consensus`."""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from ioex_chain.primitives.codec import Reader, compact
from ioex_chain.primitives.errors import NotCanonical, OverCap, UnexpectedEnd
from ioex_chain.primitives.types import OutPoint, TxHash

MAX_TRANSACTION_SIZE = 8_000_000
"""No transaction is larger than a block."""
NULL_OUTPOINT = OutPoint(bytes(32) + b"\xff\xff\xff\xff")
SEQUENCE_FINAL = 0xFFFFFFFF


class TxIn(NamedTuple):
    """An input: what it spends, its script (empty unless coinbase), sequence and witness items."""

    outpoint: OutPoint
    script: bytes
    sequence: int
    witness: tuple[bytes, ...] = ()


class TxOut(NamedTuple):
    """An output: value in PoW units and output script."""

    value: int
    script: bytes

    def encode(self) -> bytes:
        """Give the bytes in which a transaction carries it."""
        return self.value.to_bytes(8, "little") + compact(len(self.script)) + self.script


class Transaction:
    """A transaction. Treat it as immutable; `txid` ignores witnesses, `wtxid` covers every byte."""

    __slots__ = (
        "inputs",
        "lock_time",
        "outputs",
        "outputs_raw",
        "raw",
        "stripped_size",
        "txid",
        "version",
        "wtxid",
    )

    def __init__(
        self,
        version: int,
        inputs: tuple[TxIn, ...],
        outputs: tuple[TxOut, ...],
        lock_time: int,
        raw: bytes,
        stripped: bytes,
        outputs_raw: bytes,
    ) -> None:
        """Take the fields and the bytes that they were read from; `build` and `read` are the ways in.

        `outputs_raw` are the outputs without their count: what signatures commit to.
        """
        self.version = version
        self.inputs = inputs
        self.outputs = outputs
        self.lock_time = lock_time
        self.raw = raw
        self.outputs_raw = outputs_raw
        self.stripped_size = len(stripped)
        self.txid = TxHash(sha256(sha256(stripped).digest()).digest())
        self.wtxid = self.txid if stripped is raw else TxHash(sha256(sha256(raw).digest()).digest())

    @classmethod
    def build(
        cls, version: int, inputs: Sequence[TxIn], outputs: Sequence[TxOut], lock_time: int = 0
    ) -> "Transaction":
        """Make a transaction from its fields."""
        head = version.to_bytes(4, "little")
        ins = compact(len(inputs)) + b"".join(
            outpoint + compact(len(script)) + script + sequence.to_bytes(4, "little")
            for outpoint, script, sequence, _ in inputs
        )
        outputs_raw = b"".join([output.encode() for output in outputs])
        body = ins + compact(len(outputs)) + outputs_raw
        tail = lock_time.to_bytes(4, "little")
        stripped = head + body + tail
        raw = stripped
        if any(item.witness for item in inputs):
            witness = b"".join(encode_witness_stack(item.witness) for item in inputs)
            raw = head + b"\x00\x01" + body + witness + tail
        return cls(version, tuple(inputs), tuple(outputs), lock_time, raw, stripped, outputs_raw)

    @classmethod
    def decode(cls, data: bytes) -> "Transaction":
        """Read a transaction that must use every byte. Raises DecodeError."""
        reader = Reader(data)
        transaction = cls.read(reader)
        reader.finish()
        return transaction

    @classmethod
    def read(cls, reader: Reader) -> "Transaction":
        """Read one transaction off the front. Raises DecodeError.

        Written flat, without a call per field: it runs ten thousand times a block.
        """
        data, start = reader.data, reader.offset
        end = len(data)
        from_bytes = int.from_bytes
        at = start + 4
        if at + 2 > end:
            raise UnexpectedEnd("a transaction has at least 10 bytes")
        version = from_bytes(data[start:at], "little")
        has_witness = data[at] == 0 and data[at + 1] == 1
        body_start = at = at + 2 if has_witness else at

        count = data[at] if at < end else 0
        at += 1
        if count >= 0xFD:
            count, at = _long_compact(data, at - 1)
        if count * 41 > end - at:
            raise OverCap(f"{count} inputs do not fit into {end - at} bytes")
        prevouts = []
        for _ in range(count):
            script_start = at + 37
            if script_start > end:
                raise UnexpectedEnd("the transaction ends in an input")
            outpoint = OutPoint(data[at : at + 36])
            size = data[at + 36]
            if size >= 0xFD:
                size, script_start = _long_compact(data, at + 36)
            at = script_start + size + 4
            if at > end:
                raise UnexpectedEnd("the transaction ends in an input's script")
            prevouts.append((outpoint, data[script_start : at - 4], from_bytes(data[at - 4 : at], "little")))

        if at >= end:
            raise UnexpectedEnd("the transaction ends before its outputs")
        count = data[at]
        at += 1
        if count >= 0xFD:
            count, at = _long_compact(data, at - 1)
        if count * 9 > end - at:
            raise OverCap(f"{count} outputs do not fit into {end - at} bytes")
        outputs = []
        outputs_start = at
        for _ in range(count):
            script_start = at + 9
            if script_start > end:
                raise UnexpectedEnd("the transaction ends in an output")
            value = from_bytes(data[at : at + 8], "little")
            size = data[at + 8]
            if size >= 0xFD:
                size, script_start = _long_compact(data, at + 8)
            at = script_start + size
            if at > end:
                raise UnexpectedEnd("the transaction ends in an output's script")
            outputs.append(TxOut(value, data[script_start:at]))
        body_end = at

        if has_witness:
            inputs = []
            filled = False
            for outpoint, script, sequence in prevouts:
                witness, at = _read_witness(data, at, end)
                filled = filled or bool(witness)
                inputs.append(TxIn(outpoint, script, sequence, witness))
            if not filled:
                raise NotCanonical("a transaction in witness form without a witness")
        else:
            inputs = [TxIn(outpoint, script, sequence) for outpoint, script, sequence in prevouts]
        if at + 4 > end:
            raise UnexpectedEnd("the transaction ends before its lock time")
        lock_time = data[at : at + 4]
        reader.offset = at = at + 4
        raw = data[start:at]
        stripped = raw[:4] + data[body_start:body_end] + lock_time if has_witness else raw
        fields = (tuple(inputs), tuple(outputs), from_bytes(lock_time, "little"))
        return cls(version, *fields, raw, stripped, data[outputs_start:body_end])

    def encode(self) -> bytes:
        """Give all bytes, witnesses included."""
        return self.raw

    def encode_stripped(self) -> bytes:
        """Give the bytes without witnesses: what `txid` is the hash of."""
        if self.wtxid == self.txid:
            return self.raw
        bare = [TxIn(item.outpoint, item.script, item.sequence) for item in self.inputs]
        return Transaction.build(self.version, bare, self.outputs, self.lock_time).raw

    @property
    def is_coinbase(self) -> bool:
        """Whether its only input is the null outpoint."""
        return len(self.inputs) == 1 and self.inputs[0].outpoint == NULL_OUTPOINT

    @property
    def size(self) -> int:
        """Bytes, witnesses included: what a block's limit and a fee rate count."""
        return len(self.raw)

    def outpoint(self, index: int) -> OutPoint:
        """Name output `index` of this transaction."""
        return OutPoint(self.txid + index.to_bytes(4, "little"))

    def with_witnesses(self, witnesses: Sequence[tuple[bytes, ...]]) -> "Transaction":
        """Give the same transaction with these witnesses, one per input."""
        inputs = [item._replace(witness=stack) for item, stack in zip(self.inputs, witnesses, strict=True)]
        return Transaction.build(self.version, inputs, self.outputs, self.lock_time)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transaction) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.wtxid)

    def __repr__(self) -> str:
        return f"<Transaction {self.txid[::-1].hex()}>"


def encode_witness_stack(items: Sequence[bytes]) -> bytes:
    """Write one input's witness items (BIP-144)."""
    return compact(len(items)) + b"".join(compact(len(item)) + item for item in items)


def _long_compact(data: bytes, at: int) -> tuple[int, int]:
    reader = Reader(data, at)
    return reader.compact(MAX_TRANSACTION_SIZE), reader.offset


def _read_witness(data: bytes, at: int, end: int) -> tuple[tuple[bytes, ...], int]:
    if at >= end:
        raise UnexpectedEnd("the transaction ends before a witness")
    count = data[at]
    at += 1
    if count >= 0xFD:
        count, at = _long_compact(data, at - 1)
    if count > end - at:
        raise OverCap(f"{count} witness items do not fit into {end - at} bytes")
    items = []
    for _ in range(count):
        if at >= end:
            raise UnexpectedEnd("the transaction ends in a witness")
        size = data[at]
        at += 1
        if size >= 0xFD:
            size, at = _long_compact(data, at - 1)
        at += size
        if at > end:
            raise UnexpectedEnd("the transaction ends in a witness item")
        items.append(data[at - size : at])
    return tuple(items), at
