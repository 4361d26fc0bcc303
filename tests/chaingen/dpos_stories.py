"""Named blocks that break one rule of docs/protocol.md section 4 each, beside the honest block of the place.

A story is given the scene: a chain with finality, its tip, and an honest block on it; it gives the block that
must be refused, for the class that stands beside it. Blocks are signed by whoever must sign them unless the
signature is the subject.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from chaingen.dpos_forge import KEYS, Forge, make_spec, private_key
from chaingen.dpos_tiny import tiny_transaction
from ioex_chain.crypto.secp256k1 import ORDER
from ioex_chain.dpos import codec, errors, evidence, seal
from ioex_chain.dpos.block import Block, Payload
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.pow_facts import requests_hash
from ioex_chain.dpos.votes import Checkpoint, Link, SealEvidence, VoteEvidence
from ioex_chain.evm.trie import list_root
from ioex_chain.evm.types import Withdrawal
from ioex_chain.primitives.types import BlockHash

SPEC = make_spec(
    4,
    max_block_size=60_000,
    max_block_transactions=20,
    max_withdrawals=4,
    max_evidence=3,
    execution_gas_limit=1_000_000,
)
TX = tiny_transaction(log="aa", n=1)


@dataclass
class Scene:
    forge: Forge
    chain: list[Block]
    """From genesis; the last is the tip, which the forge extends by `honest`."""
    honest: Block
    punished: bytes
    """A member's key with accepted evidence."""

    @property
    def tip(self) -> Block:
        return self.chain[-1]

    @property
    def slot(self) -> int:
        return self.forge.slot(self.honest)

    def sealed(self, block: Block) -> Block:
        """The same content, sealed anew by the slot's producer."""
        key = self.forge.producer_key(self.tip, self.slot)
        header = block.header.header
        return rebuilt(replace(block, header=SealedHeader(header, self.forge.seal(header, key))))

    def header(self, **changes: Any) -> Block:
        header = replace(self.honest.header.header, **changes)
        return self.sealed(replace(self.honest, header=SealedHeader(header, b"")))

    def body(self, **changes: Any) -> Block:
        """Another body, to which the header commits."""
        block = replace(self.honest, **changes)
        header = replace(
            block.header.header,
            transactions_root=list_root([tx.raw for tx in block.transactions]),
            withdrawals_root=list_root([codec.encode_withdrawal(one) for one in block.withdrawals]),
            parent_beacon_root=codec.payload_root(block.payload),
        )
        return self.sealed(replace(block, header=SealedHeader(header, b"")))

    def payload(self, **changes: Any) -> Block:
        return self.body(payload=replace(self.honest.payload, **changes))

    def with_seal(self, signature: bytes) -> Block:
        return rebuilt(replace(self.honest, header=SealedHeader(self.honest.header.header, signature)))

    def certificate(self, **changes: Any) -> Block:
        certificate = self.honest.payload.certificate
        assert certificate is not None
        return self.payload(certificate=replace(certificate, **changes))

    def certificate_for(self, link: Link) -> Block:
        """All members vote for `link`."""
        members = self.forge.members_at(self.tip).members
        signatures = tuple(self.forge.vote(link, KEYS[member.key]).signature for member in members)
        return self.certificate(link=link, signatures=signatures, signers=(1 << len(members)) - 1)

    def link(self) -> Link:
        assert self.honest.payload.certificate is not None
        return self.honest.payload.certificate.link

    def twice(self, private: bytes, number: int = 1) -> SealEvidence:
        """Two headers for one slot by one key."""
        headers = [replace(self.tip.header.header, extra_data=bytes((number, n))) for n in range(2)]
        return evidence.of_seals(*(SealedHeader(one, self.forge.seal(one, private)) for one in headers))

    def guilty(self, number: int = 0) -> bytes:
        """The private key of a member that was not punished yet."""
        members = [member.key for member in self.forge.members_at(self.tip).members]
        return KEYS[[key for key in members if key != self.punished][number]]


