"""Stories of nodes that synchronise: one thread, no clock, no network."""

import pytest
from chaingen.specs import story_spec
from gossip_sync_world import ChainBuilder, Node, Offence, Time, connect, headers_of

from ioex_chain.gossip.intake import Outcome
from ioex_chain.ledger.sync import SyncLimits
from ioex_chain.p2p import chain_messages as m


@pytest.fixture
def builder():
    return ChainBuilder(story_spec())


@pytest.fixture
def time():
    return Time()


def test_a_new_node_takes_the_whole_chain_from_one_peer(builder, time):
    blocks = builder.extend(builder.genesis, 300)
    full, new = Node(builder, time), Node(builder, time)
    full.give(blocks)
    connect(new, full)
    assert new.ledger.head.hash == blocks[-1].hash
    assert not new.sync.is_syncing
