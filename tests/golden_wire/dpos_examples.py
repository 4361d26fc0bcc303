"""One structure of each kind of the DPoS chain; `dpos/<name>.hex` and docs/protocol.md section 4.7 hold it.

Keys are keccak256("ioeX/golden/<n>") for n = 0 to 3, in this order the members of set 3; the genesis hash is
32 bytes of 0x55.
"""

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos import certificates, codec, evidence, seal
from ioex_chain.dpos.block import Payload
from ioex_chain.dpos.header import EMPTY_OMMERS_HASH, Header, SealedHeader
from ioex_chain.dpos.records import Record, Roster, SetRef, Waiting, encode_record
from ioex_chain.dpos.sets import ArbitratorSet, Member
from ioex_chain.dpos.votes import Checkpoint, Link, Vote
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.evm.types import EMPTY_TRIE_ROOT, Withdrawal
from ioex_chain.primitives.types import BlockHash

GENESIS = b"\x55" * 32
KEYS = [keccak256(b"ioeX/golden/" + str(number).encode()) for number in range(4)]
MEMBERS = ArbitratorSet(
    3, tuple(Member(seal.address_of(key), bytes((n,)) * 20) for n, key in enumerate(KEYS))
)
TRANSACTION = bytes.fromhex(  # the example of EIP-155
    "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd9"
    "39bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b"
    "297fb1966a3b6d83"
)


def header(extra_data: bytes = b"ioeX") -> Header:
    return Header(
        parent_hash=BlockHash(b"\x11" * 32),
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=b"\x22" * 20,
        state_root=b"\x33" * 32,
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        logs_bloom=bytes(256),
        difficulty=0,
        number=259_200,
        gas_limit=210_000_000,
        gas_used=0,
        timestamp=1_775_001_600,
        extra_data=extra_data,
        mix_hash=b"\x44" * 32,
        nonce=bytes(8),
        base_fee=1_000_000_000,
        withdrawals_root=EMPTY_TRIE_ROOT,
        blob_gas_used=0,
        excess_blob_gas=0,
        parent_beacon_root=codec.payload_root(Payload()),
        requests_hash=b"\x66" * 32,
    )


def sealed(extra_data: bytes = b"ioeX") -> SealedHeader:
    made = header(extra_data)
    return SealedHeader(made, seal.sign(KEYS[0], seal.seal_digest(GENESIS, made.hash)))


def link(target: bytes = b"\x88") -> Link:
    source = Checkpoint(BlockHash(b"\x77" * 32), 259_197)
    return Link(3, source, Checkpoint(BlockHash(target * 32), 259_198))


def vote(key: int = 0, target: bytes = b"\x88") -> Vote:
    return Vote(link(target), seal.sign(KEYS[key], seal.vote_digest(GENESIS, link(target))))


_votes = {MEMBERS.members[number].key: vote(number) for number in (0, 1, 3)}
CERTIFICATE = certificates.assemble(link(), _votes, MEMBERS)
assert CERTIFICATE is not None
PAYLOAD = Payload(CERTIFICATE, (evidence.of_votes(vote(), vote(target=b"\x99")),))
WITHDRAWALS = (Withdrawal(7, 1, b"\xaa" * 20, 1_500_000_000),)
RECORD = Record(
    justified=link().target,
    finalised=link().source,
    pow_hash=b"\xbb" * 32,
    registry_version=9,
    roster_at=None,
    in_force=SetRef(3, BlockHash(b"\xcc" * 32)),
    newest=SetRef(4, BlockHash(b"\xdd" * 32)),
    before=SetRef(2, BlockHash(b"\xee" * 32)),
    since=46_000,
    requests=700,
    waiting=(Waiting(92, SetRef(4, BlockHash(b"\xdd" * 32)), None),),
    roster=Roster(MEMBERS.members[:1], MEMBERS.members[1:2]),
)

EXAMPLES: dict[str, bytes] = {
    "DposHeader": header().encode(),
    "DposSealedHeader": sealed().encode(),
    "DposSealDigest": seal.seal_digest(GENESIS, header().hash),
    "DposVoteDigest": seal.vote_digest(GENESIS, link()),
    "DposVote": codec.encode_vote(vote()),
    "DposCertificate": codec.encode_certificate(CERTIFICATE),
    "DposSealEvidence": codec.encode_evidence(evidence.of_seals(sealed(b"one"), sealed(b"two"))),
    "DposVoteEvidence": codec.encode_evidence(PAYLOAD.evidence[0]),
    "DposEmptyPayload": codec.encode_payload(Payload()),
    "DposPayload": codec.encode_payload(PAYLOAD),
    "DposWithdrawal": codec.encode_withdrawal(WITHDRAWALS[0]),
    "DposBlock": codec.make_block(sealed(), [decode_transaction(TRANSACTION)], WITHDRAWALS, PAYLOAD).raw,
    "DposRecord": encode_record(RECORD),
}
