"""The chain builder's own promises: what it makes is valid unless told otherwise."""

import pytest
from chaingen.builder import ChainBuilder
from chaingen.harness import open_ledger, replay_hash, state_hash, unspent
from chaingen.specs import GENESIS_OWNERS, key, story_spec

from ioex_chain.pow.block import Block
from ioex_chain.pow.genesis import genesis_block
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.load import load_network


def test_every_form_of_owner_can_be_spent_by_every_hash_type():
    chain = ChainBuilder(story_spec())
    ledger = open_ledger(chain)
    for tip in chain.warm_up():
        ledger.accept_block(tip)
    for hash_type in (0x01, 0x02, 0x03, 0x81, 0x82, 0x83):
        pays = [
            chain.spend(chain.take(form), [(COIN, key("bob"))], fee=500, hash_type=hash_type)
            for form in GENESIS_OWNERS
        ]
        tip = chain.block(tip, pays)
        ledger.accept_block(tip)
        assert ledger.head.hash == tip.hash
    assert state_hash(ledger) == replay_hash(chain, tip)
    assert unspent(ledger) == chain.spec.token.supply + 24 * COIN * chain.height(tip)


def test_merged_block_is_accepted():
    chain = ChainBuilder(story_spec())
    ledger = open_ledger(chain)
    block = chain.merged(chain.block(chain.genesis))
    assert Block.decode(block.encode()) == block
    ledger.accept_block(block)
    assert ledger.head.hash == block.hash


def test_same_calls_give_the_same_bytes():
    def made() -> list[bytes]:
        chain = ChainBuilder(story_spec())
        pay = chain.spend(chain.take(), [(COIN, key("bob"))], fee=1)
        tip = chain.block(chain.genesis, [pay])
        return [block.encode() for block in (tip, *chain.extend(tip, 3))]

    assert made() == made()


def test_coinbase_can_be_spent_on_the_shipped_devnet():
    spec = load_network("devnet")
    chain = ChainBuilder(spec, genesis_block(spec))
    ledger = open_ledger(chain)
    blocks = chain.extend(chain.genesis, spec.pow.coinbase_maturity)
    pay = chain.spend(chain.coinbase_funds(blocks[0]), [(COIN, key("bob"))], fee=1_000)
    blocks.append(chain.block(blocks[-1], [pay]))
    for block in blocks:
        ledger.accept_block(block)
    assert ledger.head.hash == blocks[-1].hash


def test_what_is_not_known_is_not_made_up():
    chain = ChainBuilder(story_spec())
    for _ in range(20):
        chain.take()
    with pytest.raises(LookupError):
        chain.take()
