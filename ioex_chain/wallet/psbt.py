"""Partially signed transactions, version 0: BIP-174, with BIP-371's fields for key-path P2TR.

Own code and not a library's, because a signer must keep every byte: the library at hand writes an input
sequence of 0 as final and drops a taproot key signature. It is the tests' oracle instead.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from ioex_chain.pow.transaction import Transaction, TxIn, TxOut, encode_witness_stack
from ioex_chain.primitives.codec import Reader, sized
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.wallet.errors import (
    InvalidPsbt,
    PreviousOutputMismatch,
    PreviousOutputMissing,
    PsbtMismatch,
)

MAGIC = b"psbt\xff"
MAX_SIZE = 20 * 1024 * 1024
"""Bytes: what fits through the RPC port's body limit."""
_UNSIGNED_TX = b"\x00"
_VERSION = b"\xfb"
_MAX_DEPTH = 255
"""BIP-32 writes a key's depth in one byte."""


class In(IntEnum):
    """Key types of an input's map."""

    PREVIOUS_TX = 0x00
    PREVIOUS_OUT = 0x01
    PARTIAL_SIG = 0x02
    SIGHASH = 0x03
    REDEEM_SCRIPT = 0x04
    WITNESS_SCRIPT = 0x05
    DERIVATION = 0x06
    FINAL_SCRIPT = 0x07
    FINAL_WITNESS = 0x08
    TAP_KEY_SIG = 0x13
    TAP_DERIVATION = 0x16
    TAP_INTERNAL_KEY = 0x17


class Out(IntEnum):
    """Key types of an output's map."""

    REDEEM_SCRIPT = 0x00
    WITNESS_SCRIPT = 0x01
    DERIVATION = 0x02
    TAP_INTERNAL_KEY = 0x05
    TAP_DERIVATION = 0x07


class KeyPath(NamedTuple):
    """Where a key comes from: its master key's fingerprint (4 bytes) and the BIP-32 path."""

    fingerprint: bytes
    path: tuple[int, ...]

    def encode(self) -> bytes:
        """Give BIP-174's form: the fingerprint, then little-endian indices."""
        return self.fingerprint + b"".join(index.to_bytes(4, "little") for index in self.path)

    @classmethod
    def decode(cls, data: bytes) -> "KeyPath":
        """Read `encode`'s form. Raises InvalidPsbt."""
        if len(data) < 4 or len(data) % 4 or len(data) > 4 * (1 + _MAX_DEPTH):
            raise InvalidPsbt("a key path is a fingerprint and up to 255 indices of 4 bytes")
        return cls(
            data[:4], tuple(int.from_bytes(data[at : at + 4], "little") for at in range(4, len(data), 4))
        )


Pairs = dict[bytes, bytes]
"""One map of a PSBT: key (type, then key data) to value, in file order."""


@dataclass(slots=True)
class PsbtInput:
    """One input's map with typed access to what this wallet reads and writes."""

    pairs: Pairs = field(default_factory=dict)

    def get(self, kind: In, data: bytes = b"") -> bytes | None:
        """Give the value under a key, or None."""
        return self.pairs.get(bytes((kind,)) + data)

    def put(self, kind: In, value: bytes, data: bytes = b"") -> None:
        """Set the value under a key."""
        self.pairs[bytes((kind,)) + data] = value

    def keyed(self, kind: In) -> dict[bytes, bytes]:
        """Give key data to value of every pair of a kind."""
        return {key[1:]: value for key, value in self.pairs.items() if key[0] == kind}

    @property
    def previous_transaction(self) -> Transaction | None:
        """The whole transaction that made the spent output, if it was given."""
        raw = self.get(In.PREVIOUS_TX)
        return None if raw is None else Transaction.decode(raw)

    @property
    def declared_output(self) -> TxOut | None:
        """The spent output as the PSBT states it, if it was given."""
        raw = self.get(In.PREVIOUS_OUT)
        return None if raw is None else _decode_output(raw)

    @property
    def final_witness(self) -> tuple[bytes, ...] | None:
        """The finished witness, if the input was finalised."""
        raw = self.get(In.FINAL_WITNESS)
        return None if raw is None else _decode_witness(raw)

    @final_witness.setter
    def final_witness(self, witness: tuple[bytes, ...]) -> None:
        self.put(In.FINAL_WITNESS, encode_witness_stack(witness))

    @property
    def derivations(self) -> dict[bytes, KeyPath]:
        """Public key (33 bytes, or 32 for taproot) to where it comes from."""
        found = {public: KeyPath.decode(raw) for public, raw in self.keyed(In.DERIVATION).items()}
        found.update((public, _tap_derivation(raw)) for public, raw in self.keyed(In.TAP_DERIVATION).items())
        return found


