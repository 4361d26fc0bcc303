"""Any message at any time from any peer: nothing breaks, honest neighbours are served, books stay bounded."""

from random import Random
from typing import Any

import pytest
from gossip_world import FakePeer, GossipWorld

from ioex_chain.gossip.compact import make_compact
from ioex_chain.gossip.compact_fetch import MAX_FETCHES
from ioex_chain.gossip.orphans import MAX_ORPHANS
from ioex_chain.p2p import chain_messages as m
from ioex_chain.pow.block import Block
from ioex_chain.pow.transaction import Transaction


class Chaos:
    """A node, three wild peers, and things to talk about: some it knows, some it does not."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.world = world = GossipWorld()
        pools = world.pools
        self.txs: list[Transaction] = [pools.pay() for _ in range(4)]
        self.txs += [pools.respend(tx, fee=1_000) for tx in self.txs[:3]]
        pools.add(self.txs[3])
        pools.mine(pools.pay())
        self.blocks: list[Block] = [pools.tip, pools.chain.block(pools.tip, self.txs[:2])]
        self.blocks.append(pools.chain.block(self.blocks[1], self.txs[2:4]))
        self.blocks.append(pools.chain.block(self.blocks[0], self.txs[3:4]))
        self.wild = [world.connect(outbound=n > 0) for n in range(3)]

    def message(self) -> Any:
        """Make up a message about something."""
        chance = self.chance
        block = chance.choice(self.blocks)
        some = chance.sample(self.txs, chance.randrange(5))
        ids = tuple(tx.wtxid for tx in some)
        raws = tuple(tx.raw[: chance.choice([None, None, None, -1])] for tx in some)
        indexes = tuple(sorted(chance.sample(range(5), chance.randrange(4))))
        compact = make_compact(block, 1, {chance.randrange(len(block.transactions))})
        wrong = (m.Prefilled(chance.randrange(6), self.txs[0].raw),)
        kind = chance.choice([m.GetCompact.type, m.GetBlockTransactions.type])
        made = [
            m.Announce((block.header.encode(),)),
            compact,
            compact,
            m.CompactBlock(compact.header, 2, compact.short_ids[1:], wrong),
            m.CompactBlock(compact.header, 3, (*compact.short_ids, bytes(6)), compact.prefilled),
            m.GetCompact(block.hash),
            m.GetBlockTransactions(block.hash, indexes),
            m.BlockTransactions(block.hash, raws),
            m.NotFound(kind, block.hash),
            m.SendCompact(chance.random() < 0.5),
            m.AnnounceTransactions(ids),
            m.GetTransactions((*ids, bytes(32)), (self.txs[0].txid,)),
            m.Transactions(raws),
            m.FeeFilter(chance.getrandbits(64)),
        ]
        return chance.choice(made)

    def hear(self, peer: FakePeer, message: Any) -> None:
        blocks, transactions = self.world.blocks, self.world.transactions
        {
            m.Announce: blocks.on_announce,
            m.CompactBlock: blocks.on_compact,
            m.GetCompact: blocks.on_get_compact,
            m.GetBlockTransactions: blocks.on_get_block_transactions,
            m.BlockTransactions: blocks.on_block_transactions,
            m.NotFound: blocks.on_not_found,
            m.SendCompact: blocks.on_send_compact,
            m.AnnounceTransactions: transactions.on_announce_transactions,
            m.GetTransactions: transactions.on_get_transactions,
            m.Transactions: transactions.on_transactions,
            m.FeeFilter: transactions.on_fee_filter,
        }[type(message)](peer, message)

    def act(self) -> None:
        """Do something wild."""
        number = self.chance.randrange(3)
        turn = self.chance.random()
        if turn < 0.7:
            self.hear(self.wild[number], self.message())
        elif turn < 0.85:
            self.world.settle()
        elif turn < 0.95:
            self.world.pass_time(self.chance.choice([0.1, 0.5, 3.0, 11.0]))
        else:
            self.world.disconnect(self.wild[number])
            self.wild[number] = self.world.connect()


@pytest.mark.parametrize("seed", range(30))
def test_chaos(seed):
    chaos = Chaos(seed)
    world = chaos.world
    for _ in range(60):
        chaos.act()
    honest = world.connect()
    world.pass_time(40.0)  # three peers may be waited for, one after the other
    assert len(world.blocks.fetcher) <= MAX_FETCHES
    assert len(world.transactions.extra()) <= 2 * MAX_ORPHANS
    assert not world.sync.fetches, "what was given up is Sync's again"
    world.pools.follow()
    tx = world.pools.pay()
    world.transactions.on_announce_transactions(honest, m.AnnounceTransactions((tx.wtxid,)))
    world.pass_time(1.0)
    world.transactions.on_transactions(honest, m.Transactions((tx.raw,)))
    world.settle()
    assert world.pools.pool.get_by_wtxid(tx.wtxid)
    chaos.hear(honest, make_compact(world.pools.chain.block(world.pools.tip, [tx]), 3))
    world.settle()
    assert world.pools.pool.get_by_wtxid(tx.wtxid) is None, "its block was taken"
