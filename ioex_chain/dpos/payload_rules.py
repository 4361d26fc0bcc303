"""What a payload may hold (docs/protocol.md section 4), as far as it is checked without state."""

from ioex_chain.dpos import certificates, errors, evidence, vote_errors
from ioex_chain.dpos.block import MAX_DEPOSIT_PROOF_SIZE, MAX_POW_HEADER_SIZE, Payload
from ioex_chain.dpos.evidence import Offence
from ioex_chain.dpos.finality_ports import Signatures
from ioex_chain.dpos.records import DposEntry, Record, Records
from ioex_chain.dpos.seal import BadSignature
from ioex_chain.dpos.votes import Certificate, Checkpoint, Evidence
from ioex_chain.spec.model import DposSpec

_VERSION_BIT = 1 << 8
_PLAIN_SIZE = 80
"""Bytes of a PoW header without an AuxPoW record."""


def check_counts(spec: DposSpec, payload: Payload) -> None:
    """Check numbers and sizes of items.

    Raises TooMuchEvidence, TooManyPowHeaders, TooManyDepositProofs, PowHeaderMalformed,
    DepositProofMalformed.
    """
    if len(payload.evidence) > spec.max_evidence:
        raise errors.TooMuchEvidence(f"{len(payload.evidence)} items, at most {spec.max_evidence}")
    merged = sum(map(is_merged, payload.pow_headers))
    if len(payload.pow_headers) > spec.max_pow_headers or merged > spec.max_merged_headers:
        raise errors.TooManyPowHeaders(
            f"{len(payload.pow_headers)} PoW headers, {merged} of them merged-mined"
        )
    if len(payload.deposit_proofs) > spec.max_deposit_proofs:
        raise errors.TooManyDepositProofs(f"{len(payload.deposit_proofs)} deposit proofs")
    for header in payload.pow_headers:
        check_pow_header(header)
    for proof in payload.deposit_proofs:
        check_deposit_proof(proof)


def is_merged(header: bytes) -> bool:
    """Whether a PoW header says that an AuxPoW record follows (version bit 8)."""
    return bool(int.from_bytes(header[:4], "little") & _VERSION_BIT)


def check_pow_header(header: bytes) -> None:
    """Check an item's length; its content is the light client's to judge. Raises PowHeaderMalformed."""
    size = len(header)
    if size > MAX_POW_HEADER_SIZE or size < _PLAIN_SIZE or (size > _PLAIN_SIZE) != is_merged(header):
        what = "merged-mined" if is_merged(header) else "plain"
        raise errors.PowHeaderMalformed(f"a {what} PoW header of {size} bytes")


def check_deposit_proof(proof: bytes) -> None:
    """Check an item's length. Raises DepositProofMalformed."""
    if len(proof) > MAX_DEPOSIT_PROOF_SIZE:
        raise errors.DepositProofMalformed(f"{len(proof)} bytes, at most {MAX_DEPOSIT_PROOF_SIZE}")


def check_certificate(
    certificate: Certificate, parent: DposEntry, records: Records, signatures: Signatures
) -> None:
    """Check the certificate of a block on `parent`. Raises PayloadError's subclasses.

    Its target is the parent or an ancestor of it above the justified block that the parent records; its
    source is the justified block that the target records, so that it can only be justified from there; its
    votes are those of at least a quorum of the set in force at the target, and of the one before while it
    gives way.
    """
    link = certificate.link
    target = _target(link.target, parent, records.require(parent))
    record = records.require(target)
    if link.source != record.justified:
        raise errors.CertificateSource(f"the target records {record.justified.height} as justified")
    members = records.in_force(target, record)
    if link.set_number != members.number:
        raise errors.CertificateSet(f"set {members.number} is in force at the target, not {link.set_number}")
    try:
        certificates.check(certificate, members, signatures)
    except vote_errors.NoQuorum as error:
        raise errors.CertificateQuorum(str(error)) from error
    except vote_errors.WrongMember as error:
        raise errors.CertificateSignature(str(error)) from error
    except vote_errors.InvalidCertificate as error:
        raise errors.CertificateSigners(str(error)) from error


def _target(point: Checkpoint, parent: DposEntry, record: Record) -> DposEntry:
    if not record.justified.height < point.height <= parent.height:
        raise errors.CertificateTarget(
            f"target height {point.height} is not in {record.justified.height + 1} to {parent.height}"
        )
    found = parent
    while found.height > point.height:
        below = found.parent
        if below is None:
            break
        found = below
    if found.hash != point.hash:
        raise errors.CertificateTarget("the target is not an ancestor of the block")
    return found


def recorded(record: Record, certificate: Certificate | None) -> tuple[Checkpoint, Checkpoint]:
    """Give the justified and the finalised block that a block with this certificate records.

    The target becomes justified; the source becomes final when the target is its direct child.
    """
    if certificate is None:
        return record.justified, record.finalised
    source, target = certificate.link.source, certificate.link.target
    final = target.height == source.height + 1 and source.height > record.finalised.height
    return target, source if final else record.finalised


def offences(items: tuple[Evidence, ...], signatures: Signatures) -> list[Offence]:
    """Check every item and give what it proves. Raises EvidenceProvesNothing, EvidenceRepeated."""
    found: list[Offence] = []
    for item in items:
        try:
            one = evidence.offence(item, signatures)
        except (vote_errors.InvalidEvidence, BadSignature) as error:
            raise errors.EvidenceProvesNothing(str(error)) from error
        if any(one.key == other.key for other in found):
            raise errors.EvidenceRepeated(f"two items are against 0x{one.key.hex()}")
        found.append(one)
    return found
