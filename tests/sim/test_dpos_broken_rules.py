"""The simulation can fail: each rule broken on purpose shows."""

from dataclasses import replace

import pytest

from ioex_chain.dpos import sets, signer
from ioex_chain.dpos.finality import Finality
from ioex_chain.dpos.journal import Memory
from ioex_chain.dpos.votes import Link

from .dpos_hostile import Forker, Twin
from .dpos_shapes import PEACE, SMALL
from .dpos_world import DposWorld
from .test_dpos_worlds import forced

PARTED = replace(SMALL, crashes=0, clock_steps=0, slots=50, longest_partition=20, quiet=10)


def test_a_quorum_that_is_too_low_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """With just a third of twins no two final blocks, until the quorum is lower."""

    def conflicts() -> list[str]:
        world = forced(13, 4)
        world.advance(20)
        return world.conflicts

    assert not conflicts()
    monkeypatch.setattr(sets, "quorum_of", lambda count: 2 * count // 3)
    assert conflicts()


def test_voting_without_the_rule_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    def anything(known: Memory, link: Link) -> bool:
        return True

    monkeypatch.setattr(signer, "check_vote", anything)
    wrong = DposWorld(3, PARTED).run()
    assert any("honest" in sentence and "signed against a rule" in sentence for sentence in wrong)


def test_finality_that_is_not_told_to_the_ledger_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Finality, "_finalise", lambda _self, _point: ())
    assert any("finality never came back" in sentence for sentence in DposWorld(3, PARTED).run())


def test_evidence_that_nobody_carries_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = replace(PEACE, hostile=4, kinds=(Forker, Twin), slots=20, quiet=10)
    assert DposWorld(3, shape).run() == []
    monkeypatch.setattr(Finality, "evidence_for", lambda *_: ())
    assert any("is not in jail" in sentence for sentence in DposWorld(3, shape).run())