def rebuilt(block: Block) -> Block:
    raw = codec.encode_block(
        block.header, [tx.raw for tx in block.transactions], block.withdrawals, block.payload
    )
    return replace(block, raw=raw)


def make_scene() -> Scene:
    forge = Forge(SPEC)
    chain = [forge.genesis, *forge.grow(forge.genesis, 13, final=True)]
    scene = Scene(forge, chain, chain[-1], b"")
    scene.punished = forge.members_at(chain[-1]).members[0].key
    proof = scene.twice(KEYS[scene.punished], 9)
    chain.append(forge.extend(scene.tip, certificate=forge.certificate(scene.tip), evidence=(proof,)))
    scene.honest = forge.make(
        scene.tip, forge.slot(scene.tip) + 2, transactions=[TX], certificate=forge.certificate(scene.tip)
    )
    return scene


def _high_s(signature: bytes) -> bytes:
    s = ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes((signature[64] ^ 1,))


def _of_another_member(scene: Scene) -> Block:
    own = scene.forge.producer_key(scene.tip, scene.slot)
    other = next(KEYS[m.key] for m in scene.forge.members_at(scene.tip).members if KEYS[m.key] != own)
    return scene.with_seal(scene.forge.seal(scene.honest.header.header, other))


def _for_another_network(scene: Scene) -> Block:
    key = scene.forge.producer_key(scene.tip, scene.slot)
    return scene.with_seal(seal.sign(key, seal.seal_digest(bytes(32), scene.honest.header.hash)))


def _quorum(scene: Scene) -> Block:
    certificate = scene.honest.payload.certificate
    assert certificate is not None
    return scene.certificate(signers=0b11, signatures=certificate.signatures[:2])


def _one_vote_many_times(scene: Scene) -> Block:
    certificate = scene.honest.payload.certificate
    assert certificate is not None
    return scene.certificate(signatures=(certificate.signatures[0],) * len(certificate.signatures))


def _stranger_votes(scene: Scene) -> Block:
    certificate = scene.honest.payload.certificate
    assert certificate is not None
    strange = scene.forge.vote(scene.link(), private_key(40)).signature
    return scene.certificate(signatures=(strange, *certificate.signatures[1:]))


def _votes_of_another_network(scene: Scene) -> Block:
    members = scene.forge.members_at(scene.tip).members
    digest = seal.vote_digest(bytes(32), scene.link())
    return scene.certificate(signatures=tuple(seal.sign(KEYS[member.key], digest) for member in members))


def _other_block_as_target(scene: Scene) -> Block:
    link = scene.link()
    side = scene.forge.make(scene.chain[-2], scene.forge.slot(scene.tip) + 1)
    return scene.certificate_for(replace(link, target=scene.forge.checkpoint(side)))


def _justified_as_target(scene: Scene) -> Block:
    target = scene.forge.record(scene.tip).justified
    return scene.certificate_for(replace(scene.link(), target=target))


def _itself_as_target(scene: Scene) -> Block:
    point = Checkpoint(BlockHash(b"\x07" * 32), scene.honest.header.header.number)
    return scene.certificate_for(replace(scene.link(), target=point))


def _older_source(scene: Scene) -> Block:
    source = scene.forge.checkpoint(scene.chain[-4])
    return scene.certificate_for(replace(scene.link(), source=source))


def _same_votes_twice(scene: Scene) -> Block:
    vote = scene.forge.vote(scene.link(), scene.guilty())
    return scene.payload(evidence=(VoteEvidence(vote, vote),))


def _votes_without_conflict(scene: Scene) -> Block:
    link = scene.link()
    higher = replace(link, target=Checkpoint(BlockHash(b"\x08" * 32), link.target.height + 1))
    key = scene.guilty()
    return scene.payload(
        evidence=(evidence.of_votes(scene.forge.vote(link, key), scene.forge.vote(higher, key)),)
    )


