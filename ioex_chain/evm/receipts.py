"""Receipts: their consensus bytes (EIP-2718, EIP-658), blooms, and the shorter form that is stored."""

from collections.abc import Iterable, Sequence

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.strict_rlp import Item, decode_list, encode_uint
from ioex_chain.evm.trie import list_root
from ioex_chain.evm.types import Log, Receipt
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.rlp import encode_string, list_head, wrap_list

BLOOM_SIZE = 256
EMPTY_BLOOM = bytes(BLOOM_SIZE)
_BLOOM_HEAD = b"\xb9\x01\x00"
_NO_LOGS = _BLOOM_HEAD + EMPTY_BLOOM + b"\xc0"
_TOPIC_SIZE = 32


def logs_bloom(logs: Iterable[Log]) -> bytes:
    """Give the 2048-bit filter of addresses and topics (yellow paper, section 4.3.1)."""
    entries = {entry for log in logs for entry in (log.address, *log.topics)}
    bits = 0
    for entry in entries:
        digest = keccak256(entry)
        for at in (0, 2, 4):
            bits |= 1 << ((digest[at] << 8 | digest[at + 1]) & 2047)
    return bits.to_bytes(BLOOM_SIZE, "big")


def join_blooms(blooms: Iterable[bytes]) -> bytes:
    """Give the filter of a block from those of its receipts."""
    bits = 0
    for bloom in blooms:
        if bloom is not EMPTY_BLOOM:
            bits |= int.from_bytes(bloom, "big")
    return bits.to_bytes(BLOOM_SIZE, "big")


def make_receipt(kind: int, status: int, cumulative_gas: int, logs: tuple[Log, ...]) -> Receipt:
    """Give the receipt, its bloom computed."""
    return Receipt(kind, status, cumulative_gas, logs_bloom(logs) if logs else EMPTY_BLOOM, logs)


def _encode_log(log: Log) -> bytes:
    topics = b"".join([b"\xa0" + topic for topic in log.topics])
    return wrap_list(b"\x94" + log.address + list_head(len(topics)) + topics + encode_string(log.data))


def _encode_logs(logs: Iterable[Log]) -> bytes:
    return wrap_list(b"".join(map(_encode_log, logs)))


def encode_receipt(receipt: Receipt) -> bytes:
    """Give the EIP-2718 bytes that the receipts root is over."""
    head = (b"\x01" if receipt.status else b"\x80") + encode_uint(receipt.cumulative_gas)
    if receipt.logs:
        payload = head + _BLOOM_HEAD + receipt.bloom + _encode_logs(receipt.logs)
    else:
        payload = head + _NO_LOGS
    body = list_head(len(payload)) + payload
    return bytes((receipt.type,)) + body if receipt.type else body


def receipts_root(receipts: Sequence[Receipt]) -> bytes:
    """Give the root of the receipts' trie."""
    return list_root(map(encode_receipt, receipts))


def encode_receipts(receipts: Iterable[Receipt]) -> bytes:
    """Give the stored form: rlp([[type, status, cumulative gas, logs], ...]); blooms are computed again."""
    return wrap_list(b"".join(map(_encode_stored, receipts)))


def _encode_stored(receipt: Receipt) -> bytes:
    head = encode_uint(receipt.type) + encode_uint(receipt.status) + encode_uint(receipt.cumulative_gas)
    return wrap_list(head + (_encode_logs(receipt.logs) if receipt.logs else b"\xc0"))


def decode_receipts(data: bytes) -> list[Receipt]:
    """Read what `encode_receipts` wrote. Raises DecodeError."""
    try:
        return [_receipt(item) for item in decode_list(data)]
    except (ValueError, TypeError) as error:
        raise DecodeError(f"stored receipts are damaged ({error}); run `ioex db check`") from error


def _receipt(item: Item) -> Receipt:
    kind, status, cumulative, logs = item
    return make_receipt(_uint(kind), _uint(status), _uint(cumulative), tuple(map(_log, _list(logs))))


def _log(item: Item) -> Log:
    address, topics, data = item
    found = tuple(map(_bytes, _list(topics)))
    if any(len(topic) != _TOPIC_SIZE for topic in found):
        raise DecodeError("a topic is not 32 bytes")
    return Log(_bytes(address), found, _bytes(data))


def _uint(item: object) -> int:
    return int.from_bytes(_bytes(item), "big")


def _bytes(item: object) -> bytes:
    if not isinstance(item, bytes):
        raise DecodeError("a list where bytes belong")
    return item


def _list(item: object) -> list[Item]:
    if not isinstance(item, list):
        raise DecodeError("bytes where a list belongs")
    return item
