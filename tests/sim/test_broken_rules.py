"""The properties can fail: each rule broken on purpose shows."""

from dataclasses import replace

import pytest

from ioex_chain.ledger.types import Entry
from ioex_chain.pow import machine
from ioex_chain.pow.header import Header

from .chain import SimChain
from .liars import BadBlocks
from .network import Conditions
from .properties import problems
from .shapes import SHAPES
from .wallets import Claim
from .world import World

SMALL = replace(SHAPES["plain"], nodes=6, duration=90.0, quiet=10.0, conditions=Conditions(dial_failure=0.0))


def test_a_sound_small_world_has_no_problems() -> None:
    assert World(3, replace(SMALL, partitions=((20.0, 80.0, 2),))).run() == []


def test_a_node_that_ignores_more_work_shows() -> None:
    world = World(3, replace(SMALL, partitions=((20.0, 80.0, 2),)))
    for node in world.honest[:2]:  # one on each side
        world.scheduler.at(10.0, lambda node=node: _never_reorganise(node.chain))  # type: ignore[misc]
    wrong = world.run()
    assert any("heads differ" in sentence for sentence in wrong)
    assert any("does not follow the most work" in sentence for sentence in wrong)


def test_nodes_that_let_miners_take_too_much_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "check_coinbase_amount", lambda *_: None)
    wrong = World(3, replace(SMALL, liars=2, kinds=(BadBlocks,))).run()
    assert any("more money" in sentence for sentence in wrong)


def test_a_coin_spent_twice_or_never_shows() -> None:
    world = World(3, replace(SMALL, duration=60.0))
    assert world.run() == []
    pair = world.wallets.pairs[0]
    world.wallets.claims += [Claim((pair.one, pair.one, pair.other, pair.other)), Claim(())]
    assert [sentence[-17:] for sentence in problems(world)] == ["confirmed 2 times", "confirmed 0 times"]


def test_unhandled_errors_show() -> None:
    world = World(3, replace(SMALL, duration=20.0))

    def fail() -> None:
        raise ArithmeticError("on purpose")

    def in_the_worker() -> None:
        world.honest[2].chain.run(fail, lambda _: None, lambda _: None)

    def in_the_gossip() -> None:
        world.honest[3].gossip.sync.tick = fail  # type: ignore[method-assign]

    world.scheduler.at(15.0, in_the_worker)
    world.scheduler.at(15.0, in_the_gossip)
    wrong = [sentence for sentence in world.run() if "on purpose" in sentence]
    assert any("n2 stopped" in sentence for sentence in wrong)
    assert any("logged" in sentence for sentence in wrong)


def _never_reorganise(chain: SimChain) -> None:
    ledger = chain.ledger
    best = ledger._choice.best

    def stubborn(base: Entry[Header], within: Entry[Header] | None = None) -> Entry[Header]:
        chosen = best(base, within)
        return chosen if ledger.fork_point(chosen, ledger.head) is ledger.head else ledger.head

    ledger._choice.best = stubborn  # type: ignore[method-assign]
