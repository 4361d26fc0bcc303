"""Whatever comes, in whatever order: no gap in pending, caps kept, the included gone, the rest returned."""

import random

from dpos_pool_world import GWEI, PoolWorld, address, tx
from hypothesis import given, settings
from hypothesis import strategies as st

from ioex_chain.dpos.mempool_types import Change
from ioex_chain.evm.errors import InvalidTransaction
from ioex_chain.evm.types import WEI, Account, Transaction

SENDERS = range(1, 6)
CAPS = {
    "max_transactions": 14,
    "max_usage": 60_000,
    "max_queued": 6,
    "max_pending_by_sender": 5,
    "max_queued_by_sender": 3,
}


def one_of(draw: random.Random, world: PoolWorld) -> Transaction:
    sender = draw.choice(list(SENDERS))
    nonce = world.state.account(address(sender)).nonce + draw.choice([-1, 0, 0, 0, 1, 1, 2, 3, 6])
    tip = draw.randrange(1, 6) * GWEI
    data = bytes(draw.choice([0, 0, 0, 4_000]))
    value = draw.choice([0, 0, WEI // 3])
    return tx(
        sender,
        max(0, nonce),
        tip=tip,
        fee=tip + draw.randrange(3, 9) * GWEI,
        value=value,
        data=data,
        gas=80_000,
    )


def a_block(draw: random.Random, world: PoolWorld) -> list[Transaction]:
    """Give transactions that the state takes in this order: some of the pool's, some that it never saw."""
    picked: list[Transaction] = []
    for sender in SENDERS:
        nonce = world.state.account(address(sender)).nonce
        own = {entry.tx.nonce: entry.tx for entry in world.pool.pending_of(address(sender))}
        for at in range(draw.randrange(4)):
            found = own.get(nonce + at) if draw.random() < 0.7 else None
            picked.append(found or tx(sender, nonce + at, value=draw.randrange(9)))
    return picked


def turn(draw: random.Random, world: PoolWorld) -> None:
    what = draw.random()
    if what < 0.7:
        try:
            world.add(one_of(draw, world))
        except InvalidTransaction:
            return
    elif what < 0.85:
        reorganise(draw, world)
    elif what < 0.9:
        world.base_fee = draw.randrange(1, 12) * GWEI
        world.mine([])
    elif what < 0.95:
        sender = address(draw.choice(list(SENDERS)))
        account = world.state.account(sender)
        world.state.accounts[sender] = Account(account.nonce, draw.randrange(3) * WEI // 2 + WEI // 100)
        world.mine([])
    elif len(world.pool):
        sender = draw.choice(world.pool.senders())
        world.pool.drop(draw.choice(world.pool.pending_of(sender) + world.pool.queued_of(sender)).tx.hash)


def reorganise(draw: random.Random, world: PoolWorld) -> None:
    undo = min(draw.choice([0, 0, 1, 2]), len(world.blocks))
    gone = [one for block in world.blocks[len(world.blocks) - undo :] for one in block]
    base = {sender: world.state.account(address(sender)).nonce for sender in SENDERS}
    for one in gone:
        sender = one.r
        base[sender] = min(base[sender], one.nonce)
    taken = [tx(sender, base[sender]) for sender in SENDERS if draw.random() < 0.3]
    block = taken if undo else a_block(draw, world)
    world.mine(block, undo=undo)
    assert all(one.hash not in world.pool for one in block)


def follow(world: PoolWorld) -> None:
    """See that listeners who only follow the events know the pool."""
    held: dict[bytes, bool] = {}
    for change in world.changes:
        hash_ = change.entry.tx.hash
        if change.has_left:
            assert held.pop(hash_, None) is not None
        else:
            assert change.change is Change.PENDING or hash_ not in held
            held[hash_] = change.change is Change.PENDING
    assert sorted(held) == sorted(
        entry.tx.hash
        for sender in world.pool.senders()
        for entry in world.pool.pending_of(sender) + world.pool.queued_of(sender)
    )
    pending = [entry.tx.hash for sender in world.pool.senders() for entry in world.pool.pending_of(sender)]
    assert all(held[hash_] for hash_ in pending)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_the_pool_stays_sound(seed: int) -> None:
    draw = random.Random(seed)
    world = PoolWorld(**CAPS)
    world.fund(*SENDERS, balance=2 * WEI)
    for _ in range(80):
        turn(draw, world)
        world.check()
    follow(world)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_a_selection_is_executable_in_its_order_and_the_best_tip_comes_first(seed: int) -> None:
    draw = random.Random(seed)
    world = PoolWorld()
    world.fund(*SENDERS)
    for _ in range(60):
        try:
            world.add(one_of(draw, world))
        except InvalidTransaction:
            continue
    base_fee = draw.randrange(1, 9) * GWEI
    nonces = {address(sender): 0 for sender in SENDERS}
    given_ones = list(world.pool.select(base_fee, max_count=1_000, max_bytes=10**6))
    for at, entry in enumerate(given_ones):
        assert entry.tx.nonce == nonces[entry.sender]
        assert entry.tx.max_fee >= base_fee
        tip = entry.tx.effective_gas_price(base_fee) - base_fee
        for later in given_ones[at + 1 :]:
            could = later.tx.nonce == nonces.get(later.sender)
            assert not could or later.tx.effective_gas_price(base_fee) - base_fee <= tip
        nonces[entry.sender] += 1
    for sender in world.pool.senders():  # nothing that could be executed is left out
        rest = [entry for entry in world.pool.pending_of(sender) if entry.tx.nonce >= nonces[sender]]
        assert not rest or rest[0].tx.max_fee < base_fee
