"""One seal per slot, one vote per target height, whatever happens to the process, the disk and the clock."""

import pickle
import traceback
from pathlib import Path

import pytest
from unit.dpos.signer_world import (
    GENESIS,
    KEYS,
    ONE,
    SCHEDULE,
    THREE,
    TWO,
    Machine,
    MemoryMarker,
    hash_of,
    link,
)

from ioex_chain.dpos import seal, signing_errors
from ioex_chain.dpos.journal import Journal
from ioex_chain.dpos.journal_file import BootMarker, DiskFile, KeyMarkers, marker_name
from ioex_chain.dpos.signer import Signer, SigningKey
from ioex_chain.dpos.votes import Link


@pytest.fixture
def machine() -> Machine:
    return Machine()


def vote(signer: Signer, link_: Link, *keys: bytes) -> list[type[BaseException]]:
    """Give the reasons of those that did not vote."""
    votes, refused = signer.sign_votes(keys or (ONE,), link_)
    assert len(votes) + len(refused) == len(keys or (ONE,))
    return [type(reason) for _, reason in refused]


def test_seals_and_votes_are_signed_by_their_key(machine: Machine) -> None:
    signer = machine.ready()
    header = machine.header()
    signature = signer.sign_seal(ONE, header)
    assert seal.signer_of(signature, seal.seal_digest(GENESIS, header.hash)) == ONE
    votes, _ = signer.sign_votes([TWO, THREE], link(0, 1))
    digest = seal.vote_digest(GENESIS, link(0, 1))
    assert [seal.signer_of(given.signature, digest) for given in votes] == [TWO, THREE]


def test_one_seal_per_slot_and_slots_rise(machine: Machine) -> None:
    signer = machine.ready()
    first = signer.sign_seal(ONE, machine.header())
    assert signer.sign_seal(ONE, machine.header()) == first
    with pytest.raises(signing_errors.SlotTaken):
        signer.sign_seal(ONE, machine.header(extra=b"x"))
    signer.sign_seal(TWO, machine.header(extra=b"x"))
    machine.slot -= 1
    with pytest.raises(signing_errors.SlotTaken):
        signer.sign_seal(ONE, machine.header(extra=b"y"))


def test_only_the_present_slot_is_sealed(machine: Machine) -> None:
    signer = machine.ready()
    for slot in (machine.slot - 1, machine.slot + 1):
        with pytest.raises(signing_errors.NotThisSlot):
            signer.sign_seal(ONE, machine.header(slot))


def test_votes_rise_and_never_surround(machine: Machine) -> None:
    signer = machine.ready()
    assert vote(signer, link(5, 9)) == []
    assert vote(signer, link(5, 9)) == []
    assert vote(signer, link(5, 9, "other")) == [signing_errors.HeightTaken]
    assert vote(signer, link(5, 9, set_number=1)) == [signing_errors.HeightTaken]
    assert vote(signer, link(6, 8)) == [signing_errors.HeightTaken]
    assert vote(signer, link(4, 10)) == [signing_errors.SourceLower]
    assert vote(signer, link(5, 10)) == []


def test_what_was_signed_is_known_after_a_restart(machine: Machine) -> None:
    signer = machine.ready()
    signer.sign_seal(ONE, machine.header())
    vote(signer, link(5, 9))
    again = machine.start()
    again.tick(online=True, tallest=0)
    assert again.slots_left == 0  # the marker proves that the journal is the newest
    with pytest.raises(signing_errors.SlotTaken):
        again.sign_seal(ONE, machine.header(extra=b"x"))
    assert vote(again, link(5, 9, "x")) == [signing_errors.HeightTaken]
    assert vote(again, link(4, 10)) == [signing_errors.SourceLower]
    assert vote(again, link(5, 9)) == []
    assert vote(again, link(5, 10)) == []


def test_keys_that_it_does_not_hold_are_refused(machine: Machine) -> None:
    signer = machine.ready()
    with pytest.raises(signing_errors.UnknownKey):
        signer.sign_seal(bytes(20), machine.header())


# --- no proof that the journal is the newest ----------------------------------------------------------


