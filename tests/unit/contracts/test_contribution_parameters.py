"""The owner's parameters: announced, waited for, applied by anybody or cancelled; within bounds.

And what genesis writes of them; the figures are those of docs/protocol.md section 5.7.
"""

from pathlib import Path

import pytest
from contract_world import Reverted, address, functions
from contribution_world import Contribution
from eth_abi import encode

from ioex_chain.evm.contribution import NAMES, PUBLIC, genesis_accounts, parameters_of
from ioex_chain.evm.genesis import genesis_state
from ioex_chain.evm.system import artefact
from ioex_chain.spec.load import load_network

ANYBODY = address(9)
GRACE = 30 * 86_400
COUNTS = {"NodeRegistry": 3, "Workload": 8, "GasPoints": 8, "NodeRewards": 5, "ServiceLedger": 2}


@pytest.fixture
def world() -> Contribution:
    return Contribution()


def inside(world: Contribution, contract: str, parameter: int) -> int:
    """Give a value that is allowed and not the present one."""
    least, most = world.ask(contract, "bounds", parameter)
    now = world.ask(contract, "parameters", parameter)
    return now + 1 if least <= now + 1 <= most else now - 1


@pytest.mark.parametrize("contract", NAMES)
def test_genesis_parameters_are_within_their_bounds(world, contract):
    for parameter in range(COUNTS[contract]):
        least, most = world.ask(contract, "bounds", parameter)
        assert least <= world.ask(contract, "parameters", parameter) <= most
    with pytest.raises(Reverted, match="no such parameter"):
        world.ask(contract, "bounds", COUNTS[contract])
    assert world.ask(contract, "owner") == "0x" + world.owner.hex()
    assert world.ask(contract, "ownerDelay") == world.spec.bridge.owner_delay


@pytest.mark.parametrize("contract", NAMES)
def test_a_change_is_announced_waited_for_and_applied_by_anybody(world, contract):
    parameter = COUNTS[contract] - 1
    value, old = inside(world, contract, parameter), world.ask(contract, "parameters", parameter)
    with pytest.raises(Reverted, match="only the owner"):
        world.call(ANYBODY, contract, "announce", parameter, value)
    with pytest.raises(Reverted, match="nothing announced"):
        world.call(ANYBODY, contract, "apply", parameter)
    world.call(world.owner, contract, "announce", parameter, value)
    assert world.names() == ["ChangeAnnounced"]
    assert world.ask(contract, "changes", parameter) == (value, world.time + world.spec.bridge.owner_delay)
    world.time += world.spec.bridge.owner_delay - 1
    with pytest.raises(Reverted, match="too early"):
        world.call(world.owner, contract, "apply", parameter)
    world.time += 1
    assert world.ask(contract, "parameters", parameter) == old
    world.call(ANYBODY, contract, "apply", parameter)
    assert world.names() == ["ChangeApplied"]
    assert world.ask(contract, "parameters", parameter) == value
    with pytest.raises(Reverted, match="nothing announced"):
        world.call(ANYBODY, contract, "apply", parameter)


@pytest.mark.parametrize("contract", NAMES)
def test_a_change_is_cancelled_or_lapses(world, contract):
    value = inside(world, contract, 0)
    with pytest.raises(Reverted, match="nothing announced"):
        world.call(world.owner, contract, "cancel", 0)
    world.call(world.owner, contract, "announce", 0, value)
    with pytest.raises(Reverted, match="only the owner"):
        world.call(ANYBODY, contract, "cancel", 0)
    world.call(world.owner, contract, "cancel", 0)
    assert world.names() == ["ChangeCancelled"]
    world.time += world.spec.bridge.owner_delay
    with pytest.raises(Reverted, match="nothing announced"):
        world.call(ANYBODY, contract, "apply", 0)
    world.call(world.owner, contract, "announce", 0, value)
    world.time += world.spec.bridge.owner_delay + GRACE + 1
    with pytest.raises(Reverted, match="lapsed"):
        world.call(ANYBODY, contract, "apply", 0)
    world.call(world.owner, contract, "announce", 0, value)  # and once more, from its beginning
    world.time += world.spec.bridge.owner_delay + GRACE
    world.call(ANYBODY, contract, "apply", 0)
    assert world.ask(contract, "parameters", 0) == value


@pytest.mark.parametrize("contract", NAMES)
def test_bounds_are_kept(world, contract):
    for parameter in range(COUNTS[contract]):
        least, most = world.ask(contract, "bounds", parameter)
        for value in (least - 1, most + 1):
            if value >= 0:
                with pytest.raises(Reverted, match="out of bounds"):
                    world.call(world.owner, contract, "announce", parameter, value)
        for value in (least, most):
            world.call(world.owner, contract, "announce", parameter, value)


def test_the_consortiums_multisig_has_this_word(world):
    """Two of three owners announce a smaller budget."""
    selector, inputs, _ = functions("NodeRewards")["announce"]
    budget = 5_000 * 10**18
    data = selector + encode(inputs, (0, budget))
    first, second = world.spec.dpos.owner_keys[:2]
    number = world.call(first, "OwnerMultisig", "submit", world.where("NodeRewards"), 0, data)
    with pytest.raises(Reverted, match="too few confirmations"):
        world.call(first, "OwnerMultisig", "execute", number)
    world.call(second, "OwnerMultisig", "confirm", number)
    world.call(second, "OwnerMultisig", "execute", number)
    world.time += world.spec.bridge.owner_delay
    world.call(ANYBODY, "NodeRewards", "apply", 0)
    assert world.ask("NodeRewards", "parameters", 0) == budget


# --- genesis ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["mainnet", "testnet", "devnet"])
def test_genesis_has_the_contracts(network):
    spec = load_network(network)
    state = genesis_state(spec, bytes(32))
    for name, storage in genesis_accounts(spec).items():
        account = state[spec.contracts.addresses[name]]
        assert (account.nonce, account.code) == (1, artefact(name).runtime)
        assert dict(account.storage) == storage
        assert 0 not in storage.values()
    assert set(genesis_accounts(spec)) == set(NAMES)
    assert state[spec.contracts.node_rewards].balance == 70_000_000 * 10**18


def test_a_day_is_a_day_on_public_networks():
    assert parameters_of(load_network("mainnet")) == parameters_of(load_network("testnet")) == PUBLIC
    assert PUBLIC.epoch_seconds == 86_400
    assert parameters_of(load_network("devnet")).epoch_seconds % 24 == 0


def test_the_page_has_these_figures():
    page = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text().split("### 5.7 Contribution")[1]
    page = page.split("\n## 6.")[0]
    rewards, gib = PUBLIC.rewards, 1 << 30
    for figure in (
        *(f"{PUBLIC.registry[at] // 10**18} IOEX" for at in (0, 1)),
        f"{rewards[0] // 10**18:,} IOEX",
        f"{rewards[1] // 10**18} IOEX",
        f"{rewards[2]} epochs",
        *(f"{PUBLIC.workload[at] // gib} GiB" for at in (4, 5)),
        *(f"{threshold // 10**6:,}" for threshold in PUBLIC.points),
    ):
        assert figure in page, figure
