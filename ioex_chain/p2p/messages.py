"""The messages of every connection, as values with their bytes (docs/protocol.md section 9.2).

Sizes and rates stand in `table`; a chain's own messages in `chain_messages`. Numbers are little-endian;
lists, texts and byte strings begin with a CompactSize. `read` raises DecodeError.
"""

import ipaddress
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, NamedTuple, Protocol, Self

from ioex_chain.p2p.types import Endpoint, PeerId
from ioex_chain.p2p.wire import encode_text, read_text
from ioex_chain.primitives.codec import Reader, compact

PROTOCOL_VERSION = 1
MAX_AGENT = 64
MAX_GOODBYE_TEXT = 128
MAX_ADDRESSES = 1_000
SERVES_BLOCKS = 1
"""Bit of `Hello.services`: keeps all blocks and answers for them."""
RELAYS_TRANSACTIONS = 2
"""Bit of `Hello.services`: wants and gives unconfirmed transactions."""


class Message(Protocol):
    """A message; `type` is its number on the wire."""

    type: ClassVar[int]

    def encode(self) -> bytes:
        """Give the payload."""
        ...


class LeaveReason(IntEnum):
    """Why a connection ends, as `Goodbye` says it."""

    OTHER = 0
    STOPPING = 1
    TOO_MANY_PEERS = 2
    WRONG_NETWORK = 3
    OTHER_RULES = 4
    OTHER_VERSION = 5
    ALREADY_CONNECTED = 6
    SELF = 7
    BANNED = 8
    MISBEHAVING = 9
    IDLE = 10
    WRONG_IDENTITY = 11
    FEELER = 12
    """Only looked whether somebody is there."""
    NOT_USEFUL = 13


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message each way: the server's first, with a fresh nonce; the client's proves its key.

    `signature` is the client's Ed25519 signature (docs/protocol.md section 9.1); the server's is 64 zero
    bytes, its key is the certificate's. The client's `nonce` is 32 zero bytes. `port` is where it listens for
    peers, 0 for nowhere. `agent` is printable ASCII; other characters are sent as question marks.
    """

    version: int
    network: bytes
    fork_checksum: bytes
    fork_next: int
    key: bytes
    nonce: bytes
    signature: bytes
    services: int
    port: int
    height: int
    head: bytes
    time: int
    agent: str
    type: ClassVar[int] = 0

    def encode(self) -> bytes:
        """Give the payload."""
        return b"".join(
            (
                self.version.to_bytes(2, "little"),
                self.network,
                self.fork_checksum,
                self.fork_next.to_bytes(8, "little"),
                self.key,
                self.nonce,
                self.signature,
                self.services.to_bytes(4, "little"),
                self.port.to_bytes(2, "little"),
                self.height.to_bytes(4, "little"),
                self.head,
                self.time.to_bytes(8, "little"),
                encode_text(self.agent, MAX_AGENT),
            )
        )

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(
            version=reader.uint16(),
            network=reader.take(32),
            fork_checksum=reader.take(4),
            fork_next=reader.uint64(),
            key=reader.take(32),
            nonce=reader.take(32),
            signature=reader.take(64),
            services=reader.uint32(),
            port=reader.uint16(),
            height=reader.uint32(),
            head=reader.take(32),
            time=reader.uint64(),
            agent=read_text(reader, MAX_AGENT),
        )


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks whether the other end is alive."""

    nonce: int
    type: ClassVar[int] = 1

    def encode(self) -> bytes:
        """Give the payload."""
        return self.nonce.to_bytes(8, "little")

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(reader.uint64())


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a Ping with its nonce."""

    nonce: int
    type: ClassVar[int] = 2

    def encode(self) -> bytes:
        """Give the payload."""
        return self.nonce.to_bytes(8, "little")

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(reader.uint64())


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The last message: why the sender closes. An unknown reason is read as OTHER."""

    reason: LeaveReason
    text: str
    type: ClassVar[int] = 3

    def encode(self) -> bytes:
        """Give the payload."""
        return bytes((self.reason,)) + encode_text(self.text, MAX_GOODBYE_TEXT)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        number = reader.uint8()
        known = number in LeaveReason._value2member_map_
        return cls(LeaveReason(number) if known else LeaveReason.OTHER, read_text(reader, MAX_GOODBYE_TEXT))


@dataclass(frozen=True, slots=True)
class GetAddresses:
    """Asks for nodes that listen."""

    type: ClassVar[int] = 4

    def encode(self) -> bytes:
        """Give the payload."""
        return b""

    @classmethod
    def read(cls, reader: Reader) -> Self:  # noqa: ARG003 - nothing to read
        """Read the payload."""
        return cls()


class AddressRecord(NamedTuple):
    """A node that listens at an IP address (never a host name), and when somebody last saw it (Unix time)."""

    id: PeerId
    endpoint: Endpoint
    seen: int


@dataclass(frozen=True, slots=True)
class Addresses:
    """Nodes that listen; unasked, at most ten."""

    records: tuple[AddressRecord, ...]
    type: ClassVar[int] = 5

    def encode(self) -> bytes:
        """Give the payload."""
        return compact(len(self.records)) + b"".join(map(_encode_record, self.records))

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(tuple(_read_record(reader) for _ in range(reader.compact(MAX_ADDRESSES))))


def _encode_record(record: AddressRecord) -> bytes:
    address = ipaddress.ip_address(record.endpoint.host)
    if isinstance(address, ipaddress.IPv4Address):
        packed = bytes(10) + b"\xff\xff" + address.packed
    else:
        packed = address.packed
    return b"".join(
        (record.id, packed, record.endpoint.port.to_bytes(2, "little"), record.seen.to_bytes(4, "little"))
    )


def _read_record(reader: Reader) -> AddressRecord:
    id_, packed = PeerId(reader.take(32)), reader.take(16)
    address = ipaddress.IPv6Address(packed)
    host = str(address.ipv4_mapped or address)
    return AddressRecord(id_, Endpoint(host, reader.uint16()), reader.uint32())
