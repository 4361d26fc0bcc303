"""The pool's rules, one by one."""

from contextlib import suppress
from typing import Any

import pytest
from dpos_pool_world import FEE, GWEI, NOBODY, SPEC, TIP, PoolWorld, address, tx

from ioex_chain.crypto import secp256k1
from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos import mempool_errors as errors
from ioex_chain.dpos.mempool_types import Change
from ioex_chain.dpos.seal import address_of
from ioex_chain.evm import errors as evm
from ioex_chain.evm.strict_rlp import encode_uint
from ioex_chain.evm.types import WEI, Authorization
from ioex_chain.primitives.rlp import encode_string, wrap_list


@pytest.fixture
def world() -> PoolWorld:
    made = PoolWorld()
    made.fund(1, 2, 3)
    return made


def test_a_transaction_without_a_gap_is_pending_one_with_a_gap_is_queued(world: PoolWorld) -> None:
    world.add(tx(1, 0))
    world.add(tx(1, 2))
    assert (world.pending(1), world.queued(1)) == ([0], [2])
    assert world.pool.next_nonce(address(1)) == 1
    world.add(tx(1, 1))
    assert (world.pending(1), world.queued(1)) == ([0, 1, 2], [])
    assert [(one.entry.tx.nonce, one.change) for one in world.changes] == [
        (0, Change.PENDING),
        (2, Change.QUEUED),
        (2, Change.PENDING),
        (1, Change.PENDING),
    ]
    world.check()


REFUSALS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"chain_id": 1}, evm.WrongChainId, "invalid chain id"),
    ({"gas": 20_999}, evm.IntrinsicGasTooLow, "intrinsic gas too low"),
    ({"gas": 21_000, "data": b"\x00"}, evm.IntrinsicGasTooLow, "intrinsic gas too low"),
    ({"gas": 21_000 + 16 * 100, "data": b"\x01" * 100}, evm.FloorGasTooLow, "floor data gas"),
    ({"gas": SPEC.gas_limit + 1}, errors.GasLimitExceeded, "exceeds block gas limit"),
    ({"gas": SPEC.execution_gas_limit + 21_001}, errors.GasLimitExceeded, "exceeds block gas limit"),
    ({"fee": TIP - 1}, evm.TipAboveFeeCap, "max priority fee per gas higher than max fee per gas"),
    ({"nonce": 2**64 - 1}, evm.NonceExhausted, "nonce has max value"),
    ({"gas": 10_000_000, "data": bytes(49_153), "to": None}, evm.InitcodeTooLarge, "max initcode size"),
    ({"gas": 10_000_000, "data": bytes(131_072)}, errors.OversizedTransaction, "oversized data"),
    ({"tip": 0}, errors.Underpriced, "transaction underpriced"),
    ({"fee": GWEI - 1, "tip": 1}, errors.Underpriced, "transaction underpriced"),
    ({"nonce": 4}, evm.NonceTooLow, "nonce too low"),
    ({"value": 1_000 * WEI}, evm.InsufficientFunds, r"insufficient funds for gas \* price \+ value"),
]


@pytest.mark.parametrize(("fields", "kind", "words"), REFUSALS)
def test_each_refusal_has_its_class_and_its_words(
    fields: dict[str, Any], kind: type[Exception], words: str
) -> None:
    world = PoolWorld()
    world.fund(1, nonce=5)
    with pytest.raises(kind, match=words):
        world.add(tx(1, **({"nonce": 5} | fields)))
    assert not len(world.pool)
    world.add(tx(1, 5))


def test_what_is_too_long_is_refused_unread() -> None:
    world = PoolWorld()
    assert world.pool.decode(tx(1, 0).raw) == tx(1, 0)
    with pytest.raises(errors.OversizedTransaction):
        world.pool.decode(b"\x05" * (world.pool.policy.max_size + 1))  # read, it would be of an unknown type


def test_only_what_no_state_helps_is_the_senders_fault() -> None:
    blamed = {kind for _, kind, _ in REFUSALS if errors.is_hopeless(kind())}  # type: ignore[arg-type]
    assert blamed == {
        evm.WrongChainId,
        evm.IntrinsicGasTooLow,
        evm.FloorGasTooLow,
        evm.TipAboveFeeCap,
        evm.NonceExhausted,
        evm.InitcodeTooLarge,
    }


def test_a_signature_of_nobody_is_refused_and_the_rest_of_its_batch_is_taken(world: PoolWorld) -> None:
    good, bad, low = tx(1, 0), tx(NOBODY, 0), tx(2, 0, tip=0)
    results = world.pool.add_all([bad, low, good, good], world.tip())
    kinds = [type(result) for result in results]
    assert kinds[:2] == [evm.InvalidSignature, errors.Underpriced]
    assert world.pool.get(good.hash) is results[2]
    assert kinds[3] is errors.AlreadyKnown
    with pytest.raises(errors.AlreadyKnown, match="already known"):
        world.add(good)


