"""Votes, certificates, justified and final blocks, by named stories."""

from dataclasses import replace

import pytest
from unit.dpos.finality_world import Toy, World, key, members, sealed, vote_of

from ioex_chain.dpos import evidence, finality, vote_errors
from ioex_chain.dpos.block import Payload
from ioex_chain.dpos.finality import WATCH_DEPTH
from ioex_chain.dpos.finality_ports import checkpoint
from ioex_chain.dpos.finality_types import Finalize, Outcome, Prefer, Verdict
from ioex_chain.dpos.seal import BadSignature
from ioex_chain.dpos.votes import Certificate, Checkpoint, Link
from ioex_chain.dpos.waiting import MAX_SOUND, MAX_UNCHECKED, MAX_UNCHECKED_EACH
from ioex_chain.primitives.types import BlockHash

FOUR = members(1, 2, 3, 4)


@pytest.fixture
def world() -> World:
    return World(FOUR)


def vote_all(world: World, target: Toy, *numbers: int) -> Outcome:
    for number in numbers:
        outcome = world.finality.on_vote(vote_of(world.link(target), number))
    return outcome


def test_a_quorum_justifies_and_the_next_block_finalises(world: World) -> None:
    one = world.add(world.genesis)
    assert vote_all(world, one, 1, 2).actions == ()
    reached = vote_all(world, one, 3)
    assert reached.verdict is Verdict.NEW
    assert reached.actions == (Prefer(one.hash),)
    (certificate,) = reached.certificates
    assert certificate.signers == 0b0111
    assert world.finality.justified == checkpoint(one)

    two = world.add(one, certificate=world.finality.certificate_for(one))
    assert world.link(two).source == checkpoint(one)
    assert vote_all(world, two, 4, 2, 1).actions == (Prefer(two.hash), Finalize(one.hash))
    assert world.finality.finalised == checkpoint(one)


def test_a_target_that_skips_a_height_finalises_nothing(world: World) -> None:
    one = world.add(world.genesis)
    two = world.add(one, certificate=world.certificate(one, 1, 2, 3))
    three = world.add(two)
    assert world.link(three).source == checkpoint(one)
    assert vote_all(world, three, 1, 2, 3).actions == (Prefer(three.hash),)
    assert world.finality.finalised.height == 0
    four = world.add(three, certificate=world.finality.certificate_for(three))
    assert vote_all(world, four, 1, 2, 3).actions == (Prefer(four.hash), Finalize(three.hash))


def test_payloads_alone_justify_and_finalise(world: World) -> None:
    one = world.add(world.genesis)
    two = world.know(world.make(one, certificate=world.certificate(one, 1, 2, 3)))
    assert world.connect(two).actions == (Prefer(one.hash),)
    three = world.know(world.make(two, certificate=world.certificate(two, 2, 3, 4)))
    assert world.connect(three).actions == (Prefer(two.hash), Finalize(one.hash))


def test_votes_before_their_block_count_when_it_is_connected(world: World) -> None:
    one = world.make(world.genesis)
    assert vote_all(world, one, 1, 2).verdict is Verdict.WAITING
    world.know(one)
    outcome = world.connect(one)
    assert len(outcome.votes) == 2
    assert vote_all(world, one, 4).actions == (Prefer(one.hash),)


def test_a_quorum_of_votes_for_an_unknown_block_asks_for_it(world: World) -> None:
    one = world.make(world.genesis)
    assert vote_all(world, one, 1, 2, 3).wanted == (one.hash,)
    world.know(one)
    outcome = world.connect(one)
    assert outcome.actions == (Prefer(one.hash),)
    assert len(outcome.certificates) == 1


def test_a_certificate_waits_for_its_block(world: World) -> None:
    one = world.make(world.genesis)
    certificate = world.certificate(one, 1, 2, 3)
    waiting = world.finality.on_certificate(certificate)
    assert (waiting.verdict, waiting.wanted) == (Verdict.WAITING, (one.hash,))
    assert world.finality.on_certificate(certificate).verdict is Verdict.KNOWN
    world.know(one)
    assert world.finality.on_header(sealed(1, 1), one).actions == (Prefer(one.hash),)
    assert world.finality.justified.height == 0  # only a connected target is justified for certain
    assert world.connect(one).certificates == (certificate,)
    assert world.finality.justified == checkpoint(one)


