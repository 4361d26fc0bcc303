"""The byte code that genesis carries is what the sources compile to, and what the tools call is there."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from contract_world import World, address

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm import system
from ioex_chain.evm.genesis import genesis_state
from ioex_chain.evm.system import artefact, mapping_slot, selector
from ioex_chain.evm.types import SYSTEM_ADDRESS

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "ioex_chain" / "evm" / "contracts"
NAMES = tuple(sorted(path.stem for path in SOURCES.glob("*.vy")))


def test_every_source_has_its_artefact_and_no_other():
    assert {"ArbitratorRegistry", "Bridge", "OwnerMultisig", "RewardPool"} <= set(NAMES)
    assert sorted(path.stem for path in SOURCES.glob("*.json")) == list(NAMES)


def test_the_artefacts_are_what_the_compiler_makes(tmp_path):
    pytest.importorskip("vyper", reason="vyper is not installed")
    script = ROOT / "scripts" / "compile_contracts.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, capture_output=True)
    for name in NAMES:
        assert (tmp_path / f"{name}.json").read_bytes() == (SOURCES / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_an_artefact_names_its_source_and_compiler(name):
    source = (SOURCES / f"{name}.vy").read_bytes()
    found = artefact(name)
    assert found.source_sha256 == sha256(source).hexdigest()
    assert found.compiler == "vyper 0.4.3"
    assert json.loads((SOURCES / f"{name}.json").read_text())["name"] == name
    assert len(found.runtime) <= 24_576  # EIP-170


def test_genesis_carries_this_byte_code():
    world = World()
    state = genesis_state(world.spec, bytes(32))
    codes = {world.registry: "ArbitratorRegistry", world.owner: "OwnerMultisig", world.pool: "RewardPool"}
    for at, name in codes.items():
        assert state[at].code == artefact(name).runtime
        assert world.state.get_code(at) == artefact(name).runtime
        assert state[at].nonce == 1


@pytest.mark.parametrize(
    ("encoded", "contract", "function"),
    [
        (system.on_block(address(1), [address(2), address(3)]), "ArbitratorRegistry", "onBlock"),
        (system.on_block(address(1)), "ArbitratorRegistry", "onBlock"),
        (system.on_evidence(address(1), 2, 77), "ArbitratorRegistry", "onEvidence"),
        (system.accrue(address(1), 3, 5), "RewardPool", "accrue"),
    ],
)
def test_the_protocols_calldata_is_the_abis(encoded, contract, function):
    from contract_world import functions
    from eth_abi import decode, encode

    chosen, inputs, _ = functions(contract)[function]
    assert encoded[:4] == chosen
    values = decode(inputs, encoded[4:])
    assert encode(inputs, values) == encoded[4:]
    assert values[0] == "0x" + address(1).hex()


def test_on_block_takes_no_more_missed_slots_than_the_contract():
    with pytest.raises(ValueError, match="at most 64"):
        system.on_block(address(1), [address(2)] * 65)


def test_mapping_slots_are_vypers():
    key = bytes(range(20))
    inner = keccak256((7).to_bytes(32, "big") + bytes(12) + key)
    assert mapping_slot(7, key) == int.from_bytes(inner, "big")
    assert mapping_slot(7, key, 5) == int.from_bytes(keccak256(inner + (5).to_bytes(32, "big")), "big")
    assert selector("transfer(address,uint256)").hex() == "a9059cbb"


def test_ethereums_own_system_contracts_work():
    world = World()
    world.raw(SYSTEM_ADDRESS, system.BEACON_ROOTS_ADDRESS, b"\x11" * 32)
    asked = world.time.to_bytes(32, "big")
    assert world.raw(address(1), system.BEACON_ROOTS_ADDRESS, asked) == b"\x11" * 32
    world.raw(SYSTEM_ADDRESS, system.HISTORY_ADDRESS, b"\x22" * 32)
    assert world.state.get_storage(system.HISTORY_ADDRESS, 0) == int.from_bytes(b"\x22" * 32, "big")


def test_the_create2_deployer_deploys():
    world = World()
    init = bytes.fromhex("602a5f5260205ff3")  # returns 32 bytes as code, the last of them 42
    made = world.raw(address(1), system.CREATE2_DEPLOYER, bytes(32) + init)
    expected = keccak256(b"\xff" + system.CREATE2_DEPLOYER + bytes(32) + keccak256(init))[-20:]
    assert made == expected
    assert world.state.get_code(made) == (42).to_bytes(32, "big")
