"""`ioex genesis build` and `verify`, run as a user runs them."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from ioex_chain.cli.genesis import app
from ioex_chain.crypto.address import DEPOSIT_TAG, checksum_account, encode_witness
from ioex_chain.crypto.secp256k1 import public_key
from ioex_chain.evm.genesis import genesis_hash
from ioex_chain.pow import genesis as pow_genesis
from ioex_chain.pow.genesis import WrongGenesis, check_genesis, genesis_block
from ioex_chain.pow.script import parse_spend_script
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN, display
from ioex_chain.spec.load import NETWORKS, load_network, load_network_file

KEYS = [public_key(bytes([n]) * 32).hex() for n in range(1, 4)]
ADDRESS = encode_witness("ioex", 0, bytes(range(20)))
VAULT = encode_witness("ioex", 0, bytes(range(32)))
BENEFICIARIES = {
    "A": VAULT,
    "C": f"multi(2,{','.join(KEYS)})",
    "D": [
        {"beneficiary": ADDRESS, "amount": "12000000"},
        {"beneficiary": f"multi(2,{','.join(KEYS)})", "amount": "8000000"},
    ],
    "E1": ADDRESS,
    "E2": f"pk({KEYS[0]})",
    "E4": ADDRESS,
    "E5": ADDRESS,
}


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def built(tmp_path):
    def build(beneficiaries=BENEFICIARIES, *arguments):
        names = tmp_path / "beneficiaries.json"
        names.write_text(beneficiaries if isinstance(beneficiaries, str) else json.dumps(beneficiaries))
        output = tmp_path / "built.json"
        return run("build", "--beneficiaries", names, "-o", output, *arguments), output

    return build


@pytest.mark.parametrize("name", NETWORKS)
def test_verify_prints_what_the_block_holds(name):
    spec = load_network(name)
    result = run("verify", name, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    assert report["genesis_hash"] == display(genesis_block(spec).hash)
    assert report["supply"] == "194000000"
    assert report["dpos_genesis_hash"] == genesis_hash(spec, genesis_block(spec).hash).hex()
    assert len(report["dpos"]["members"]) == spec.dpos.seats
    funded = {row.address for row in spec.dpos.accounts} | {spec.contracts.node_rewards}
    assert set(report["dpos"]["balances"]) == {checksum_account(address) for address in funded}
    assert report["dpos"]["balances"][checksum_account(spec.contracts.node_rewards)] == "70000000"
    assert [line["line"] for line in report["plan"]] == ["A", "B", "C", "D", "E1", "E2", "E4", "E5"]
    assert report["calendar"][-1]["total"] == ("123900000" if name == "devnet" else "124000000")


def test_verify_prints_tables():
    result = run("verify", "--network", "testnet")
    assert result.exit_code == 0
    for words in (
        "testnet (provisional)",
        display(genesis_block(load_network("testnet")).hash),
        "194,000,000",
    ):
        assert words in result.output


def test_build_replaces_every_beneficiary(built):
    result, output = built(
        BENEFICIARIES, "--listing-time", "2027-03-01T00:00:00Z", "--genesis-time", 1_800_000_000
    )
    assert result.exit_code == 0, result.output
    spec = load_network_file(output)
    assert (spec.pow.genesis_time, spec.token.listing_time) == (1_800_000_000, 1_803_859_200)
    assert display(genesis_block(spec).hash) in result.output
    assert {row.beneficiary for row in spec.token.allocations if row.plan == "A"} == {VAULT}
    assert all(not row.key_path for row in spec.token.allocations)
    team = [row for row in spec.token.allocations if row.plan == "D"]
    assert [row.amount // COIN for row in team] == [3_000_000] * 4 + [2_000_000] * 4
    assert parse_spend_script(team[-1].witness_script).required == 2
    strategic = next(row for row in spec.token.allocations if row.plan == "E1")
    assert strategic.unlock_time == 1_803_859_200 + 90 * 86_400
    assert run("verify", output).exit_code == 0


MEMBERS = [
    {
        "key": checksum_account(bytes([n]) * 20),
        "payout": checksum_account(bytes([n + 32]) * 20),
        "name": f"p{n}",
    }
    for n in range(1, 5)
]
CONSORTIUM = {
    "owner_keys": [checksum_account(bytes([n]) * 20) for n in range(100, 105)],
    "owner_quorum": 3,
    "members": MEMBERS,
}


def test_build_seats_the_consortium(built, tmp_path):
    file = tmp_path / "consortium.json"
    file.write_text(json.dumps(CONSORTIUM))
    result, output = built(BENEFICIARIES, "--consortium", file)
    assert result.exit_code == 0, result.output
    dpos = load_network_file(output).dpos
    assert (dpos.owner_quorum, len(dpos.owner_keys)) == (3, 5)
    assert [member.name for member in dpos.members] == ["p1", "p2", "p3", "p4"]
    assert dpos.members[0].key == bytes([1]) * 20
    assert dpos.members[0].operator == dpos.members[0].payout == bytes([33]) * 20


@pytest.mark.parametrize(
    ("change", "words"),
    [({"owner_quorum": 6}, "owner_quorum"), ({"members": []}, "members"), ({"extra": 1}, "extra")],
)
def test_build_checks_the_consortium(built, tmp_path, change, words):
    file = tmp_path / "consortium.json"
    file.write_text(json.dumps({**CONSORTIUM, **change}))
    result, output = built(BENEFICIARIES, "--consortium", file)
    assert result.exit_code == 1
    assert words in result.stderr
    assert not output.exists()


def test_build_backs_accounts_by_deposits(built):
    deposit = encode_witness("ioex", 16, DEPOSIT_TAG + bytes([7]) * 20)
    shares = [{"beneficiary": deposit, "amount": "1000.5"}, {"beneficiary": ADDRESS, "amount": "3998999.5"}]
    result, output = built({**BENEFICIARIES, "E5": shares})
    assert result.exit_code == 0, result.output
    (account,) = load_network_file(output).dpos.accounts
    assert (account.address, account.wei) == (bytes([7]) * 20, 1_000_500_000_000_000_000_000)


def test_build_keeps_the_several_beneficiaries_of_a_line(tmp_path):
    output = tmp_path / "again.json"
    assert run("build", "--network", "devnet", "-o", output).exit_code == 0
    assert load_network_file(output) == load_network("devnet")


def test_an_account_without_deposits_is_refused():
    spec = load_network("devnet")
    accounts = (replace(spec.dpos.accounts[0], wei=1), *spec.dpos.accounts[1:])
    with pytest.raises(WrongGenesis, match="has 1 wei on the DPoS chain"):
        check_genesis(replace(spec, dpos=replace(spec.dpos, accounts=accounts)), genesis_block(spec))


def test_build_moves_the_unsold(built):
    _, output = built(BENEFICIARIES, "--unsold-e1", "4000000", "--unsold-e2", "10000000")
    spec = load_network_file(output)
    amounts = {}
    for row in spec.token.allocations:
        amounts[row.plan] = amounts.get(row.plan, 0) + row.amount // COIN
    assert amounts["A"] == 54_000_000
    assert amounts["E1"] == 6_000_000
    assert "E2" not in amounts
    assert spec.token.supply == 194_000_000 * COIN


def test_build_keeps_what_the_file_leaves_out(built):
    _, output = built({"A": VAULT})
    old = {row.plan: row for row in load_network("mainnet").token.allocations}
    new = {row.plan: row for row in load_network_file(output).token.allocations}
    assert new["A"].beneficiary == VAULT
    assert new["D"] == old["D"]


def test_building_again_gives_the_same_file(built, tmp_path):
    _, output = built()
    again = tmp_path / "again.json"
    assert (
        run(
            "build", "--network", output, "--beneficiaries", tmp_path / "beneficiaries.json", "-o", again
        ).exit_code
        == 0
    )
    assert again.read_bytes() == output.read_bytes()


@pytest.mark.parametrize(
    ("beneficiaries", "words"),
    [
        ({"B": ADDRESS}, "A, C, D"),
        ({"E3": ADDRESS}, "A, C, D"),
        ({"D": VAULT}, "a locked output needs"),
        ({"A": ADDRESS[:-1]}, "typing error"),
        ({"C": [{"beneficiary": ADDRESS, "amount": "1"}]}, "of 34000000"),
        ({"C": []}, "give its beneficiaries"),
        ({"C": [{"beneficiary": ADDRESS}]}, "C.0.amount"),
        ({"C": 5}, "json: C: "),
        ("{", "JSON"),
        (
            {
                "E4": [
                    {"beneficiary": ADDRESS, "amount": "0.00000001"},
                    {"beneficiary": VAULT, "amount": "5999999.99999999"},
                ]
            },
            "cannot be split",
        ),
    ],
)
def test_build_refuses(built, beneficiaries, words):
    result, output = built(beneficiaries)
    assert result.exit_code == 1
    assert words in result.stderr
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--unsold-e1", "1.123456789"), "8 places"),
        (("--listing-time", "2027-03-01"), "lacks a zone"),
        (("--listing-time", "soon"), "ISO 8601"),
    ],
)
def test_build_refuses_options(built, arguments, words):
    result, output = built(BENEFICIARIES, *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.replace("│", "").split())
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--unsold-e1", "10000001"), "unsold.E1"),
        (("--listing-time", "1"), "listing_time"),
        (("--genesis-time", "1900000000"), "before genesis"),
        (("--network", "nowhere.json"), "nowhere.json"),
    ],
)
def test_build_checks_what_it_is_given(built, arguments, words):
    result, output = built(BENEFICIARIES, *arguments)
    assert result.exit_code == 1
    assert words in result.stderr
    assert not output.exists()


def test_build_never_overwrites(built):
    _, output = built()
    before = output.read_bytes()
    result, _ = built({"A": ADDRESS})
    assert result.exit_code == 1
    assert "never overwritten" in result.stderr
    assert output.read_bytes() == before


def test_verify_names_file_and_field(built):
    _, output = built()
    raw = json.loads(output.read_text())
    raw["token"]["allocations"][0]["amount"] = "19999999"
    output.write_text(json.dumps(raw))
    result = run("verify", output)
    assert result.exit_code == 1
    assert "built.json: token.allocations" in result.stderr
    as_json = run("verify", output, "--json")
    assert as_json.exit_code == 1
    assert "token.allocations" in json.loads(as_json.stdout)["error"]


def _with_output(block, index, **changes):
    coinbase = block.transactions[0]
    outputs = list(coinbase.outputs)
    outputs[index] = outputs[index]._replace(**changes)
    changed = Transaction.build(coinbase.version, coinbase.inputs, outputs)
    header = block.header.build(1, bytes(32), changed.txid, block.header.time, block.header.bits, 0)
    return pow_genesis.Block.build(header, [changed])


def test_the_block_itself_is_checked():
    spec = load_network("devnet")
    block = genesis_block(spec)
    check_genesis(spec, block)
    locked = next(i for i, row in enumerate(spec.token.allocations) if row.unlock_time)
    other = block.transactions[0].outputs[locked + 1].script
    for index, changes, words in (
        (0, {"value": 1}, "pays 1 instead"),
        (locked, {"script": other}, "does not hash"),
        (2, {"script": b"\x60\x20ioeX:deposit" + bytes(20)}, "NodeRewards"),
        (0, {"script": b"\x6a"}, "no form"),
    ):
        with pytest.raises(WrongGenesis, match=words):
            check_genesis(spec, _with_output(block, index, **changes))
    rows = list(spec.token.allocations)
    rows[locked] = replace(rows[locked], unlock_time=rows[locked].unlock_time - 1)
    earlier = replace(spec, token=replace(spec.token, allocations=tuple(rows)))
    with pytest.raises(WrongGenesis, match="is locked until"):
        check_genesis(earlier, block)
