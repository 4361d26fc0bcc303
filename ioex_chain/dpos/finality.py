"""Casper FFG over the ledger's tree (docs/protocol.md section 4): every block is a checkpoint. No I/O.

Votes, certificates, seals and evidence come in from peers, connected blocks from the ledger. Whether a link
is right follows from the record of its target, so it is decided when that was connected. Before that a
certificate can only make its branch preferred: it is checked against the set of its number on the best chain.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from operator import attrgetter
from typing import Generic

from ioex_chain.dpos import certificates, evidence, seal, vote_errors
from ioex_chain.dpos.block import Payload
from ioex_chain.dpos.evidence import Offence
from ioex_chain.dpos.evidence_pool import EvidencePool, SealWatch
from ioex_chain.dpos.finality_ports import Facts, N, Signatures, Tree, checkpoint
from ioex_chain.dpos.finality_types import Finalize, Outcome, Prefer, Verdict
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.sets import ArbitratorSet
from ioex_chain.dpos.vote_pool import VotePool
from ioex_chain.dpos.votes import Certificate, Checkpoint, Evidence, Link, Vote
from ioex_chain.dpos.waiting import WaitingCertificates
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import BlockHash

_SETS_BEFORE = 17
_height_of = attrgetter("link.target.height")
HORIZON = 1024
"""Votes for targets higher than this above the highest known block are ignored."""
WATCH_DEPTH = 128
"""Votes are kept for this many heights below the final block, to catch who votes twice."""
MAX_CERTIFIED = 1024
"""Certificates kept above the final block; those with the lowest targets go first."""
MAX_SETS = 8
"""Sets of which the highest certificate is kept."""
MAX_GREETING = 512
"""Votes told to a new peer."""


class Finality(Generic[N]):
    """Knows the justified and the final block, and who broke the rules. For one thread."""

    def __init__(self, tree: Tree[N], facts: Facts[N], signatures: Signatures, head: N, floor: N) -> None:
        """Begin with a connected head, and the ledger's floor at or below it."""
        self._tree = tree
        self._facts = facts
        self._signatures = signatures
        self.heard: Callable[[bytes, Vote | SealedHeader], None] = lambda _, __: None
        """Hears every signature that was checked, with its key: for the signer (`ears.Ears`)."""
        self._pool = VotePool()
        self._seals = SealWatch()
        self._evidence = EvidencePool()
        self._certified: dict[BlockHash, Certificate] = {}
        self._last_of_set: dict[int, Certificate] = {}
        self._waiting = WaitingCertificates()
        self._preferred = self.justified = facts.justified_at(head) or checkpoint(floor)
        recorded = facts.finalised_at(head) or checkpoint(floor)
        self.finalised = max(recorded, checkpoint(floor), key=lambda point: point.height)
        self._top = head.height
        self._final_number = self._set_number(self.finalised)

    # --- what a voter and a producer ask --------------------------------------------------------------

    def link_for(self, entry: N) -> Link | None:
        """Give the only link that may be voted for with this target; None before it was connected.

        Source: the highest justified block recorded in the target and its ancestors. Genesis is no target.
        """
        members, source = self._facts.set_at(entry), self._facts.justified_at(entry)
        if members is None or source is None or not entry.height:
            return None
        return Link(members.number, source, checkpoint(entry))

    def certificate_for(self, parent: N) -> Certificate | None:
        """Give what a block on `parent` should carry: the highest target that is not recorded yet."""
        recorded = self._facts.justified_at(parent)
        if recorded is None:
            return None
        for certificate in sorted(self._certified.values(), key=_height_of, reverse=True):
            target = certificate.link.target
            if recorded.height < target.height <= parent.height:
                entry = self._tree.ancestor(parent, target.height)
                if entry.hash == target.hash and self.link_for(entry) == certificate.link:
                    return certificate
        return None

    def evidence_for(
        self, parent: N, limit: int, counted: Callable[[Offence], bool] = lambda _: False
    ) -> tuple[Evidence, ...]:
        """Give up to `limit` items that no block at or below `parent` is known to carry.

        `counted` says what the state after `parent` has counted already: after a restart only it knows.
        """
        return self._evidence.due(
            lambda offence, blocks: any(self._is_below(at, parent) for at in blocks) or counted(offence),
            limit,
        )

    def final_entry(self) -> N | None:
        """Give the final block; None if its header is not known."""
        return self._tree.entry(self.finalised.hash)

    # --- what a new peer is told ----------------------------------------------------------------------

    def certificates(self) -> tuple[Certificate, ...]:
        """Give the certificates for targets at or above the final block, lowest target first.

        After them the highest one of each earlier set: a peer that was parted since before a set change can
        check no other.
        """
        found = sorted(self._certified.values(), key=_height_of)
        return (*found, *(known for known in self._last_of_set.values() if known not in found))

    def votes(self, limit: int = MAX_GREETING) -> tuple[Vote, ...]:
        """Give right votes of members for targets above the final block, highest targets first.

        Wrong ones and those of strangers are kept as well, to prove who signs twice: they are told to nobody.
        """
        links = [link for link in self._pool.links() if link.target.height > self.finalised.height]
        found: list[Vote] = []
        for link in sorted(links, key=lambda link: link.target.height, reverse=True):
            if len(found) >= limit:
                break
            entry = self._tree.entry(link.target.hash)
            if entry is not None and self.link_for(entry) == link:
                found += self._votes_of_members(link, entry)
        return tuple(found[:limit])

    def evidence(self) -> tuple[Evidence, ...]:
        """Give the evidence that no final block carries yet."""
        return tuple(self._evidence.items().values())

    # --- what people ask ------------------------------------------------------------------------------

    def votes_for(self, target: BlockHash) -> dict[Link, dict[bytes, Vote]]:
        """Give the votes for a block that are kept: by link, then by key."""
        links = [link for link in self._pool.links() if link.target.hash == target]
        return {link: dict(self._pool.votes_for(link)) for link in links}

    def certificate_of(self, target: BlockHash) -> Certificate | None:
        """Give the certificate of a block at or above the final one; older ones stand in payloads."""
        return self._certified.get(target)

    def offences(self) -> tuple[tuple[Offence, Evidence, tuple[BlockHash, ...]], ...]:
        """Give what is known and not final: the offence, its proof, the blocks that carry it."""
        return tuple(
            (offence, item, self._evidence.carriers(offence))
            for offence, item in self._evidence.items().items()
        )

    # --- what comes in --------------------------------------------------------------------------------

    def on_vote(self, vote: Vote) -> Outcome:
        """Take a vote of anybody, our own too."""
        link = vote.link
        if self._pool.holds(vote):
            return Outcome(Verdict.KNOWN)
        if link.target.height > self._top + HORIZON:
            return Outcome(Verdict.IGNORED)
        if self._is_past(link):
            return Outcome(Verdict.OLD)
        try:
            key = self._signatures.voter(vote)
        except seal.BadSignature as fault:
            return Outcome(Verdict.FAULTY, fault=fault)
        entry = self._tree.entry(link.target.hash)
        members = self._members(link, entry)
        is_member = members is not None and members.has(key)
        if not is_member and not self._is_judged(key):
            self.heard(key, vote)
            return self._refuse_stranger(key, link, entry)
        is_new, found = self._watch(key, vote)
        try:
            self._check_vote(link, entry, is_member, key)
        except vote_errors.InvalidVote as fault:
            return Outcome(Verdict.FAULTY, fault=fault, evidence=found)
        if link.target.height <= self.finalised.height:
            return Outcome(Verdict.OLD, evidence=found)
        if not is_new:
            return Outcome(Verdict.KNOWN)
        return self._count(vote, entry, found)

    def on_certificate(self, certificate: Certificate, source: int = 0) -> Outcome:
        """Take a certificate that a peer sent, or that stands in a block that is not connected.

        `source` says who told it: what cannot be checked yet has a bounded room for each.
        """
        link = certificate.link
        known = self._certified.get(link.target.hash)
        if (known is not None and known.link == link) or self._waiting.holds(certificate):
            return Outcome(Verdict.KNOWN)
        if link.target.height > self._top + HORIZON:
            return Outcome(Verdict.IGNORED)
        if self._is_past(link):
            return Outcome(Verdict.OLD)
        entry = self._tree.entry(link.target.hash)
        own = None if entry is None else self.link_for(entry)
        members = self._members(link, entry)
        if members is None:
            self._waiting.keep_unchecked(certificate, source)  # whoever made it up chooses nothing to fetch
            return Outcome(Verdict.WAITING, wanted=() if entry is not None else (link.target.hash,))
        try:
            votes = certificates.check(certificate, members, self._signatures)
        except vote_errors.InvalidCertificate as fault:
            unclear = own is None and isinstance(fault, vote_errors.UnknownSigner)  # the set before votes too
            if self._is_certain(link, entry) and not unclear:
                return Outcome(Verdict.FAULTY, fault=fault)
            return Outcome(Verdict.IGNORED)  # it may be another branch's set
        found = tuple(item for key, vote in votes.items() for item in self._watch(key, vote)[1])
        if own is not None and own != link:
            wrong = vote_errors.WrongLink("source, height or set are not those recorded at the target")
            return Outcome(Verdict.FAULTY, fault=wrong, evidence=found)
        return self._judge(certificate, entry, found)

    def on_block(self, entry: N, payload: Payload) -> Outcome:
        """Take a block that was connected (again), parents before children: what waited for it, counts."""
        self._top = max(self._top, entry.height)
        found = self._carried(entry, payload)
        actions = self._recorded(entry)
        votes: tuple[Vote, ...] = ()
        new: tuple[Certificate, ...] = ()
        link = self.link_for(entry)
        if link is not None and link.target.height > self.finalised.height:
            votes = self._votes_of_members(link, entry)
            certificate = self._checked(link, entry) or self._assemble(link, entry)
            if certificate is not None and self._is_below(self.finalised.hash, entry):
                actions += self._accept(certificate)
                new = (certificate,)
        self._waiting.forget(lambda waiting: waiting.target.hash == entry.hash)
        return Outcome(Verdict.NEW, actions + self._check_waiting(), votes, new, found)

    def on_header(self, header: SealedHeader, entry: N | None = None) -> Outcome:
        """Take a header with its seal, whether the ledger took it or not; `entry` if it did."""
        actions: tuple[Prefer | Finalize, ...] = ()
        if entry is not None:
            self._top = max(self._top, entry.height)
            for link in [link for link in self._waiting.links() if link.target.hash == entry.hash]:
                actions += self._foresee(link, entry)
        if not header.seal:
            return Outcome(Verdict.KNOWN, actions)
        try:
            key = self._signatures.sealer(header)
        except seal.BadSignature as fault:
            return Outcome(Verdict.FAULTY, actions, fault=fault)
        self.heard(key, header)
        if not self._is_judged(key):
            return Outcome(Verdict.IGNORED, actions)
        proof = self._seals.add(key, header, entry is not None)
        return Outcome(Verdict.NEW, actions, evidence=() if proof is None else self._keep(key, proof))

    def on_evidence(self, item: Evidence) -> Outcome:
        """Take evidence that a peer sent."""
        try:
            offence = evidence.offence(item, self._signatures)
        except IoexError as fault:  # InvalidEvidence or BadSignature
            return Outcome(Verdict.FAULTY, fault=fault)
        if not self._is_judged(offence.key):
            return Outcome(Verdict.IGNORED)
        found = self._keep(offence.key, item)
        return Outcome(Verdict.NEW if found else Verdict.KNOWN, evidence=found)

    # --- votes ----------------------------------------------------------------------------------------

    def _refuse_stranger(self, key: bytes, link: Link, entry: N | None) -> Outcome:
        own = None if entry is None else self.link_for(entry)
        if not self._is_certain(link, entry) or self._may_sit(link, own, key):
            return Outcome(Verdict.IGNORED)
        fault = vote_errors.NotAMember(f"0x{key.hex()} has no seat in set {link.set_number}")
        return Outcome(Verdict.FAULTY, fault=fault)

    def _check_vote(self, link: Link, entry: N | None, is_member: bool, key: bytes) -> None:
        """Raise if the vote is wrong for certain; what is not known yet is not held against it."""
        if entry is not None and entry.height != link.target.height:
            raise vote_errors.WrongTargetHeight(f"the target has height {entry.height}")
        own = None if entry is None else self.link_for(entry)
        if own is not None and link.set_number != own.set_number:
            raise vote_errors.WrongSet(f"in force at the target is set {own.set_number}")
        if own is not None and link.source != own.source:
            raise vote_errors.WrongSource(f"the source recorded at the target has height {own.source.height}")
        if not is_member and self._is_certain(link, entry) and not self._may_sit(link, own, key):
            raise vote_errors.NotAMember(f"0x{key.hex()} has no seat in set {link.set_number}")

    def _count(self, vote: Vote, entry: N | None, found: tuple[Evidence, ...]) -> Outcome:
        link = vote.link
        certificate = None if link.target.hash in self._certified else self._assemble(link, entry)
        if entry is None or self.link_for(entry) is None:
            if certificate is not None:
                waits = self._wait(certificate, entry)
                return Outcome(Verdict.WAITING, waits.actions, evidence=found, wanted=waits.wanted)
            return Outcome(Verdict.WAITING, evidence=found)
        if certificate is None:
            return Outcome(Verdict.NEW, votes=(vote,), evidence=found)
        judged = self._judge(certificate, entry, found)
        return Outcome(judged.verdict, judged.actions, (vote,), judged.certificates, found)

    def _votes_of_members(self, link: Link, entry: N) -> tuple[Vote, ...]:
        """Give the votes for a right link that may be told: who had no seat is known since `entry` is."""
        members = self._facts.set_at(entry)
        seats = frozenset(member.key for member in members.voters) if members is not None else frozenset()
        return tuple(vote for key, vote in self._pool.votes_for(link).items() if key in seats)

    def _assemble(self, link: Link, entry: N | None) -> Certificate | None:
        members = self._members(link, entry)
        if members is None or members.number != link.set_number:
            return None
        return certificates.assemble(link, self._pool.votes_for(link), members)

    def _watch(self, key: bytes, vote: Vote) -> tuple[bool, tuple[Evidence, ...]]:
        """Keep a member's vote; give whether it is new, and new evidence."""
        if not self._pool.holds(vote):
            self.heard(key, vote)
        is_new, proof = self._pool.add(key, vote)
        return is_new, () if proof is None else self._keep(key, proof)

    # --- certificates ---------------------------------------------------------------------------------

    def _judge(self, certificate: Certificate, entry: N | None, found: tuple[Evidence, ...]) -> Outcome:
        """Decide on a certificate whose signatures are sound."""
        if certificate.link.target.height <= self.finalised.height:
            return Outcome(Verdict.OLD, evidence=found)
        if entry is None or self.link_for(entry) is None:
            waits = self._wait(certificate, entry)
            return Outcome(Verdict.WAITING, waits.actions, evidence=found, wanted=waits.wanted)
        if not self._is_below(self.finalised.hash, entry):
            return Outcome(Verdict.CONFLICT, evidence=found)
        return Outcome(Verdict.NEW, self._accept(certificate), (), (certificate,), found)

    def _checked(self, link: Link, entry: N) -> Certificate | None:
        """Give the certificate that waits for a link and whose signatures are sound."""
        members = self._members(link, entry)
        if members is None:
            return None
        for certificate in self._waiting.of(link):
            with suppress(vote_errors.InvalidCertificate):
                certificates.check(certificate, members, self._signatures)
                return certificate
        return None

    def _wait(self, certificate: Certificate, entry: N | None) -> Outcome:
        """Keep a certificate whose signatures are sound."""
        link = certificate.link
        self._waiting.keep_sound(certificate)
        actions = () if entry is None else self._foresee(link, entry)
        return Outcome(Verdict.WAITING, actions, wanted=(link.target.hash,))

    def _check_waiting(self) -> tuple[Prefer | Finalize, ...]:
        """Look again at certificates whose set was not known: each is checked once."""
        actions: tuple[Prefer | Finalize, ...] = ()
        for link in self._waiting.untried(self._is_known):
            entry = self._tree.entry(link.target.hash)
            actions += () if entry is None else self._foresee(link, entry)
        return actions

    def _is_known(self, link: Link) -> bool:
        entry = self._tree.entry(link.target.hash)
        return entry is not None and self._members(link, entry) is not None

    def _foresee(self, link: Link, entry: N) -> tuple[Prefer | Finalize, ...]:
        """Prefer the branch of a certificate whose target is known but not connected, if it can be right.

        Its signatures must be those of the set that its number names on the best chain. Then members that
        keep the rules have signed, and they only name sources that their records justify; so the source is
        not looked for here, where the payloads that justify it may be missing too.
        """
        if self.link_for(entry) is not None or link.target != checkpoint(entry):
            return ()
        if link.target.height <= self._preferred.height or link.set_number < self._final_number:
            return ()
        if not self._is_below(link.source.hash, entry) or not self._is_below(self.finalised.hash, entry):
            return ()
        certificate = self._checked(link, entry)
        if certificate is None:
            return ()
        self._waiting.keep_sound(certificate)
        self._preferred = link.target
        return (Prefer(link.target.hash),)

    def _accept(self, certificate: Certificate) -> tuple[Prefer | Finalize, ...]:
        """Count a right certificate: its target is justified, its source final if it is the parent."""
        link = certificate.link
        self._certify(certificate)
        actions = self._justify(link.target)
        if link.source.height + 1 == link.target.height:
            actions += self._finalise(link.source)
        return actions

    def _certify(self, certificate: Certificate) -> None:
        link, known = certificate.link, self._certified
        known[link.target.hash] = certificate
        while len(known) > MAX_CERTIFIED:
            del known[min(known, key=lambda hash_: _height_of(known[hash_]))]
        last = self._last_of_set.get(link.set_number)
        if last is None or last.link.target.height < link.target.height:
            self._last_of_set[link.set_number] = certificate
            while len(self._last_of_set) > MAX_SETS:
                del self._last_of_set[min(self._last_of_set)]

    def _justify(self, point: Checkpoint) -> tuple[Prefer | Finalize, ...]:
        if point.height > self.justified.height:
            self.justified = point
        if point.height <= self._preferred.height:
            return ()
        self._preferred = point
        return (Prefer(point.hash),)

    def _finalise(self, point: Checkpoint) -> tuple[Prefer | Finalize, ...]:
        if point.height <= self.finalised.height:
            return ()
        self.finalised = point
        self._final_number = self._set_number(point)
        self._pool.prune(point.height - WATCH_DEPTH)
        self._evidence.settle(self._is_final)
        for hash_ in [hash_ for hash_, known in self._certified.items() if _height_of(known) < point.height]:
            del self._certified[hash_]
        self._waiting.forget(lambda link: link.target.height <= point.height)
        return (Finalize(point.hash),)

    # --- blocks ---------------------------------------------------------------------------------------

    def _recorded(self, entry: N) -> tuple[Prefer | Finalize, ...]:
        """Take over what the payloads up to a block justify and finalise."""
        justified, final = self._facts.justified_at(entry), self._facts.finalised_at(entry)
        if justified is None or final is None or not self._is_below(self.finalised.hash, entry):
            return ()  # a branch against the final block: the ledger leaves it by itself
        return self._justify(justified) + self._finalise(final)

    def _carried(self, entry: N, payload: Payload) -> tuple[Evidence, ...]:
        """Note what a block carries: its evidence, and the votes in its certificate. Both are checked."""
        found: tuple[Evidence, ...] = ()
        for item in payload.evidence:
            offence = evidence.offence(item, self._signatures)
            self._evidence.add(offence, item)
            self._evidence.carried(offence, entry.hash)
        certificate = payload.certificate
        if certificate is None or certificate.link.target.hash in self._certified:
            return found
        target = self._tree.entry(certificate.link.target.hash)
        members = None if target is None else self._facts.set_at(target)
        if members is not None:
            for position, vote in certificates.take_apart(certificate):
                found += self._watch(members.voters[position].key, vote)[1]
            if certificate.link.target.height >= self.finalised.height:
                self._certify(certificate)
        return found

    def _members(self, link: Link, entry: N | None) -> ArbitratorSet | None:
        known = None if entry is None else self._facts.set_at(entry)
        return known if known is not None else self._facts.set_numbered(link.set_number)

    def _is_certain(self, link: Link, entry: N | None) -> bool:
        """Whether the set of a link is known for certain: numbers up to the final block's have one set."""
        return (entry is not None and self.link_for(entry) is not None) or (
            link.set_number <= self._final_number and self._members(link, entry) is not None
        )

    def _is_past(self, link: Link) -> bool:
        """Whether votes for a target are kept no more: the chain is full of them, and each costs a check."""
        return link.target.height < self.finalised.height - WATCH_DEPTH

    def _may_sit(self, link: Link, own: Link | None, key: bytes) -> bool:
        """Whether a key has a seat in a set before, which may vote beside that of a target not connected."""
        numbers = range(link.set_number - 1, max(-1, link.set_number - _SETS_BEFORE), -1)
        before = (self._facts.set_numbered(number) for number in numbers if own is None)
        return any(members is not None and members.has(key) for members in before)

    def _set_number(self, point: Checkpoint) -> int:
        entry = self._tree.entry(point.hash)
        members = None if entry is None else self._facts.set_at(entry)
        return 0 if members is None else members.number

    def _judged(self) -> Iterator[ArbitratorSet]:
        """Give the sets whose members can be judged: the one before, in force at the final block, later."""
        number = max(0, self._final_number - 1)
        while (members := self._facts.set_numbered(number)) is not None:
            yield members
            number += 1

    def _is_judged(self, key: bytes) -> bool:
        return any(members.has(key) for members in self._judged())

    def _is_below(self, hash_: BlockHash, entry: N) -> bool:
        """Whether the block is `entry` or one of its ancestors."""
        other = self._tree.entry(hash_)
        if other is None or other.height > entry.height:
            return False
        return self._tree.ancestor(entry, other.height).hash == hash_

    def _is_final(self, hash_: BlockHash) -> bool:
        final = self.final_entry()
        return final is not None and self._is_below(hash_, final)

    def _keep(self, key: bytes, item: Evidence) -> tuple[Evidence, ...]:
        offence: Offence = evidence.name(key, item)
        return (item,) if self._evidence.add(offence, item) else ()
