import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.ledger import schema
from ioex_chain.ledger.errors import StoreCorrupt
from ioex_chain.ledger.overlay import Overlay, StateKeyError, decode_undo, encode_undo
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.primitives.errors import DecodeError

keys = st.binary(min_size=1, max_size=3).map(lambda tail: b"k" + tail)
rows = st.dictionaries(keys, st.binary(max_size=4), max_size=8)
deeds = st.lists(st.tuples(st.sampled_from(["put", "delete", "get", "scan"]), keys, st.binary(max_size=4)))


class CountingStore(MemoryStore):
    reads = 0

    def get(self, key: bytes) -> bytes | None:
        self.reads += 1
        return super().get(key)


def apply(overlay: Overlay, model: dict[bytes, bytes], deed: tuple[str, bytes, bytes]) -> None:
    what, key, value = deed
    if what == "put":
        overlay.put(key, value)
        model[key] = value
    elif what == "delete":
        overlay.delete(key)
        model.pop(key, None)
    elif what == "get":
        assert overlay.get(key) == model.get(key)
    else:
        prefix = key[:2]
        assert list(overlay.scan(prefix)) == sorted(row for row in model.items() if row[0].startswith(prefix))


@given(rows, st.lists(deeds, max_size=4))
def test_reads_see_writes_and_undo_takes_every_block_back(before, blocks) -> None:
    overlay, model, undone = Overlay(MemoryStore(before)), dict(before), []
    for block in blocks:
        overlay.begin()
        was = dict(model)
        for deed in block:
            apply(overlay, model, deed)
        undone.append((overlay.seal(), was))
        assert list(overlay.scan(b"")) == sorted(model.items())
    for undo, was in reversed(undone):
        overlay.restore(undo)
        assert list(overlay.scan(b"k")) == sorted(was.items())
        assert all(overlay.get(key) == was.get(key) for key in overlay.changes)


@given(st.dictionaries(st.binary(max_size=300), st.none() | st.binary(max_size=300)))
def test_undo_records_read_back(before) -> None:
    assert decode_undo(encode_undo(before)) == before


@given(st.binary(max_size=60))
def test_any_bytes_decode_or_raise_decode_error(data) -> None:
    try:
        decode_undo(data)
    except DecodeError:
        return


@given(st.dictionaries(keys, st.none() | keys, min_size=1), st.data())
def test_truncated_or_longer_undo_is_refused(before, data) -> None:
    undo = encode_undo(before)
    at = data.draw(st.integers(0, len(undo) - 1))
    for wrong in (undo[:at], undo + b"x"):
        with pytest.raises(DecodeError):
            decode_undo(wrong)


def test_creating_reads_nothing_and_spending_reads_once() -> None:
    store = CountingStore({b"spent": b"1"})
    overlay = Overlay(store)
    overlay.begin()
    overlay.create(b"made", b"2")
    assert store.reads == 0
    assert overlay.get(b"spent") == b"1"
    overlay.delete(b"spent")
    assert store.reads == 1
    assert decode_undo(overlay.seal()) == {b"made": None, b"spent": b"1"}


@pytest.mark.parametrize("key", [b"", b"Mhead", b"N\x00\x00\x00\x00", b"{", b"\xff"])
def test_a_block_may_write_state_keys_only(key) -> None:
    overlay = Overlay(MemoryStore())
    overlay.put(b"good", b"")
    overlay.put(key, b"")
    with pytest.raises(StateKeyError):
        overlay.seal()


def test_a_key_that_is_too_long_is_refused() -> None:
    with pytest.raises(StateKeyError):
        encode_undo({b"k" * 65_536: None})


@given(st.integers(0, 255), st.integers(0, 2**64 - 1), st.integers(0, 2**300), st.binary(max_size=200))
def test_entries_read_back(status, sequence, weight, header) -> None:
    value = schema.encode_entry(status, sequence, weight, header)
    assert schema.decode_entry(b"E", value) == (status, sequence, weight, header)
    for cut in range(len(value) - len(header)):
        with pytest.raises(StoreCorrupt):
            schema.decode_entry(b"E", value[:cut])


def test_rows_sort_by_height() -> None:
    heights = [0, 1, 255, 256, 65_536, 2**32 - 1]
    for make in (schema.best_key, schema.level_prefix):
        assert [make(height) for height in heights] == sorted(make(height) for height in heights)
    assert schema.split_tall_key(schema.undo_key(7, b"\x01" * 32)) == (7, b"\x01" * 32)
    with pytest.raises(StoreCorrupt):
        schema.split_tall_key(b"U123")