def test_a_certificate_makes_an_unconnected_branch_preferred(world: World) -> None:
    world.add(world.add(world.genesis), "long")
    other = world.know(world.make(world.genesis, "other"))
    outcome = world.finality.on_certificate(world.certificate(other, 1, 2, 3))
    assert outcome.actions == (Prefer(other.hash),)
    assert outcome.verdict is Verdict.WAITING


def test_an_unconnected_branch_needs_its_source_below_it(world: World) -> None:
    one = world.add(world.genesis, "one")
    other = world.know(world.make(world.genesis, "other"))
    for source in (checkpoint(one), Checkpoint(BlockHash(bytes([7] * 32)), 0)):
        link = Link(0, source, checkpoint(other))
        assert world.finality.on_certificate(world.certificate(other, 1, 2, 3, link=link)).actions == ()


def test_certificates_that_come_in_the_wrong_order_both_count(world: World) -> None:
    one = world.know(world.make(world.genesis))
    two = world.know(world.make(one, certificate=world.certificate(one, 1, 2, 3)))
    later = world.certificate(two, 1, 2, 4)
    world.connected.add(one.hash)
    waiting = world.finality.on_certificate(later)
    assert waiting.actions == (Prefer(two.hash),)  # so that it gets connected
    assert world.finality.justified.height == 0
    world.finality.on_certificate(world.certificate(one, 1, 2, 3))
    assert world.finality.justified == checkpoint(one)
    assert world.connect(two).actions == (Finalize(one.hash),)
    assert world.finality.justified == checkpoint(two)


def test_what_cannot_be_checked_does_not_choose_what_is_fetched(world: World) -> None:
    world.sets[1] = members(5, 6, 7, 8, number=1)
    for number in (1, 2):  # another set on the best chain, and one that it does not know
        there = members(1, 2, 3, 4, number=number)
        other = world.know(world.make(world.genesis, str(number), arbitrators=there))
        outcome = world.finality.on_certificate(world.certificate(other, 1, 2, 3))
        assert (outcome.actions, outcome.wanted) == ((), ())


def test_the_last_certificate_of_an_earlier_set_is_told_too(world: World) -> None:
    five = members(5, 6, 7, 8, number=1)
    world.sets[1] = five
    one = world.add(world.genesis)
    last = world.certificate(one, 1, 2, 3)
    two = world.know(world.make(one, certificate=last, arbitrators=five))
    world.connect(two)
    vote_all(world, two, 5, 6, 7)
    three = world.add(two, certificate=world.finality.certificate_for(two))
    vote_all(world, three, 5, 6, 7)
    assert world.finality.finalised == checkpoint(two)
    assert [known.link.target.height for known in world.finality.certificates()] == [2, 3, 1]


def test_a_certificate_of_a_set_that_becomes_known_is_checked_then(world: World) -> None:
    five = members(5, 6, 7, 8, number=1)
    other = world.know(world.make(world.genesis, arbitrators=five))
    assert world.finality.on_certificate(world.certificate(other, 5, 6, 7)).actions == ()
    world.sets[1] = five
    one = world.know(world.make(world.genesis, "one"))
    assert world.connect(one).actions == (Prefer(other.hash),)


def test_of_two_certificates_for_a_waiting_target_the_false_one_does_not_count(world: World) -> None:
    five = members(5, 6, 7, 8, number=1)
    one = world.make(world.genesis, arbitrators=five)
    false = world.certificate(replace_members(one), 1, 2, 3, link=world.link(one))
    world.finality.on_certificate(false)  # set 1 is not known yet: it cannot be checked
    world.sets[1] = five
    true = world.certificate(one, 5, 6, 7)
    assert world.finality.on_certificate(true).verdict is Verdict.WAITING
    world.know(one)
    assert world.connect(one).certificates == (true,)


def replace_members(toy: Toy) -> Toy:
    return replace(toy, members=FOUR)


@pytest.mark.parametrize("unknown_set", [False, True])
def test_an_unchecked_certificate_is_checked_when_its_block_comes(world: World, unknown_set: bool) -> None:
    five = members(5, 6, 7, 8, number=1)
    one = world.make(world.genesis, arbitrators=five)
    false = world.certificate(replace_members(one), 1, 2, 3, link=world.link(one))
    if not unknown_set:
        world.sets[1] = five
    world.finality.on_certificate(false)
    world.sets[1] = five
    world.know(one)
    assert world.connect(one).actions == ()


