"""The two genesis blocks of a network belong together; each thing that could differ is found."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ioex_chain.bridge import genesis_check
from ioex_chain.bridge.genesis_check import GenesisMismatch, check_both_chains
from ioex_chain.crypto.address import deposit_script, reserve_change_script
from ioex_chain.evm.genesis import write_genesis
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.system import Registry, artefact, mapping_slot
from ioex_chain.pow.block import Block
from ioex_chain.pow.genesis import genesis_block
from ioex_chain.pow.transaction import Transaction, TxOut
from ioex_chain.spec.load import NETWORKS, load_network
from ioex_chain.spec.model import NetworkSpec

SPEC = load_network("devnet")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_shipped_networks(name: str) -> None:
    spec = load_network(name)
    check_both_chains(spec, genesis_block(spec))


def slot(contract: str, variable: str, value: int) -> Callable[[FlatState], None]:
    at = SPEC.contracts.addresses[contract]
    return lambda state: state.set_storage(at, artefact(contract).slots[variable], value)


def add_coins(state: FlatState) -> None:
    rich = SPEC.dpos.accounts[0].address
    state.set_balance(rich, state.get_balance(rich) + 1)


def take_coins(state: FlatState) -> None:
    state.set_balance(SPEC.contracts.node_rewards, 0)


def other_code(state: FlatState) -> None:
    state.set_code(SPEC.contracts.addresses["Bridge"], b"\x00")


def no_owner(state: FlatState) -> None:
    state.set_code(SPEC.dpos.owner, b"")


def another_time(state: FlatState) -> None:
    at = mapping_slot(artefact("PowLightClient").slots["records"], genesis_block(SPEC).hash) + 1
    address = SPEC.contracts.addresses["PowLightClient"]
    state.set_storage(address, at, state.get_storage(address, at) + (1 << 64))


def on_standby(state: FlatState) -> None:
    address = SPEC.contracts.addresses[Registry.NAME]
    at = Registry.partner_slot(2, Registry.STATUS)
    state.set_storage(address, at, state.get_storage(address, at) | Registry.STANDBY)


def without_node(state: FlatState) -> None:
    address = SPEC.contracts.addresses[Registry.NAME]
    state.set_storage(address, Registry.partner_slot(1, Registry.STATUS), Registry.ADMITTED)


BROKEN = [
    (add_coins, "its deposits are"),
    (take_coins, "its deposits are"),
    (other_code, "Bridge has other code"),
    (no_owner, "the owner has no code"),
    *((slot(name, "owner", 7), f"{name} has another owner") for name in ("Bridge", "Workload")),
    (slot("PowLightClient", "best", 7), "begins at another block"),
    (another_time, "another time"),
    (on_standby, "different sets"),
    (without_node, "different sets"),
    (slot("Bridge", "creditQueue", 1 << 64), "moved something"),
    (slot("Bridge", "counted", 1), "moved something"),
    (slot("Bridge", "lastSet", 1), "moved something"),
    (slot("Bridge", "ownerPaused", 2), "a door"),
]


@pytest.mark.parametrize(("change", "words"), BROKEN)
def test_a_state_that_differs(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[FlatState], None], words: str
) -> None:
    def written(spec: NetworkSpec, state: FlatState, pow_genesis: bytes) -> None:
        write_genesis(spec, state, pow_genesis)
        change(state)

    monkeypatch.setattr(genesis_check, "write_genesis", written)
    with pytest.raises(GenesisMismatch, match=words):
        check_both_chains(SPEC, genesis_block(SPEC))


def paying(*outputs: TxOut) -> Block:
    """The PoW genesis with more outputs."""
    block = genesis_block(SPEC)
    coinbase = block.transactions[0]
    more = Transaction.build(coinbase.version, coinbase.inputs, [*coinbase.outputs, *outputs])
    return Block.build(block.header, [more])


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (TxOut(1, deposit_script(SPEC.dpos.accounts[0].address)), "its deposits are"),
        (TxOut(1, deposit_script(b"\x33" * 20)), "has 0 wei, its deposits are 1 units"),
        (TxOut(1, deposit_script(SPEC.contracts.addresses["Bridge"])), "its deposits are"),
        (TxOut(1, reserve_change_script()), "reserve change"),
    ],
)
def test_a_pow_genesis_that_pays_otherwise(output: TxOut, words: str) -> None:
    with pytest.raises(GenesisMismatch, match=words):
        check_both_chains(SPEC, paying(output))


def test_another_first_set() -> None:
    members = SPEC.dpos.members
    other = replace(SPEC, dpos=replace(SPEC.dpos, seats=3, members=members[:3]))
    check_both_chains(other, genesis_block(other))
    fewer = replace(SPEC, dpos=replace(SPEC.dpos, seats=3))  # a set that has no room
    with pytest.raises(GenesisMismatch, match="different sets"):
        check_both_chains(fewer, genesis_block(fewer))
