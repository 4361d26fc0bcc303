"""Loading a network's file: what is accepted, and one typed error per broken rule that names its field."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.crypto.address import encode_witness
from ioex_chain.primitives.types import COIN
from ioex_chain.spec import errors
from ioex_chain.spec.document import CONTRACTS, format_amount, parse_amount
from ioex_chain.spec.load import NETWORKS, load_network, load_network_file, parse_document, to_spec
from ioex_chain.spec.model import MONTH
from ioex_chain.spec.plan import GENESIS_SUPPLY, PLAN

GENESIS = Path(__file__).parents[2] / "genesis"


@pytest.fixture
def raw():
    return json.loads((GENESIS / "devnet.json").read_text())


def load(tmp_path, raw, **options):
    path = tmp_path / "net.json"
    path.write_text(json.dumps(raw))
    return load_network_file(path, **options)


@pytest.mark.parametrize("name", NETWORKS)
def test_shipped_networks_hold_the_plan(name):
    spec = load_network(name)
    assert spec.name == name
    assert spec.token.provisional
    assert spec.token.supply == GENESIS_SUPPLY == 194_000_000 * COIN
    for letter, line in PLAN.items():
        assert sum(row.amount for row in spec.token.allocations if row.plan == letter) == line.amount
    assert list(spec.contracts.addresses) == list(CONTRACTS)


# docs/protocol.md section 7, column by column
PROTOCOL = {
    "mainnet": (120, 30, 51, (12, 100, 720), 51120, "ioex", (20338, 20336, 30338, 38545, 9420)),
    "testnet": (120, 30, 51, (6, 100, 720), 51121, "tiox", (21338, 21336, 31338, 39545, 19420)),
    "devnet": (4, 1, 4, (2, 4, 100), 51337, "riox", (22338, 22336, 32338, 8545, 29420)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_the_protocols(name):
    spec = load_network(name)
    pow_, dpos = spec.pow, spec.dpos
    found = (
        pow_.spacing,
        dpos.block_time,
        dpos.seats,
        (pow_.burial_depth, pow_.coinbase_maturity, pow_.max_reorg_depth),
        dpos.chain_id,
        pow_.address_prefix,
        (pow_.p2p_port, pow_.rpc_port, dpos.p2p_port, dpos.rpc_port, spec.metrics_port),
    )
    assert found == PROTOCOL[name]
    assert pow_.fixed_difficulty == (name == "devnet")
    assert spec.coin_type == (0x494F4558 if name == "mainnet" else 1)
    assert not 0x2000 <= pow_.auxpow_chain_id <= 0x3FFF


def test_networks_share_no_port():
    ports = [port for values in PROTOCOL.values() for port in values[-1]]
    assert len(set(ports)) == len(ports)


def test_contracts_stand_outside_the_precompiles():
    addresses = load_network("mainnet").contracts.addresses
    numbers = [int.from_bytes(address, "big") for address in addresses.values()]
    assert numbers == list(range(0x10E001, 0x10E00A))
    assert load_network("devnet").contracts.addresses == addresses


def test_a_spec_is_frozen():
    spec = load_network("devnet")
    with pytest.raises(FrozenInstanceError):
        spec.pow.spacing = 1


def test_unknown_network():
    with pytest.raises(errors.UnknownNetwork, match="mainnet, testnet, devnet"):
        load_network("regtest")


def test_options_of_devnet():
    base = load_network("devnet")
    spec = load_network("devnet", genesis_time=1_800_000_000, spacing=2, block_time=3, seats=51)
    assert (spec.pow.genesis_time, spec.pow.spacing) == (1_800_000_000, 2)
    assert spec.dpos.genesis_time == 1_800_000_000
    assert (spec.dpos.block_time, spec.dpos.nominal_block_time, spec.dpos.seats) == (3, 3, 51)
    assert len(spec.dpos.members) == 51
    assert load_network("devnet", arbitrators=7).dpos.members == spec.dpos.members[:7]
    assert load_network("devnet", arbitrators=7).dpos.seats == 7
    moved = 1_800_000_000 - base.pow.genesis_time
    assert spec.token.listing_time == base.token.listing_time + moved
    for row, old in zip(spec.token.allocations, base.token.allocations, strict=True):
        assert row.unlock_time == (old.unlock_time + moved if old.unlock_time else 0)


def test_option_none_changes_nothing():
    assert load_network("mainnet", genesis_time=None, seats=None) == load_network("mainnet")


@pytest.mark.parametrize("name", ["mainnet", "testnet"])
def test_fixed_networks_take_no_options(name):
    with pytest.raises(errors.OptionRefused, match="spacing"):
        load_network(name, spacing=2)


@pytest.mark.parametrize(
    "option", [{"seats": 52}, {"seats": 0}, {"spacing": 0}, {"genesis_time": 5}, {"block_time": "1"}]
)
def test_options_have_ranges(option):
    with pytest.raises(errors.OptionRefused, match=next(iter(option))):
        load_network("devnet", **option)


def test_missing_file(tmp_path):
    with pytest.raises(errors.SpecFileUnreadable, match=r"none\.json"):
        load_network_file(tmp_path / "none.json")


def test_no_json(tmp_path):
    (tmp_path / "net.json").write_text("{")
    with pytest.raises(errors.SpecFileUnreadable, match="JSON"):
        load_network_file(tmp_path / "net.json")


def test_huge_file(tmp_path):
    (tmp_path / "net.json").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(errors.SpecFileUnreadable, match="no network file"):
        load_network_file(tmp_path / "net.json")


def put(path, value):
    def change(raw):
        *parents, last = path
        at = raw
        for key in parents:
            at = at[key]
        at[last] = value

    return change


def row(raw, plan, position=0):
    return [item for item in raw["token"]["allocations"] if item["plan"] == plan][position]


def drop(raw):
    raw["token"]["allocations"].pop()


def move_amount(raw):
    row(raw, "C")["amount"] = "19000000"
    row(raw, "E5")["amount"] = "4900000"


def move_between_terms(raw):
    row(raw, "D", 0)["amount"] = "6000000"
    row(raw, "D", 1)["amount"] = "4000000"


def free_a_locked_one(raw):
    del row(raw, "D")["unlock"]


def lock_to_hidden_script(raw):
    row(raw, "D")["beneficiary"] = encode_witness("riox", 0, bytes(32))


ACCOUNT_0 = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"

BROKEN = [
    (put(["extra"], 1), errors.BadField, "extra"),
    (put(["pow", "extra"], 1), errors.BadField, "pow.extra"),
    (put(["pow", "spacing"], "4"), errors.BadField, "pow.spacing"),
    (put(["pow", "genesis_time"], 400_000_000), errors.BadField, "pow.genesis_time"),
    (put(["pow", "genesis_bits"], "0x1d80ffff"), errors.BadField, "pow.genesis_bits"),
    (put(["pow", "pow_limit_bits"], "0x1d00ffff"), errors.BadField, "pow.genesis_bits"),
    (put(["pow", "genesis_text"], "x" * 76), errors.BadField, "pow.genesis_text"),
    (put(["pow", "activations"], [5, 5]), errors.BadField, "pow.activations"),
    (put(["pow", "p2p_port"], 70_000), errors.BadField, "pow.p2p_port"),
    (put(["dpos", "seats"], 52), errors.BadField, "dpos.seats"),
    (put(["dpos", "owner_quorum"], 4), errors.BadField, "only 3 keys"),
    (put(["dpos", "owner_keys", 1], ACCOUNT_0), errors.BadField, "owner_keys"),
    (put(["dpos", "owner"], "0x000000000000000000000000000000000010E001"), errors.BadField, "dpos.owner"),
    (put(["dpos", "members"], []), errors.BadField, "dpos.members"),
    (put(["dpos", "members", 1, "key"], ACCOUNT_0), errors.BadField, "dpos.members"),
    (put(["dpos", "members", 1, "payout"], ACCOUNT_0), errors.BadField, "dpos.members"),
    (put(["dpos", "members", 1, "name"], "é" * 17), errors.BadField, "32 bytes"),
    (put(["dpos", "slot_lengths"], [{"slot": 5, "seconds": 2}]), errors.BadField, "slot_lengths"),
    (put(["dpos", "activations"], [7, 7]), errors.BadField, "dpos.activations"),
    (put(["dpos", "accounts", 0, "amount"], "10000.00000001"), errors.Unbacked, ACCOUNT_0),
    (put(["dpos", "accounts", 1, "address"], ACCOUNT_0), errors.BadField, "dpos.accounts"),
    (
        put(["dpos", "accounts", 0, "address"], "0x000000000000000000000000000000000010E008"),
        errors.BadField,
        "system contract",
    ),
    (lambda raw: raw["dpos"]["accounts"].pop(), errors.Unbacked, "without an account"),
    (lambda raw: row(raw, "E5", 1).update(amount="9999"), errors.WrongSupply, "194,000,000"),
    (lambda raw: raw.pop("bridge"), errors.BadField, "bridge"),
    (put(["bridge", "max_requests"], 1), errors.BadField, "bridge.max_requests"),
    (put(["bridge", "withdrawal_fee"], "0"), errors.BadField, "bridge.withdrawal_fee"),
    (put(["bridge", "withdrawal_fee"], "0.000000001"), errors.BadField, "8 places"),
    (put(["bridge", "min_withdrawal"], "0.00010999"), errors.BadField, "bridge.min_withdrawal"),
    (put(["bridge", "min_withdrawal"], "20000000.00000001"), errors.BadField, "bridge.min_withdrawal"),
    (put(["bridge", "daily_outflow_cap"], "0.00019999"), errors.BadField, "bridge.daily_outflow_cap"),
    (put(["bridge", "min_relayed_deposit"], 1), errors.BadField, "bridge.min_relayed_deposit"),
    (put(["bridge", "owner_delay"], 59), errors.BadField, "bridge.owner_delay"),
    (put(["contracts"], {}), errors.BadField, "contracts"),
    (put(["contracts", "Bridge"], "0x" + "1" * 39), errors.BadField, "contracts.Bridge"),
    (put(["contracts", "Bridge"], "0x000000000000000000000000000000000010e004"), errors.BadField, "EIP-55"),
    (
        put(["contracts", "Bridge"], "0x000000000000000000000000000000000010E001"),
        errors.BadField,
        "one address",
    ),
    (put(["token", "listing_time"], 1_767_225_599), errors.BadField, "token.listing_time"),
    (put(["token", "unsold"], {"D": "1"}), errors.BadField, "token.unsold.D"),
    (put(["token", "unsold"], {"E1": "10000001"}), errors.BadField, "token.unsold.E1"),
    (put(["token", "unsold"], {"E1": "4"}), errors.WrongShare, "line A"),
    (put(["token", "allocations", 0, "amount"], 20_000_000), errors.BadField, "allocations.0.amount"),
    (put(["token", "allocations", 0, "amount"], "1e7"), errors.BadField, "allocations.0.amount"),
    (put(["token", "allocations", 0, "amount"], "20000000.000000001"), errors.BadField, "8 places"),
    (put(["token", "allocations", 0, "amount"], "20000000.00000001"), errors.OutputTooLarge, "0.amount"),
    (put(["token", "allocations", 0, "amount"], "0"), errors.OutputTooLarge, "0.amount"),
    (put(["token", "allocations", 0, "amount"], "19999999.99999999"), errors.WrongSupply, "194,000,000"),
    (drop, errors.WrongSupply, "token.allocations"),
    (move_amount, errors.WrongShare, "line C"),
    (move_between_terms, errors.WrongShare, "line D"),
    (put(["token", "allocations", 0, "plan"], "E3"), errors.BadField, "allocations.0.plan"),
    (put(["token", "allocations", 0, "unlock"], {"after": "genesis", "months": 3}), errors.WrongLock, "A"),
    (free_a_locked_one, errors.WrongLock, "line D"),
    (lambda raw: row(raw, "D")["unlock"].update(months=7), errors.WrongLock, "line D"),
    (lambda raw: row(raw, "D")["unlock"].update(after="listing"), errors.WrongLock, "counts from genesis"),
    (lambda raw: row(raw, "E1")["unlock"].update(after="genesis"), errors.WrongLock, "counts from listing"),
    (lambda raw: row(raw, "D")["unlock"].update(after="birth"), errors.BadField, "unlock.after"),
    (lambda raw: row(raw, "B").update(beneficiary="Bridge"), errors.BadBeneficiary, "line B"),
    (lambda raw: row(raw, "A").update(beneficiary="NodeRewards"), errors.BadBeneficiary, "line B"),
    (lambda raw: row(raw, "A").update(beneficiary="tiox1qqq"), errors.BadBeneficiary, "0.beneficiary"),
    (lock_to_hidden_script, errors.BadBeneficiary, "a locked output needs"),
]


@pytest.mark.parametrize(("change", "error", "words"), BROKEN)
def test_each_broken_rule_has_its_error(tmp_path, raw, change, error, words):
    change(raw)
    with pytest.raises(error) as caught:
        load(tmp_path, raw)
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert "net.json" in str(caught.value)


def test_unsold_moves_to_sales(tmp_path, raw):
    for item in raw["token"]["allocations"]:
        if item["plan"] == "E1":
            item["amount"] = "1500000"
    extra = dict(raw["token"]["allocations"][0], amount="4000000")
    raw["token"]["allocations"].append(extra)
    raw["token"]["unsold"] = {"E1": "4000000"}
    spec = load(tmp_path, raw)
    assert spec.token.unsold == {"E1": 4_000_000 * COIN}
    assert sum(r.amount for r in spec.token.allocations if r.plan == "A") == 44_000_000 * COIN


def test_locks_are_months_of_30_days():
    spec = load_network("mainnet")
    times = {(r.plan, r.months): r.unlock_time for r in spec.token.allocations}
    assert times["D", 6] == spec.pow.genesis_time + 180 * 86_400
    assert times["D", 24] == spec.pow.genesis_time + 720 * 86_400
    assert times["E1", 3] == spec.token.listing_time + 3 * MONTH
    assert times["E2", 3] == spec.pow.genesis_time + 3 * MONTH
    assert times["A", 0] == times["B", 0] == times["C", 0] == times["E5", 0] == 0


@pytest.mark.parametrize("text", ["", "-1", "+1", "01", ".5", "1.", "1.123456789", "1e3", "1 ", "١", "NaN"])
def test_amounts_have_one_form(text):
    with pytest.raises(ValueError, match="no amount"):
        parse_amount(text)


@pytest.mark.parametrize(("text", "units"), [("0", 0), ("0.00000001", 1), ("20000000", 20_000_000 * COIN)])
def test_amounts_both_ways(text, units):
    assert parse_amount(text) == units
    assert format_amount(units) == text


def test_the_committed_files_are_what_the_script_writes(tmp_path):
    script = Path(__file__).parents[2] / "scripts" / "make_genesis.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, capture_output=True)
    for name in NETWORKS:
        assert (tmp_path / f"{name}.json").read_text() == (GENESIS / f"{name}.json").read_text()


def _paths(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, item in items:
        yield from _paths(item, (*path, part))


SHIPPED = json.loads((GENESIS / "devnet.json").read_text())
PATHS = [path for path in _paths(SHIPPED) if path]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner))


@given(st.sampled_from(PATHS), VALUES)
def test_any_changed_field_loads_or_raises_a_spec_error(path, value):
    raw = json.loads(json.dumps(SHIPPED))
    put(path, value)(raw)
    try:
        spec = to_spec(parse_document(json.dumps(raw).encode(), "net.json"), "net.json")
    except errors.SpecError:
        return
    assert spec.token.supply == GENESIS_SUPPLY


@given(st.binary(max_size=200))
def test_any_bytes_raise_a_spec_error(data):
    with pytest.raises(errors.SpecError):
        parse_document(data, "net.json")
