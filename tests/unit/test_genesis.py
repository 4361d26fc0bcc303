"""The genesis block of each network: golden bytes, and what stands in it."""

import pytest

from ioex_chain.crypto.address import deposit_script
from ioex_chain.pow.block import Block
from ioex_chain.pow.genesis import genesis_block, identity_of
from ioex_chain.primitives.types import COIN, display
from ioex_chain.spec.load import NETWORKS, load_network
from ioex_chain.spec.model import MAX_OUTPUT

GOLDEN = {
    # network: (block hash, Merkle root, network identity)
    "mainnet": (
        "341da0d558eeb62b0845c91d85e33536d788171be97eb404a1db7e0ba601ab73",
        "b0e12403cfb97eacae092c0a4044814b17743c005c18e17821665c98f8e49fe1",
        "0bd8a40eafa108b2e73b46150110c11be2856842e436bad1922886435673eb8f",
    ),
    "testnet": (
        "7934e95b404116769720afe97927aa3e098b425c5a3368e9bf7c568c33dd8938",
        "b4a6daeec3d05a173f1b961f8f3dbe9b96e53aa673b38ec2cec585124229ac2e",
        "da2f775fdc5ac1295ff5c48169f07b3e44687a3f5ae25983e04fe8c03460f07c",
    ),
    "devnet": (
        "caed4e35ef9900271a3ab5ea9673ff9c2f913d316dbada6c7d09e92801a6caaf",
        "188b0e1f2a79f243ee2949e96bfee91cfcd0f22151b61ea4b6a20215e1e48e09",
        "4a88395dbaea1a81c87bf20c97edb0951b619633e0f15726dd55cfd638fd2aa5",
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_golden(name):
    spec = load_network(name)
    block = genesis_block(spec)
    found = display(block.hash), display(block.header.merkle_root), identity_of(spec).hex()
    assert found == GOLDEN[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_decodes_back(name):
    block = genesis_block(load_network(name))
    again = Block.decode(block.encode())
    assert again == block
    assert again.header.parent_hash == bytes(32)
    assert not again.header.is_merged
    assert again.transactions[0].is_coinbase
    assert 2 <= len(again.transactions[0].inputs[0].script) <= 100
    assert again.transactions[0].inputs[0].script[0] == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_pays_the_whole_plan_in_pieces(name):
    spec = load_network(name)
    outputs = genesis_block(spec).transactions[0].outputs
    assert sum(output.value for output in outputs) == 194_000_000 * COIN
    assert max(output.value for output in outputs) <= MAX_OUTPUT
    reserve = deposit_script(spec.contracts.node_rewards)
    assert sum(output.value for output in outputs if output.script == reserve) == 70_000_000 * COIN


def test_time_and_beneficiaries_change_the_hash():
    first = genesis_block(load_network("devnet"))
    later = genesis_block(load_network("devnet", genesis_time=1_800_000_000))
    assert later.header.time == 1_800_000_000
    assert later.hash != first.hash
    assert later.header.merkle_root != first.header.merkle_root