@dataclass(slots=True)
class PsbtOutput:
    """One output's map."""

    pairs: Pairs = field(default_factory=dict)

    def put(self, kind: Out, value: bytes, data: bytes = b"") -> None:
        """Set the value under a key."""
        self.pairs[bytes((kind,)) + data] = value


@dataclass(slots=True)
class Psbt:
    """An unsigned transaction and what is known about each of its inputs and outputs."""

    transaction: Transaction
    globals: Pairs
    inputs: list[PsbtInput]
    outputs: list[PsbtOutput]

    @classmethod
    def create(cls, transaction: Transaction) -> "Psbt":
        """Begin a PSBT: BIP-174's Creator. Scripts and witnesses must be empty."""
        return cls(
            transaction,
            {_UNSIGNED_TX: transaction.encode_stripped()},
            [PsbtInput() for _ in transaction.inputs],
            [PsbtOutput() for _ in transaction.outputs],
        )

    @classmethod
    def decode(cls, data: bytes) -> "Psbt":
        """Read a binary PSBT that must use every byte. Raises InvalidPsbt."""
        try:
            return _decode(data)
        except InvalidPsbt:
            raise
        except DecodeError as error:
            raise InvalidPsbt(f"the PSBT is damaged: {error}") from error

    @classmethod
    def parse(cls, text: str | bytes) -> "Psbt":
        """Read a PSBT in any form that files carry: binary, base64 or hex. Raises InvalidPsbt."""
        raw = text.encode() if isinstance(text, str) else text
        if raw.startswith(MAGIC):
            return cls.decode(raw)
        compacted = b"".join(raw.split())
        try:
            if compacted[:10].lower() == MAGIC.hex().encode():
                return cls.decode(bytes.fromhex(compacted.decode("ascii")))
            return cls.decode(base64.b64decode(compacted, validate=True))
        except InvalidPsbt:
            raise
        except (binascii.Error, ValueError) as error:
            raise InvalidPsbt("this is not a PSBT: neither binary, base64 nor hex") from error

    def encode(self) -> bytes:
        """Give the binary form."""
        maps = [self.globals, *(item.pairs for item in self.inputs), *(item.pairs for item in self.outputs)]
        return MAGIC + b"".join(_encode_map(pairs) for pairs in maps)

    def to_base64(self) -> str:
        """Give the text form."""
        return base64.b64encode(self.encode()).decode()

    def spent_output(self, index: int) -> TxOut:
        """Give the output that an input spends, checked against its transaction if that was given.

        Raises PreviousOutputMissing or PreviousOutputMismatch.
        """
        item, outpoint = self.inputs[index], self.transaction.inputs[index].outpoint
        declared, previous = item.declared_output, item.previous_transaction
        if previous is None:
            if declared is None:
                raise PreviousOutputMissing(f"input {index}: the PSBT does not say which output it spends")
            return declared
        position = int.from_bytes(outpoint[32:], "little")
        if previous.txid != outpoint[:32] or position >= len(previous.outputs):
            raise PreviousOutputMismatch(f"input {index}: the previous transaction is another one")
        proven = previous.outputs[position]
        if declared is not None and declared != proven:
            raise PreviousOutputMismatch(
                f"input {index}: the PSBT states {declared.value} units, its transaction has {proven.value}; "
                "someone may want you to pay the difference as a fee"
            )
        return proven

    @property
    def fee(self) -> int:
        """Inputs less outputs, in PoW units. Raises PreviousOutputMissing or PreviousOutputMismatch."""
        spent = sum(self.spent_output(index).value for index in range(len(self.inputs)))
        return spent - sum(output.value for output in self.transaction.outputs)


