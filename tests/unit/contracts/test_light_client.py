"""PowLightClient: each rule of a header broken once and kept at its edge, and what genesis writes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from chaingen.builder import ChainBuilder, auxpow
from chaingen.generate import Case, Told, World, all_cases
from chaingen.light_world import ADDRESS, ANYBODY, BRIDGE, OWNER, Headers, LightWorld, Reverted, function
from chaingen.specs import story_spec
from eth_abi import encode

from ioex_chain.evm import light_client
from ioex_chain.evm.light_client import MAX_HEADER, packed_rules
from ioex_chain.evm.system import artefact, mapping_slot
from ioex_chain.pow import errors
from ioex_chain.pow.auxpow import AuxPow
from ioex_chain.pow.difficulty import next_bits
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction, TxIn
from ioex_chain.spec.load import load_network

SPEC = story_spec()

REASONS: dict[type[Exception], set[str]] = {
    errors.HighHash: {"work"},
    errors.WrongBits: {"bits"},
    errors.BadCompact: {"bits"},
    errors.TimeTooOld: {"time"},
    errors.TimeTooNew: {"later"},
    errors.AuxPowMissing: {"auxpow size", "size"},
    errors.AuxPowTooLarge: {"auxpow coinbase", "auxpow depth"},
    errors.AuxPowChainId: {"auxpow chain", "auxpow parent"},
    errors.AuxPowNotGenerate: {"auxpow index"},
    errors.AuxPowBranchTooLong: {"auxpow depth"},
    errors.AuxPowMerkleRoot: {"auxpow merkle", "auxpow coinbase"},
    errors.AuxPowNoInput: {"auxpow coinbase"},
    errors.AuxPowRootMissing: {"auxpow root"},
    errors.AuxPowManyHeaders: {"auxpow headers"},
    errors.AuxPowHeaderPlace: {"auxpow place"},
    errors.AuxPowRootTooLate: {"auxpow place"},
    errors.AuxPowSizeMissing: {"auxpow tree"},
    errors.AuxPowTreeSize: {"auxpow tree"},
    errors.AuxPowChainIndex: {"auxpow leaf"},
}
"""What the contract says of a header that breaks the rule of an error of pow/."""

STORIES = [case for case in all_cases() if case.tell.__module__.endswith("story_headers")]


def ids(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", STORIES, ids=ids)
def test_the_stories_of_headers_end_as_on_the_pow_chain(case: Case) -> None:
    world = World(case.spec())
    told = case.tell(world)
    block = told.block if isinstance(told, Told) else told
    light = LightWorld(world.chain.spec, time=world.chain.clock.time)
    for ancestor in world.chain.branch(world.tip):
        light.submit(ancestor.header)
    reason = light.refused(block.header)
    if case.error is None:
        assert not reason
        assert light.reader.best()[0] == block.hash
    elif len(block.header.encode()) > MAX_HEADER:
        assert reason == "Revert"  # refused before anything is read
    else:
        assert reason in REASONS[case.error]
        assert light.reader.best()[0] == world.tip.hash


def test_the_stories_have_every_rule_of_headers() -> None:
    assert {case.error for case in STORIES if case.error} >= set(REASONS) - {errors.WrongBits}


# --- other refusals --------------------------------------------------------------------------------------

REFUSED_BITS = (
    *(0x00000000, 0x00123456, 0x01003456, 0x02000056, 0x03000000, 0x04000000),  # zero
    *(0x00923456, 0x01803456, 0x02800056, 0x03800000, 0x04800000),  # zero with the sign
    *(0x01FEDCBA, 0x04923456, 0x20FFFFFF),  # negative
    *(0xFF123456, 0x22010000, 0x23000001, 0x21010000, 0x217FFFFF),  # above 256 bits
    *(0x207FFFFE, 0x1F7FFFFF, 0x2100FF00),  # sound, but not the rule's
)
"""Bitcoin Core's cases of compact forms that are no target, and some that are another."""


@pytest.fixture
def light() -> LightWorld:
    return LightWorld(SPEC, time=SPEC.pow.genesis_time + 1_000)


@pytest.fixture
def headers() -> Headers:
    return Headers(SPEC)


@pytest.mark.parametrize("bits", REFUSED_BITS, ids=hex)
def test_bits_other_than_the_rules_are_refused_in_every_form(
    light: LightWorld, headers: Headers, bits: int
) -> None:
    good = headers.on(headers.genesis)
    core = good.core[:72] + bits.to_bytes(4, "little") + good.core[76:]
    assert light.refused(core) == "bits"


def test_known_orphan_and_genesis_again(light: LightWorld, headers: Headers) -> None:
    first, second = headers.chain(headers.genesis, 2)
    assert light.refused(second) == "orphan"
    assert light.refused(first) == ""
    assert light.refused(first) == "known"
    assert light.refused(headers.genesis) == "known"
    assert light.refused(second) == ""


def test_a_known_block_with_another_record_is_known(light: LightWorld) -> None:
    chain = ChainBuilder(SPEC)
    block = chain.merged(chain.block(chain.genesis))
    assert light.refused(block.header) == ""
    other = auxpow(SPEC, block.header, nonce=9)
    assert light.refused(Header(block.header.core, other)) == "known"


