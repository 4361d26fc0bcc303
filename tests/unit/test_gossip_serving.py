"""What is served of a block, whatever was claimed of it before."""

from chaingen.builder import ChainBuilder
from chaingen.specs import story_spec

from ioex_chain.gossip.serving import make_served


def test_places_that_the_block_has_not_are_passed_over() -> None:
    chain = ChainBuilder(story_spec())
    tip = chain.warm_up()[-1]
    block = chain.block(tip, [chain.spend(chain.take(), [], fee=1_000) for _ in range(2)])
    compact = make_served(block, 7, (1, 2, 3, 900)).compact
    assert compact is not None
    assert [item.place for item in compact.prefilled] == [0, 1, 2]