def test_without_proof_it_listens_first(machine: Machine) -> None:
    signer = machine.start()
    with pytest.raises(signing_errors.Watching):
        signer.check(ONE)
    start = machine.slot
    for slot in range(start, start + 4):
        machine.slot = slot
        signer.tick(online=True, tallest=7)
        assert vote(signer, link(0, 50)) == [signing_errors.Watching]
        with pytest.raises(signing_errors.Watching, match=r"[1-4] more slots"):
            signer.sign_seal(ONE, machine.header())
    machine.slot += 1
    signer.tick(online=True, tallest=7)
    assert vote(signer, link(0, 7)) == [signing_errors.HeightTaken]  # any block known may have been voted for
    assert vote(signer, link(0, 8)) == []


def test_slots_offline_or_in_one_moment_do_not_count(machine: Machine) -> None:
    signer = machine.start()
    for _ in range(20):
        signer.tick(online=True, tallest=0)
    for slot in range(101, 120):
        machine.slot = slot
        signer.tick(online=False, tallest=0)
    assert signer.slots_left == 4


def test_an_old_backup_waits_until_it_is_past_what_it_signed(machine: Machine) -> None:
    signer = machine.ready()
    vote(signer, link(5, 9))
    backup = machine.file.data
    for height in range(10, 20):
        vote(signer, link(height - 1, height))
    machine.slot += 1
    signer.sign_seal(ONE, machine.header())
    sealed = machine.slot, machine.header().hash

    machine.file.data = backup
    restored = machine.start()
    restored.saw_seal(ONE, *sealed)
    restored.saw_vote(ONE, link(18, 19), machine.slot)
    with pytest.raises(signing_errors.Watching):
        restored.check(ONE)
    restored.tick(online=True, tallest=15)
    restored.saw_vote(ONE, link(17, 18), None)
    machine.listen(restored, tallest=15)
    assert restored.twin_of(ONE) is None
    assert vote(restored, link(18, 19, "x")) == [signing_errors.HeightTaken]
    assert vote(restored, link(17, 20)) == [signing_errors.SourceLower]
    assert vote(restored, link(18, 20)) == []
    assert vote(restored, link(14, 15), TWO) == [signing_errors.HeightTaken]
    assert vote(restored, link(14, 16), TWO) == []


def test_what_was_heard_while_listening_is_on_disk_before_anything_is_signed(machine: Machine) -> None:
    restored = machine.start()
    restored.saw_vote(TWO, link(18, 19), 90)
    machine.listen(restored)
    vote(restored, link(0, 1), ONE)
    again = machine.start()
    again.tick(online=True, tallest=0)
    assert again.slots_left == 0
    assert vote(again, link(18, 19), TWO) == [signing_errors.HeightTaken]
    assert vote(again, link(17, 20), TWO) == [signing_errors.SourceLower]


def test_what_is_heard_late_is_kept_too(machine: Machine) -> None:
    signer = machine.ready()
    signer.saw_vote(ONE, link(3, 30), None)
    signer.saw_seal(ONE, 90, hash_of("old"))
    assert vote(signer, link(3, 30)) == [signing_errors.HeightTaken]
    again = machine.start()
    again.tick(online=True, tallest=0)
    assert vote(again, link(3, 30)) == [signing_errors.HeightTaken]


def test_before_the_first_slot_and_on_a_chain_made_here_nothing_is_to_be_heard() -> None:
    early = Machine()
    early.slot = 0
    signer = early.start()
    signer.tick(online=True, tallest=0)
    assert signer.slots_left == 0
    new = Machine().start(new_chain=True)
    new.tick(online=False, tallest=0)
    assert new.slots_left == 0


def test_an_empty_journal_proves_nothing(machine: Machine) -> None:
    vote(machine.ready(), link(0, 1))
    machine.file.data = None
    signer = machine.start()
    signer.tick(online=True, tallest=0)
    assert signer.slots_left == 4


# --- a twin -------------------------------------------------------------------------------------------