def test_waiting_certificates_are_bounded(world: World) -> None:
    wanted = [world.make(world.genesis, str(number)) for number in range(MAX_SOUND + 5)]
    for toy in wanted:
        world.finality.on_certificate(world.certificate(toy, 1, 2, 3))
    first, last = world.know(wanted[0]), world.know(wanted[-1])
    assert world.finality.on_header(sealed(1, 1), last).actions == (Prefer(last.hash),)
    world.know(first)
    assert world.finality._waiting.of(world.link(first)) == []


def unknown(world: World, count: int, first: int = 0) -> list[Certificate]:
    """Make certificates for blocks nobody knows, of sets nobody knows."""
    toys = [
        world.make(world.genesis, f"u{at}", arbitrators=members(5, 6, 7, number=90 + at))
        for at in range(first, first + count)
    ]
    return [world.certificate(toy, 5, 6, 7) for toy in toys]


def test_nobody_pushes_out_what_another_told(world: World) -> None:
    """Certificates that cannot be checked yet have a room for each source, and none among sound ones."""
    five = members(5, 6, 7, 8, number=1)
    sound = world.make(world.genesis, "sound")
    later = world.make(world.genesis, "later", arbitrators=five)
    world.finality.on_certificate(world.certificate(sound, 1, 2, 3), 1)
    world.finality.on_certificate(world.certificate(later, 5, 6, 7), 2)
    for source in (3, 4, 5, 6):
        for certificate in unknown(world, 40, 100 * source):
            assert world.finality.on_certificate(certificate, source).verdict is Verdict.WAITING
    assert len(world.finality._waiting) <= MAX_SOUND + MAX_UNCHECKED
    world.sets[1] = five
    for toy in (sound, later):
        world.know(toy)
    assert world.connect(sound).certificates
    assert world.finality.justified == checkpoint(sound)
    assert world.connect(later).certificates


def test_a_false_one_under_the_same_link_does_not_take_the_place_of_the_true_one(world: World) -> None:
    five = members(5, 6, 7, 8, number=1)
    one = world.make(world.genesis, arbitrators=five)
    true = world.certificate(one, 5, 6, 7)
    world.finality.on_certificate(true, 1)
    false = world.certificate(replace_members(one), 1, 2, 3, link=world.link(one))
    assert world.finality.on_certificate(false, 2).verdict is Verdict.WAITING
    world.sets[1] = five
    world.know(one)
    assert world.connect(one).certificates == (true,)


def test_one_source_has_its_room_and_no_more(world: World) -> None:
    for certificate in unknown(world, MAX_UNCHECKED_EACH + 5):
        world.finality.on_certificate(certificate, 1)
    assert len(world.finality._waiting) == MAX_UNCHECKED_EACH


# --- what is refused ----------------------------------------------------------------------------------


def faults(world: World, link: Link, number: int = 1) -> type[BaseException] | None:
    outcome = world.finality.on_vote(vote_of(link, number))
    assert (outcome.verdict is Verdict.FAULTY) == (outcome.fault is not None)
    return None if outcome.fault is None else type(outcome.fault)


def test_faulty_votes_are_refused_each_for_its_reason(world: World) -> None:
    one = world.add(world.genesis)
    two = world.add(one, certificate=world.certificate(one, 1, 2, 3))
    right = world.link(two)
    wrong_height = replace(right, target=replace(right.target, height=3))
    assert faults(world, wrong_height) is vote_errors.WrongTargetHeight
    assert faults(world, replace(right, set_number=1), 2) is vote_errors.WrongSet
    old_source = replace(right, source=checkpoint(world.genesis))
    assert faults(world, old_source, 3) is vote_errors.WrongSource
    assert faults(world, right, 9) is vote_errors.NotAMember
    unsigned = replace(vote_of(right, 1), signature=b"\xff" * 65)
    assert isinstance(world.finality.on_vote(unsigned).fault, BadSignature)


def test_what_cannot_be_told_yet_blames_nobody(world: World) -> None:
    unknown = world.make(world.genesis)
    later_set = replace(world.link(unknown), set_number=3)
    assert world.finality.on_vote(vote_of(later_set, 77)).verdict is Verdict.IGNORED
    far = Link(0, checkpoint(world.genesis), Checkpoint(BlockHash(bytes([1] * 32)), finality.HORIZON + 1))
    assert world.finality.on_vote(vote_of(far, 1)).verdict is Verdict.IGNORED


