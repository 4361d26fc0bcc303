"""Does the code at an address come from this artefact? Says exactly what is equal and what is not.

Compared are the code that stands there, with the values that the constructor wrote into it (immutables) and
the metadata that solc appends taken apart, and, where the creating transaction is known, the code that it
ran: equal creation code means equal everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.wallet.abi import constructor, decode_values
from ioex_chain.wallet.artefacts import Artefact
from ioex_chain.wallet.contract_errors import InvalidAbi

EXACT, CODE, NONE = "exact", "code", "none"
"""Verdicts: all bytes; all but metadata (a hash of comments and file names); different code."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was compared. `match` is the verdict on the code at the address."""

    match: str
    notes: tuple[str, ...]
    code_hash: str
    immutables: Mapping[str, str] = field(default_factory=dict)
    """Values that stand in the code at the address, 0x text."""
    metadata: str = "none"
    """`same`, `differs`, or `none` when neither code has any."""
    creation: str = "unknown"
    """`exact`, `code`, `differs`, or `unknown` without the creating transaction."""
    constructor_arguments: tuple[Any, ...] | None = None
    """Decoded from the creating transaction when its code is equal."""

    @property
    def is_verified(self) -> bool:
        """Whether the code at the address does what the artefact's source says."""
        return self.match != NONE and self.creation != "differs"


def verify(
    artefact: Artefact,
    deployed: bytes,
    creation_input: bytes | None = None,
    libraries: Mapping[str, bytes] | None = None,
) -> Verdict:
    """Compare the code at an address, and its creating transaction's input, with an artefact.

    Raises LibrariesMissing, NotDeployable.
    """
    expected = artefact.runtime_code(libraries)
    notes: list[str] = []
    if expected:
        match, metadata, immutables = _compare_runtime(artefact, expected, deployed, notes)
    else:
        match, metadata, immutables = NONE, "none", {}
        notes.append("the artefact does not hold the deployed code; compile it with deployedBytecode")
    made, arguments = _compare_creation(artefact, creation_input, libraries, notes)
    return Verdict(
        match, tuple(notes), "0x" + keccak256(deployed).hex(), immutables, metadata, made, arguments
    )


def _compare_runtime(
    artefact: Artefact, expected: bytes, deployed: bytes, notes: list[str]
) -> tuple[str, str, dict[str, str]]:
    appended = sum(length for one in artefact.immutables if one.appended for _, length in one.places)
    extra = len(deployed) - len(expected)
    if not appended and extra > 0 and extra % 32 == 0 and artefact.compiler.get("language") == "Vyper":
        # Standard JSON does not name a Vyper contract's immutables; they stand behind its code.
        appended = extra
        notes.append(
            f"{extra} bytes behind the code were taken for immutables that the artefact does not name"
        )
    body = deployed[: len(deployed) - appended] if appended else deployed
    values = _immutables(artefact, deployed, len(expected))
    wanted, found = _masked(artefact, expected), _masked(artefact, body)
    if _is_library(expected):  # a library's code holds its own address (Solidity's call protection)
        found, wanted = found[:1] + bytes(20) + found[21:], wanted[:1] + bytes(20) + wanted[21:]
        notes.append("a library: its own address in the code was left out")
    (code, meta), (found_code, found_meta) = split_metadata(wanted), split_metadata(found)
    metadata = "none" if not meta and not found_meta else "same" if meta == found_meta else "differs"
    if found == wanted:
        return EXACT, metadata, values
    if code == found_code:
        notes.append("the metadata differs: comments, file names or compiler settings without effect")
        return CODE, metadata, values
    notes.append(_difference(code, found_code))
    return NONE, metadata, values if len(found) == len(wanted) else {}


def _is_library(code: bytes) -> bool:
    return code[:1] == b"\x73" and code[1:21] == bytes(20)


def _masked(artefact: Artefact, code: bytes) -> bytes:
    """Put zeros where immutables stand inside the code (solc)."""
    masked = bytearray(code)
    for one in artefact.immutables:
        for start, length in () if one.appended else one.places:
            masked[start : start + length] = bytes(len(masked[start : start + length]))
    return bytes(masked)


def _immutables(artefact: Artefact, deployed: bytes, size: int) -> dict[str, str]:
    """Give the values; those that solc names only by the number of its syntax tree keep that name."""
    found = {}
    for one in artefact.immutables:
        start, length = one.places[0]
        value = (
            deployed[start + size : start + size + length]
            if one.appended
            else deployed[start : start + length]
        )
        if len(value) == length:
            found[one.name] = "0x" + value.hex()
    return found


def split_metadata(code: bytes) -> tuple[bytes, bytes]:
    """Part a code from the CBOR map that solc appends, whose length is in the last two bytes."""
    size = int.from_bytes(code[-2:], "big")
    tail = code[-2 - size :]
    is_map = len(code) > size + 2 and size > 4 and tail[:1] in (b"\xa1", b"\xa2", b"\xa3", b"\xa4")
    known = any(word in tail for word in (b"dsolc", b"dipfs", b"ebzzr"))
    return (code[: -2 - size], tail) if is_map and known else (code, b"")


def _difference(expected: bytes, found: bytes) -> str:
    if len(expected) != len(found):
        return f"the code differs: {len(found)} bytes at the address, {len(expected)} in the artefact"
    places = [place for place, pair in enumerate(zip(expected, found, strict=True)) if pair[0] != pair[1]]
    return f"the code differs in {len(places)} of {len(found)} bytes, first at {places[0]}"


def _compare_creation(
    artefact: Artefact,
    given: bytes | None,
    libraries: Mapping[str, bytes] | None,
    notes: list[str],
) -> tuple[str, tuple[Any, ...] | None]:
    if given is None:
        notes.append("the creating transaction is not known: give --transaction to compare what it ran")
        return "unknown", None
    expected = artefact.creation_code(libraries)
    found, rest = given[: len(expected)], given[len(expected) :]
    verdict = EXACT if found == expected else CODE if _same_but_metadata(expected, found) else "differs"
    if verdict == "differs":
        notes.append("the creating transaction ran other code, or was sent to a factory")
        return verdict, None
    maker = constructor(artefact.abi)
    try:
        return verdict, tuple(decode_values(maker.inputs, rest)) if maker.inputs else ()
    except InvalidAbi:
        notes.append("the creating transaction's arguments do not fit the constructor")
        return "differs", None


def _same_but_metadata(expected: bytes, found: bytes) -> bool:
    """Whether two creation codes of one length differ in nothing but the metadata inside them."""
    code, meta = split_metadata(expected)
    return bool(meta) and len(found) == len(expected) and found[: len(code)] == code
