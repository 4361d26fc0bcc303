"""Which logs a client wants: addresses and topics by position (the execution-apis' `Filter`)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.rpc.eth.bodies import LogRow
from ioex_chain.rpc.eth.values import (
    LATEST,
    BlockId,
    fault,
    read_address,
    read_block_tag,
    read_hash,
    read_list,
    wrong_type,
)
from ioex_chain.rpc.params import Param

MAX_ADDRESSES = 1_000
MAX_TOPICS = 1_000
"""Alternatives in one position."""
MAX_POSITIONS = 4
_MEMBERS = frozenset({"fromBlock", "toBlock", "blockHash", "address", "topics"})


@dataclass(frozen=True, slots=True)
class Criteria:
    """Logs of one of the addresses (none: of any), with one of the topics in each position given."""

    addresses: frozenset[bytes] = frozenset()
    topics: tuple[frozenset[bytes] | None, ...] = ()
    """None: anything in this position."""

    def matches(self, log: LogRow) -> bool:
        """Judge one log."""
        if self.addresses and log.address not in self.addresses:
            return False
        if len(self.topics) > len(log.topics):
            return False
        for wanted, topic in zip(self.topics, log.topics, strict=False):
            if wanted is not None and topic not in wanted:
                return False
        return True

    def select(self, logs: Iterable[LogRow]) -> Iterable[LogRow]:
        """Give the logs that match, in order."""
        return filter(self.matches, logs) if self.addresses or self.topics else logs

    def may_match(self, bloom: bytes) -> bool:
        """Whether a block with this bloom filter can have such logs."""
        bits = int.from_bytes(bloom, "big")
        return all(
            any(bits & (mask := bloom_bits(item)) == mask for item in wanted)
            for wanted in (self.addresses, *self.topics)
            if wanted
        )


@lru_cache(maxsize=8_192)
def bloom_bits(item: bytes) -> int:
    """Give the three bits that an address or topic sets in a bloom filter (yellow paper, section 4.4.1)."""
    digest = keccak256(item)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Criteria, and where to look: a block by hash, or a range of the best chain."""

    criteria: Criteria
    first: BlockId = LATEST
    last: BlockId = LATEST
    block_hash: bytes | None = None


def read_query(value: object) -> LogQuery:
    """Read a `Filter` object."""
    if not isinstance(value, dict):
        raise wrong_type("must be an object")
    unknown = set(value) - _MEMBERS
    if unknown:
        raise fault(f"has unknown members, such as {sorted(unknown)[0][:40]!r}")
    criteria = Criteria(_read_addresses(value.get("address")), _read_topics(value.get("topics")))
    if value.get("blockHash") is not None:
        if value.get("fromBlock") is not None or value.get("toBlock") is not None:
            raise fault("names either blockHash or a range, not both")
        return LogQuery(criteria, block_hash=read_hash(value["blockHash"]))
    return LogQuery(criteria, _read_end(value, "fromBlock"), _read_end(value, "toBlock"))


def _read_end(value: Mapping[str, object], name: str) -> BlockId:
    return LATEST if value.get(name) is None else read_block_tag(value[name])


def _read_addresses(value: object) -> frozenset[bytes]:
    if value is None:
        return frozenset()
    if isinstance(value, list):
        return frozenset(read_list(value, read_address, MAX_ADDRESSES))
    return frozenset((read_address(value),))


def _read_topics(value: object) -> tuple[frozenset[bytes] | None, ...]:
    if value is None:
        return ()
    return tuple(read_list(value, _read_position, MAX_POSITIONS))


def _read_position(value: object) -> frozenset[bytes] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        return frozenset((read_hash(value),))
    if any(item is None for item in value) or not value:
        return None
    return frozenset(read_list(value, read_hash, MAX_TOPICS))


_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "fromBlock": {"type": "string"},
        "toBlock": {"type": "string"},
        "blockHash": {"type": "string"},
        "address": {"description": "one, or an array of them"},
        "topics": {
            "type": "array",
            "maxItems": MAX_POSITIONS,
            "description": "by position: null for any, one, or an array of alternatives",
        },
    },
}
LogFilter = Annotated[
    LogQuery, PlainValidator(read_query), WithJsonSchema(_SCHEMA), Param("addresses, topics and blocks")
]
