"""What the PoW chain believes of the DPoS chain, and why: a light client without state (section 6.2).

A block is final when its direct child has a certificate from it. Here that is shown from nothing but two
headers, the signatures, and the sets whose word is taken; all else is hashes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ioex_chain.dpos import codec
from ioex_chain.dpos.finality_ports import RecoveredSignatures, RememberedSignatures
from ioex_chain.dpos.header import Header
from ioex_chain.dpos.pow_facts import requests_hash
from ioex_chain.dpos.seal import BadSignature
from ioex_chain.dpos.sets import ArbitratorSet, Member, quorum_of
from ioex_chain.dpos.votes import Checkpoint, Link, Vote
from ioex_chain.evm.bridge_messages import (
    Request,
    RequestError,
    RequestMembers,
    UnknownRequest,
    accumulate,
    accumulator_request,
    decode_request,
)
from ioex_chain.pow import reserve_errors as errors
from ioex_chain.pow.reserve import NumberedSet, ReserveState
from ioex_chain.primitives import rlp
from ioex_chain.primitives.errors import DecodeError

MAX_REQUESTS = 100_000
"""More than fit into a block: a cap of the format."""
_LEAST_ITEM = 40
"""Bytes that the smallest request takes in a list: one of smaller items is refused before it is read."""
_SMALL_ITEMS = 16
"""So many smaller ones are told by what is wrong with them."""
_SIGNER_BYTES = codec.MAX_VOTERS // 8
_REMEMBERED = 2_048
"""Signatures whose key is not worked out twice: pool, template and block ask for the same ones."""


class Votes(NamedTuple):
    """What a settlement shows of a certificate: its link is not told, it follows from the headers."""

    set_number: int
    signers: int
    """Bit i for voter i."""
    signatures: tuple[bytes, ...]
    """65 bytes each, in rising order of bits."""

    def encode(self) -> bytes:
        """Give rlp([set number, signers, signatures joined])."""
        number, signers = rlp.encode_integer(self.set_number), rlp.encode_integer(self.signers)
        return rlp.encode([number, signers, b"".join(self.signatures)])

    @classmethod
    def decode(cls, data: bytes) -> "Votes":
        """Read it in its one strict form. Raises CertificateUnreadable, SignatureCount."""
        try:
            fields = rlp.items(data, rlp.whole(data), 3)
            if len(fields) != 3:
                raise errors.CertificateUnreadable(f"a certificate here has 3 fields, not {len(fields)}")
            number, signers, joined = (rlp.string(data, field) for field in fields)
            set_number, bits = rlp.integer(number), rlp.integer(signers, _SIGNER_BYTES)
        except DecodeError as error:
            raise errors.CertificateUnreadable(f"the certificate: {error}") from error
        size = codec.SIGNATURE_SIZE
        if len(joined) != bits.bit_count() * size:
            raise errors.SignatureCount(f"{bits.bit_count()} signers and {len(joined)} bytes of signatures")
        return cls(set_number, bits, tuple(joined[at : at + size] for at in range(0, len(joined), size)))


def read_final(first: bytes, second: bytes) -> tuple[Header, Link]:
    """Read a header and its child; give the first, and the link whose certificate makes it final.

    The link's set number is left at 0. Raises HeaderUnreadable, NotItsChild, WrongHeights.
    """
    try:
        final, child = codec.decode_header(first), codec.decode_header(second)
    except DecodeError as error:
        raise errors.HeaderUnreadable(f"a header: {error}") from error
    if child.parent_hash != final.hash:
        raise errors.NotItsChild("the second header's parent is not the first header")
    if child.number != final.number + 1:
        raise errors.WrongHeights(f"a header of height {child.number} on one of height {final.number}")
    source, target = Checkpoint(final.hash, final.number), Checkpoint(child.hash, child.number)
    return final, Link(0, source, target)


def voters_of(state: ReserveState, number: int) -> ArbitratorSet:
    """Give who must have signed for set `number` to be believed.

    The current set speaks for itself; one that was handed over only together with the current one. Raises
    ForgottenSet, UnknownSet.
    """
    current = state.current
    if number == current.number:
        return ArbitratorSet(number, _members(current))
    if number < current.number:
        raise errors.ForgottenSet(f"set {number} gave way: set {current.number} is in force here")
    for known in state.pending:
        if known.number == number:
            return ArbitratorSet(number, _members(known), _members(current))
    raise errors.UnknownSet(f"set {number} was not handed over by an earlier settlement")


def _members(known: NumberedSet) -> tuple[Member, ...]:
    return tuple([Member(key, b"") for key in known.members])


class Electorate:
    """Checks who signed, on the DPoS chain with this genesis hash (32 bytes)."""

    def __init__(self, genesis: bytes) -> None:
        self.genesis = genesis
        self._signatures = RememberedSignatures(RecoveredSignatures(genesis), _REMEMBERED)

    def signer(self, link: Link, signature: bytes) -> bytes:
        """Give the 20-byte key that signed a link. Raises BadSignature."""
        return self._signatures.voter(Vote(link, signature))

    def check(self, votes: Votes, link: Link, voters: ArbitratorSet) -> None:
        """Check signers, quorum and signatures, cheap ones first. Raises SettlementError's subclasses."""
        everyone = voters.voters
        if votes.signers >> len(everyone):
            raise errors.UnknownSigner(f"there are {len(everyone)} voters; a bit beyond them is set")
        keys = [member.key for at, member in enumerate(everyone) if votes.signers >> at & 1]
        _check_quorum(set(keys), voters)
        named = replace(link, set_number=votes.set_number)
        self._check_signatures(votes, named, keys, {member.key for member in everyone})

    def _check_signatures(self, votes: Votes, link: Link, keys: Sequence[bytes], known: set[bytes]) -> None:
        seen: set[bytes] = set()
        for key, signature in zip(keys, votes.signatures, strict=True):
            try:
                signer = self.signer(link, signature)
            except BadSignature as error:
                raise errors.SignatureForm(f"a signature: {error}") from error
            if signer in seen:
                raise errors.DuplicateSigner(f"0x{signer.hex()} has signed for two members")
            if signer not in known:
                raise errors.NotAMember(
                    f"the signature for 0x{key.hex()} is by no voter of set {votes.set_number}: by another "
                    "key, for other blocks, or for another chain"
                )
            if signer != key:
                raise errors.WrongOrder(f"the signature of 0x{signer.hex()} stands at another member's bit")
            seen.add(signer)


