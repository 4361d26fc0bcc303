"""R4 in small: no two final blocks, whatever up to a third does; whoever forces them is known by name."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from property.finality_net import Net
from unit.dpos.finality_world import key, vote_of

worlds = st.tuples(
    st.sampled_from([4, 5, 7, 10]),
    st.integers(0, 2**32),
    st.integers(1, 14),
    st.booleans(),
)


def make(size: int, hostile: int, seed: int, max_delay: int, parted: bool) -> Net:
    chance = Random(seed)
    net = Net(size, hostile, chance, max_delay)
    if parted:
        net.parts = [chance.randint(0, 1) for _ in range(size)]
    return net


@given(worlds)
@settings(max_examples=25)
def test_a_third_less_one_never_finalises_two_blocks_at_one_height(world: tuple[int, int, int, bool]) -> None:
    size, seed, max_delay, parted = world
    hostile = (size - 1) // 3
    net = make(size, hostile, seed, max_delay, parted)
    net.run(20)
    assert not net.conflicts()
    net.heal()
    net.run(12)
    assert not net.conflicts()
    assert net.guilty() <= {key(number) for number in range(hostile)}  # no honest one, ever


@given(worlds)
@settings(max_examples=25)
def test_finality_resumes_after_healing(world: tuple[int, int, int, bool]) -> None:
    """Within 4 slots and the height by which the winning branch is shorter than the highest vote."""
    size, seed, max_delay, parted = world
    net = make(size, 0, seed, max_delay, parted)
    net.run(20)
    net.heal()
    net.run(1)  # everybody has heard everybody
    highest = max(node.memory.target for node in net.nodes)
    head = max((node.head for node in net.nodes), key=lambda toy: toy.height)
    before = max(node.floor.height for node in net.nodes)
    net.run(4 + max(0, highest - head.height))
    assert all(node.floor.height > before for node in net.nodes)
    assert not net.conflicts()
    assert net.guilty() == set()


@pytest.mark.parametrize("seed", [3, 6, 52, 54])
def test_nobody_stays_behind_on_a_branch_that_lost(seed: int) -> None:
    """Found by chance: a node that a justified block held on its branch heard none of the other's sources."""
    chance = Random(seed)
    size = [4, 7, 10, 13][seed % 4]
    net = Net(size, (size - 1) // 3, chance, chance.randint(1, 14))
    if seed % 3:
        net.parts = [chance.randint(0, 1) for _ in range(size)]
    net.run(20)
    net.heal()
    net.run(1)
    before = max(node.floor.height for node in net.honest)
    net.run(14)
    assert all(node.floor.height > before for node in net.honest)


@pytest.mark.parametrize("size", [4, 7, 10])
def test_too_few_alive_go_on_without_finality_and_finalise_later(size: int) -> None:
    net = Net(size, 0, Random(size), 1)
    silent = net.nodes[: size // 3 + 1]
    parts = [0] * size
    for node in silent:
        parts[node.number] = 1 + node.number  # each alone
    net.parts = parts
    net.run(3 * size)
    alive = net.nodes[-1]
    assert alive.floor.height == 0
    assert alive.head.height > size
    net.heal()
    net.run(6)
    assert all(node.floor.height > size for node in net.nodes)


@pytest.mark.parametrize("size", [4, 7, 10, 13])
@pytest.mark.parametrize("seed", range(3))
def test_a_forced_conflict_names_a_third(size: int, seed: int) -> None:
    """Just over a third votes on both sides of a partition, until both sides have final blocks."""
    hostile = size - 2 * (size - (2 * size // 3 + 1))
    net = Net(size, 0, Random(seed), 1)
    sides = [number % 2 for number in range(size)]
    net.parts = sides
    shared = net.nodes[:hostile]
    for node in shared:
        node.vote = lambda: None  # type: ignore[method-assign]
    for _ in range(4 * size):
        net.run(1)
        for node in shared:  # a vote on each side, by the right rule there and against it overall
            for side in (0, 1):
                witness = next(one for one in net.nodes[hostile:] if sides[one.number] == side)
                link = witness.finality.link_for(witness.head)
                if link is not None:
                    for one in net.nodes:
                        if sides[one.number] == side:
                            one.receive(vote_of(link, node.number))
    assert net.conflicts(), "the attack must work for the test to say something"
    net.heal()
    net.run(3)
    guilty = net.guilty()
    assert guilty <= {key(node.number) for node in shared}
    assert len(guilty) >= size / 3
