"""Settlements that stand: payouts, sets, change, totals, what is undone, and what readers find."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaingen.harness import replay, replay_hash, state_hash
from chaingen.settlements import SettlementWorld, arbitrators, edited, keys_of
from chaingen.specs import NODE_REWARDS, key
from settlement_cases import good, prepared
from settlement_set_cases import handed_over, joint

from ioex_chain.bridge import settlement
from ioex_chain.bridge.dpos_light import Requests, Votes
from ioex_chain.bridge.settlement import CannotSettle, change_of, choose_coins, settlement_rule
from ioex_chain.crypto.address import deposit_script, reserve_change_script
from ioex_chain.dpos.sets import quorum_of
from ioex_chain.pow import reserve_errors as errors
from ioex_chain.pow.reserve import (
    NumberedSet,
    ReserveState,
    decode_state,
    encode_state,
    reserve_state,
    scan_reserve,
    settlement_at,
    settlement_of,
)
from ioex_chain.pow.transaction import TxOut
from ioex_chain.pow.utxo import Coin, Reads, scan_address, scan_coins
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import COIN, OutPoint
from ioex_chain.spec.model import MAX_OUTPUT

BOB, CAROL = key("bob").script, key("carol").script
CHANGE = reserve_change_script()
FEE = 10_000


def balanced(state: ReserveState) -> bool:
    came = state.genesis + state.rewards + state.deposits + state.donations
    return state.reserve == came - state.settled


def unspent_reserve(world: SettlementWorld) -> int:
    """Sum of the UTXO set's reserve outputs, by a scan of all."""
    found = scan_coins(world.ledger.view())
    return sum(coin.value for _, coin in found if coin.script[:1] == b"\x60")


# --- what is paid ---


def test_withdrawals_are_paid_in_order_each_less_the_fee() -> None:
    world = prepared()
    tx = good(world)
    payouts = (TxOut(3 * COIN - FEE, BOB), TxOut(4 * COIN - FEE, CAROL), TxOut(5 * COIN - FEE, BOB))
    assert tx.outputs[:3] == payouts
    assert [output.script for output in tx.outputs[3:]] == [CHANGE]
    block = world.mine(tx)
    assert block.transactions[0].outputs[1].value == world.spec.pow.miner_reward + 3 * FEE
    assert world.state.count == 5
    assert world.state.accumulator == world.dpos.accumulators[5]


def test_the_page_says_where_every_unit_is() -> None:
    world = prepared()
    genesis = 2_000_000 * COIN
    world.with_reserve(COIN, CHANGE)
    world.with_reserve(2 * COIN, deposit_script(NODE_REWARDS))
    world.mine(good(world))
    state = world.state
    assert (state.genesis, state.donations, state.deposits) == (genesis, COIN, 2 * COIN)
    assert (state.settled, state.withdrawals, state.settlements) == (15 * COIN, 5, 2)
    assert state.rewards == 20 * COIN * world.ledger.head.height
    assert balanced(state)
    assert state.reserve == unspent_reserve(world)


@pytest.mark.parametrize(
    ("rest", "pieces"),
    [
        (0, []),
        (1, [1]),
        (MAX_OUTPUT, [MAX_OUTPUT]),
        (MAX_OUTPUT + 1, [MAX_OUTPUT, 1]),
        (3 * MAX_OUTPUT + 7, [MAX_OUTPUT] * 3 + [7]),
    ],
)
def test_change_comes_in_the_largest_pieces(rest: int, pieces: list[int]) -> None:
    assert change_of(rest) == tuple(TxOut(piece, CHANGE) for piece in pieces)