def _check_quorum(keys: set[bytes], voters: ArbitratorSet) -> None:
    _count(keys, voters.members, errors.NoQuorum)
    if voters.before:
        _count(keys, voters.before, errors.NoQuorumBefore)


def _count(keys: set[bytes], members: Sequence[Member], error: type[errors.SettlementError]) -> None:
    signed = sum([member.key in keys for member in members])
    if signed < quorum_of(len(members)):
        raise error(f"{signed} of {len(members)} members have signed, {quorum_of(len(members))} must")


# --- requests --------------------------------------------------------------------------------------------


class Requests(NamedTuple):
    """The requests that a settlement settles, in the order of their numbers."""

    own: int
    """How many of them, the last ones, the final block drained itself."""
    raw: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Give rlp([own, [request...]])."""
        items = rlp.encode_list([rlp.encode_string(request) for request in self.raw])
        return rlp.encode_list([rlp.encode_string(rlp.encode_integer(self.own)), items])

    @classmethod
    def decode(cls, data: bytes) -> "Requests":
        """Read it in its one strict form. Raises RequestsUnreadable, WrongOwnCount."""
        try:
            fields = rlp.items(data, rlp.whole(data), 2)
            if len(fields) != 2:
                raise errors.RequestsUnreadable("the requests are [own, [request...]]")
            own = rlp.integer(rlp.string(data, fields[0]))
            spans = rlp.items(data, fields[1], min(MAX_REQUESTS, _SMALL_ITEMS + len(data) // _LEAST_ITEM))
            raw = tuple([rlp.string(data, span) for span in spans])
        except DecodeError as error:
            raise errors.RequestsUnreadable(f"the requests: {error}") from error
        if own > len(raw):
            raise errors.WrongOwnCount(f"{own} of {len(raw)} requests are said to be the final block's own")
        return cls(own, raw)

    def read(self, settled: int) -> list[Request]:
        """Read the requests behind the first `settled` ones.

        Raises RequestSettled, RequestMissing, RequestOrder, and what `read_request` raises.
        """
        found = []
        for expected, raw in enumerate(self.raw, settled + 1):
            request = read_request(raw)
            if request.number != expected:
                raise _misplaced(request.number, expected, settled)
            found.append(request)
        return found

    def accumulate(self, start: bytes) -> bytes:
        """Give the accumulator after them, from the one before them."""
        for request in self.raw:
            start = accumulate(start, request)
        return start

    def check_drained(self, final: Header, count: int, accumulator: bytes) -> None:
        """Check that the final block's requests end with these, and with this accumulator.

        Raises WrongRequestsHash.
        """
        own = self.raw[len(self.raw) - self.own :]
        if requests_hash((*own, accumulator_request(count, accumulator))) != final.requests_hash:
            raise errors.WrongRequestsHash(
                f"the final block's requestsHash is not that of its own {self.own} requests and of the "
                f"accumulator of {count}: one is altered, missing or too many, or they are counted wrong"
            )


def _misplaced(number: int, expected: int, settled: int) -> errors.SettlementError:
    if number <= settled:
        return errors.RequestSettled(f"request {number} was settled: {settled} are")
    if expected == settled + 1:
        return errors.RequestMissing(f"it begins with request {number}, the next one is {expected}")
    return errors.RequestOrder(f"request {number} stands where {expected} belongs")


def read_request(raw: bytes) -> Request:
    """Read a request. Raises UnknownRequestKind, WrongMembers, RequestUnreadable."""
    try:
        return decode_request(raw)
    except UnknownRequest as error:
        raise errors.UnknownRequestKind(str(error)) from error
    except RequestMembers as error:
        raise errors.WrongMembers(str(error)) from error
    except RequestError as error:
        raise errors.RequestUnreadable(str(error)) from error
