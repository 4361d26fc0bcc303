"""The exact bytes of this chain's structures (docs/protocol.md section 4), all RLP in its one strict form.

Integers are big-endian without leading zeros, at most 8 bytes (amounts and base fee 32).

    header       the 21 fields of Ethereum's Prague header, in its order
    sealed       [header, seal]                            seal: 65 bytes, empty in genesis only
    block        [header, seal, transactions, withdrawals, payload]
    transaction  type 0: its list; types 1, 2, 4: the byte string type || rlp(...)    (EIP-2718)
    withdrawal   [index, validator index, 20-byte address, amount in gwei]             (EIP-4895)
    payload      [certificate or empty string, [evidence...], [PoW header...], [deposit proof...]]
    link         [set number, source hash, source height, target hash, target height]
    vote         [link, signature]
    certificate  [link, signers, signatures]     signers: bit i for member i, as an integer of <= 16 bytes;
                                                 signatures: 65 bytes each in rising order of i, joined
    evidence     [1, sealed, sealed] or [2, vote, vote]

Every decoder raises DecodeError, and refuses what is above a cap before it allocates anything for it.
"""

from collections.abc import Callable, Sequence

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos.block import MAX_DEPOSIT_PROOF_SIZE, MAX_POW_HEADER_SIZE, Block, Payload
from ioex_chain.dpos.header import SEAL_SIZE, Header, SealedHeader
from ioex_chain.dpos.votes import Certificate, Checkpoint, Evidence, Link, SealEvidence, Vote, VoteEvidence
from ioex_chain.evm.types import Transaction, Withdrawal
from ioex_chain.ledger.types import Codec
from ioex_chain.primitives import rlp
from ioex_chain.primitives.errors import OverCap
from ioex_chain.primitives.rlp import Span, WrongShape
from ioex_chain.primitives.types import BlockHash

MAX_BLOCK_SIZE = 8_000_000
"""Bytes of a block: a cap of the format; a spec may ask for less, not for more."""
MAX_TRANSACTIONS = 10_000
MAX_WITHDRAWALS = 16
MAX_EVIDENCE = 64
MAX_POW_HEADERS = 64
MAX_DEPOSIT_PROOFS = 16
MAX_HEADER_SIZE = 1_024
"""Bytes of rlp([header, seal]); real ones have about 700."""
MAX_VOTERS = 128
"""`signers` is an integer of at most 16 bytes: two sets vote together while one gives way to the other."""
SIGNATURE_SIZE = 65
_SEAL_EVIDENCE, _VOTE_EVIDENCE = 1, 2

DecodeTransaction = Callable[[bytes], Transaction]
"""Reads a transaction's EIP-2718 bytes; a node passes one that knows the pool's transactions by heart."""

# Sizes of the header's fields: a number for a byte string of that length, a negative one for an integer of
# at most that many bytes, None for extraData.
_HEADER_FORM: tuple[int | None, ...] = (
    *(32, 32, 20, 32, 32, 32, 256, -32, -8, -8, -8, -8, None, 32, 8, -32, 32, -8, -8, 32, 32),
)


def _fixed(data: bytes, size: int, what: str) -> bytes:
    if len(data) != size:
        raise WrongShape(f"{what} has {size} bytes, not {len(data)}")
    return data


def _fields(data: bytes, item: Span, count: int, what: str) -> list[Span]:
    found = rlp.items(data, item, count)
    if len(found) != count:
        raise WrongShape(f"{what} has {count} fields, not {len(found)}")
    return found


def _hash(data: bytes, item: Span, what: str) -> BlockHash:
    return BlockHash(_fixed(rlp.string(data, item), 32, what))


def _uint(data: bytes, item: Span) -> int:
    return rlp.integer(rlp.string(data, item))


# --- headers ---------------------------------------------------------------------------------------------


def _header(data: bytes, item: Span) -> Header:
    if item.end - item.at > MAX_HEADER_SIZE:
        raise OverCap(f"a header has at most {MAX_HEADER_SIZE} bytes")
    values: list[bytes | int] = []
    for form, field in zip(_HEADER_FORM, _fields(data, item, len(_HEADER_FORM), "a header"), strict=True):
        value = rlp.string(data, field)
        if form is None:
            values.append(value)
        elif form < 0:
            values.append(rlp.integer(value, -form))
        else:
            values.append(_fixed(value, form, "a header's field"))
    return Header(*values)  # type: ignore[arg-type]  # the form above gives each field its type


def _seal(data: bytes, item: Span) -> bytes:
    seal = rlp.string(data, item)
    return _fixed(seal, SEAL_SIZE, "a seal") if seal else seal


def _sealed(data: bytes, item: Span) -> SealedHeader:
    header, seal = _fields(data, item, 2, "a sealed header")
    return SealedHeader(_header(data, header), _seal(data, seal))


def decode_header(data: bytes) -> Header:
    """Read a header without its seal."""
    return _header(data, rlp.whole(data))


def encode_header(header: Header) -> bytes:
    """Write a header without its seal: what its hash is over."""
    return header.encode()