_FACTS = frozenset({In.PREVIOUS_TX, In.PREVIOUS_OUT, In.SIGHASH, In.WITNESS_SCRIPT})
"""What two PSBTs of one transaction may not contradict each other in; of the rest the first counts."""


def combine(psbts: Iterable[Psbt]) -> Psbt:
    """Merge what several signers added to one PSBT: BIP-174's Combiner.

    Raises PsbtMismatch if they are not of one transaction, or contradict each other about an input.
    """
    first, *others = psbts
    result = Psbt.decode(first.encode())
    for other in others:
        if other.transaction.txid != result.transaction.txid:
            raise PsbtMismatch("the PSBTs are of different transactions")
        result.globals = {**other.globals, **result.globals}
        for index, (mine, theirs) in enumerate(zip(result.inputs, other.inputs, strict=True)):
            for kind in _FACTS:
                stated = mine.get(kind), theirs.get(kind)
                if None not in stated and stated[0] != stated[1]:
                    raise PsbtMismatch(f"input {index}: the PSBTs state different values for {kind.name}")
            mine.pairs = {**theirs.pairs, **mine.pairs}
        for our_output, their_output in zip(result.outputs, other.outputs, strict=True):
            our_output.pairs = {**their_output.pairs, **our_output.pairs}
    return result


def _encode_map(pairs: Mapping[bytes, bytes]) -> bytes:
    return b"".join(sized(key) + sized(value) for key, value in pairs.items()) + b"\x00"


def _read_map(reader: Reader) -> Pairs:
    pairs: Pairs = {}
    while key := reader.sized(MAX_SIZE):
        if key in pairs:
            raise InvalidPsbt(f"the key {key[:40].hex()} stands twice in one map")
        pairs[key] = reader.sized(MAX_SIZE)
    return pairs


def _decode(data: bytes) -> Psbt:
    if len(data) > MAX_SIZE:
        raise InvalidPsbt(f"the PSBT has {len(data)} bytes, {MAX_SIZE} is the most")
    reader = Reader(data)
    if reader.left < len(MAGIC) or reader.take(len(MAGIC)) != MAGIC:
        raise InvalidPsbt("this is not a PSBT: it does not begin with 'psbt' and ff")
    pairs = _read_map(reader)
    _check_version(pairs)
    _check(pairs, _GLOBAL_CHECKS)
    raw = pairs.get(_UNSIGNED_TX)
    if raw is None:
        raise InvalidPsbt("the PSBT holds no unsigned transaction")
    transaction = Transaction.decode(raw)
    if transaction.wtxid != transaction.txid or any(item.script for item in transaction.inputs):
        raise InvalidPsbt("the PSBT's transaction carries scripts or witnesses; they belong into the inputs")
    inputs = [PsbtInput(_read_map(reader)) for _ in transaction.inputs]
    outputs = [PsbtOutput(_read_map(reader)) for _ in transaction.outputs]
    reader.finish()
    for item in inputs:
        _check(item.pairs, _INPUT_CHECKS)
    for output in outputs:
        _check(output.pairs, _OUTPUT_CHECKS)
    return Psbt(transaction, pairs, inputs, outputs)


def _check_version(pairs: Pairs) -> None:
    version = pairs.get(_VERSION, bytes(4))
    if version != bytes(4):
        number = int.from_bytes(version, "little")
        raise InvalidPsbt(f"this is a PSBT of version {number}; export it as version 0 (BIP-174)")