def test_faulty_certificates_are_refused_each_for_its_reason(world: World) -> None:
    one = world.add(world.genesis)
    good = world.certificate(one, 1, 2, 3)
    cases = [
        (replace(good, signers=0b0011, signatures=good.signatures[:2]), vote_errors.NoQuorum),
        (replace(good, signers=0b1111), vote_errors.SignatureCount),
        (replace(good, signers=0b10011), vote_errors.UnknownSigner),
        (replace(good, signers=0b1110), vote_errors.WrongMember),
        (replace(good, signatures=(good.signatures[0],) * 3), vote_errors.WrongMember),
        (replace(good, signatures=(b"\xff" * 65, *good.signatures[1:])), vote_errors.WrongMember),
        (replace(good, link=replace(good.link, set_number=1)), vote_errors.WrongLink),
        (
            world.certificate(one, 1, 2, 3, link=replace(good.link, source=Checkpoint(one.hash, 0))),
            vote_errors.WrongLink,
        ),
    ]
    for certificate, reason in cases:
        outcome = world.finality.on_certificate(certificate)
        assert (outcome.verdict, type(outcome.fault)) == (Verdict.FAULTY, reason)
    assert world.finality.on_certificate(good).verdict is Verdict.NEW


def test_votes_count_by_the_set_in_force_at_the_target(world: World) -> None:
    five = members(4, 5, 6, 7, number=1)
    world.sets[1] = five
    one = world.add(world.genesis)
    two = world.know(world.make(one, certificate=world.certificate(one, 1, 2, 3), arbitrators=five))
    world.connect(two)
    assert faults(world, world.link(two), 1) is vote_errors.NotAMember
    assert vote_all(world, two, 4, 5, 6).actions == (Prefer(two.hash), Finalize(one.hash))


def test_a_strangers_vote_for_a_block_to_come_is_told_to_nobody(world: World) -> None:
    """A member of another set is watched; whoever told its vote would be blamed for it."""
    five = members(4, 5, 6, 7, number=1)
    world.sets[1] = five
    one = world.add(world.genesis)
    two = world.make(one, certificate=world.certificate(one, 1, 2, 3), arbitrators=five)
    assert vote_all(world, two, 1, 5).verdict is Verdict.WAITING
    world.know(two)
    assert [vote.signature[:20] for vote in world.connect(two).votes] == [key(5)]
    assert [vote.signature[:20] for vote in world.finality.votes() if vote.link == world.link(two)] == [
        key(5)
    ]


def test_a_vote_twice_counts_once(world: World) -> None:
    one = world.add(world.genesis)
    assert vote_all(world, one, 1, 1, 1, 2).actions == ()
    assert world.finality.on_vote(vote_of(world.link(one), 1)).verdict is Verdict.KNOWN
    resigned = vote_of(world.link(one), 1, salt=1)  # another signature of the same vote is no offence
    outcome = world.finality.on_vote(resigned)
    assert (outcome.verdict, outcome.evidence) == (Verdict.KNOWN, ())


def test_a_known_vote_is_not_verified_again(world: World) -> None:
    one = world.add(world.genesis)
    vote_all(world, one, 1)
    asked = world.signatures.asked
    vote_all(world, one, 1, 1)
    assert world.signatures.asked == asked


# --- who signs twice ----------------------------------------------------------------------------------


def test_two_votes_with_one_target_height_are_evidence_once(world: World) -> None:
    one, other = world.add(world.genesis, "one"), world.add(world.genesis, "other")
    vote_all(world, one, 1)
    outcome = vote_all(world, other, 1)
    (item,) = outcome.evidence
    offence = evidence.check(item, {key(1)}, world.signatures)
    assert offence == evidence.Offence(key(1), evidence.OffenceKind.DOUBLE_VOTE, 1)
    third = world.add(world.genesis, "third")
    assert vote_all(world, third, 1).evidence == ()
    assert len(world.finality.evidence_for(third, 8)) == 1
    assert world.finality.on_evidence(item).verdict is Verdict.KNOWN


def test_a_surrounding_vote_is_evidence(world: World) -> None:
    one = world.add(world.genesis)
    two = world.add(one, certificate=world.certificate(one, 2, 3, 4))
    vote_all(world, two, 1)  # 1 -> 2
    three = world.make(world.make(world.make(world.genesis, "a"), "b"), "c")
    outcome = vote_all(world, three, 1)  # 0 -> 3
    (item,) = outcome.evidence
    assert evidence.check(item, {key(1)}, world.signatures).kind is evidence.OffenceKind.SURROUND_VOTE