def test_a_twins_seal_silences_the_key_for_good(machine: Machine) -> None:
    signer = machine.ready()
    machine.slot += 5
    signer.saw_seal(ONE, machine.slot, hash_of("twin"))
    for act in (
        lambda: signer.sign_seal(ONE, machine.header()),
        lambda: signer.check(ONE),
    ):
        with pytest.raises(signing_errors.TwinSeen, match="another process"):
            act()
    assert vote(signer, link(0, 1), ONE, TWO) == [signing_errors.TwinSeen]
    machine.slot += 500
    assert vote(signer, link(0, 2), ONE) == [signing_errors.TwinSeen]


def test_a_twins_vote_silences_the_key(machine: Machine) -> None:
    signer = machine.ready()
    machine.slot += 5
    vote(signer, link(0, 1))
    signer.saw_vote(ONE, link(0, 1), machine.slot)
    assert signer.twin_of(ONE) is None
    signer.saw_vote(ONE, link(0, 1, "other"), machine.slot)
    assert signer.twin_of(ONE)


def test_the_second_of_two_refuses_while_it_listens(machine: Machine) -> None:
    second = machine.start()
    second.tick(online=True, tallest=0)
    machine.slot += 2
    second.saw_vote(ONE, link(0, 1), machine.slot)
    machine.listen(second)
    assert vote(second, link(0, 5), ONE, TWO) == [signing_errors.TwinSeen]


def test_its_own_echo_is_no_twin(machine: Machine) -> None:
    signer = machine.ready()
    for number in range(20):
        machine.slot += 1
        signer.sign_seal(ONE, machine.header())
        vote(signer, link(number, number + 1))
    for number in range(20):
        slot = machine.slot - 19 + number
        signer.saw_seal(ONE, slot, machine.header(slot).hash)
        signer.saw_vote(ONE, link(number, number + 1), slot)
    assert signer.twin_of(ONE) is None


def test_others_are_none_of_its_business(machine: Machine) -> None:
    signer = machine.ready()
    signer.saw_seal(bytes(20), machine.slot + 9, hash_of("x"))
    signer.saw_vote(bytes(20), link(0, 1), machine.slot + 9)
    assert signer.twin_of(bytes(20)) is None


# --- the disk -----------------------------------------------------------------------------------------


def test_a_disk_that_refuses_stops_all_signing(machine: Machine) -> None:
    signer = machine.ready()
    machine.file.dies_at = machine.file.writes + 1
    with pytest.raises(signing_errors.JournalFailed, match="No space left"):
        signer.sign_votes([ONE], link(0, 1))
    with pytest.raises(signing_errors.JournalFailed):
        signer.sign_seal(TWO, machine.header())


def test_a_torn_tail_is_cut_and_told(machine: Machine) -> None:
    signer = machine.ready()
    vote(signer, link(0, 1))
    whole = machine.file.data
    assert whole is not None
    vote(signer, link(1, 2))
    assert machine.file.data is not None
    machine.file.data = machine.file.data[:-5]
    again = machine.start()
    assert machine.file.data == whole
    assert machine.file.damaged is not None
    again.tick(online=True, tallest=0)
    assert again.slots_left == 4  # the vote for 2 was signed: without its record there is no proof


@pytest.mark.parametrize("step", [7])
def test_every_flipped_byte_is_noticed(machine: Machine, step: int) -> None:
    signer = machine.ready()
    for height in range(1, 6):
        vote(signer, link(height - 1, height))
    whole = machine.file.data
    assert whole is not None
    for at in range(0, len(whole), step):
        machine.file.data = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        try:
            journal = Journal(machine.file, machine.marker, GENESIS)
        except signing_errors.WrongJournal:
            refused_to = at
        else:
            assert journal.damage
            assert not journal.is_continuous
    assert refused_to < 40


def test_every_truncation_is_noticed(machine: Machine) -> None:
    signer = machine.ready()
    for height in range(1, 4):
        vote(signer, link(height - 1, height))
    whole = machine.file.data
    assert whole is not None
    for size in range(1, len(whole)):
        machine.file.data = whole[:size]
        try:
            assert not Journal(machine.file, machine.marker, GENESIS).is_continuous
        except signing_errors.WrongJournal:
            assert size < 40


def test_another_chains_journal_is_refused(machine: Machine) -> None:
    machine.ready()
    with pytest.raises(signing_errors.WrongJournal):
        Journal(machine.file, machine.marker, bytes(32))


