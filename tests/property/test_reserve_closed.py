"""Nothing but a settlement takes from the reserve, and what passes pays exactly what was asked for."""

from dataclasses import dataclass
from functools import cache
from random import Random

import pytest
from chaingen.builder import Funds
from chaingen.generate import World
from chaingen.owners import Fixed
from chaingen.settlements import SettlementWorld
from chaingen.specs import GENESIS_OWNERS, key
from hypothesis import event, given, settings
from hypothesis import strategies as st

from ioex_chain.crypto.address import deposit_script, reserve_change_script
from ioex_chain.pow.consensus import check_transaction
from ioex_chain.pow.errors import BlockTransactionError, PowBlockError, TransactionError
from ioex_chain.pow.reserve import is_reserve, scan_reserve
from ioex_chain.pow.transaction import NULL_OUTPOINT, Transaction, TxIn, TxOut
from ioex_chain.pow.utxo import get_coin
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import COIN

BOB, CAROL, THIEF = (key(name).script for name in ("bob", "carol", "thief"))
CHANGE = reserve_change_script()
FEE = 10_000
FORMS = sorted(GENESIS_OWNERS)


@dataclass(frozen=True)
class Scene:
    """A world with reserve coins of every origin, ordinary coins of every form, and a sound settlement."""

    world: SettlementWorld
    reserve: tuple[Funds, ...]
    ordinary: tuple[Funds, ...]
    sound: Transaction


@cache
def scene() -> Scene:
    world = SettlementWorld()
    world.mine(world.pay((30 * COIN, CHANGE), (40 * COIN, deposit_script(bytes(20))), (COIN, CHANGE)))
    world.dpos.drain(world.dpos.withdraw(2 * COIN, CAROL))
    world.mine(world.settlement())
    for _ in range(6):
        world.mine()
    world.dpos.drain(world.dpos.withdraw(3 * COIN, BOB), world.dpos.withdraw(4 * COIN, CAROL))
    reserve = tuple(
        Funds(outpoint, coin.value, Fixed(coin.script), sequence=0xFFFFFFFF)
        for outpoint, coin in scan_reserve(world.ledger.view())
    )
    ordinary = tuple(world.chain.take(form) for form in FORMS)
    return Scene(world, reserve, ordinary, world.settlement())


def some_stack(chance: Random, sound: Transaction) -> tuple[bytes, ...]:
    """A witness of a spendable form, of a settlement, or of nothing."""
    items = sound.inputs[0].witness
    pieces = [
        *items,
        b"",
        b"\x51",
        bytes(64),
        bytes(71),
        b"\x02" * 33,
        chance.randbytes(chance.randint(0, 80)),
    ]
    shapes = [
        (),
        items,
        tuple(chance.sample(items, 4)),
        tuple(chance.choices(pieces, k=chance.randint(1, 6))),
        _with(items, chance.randrange(4), chance.choice(pieces)),
        _with(items, chance.randrange(4), _damaged(chance, chance.choice(items))),
    ]
    return chance.choice(shapes)


def _with(items: tuple[bytes, ...], at: int, item: bytes) -> tuple[bytes, ...]:
    return (*items[:at], item, *items[at + 1 :])


def _damaged(chance: Random, item: bytes) -> bytes:
    at = chance.randrange(len(item))
    return item[:at] + bytes((item[at] ^ 1 << chance.randrange(8),)) + item[at + 1 :]