def decode_sealed_header(data: bytes) -> SealedHeader:
    """Read rlp([header, seal]): the ledger's and the peers' form of a header."""
    if len(data) > MAX_HEADER_SIZE:
        raise OverCap(f"a sealed header has at most {MAX_HEADER_SIZE} bytes, not {len(data)}")
    return _sealed(data, rlp.whole(data))


def encode_sealed_header(sealed: SealedHeader) -> bytes:
    """Write rlp([header, seal])."""
    return sealed.encode()


# --- votes, certificates, evidence -----------------------------------------------------------------------


def _link(data: bytes, item: Span) -> Link:
    number, source, source_height, target, target_height = _fields(data, item, 5, "a link")
    return Link(
        _uint(data, number),
        Checkpoint(_hash(data, source, "a source"), _uint(data, source_height)),
        Checkpoint(_hash(data, target, "a target"), _uint(data, target_height)),
    )


def _encode_link(link: Link) -> bytes:
    return rlp.encode(
        [
            rlp.encode_integer(link.set_number),
            link.source.hash,
            rlp.encode_integer(link.source.height),
            link.target.hash,
            rlp.encode_integer(link.target.height),
        ]
    )


def _vote(data: bytes, item: Span) -> Vote:
    link, signature = _fields(data, item, 2, "a vote")
    return Vote(_link(data, link), _fixed(rlp.string(data, signature), SIGNATURE_SIZE, "a signature"))


def decode_vote(data: bytes) -> Vote:
    """Read a vote."""
    return _vote(data, rlp.whole(data))


def encode_vote(vote: Vote) -> bytes:
    """Write a vote."""
    return rlp.encode_list([_encode_link(vote.link), rlp.encode_string(vote.signature)])