def test_conflicting_certificates_prove_who_signed_both(world: World) -> None:
    one, other = world.add(world.genesis, "one"), world.make(world.genesis, "other")
    world.finality.on_certificate(world.certificate(one, 1, 2, 3))
    outcome = world.finality.on_certificate(world.certificate(other, 2, 3, 4))
    guilty = {evidence.offence(item, world.signatures).key for item in outcome.evidence}
    assert guilty == {key(2), key(3)}


def test_a_certificate_in_a_block_proves_too(world: World) -> None:
    one, other = world.add(world.genesis, "one"), world.add(world.genesis, "other")
    vote_all(world, one, 1)
    block = world.know(world.make(other, certificate=world.certificate(other, 1, 2, 3)))
    (item,) = world.connect(block).evidence
    assert evidence.offence(item, world.signatures).key == key(1)


def test_a_certificate_against_a_final_block_is_told_and_not_followed(world: World) -> None:
    one = world.add(world.genesis)
    two = world.add(one, certificate=world.certificate(one, 1, 2, 3))
    vote_all(world, two, 1, 2, 3)
    assert world.finality.finalised == checkpoint(one)
    branch = world.add(world.add(world.genesis, "branch"), "branch")
    outcome = world.finality.on_certificate(world.certificate(branch, 2, 3, 4))
    assert (outcome.verdict, outcome.actions) == (Verdict.CONFLICT, ())
    assert {evidence.offence(item, world.signatures).key for item in outcome.evidence} == {key(2), key(3)}


def test_votes_and_certificates_of_long_ago_cost_no_check(world: World) -> None:
    old = entry = world.add(world.genesis)
    certificate = None
    for _ in range(WATCH_DEPTH + 4):
        entry = world.add(entry, certificate=certificate)
        certificate = world.certificate(entry, 1, 2, 3)
    assert world.finality.finalised.height - old.height > WATCH_DEPTH
    asked = world.signatures.asked
    assert world.finality.on_vote(vote_of(world.link(old), 4)).verdict is Verdict.OLD
    assert world.finality.on_certificate(world.certificate(old, 2, 3, 4)).verdict is Verdict.OLD
    assert world.signatures.asked == asked


def test_two_seals_for_one_slot_are_evidence(world: World) -> None:
    assert world.finality.on_header(sealed(1, 30)).evidence == ()
    assert world.finality.on_header(sealed(1, 30)).evidence == ()
    assert world.finality.on_header(sealed(2, 30, b"x")).evidence == ()
    assert world.finality.on_header(sealed(1, 60, b"x")).evidence == ()
    (item,) = world.finality.on_header(sealed(1, 30, b"x")).evidence
    offence = evidence.check(item, {key(1)}, world.signatures)
    assert offence == evidence.Offence(key(1), evidence.OffenceKind.DOUBLE_SEAL, 30)
    assert world.finality.on_header(sealed(1, 30, b"y")).evidence == ()


def test_made_up_later_slots_do_not_have_true_seals_forgotten(world: World) -> None:
    block = world.add(world.genesis, "one")
    for slot in range(1, 200):
        world.finality.on_header(sealed(1, 10**6 + slot))
    world.finality.on_header(sealed(1, 30), block)
    for slot in range(200, 400):
        world.finality.on_header(sealed(1, 10**6 + slot))
    (item,) = world.finality.on_header(sealed(1, 30, b"x")).evidence
    assert evidence.offence(item, world.signatures).position == 30


def test_strangers_are_not_watched(world: World) -> None:
    assert world.finality.on_header(sealed(9, 30)).verdict is Verdict.IGNORED
    assert world.finality.on_header(sealed(9, 30, b"x")).evidence == ()
    item = evidence.of_seals(sealed(9, 30), sealed(9, 30, b"x"))
    assert world.finality.on_evidence(item).verdict is Verdict.IGNORED


def test_evidence_is_carried_once_on_a_branch(world: World) -> None:
    world.finality.on_header(sealed(1, 30))
    (item,) = world.finality.on_header(sealed(1, 30, b"x")).evidence
    one = world.add(world.genesis, "one")
    assert world.finality.evidence_for(one, 8) == (item,)
    assert world.finality.evidence_for(one, 8, lambda offence: offence.key == key(1)) == ()
    two = world.know(world.make(one, evidence=(item,)))
    world.connect(two)
    assert world.finality.evidence_for(two, 8) == ()
    other = world.add(one, "other")
    assert world.finality.evidence_for(other, 8) == (item,)  # that branch does not carry it


