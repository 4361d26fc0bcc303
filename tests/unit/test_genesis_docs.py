"""docs/genesis.md says what the shipped files hold."""

from pathlib import Path

import pytest

from ioex_chain.crypto.address import checksum_account
from ioex_chain.pow.genesis import genesis_block
from ioex_chain.primitives.types import COIN, display
from ioex_chain.spec.load import NETWORKS, load_network
from ioex_chain.spec.plan import PLAN

PAGE = (Path(__file__).parents[2] / "docs" / "genesis.md").read_text()


@pytest.mark.parametrize("name", NETWORKS)
def test_hashes(name):
    assert f"| {name} | `{display(genesis_block(load_network(name)).hash)}`" in PAGE


def test_contracts():
    for name, address in load_network("mainnet").contracts.addresses.items():
        assert f"| {name} | `{checksum_account(address)}` |" in PAGE


def test_plan():
    for line in PLAN.values():
        row = f"| {line.letter} | {line.name} | {line.percent} % | {line.amount // COIN:,} |"
        assert row in PAGE


def test_key_paths():
    for row in load_network("devnet").token.allocations:
        if row.key_path:
            account = row.key_path.split("/")[3]
            assert f"**{account}**" in PAGE