def test_a_bad_one_costs_no_signature(world: PoolWorld) -> None:
    world.pool.add_all([tx(1, 0, tip=0), tx(1, 0, chain_id=1)], world.tip())
    assert world.signers.asked == 0


def test_a_transaction_of_before_eip_155_is_taken(world: PoolWorld) -> None:
    assert world.add(tx(1, 0, kind=0, chain_id=None)).tx.chain_id is None


def test_a_contract_sends_nothing_a_delegated_account_does(world: PoolWorld) -> None:
    world.fund(7, code=b"\x60\x00")
    with pytest.raises(evm.SenderNotExternal, match="sender not an eoa"):
        world.add(tx(7, 0))
    world.fund(7, code=b"\xef\x01\x00" + bytes(20))
    world.add(tx(7, 0))


# --- replacement ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fee", "tip", "is_enough"),
    [
        (FEE * 11 // 10, TIP * 11 // 10, True),
        (FEE * 11 // 10 - 1, TIP * 11 // 10, False),
        (FEE * 11 // 10, TIP * 11 // 10 - 1, False),
        (FEE * 2, TIP, False),
    ],
)
def test_a_replacement_pays_a_tenth_more_in_both_prices(
    world: PoolWorld, fee: int, tip: int, is_enough: bool
) -> None:
    old = world.add(tx(1, 0))
    world.add(tx(1, 1))
    new = tx(1, 0, fee=fee, tip=tip)
    if not is_enough:
        with pytest.raises(errors.ReplacementUnderpriced, match="replacement transaction underpriced"):
            world.add(new)
        assert world.pool.get(old.tx.hash) is old
        return
    world.changes.clear()
    world.add(new)
    assert old.tx.hash not in world.pool
    assert world.pending(1) == [0, 1]
    assert [(one.entry.tx.hash, one.change) for one in world.changes] == [
        (old.tx.hash, Change.REPLACED),
        (new.hash, Change.PENDING),
    ]
    world.check()


def test_a_replacement_that_costs_more_than_there_is_is_refused(world: PoolWorld) -> None:
    world.fund(4, balance=3 * 21_000 * FEE)
    for nonce in range(3):
        world.add(tx(4, nonce))
    with pytest.raises(evm.InsufficientFunds, match=f"queued cost {2 * 21_000 * FEE}"):
        world.add(tx(4, 1, fee=2 * FEE, tip=2 * TIP))
    assert world.pending(4) == [0, 1, 2]


# --- funds ------------------------------------------------------------------------------------------------


def test_all_pending_ones_together_are_paid_for(world: PoolWorld) -> None:
    world.fund(4, balance=2 * 21_000 * FEE)
    world.add(tx(4, 0))
    world.add(tx(4, 1))
    with pytest.raises(evm.InsufficientFunds, match="overshot"):
        world.add(tx(4, 2))


def test_a_queued_one_that_the_balance_does_not_cover_yet_goes_on_waiting(world: PoolWorld) -> None:
    world.fund(4, balance=2 * 21_000 * FEE)
    world.add(tx(4, 1))
    world.add(tx(4, 2))
    world.add(tx(4, 0))
    assert (world.pending(4), world.queued(4)) == ([0, 1], [2])
    world.check()
    world.state.accounts[address(4)] = world.state.account(address(4)).__class__(0, 3 * 21_000 * FEE)
    world.mine([])
    assert (world.pending(4), world.queued(4)) == ([0, 1, 2], [])


# --- caps -------------------------------------------------------------------------------------------------


def test_one_sender_has_its_share_and_no_more() -> None:
    world = PoolWorld(max_pending_by_sender=3, max_queued_by_sender=2)
    world.fund(1)
    for nonce in (0, 1, 2, 5, 6):
        world.add(tx(1, nonce))
    for nonce in (3, 7):
        with pytest.raises(errors.AccountLimitExceeded, match="account limit exceeded"):
            world.add(tx(1, nonce))
    world.add(tx(1, 2, fee=2 * FEE, tip=2 * TIP))
    assert (world.pending(1), world.queued(1)) == ([0, 1, 2], [5, 6])


def test_a_full_pool_drops_the_cheapest_last_one_and_never_makes_a_gap() -> None:
    world = PoolWorld(max_transactions=4)
    world.fund(1, 2, 3)
    world.add(tx(1, 0, tip=1))
    world.add(tx(1, 1, tip=9 * GWEI))
    world.add(tx(2, 0, tip=3 * GWEI))
    world.add(tx(2, 1, tip=3 * GWEI))
    with pytest.raises(errors.Underpriced, match="transaction underpriced"):
        world.add(tx(3, 0, tip=1))
    world.add(tx(3, 0))
    assert world.pending(1) == [0]  # its rich second one is worth no more than the poor first one
    world.add(tx(3, 1))
    assert world.pending(1) == []
    assert world.pending(3) == [0, 1]
    assert world.pending(2) == [0, 1]
    world.check()


def test_a_full_pool_drops_queued_ones_first_and_takes_no_queued_one_for_a_pending_one() -> None:
    world = PoolWorld(max_transactions=3)
    world.fund(1, 2, 3)
    world.add(tx(1, 0, tip=1))
    world.add(tx(2, 5, tip=9 * GWEI))
    world.add(tx(2, 6, tip=8 * GWEI))
    with pytest.raises(errors.PoolFull, match="txpool is full"):
        world.add(tx(3, 5, tip=7 * GWEI))
    world.add(tx(3, 0, tip=1))
    assert world.queued(2) == [5]
    assert world.pending(1) == world.pending(3) == [0]
    world.check()


def test_queued_ones_have_a_cap_of_their_own() -> None:
    world = PoolWorld(max_queued=2)
    world.fund(1, 2, 3)
    for sender, tip in ((1, 3), (2, 1), (3, 2)):
        world.add(tx(sender, 5, tip=tip * GWEI))
    assert (world.queued(1), world.queued(2), world.queued(3)) == ([5], [], [5])
    world.check()


def test_bytes_are_capped() -> None:
    world = PoolWorld(max_usage=300_000)
    world.fund(*range(1, 10))
    for sender in range(1, 6):
        world.add(tx(sender, 0, data=bytes(30_000), gas=400_000, tip=sender * GWEI))
        world.check()
    assert [bool(world.pending(sender)) for sender in range(1, 6)] == [False, True, True, True, True]


def test_a_higher_base_fee_changes_what_is_cheapest() -> None:
    world = PoolWorld(max_transactions=2)
    world.fund(1, 2, 3)
    world.add(tx(1, 0, fee=20 * GWEI, tip=1 * GWEI))
    world.add(tx(2, 0, fee=5 * GWEI, tip=4 * GWEI))
    world.base_fee = 5 * GWEI
    world.add(tx(3, 0, fee=20 * GWEI, tip=2 * GWEI))
    assert (world.pending(1), world.pending(2), world.pending(3)) == ([0], [], [0])


def full_of(*tips: int) -> PoolWorld:
    """Give a full pool of a pending one of each tip in gwei, senders from 1, that has dropped one already."""
    world = PoolWorld(max_transactions=len(tips))
    world.fund(*range(1, 20))
    world.add(tx(19, 0, tip=1))
    for sender, tip in enumerate(tips, 1):
        world.add(tx(sender, 0, tip=tip * GWEI))
    assert world.pending(19) == []
    return world


def test_a_rich_one_behind_a_poor_one_pushes_nobody_out() -> None:
    world = full_of(5, 5, 4)
    world.add(tx(4, 0, tip=9 * GWEI // 2))
    with pytest.raises(errors.Underpriced):
        world.add(tx(4, 1, tip=9 * GWEI))
    assert [world.pending(sender) for sender in (1, 2, 3, 4)] == [[0], [0], [], [0]]


def test_a_better_first_one_makes_all_behind_it_worth_more() -> None:
    world = full_of(5, 5, 5)
    world.fund(6)
    world.pool.drop(world.pool.pending_of(address(1))[0].tx.hash)
    world.pool.drop(world.pool.pending_of(address(2))[0].tx.hash)
    world.add(tx(6, 0, tip=2 * GWEI))
    world.add(tx(6, 1, tip=9 * GWEI))
    world.add(tx(6, 0, tip=8 * GWEI, fee=FEE * 2))
    world.add(tx(7, 0, tip=6 * GWEI))
    assert (world.pending(3), world.pending(6), world.pending(7)) == ([], [0, 1], [0])


def test_those_that_wait_because_one_before_them_went_count_as_queued() -> None:
    world = PoolWorld(max_queued=2)
    world.fund(1, 2)
    for nonce in (5, 6, 7):
        with suppress(errors.PoolFull):
            world.add(tx(2, nonce, tip=9 * GWEI))
    first = world.add(tx(1, 0))
    for nonce in range(1, 5):
        world.add(tx(1, nonce))
    world.pool.drop(first.tx.hash)
    assert (world.queued(1), world.queued(2)) == ([], [5, 6])
    world.check()


# --- EIP-7702 ---------------------------------------------------------------------------------------------


def authorization(private: bytes, nonce: int = 0) -> Authorization:
    digest = keccak256(
        b"\x05" + wrap_list(encode_uint(51337) + encode_string(bytes(20)) + encode_uint(nonce))
    )
    signature = secp256k1.sign_recoverable(private, digest)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return Authorization(51337, bytes(20), nonce, signature[64], r, s)


def test_a_delegated_account_has_one_in_flight() -> None:
    world = PoolWorld()
    world.fund(7, code=b"\xef\x01\x00" + bytes(20), nonce=3)
    with pytest.raises(errors.DelegatedGap, match="gapped-nonce tx from delegated accounts"):
        world.add(tx(7, 4))
    world.add(tx(7, 3))
    with pytest.raises(errors.InFlightLimit, match="in-flight transaction limit reached"):
        world.add(tx(7, 4))
    world.add(tx(7, 3, fee=2 * FEE, tip=2 * TIP))


def test_an_authorisation_in_the_pool_binds_its_signer_until_it_leaves() -> None:
    world = PoolWorld()
    private = b"\x07" * 32
    owner = int.from_bytes(address_of(private), "big")
    world.fund(1, owner)
    setting = tx(1, 0, kind=4, gas=100_000, authorizations=(authorization(private),))
    world.add(setting)
    world.add(tx(owner, 0))
    with pytest.raises(errors.InFlightLimit):
        world.add(tx(owner, 1))
    world.mine([setting])
    world.add(tx(owner, 1))
    with pytest.raises(errors.AuthorityReserved, match="authority already reserved"):
        world.add(tx(1, 1, kind=4, gas=100_000, authorizations=(authorization(private),)))


# --- the head moves ---------------------------------------------------------------------------------------


def test_what_a_block_took_leaves_and_what_it_contradicts_too(world: PoolWorld) -> None:
    mine, other = tx(1, 0), tx(1, 0, value=1)
    world.add(mine)
    world.add(tx(1, 1))
    world.add(tx(2, 0))
    world.mine([other])
    assert mine.hash not in world.pool
    assert (world.pending(1), world.pending(2)) == ([1], [0])
    assert (mine.hash, Change.USED) in [(one.entry.tx.hash, one.change) for one in world.changes]
    world.check()


def test_a_reorganisation_gives_back_what_the_new_branch_lacks(world: PoolWorld) -> None:
    first, second, kept = tx(1, 0), tx(1, 1), tx(2, 0)
    world.add(tx(1, 2))
    world.mine([first, kept])
    world.mine([second])
    assert world.pending(1) == [2]
    world.mine([kept], undo=2)
    assert world.pending(1) == [0, 1, 2]
    assert world.pending(2) == []
    world.check()


def test_who_lost_the_money_loses_the_place(world: PoolWorld) -> None:
    for nonce in range(3):
        world.add(tx(1, nonce, value=WEI if nonce == 1 else 0))
    world.state.accounts[address(1)] = world.state.account(address(1)).__class__(0, WEI // 2)
    world.mine([])
    assert (world.pending(1), world.queued(1)) == ([0], [2])
    assert world.changes[-1].change is Change.UNPAYABLE
    world.check()


def test_what_is_queued_too_long_goes(world: PoolWorld) -> None:
    world.add(tx(1, 5))
    world.add(tx(2, 0))
    world.clock.time += 3 * 3600 + 1
    world.mine([])
    assert (world.queued(1), world.pending(2)) == ([], [0])


def test_what_fits_in_no_block_is_dropped_and_the_rest_waits(world: PoolWorld) -> None:
    bad = world.add(tx(1, 0))
    world.add(tx(1, 1))
    world.pool.drop(bad.tx.hash)
    assert (world.pending(1), world.queued(1)) == ([], [1])
    world.check()


def test_what_only_found_no_room_stays(world: PoolWorld) -> None:
    first, second = world.add(tx(1, 0, gas=SPEC.execution_gas_limit + 21_000)), world.add(tx(1, 1))
    world.pool.drop(first.tx.hash, evm.ExecutionGasReached())
    world.pool.drop(second.tx.hash, evm.NonceTooHigh())
    assert world.pending(1) == [0, 1]
    world.pool.drop(second.tx.hash, evm.SenderNotExternal())
    assert world.pending(1) == [0]


def test_blocks_of_known_transactions_are_read_by_heart(world: PoolWorld) -> None:
    pooled, refused = world.add(tx(1, 0)).tx, tx(2, 0, value=10**30)
    with pytest.raises(evm.InsufficientFunds):
        world.add(refused)
    assert world.pool.known.decode(pooled.raw) is pooled
    assert world.pool.known.decode(refused.raw) is refused
    unknown = tx(3, 0)
    assert world.pool.known.decode(unknown.raw) is not unknown
    world.mine([pooled])
    assert world.pool.known.decode(pooled.raw) is pooled