def _votes_of_two_keys(scene: Scene) -> Block:
    link = scene.link()
    other = replace(link, target=Checkpoint(BlockHash(b"\x08" * 32), link.target.height))
    votes = scene.forge.vote(link, scene.guilty(0)), scene.forge.vote(other, scene.guilty(1))
    return scene.payload(evidence=(evidence.of_votes(*votes),))


def _wrong_order(scene: Scene) -> Block:
    proof = scene.twice(scene.guilty())
    return scene.payload(evidence=(SealEvidence(proof.other, proof.one),))


def _two_slots(scene: Scene) -> Block:
    key = scene.guilty()
    headers = [scene.chain[-1].header.header, scene.chain[-2].header.header]
    sealed = [SealedHeader(one, scene.forge.seal(one, key)) for one in headers]
    return scene.payload(evidence=(evidence.of_seals(*sealed),))


def _broken_signature(scene: Scene) -> Block:
    proof = scene.twice(scene.guilty())
    return scene.payload(evidence=(replace(proof, one=replace(proof.one, seal=bytes(65))),))


def _twice_one_key(scene: Scene) -> Block:
    key = scene.guilty()
    return scene.payload(evidence=(scene.twice(key, 1), scene.twice(key, 2)))


def _merged(count: int) -> tuple[bytes, ...]:
    return tuple((0x20000100).to_bytes(4, "little") + bytes((n,)) * 77 for n in range(count))


S = TypeVar("S", bound=Scene)
Story = tuple[str, type[Exception], Callable[[S], Block]]