@pytest.mark.parametrize("size", [0, 1, 79, 81, 112, 144])
def test_native_headers_have_80_bytes(light: LightWorld, headers: Headers, size: int) -> None:
    data = (headers.on(headers.genesis).core * 2)[:size]
    assert light.refused(data) == "size"


@pytest.mark.parametrize("more", [b"\0", bytes(80)])
def test_a_record_is_used_to_its_last_byte(light: LightWorld, more: bytes) -> None:
    chain = ChainBuilder(SPEC)
    data = chain.merged(chain.block(chain.genesis)).header.encode()
    assert light.refused(data + more) == "auxpow size"
    assert light.refused(data[: -len(more)]) == "auxpow size"
    assert light.refused(data) == ""


def test_a_record_cut_anywhere_is_refused(light: LightWorld) -> None:
    chain = ChainBuilder(SPEC)
    data = chain.merged(chain.block(chain.genesis)).header.encode()
    for length in range(80, len(data), 7):
        assert light.refused(data[:length]).startswith("auxpow")


def coinbase(inputs: bytes, outputs: bytes) -> bytes:
    return bytes((1, 0, 0, 0)) + inputs + outputs + bytes(4)


ONE_INPUT = b"\x01" + bytes(36) + b"\0" + bytes(4)
COINBASES = {
    "inputs end in an input": coinbase(b"\x02" + bytes(36) + b"\xfd\xff\xff", b""),
    "the script of the only input is too long": coinbase(b"\x01" + bytes(36) + b"\xfd\xff\xff", b""),
    "50 inputs": coinbase(b"\x32" + ONE_INPUT[1:] * 50, b"\0"),
    "228 outputs": coinbase(ONE_INPUT, b"\xe4" + bytes(9) * 228),
    "outputs end in an output": coinbase(ONE_INPUT, b"\x02" + bytes(8) + b"\xfd\xff\xff"),
    "the only output is too long": coinbase(ONE_INPUT, b"\x01" + bytes(8) + b"\xfd\xff\xff"),
    "no input": coinbase(b"\0", b"\x01" + bytes(9)),
    "with its witness": bytes((1, 0, 0, 0, 0, 1)) + ONE_INPUT + b"\0" + b"\x01\x01\x07" + bytes(4),
    "a length longer than needed": coinbase(ONE_INPUT, b"\xfd\0\0"),
    "a length of 252 in three bytes": coinbase(ONE_INPUT, b"\x01" + bytes(8) + b"\xfd\xfc\0" + bytes(252)),
    "a length in five bytes": coinbase(ONE_INPUT, b"\xfe\x01\0\0\0" + bytes(9)),
    "a length in nine bytes": coinbase(ONE_INPUT, b"\xff\x01" + bytes(7) + bytes(9)),
}


@pytest.mark.parametrize("raw", COINBASES.values(), ids=COINBASES)
def test_a_parent_coinbase_in_any_other_form_is_refused_by_name(light: LightWorld, raw: bytes) -> None:
    chain = ChainBuilder(SPEC)
    header = chain.merged(chain.block(chain.genesis), depth=30).header
    assert header.auxpow is not None
    rest = header.encode()[80 + header.auxpow.coinbase.size :]
    assert light.refused(header.core + raw + rest) == "auxpow coinbase"


def merged_by(script: Callable[[bytes], bytes], sequence: int = 0) -> bytes:
    """A merged-mined header on genesis whose parent coinbase has this script and sequence."""

    def edit(record: AuxPow) -> AuxPow:
        (item,) = record.coinbase.inputs
        last = TxIn(item.outpoint, item.script, sequence)
        return replace(record, coinbase=Transaction.build(1, [last], record.coinbase.outputs))

    chain = ChainBuilder(SPEC)
    return chain.merged(chain.block(chain.genesis), script=script, edit=edit).header.encode()


def test_a_parent_coinbase_has_2_048_bytes_at_most(light: LightWorld) -> None:
    most = 2_048 - 44 - 63  # the commitment and everything but the script
    assert light.refused(merged_by(lambda text: bytes(most + 1) + text)) == "auxpow coinbase"
    assert light.refused(merged_by(lambda text: bytes(most) + text)) == ""


def test_only_the_first_root_counts(light: LightWorld) -> None:
    assert light.refused(merged_by(lambda text: text[4:36] + text)) == "auxpow place"
    assert light.refused(merged_by(lambda text: text + text[4:36])) == ""


def test_a_magic_header_ends_with_the_script(light: LightWorld) -> None:
    """Its last two bytes may stand at the script's end only; what follows there is the sequence."""
    assert light.refused(merged_by(lambda text: text + text[:4])) == "auxpow headers"
    assert light.refused(merged_by(lambda text: text + text[:2], 0x6D6D)) == ""


def test_a_branch_that_is_longer_than_the_record_is_refused_by_name(light: LightWorld) -> None:
    chain = ChainBuilder(SPEC)
    header = chain.merged(chain.block(chain.genesis)).header
    assert header.auxpow is not None
    data, place = bytearray(header.encode()), 80 + header.auxpow.coinbase.size + 32
    assert data[place] == 1
    data[place] = 30
    assert light.refused(bytes(data)) == "auxpow size"


