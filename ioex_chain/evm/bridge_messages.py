"""What the bridge says in bytes: requests to the PoW chain, deposit proofs (docs/protocol.md section 6.1).

Both forms are closed: one way to write a value, every byte used, nothing empty or zero where a value belongs.
"""

import struct
from dataclasses import dataclass
from typing import Final

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.primitives.errors import DecodeError

WITHDRAW: Final = 0x10
HANDOVER: Final = 0x11
ACCUMULATOR: Final = 0xFF
MAX_MEMBERS: Final = 64
MAX_OUTPUT: Final = 20_000_000 * 10**8
"""PoW units that one output may hold (docs/protocol.md section 1)."""
NO_REQUESTS_YET: Final = bytes(32)
"""The accumulator over nothing."""

HEADER_SIZE: Final = 80
MAX_BRANCH: Final = 14
"""Hashes in a Merkle branch: a block has at most 10,000 transactions."""
MAX_RAW: Final = 32_768
"""Bytes of a transaction that carries a deposit, without its witness (docs/protocol.md section 3)."""

_PROGRAMS = {22: (b"\x00\x14",), 34: (b"\x00\x20", b"\x51\x20")}


class RequestError(DecodeError):
    """Bytes that are no request from the DPoS chain."""


class UnknownRequest(RequestError):
    """Its kind is not in the closed list: 0x10 withdrawal, 0x11 handover."""


class RequestLength(RequestError):
    """It is shorter or longer than its kind."""


class RequestNumber(RequestError):
    """Requests are numbered from 1."""


class RequestAmount(RequestError):
    """An amount of nothing, or more than an output may hold."""


class RequestScript(RequestError):
    """Only P2WPKH, P2WSH and P2TR programs are paid."""


class RequestMembers(RequestError):
    """A set has 1 to 64 members, each an address that is not zero, none of them twice."""


class ProofForm(DecodeError):
    """Bytes that are no deposit proof: too short, too long, or a branch that is too deep."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Request to pay `amount` PoW units, less the settlement's fee, to a 22- or 34-byte output script."""

    number: int
    amount: int
    script: bytes


@dataclass(frozen=True, slots=True)
class Handover:
    """The members (20-byte keys, in the order of the set) of set `set_number`, which may sign from now on."""

    number: int
    set_number: int
    members: tuple[bytes, ...]


Request = Withdraw | Handover


def is_payable(script: bytes) -> bool:
    """Whether a withdrawal may name this output script: P2WPKH, P2WSH or P2TR."""
    return script[:2] in _PROGRAMS.get(len(script), ())


def encode_request(request: Request) -> bytes:
    """Write a request: kind byte, number, amount or set number (uint64, big-endian), script or members."""
    if isinstance(request, Withdraw):
        return struct.pack(">BQQ", WITHDRAW, request.number, request.amount) + request.script
    return struct.pack(">BQQ", HANDOVER, request.number, request.set_number) + b"".join(request.members)


def decode_request(data: bytes) -> Request:
    """Read a request that must use every byte. Raises RequestError."""
    if data[:1] not in (bytes((WITHDRAW,)), bytes((HANDOVER,))):
        raise UnknownRequest(f"a request of kind {data[:1].hex() or 'nothing'}")
    if len(data) < 18:
        raise RequestLength(f"a request of {len(data)} bytes")
    kind, number, value = struct.unpack_from(">BQQ", data)
    if not number:
        raise RequestNumber("request number 0")
    return _withdraw(number, value, data[17:]) if kind == WITHDRAW else _handover(number, value, data[17:])


def _withdraw(number: int, amount: int, script: bytes) -> Withdraw:
    if not 0 < amount <= MAX_OUTPUT:
        raise RequestAmount(f"request {number} is for {amount} units")
    if len(script) not in _PROGRAMS:
        raise RequestLength(f"request {number} has a script of {len(script)} bytes")
    if not is_payable(script):
        raise RequestScript(f"request {number} pays {script.hex()}")
    return Withdraw(number, amount, script)


def _handover(number: int, set_number: int, keys: bytes) -> Handover:
    if not set_number:
        raise RequestNumber(f"request {number} hands over to set 0, which genesis made")
    if len(keys) % 20:
        raise RequestLength(f"request {number} has {len(keys)} bytes of members")
    members = tuple(keys[at : at + 20] for at in range(0, len(keys), 20))
    if not 0 < len(members) <= MAX_MEMBERS or len(set(members)) < len(members) or bytes(20) in members:
        raise RequestMembers(f"request {number} has {len(members)} members, or one twice, or a zero one")
    return Handover(number, set_number, members)


def accumulate(accumulator: bytes, request: bytes) -> bytes:
    """Give the accumulator after one more request (its bytes): keccak256(accumulator || request)."""
    return keccak256(accumulator + request)


def accumulator_request(count: int, accumulator: bytes) -> bytes:
    """Give the last item of every block's request list: ff, drained requests (uint64), their accumulator."""
    return struct.pack(">BQ", ACCUMULATOR, count) + accumulator


def decode_accumulator(data: bytes) -> tuple[int, bytes]:
    """Read the last item of a block's request list: (count, accumulator). Raises RequestError."""
    if data[:1] != bytes((ACCUMULATOR,)):
        raise UnknownRequest("a block's list of requests ends with its accumulator")
    if len(data) != 41:
        raise RequestLength(f"an accumulator of {len(data)} bytes")
    count = int.from_bytes(data[1:9], "big")
    if (count == 0) != (data[9:] == NO_REQUESTS_YET):
        raise RequestNumber("only the accumulator of no requests is zero")
    return count, data[9:]


@dataclass(frozen=True, slots=True)
class DepositProof:
    """That output `vout` of a transaction stands in a block; nothing in it is taken on anybody's word.

    `header` are the block's 80 bytes, `index` the transaction's place, `branch` the 32-byte siblings, lowest
    first, `raw` the transaction without its witness.
    """

    header: bytes
    index: int
    branch: tuple[bytes, ...]
    vout: int
    raw: bytes


def encode_proof(proof: DepositProof) -> bytes:
    """Write a proof: header, index (uint32 big-endian), depth (1 byte), branch, vout (uint32), raw."""
    head = proof.header + struct.pack(">IB", proof.index, len(proof.branch))
    return head + b"".join(proof.branch) + struct.pack(">I", proof.vout) + proof.raw


def decode_proof(data: bytes) -> DepositProof:
    """Read a proof; what follows `vout` is the transaction. Raises ProofForm."""
    start = HEADER_SIZE + 5
    if len(data) < start + 4:
        raise ProofForm(f"a deposit proof of {len(data)} bytes")
    index, depth = struct.unpack_from(">IB", data, HEADER_SIZE)
    if depth > MAX_BRANCH:
        raise ProofForm(f"a branch of {depth} hashes, at most {MAX_BRANCH}")
    end = start + 32 * depth
    raw = data[end + 4 :]
    if not 0 < len(raw) <= MAX_RAW:
        raise ProofForm(f"a deposit proof with {len(raw)} bytes of transaction, 1 to {MAX_RAW}")
    branch = tuple(data[at : at + 32] for at in range(start, end, 32))
    return DepositProof(data[:HEADER_SIZE], index, branch, int.from_bytes(data[end : end + 4], "big"), raw)