STORIES: tuple[Story[Scene], ...] = (
    # headers
    ("ommers", errors.HasOmmers, lambda s: s.header(ommers_hash=bytes(32))),
    ("difficulty", errors.HasDifficulty, lambda s: s.header(difficulty=1)),
    ("nonce", errors.HasNonce, lambda s: s.header(nonce=b"\0\0\0\0\0\0\0\1")),
    ("blob gas", errors.HasBlobs, lambda s: s.header(blob_gas_used=131_072)),
    ("excess blob gas", errors.HasBlobs, lambda s: s.header(excess_blob_gas=1)),
    ("33 bytes of extra data", errors.ExtraDataTooLong, lambda s: s.header(extra_data=bytes(33))),
    ("number too high", errors.WrongNumber, lambda s: s.header(number=s.honest.header.header.number + 1)),
    ("number of the parent", errors.WrongNumber, lambda s: s.header(number=s.tip.header.header.number)),
    ("gas limit lower", errors.WrongGasLimit, lambda s: s.header(gas_limit=SPEC.dpos.gas_limit - 1)),
    ("gas limit higher", errors.WrongGasLimit, lambda s: s.header(gas_limit=SPEC.dpos.gas_limit + 1)),
    (
        "more gas used than there is",
        errors.GasUsedAboveLimit,
        lambda s: s.header(gas_used=SPEC.dpos.gas_limit + 1),
    ),
    ("base fee higher", errors.WrongBaseFee, lambda s: s.header(base_fee=SPEC.dpos.min_base_fee + 1)),
    (
        "base fee below the floor",
        errors.WrongBaseFee,
        lambda s: s.header(base_fee=SPEC.dpos.min_base_fee - 1),
    ),
    (
        "a second after the slot's start",
        errors.NotASlotStart,
        lambda s: s.header(timestamp=s.honest.header.header.timestamp + 1),
    ),
    (
        "the parent's slot",
        errors.SlotNotAfterParent,
        lambda s: s.header(timestamp=s.tip.header.header.timestamp),
    ),
    (
        "a slot before the parent's",
        errors.SlotNotAfterParent,
        lambda s: s.header(timestamp=s.chain[-2].header.header.timestamp),
    ),
    (
        "a slot that has not begun",
        errors.SlotAhead,
        lambda s: s.header(timestamp=s.forge.schedule.slot_start(s.slot + 1)),
    ),
    ("seed", errors.WrongSeed, lambda s: s.header(mix_hash=bytes(32))),
    (
        "seed of the round before",
        errors.WrongSeed,
        lambda s: s.header(mix_hash=s.chain[-5].header.header.mix_hash),
    ),
    ("beneficiary", errors.WrongBeneficiary, lambda s: s.header(beneficiary=bytes(20))),
    ("no seal", errors.SealMissing, lambda s: s.with_seal(b"")),
    ("recovery byte", errors.SealMalformed, lambda s: s.with_seal(s.honest.header.seal[:64] + b"\x1b")),
    ("high S", errors.SealMalformed, lambda s: s.with_seal(_high_s(s.honest.header.seal))),
    ("a seal of zeros", errors.SealMalformed, lambda s: s.with_seal(bytes(65))),
    ("another member's seal", errors.SealOfAnother, _of_another_member),
    (
        "a stranger's seal",
        errors.SealOfAnother,
        lambda s: s.with_seal(s.forge.seal(s.honest.header.header, private_key(50))),
    ),
    ("a seal for another network", errors.SealOfAnother, _for_another_network),
    # bodies
    (
        "a transaction taken out",
        errors.WrongTransactionsRoot,
        lambda s: rebuilt(replace(s.honest, transactions=())),
    ),
    (
        "a transaction twice",
        errors.WrongTransactionsRoot,
        lambda s: rebuilt(replace(s.honest, transactions=(TX, TX))),
    ),
    (
        "a withdrawal put in",
        errors.WrongWithdrawalsRoot,
        lambda s: rebuilt(replace(s.honest, withdrawals=(Withdrawal(0, 0, bytes(20), 1),))),
    ),
    ("payload taken out", errors.WrongPayloadRoot, lambda s: rebuilt(replace(s.honest, payload=Payload()))),
    (
        "too many bytes",
        errors.BlockTooLarge,
        lambda s: s.body(transactions=(tiny_transaction(fill="x" * 60_000),)),
    ),
    (
        "too many transactions",
        errors.TooManyTransactions,
        lambda s: s.body(transactions=tuple(tiny_transaction(n=n) for n in range(21))),
    ),
    (
        "too many withdrawals",
        errors.TooManyWithdrawals,
        lambda s: s.body(withdrawals=tuple(Withdrawal(n, 0, bytes(20), 1) for n in range(5))),
    ),
    (
        "too much evidence",
        errors.TooMuchEvidence,
        lambda s: s.payload(evidence=tuple(s.twice(private_key(n), n) for n in range(4))),
    ),
    (
        "65 PoW headers",
        errors.TooManyPowHeaders,
        lambda s: s.payload(pow_headers=tuple(bytes((0, 0, 0, 32, n)) * 16 for n in range(65))),
    ),
    ("9 merged-mined headers", errors.TooManyPowHeaders, lambda s: s.payload(pow_headers=_merged(9))),
    (
        "17 deposit proofs",
        errors.TooManyDepositProofs,
        lambda s: s.payload(deposit_proofs=tuple(bytes((n,)) for n in range(17))),
    ),
    (
        "a PoW header of 81 bytes",
        errors.PowHeaderMalformed,
        lambda s: s.payload(pow_headers=(b"\0\0\0\x20" + bytes(77),)),
    ),
    (
        "a PoW header of 79 bytes",
        errors.PowHeaderMalformed,
        lambda s: s.payload(pow_headers=(b"\0\0\0\x20" + bytes(75),)),
    ),
    (
        "a merged-mined header without a record",
        errors.PowHeaderMalformed,
        lambda s: s.payload(pow_headers=(_merged(1)[0][:80],)),
    ),
    (
        "a merged-mined header that is too long",
        errors.PowHeaderMalformed,
        lambda s: s.payload(pow_headers=(_merged(1)[0].ljust(4_177, b"\1"),)),
    ),
    (
        "a deposit proof that is too long",
        errors.DepositProofMalformed,
        lambda s: s.payload(deposit_proofs=(bytes(33_306),)),
    ),
    (
        "a PoW header where there is no light client",
        errors.PowHeaderRefused,
        lambda s: s.payload(pow_headers=(bytes(80),)),
    ),
    (
        "a deposit proof where there is no Bridge",
        errors.DepositProofRefused,
        lambda s: s.payload(deposit_proofs=(b"proof",)),
    ),
    (
        "a credit that nobody is due",
        errors.WrongWithdrawals,
        lambda s: s.body(withdrawals=(Withdrawal(0, 1, bytes(20), 1),)),
    ),
    # certificates
    ("target on another branch", errors.CertificateTarget, _other_block_as_target),
    ("target is justified already", errors.CertificateTarget, _justified_as_target),
    ("target is the block's own height", errors.CertificateTarget, _itself_as_target),
    ("an older source", errors.CertificateSource, _older_source),
    (
        "a source of another height",
        errors.CertificateSource,
        lambda s: s.certificate_for(
            replace(s.link(), source=replace(s.link().source, height=s.link().source.height - 1))
        ),
    ),
    (
        "votes of another set",
        errors.CertificateSet,
        lambda s: s.certificate_for(replace(s.link(), set_number=1)),
    ),
    ("a member that there is not", errors.CertificateSigners, lambda s: s.certificate(signers=0b10111)),
    ("no quorum", errors.CertificateQuorum, _quorum),
    ("one vote many times", errors.CertificateSignature, _one_vote_many_times),
    ("a stranger's vote", errors.CertificateSignature, _stranger_votes),
    ("votes of another network", errors.CertificateSignature, _votes_of_another_network),
    # evidence
    ("one vote as evidence", errors.EvidenceProvesNothing, _same_votes_twice),
    ("votes without a conflict", errors.EvidenceProvesNothing, _votes_without_conflict),
    ("votes of two keys", errors.EvidenceProvesNothing, _votes_of_two_keys),
    ("evidence in the wrong order", errors.EvidenceProvesNothing, _wrong_order),
    ("headers of two slots", errors.EvidenceProvesNothing, _two_slots),
    ("evidence without a signature", errors.EvidenceProvesNothing, _broken_signature),
    ("one key twice", errors.EvidenceRepeated, _twice_one_key),
    (
        "a key that was punished before",
        errors.EvidenceRefused,
        lambda s: s.payload(evidence=(s.twice(KEYS[s.punished], 3),)),
    ),
    (
        "a key that nobody knows",
        errors.EvidenceRefused,
        lambda s: s.payload(evidence=(s.twice(private_key(60)),)),
    ),
    # execution
    (
        "a transaction that cannot stand",
        errors.BlockTransactionError,
        lambda s: s.body(transactions=(tiny_transaction(bad=1),)),
    ),
    (
        "too much execution gas",
        errors.TooMuchExecutionGas,
        lambda s: s.body(transactions=(tiny_transaction(gas=1_000_001),)),
    ),
    (
        "a transaction that uses up the gas of system calls",
        errors.SystemCallReverted,
        lambda s: s.body(transactions=(tiny_transaction(starve=1),)),
    ),
    ("gas used", errors.WrongGasUsed, lambda s: s.header(gas_used=21_001)),
    ("receipts root", errors.WrongReceiptsRoot, lambda s: s.header(receipts_root=bytes(32))),
    ("bloom", errors.WrongBloom, lambda s: s.header(logs_bloom=bytes(256))),
    ("requests", errors.WrongRequestsHash, lambda s: s.header(requests_hash=requests_hash([]))),
    ("state root", errors.WrongStateRoot, lambda s: s.header(state_root=bytes(32))),
)
