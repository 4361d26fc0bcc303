"""Arbitrators in processes of their own: killed, stopped, paused, doubled; finality goes on or comes back."""

from pathlib import Path

import pytest
from e2e.dpos_network_world import DposNetwork, dev_key
from e2e.node_process import NodeDied
from eth_account import Account

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("dpos_network")]
FOUR = {"a": [0], "b": [1], "c": [2], "d": [3]}
TO = "0x" + "99" * 20


def address(account: int) -> str:
    return str(Account.from_key(dev_key(account)).address).lower()


def test_four_processes_reach_finality_and_a_newcomer_agrees(tmp_path: Path) -> None:
    """Row R6 for this chain, calm part: one chain everywhere; who gets a transaction need not mine it."""
    with DposNetwork(tmp_path, FOUR) as net:
        net.wait_finality_moves()
        assert all(net.wait(lambda name=name: net.signs(name)) for name in FOUR)
        sent = [net.send("abcd"[nonce % 4], net.transfer(5, nonce, TO)) for nonce in range(8)]
        mined = [net.wait(lambda hash_=hash_: net.receipt("a", hash_)) for hash_ in sent]
        assert all(int(receipt["status"], 16) == 1 for receipt in mined)
        newcomer = net.add("e")
        assert newcomer.dpos["arbitrators"] == 0
        net.wait_finality_moves()
        assert net.signing("e") == []
        assert int(net.ask("e", "eth_getBalance", TO, "latest"), 16) == 8
        assert newcomer.json("wait-sync", "--timeout", "30")["dpos"]["height"] > 0
        final = net.assert_one_chain()
        assert all(net.seals("e", 1, final, address(account)) for account in range(4))
        assert net.evidence() == []


def test_one_of_four_is_killed_and_signs_again(tmp_path: Path) -> None:
    with DposNetwork(tmp_path, FOUR) as net:
        net.wait_finality_moves()
        net.kill("d")
        net.wait_finality_moves()
        net.start("d")
        net.wait(lambda: net.signs("d"))
        back = net.height("a")
        net.wait(lambda: net.seals("a", back, net.height("a"), address(3)))
        net.wait_finality_moves()
        net.assert_one_chain()
        assert net.evidence() == []


def test_two_of_four_stop_and_finality_waits_for_them(tmp_path: Path) -> None:
    """Blocks go on; nothing new is final until a third arbitrator is there."""
    with DposNetwork(tmp_path, FOUR) as net:
        net.wait_finality_moves()
        assert net.nodes["c"].stop()[0] == 0
        net.kill("d")
        paused = net.height("a")
        net.wait(lambda: net.height("a") >= paused + 5)
        final = net.height("a", "finalized")
        net.wait(lambda: net.height("a") >= paused + 9)
        assert net.height("a", "finalized") == final <= paused
        assert net.height("b", "finalized") == final
        net.start("c")
        net.wait_finality_moves()
        net.start("d")
        net.wait(lambda: net.signs("d"))
        net.wait_finality_moves()
        net.assert_one_chain()
        assert net.evidence() == []


def test_a_key_signs_once_on_one_machine(tmp_path: Path) -> None:
    with DposNetwork(tmp_path, {"a": range(4)}) as net:
        net.wait_final("a", 2)
        net.nodes["a"].stop()
        net.apart = False
        net.start("a", alone=True)
        with pytest.raises(NodeDied, match="signs with the same arbitrator key; stop it first"):
            net.add("t", [0, 1, 2, 3])
        net.wait_finality_moves()


def test_a_twin_falls_silent(tmp_path: Path) -> None:
    """A second process with the key of one that runs hears it and signs nothing; nobody gets evidence."""
    with DposNetwork(tmp_path, FOUR) as net:
        net.wait_finality_moves()
        net.add("t", [3])
        net.wait(lambda: [key["reason"] for key in net.signing("t") if not key["signs"]] == ["twin"])
        (key,) = net.signing("t")
        assert "stop the other one first" in key["detail"]
        net.wait_finality_moves()
        assert [key["reason"] for key in net.signing("t")] == ["twin"]
        assert net.evidence() == []
        net.assert_one_chain()


def test_a_paused_process_comes_back(tmp_path: Path) -> None:
    with DposNetwork(tmp_path, FOUR) as net:
        net.wait_finality_moves()
        net.pause("b")
        top = net.height("a")
        net.wait_final("a", top + 6)
        net.wake("b")
        net.wait(lambda: net.signs("b"))
        net.wait_finality_moves()
        net.assert_one_chain()
        assert net.evidence() == []