def test_compaction_keeps_what_matters(machine: Machine) -> None:
    signer = machine.start(compact_at=2000, new_chain=True)
    signer.tick(online=True, tallest=0)
    sizes = []
    for height in range(1, 60):
        machine.slot += 1
        signer.sign_seal(TWO, machine.header())
        vote(signer, link(height - 1, height), ONE, TWO)
        sizes.append(len(machine.file.data or b""))
    assert max(sizes) < 3000
    again = machine.start()
    again.tick(online=True, tallest=0)
    assert again.slots_left == 0
    for key in (ONE, TWO):
        assert vote(again, link(58, 59, "x"), key) == [signing_errors.HeightTaken]
        assert vote(again, link(58, 59), key) == []
    with pytest.raises(signing_errors.SlotTaken):
        again.sign_seal(TWO, machine.header(extra=b"x"))


def test_on_a_real_disk(tmp_path: Path) -> None:
    path = tmp_path / "signer" / "journal"
    marker_path = tmp_path / "run" / marker_name(GENESIS, [ONE])
    machine = Machine()
    marker = BootMarker(marker_path, b"boot 1")
    journal = Journal(DiskFile(path), marker, GENESIS)
    signer = Signer(KEYS, journal, GENESIS, SCHEDULE, machine.now, window=1)
    machine.listen(signer)
    vote(signer, link(0, 1))
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(signing_errors.MarkerLocked):
        BootMarker(marker_path, b"boot 1")
    marker.close()
    marker = BootMarker(marker_path, b"boot 1")
    again = Journal(DiskFile(path), marker, GENESIS)
    assert again.is_continuous
    assert again.memory(ONE) == journal.memory(ONE)
    marker.close()
    rebooted = BootMarker(marker_path, b"boot 2")
    assert not Journal(DiskFile(path), rebooted, GENESIS).is_continuous
    rebooted.close()
    path.unlink()
    with pytest.raises(signing_errors.JournalFailed):
        vote(signer, link(1, 2))


def test_processes_that_share_a_key_meet_at_its_marker(tmp_path: Path) -> None:
    both = KeyMarkers(tmp_path, GENESIS, [ONE, TWO], b"boot")
    both.write(b"both")
    assert both.read() == b"both"
    for keys in ([ONE], [TWO], [TWO, bytes(20)]):
        with pytest.raises(signing_errors.MarkerLocked):
            KeyMarkers(tmp_path, GENESIS, keys, b"boot")
    both.close()
    alone = KeyMarkers(tmp_path, GENESIS, [TWO], b"boot")
    alone.write(b"alone")
    alone.close()
    again = KeyMarkers(tmp_path, GENESIS, [ONE, TWO], b"boot")
    assert again.read() is None  # one of them signed elsewhere meanwhile
    again.close()


# --- the secret and the marker ------------------------------------------------------------------------


def test_the_secret_shows_nowhere(machine: Machine) -> None:
    private = bytes.fromhex("5ec7e75ec7e7" + "11" * 26)
    key = SigningKey(private)
    shown = [repr(key), str(key), f"{key}", repr(machine.start())]
    with pytest.raises(TypeError):
        pickle.dumps(key)
    try:
        key.sign(b"short")
    except ValueError:
        shown.append(traceback.format_exc())
    assert not any("5ec7e7" in text or repr(private)[2:10] in text for text in shown)
    assert not hasattr(key, "__dict__")


def test_a_marker_behind_the_journal_is_proof_one_ahead_is_not(machine: Machine) -> None:
    signer = machine.ready()
    vote(signer, link(0, 1))
    behind, older = machine.marker.digest, machine.file.data
    vote(signer, link(1, 2))
    newest, machine.marker.digest = machine.marker.digest, behind
    assert Journal(machine.file, machine.marker, GENESIS).is_continuous
    machine.file.data, machine.marker.digest = older, newest
    assert not Journal(machine.file, machine.marker, GENESIS).is_continuous
    assert not Journal(machine.file, MemoryMarker(), GENESIS).is_continuous


def test_a_marker_in_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError, match="alone"):
        BootMarker(tmp_path / "marker", b"boot")
