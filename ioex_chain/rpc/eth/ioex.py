"""ioex_*: what is this chain's own: arbitrators, schedule, votes, certificates, finality, evidence."""

from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from ioex_chain.dpos.codec import encode_certificate, encode_evidence
from ioex_chain.dpos.sets import ArbitratorSet, Member
from ioex_chain.dpos.votes import Certificate, Checkpoint, SealEvidence
from ioex_chain.rpc.errors import Code, LimitExceeded, RpcError
from ioex_chain.rpc.eth.evm_port import StatePruned
from ioex_chain.rpc.eth.reader import PRUNED_HISTORY, EthReader
from ioex_chain.rpc.eth.values import (
    LATEST,
    AnyResult,
    BlockParam,
    Count,
    ListResult,
    ObjectResult,
    data,
    read_count,
)
from ioex_chain.rpc.eth_backend import (
    DposEntry,
    EthBackend,
    RoundView,
    SlotPosition,
    SlotResult,
    Standing,
    VotesView,
)
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.registry import method

GROUP = "ioex"
MAX_SLOTS = 10_000
"""Slots of one answer."""
RoundNumber = Annotated[
    int,
    PlainValidator(lambda value: read_count(value, (1 << 53) - 1)),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]}),
    Param("the round; the present one without it"),
]


def _point(point: Checkpoint) -> dict[str, str]:
    return {"hash": data(point.hash), "number": hex(point.height)}


def _member(member: Member) -> dict[str, str]:
    return {"key": data(member.key), "payout": data(member.payout)}


def _set(members: ArbitratorSet) -> dict[str, Any]:
    return {
        "set": hex(members.number),
        "quorum": hex(members.quorum),
        "members": [{"index": hex(at)} | _member(member) for at, member in enumerate(members.members)],
    }


def _position(position: SlotPosition) -> dict[str, Any]:
    return {
        "time": hex(max(position.time, 0)),
        "slot": _number(position.slot),
        "round": _number(position.round),
        "term": _number(position.term),
    }


def _number(value: int) -> str | None:
    return None if value < 0 else hex(value)


def _standing(rank: int, standing: Standing) -> dict[str, Any]:
    return {
        "rank": hex(rank),
        "owner": data(standing.owner),
        "key": data(standing.key),
        "payout": data(standing.payout),
        "votes": hex(standing.votes),
        "jailed": standing.jailed,
        "standby": standing.standby,
        "produced": hex(standing.produced),
        "missed": hex(standing.missed),
        "unclaimed": hex(standing.unclaimed),
    }


def _round(view: RoundView) -> dict[str, Any]:
    return {
        "round": hex(view.round),
        "term": hex(view.term),
        "set": hex(view.set.number),
        "seed": data(view.seed),
        "slots": [
            {"slot": hex(view.first_slot + at)} | _member(member) for at, member in enumerate(view.producers)
        ],
    }


def _slot(result: SlotResult) -> dict[str, Any]:
    body: dict[str, Any] = {"slot": hex(result.slot), "key": data(result.producer.key)}
    body["block"] = None if result.block is None else _point(result.block)
    return body | {"reason": result.reason} if result.reason else body


def _certificate(certificate: Certificate) -> dict[str, Any]:
    link = certificate.link
    return {
        "set": hex(link.set_number),
        "source": _point(link.source),
        "target": _point(link.target),
        "signers": [
            hex(at) for at in range(certificate.signers.bit_length()) if certificate.signers >> at & 1
        ],
        "signatures": [data(signature) for signature in certificate.signatures],
        "raw": data(encode_certificate(certificate)),
    }


def _votes(view: VotesView) -> dict[str, Any]:
    link = view.link
    return {
        "set": hex(link.set_number),
        "source": _point(link.source),
        "target": _point(link.target),
        "members": hex(view.members),
        "quorum": hex(view.quorum),
        "votes": [{"index": hex(at), "signature": data(vote.signature)} for at, vote in view.votes],
    }