def test_change_in_other_pieces_is_refused() -> None:
    world = prepared()
    tx = world.settlement(4)
    large = [Coin(MAX_OUTPUT, CHANGE, 0, False), Coin(COIN * 20, CHANGE, 0, False)]
    inputs = [tx.inputs[0], *world.settlement(4).inputs[:1]]
    inputs[1] = inputs[1]._replace(outpoint=world.chain.take().outpoint, witness=())
    rest = MAX_OUTPUT + 8 * COIN
    right = [*tx.outputs[:3], TxOut(MAX_OUTPUT, CHANGE), TxOut(8 * COIN, CHANGE)]
    wrong = [*tx.outputs[:3], TxOut(8 * COIN, CHANGE), TxOut(MAX_OUTPUT, CHANGE)]
    even = [*tx.outputs[:3], TxOut(rest // 2, CHANGE), TxOut(rest - rest // 2, CHANGE)]
    world.rule.check(edited(tx, inputs=inputs, outputs=right), large, world.state)
    for outputs in (wrong, even):
        with pytest.raises(errors.ChangePieces):
            world.rule.check(edited(tx, inputs=inputs, outputs=outputs), large, world.state)


def test_an_input_script_is_refused_by_the_rule_too() -> None:
    world = prepared()
    tx = good(world)
    scripted = edited(tx, inputs=[tx.inputs[0]._replace(script=b"\x00"), *tx.inputs[1:]])
    with pytest.raises(errors.SettlementScript):
        world.rule.check(scripted, world.coins_of(tx), world.state)


def test_nothing_remains_when_the_inputs_are_exact() -> None:
    world = prepared()
    world.with_reserve(12 * COIN, CHANGE)
    coins = list(scan_reserve(world.ledger.view(), 12 * COIN))
    tx = world.settlement(4, coins=coins)
    assert len(tx.outputs) == 3
    world.mine(tx)
    assert world.state.reserve == unspent_reserve(world)


def test_64_inputs_are_taken_and_small_coins_disappear() -> None:
    world = prepared()
    world.mine(world.pay(*[(COIN, CHANGE)] * 63))
    coins = [next(scan_reserve(world.ledger.view())), *scan_reserve(world.ledger.view(), COIN)]
    tx = world.settlement(4, coins=coins)
    assert len(tx.inputs) == 64
    world.mine(tx)
    assert list(scan_reserve(world.ledger.view(), COIN)) == []


def test_two_settlements_in_one_block_each_advance() -> None:
    world = prepared()
    first = world.settlement(3)
    after = world.rule.check(first, world.coins_of(first), world.state)
    state = ReserveState(after.current, after.pending, after.count, after.accumulator)
    used = {item.outpoint for item in first.inputs}
    spare = [found for found in scan_reserve(world.ledger.view()) if found[0] not in used][:1]
    second = world.settlement(4, state=state, coins=spare)
    world.mine(first, second)
    assert (world.state.count, world.state.settlements) == (5, 3)
    with pytest.raises(errors.RequestMissing):
        world.rule.check(second, world.coins_of(world.settlement()), ReserveState(after.current))


# --- sets ---


def test_a_handover_only_settlement_gives_its_input_back_whole() -> None:
    world = prepared()
    world.mine(good(world))
    next_set = arbitrators(5, "next")
    world.dpos.drain(world.dpos.handover(next_set))
    tx = world.settlement()
    coins = world.coins_of(tx)
    assert sum(output.value for output in tx.outputs) == sum(coin.value for coin in coins)
    before = world.state
    world.mine(tx)
    assert world.state.pending == (NumberedSet(1, keys_of(next_set)),)
    assert world.state.current == before.current
    assert world.state.settled == before.settled


def test_a_handed_over_set_takes_over_together_with_the_old_one() -> None:
    world = prepared()
    next_set = arbitrators(7, "next")
    number = handed_over(world, next_set)
    tx = joint(world, number)
    votes = Votes.decode(tx.inputs[0].witness[2])
    assert len(votes.signatures) == quorum_of(7) + quorum_of(4)
    world.mine(tx)
    assert world.state.current == NumberedSet(1, keys_of(next_set))
    assert world.state.pending == ()


def test_members_of_both_sets_count_in_both() -> None:
    world = prepared()
    next_set = (*arbitrators(1, "new"), *world.privates[1:])
    number = handed_over(world, next_set)
    tx = joint(world, number)
    assert len(Votes.decode(tx.inputs[0].witness[2]).signatures) == 3
    world.mine(tx)
    assert world.state.current.number == number


def test_a_set_may_take_over_without_any_request() -> None:
    world = prepared()
    number = handed_over(world, arbitrators(4, "next"))
    height = world.dpos.drain()
    world.dpos.drain()
    certificate = world.dpos.certificate(height, number, before=world.privates)
    before = world.state
    world.mine(world.settlement(height, certificate=certificate))
    assert world.state.current.number == number
    assert (world.state.count, world.state.accumulator) == (before.count, before.accumulator)
    record = settlement_at(world.ledger.view(), world.state.settlements - 1)
    assert record is not None
    assert record[:3] == (before.count + 1, before.count, number)


def test_a_set_alone_carries_on_and_its_certificates_of_both_are_cut() -> None:
    world = prepared()
    next_set = arbitrators(4, "next")
    number = handed_over(world, next_set)
    world.mine(joint(world, number))
    tx = joint(world, number)  # the old set still signs on the DPoS chain
    votes = Votes.decode(tx.inputs[0].witness[2])
    assert (votes.set_number, votes.signers) == (number, 0b0111)
    world.mine(tx)
    world.dpos.drain(world.dpos.handover(arbitrators(4, "third")))
    height = len(world.dpos.headers) - 1
    world.dpos.drain()
    world.mine(world.settlement(height, certificate=world.dpos.certificate(height, number)))
    assert [known.number for known in world.state.pending] == [number + 1]


def test_51_arbitrators_hand_over_to_51_others() -> None:
    world = prepared(51)
    number = handed_over(world, arbitrators(51, "next"))
    tx = joint(world, number)
    assert len(Votes.decode(tx.inputs[0].witness[2]).signatures) == 2 * 35
    world.mine(tx)
    assert world.state.current.number == number


# --- undone and redone ---


def test_a_reorganisation_takes_a_settlement_back_and_another_branch_settles_otherwise() -> None:
    world = prepared()
    fork, before = world.tip, world.state
    settled = world.mine(good(world))
    after, rows = world.state, state_hash(world.ledger)
    empty = world.chain.extend(fork, 2)
    for block in empty:
        world.ledger.accept_block(block)
    assert world.ledger.head.hash == empty[-1].hash
    state = world.state
    assert (state.count, state.accumulator, state.settled) == (
        before.count,
        before.accumulator,
        before.settled,
    )
    assert world.pool.settlement is not None  # it came back
    longer = world.chain.extend(settled, 2)
    for block in longer:
        world.ledger.accept_block(block)
    assert world.state.count == after.count
    assert world.pool.settlement is None
    world.ledger.rollback(2)
    assert state_hash(world.ledger) == rows
    assert rows == replay_hash(world.chain, settled, world.rule)


# --- readers ---


def test_where_a_request_was_settled() -> None:
    world = prepared()
    view = world.ledger.view()
    first = settlement_at(view, 0)
    assert first is not None
    heights = world.ledger.head.height
    assert (first.first, first.last, first.set_number, first.height) == (1, 2, 0, heights)
    assert settlement_of(view, 0) is None
    assert settlement_of(view, 1) == settlement_of(view, 2) == first
    assert settlement_of(view, 3) is None
    world.mine(world.settlement(3))
    world.mine(world.settlement(4))
    records = [settlement_of(view, request) for request in range(1, 6)]
    assert [record and (record.first, record.last) for record in records] == [
        *((1, 2), (1, 2), (3, 3), (4, 5), (4, 5)),
    ]
    assert settlement_at(view, 3) is None


def test_readers_need_no_index() -> None:
    world = prepared()
    world.mine(good(world))
    bare = replay(world.chain, world.tip, indexes=False, settlements=world.rule)
    assert reserve_state(bare) == world.state
    assert list(scan_reserve(bare)) == list(scan_reserve(world.ledger.view()))
    assert settlement_of(bare, 5) == settlement_of(world.ledger.view(), 5)
    coins = choose_coins(bare, world.spec, world.ledger.head.height + 1, [])
    assert coins == choose_coins(world.ledger.view(), world.spec, world.ledger.head.height + 1, [])


def test_the_address_index_knows_reserve_coins() -> None:
    world = prepared()
    tx = good(world)
    world.mine(tx)
    rows = list(scan_address(world.ledger.view(), CHANGE))
    (made,) = [row for row in rows if row.outpoint[:32] == tx.txid]
    assert made.spender is None
    (spent,) = [row for row in rows if row.spender is not None and row.spender.txid == tx.txid]
    assert spent.outpoint == tx.inputs[0].outpoint


def test_coins_are_chosen_largest_first_and_the_reserve_is_gathered() -> None:
    world = prepared()
    world.mine(world.pay(*[(30 * COIN + n, CHANGE) for n in range(60)]))
    for _ in range(30):
        world.mine()
    view, height = world.ledger.view(), world.ledger.head.height + 1
    chosen = choose_coins(view, world.spec, height, world.dpos.requests[2:])
    values = [coin.value for _, coin in chosen]
    assert len(chosen) == len({outpoint for outpoint, _ in chosen}) == 64
    assert values[:48] == sorted((coin.value for _, coin in scan_reserve(view)), reverse=True)[:48]
    assert values[48:] == [world.spec.pow.arbitrator_reward] * 16
    tx = world.settlement(4, coins=chosen)
    assert len(tx.outputs) == 4
    world.mine(tx)
    assert world.state.reserve == unspent_reserve(world)


def test_what_is_only_gathered_must_be_buried() -> None:
    world = prepared()
    world.with_reserve(30 * COIN, CHANGE)
    for _ in range(world.spec.pow.burial_depth):
        chosen = choose_coins(world.ledger.view(), world.spec, world.ledger.head.height + 1, [])
        assert 30 * COIN not in [coin.value for _, coin in chosen]
        world.mine()
    chosen = choose_coins(world.ledger.view(), world.spec, world.ledger.head.height + 1, [])
    assert 30 * COIN in [coin.value for _, coin in chosen]


def test_a_flood_of_small_deposits_is_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    world = prepared()
    world.mine(world.pay(*[(1_000, CHANGE)] * 400))
    seen: list[OutPoint] = []

    def counted(view: Reads, value: int | None = None) -> Iterator[tuple[OutPoint, Coin]]:
        for outpoint, coin in scan_reserve(view, value):
            seen.append(outpoint)
            yield outpoint, coin

    monkeypatch.setattr(settlement, "scan_reserve", counted)
    monkeypatch.setattr(settlement, "LOOKED_AT", 150)
    assert choose_coins(world.ledger.view(), world.spec, world.ledger.head.height + 1, [])
    assert len(seen) <= 2 * 151


def test_a_large_withdrawal_takes_as_many_coins_as_it_needs_buried_or_not() -> None:
    world = prepared()
    world.mine(world.pay(*[(50 * COIN, CHANGE)] * 60))
    largest = next(scan_reserve(world.ledger.view()))[1].value
    request = world.dpos.withdraw(2 * largest + 2_900 * COIN, BOB)
    view, height = world.ledger.view(), world.ledger.head.height + 1
    chosen = choose_coins(view, world.spec, height, [request])
    assert sum(coin.value for _, coin in chosen) >= 2 * largest + 2_900 * COIN
    assert len(chosen) <= 64


def test_what_cannot_be_built_is_said() -> None:
    world = prepared()
    view, height = world.ledger.view(), world.ledger.head.height + 1
    huge = [world.dpos.withdraw(3_000_000 * COIN, BOB)]
    with pytest.raises(CannotSettle, match="do not cover"):
        choose_coins(view, world.spec, height, huge)
    with pytest.raises(CannotSettle, match="short"):
        world.settlement(4, coins=[])
    with pytest.raises(CannotSettle, match="lacks 1"):
        world.settlement(4, certificate=world.dpos.certificate(4, absent=(1, 3)))


def test_a_network_has_one_rule() -> None:
    world = prepared()
    assert settlement_rule(world.spec) is world.rule


# --- the row ---


def test_the_row_reads_back_and_damage_is_seen() -> None:
    sets = [NumberedSet(n, keys_of(arbitrators(n + 1))) for n in range(3)]
    state = ReserveState(sets[0], tuple(sets[1:]), 7, bytes(range(32)), *(1 << 70 | n for n in range(8)))
    row = encode_state(state)
    assert decode_state(row) == state
    for at in range(len(row)):
        with pytest.raises(DecodeError):
            decode_state(row[:at])
    with pytest.raises(DecodeError):
        decode_state(row + b"\0")


def test_the_pages_examples() -> None:
    page = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
    examples = re.findall(r"`([0-9a-f]{60,})`", page.split("### 6.1")[1].split("## 7")[0])
    payment, handover, _, shown, votes = examples
    assert Requests.decode(bytes.fromhex(shown)) == Requests(
        2, (bytes.fromhex(payment), bytes.fromhex(handover))
    )
    assert Requests.decode(bytes.fromhex(shown)).encode().hex() == shown
    assert Votes.decode(bytes.fromhex(votes)) == Votes(3, 0b1011, tuple(bytes((n,)) * 65 for n in (1, 2, 3)))
    assert Votes.decode(bytes.fromhex(votes)).encode().hex() == votes


def test_the_page_names_every_word() -> None:
    page = (
        (Path(__file__).parents[3] / "docs" / "protocol.md").read_text().split("### 6.2")[1].split("## 7")[0]
    )
    words = {
        item.reason.removeprefix("bad-settlement")
        for _, item in inspect.getmembers(errors, inspect.isclass)
        if issubclass(item, errors.SettlementError)
    } - {"", "-stale"}
    assert words == set(re.findall(r"`(-[a-z-]+)`", page))
