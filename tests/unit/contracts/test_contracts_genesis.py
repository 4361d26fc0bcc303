"""Genesis of the DPoS chain: its state, its header, and what the header commits to."""

from dataclasses import replace
from pathlib import Path

import pytest
import rlp
from trie import HexaryTrie

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos.codec import decode_block, payload_root
from ioex_chain.dpos.genesis import genesis_block
from ioex_chain.evm.genesis import (
    NO_REQUESTS,
    genesis_hash,
    genesis_state,
    node_rewards_balance,
    parameters_hash,
    state_root,
    write_genesis,
)
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.types import EMPTY_CODE_HASH, EMPTY_TRIE_ROOT, WEI
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.pow.genesis import genesis_block as pow_genesis_block
from ioex_chain.pow.genesis import identity_of
from ioex_chain.spec.identity import network_id
from ioex_chain.spec.load import NETWORKS, load_network

GOLDEN = {
    "mainnet": "4dee5c68309baa14c6a5182eb2d515a7049d04ba5d54c1b9ab2bc89a26597128",
    "testnet": "c681a14e18b4829683dce8399b911279e37b2f7655e5128b79bc34205a077f8b",
    "devnet": "9dfe7468a7add437fae4ca8c09dcb930c8f11b73dd0ccc01ae8726364f93206c",
}


def pow_hash(spec):
    return pow_genesis_block(spec).hash


@pytest.mark.parametrize("name", NETWORKS)
def test_golden(name):
    spec = load_network(name)
    block = genesis_block(spec, pow_hash(spec))
    assert block.header.hash.hex() == GOLDEN[name]
    assert genesis_hash(spec, pow_hash(spec)) == block.header.hash
    assert decode_block(block.raw, lambda _: pytest.fail("no transactions")) == block


def test_the_protocol_page_has_these_hashes():
    page = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
    assert all(f"`{hash_}`" in page for hash_ in GOLDEN.values())


def test_what_the_header_says():
    spec = load_network("mainnet")
    block = genesis_block(spec, pow_hash(spec))
    header = block.header.header
    assert (header.number, header.timestamp, header.gas_used) == (0, spec.dpos.genesis_time, 0)
    assert header.gas_limit == spec.dpos.gas_limit
    assert header.base_fee == spec.dpos.min_base_fee
    assert header.mix_hash == pow_hash(spec)
    assert header.extra_data == parameters_hash(spec)
    assert header.state_root == state_root(genesis_state(spec, pow_hash(spec)))
    assert header.parent_beacon_root == payload_root(block.payload)
    assert header.transactions_root == header.receipts_root == header.withdrawals_root == EMPTY_TRIE_ROOT
    assert b"\xff" + bytes(40) == NO_REQUESTS
    assert (block.header.seal, header.parent_hash) == (b"", bytes(32))


def test_the_identity_is_over_both_chains():
    spec = load_network("devnet")
    assert identity_of(spec) == network_id(pow_hash(spec), genesis_hash(spec, pow_hash(spec)))


def oracle_root(state):
    accounts = HexaryTrie({})
    for address, content in state.items():
        slots = HexaryTrie({})
        for slot, value in content.storage.items():
            slots[keccak256(slot.to_bytes(32, "big"))] = rlp.encode(value)
        code_hash = keccak256(content.code) if content.code else EMPTY_CODE_HASH
        accounts[keccak256(address)] = rlp.encode(
            [content.nonce, content.balance, slots.root_hash, code_hash]
        )
    return accounts.root_hash


@pytest.mark.parametrize("arguments", [{}, {"arbitrators": 1}, {"arbitrators": 51}])
def test_the_state_root_is_ethereums_and_the_flat_states(arguments):
    spec = load_network("devnet", **arguments)
    root = state_root(genesis_state(spec, pow_hash(spec)))
    assert root == oracle_root(genesis_state(spec, pow_hash(spec)))
    state = FlatState(Overlay(Rows()))
    write_genesis(spec, state, pow_hash(spec))
    assert state.flush() == root


class Rows:
    def get(self, key):
        return None

    def scan(self, prefix, start=b"", reverse=False):
        return iter(())


def test_balances():
    spec = load_network("devnet")
    state = genesis_state(spec, pow_hash(spec))
    assert node_rewards_balance(spec) == 70_000_000 * WEI
    assert state[spec.contracts.node_rewards].balance == 70_000_000 * WEI
    assert len(spec.dpos.accounts) == 10
    for account in spec.dpos.accounts:
        assert state[account.address].balance == account.wei == 10_000 * WEI
    assert sum(content.balance for content in state.values()) == 70_100_000 * WEI
    for name in ("mainnet", "testnet"):
        assert load_network(name).dpos.accounts == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"chain_id": 7},
        {"block_time": 2},
        {"nominal_block_time": 2},
        {"seats": 5},
        {"term_rounds": 11},
        {"min_members": 2},
        {"gas_limit": 210_000_001},
        {"min_base_fee": 7},
        {"block_reward": 4},
        {"genesis_time": 1_767_225_601},
        {"unlock_period": 61},
        {"jail_period": 61},
        {"miss_limit": 17},
        {"owner_quorum": 1},
        {"owner_keys": (b"\1" * 20,)},
        {"members": ()},
        {"accounts": ()},
    ],
)
def test_genesis_commits_to_every_lasting_rule(changes):
    spec = load_network("devnet")
    other = replace(spec, dpos=replace(spec.dpos, **changes))
    assert genesis_hash(other, bytes(32)) != genesis_hash(spec, bytes(32))


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        *(("bridge", {name: 7}) for name in ("withdrawal_fee", "min_withdrawal", "daily_outflow_cap")),
        *(("bridge", {name: 7}) for name in ("max_requests", "max_waiting", "owner_delay")),
        ("bridge", {"max_settlement_inputs": 7}),
        ("dpos", {"stall_slots": 7}),
        *(("pow", {name: 7}) for name in ("spacing", "half_life", "burial_depth", "max_reorg_depth")),
        *(("pow", {name: 7}) for name in ("auxpow_chain_id", "max_future", "pow_limit_bits")),
        ("pow", {"fixed_difficulty": False}),
    ],
)
def test_genesis_commits_to_what_the_bridge_is_made_of(section, changes):
    spec = load_network("devnet")
    other = replace(spec, **{section: replace(getattr(spec, section), **changes)})
    assert genesis_hash(other, bytes(32)) != genesis_hash(spec, bytes(32))


def test_genesis_commits_to_the_pow_genesis_and_to_nothing_scheduled():
    spec = load_network("devnet")
    assert genesis_hash(spec, bytes(32)) != genesis_hash(spec, b"\1" * 32)
    changes = {"execution_gas_limit": 5, "activations": (9,), "seeds": ("x",), "p2p_port": 1}
    later = replace(spec, dpos=replace(spec.dpos, **changes))
    assert genesis_hash(later, bytes(32)) == genesis_hash(spec, bytes(32))
    policy = replace(spec, bridge=replace(spec.bridge, min_relayed_deposit=7))
    assert genesis_hash(policy, bytes(32)) == genesis_hash(spec, bytes(32))


def test_arbitrators_and_time_give_networks_of_their_own():
    specs = [
        load_network("devnet", **options)
        for options in ({}, {"arbitrators": 5}, {"genesis_time": 1_800_000_000}, {"block_time": 2})
    ]
    assert len({identity_of(spec) for spec in specs}) == 4
    assert pow_hash(specs[0]) == pow_hash(specs[1])