class IoexApi:
    """The consortium's chain, as its arbitrators and their auditors look at it."""

    def __init__(self, backend: EthBackend, reader: EthReader) -> None:
        self._backend = backend
        self._reader = reader
        self._view = backend.arbitration

    def _entry(self, block: Any) -> DposEntry:
        return self._reader.require(block)

    @method("ioex_getSlot", group=GROUP)
    def slot(self, time: Annotated[Count, Param("Unix time; now without it")] | None = None) -> ObjectResult:
        """Tell slot, round and term of a time; null for each before genesis."""
        return _position(self._view.position(time))

    @method("ioex_getBlockPosition", group=GROUP)
    def block_position(self, block: BlockParam = LATEST) -> ObjectResult:
        """Tell slot, round and term of a block, and the set that votes for it."""
        entry = self._entry(block)
        position = _position(self._view.position(entry.header.header.timestamp))
        number = self._view.set_in_force(entry).number
        return position | _point(Checkpoint(entry.hash, entry.height)) | {"set": hex(number)}

    @method("ioex_getArbitrators", group=GROUP, errors=(StatePruned,))
    def arbitrators(self, block: BlockParam = LATEST) -> ObjectResult:
        """Give the set in force at a block, the sets that wait, and all arbitrators by rank."""
        entry = self._reader.on_best_chain(block)
        return {
            "current": _set(self._view.set_in_force(entry)),
            "waiting": [_set(members) for members in self._view.sets(entry)],
            "ranking": [_standing(rank, s) for rank, s in enumerate(self._view.standings(entry))],
        }

    @method("ioex_getSchedule", group=GROUP)
    def schedule(self, round: RoundNumber | None = None) -> AnyResult:  # noqa: A002
        """Give who produces in each slot of a round; null when its seed is not known yet."""
        number = max(0, self._view.position().round) if round is None else round
        view = self._view.round(self._backend.head(), number)
        return None if view is None else _round(view)

    @method("ioex_getSlots", group=GROUP, errors=(LimitExceeded,))
    def slots(
        self,
        first: Annotated[Count, Param("slot")],
        last: Annotated[Count, Param("slot, at most 9,999 later")],
    ) -> ListResult:
        """Give what became of slots up to now: the block, or null when its producer missed it."""
        return [_slot(result) for result in self._slots(first, last)]

    @method("ioex_getMissedSlots", group=GROUP, errors=(LimitExceeded,))
    def missed_slots(
        self,
        first: Annotated[Count, Param("slot")],
        last: Annotated[Count, Param("slot, at most 9,999 later")],
    ) -> ListResult:
        """Give the slots up to now that have no block on the best chain, and whose they were."""
        return [_slot(result) for result in self._slots(first, last) if result.block is None]

    def _slots(self, first: int, last: int) -> Any:
        if last - first >= MAX_SLOTS:
            raise LimitExceeded(f"at most {MAX_SLOTS} slots are told at a time")
        if first > last:
            raise RpcError(Code.INVALID_PARAMS, "last: is before first")
        return self._view.slots(first, last)

    @method("ioex_getVotes", group=GROUP)
    def votes(self, block: BlockParam = LATEST) -> ListResult:
        """Give the votes for a block that this node has seen, by the source that they name."""
        return [_votes(view) for view in self._view.votes(self._entry(block).hash)]

    @method("ioex_getCertificate", group=GROUP)
    def certificate(self, block: BlockParam = LATEST) -> AnyResult:
        """Give a certificate whose target is this block; null when none is known."""
        found = self._view.certificate(self._entry(block).hash)
        return None if found is None else _certificate(found)

    @method("ioex_getFinality", group=GROUP)
    def finality(self) -> ObjectResult:
        """Tell the justified and the finalised block, and how long finality is behind."""
        view, head = self._view.finality(), self._backend.head()
        return {
            "head": _point(Checkpoint(head.hash, head.height)),
            "justified": _point(view.justified),
            "finalized": _point(view.finalized),
            "set": hex(view.set_number),
            "quorum": hex(view.quorum),
            "slotsSinceFinalized": hex(max(view.slots_since, 0)),
            "stalled": view.stalled,
        }

    @method("ioex_getEvidence", group=GROUP)
    def evidence(self) -> ListResult:
        """Give the known evidence of double seals and double votes, newest first."""
        return [
            {
                "kind": "seal" if isinstance(view.evidence, SealEvidence) else "vote",
                "key": data(view.culprit),
                "block": None if view.block is None else _point(view.block),
                "raw": data(encode_evidence(view.evidence)),
            }
            for view in self._view.evidence()
        ]

    @method("ioex_getSigning", group=GROUP)
    def signing(self) -> ListResult:
        """Tell of each arbitrator key of this node whether it signs, and if not, why."""
        return [
            {"key": data(view.key), "signs": not view.reason}
            | ({"reason": view.reason, "detail": view.detail} if view.reason else {})
            for view in self._view.signing()
        ]

    @method("ioex_getSeal", group=GROUP)
    def seal(self, block: BlockParam = LATEST) -> ObjectResult:
        """Give a block's seal, which stands beside its header; empty in genesis."""
        entry = self._entry(block)
        return _point(Checkpoint(entry.hash, entry.height)) | {"seal": data(entry.header.seal)}

    @method("ioex_getPayload", group=GROUP, errors=(PRUNED_HISTORY,))
    def payload(self, block: BlockParam = LATEST) -> ObjectResult:
        """Give what stands in a block beside transactions: certificate, evidence, PoW headers, proofs."""
        payload = self._reader.body(self._entry(block)).block.payload
        return {
            "certificate": None if payload.certificate is None else _certificate(payload.certificate),
            "evidence": [data(encode_evidence(item)) for item in payload.evidence],
            "powHeaders": [data(header) for header in payload.pow_headers],
            "depositProofs": [data(proof) for proof in payload.deposit_proofs],
        }

    @method("ioex_getRawBlock", group=GROUP, errors=(PRUNED_HISTORY,))
    def raw_block(self, block: BlockParam = LATEST) -> AnyResult:
        """Give a whole block's bytes: rlp([header, seal, transactions, withdrawals, payload])."""
        entry = self._entry(block)
        return self._reader.from_body(entry, lambda body: data(body.block.raw))
