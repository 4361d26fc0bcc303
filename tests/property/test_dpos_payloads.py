"""Whatever a producer is offered for its payload, it makes a block that others take, and nothing is lost.

Offered are headers of two branches of the PoW chain and proofs of deposits on both, in any order, many of
them known, orphaned, unburied, proven before or broken.
"""

import functools

from chaingen.dpos_bridge import ALICE, BridgeForge, deposit
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ioex_chain.bridge.deposits import BlockProofs
from ioex_chain.dpos.block import Block
from ioex_chain.evm.bridge import Door, encode_proof
from ioex_chain.pow.block import Block as PowBlock

FORK, LENGTH = 3, 9
"""The branches part above this height, and both end at that one."""


DEEP = [(1, height) for height in range(FORK + 1, LENGTH + 1)]
"""A branch that takes back a buried block, if the other was followed far enough."""


@functools.cache
def world() -> tuple[BridgeForge, tuple[PowBlock, ...], tuple[PowBlock, ...]]:
    """A forge, and two branches with a deposit in every block; the forge has no block but genesis."""
    forge = BridgeForge()
    for height in range(1, LENGTH + 1):
        forge.mine(deposit(f"one {height}", (ALICE, height)))
    one = tuple(forge.mined)
    forge.mined = list(one[: FORK + 1])
    for height in range(FORK + 1, LENGTH + 1):
        forge.mine(deposit(f"other {height}", (ALICE, 100 + height)))
    return forge, one, tuple(forge.mined)


def header(branch: int, height: int) -> bytes:
    return world()[1 + branch][height].header.encode()


def proof(branch: int, height: int) -> bytes:
    return encode_proof(BlockProofs(world()[1 + branch][height]).prove(1, 0))


places = st.tuples(st.integers(0, 1), st.integers(0, LENGTH))
runs = st.tuples(st.integers(0, 1), st.integers(0, LENGTH), st.integers(0, LENGTH)).map(
    lambda run: [(run[0], height) for height in range(run[1], run[2] + 1)]
)
offers = st.tuples(
    st.one_of(runs, st.lists(places, max_size=6)),
    st.lists(st.tuples(st.integers(0, 1), st.integers(1, LENGTH)), max_size=5),
    st.lists(st.binary(max_size=100), max_size=2),
)


@settings(max_examples=25, deadline=None)
@example([([(0, height) for height in range(1, 7)], [(0, 4)], []), (DEEP, [(1, 4)], [])])
@given(st.lists(offers, min_size=1, max_size=4))
def test_a_producer_makes_what_others_take(blocks: list) -> None:
    forge = world()[0]
    tip: Block = forge.genesis
    known = {header(0, 0)}
    proven: set[bytes] = set()
    for headers, proofs, junk in blocks:
        wanted = [*junk, *(header(*place) for place in headers)]
        made = forge.make(
            tip, pow_headers=wanted, deposit_proofs=[*junk, *(proof(*place) for place in proofs)]
        )
        taken, credited = made.payload.pow_headers, made.payload.deposit_proofs
        assert len(set(taken) - known) == len(taken)
        assert len(set(credited) - proven) == len(credited)
        known |= set(taken)
        proven |= set(credited)
        tip = forge.add(made)  # executes it anew: raises if it were wrong
        check(forge, tip, known, proven)


def check(forge: BridgeForge, tip: Block, known: set[bytes], proven: set[bytes]) -> None:
    """The light client has what was taken and follows the longer branch; the Bridge owes what was proven."""
    client, bridge = forge.light_client(tip), forge.bridge(tip)
    tops = []
    for branch in (0, 1):
        top = 0
        while top < LENGTH and header(branch, top + 1) in known:
            top += 1
        tops.append(top)
    assert client.best()[1] == max(tops)
    if not bridge.is_paused(Door.IN):  # a branch that takes back what was buried closes it
        assert bridge.counted_height >= client.buried_height()
    assert bridge.is_paused(Door.IN) == (client.deep_reorgs() > 0)
    assert bridge.credited_deposits == sum(
        10 * world()[1 + branch][height].transactions[1].outputs[0].value
        for branch, height in {(0 if height <= FORK else branch, height) for branch, height in every()}
        if proof(branch, height) in proven
    )


def every() -> list[tuple[int, int]]:
    return [(branch, height) for branch in (0, 1) for height in range(1, LENGTH + 1)]
