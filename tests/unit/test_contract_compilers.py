"""Sources and the artefacts of other tools, deployed and verified on a real EVM."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_node import EthNode

from ioex_chain.wallet import compilers
from ioex_chain.wallet.account_wallet import AccountWallet, DposKey, Patience
from ioex_chain.wallet.artefacts import Artefact, load_artefact, parse_libraries, read_artefacts
from ioex_chain.wallet.compilers import Choices, compile_source
from ioex_chain.wallet.contract_errors import (
    CompilationFailed,
    CompilerMissing,
    ContractNotChosen,
    InvalidAbi,
    LibrariesMissing,
    NotAnArtefact,
    NotDeployable,
    Reverted,
)
from ioex_chain.wallet.contracts import Plan, Target, call, deploy, finish, outcome, send
from ioex_chain.wallet.verification import verify

HERE = Path(__file__).parent / "contract_sources"
CLIENTS = Path(sys.prefix) / "clients"
needs_solc = pytest.mark.skipif(
    not (CLIENTS / "node_modules" / "solc").is_dir() or shutil.which("node") is None,
    reason="npm's solc is not installed: scripts/clients.sh installs it where node and npm are",
)
SOLC = Choices(solc=str(CLIENTS))


def no_sleep(seconds: float) -> None:
    """Time passes with every question to the node."""


@pytest.fixture(scope="module")
def shop() -> Artefact:
    return compile_source(HERE / "Shop.sol", "Shop", SOLC)


@pytest.fixture(scope="module")
def prices() -> Artefact:
    return compile_source(HERE / "Shop.sol", "Shop.sol:Prices", SOLC)


@pytest.fixture
def wallet() -> AccountWallet:
    node = EthNode()
    return AccountWallet(node, DposKey(node.keys[0]), 51337, sleep=no_sleep)


def deployed(wallet: AccountWallet, plan: Plan, folder: Path) -> Any:
    record = folder / f"{plan.artefact.name}.json"
    return finish(wallet.node, record, deploy(wallet, plan, record), Patience(), no_sleep)


@needs_solc
def test_solidity_with_imports_immutables_and_a_library(
    wallet: AccountWallet, shop: Artefact, prices: Artefact, tmp_path: Path
) -> None:
    library = deployed(wallet, Plan(prices), tmp_path)
    libraries = parse_libraries([f"Prices={library.address}"])
    done = deployed(wallet, Plan(shop, ("2gwei",), value=5, libraries=libraries), tmp_path)
    target = Target(done.address, done.abi)
    assert call(wallet.node, target, "double") == [str(4 * 10**9)]
    with pytest.raises(Reverted, match=r"TooLittle\(wanted=2000000000, given=1\)"):
        send(wallet, target, "buy", value=1)
    sent = send(wallet, target, "buy", value=2 * 10**9)
    (event,) = outcome(wallet.settle(sent, Patience(1)), target.abi)["events"]
    assert (event["event"], event["arguments"]["paid"]) == ("Sold", str(2 * 10**9))
    code = bytes.fromhex(wallet.node.call("eth_getCode", done.address, "latest")[2:])
    ran = bytes.fromhex(wallet.node.call("eth_getTransactionByHash", done.transaction_hash)["input"][2:])
    verdict = verify(shop, code, ran, libraries)
    assert (verdict.match, verdict.creation, verdict.metadata) == ("exact", "exact", "same")
    assert {int(one, 16) for one in verdict.immutables.values()} == {2 * 10**9, int(done.deployer, 16)}
    assert verdict.constructor_arguments == (str(2 * 10**9),)
    at_library = bytes.fromhex(wallet.node.call("eth_getCode", library.address, "latest")[2:])
    assert verify(prices, at_library).match == "exact"


@needs_solc
def test_metadata_alone_may_differ(wallet: AccountWallet, tmp_path: Path) -> None:
    source = tmp_path / "One.sol"
    text = (
        "// SPDX-License-Identifier: MIT\npragma solidity ^0.8.20;\ncontract One { uint256 public x = 5; }\n"
    )
    source.write_text(text)
    one = compile_source(source, None, SOLC)
    source.write_text(text + "// a comment\n")
    other = compile_source(source, None, SOLC)
    done = deployed(wallet, Plan(one), tmp_path)
    code = bytes.fromhex(wallet.node.call("eth_getCode", done.address, "latest")[2:])
    ran = bytes.fromhex(wallet.node.call("eth_getTransactionByHash", done.transaction_hash)["input"][2:])
    verdict = verify(other, code, ran)
    assert (verdict.match, verdict.metadata, verdict.creation) == ("code", "differs", "code")
    assert verdict.is_verified
    source.write_text(text.replace("= 5", "= 6"))
    assert not verify(compile_source(source, None, SOLC), code, ran).is_verified


@needs_solc
def test_what_cannot_be_deployed_says_why(shop: Artefact) -> None:
    with pytest.raises(LibrariesMissing, match=r"Shop\.sol:Prices"):
        Plan(shop, ("1",)).code()
    abstract = compile_source(HERE / "Priced.sol", None, SOLC)
    with pytest.raises(NotDeployable, match="abstract"):
        Plan(abstract).code()
    with pytest.raises(ContractNotChosen, match=r"Shop\.sol:Prices, Shop\.sol:Shop"):
        compile_source(HERE / "Shop.sol", None, SOLC)


@needs_solc
def test_a_compiler_error_is_shown_whole(tmp_path: Path) -> None:
    source = tmp_path / "Bad.sol"
    source.write_text("pragma solidity ^0.8.20;\ncontract Bad { uint x = true; }\n")
    with pytest.raises(CompilationFailed, match="TypeError"):
        compile_source(source, None, SOLC)


@needs_solc
def test_standard_json_input_is_compiled(tmp_path: Path) -> None:
    text = (
        "// SPDX-License-Identifier: MIT\npragma solidity ^0.8.20;\ncontract One { uint256 public x = 5; }\n"
    )
    request = {"language": "Solidity", "sources": {"a/One.sol": {"content": text}}, "settings": {}}
    path = tmp_path / "input.json"
    path.write_text(json.dumps(request))
    found = compile_source(path, None, SOLC)
    assert (found.name, found.source_name) == ("One", "a/One.sol")
    assert found.compiler["version"].startswith("0.8.")
    assert found.source_hash


def test_vyper_standard_json_is_compiled(tmp_path: Path) -> None:
    text = "# pragma version ^0.4.0\nx: public(uint256)\n"
    request = {"language": "Vyper", "sources": {"one.vy": {"content": text}}, "settings": {}}
    path = tmp_path / "input.json"
    path.write_text(json.dumps(request))
    found = compile_source(path)
    assert found.creation
    assert found.compiler["language"] == "Vyper"
    assert Plan(found).code()[0] == bytes.fromhex(found.creation)


def test_a_vyper_error_is_shown_whole(tmp_path: Path) -> None:
    source = tmp_path / "bad.vy"
    source.write_text("x: uint256 = 5\n")
    with pytest.raises(CompilationFailed, match=r"bad\.vy does not compile"):
        compile_source(source)


# --- artefacts of other tools ----------------------------------------------------------------------------

ABI = [{"type": "constructor", "inputs": [{"name": "x", "type": "uint256"}], "stateMutability": "nonpayable"}]
LINKED = {"lib/L.sol": {"L": [{"start": 1, "length": 20}]}}
CODE = "73" + "__$" + "a" * 34 + "$__" + "00"


def test_hardhats_artefact() -> None:
    value = {
        "_format": "hh-sol-artifact-1",
        "contractName": "One",
        "sourceName": "contracts/One.sol",
        "abi": ABI,
        "bytecode": "0x" + CODE,
        "deployedBytecode": "0x6001",
        "linkReferences": LINKED,
        "deployedLinkReferences": {},
    }
    (one,) = read_artefacts(value, Path("One.json"))
    assert (one.name, one.source_name, one.runtime) == ("One", "contracts/One.sol", "6001")
    with pytest.raises(LibrariesMissing, match=r"lib/L\.sol:L"):
        one.creation_code()
    for name in ("L", "lib/L.sol:L"):
        assert one.creation_code({name: b"\x11" * 20}).hex() == "73" + "11" * 20 + "00"
    assert read_artefacts(one.document(), Path("x.json")) == [one]


def test_foundrys_artefact() -> None:
    metadata = {
        "compiler": {"version": "0.8.30+commit.73712a01"},
        "language": "Solidity",
        "settings": {"compilationTarget": {"src/One.sol": "One"}, "evmVersion": "prague", "optimizer": {}},
        "sources": {"src/One.sol": {"keccak256": "0x01"}},
    }
    value = {
        "abi": ABI,
        "bytecode": {"object": "0x6001", "linkReferences": {}},
        "deployedBytecode": {
            "object": "0x" + "00" * 40,
            "linkReferences": {},
            "immutableReferences": {"7": [{"start": 2, "length": 32}]},
        },
        "metadata": metadata,
    }
    (one,) = read_artefacts(value, Path("out/One.sol/One.json"))
    assert (one.name, one.source_name) == ("One", "src/One.sol")
    assert one.compiler["version"] == "0.8.30+commit.73712a01"
    assert one.immutables[0].places == ((2, 32),)
    (raw,) = read_artefacts({**value, "metadata": None, "rawMetadata": json.dumps(metadata)}, Path("x.json"))
    assert raw == one
    code = bytes(2) + b"\x22" * 32 + bytes(6)
    assert verify(replace(one), code).match == "exact"
    assert (
        verify(replace(one), b"\1" + code[1:])
        .notes[0]
        .startswith("the code differs in 1 of 40 bytes, first at 0")
    )


def test_standard_json_output_and_build_info() -> None:
    inner = {
        "abi": ABI,
        "evm": {"bytecode": {"object": "6001"}, "deployedBytecode": {"object": "6002"}},
    }
    output = {"contracts": {"a.sol": {"A": inner, "Empty": {**inner, "evm": {"bytecode": {"object": ""}}}}}}
    found = read_artefacts(output, Path("x.json"))
    assert [one.name for one in found] == ["A", "Empty"]
    info = {"solcVersion": "0.8.30", "input": {"language": "Solidity", "settings": {}}, "output": output}
    assert read_artefacts(info, Path("x.json"))[0].compiler["version"] == "0.8.30"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", NotAnArtefact),
        ("[]", NotAnArtefact),
        ("{}", NotAnArtefact),
        ('{"abi": [], "bytecode": {}}', NotAnArtefact),
        ('{"contracts": {"a": {"A": {}}}}', NotAnArtefact),
        ('{"contracts": {}}', ContractNotChosen),
        ('{"contracts": {"a": 5}}', NotAnArtefact),
        ('{"abi": {}, "bytecode": "0x"}', InvalidAbi),
        ('{"abi": [5], "bytecode": "0x"}', InvalidAbi),
    ],
)
def test_damaged_artefacts_have_a_typed_error(text: str, error: type[Exception], tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(error):
        load_artefact(path)


def test_missing_files_and_compilers_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotAnArtefact, match="there is no file"):
        compile_source(tmp_path / "no.vy")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    source = tmp_path / "One.sol"
    source.write_text("contract One {}")
    with pytest.raises(CompilerMissing, match="npm install solc"):
        compile_source(source)
    monkeypatch.setattr(compilers, "find_spec", lambda _: None)
    with pytest.raises(CompilerMissing, match="pip install vyper"):
        compile_source(HERE / "Vault.vy")


def test_libraries_are_names_and_addresses() -> None:
    assert parse_libraries(["a/L.sol:L=0x" + "11" * 20]) == {"a/L.sol:L": b"\x11" * 20}
    for text in ("L", "L=0x11", "=0x" + "11" * 20):
        with pytest.raises(LibrariesMissing):
            parse_libraries([text])
