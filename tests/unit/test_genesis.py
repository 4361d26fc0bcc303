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
        "49c975f8872cfc194b9fd90c7b6a65249b6ead525f91d511d2e5730a183efb0d",
    ),
    "testnet": (
        "7934e95b404116769720afe97927aa3e098b425c5a3368e9bf7c568c33dd8938",
        "b4a6daeec3d05a173f1b961f8f3dbe9b96e53aa673b38ec2cec585124229ac2e",
        "f3614f518dcb0c6773a4ea5100a342cd9a504aefb96ba8d11242b64939c8f323",
    ),
    "devnet": (
        "607aae203f1b501268704c5e3e4891eeecf22ce8a7b4ee8d24b05c65177ae782",
        "b0e7b7e4e60313618c5ca324c28a6c1d9e67f9d342551b072077c3144b4fab43",
        "14ae75e564474b931506208098ea1d8f15b50a12c952f498f4b9d408dfab17cc",
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