def test_time_is_judged_by_the_blocks(light: LightWorld, headers: Headers) -> None:
    ahead = headers.on(headers.genesis, time=light.time + 601)
    assert light.refused(ahead) == "later"
    light.time += 1
    assert light.refused(ahead) == ""


def test_the_median_of_few_headers_and_of_eleven(light: LightWorld, headers: Headers) -> None:
    at, past = headers.genesis, [SPEC.pow.genesis_time]
    for step in range(16):
        window = sorted(past[-11:])
        median = window[len(window) // 2]
        assert light.refused(headers.on(at, time=median)) == "time"
        assert light.refused(headers.on(at, time=median + 1)) == ""
        at = headers.on(at, time=median + (2, 30, 3, 50, 5)[step % 5])
        light.submit(at)
        past.append(at.time)
    assert past != sorted(past)


def test_work_beyond_its_field_is_refused_and_never_wraps(light: LightWorld, headers: Headers) -> None:
    """No chain of the real world comes near it: the test puts the sum there."""
    record = mapping_slot(artefact("PowLightClient").slots["records"], headers.genesis.hash)
    for work, reason in ((2**128 - 2, "work"), (2**128 - 3, "")):
        light.state.set_storage(ADDRESS, record + 1, work << 96 | SPEC.pow.genesis_time << 64 | (1 << 64) - 1)
        light.state.lock_changes()
        assert light.refused(headers.on(headers.genesis)) == reason
    assert light.reader.best()[1:] == (1, 2**128 - 1)


def test_calldata_in_another_form_is_the_same_header(light: LightWorld, headers: Headers) -> None:
    """The offset of the bytes is the caller's choice; what the contract reads is only the bytes."""
    header = headers.on(headers.genesis)
    chosen, _, _ = function("submit")
    shifted = chosen + (64).to_bytes(32, "big") + bytes(32) + encode(["bytes"], [header.core])[32:]
    light.raw(ANYBODY, shifted)
    assert light.reader.best()[0] == header.hash


# --- genesis ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["mainnet", "testnet", "devnet"])
def test_it_begins_with_the_networks_genesis(network: str) -> None:
    spec = load_network(network)
    light = LightWorld(spec)
    rules = spec.pow
    assert light.view("parameters") == (
        *(rules.spacing, rules.half_life, rules.genesis_time, rules.genesis_bits, rules.pow_limit_bits),
        *(rules.auxpow_chain_id, rules.max_future, rules.burial_depth, rules.max_reorg_depth),
        rules.fixed_difficulty,
    )
    assert light.view("bestHash") == light.view("buriedHash") == light.view("hashAt", 0) == light.genesis
    for zero in ("bestHeight", "bestWork", "buriedHeight", "deepestReorg", "deepReorgs"):
        assert light.view(zero) == 0
    assert light.view("headerOf", light.genesis) == (bytes(32), 0, 0, rules.genesis_time)
    assert light.view("owner") == "0x" + OWNER.hex()
    assert light.view("ownerDelay") == spec.bridge.owner_delay
    assert light.reader.buried_hash() == light.genesis
    assert light.view("nextBits", 0, rules.genesis_time) == next_bits(rules, 0, rules.genesis_time)


def test_genesis_storage_is_what_the_constructor_writes() -> None:
    vyper = pytest.importorskip("vyper", reason="vyper is not installed")
    source = Path(light_client.__file__).parent / "contracts" / "PowLightClient.vy"
    bytecode = bytes.fromhex(
        vyper.compile_code(source.read_text(), output_formats=["bytecode"])["bytecode"][2:]
    )
    light = LightWorld(SPEC, bridge=True)
    arguments = encode(
        ["uint256", "bytes32", "address", "address", "uint256"],
        [packed_rules(SPEC.pow), light.genesis, OWNER, BRIDGE, SPEC.bridge.owner_delay],
    )
    other = LightWorld(SPEC)
    made = other.create(bytecode + arguments)
    assert other.state.get_code(made) == artefact("PowLightClient").runtime
    storage = light_client.genesis_storage(light.spec, light.genesis)
    for slot, value in storage.items():
        assert other.state.get_storage(made, slot) == value
    assert len(storage) == 7


@pytest.mark.parametrize(("height", "time"), [(1 << 32, 0), (0, 1 << 32)])
def test_bits_are_asked_for_real_heights_and_times_only(light: LightWorld, height: int, time: int) -> None:
    with pytest.raises(Reverted, match="range"):
        light.view("nextBits", height, time)


def test_a_parameter_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="24 bits"):
        packed_rules(replace(SPEC.pow, max_reorg_depth=1 << 24))


def test_what_the_abi_says_is_what_is_called() -> None:
    data = light_client.submit(b"\x07" * 99)
    assert data == function("submit")[0] + encode(["bytes"], [b"\x07" * 99])
    assert json.dumps(function("submit")[1]) == '["bytes"]'
