"""Every rule of docs/protocol.md section 4 refuses its own named block, and nothing else changes."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from chaingen.dpos_bridge_stories import BRIDGE_STORIES, make_bridge_scene
from chaingen.dpos_stories import STORIES, Scene, Story, make_scene

from ioex_chain.dpos import errors
from ioex_chain.ledger.errors import InvalidBlock, KnownInvalid, MutatedBlock, NotYetValid, WrongSeal
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import Status
from ioex_chain.ledger.verify import check, state_digest
from ioex_chain.primitives.clock import FixedClock

made = functools.cache(lambda make: make())
"""Scenes by what makes them."""
TOLD = [
    *((make_scene, story) for story in STORIES),
    *((make_bridge_scene, story) for story in BRIDGE_STORIES),
]


def open_at_tip(scene: Scene) -> tuple:
    store = MemoryStore()
    clock = FixedClock(scene.forge.schedule.slot_start(scene.slot))
    ledger = scene.forge.open(store, clock)
    for block in scene.chain[1:]:
        ledger.accept_block(block)
    return store, ledger


@pytest.mark.parametrize(("place", "story"), TOLD, ids=[story[0] for _, story in TOLD])
def test_a_block_that_breaks_one_rule_is_refused_for_it(
    place: Callable[[], Scene], story: Story[Any]
) -> None:
    scene = made(place)
    _, reason, make = story
    store, ledger = open_at_tip(scene)
    before = state_digest(store)
    bad = make(scene)
    with pytest.raises(reason) as refused:
        ledger.accept_block(bad)
    assert refused.type is reason
    assert ledger.head.hash == scene.tip.header.hash
    assert state_digest(store) == before
    assert check(store, scene.forge.codec).problems == []
    known = ledger.entry(bad.header.hash)
    if issubclass(reason, WrongSeal | NotYetValid | errors.DposHeaderError):
        assert known is None  # nothing is kept of a header that fails at the door
    elif issubclass(reason, MutatedBlock):
        assert known is not None
        assert known.status == Status.HEADER
    else:
        assert issubclass(reason, InvalidBlock)
        with pytest.raises(KnownInvalid):
            ledger.accept_block(bad)
    ledger.accept_block(scene.honest)
    assert ledger.head.hash == scene.honest.header.hash


def test_every_class_of_error_has_a_story() -> None:
    told = {reason for _, (_, reason, _) in TOLD}
    groups = {errors.DposHeaderError, errors.DposBlockError, errors.PayloadError, errors.ExecutionError}
    classes = {
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__
    }
    settings = {errors.NotTheCheckpoint}  # an operator's word, no rule: test_dpos_checkpoint.py
    assert classes - groups - settings == told
    assert len(STORIES) >= 40
    assert len(BRIDGE_STORIES) >= 40
