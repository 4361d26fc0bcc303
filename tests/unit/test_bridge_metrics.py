"""What Prometheus reads of the DPoS chain and the bridge."""

import pytest
from chain_metrics import ChainMetrics
from sim.bridge_spec import USER_ACCOUNTS

from ioex_chain.evm.types import WEI
from ioex_chain.primitives.errors import UnexpectedEnd
from ioex_chain.primitives.types import COIN

SCRIPT = bytes.fromhex("0014") + bytes(range(20))


def test_the_dpos_chain_and_its_arbitrators() -> None:
    metrics = ChainMetrics()
    metrics.bridge.pass_blocks(2)
    metrics.stats.sealed = 4
    metrics.stats.missed["late"] = 2
    found = metrics.values()
    assert found["ioex_dpos_height"] == metrics.bridge.world.dpos.head.height
    assert found["ioex_dpos_txpool_transactions{state=pending}"] == 3
    assert found["ioex_dpos_blocks_sealed_total"] == 4
    assert found["ioex_dpos_slots_missed_total{reason=late}"] == 2
    assert (found["ioex_dpos_signer_slots_to_watch"], found["ioex_dpos_finality_stalled"]) == (2, 0)


def test_the_bridge_in_figures() -> None:
    metrics = ChainMetrics()
    world = metrics.bridge.world
    metrics.bridge.mine(metrics.bridge.k + 1)
    world.withdraw(USER_ACCOUNTS[0], 3 * COIN, SCRIPT)
    metrics.bridge.pass_blocks(1)
    world.mine()
    found = metrics.values()
    assert found["ioex_bridge_verdict{verdict=sound}"] == found["ioex_bridge_sound"] == 1
    assert found["ioex_bridge_verdict{verdict=hole}"] == found["ioex_bridge_broken_invariants"] == 0
    assert found["ioex_bridge_difference_wei"] == 0
    assert found["ioex_bridge_reserve_ioex"] == sum(
        value for name, value in found.items() if name.startswith("ioex_bridge_backed_ioex")
    )
    assert found["ioex_bridge_backed_ioex{part=unseen}"] == 20
    assert found["ioex_bridge_backed_ioex{part=unsettled}"] == found["ioex_bridge_used_today_ioex"] == 3
    assert found["ioex_bridge_light_client_behind"] == 1
    assert found["ioex_bridge_requests{stage=made}"] == found["ioex_bridge_requests{stage=drained}"] == 1
    assert found["ioex_bridge_requests{stage=settled}"] == 0
    assert found["ioex_bridge_door_open{direction=in}"] == found["ioex_bridge_door_open{direction=out}"] == 1
    pool = world.dpos.state.get_balance(world.contracts["RewardPool"])
    assert found["ioex_bridge_reward_pool_ioex{amount=balance}"] == pool / WEI


def test_a_shut_door_and_a_fork_are_seen() -> None:
    metrics = ChainMetrics()
    metrics.bridge.mine(metrics.bridge.k + 4)
    metrics.bridge.world.fork_pow(metrics.bridge.k + 2)
    assert metrics.values()["ioex_bridge_verdict{verdict=forked}"] == 1
    metrics.bridge.pass_blocks(2)
    found = metrics.values()
    assert found["ioex_bridge_deep_reorganisations"] == 1
    assert found["ioex_bridge_door_open{direction=in}"] == 0


def test_a_database_that_cannot_be_read_takes_no_other_figures_away(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = ChainMetrics()

    def damaged() -> None:
        raise UnexpectedEnd("the database holds no bridge reserve")

    monkeypatch.setattr(metrics.bridge.view, "status", damaged)
    found = metrics.values()
    assert "ioex_dpos_height" in found
    assert not any(name.startswith("ioex_bridge") for name in found)