def some_outputs(chance: Random, sound: Transaction, total: int) -> list[TxOut]:
    """The sound outputs, some of them, or others that the inputs pay for."""
    scripts = [BOB, CAROL, THIEF, CHANGE, deposit_script(bytes(20))]
    others = [
        TxOut(chance.randint(0, total // 3), chance.choice(scripts)) for _ in range(chance.randint(1, 3))
    ]
    right = [*sound.outputs[:2], TxOut(max(0, total - 7 * COIN), CHANGE)]
    wrong = chance.choice([-1, 1]) * chance.choice([1, FEE, COIN])
    place = chance.randrange(3)
    near = [
        output._replace(value=max(0, output.value + wrong * (at == place))) for at, output in enumerate(right)
    ]
    stolen = [*right[:2], TxOut(right[2].value // 2, CHANGE), TxOut(right[2].value // 2, THIEF)]
    return chance.choice(
        [right, right, near, others, stolen, chance.sample(right, 3), [*right, *others], right[:2]]
    )


def some_spend(chance: Random) -> Transaction:
    """A transaction that spends the reserve, alone or beside ordinary coins that are signed for.

    Each part is as it should be more often than not, so that many are wrong in one part only.
    """
    here = scene()
    usual = [funds for funds in here.reserve if funds.outpoint == here.sound.inputs[0].outpoint]
    sources = usual if chance.random() < 0.6 else chance.sample(here.reserve, chance.randint(1, 4))
    if chance.random() < 0.2:
        sources = [*sources, *chance.sample(here.ordinary, chance.randint(1, 2))]
        chance.shuffle(sources)
    inputs = [TxIn(funds.outpoint, b"", 0xFFFFFFFF) for funds in sources]
    if chance.random() < 0.1:
        inputs[0] = inputs[0]._replace(sequence=chance.choice([0, 1, 0xFFFFFFFE]))
    if chance.random() < 0.05:
        inputs.append(TxIn(NULL_OUTPOINT, b"", 0xFFFFFFFF))
    outputs = some_outputs(chance, here.sound, sum(funds.value for funds in sources))
    version = 2 if chance.random() < 0.9 else chance.choice([0, 1, 3, 0xFFFFFFFF])
    lock_time = 0 if chance.random() < 0.9 else chance.choice([1, 5, 1_600_000_000])
    tx = Transaction.build(version, inputs, outputs, lock_time)
    return tx.with_witnesses([_stack(chance, here, tx, sources, at) for at in range(len(inputs))])


def _stack(chance: Random, here: Scene, tx: Transaction, sources: list[Funds], at: int) -> tuple[bytes, ...]:
    if at < len(sources) and sources[at] in here.ordinary and chance.random() < 0.8:
        bare = Transaction.build(tx.version, tx.inputs[: len(sources)], tx.outputs, tx.lock_time)
        signed: Transaction = here.world.chain.sign(bare, sources)
        return signed.inputs[at].witness
    if at:
        return () if chance.random() < 0.9 else some_stack(chance, here.sound)
    return here.sound.inputs[0].witness if chance.random() < 0.5 else some_stack(chance, here.sound)


def pays_what_was_asked(here: Scene, tx: Transaction) -> bool:
    """Whether it does what the two requests ask for and nothing else: said without the rule's own words."""
    coins = [get_coin(here.world.ledger.view(), item.outpoint) for item in tx.inputs]
    assert all(coin is not None for coin in coins)
    spent = sum(coin.value for coin in coins if coin)
    return (
        all(coin is not None and is_reserve(coin.script) for coin in coins)
        and tx.outputs[:2] == (TxOut(3 * COIN - FEE, BOB), TxOut(4 * COIN - FEE, CAROL))
        and all(output.script == CHANGE for output in tx.outputs[2:])
        and sum(output.value for output in tx.outputs[2:]) == spent - 7 * COIN
    )


@settings(max_examples=500)
@given(st.randoms(use_true_random=True))
def test_only_a_settlement_takes_from_the_reserve(chance: Random) -> None:
    here, tx = scene(), some_spend(chance)
    block = here.world.chain.block(here.world.tip, [tx], fees=0)
    try:
        here.world.ledger.preview(block)
    except (BlockTransactionError, PowBlockError) as error:
        event(type(getattr(error, "cause", error)).__name__)
    else:
        event("taken")
        assert pays_what_was_asked(here, tx)


def takes(here: Scene, raw: bytes) -> bool:
    """Whether bytes are a transaction that a block may carry now."""
    world = here.world
    try:
        tx = Transaction.decode(raw)
        check_transaction(world.spec.pow, tx)
        coins = [get_coin(world.ledger.view(), item.outpoint) for item in tx.inputs]
        if not all(coins):
            return False
        world.rule.check(tx, [coin for coin in coins if coin], world.state)
    except (DecodeError, TransactionError):
        return False
    return True


def test_every_byte_of_a_settlement_counts() -> None:
    here = scene()
    raw = here.sound.raw
    assert takes(here, raw)
    for at in range(len(raw)):
        flipped = raw[:at] + bytes((raw[at] ^ 1 << at % 8,)) + raw[at + 1 :]
        assert not takes(here, flipped), f"byte {at} of {len(raw)} can be changed"
        assert not takes(here, raw[:at] + raw[at + 1 :])
        if at % 8 == 0:
            assert not takes(here, raw[:at] + b"\0" + raw[at:])


@pytest.mark.parametrize("origin", ["genesis", "donation", "deposit", "change", "reward"])
def test_a_settlement_spends_what_came_from_anywhere(origin: str) -> None:
    here = scene()
    world = here.world
    view, coins = world.ledger.view(), {}
    for outpoint, coin in scan_reserve(view):
        if coin.is_coinbase:
            kind = "genesis" if coin.height == 0 else "reward"
        elif coin.script != CHANGE:
            kind = "deposit"
        else:
            kind = "donation" if coin.value in (30 * COIN, COIN) else "change"
        mature = not coin.is_coinbase or coin.height <= world.ledger.head.height - 3
        if mature and coin.value >= 7 * COIN:
            coins[kind] = outpoint, coin
    tx = world.settlement(len(world.dpos.headers) - 2, coins=[coins[origin]])
    world.ledger.preview(world.chain.block(world.tip, [tx], fees=2 * FEE))


def test_without_the_rule_the_door_stays_shut() -> None:
    plain = World(scene().world.spec)
    sound = scene().sound
    with pytest.raises(PowBlockError):
        plain.ledger.preview(plain.chain.block(plain.tip, [sound], fees=0))
