import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chaingen.toy import CODEC, GENESIS, NETWORK, CounterMachine, grow, open_toy, replay, state_rows
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.ledger import schema
from ioex_chain.ledger.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreMissing,
    WrongFormat,
    WrongNetwork,
)
from ioex_chain.ledger.store import LevelStore, MemoryStore, repair
from ioex_chain.ledger.types import KeyValueStore
from ioex_chain.ledger.verify import check, reindex, state_digest


@pytest.fixture(params=["memory", "level"])
def store(request, tmp_path):
    opened = MemoryStore() if request.param == "memory" else LevelStore(tmp_path / "db", create=True)
    yield opened
    opened.close()


ROWS = {b"a": b"1", b"ab": b"2", b"b\xff": b"3", b"b\xff\xff": b"4", b"c": b"5", b"\xff\xff": b"6"}


def test_scan_bounds_and_order(store: KeyValueStore) -> None:
    store.write(ROWS)
    for prefix in (b"", b"a", b"b", b"b\xff", b"b\xff\xff", b"\xff", b"zz"):
        expected = [pair for pair in sorted(ROWS.items()) if pair[0].startswith(prefix)]
        assert list(store.scan(prefix)) == expected
        assert list(store.scan(prefix, reverse=True)) == expected[::-1]
    assert [key for key, _ in store.scan(b"b", start=b"b\xff\x00")] == [b"b\xff\xff"]
    assert [key for key, _ in store.scan(b"b", start=b"a")] == [b"b\xff", b"b\xff\xff"]


def test_write_deletes_and_overwrites(store: KeyValueStore) -> None:
    store.write(ROWS)
    store.write({b"a": None, b"ab": b"", b"nothing": None}, sync=False)
    assert store.get(b"a") is None
    assert store.get(b"ab") == b""
    assert store.get(b"c") == b"5"


def test_snapshot_does_not_move(store: KeyValueStore) -> None:
    store.write(ROWS)
    with store.snapshot() as snapshot:
        store.write({b"a": b"new", b"c": None})
        assert snapshot.get(b"a") == b"1"
        assert dict(snapshot.scan(b"")) == ROWS
        assert list(snapshot.scan(b"c")) == [(b"c", b"5")]
    assert store.get(b"a") == b"new"


@given(st.lists(st.dictionaries(st.binary(max_size=3), st.none() | st.binary(max_size=3)), max_size=6))
def test_both_stores_are_alike(tmp_path_factory, writes) -> None:
    level, memory = LevelStore(tmp_path_factory.mktemp("db"), create=True), MemoryStore()
    for changes in writes:
        level.write(changes, sync=False)
        memory.write(changes)
    assert list(level.scan(b"")) == list(memory.scan(b""))
    assert list(level.scan(b"\xff", reverse=True)) == list(memory.scan(b"\xff", reverse=True))
    level.close()