def test_a_key_with_carried_evidence_leaves_the_room_to_others(world: World) -> None:
    """What else it did would be refused: one offence burns a key."""
    for slot in (30, 60):
        world.finality.on_header(sealed(1, slot))
        world.finality.on_header(sealed(1, slot, b"x"))
    world.finality.on_header(sealed(2, 90))
    (last,) = world.finality.on_header(sealed(2, 90, b"x")).evidence
    one = world.add(world.genesis, "one")
    (first,) = world.finality.evidence_for(one, 1)
    two = world.know(world.make(one, evidence=(first,)))
    world.connect(two)
    assert world.finality.evidence_for(two, 1) == (last,)


def test_evidence_in_a_final_block_is_done(world: World) -> None:
    world.finality.on_header(sealed(1, 30))
    (item,) = world.finality.on_header(sealed(1, 30, b"x")).evidence
    one = world.know(world.make(world.genesis, evidence=(item,)))
    world.connect(one)
    two = world.add(one, certificate=world.certificate(one, 2, 3, 4))
    vote_all(world, two, 2, 3, 4)
    assert world.finality.evidence() == ()
    world.finality.on_evidence(item)
    assert world.finality.evidence_for(two, 8) == ()


def test_a_block_carries_one_item_for_each_key(world: World) -> None:
    for number in (1, 2, 3):
        for time in (30, 60):
            world.finality.on_header(sealed(number, time))
            world.finality.on_header(sealed(number, time, b"x"))
    two = world.finality.evidence_for(world.genesis, 2)
    assert {evidence.offence(item, world.signatures).key for item in two} == {key(1), key(2)}
    assert len(world.finality.evidence_for(world.genesis, 8)) == 3
    assert len(world.finality.offences()) == 6


# --- bounds and restarts ------------------------------------------------------------------------------


def test_a_member_cannot_push_out_anothers_votes(world: World) -> None:
    one = world.add(world.genesis)
    vote_all(world, one, 2)
    for number in range(600):
        link = Link(
            0, checkpoint(world.genesis), Checkpoint(BlockHash(number.to_bytes(32, "little")), 2 + number)
        )
        world.finality.on_vote(vote_of(link, 1))
    assert len(world.finality._pool) <= 513
    assert key(2) in world.finality._pool.votes_for(world.link(one))


def test_after_a_restart_the_records_tell_where_finality_stands(world: World) -> None:
    one = world.add(world.genesis)
    two = world.add(one, certificate=world.certificate(one, 1, 2, 3))
    three = world.add(two, certificate=world.certificate(two, 1, 2, 3))
    again = finality.Finality(world, world, world.signatures, three, world.genesis)
    assert (again.justified, again.finalised) == (checkpoint(two), checkpoint(one))


def test_the_certificate_to_carry_is_the_highest_on_the_branch(world: World) -> None:
    one = world.add(world.genesis)
    two = world.add(one)
    side = world.add(one, "side")
    world.finality.on_certificate(world.certificate(one, 1, 2, 3))
    higher = world.certificate(two, 1, 2, 3, link=world.link(two))
    world.finality.on_certificate(higher)
    assert world.finality.certificate_for(two) == higher
    on_side = world.finality.certificate_for(side)
    assert on_side is not None
    assert on_side.link.target == checkpoint(one)
    carrier = world.add(two, certificate=higher)
    assert world.finality.certificate_for(carrier) is None


def test_a_new_peer_hears_what_is_not_final(world: World) -> None:
    one = world.add(world.genesis)
    vote_all(world, one, 1, 2, 3)
    two = world.add(one, certificate=world.finality.certificate_for(one))
    vote_all(world, two, 1)
    assert [vote.link.target.height for vote in world.finality.votes()] == [2, 1, 1, 1]
    assert [known.link.target for known in world.finality.certificates()] == [checkpoint(one)]


def test_genesis_is_no_target(world: World) -> None:
    assert world.finality.link_for(world.genesis) is None
    assert world.connect(world.genesis).actions == ()


def test_a_payload_without_anything_changes_nothing(world: World) -> None:
    one = world.make(world.genesis)
    assert one.payload == Payload()
    world.know(one)
    assert world.connect(one) == Outcome(Verdict.NEW)