class _Rule(NamedTuple):
    """What a key type may look like: sizes of its key data, and a check of its value."""

    key_sizes: tuple[int, ...]
    value: Callable[[bytes], object] | None = None


def _check(pairs: Pairs, rules: Mapping[int, _Rule]) -> None:
    for key, value in pairs.items():
        rule = rules.get(key[0])
        if rule is None:
            continue
        if len(key) - 1 not in rule.key_sizes:
            raise InvalidPsbt(f"a key of type {key[0]:02x} has {len(key) - 1} bytes of key data")
        if rule.key_sizes is _PUBLIC_KEY and key[1] not in ((2, 3) if len(key) == 34 else (4,)):
            raise InvalidPsbt(f"the key {key.hex()} holds no public key")
        if rule.value:
            rule.value(value)


def _decode_output(raw: bytes) -> TxOut:
    reader = Reader(raw)
    output = TxOut(reader.uint64(), reader.sized(MAX_SIZE))
    reader.finish()
    return output


def _decode_witness(raw: bytes) -> tuple[bytes, ...]:
    reader = Reader(raw)
    count = reader.compact(reader.left)
    witness = tuple(reader.sized(MAX_SIZE) for _ in range(count))
    reader.finish()
    return witness


def _size_in(*sizes: int) -> Callable[[bytes], None]:
    def check(value: bytes) -> None:
        if len(value) not in sizes:
            raise InvalidPsbt(f"a value has {len(value)} bytes instead of {' or '.join(map(str, sizes))}")

    return check


def _tap_derivation(value: bytes) -> KeyPath:
    reader = Reader(value)
    reader.take(32 * reader.compact(128))
    return KeyPath.decode(reader.take(reader.left))


_PUBLIC_KEY = (33, 65)
_GLOBAL_CHECKS = {0x00: _Rule((0,)), 0x01: _Rule((78,), KeyPath.decode), 0xFB: _Rule((0,), _size_in(4))}
_INPUT_CHECKS: dict[int, _Rule] = {
    In.PREVIOUS_TX: _Rule((0,), Transaction.decode),
    In.PREVIOUS_OUT: _Rule((0,), _decode_output),
    In.PARTIAL_SIG: _Rule(_PUBLIC_KEY, _size_in(*range(9, 74))),
    In.SIGHASH: _Rule((0,), _size_in(4)),
    In.REDEEM_SCRIPT: _Rule((0,)),
    In.WITNESS_SCRIPT: _Rule((0,)),
    In.DERIVATION: _Rule(_PUBLIC_KEY, KeyPath.decode),
    In.FINAL_SCRIPT: _Rule((0,)),
    In.FINAL_WITNESS: _Rule((0,), _decode_witness),
    In.TAP_KEY_SIG: _Rule((0,), _size_in(64, 65)),
    In.TAP_DERIVATION: _Rule((32,), _tap_derivation),
    In.TAP_INTERNAL_KEY: _Rule((0,), _size_in(32)),
}
_OUTPUT_CHECKS: dict[int, _Rule] = {
    Out.REDEEM_SCRIPT: _Rule((0,)),
    Out.WITNESS_SCRIPT: _Rule((0,)),
    Out.DERIVATION: _Rule(_PUBLIC_KEY, KeyPath.decode),
    Out.TAP_INTERNAL_KEY: _Rule((0,), _size_in(32)),
    Out.TAP_DERIVATION: _Rule((32,), _tap_derivation),
}


def strip_witness(transaction: Transaction) -> Transaction:
    """Give the transaction as a PSBT carries it: no input scripts, no witnesses."""
    inputs = [TxIn(item.outpoint, b"", item.sequence) for item in transaction.inputs]
    return Transaction.build(transaction.version, inputs, transaction.outputs, transaction.lock_time)