def test_a_second_process_is_refused(tmp_path) -> None:
    store = LevelStore(tmp_path, create=True)
    with pytest.raises(StoreLocked, match="this process uses"):
        LevelStore(tmp_path, create=False)
    script = (
        "import sys; from pathlib import Path; from ioex_chain.ledger.store import LevelStore\n"
        "try: LevelStore(Path(sys.argv[1]), create=False)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.startswith("StoreLocked another ioex process"), done.stderr
    store.close()
    LevelStore(tmp_path, create=False).close()


def test_a_missing_database_is_said_to_be_missing(tmp_path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StoreMissing, match="no database at"):
            LevelStore(place, create=False)
        assert not (place / "CURRENT").exists()
    with pytest.raises(StoreMissing):
        repair(tmp_path / "nowhere")


def test_use_after_close_is_a_store_error(tmp_path) -> None:
    store = LevelStore(tmp_path, create=True)
    store.close()
    store.close()
    for use in (lambda: store.get(b"a"), lambda: list(store.scan(b"")), store.snapshot, store.compact):
        with pytest.raises(StoreError):
            use()
    with pytest.raises(StoreError):
        store.write({})


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from ioex_chain.ledger.errors import StoreFull
from ioex_chain.ledger.store import LevelStore
from chaingen.toy import GENESIS, grow, open_toy
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = LevelStore(Path(sys.argv[1]), create=True)
ledger = open_toy(store)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
for block in grow(GENESIS.hash, 300):
    try:
        ledger.accept_block(block)
    except StoreFull as error:
        print(ledger.head.height, error)
        break
for use in (lambda: store.write({b"x": b""}), lambda: store.get(b"total"), store.snapshot):
    try:
        use()
        print("went on")
    except StoreFull:
        print("refused")
"""


@pytest.mark.parametrize("limit", [2_000, 4_001, 7_777, 15_000, 40_000])
def test_a_full_disk_stops_and_leaves_a_whole_chain(tmp_path, limit) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), str(limit)],
        capture_output=True,
        text=True,
        env=environment,
    )
    first, *rest = done.stdout.splitlines()
    assert "takes no more writes" in first, done.stderr
    assert rest == ["refused"] * 3
    acknowledged = int(first.split()[0])
    store = LevelStore(tmp_path, create=False)
    ledger = open_toy(store)
    assert ledger.head.height in (acknowledged, acknowledged + 1)
    assert state_rows(ledger) == replay(ledger, CounterMachine())
    for block in grow(GENESIS.hash, 300):
        ledger.accept_block(block)
    assert ledger.head.height == 300
    assert check(store, CODEC).problems == []
    store.close()


def test_a_failed_batch_poisons_the_store(tmp_path, monkeypatch) -> None:
    store = LevelStore(tmp_path, create=True)
    real = store._db

    class Refusing:
        def __getattr__(self, name):
            return getattr(real, name)

        def write_batch(self, **_options):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_db", Refusing())
    with pytest.raises(StoreFull, match="No space left"):
        store.write({b"a": b"1"})
    monkeypatch.setattr(store, "_db", real)
    for use in (lambda: store.write({b"a": b"1"}), lambda: store.get(b"a"), lambda: list(store.scan(b""))):
        with pytest.raises(StoreFull, match="restart the node"):
            use()
    store.close()


def test_wrong_network_format_and_stranger(tmp_path) -> None:
    store = MemoryStore()
    open_toy(store)
    with pytest.raises(WrongNetwork, match="--network"):
        open_toy(store, network_id=bytes(32))
    with pytest.raises(WrongNetwork):
        open_toy(store, genesis=grow(GENESIS.hash, 1)[0])
    store.write({schema.META_FORMAT: schema.encode_height(schema.FORMAT_VERSION + 1)})
    with pytest.raises(WrongFormat, match="format 2"):
        open_toy(store)
    with pytest.raises(WrongFormat, match="not written by ioex"):
        open_toy(MemoryStore({b"hello": b"world"}))
    assert bytes(32) != NETWORK


@pytest.mark.parametrize(
    "key",
    [
        schema.META_FORMAT,
        schema.META_HEAD,
        schema.META_FLOOR,
        schema.META_SEQUENCE,
        schema.META_UNDO,
        schema.META_APPROVED,
        schema.best_key(2),
        schema.best_key(5),
    ],
)
@pytest.mark.parametrize("value", [None, b"", b"?" * 32, b"?" * 33])
def test_a_lost_or_strange_row_is_found_at_opening(key, value) -> None:
    if key == schema.META_FORMAT and value == b"?" * 32:
        value = b"?" * 5
    if key == schema.META_APPROVED and value in (b"", b"?" * 32):
        value = b"?"  # those are good values
    store = MemoryStore()
    ledger = open_toy(store, window=3)
    for block in grow(GENESIS.hash, 5):
        ledger.accept_block(block)
    store.write({key: value})
    if key == schema.best_key(2) and value is not None:
        assert check(store, CODEC).problems  # below the window only its being there is looked at
        return
    with pytest.raises(StoreCorrupt, match="ioex db"):
        open_toy(store, window=3)


def test_a_missing_header_in_the_window_is_found_at_opening() -> None:
    store = MemoryStore()
    ledger = open_toy(store)
    blocks = grow(GENESIS.hash, 5)
    for block in blocks:
        ledger.accept_block(block)
    store.write({schema.entry_key(3, blocks[2].hash): None})
    with pytest.raises(StoreCorrupt, match="has no parent"):
        open_toy(store)
    assert len(check(store, CODEC).problems) >= 3


def build(path: Path) -> tuple[bytes, list]:
    """Give a database with several table files and a log, its state digest, and its blocks."""
    blocks = [*grow(GENESIS.hash, 150, note=1), *grow(GENESIS.hash, 4, note=2)]
    digest = b""
    for part in (blocks[:60], blocks[60:110], blocks[110:]):  # reopening turns the log into a table
        store = LevelStore(path, create=True, write_buffer=16_384)
        ledger = open_toy(store, window=8)
        for block in part:
            ledger.accept_block(block, sync=False)
        digest = state_digest(store)
        store.close()
    return digest, blocks


def damage(file: Path, how: str) -> None:
    data = file.read_bytes()
    if how == "removed":
        file.unlink()
    elif how.startswith("cut"):
        file.write_bytes(data[: int(len(data) * float(how.split()[1]))])
    elif data:
        at = int((len(data) - 1) * float(how.split()[1]))
        file.write_bytes(data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :])


def prove_sound_or_refused(path: Path, blocks: list) -> str:
    """Open and use the database: it must be right, or say what to do. Gives which."""
    try:
        store = LevelStore(path, create=True)
    except StoreError as refusal:
        return explained(refusal, str(path))
    try:
        ledger = open_toy(store, window=8)
        for block in blocks:  # those that were lost come again
            ledger.accept_block(block, sync=False)
        found = state_rows(ledger)
        expected = replay(ledger, CounterMachine())
        problems = check(store, CODEC).problems
    except StoreCorrupt as refusal:
        return explained(refusal, "ioex db")
    finally:
        store.close()
    if problems:
        return "found by the check"
    assert ledger.head.height == 150
    assert found == expected
    return "right"


def explained(refusal: StoreError, needed: str) -> str:
    assert needed in str(refusal)
    assert "`ioex db " in str(refusal)
    return "refused"


DAMAGES = ["removed", "cut 0", "cut 0.4", "cut 0.9", "cut 0.999"] + [
    f"flip {at}" for at in (0, 0.02, 0.1, 0.35, 0.6, 0.8, 0.97, 1)
]


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> tuple[Path, bytes, list]:
    path = tmp_path_factory.mktemp("good")
    return path, *build(path)


@pytest.mark.parametrize("how", DAMAGES)
def test_damage_to_any_file_is_healed_or_named(tmp_path, good, how) -> None:
    source, digest, blocks = good
    outcomes = {}
    for file in sorted(source.iterdir()):
        path = tmp_path / file.name
        shutil.copytree(source, path)
        damage(path / file.name, how)
        outcomes[file.name] = prove_sound_or_refused(path, blocks)
        if outcomes[file.name] != "right":
            assert heal(path, blocks, tmp_path / f"new {file.name}") == digest
    assert len(outcomes) >= 6
    print(how, outcomes)


def heal(path: Path, blocks: list, fresh: Path) -> bytes:
    """Do what the message says; what was lost comes from peers."""
    try:
        repair(path)
        old: KeyValueStore = LevelStore(path, create=False)
    except StoreError:
        old = MemoryStore()  # nothing to be saved
    new = LevelStore(fresh, create=True)
    ledger = open_toy(new, window=8)
    reindex(old, ledger, CODEC)
    for block in blocks:
        ledger.accept_block(block, sync=False)
    assert check(new, CODEC).problems == []
    digest = state_digest(new)
    new.close()
    old.close()
    return digest


def test_a_repaired_database_must_be_rebuilt(tmp_path) -> None:
    digest, _ = build(tmp_path / "db")
    repair(tmp_path / "db")
    store = LevelStore(tmp_path / "db", create=False)
    with pytest.raises(StoreCorrupt, match="ioex db reindex"):
        open_toy(store)
    fresh = MemoryStore()
    reindex(store, open_toy(fresh), CODEC)
    assert state_digest(fresh) == digest
    store.close()


def test_a_lost_current_file_never_becomes_an_empty_database(tmp_path) -> None:
    build(tmp_path)
    before = {file.name for file in tmp_path.iterdir()} - {"CURRENT"}
    (tmp_path / "CURRENT").unlink()
    with pytest.raises(StoreCorrupt, match="CURRENT is missing"):
        LevelStore(tmp_path, create=True)
    assert {file.name for file in tmp_path.iterdir()} == before


def test_compaction_keeps_everything(tmp_path) -> None:
    digest, _ = build(tmp_path)
    store = LevelStore(tmp_path, create=False)
    assert store.size() > 10_000
    store.compact()
    assert state_digest(store) == digest
    assert check(store, CODEC).problems == []
    store.close()


def test_rebuilding_passes_over_rows_that_repair_let_through_damaged() -> None:
    store = MemoryStore()
    ledger = open_toy(store)
    blocks = grow(GENESIS.hash, 6)
    for block in blocks:
        ledger.accept_block(block)
    body = store.get(schema.body_key(blocks[4].hash))
    entry = store.get(schema.entry_key(2, blocks[1].hash))
    assert body is not None
    assert entry is not None
    store.write(
        {
            schema.META_REPAIRED: b"",
            schema.body_key(b"\x01" * 32): store.get(schema.body_key(blocks[2].hash)),  # a flipped key
            schema.body_key(blocks[4].hash): body[:-1] + b"?",
            schema.best_key(4): b"?" * 32,
            schema.entry_key(2, blocks[1].hash): bytes((entry[0] | 4,)) + entry[1:],  # a flipped mark
            schema.META_FLOOR: b"?" * 32,
        }
    )
    assert len(check(store, CODEC).problems) >= 5
    fresh = MemoryStore()
    rebuilt = open_toy(fresh)
    assert reindex(store, rebuilt, CODEC) == 4
    rebuilt.accept_block(blocks[4])
    assert rebuilt.head.hash == blocks[5].hash
    assert state_digest(fresh) == state_digest(store)


def test_marks_of_an_unharmed_database_are_kept() -> None:
    store = MemoryStore()
    ledger = open_toy(store)
    for block in (blocks := grow(GENESIS.hash, 6)):
        ledger.accept_block(block)
    ledger.finalize(blocks[1].hash)
    ledger.invalidate(blocks[3].hash)
    rebuilt = open_toy(MemoryStore())
    assert reindex(store, rebuilt, CODEC) == 3
    assert rebuilt.floor.hash == blocks[1].hash
    assert rebuilt.entry(blocks[3].hash).status.is_invalid


def flipped(path: Path, pattern: str, at: float) -> None:
    [file] = path.glob(pattern)
    data = bytearray(file.read_bytes())
    data[int(at * len(data))] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("at", [0.01, 0.2, 0.4, 0.6, 0.8])
def test_a_flipped_bit_in_a_table_is_an_error_not_a_value(tmp_path, at) -> None:
    rows = {b"k%04d" % number: os.urandom(200) for number in range(500)}  # does not compress
    store = LevelStore(tmp_path, create=True)
    store.write(rows)
    store.close()
    LevelStore(tmp_path, create=False).close()  # turns the log into a table
    flipped(tmp_path, "*.ldb", at)
    store = LevelStore(tmp_path, create=False)
    with pytest.raises(StoreCorrupt, match="ioex db repair"):
        dict(store.scan(b""))
    with store.snapshot() as snapshot, pytest.raises(StoreCorrupt):
        dict(snapshot.scan(b""))
    refused = 0
    for key, value in rows.items():
        try:
            assert store.get(key) == value
        except StoreCorrupt:
            refused += 1
    assert 0 < refused < 60
    store.close()


@pytest.mark.parametrize("at", [0.01, 0.5, 0.9])
def test_a_flipped_bit_in_the_log_loses_nothing_silently(tmp_path, at) -> None:
    store = LevelStore(tmp_path, create=True)
    for number in range(200):
        store.write({b"k%04d" % number: os.urandom(200)}, sync=False)
    store.close()
    flipped(tmp_path, "*.log", at)
    with pytest.raises(StoreCorrupt, match="ioex db repair"):
        LevelStore(tmp_path, create=False)
