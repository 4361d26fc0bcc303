"""The light client's arithmetic and its reader of AuxPoW records against pow/, on random input.

Difficulty over the whole range of heights, times and parameters; records with bytes changed, put in and left
out, before and after the parent block commits to the coinbase.
"""

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
from chaingen.builder import auxpow, solve
from chaingen.light_world import ADDRESS, LightWorld, Reverted
from chaingen.specs import EASY_BITS, story_spec
from hypothesis import given, settings
from hypothesis import strategies as st

from ioex_chain.crypto.hashes import sha256d
from ioex_chain.evm.light_client import jump_span, packed_rules
from ioex_chain.evm.system import artefact
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.pow import errors
from ioex_chain.pow.auxpow import AuxPow
from ioex_chain.pow.consensus import PowEngine
from ioex_chain.pow.difficulty import bits_of, next_bits
from ioex_chain.pow.genesis import genesis_block
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.codec import Reader
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.merkle import branch_root
from ioex_chain.spec.model import PowSpec

SPEC = story_spec()
uint32 = st.integers(0, 2**32 - 1)


@cache
def world() -> LightWorld:
    return LightWorld(SPEC)


# --- difficulty ------------------------------------------------------------------------------------------

targets = st.integers(1, 2**255 - 1) | st.integers(0, 254).map(lambda bit: 1 << bit)


@st.composite
def rules(draw: st.DrawFn) -> PowSpec:
    limit = draw(targets)
    return replace(
        SPEC.pow,
        fixed_difficulty=draw(st.integers(0, 9)) == 0,
        pow_limit_bits=bits_of(limit),
        genesis_bits=bits_of(draw(st.integers(1, limit) | st.just(limit))),
        spacing=draw(st.integers(1, 3_600)),
        half_life=draw(st.integers(1, 10**6)),
        genesis_time=draw(uint32),
    )


@settings(max_examples=400)
@given(rules(), uint32, uint32, st.integers(-290, 290), st.integers(0, 2))
def test_the_difficulty_rule_is_the_nodes(
    spec: PowSpec, height: int, time: int, halves: int, how: int
) -> None:
    """Anywhere, some half-lives off the schedule (where the target's bits leave 256), or nearly on it."""
    if how:
        height %= 10**5
        late = halves * spec.half_life + time % spec.half_life if how == 1 else halves
        time = min(max(0, spec.genesis_time + spec.spacing * height + late), 2**32 - 1)
    light = world()
    light.state.set_storage(ADDRESS, artefact("PowLightClient").slots["rules"], packed_rules(spec))
    try:
        assert light.view("nextBits", height, time) == next_bits(spec, height, time)
    finally:
        light.state.set_storage(ADDRESS, artefact("PowLightClient").slots["rules"], packed_rules(SPEC.pow))
        light.state.lock_changes()


def test_a_product_of_more_than_256_bits_is_the_limit() -> None:
    """2**250 doubled sixteen times and more: its low 256 bits are zero."""
    bits = bits_of(1 << 250)
    spec = replace(SPEC.pow, fixed_difficulty=False, genesis_bits=bits, pow_limit_bits=bits, half_life=600)
    light = LightWorld(replace(SPEC, pow=spec))
    for halves in (6, 16, 20, 300):
        assert light.view("nextBits", 0, spec.genesis_time + 600 * halves) == bits
        assert next_bits(spec, 0, spec.genesis_time + 600 * halves) == bits


FORMS = (
    st.builds(lambda size, rest: size << 24 | rest, st.integers(0, 36), st.integers(0, 2**24 - 1)) | uint32
)


@given(FORMS | st.sampled_from((0x01003456, 0x20FFFFFF, 0x21010000, 0x2100FFFF, 0x22000100, 0x02000056)))
def test_no_target_is_read_from_a_form_that_is_none(bits: int) -> None:
    spec = replace(SPEC.pow, fixed_difficulty=False, genesis_bits=bits, pow_limit_bits=0x2100FFFF)
    light = world()
    light.state.set_storage(ADDRESS, artefact("PowLightClient").slots["rules"], packed_rules(spec))
    try:
        expected = next_bits(spec, 0, spec.genesis_time)
    except errors.BadCompact:
        with pytest.raises(Reverted, match="bits"):
            light.view("nextBits", 0, spec.genesis_time)
    else:
        assert light.view("nextBits", 0, spec.genesis_time) == expected
    finally:
        light.state.set_storage(ADDRESS, artefact("PowLightClient").slots["rules"], packed_rules(SPEC.pow))


@given(st.integers(1, 2**32 - 1))
def test_a_jump_goes_down_by_the_least_number_in_skew_binary(height: int) -> None:
    """Two equal neighbours and one block more make the next greater number; else the jump is the parent."""
    span = jump_span(height)
    below = jump_span(height - 1) if height > 1 else 0
    if height > 1 and height - 1 > below and jump_span(height - 1 - below) == below:
        assert span == 2 * below + 1
    else:
        assert span == 1


