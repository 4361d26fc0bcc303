"""Arbitrators in processes of their own: killed, stopped, paused, doubled; finality goes on or comes back."""

import os
import random
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from e2e.dpos_network_world import DposNetwork, dev_address, dev_key
from e2e.node_process import NodeDied
from unit.dpos.finality_world import BLANK

from ioex_chain.crypto.secp256k1 import sign_recoverable
from ioex_chain.dpos.evidence import of_seals
from ioex_chain.dpos.evidence_kept import decode_kept, encode_kept
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.seal import seal_digest
from ioex_chain.dpos.votes import SealEvidence

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("dpos_network")]
FOUR = {"a": [0], "b": [1], "c": [2], "d": [3]}
TO = "0x" + "99" * 20
ONE, OTHER = "0x" + "11" * 20, "0x" + "22" * 20
BATCH = 5
SEVEN = {name: [at] for at, name in enumerate("abcdefg")}
MINUTES = float(os.environ.get("IOEX_SOAK_MINUTES", "30"))


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
        assert all(net.seals("e", 1, final, dev_address(account)) for account in range(4))
        assert net.evidence() == []


def test_a_newcomer_follows_no_chain_without_its_checkpoint(tmp_path: Path) -> None:
    with DposNetwork(tmp_path, {"a": range(4)}) as net:
        net.wait_final("a", 8)
        net.add("w", [], "--dpos-checkpoint", "5:0x" + "ab" * 32)
        net.add("r", [], "--dpos-checkpoint", f"5:{net.hash_at('a', 5)}")
        net.wait_final("r", 12)
        assert net.height("w") < 5
        assert net.hash_at("r", 5) == net.hash_at("a", 5)


def two_seals(net: DposNetwork, account: int) -> SealEvidence:
    """Make the proof that a published account sealed two headers for slot 1."""
    genesis = bytes.fromhex(net.hash_at("a", 0)[2:])
    key = bytes.fromhex(dev_key(account)[2:])
    slots = [replace(BLANK, timestamp=net.genesis_time + 1, extra_data=text) for text in (b"one", b"other")]
    one, other = (
        SealedHeader(header, sign_recoverable(key, seal_digest(genesis, header.hash))) for header in slots
    )
    return of_seals(one, other)


def test_evidence_that_was_kept_over_a_restart_ends_in_a_block(tmp_path: Path) -> None:
    with DposNetwork(tmp_path, {"a": range(4)}) as net:
        net.wait_final("a", 2)
        node, proof = net.nodes["a"], two_seals(net, 3)
        assert node.stop()[0] == 0
        path = node.datadir.dpos_evidence
        assert not path.exists() or decode_kept(path.read_bytes()) == []
        path.write_bytes(encode_kept([proof]))
        net.start("a", alone=True)

        ranking = lambda: net.ask("a", "ioex_getArbitrators")["ranking"]  # noqa: E731
        net.wait(lambda: [one["jailed"] for one in ranking()].count(True) == 1)  # its key is burned
        assert dev_address(3) not in [one["key"].lower() for one in ranking()]
        net.wait(lambda: net.evidence() == [])  # a final block carries it
        assert node.stop()[0] == 0
        assert decode_kept(path.read_bytes()) == []


def test_one_of_four_is_killed_and_signs_again(tmp_path: Path) -> None:
    with DposNetwork(tmp_path, FOUR) as net:
        net.wait_finality_moves()
        net.kill("d")
        net.wait_finality_moves()
        net.start("d")
        net.wait(lambda: net.signs("d"))
        back = net.height("a")
        net.wait(lambda: net.seals("a", back, net.height("a"), dev_address(3)))
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


@pytest.mark.timeout(600)
def test_conflicting_payments_through_different_nodes(tmp_path: Path) -> None:
    """Row R14, short: of two payments with one nonce, told to different nodes, one is final everywhere."""
    double_spends(tmp_path, 2 * 6 * BATCH)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_a_thousand_conflicting_payments(tmp_path: Path) -> None:
    double_spends(tmp_path, 1_000)


def double_spends(base: Path, count: int) -> None:
    """The network is parted while they are sent: neither half has three of four keys."""
    nonces = dict.fromkeys(range(4, 10), 0)
    pairs: list[tuple[str, str]] = []
    with DposNetwork(base, FOUR) as net:
        net.wait_finality_moves()
        while len(pairs) < count:
            net.wires.part("ab", "cd")
            sent = [(net, payer, nonces[payer] + at) for payer in nonces for at in range(BATCH)]
            pairs += [(_pay("a", ONE, *each), _pay("d", OTHER, *each)) for each in sent]
            for payer in nonces:
                nonces[payer] += BATCH
            net.wait(lambda: all(_nonces(net, name, nonces) == nonces for name in FOUR))
            net.wires.heal()
            net.wait_finality_moves()
        for name in FOUR:
            for one, other in pairs:
                assert bool(net.receipt(name, one)) != bool(net.receipt(name, other)), name
        paid = [int(net.ask("a", "eth_getBalance", to, "latest"), 16) for to in (ONE, OTHER)]
        assert sum(paid) == len(pairs)
        net.assert_one_chain()
        assert net.evidence() == []
    print(f"\n{len(pairs)} pairs, paid {paid}, the same on all nodes")


def _pay(name: str, to: str, net: DposNetwork, payer: int, nonce: int) -> str:
    return net.send(name, net.transfer(payer, nonce, to))


def _nonces(net: DposNetwork, name: str, payers: Iterable[int]) -> dict[int, int]:
    """Give how many payments of each are in blocks of a node."""
    return {
        payer: int(net.ask(name, "eth_getTransactionCount", dev_address(payer), "latest"), 16)
        for payer in payers
    }


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_seven_nodes_that_are_killed_paused_cut_off_and_restarted(tmp_path: Path) -> None:
    """Row R6: something happens to one of seven nodes every 20 seconds; afterwards all agree."""
    chance = random.Random(6)
    done: Counter[str] = Counter()
    with DposNetwork(tmp_path, SEVEN, seats=len(SEVEN)) as net:
        net.wait_finality_moves()
        end = time.monotonic() + 60 * MINUTES
        while time.monotonic() < end:
            what, name = chance.choice(("kill", "pause", "cut", "restart")), chance.choice(list(SEVEN))
            done[what] += 1
            net.disturb(what, name)
            time.sleep(12)
            net.restore(what, name)
            time.sleep(8)
        began = time.monotonic()
        net.wait_finality_moves(seconds=120)
        final = net.assert_one_chain()
        print(f"\n{dict(done)}; all final {time.monotonic() - began:.1f} s after the last; {final} blocks")
        assert net.evidence() == []