def _certificate(data: bytes, item: Span) -> Certificate:
    link, signers, joined = _fields(data, item, 3, "a certificate")
    bits = rlp.integer(rlp.string(data, signers), MAX_VOTERS // 8)
    signatures = rlp.string(data, joined)
    _fixed(signatures, bits.bit_count() * SIGNATURE_SIZE, f"the row of {bits.bit_count()} signatures")
    parts = [signatures[at : at + SIGNATURE_SIZE] for at in range(0, len(signatures), SIGNATURE_SIZE)]
    return Certificate(_link(data, link), bits, tuple(parts))


def decode_certificate(data: bytes) -> Certificate:
    """Read a certificate."""
    return _certificate(data, rlp.whole(data))


def encode_certificate(certificate: Certificate) -> bytes:
    """Write a certificate."""
    signers = rlp.encode_string(rlp.encode_integer(certificate.signers))
    signatures = rlp.encode_string(b"".join(certificate.signatures))
    return rlp.encode_list([_encode_link(certificate.link), signers, signatures])


def _evidence(data: bytes, item: Span) -> Evidence:
    kind, one, other = _fields(data, item, 3, "evidence")
    number = _uint(data, kind)
    if number == _SEAL_EVIDENCE:
        return SealEvidence(_sealed(data, one), _sealed(data, other))
    if number == _VOTE_EVIDENCE:
        return VoteEvidence(_vote(data, one), _vote(data, other))
    raise WrongShape(f"evidence is of kind 1 or 2, not {number}")


def decode_evidence(data: bytes) -> Evidence:
    """Read a piece of evidence."""
    return _evidence(data, rlp.whole(data))


def encode_evidence(evidence: Evidence) -> bytes:
    """Write a piece of evidence."""
    if isinstance(evidence, SealEvidence):
        pair = [encode_sealed_header(evidence.one), encode_sealed_header(evidence.other)]
        return rlp.encode_list([bytes((_SEAL_EVIDENCE,)), *pair])
    return rlp.encode_list([bytes((_VOTE_EVIDENCE,)), encode_vote(evidence.one), encode_vote(evidence.other)])


# --- payload and block -----------------------------------------------------------------------------------


def _payload(data: bytes, item: Span) -> Payload:
    certificate, evidence, headers, proofs = _fields(data, item, 4, "a payload")
    found = None
    if certificate.is_list:
        found = _certificate(data, certificate)
    elif certificate.end != certificate.at + 1 or data[certificate.at] != 0x80:
        raise WrongShape("a certificate that is absent is the empty string")
    return Payload(
        found,
        tuple(_evidence(data, one) for one in rlp.items(data, evidence, MAX_EVIDENCE)),
        _strings(data, headers, MAX_POW_HEADERS, MAX_POW_HEADER_SIZE),
        _strings(data, proofs, MAX_DEPOSIT_PROOFS, MAX_DEPOSIT_PROOF_SIZE),
    )


def _strings(data: bytes, item: Span, count: int, size: int) -> tuple[bytes, ...]:
    """Read a list of at most `count` byte strings of at most `size` bytes."""
    spans = rlp.items(data, item, count)
    for one in spans:
        if one.end - one.start > size:
            raise OverCap(f"an item of a payload has at most {size} bytes, not {one.end - one.start}")
    return tuple(rlp.string(data, one) for one in spans)


def decode_payload(data: bytes) -> Payload:
    """Read a payload."""
    return _payload(data, rlp.whole(data))


def encode_payload(payload: Payload) -> bytes:
    """Write a payload: what `parentBeaconBlockRoot` is the keccak256 of."""
    certificate = payload.certificate
    return rlp.encode_list(
        [
            b"\x80" if certificate is None else encode_certificate(certificate),
            rlp.encode_list([encode_evidence(one) for one in payload.evidence]),
            rlp.encode(list(payload.pow_headers)),
            rlp.encode(list(payload.deposit_proofs)),
        ]
    )


def payload_root(payload: Payload) -> bytes:
    """Give what the header of a block with this payload has as `parentBeaconBlockRoot`."""
    return keccak256(encode_payload(payload))


def _withdrawal(data: bytes, item: Span) -> Withdrawal:
    index, validator, address, amount = _fields(data, item, 4, "a withdrawal")
    return Withdrawal(
        _uint(data, index),
        _uint(data, validator),
        _fixed(rlp.string(data, address), 20, "an address"),
        _uint(data, amount),
    )


def decode_withdrawals(data: bytes) -> tuple[Withdrawal, ...]:
    """Read a list of withdrawals."""
    return _withdrawals(data, rlp.whole(data))


def _withdrawals(data: bytes, item: Span) -> tuple[Withdrawal, ...]:
    return tuple(_withdrawal(data, one) for one in rlp.items(data, item, MAX_WITHDRAWALS))


def encode_withdrawal(withdrawal: Withdrawal) -> bytes:
    """Write a withdrawal: also its leaf in the withdrawals trie (EIP-4895)."""
    return rlp.encode(
        [
            rlp.encode_integer(withdrawal.index),
            rlp.encode_integer(withdrawal.validator_index),
            withdrawal.address,
            rlp.encode_integer(withdrawal.amount),
        ]
    )


def encode_withdrawals(withdrawals: Sequence[Withdrawal]) -> bytes:
    """Write a list of withdrawals."""
    return rlp.encode_list([encode_withdrawal(one) for one in withdrawals])


def encode_withdrawals_and_payload(withdrawals: Sequence[Withdrawal], payload: Payload) -> bytes:
    """Write rlp([withdrawals, payload]): item 0 of a compact block (docs/protocol.md section 9.4)."""
    return rlp.encode_list([encode_withdrawals(withdrawals), encode_payload(payload)])


def decode_withdrawals_and_payload(data: bytes) -> tuple[tuple[Withdrawal, ...], Payload]:
    """Read what `encode_withdrawals_and_payload` wrote."""
    withdrawals, payload = _fields(data, rlp.whole(data), 2, "item 0 of a compact block")
    return _withdrawals(data, withdrawals), _payload(data, payload)


def _transaction_bytes(data: bytes, item: Span) -> bytes:
    if item.is_list:
        return data[item.at : item.end]
    if item.start == item.end or data[item.start] > 0x7F:
        raise WrongShape("a transaction in a byte string begins with its type, 0x00 to 0x7f")
    return data[item.start : item.end]


def _transaction_item(raw: bytes) -> bytes:
    return raw if raw[0] >= 0xC0 else rlp.encode_string(raw)


def encode_block(
    sealed: SealedHeader,
    transactions: Sequence[bytes],
    withdrawals: Sequence[Withdrawal],
    payload: Payload,
) -> bytes:
    """Write a block; transactions are given by their EIP-2718 bytes."""
    return rlp.encode_list(
        [
            encode_header(sealed.header),
            rlp.encode_string(sealed.seal),
            rlp.encode_list([_transaction_item(raw) for raw in transactions]),
            encode_withdrawals(withdrawals),
            encode_payload(payload),
        ]
    )


def make_block(
    sealed: SealedHeader,
    transactions: Sequence[Transaction],
    withdrawals: Sequence[Withdrawal],
    payload: Payload,
) -> Block:
    """Put a block together, with its bytes."""
    raw = encode_block(sealed, [tx.raw for tx in transactions], withdrawals, payload)
    return Block(sealed, tuple(transactions), tuple(withdrawals), payload, raw)


def decode_block(data: bytes, decode_transaction: DecodeTransaction) -> Block:
    """Read a block of at most 8,000,000 bytes and 10,000 transactions; `raw` of the result is `data`."""
    if len(data) > MAX_BLOCK_SIZE:
        raise OverCap(f"a block has at most {MAX_BLOCK_SIZE} bytes, not {len(data)}")
    header, seal, transactions, withdrawals, payload = _fields(data, rlp.whole(data), 5, "a block")
    sealed = SealedHeader(_header(data, header), _seal(data, seal))
    spans = rlp.items(data, transactions, MAX_TRANSACTIONS)
    return Block(
        sealed,
        tuple([decode_transaction(_transaction_bytes(data, one)) for one in spans]),
        _withdrawals(data, withdrawals),
        _payload(data, payload),
        data,
    )


def block_codec(decode_transaction: DecodeTransaction) -> Codec[SealedHeader, Block]:
    """Give the two decoders that the ledger of this chain works with."""
    return Codec(decode_sealed_header, lambda data: decode_block(data, decode_transaction))