# --- records ---------------------------------------------------------------------------------------------

GENESIS = genesis_block(SPEC).header
ROOT = Entry(GENESIS, 0, 0, Status.BODY, 1, None, lambda _: None)
ENGINE = PowEngine(SPEC.pow)
NOW = GENESIS.time + 1_000


def is_right(data: bytes) -> bool:
    """What the node says of a header on genesis, given as bytes."""
    try:
        return ENGINE.check_header(Header.decode(data), ROOT, NOW)
    except (DecodeError, errors.PowHeaderError):
        return False


def both_say_the_same(data: bytes) -> bool:
    """Whether both take the header."""
    reason = LightWorld(SPEC, time=NOW).refused(data)
    right = is_right(data)
    assert (not reason) == right, reason
    return right


def merged(number: int, depth: int, script: bytes) -> Header:
    """A merged-mined header on genesis with a sound record."""
    core = Header.build(
        SPEC.pow.auxpow_chain_id << 16 | 0x100,
        GENESIS.hash,
        number.to_bytes(32, "big"),
        GENESIS.time + 4,
        EASY_BITS,
        0,
    )
    record = auxpow(SPEC, core, depth=depth, nonce=number % 1_000, script=lambda text: script + text)
    return Header(core.core, record)


BYTES = st.integers(0, 255) | st.sampled_from((0, 1, 30, 31, 0xFC, 0xFD, 0xFE, 0xFF))
edits = st.lists(
    st.tuples(st.sampled_from(("set", "set", "put", "cut")), st.integers(0, 1 << 16), BYTES),
    max_size=2,
)


def edited(data: bytes, changes: list[tuple[str, int, int]]) -> bytes:
    out = bytearray(data)
    for kind, where, byte in changes:
        at = where % (len(out) + (kind == "put"))
        if kind == "set":
            out[at] = byte
        elif kind == "put":
            out.insert(at, byte)
        else:
            del out[at]
    return bytes(out)


@settings(max_examples=150)
@given(st.integers(1, 1 << 60), st.integers(0, 4), st.binary(max_size=24), edits)
def test_records_with_bytes_changed(
    number: int, depth: int, script: bytes, changes: list[tuple[str, int, int]]
) -> None:
    both_say_the_same(edited(merged(number, depth, script).encode(), changes))


@st.composite
def coinbases(draw: st.DrawFn, commitment: bytes) -> bytes:
    """Bytes of a parent coinbase: of several inputs and outputs, lengths in one byte and in three, edited."""
    long = draw(st.integers(0, 9))  # 0: lengths are written longer than they need to be

    def length(size: int) -> bytes:
        return b"\xfd" + size.to_bytes(2, "little") if size >= 0xFD or not long else bytes((size,))

    inputs = draw(st.integers(0, 3))
    parts = [bytes((1, 0, 0, 0)), length(inputs)]
    for place in range(inputs):
        script = bytes(draw(st.sampled_from((0, 3, 20, 21, 207, 208, 209, 210, 600))))
        script += commitment if place == 0 else b""
        parts += [bytes(36), length(len(script)), script, bytes(4)]
    outputs = draw(st.sampled_from((0, 1, 2, 3, 150, 252, 253)))
    parts.append(length(outputs))
    size = draw(st.sampled_from((0, 22, 252, 253, 300))) if outputs < 4 else 0
    parts += [bytes(8) + length(size) + bytes(size)] * outputs
    parts.append(bytes(4))
    return edited(b"".join(parts), draw(st.just([]) | edits))


def committed(header: Header, raw: bytes, branch: tuple[bytes, ...]) -> bytes:
    """The header with these bytes as parent coinbase, to which a solved parent block commits."""
    record = header.auxpow
    assert isinstance(record, AuxPow)
    try:
        size = Transaction.read(Reader(raw)).size
    except DecodeError:
        size = len(raw)
    rest = record.encode()[record.coinbase.size :]
    root = branch_root(sha256d(raw[:size]), branch, 0)
    parent = solve(Header.build(0x2000_0000, bytes(32), root, header.time, header.bits, 0))
    middle = rest[:32] + bytes((len(branch),)) + b"".join(branch) + rest[32 + 1 + 32 : -80]
    return header.core + raw[:size] + middle + parent.core


def test_records_whose_coinbase_was_changed_before_it_was_mined() -> None:
    verdicts: Counter[bool] = Counter()

    @settings(max_examples=250)
    @given(st.integers(1, 1 << 60), st.integers(0, 4), st.integers(0, 31), st.data())
    def one(number: int, depth: int, levels: int, data: st.DataObject) -> None:
        header = merged(number, depth, b"")
        assert header.auxpow is not None
        commitment = header.auxpow.coinbase.inputs[0].script
        raw = data.draw(coinbases(commitment))
        branch = tuple(bytes((level,)) * 32 for level in range(levels))
        verdicts[both_say_the_same(committed(header, raw, branch))] += 1

    one()
    assert min(verdicts[True], verdicts[False]) > 40, verdicts
