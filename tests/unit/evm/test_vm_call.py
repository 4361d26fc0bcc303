"""eth_call and its kin on a state that must not change."""

import pytest
from evm_world import BENEFICIARY, SENDER, env
from vm_calls_world import Block, Change, Message, world

from ioex_chain.evm.call import access_list, call, estimate
from ioex_chain.evm.call_session import TRANSFER_LOGGER
from ioex_chain.evm.call_types import CallRefused, CallReverted
from ioex_chain.evm.simulate import simulate_block
from ioex_chain.evm.types import WEI
from ioex_chain.evm.vm_errors import DeadlineExceeded

CALLEE = bytes.fromhex("c0de" * 10)
READ_SLOT = bytes.fromhex("60005460005260206000f3")  # return sload(0)
WRITE_SLOT = bytes.fromhex("600160015500")
REVERT = bytes.fromhex("60006000fd")
LOOP = bytes.fromhex("5b600056")
NEEDS_GAS = bytes.fromhex("6207a1205a11600e5760006000fd5b00")  # reverts unless more than 500,000 gas are left
PAY_ON = bytes.fromhex("6000600060006000475af1")


def chain(code: bytes = READ_SLOT, **fields):
    accounts = {
        "a" + CALLEE.hex(): {"nonce": 1, "code": code, **fields},
        "a" + SENDER.hex(): {"balance": WEI},
    }
    return world(**accounts)


def test_call_gives_the_answer_and_leaves_the_state_alone():
    rows = chain(slots={0: 7})
    before = dict(rows.changes)
    assert call(rows, env(), Message(to=CALLEE)).output == (7).to_bytes(32, "big")
    assert call(chain(WRITE_SLOT), env(), Message(to=CALLEE)).status == 1
    assert rows.changes == before


def test_overrides_of_state_code_and_block():
    rows = chain(slots={0: 7, 1: 1})
    word = (9).to_bytes(32, "big")
    assert call(rows, env(), Message(to=CALLEE), changes={CALLEE: Change(state_diff={0: 9})}).output == word
    assert call(rows, env(), Message(to=CALLEE), changes={CALLEE: Change(state={1: 5})}).output == bytes(32)
    timestamp = Change(code=bytes.fromhex("4260005260206000f3"))
    changed = call(rows, env(), Message(to=CALLEE), changes={CALLEE: timestamp}, block=Block(time=9))
    assert changed.output == word
    with pytest.raises(CallRefused):
        call(rows, env(), Message(to=CALLEE), changes={CALLEE: Change(state={}, state_diff={})})


def test_precompile_moves_and_leaves_its_place_empty():
    identity, there = bytes(19) + b"\4", bytes.fromhex("1234" * 10)
    changes = {identity: Change(move_precompile_to=there)}
    assert call(chain(), env(), Message(to=there, data=b"hello"), changes=changes).output == b"hello"
    assert call(chain(), env(), Message(to=identity, data=b"hello"), changes=changes).output == b""
    with pytest.raises(CallRefused) as refused:
        call(chain(), env(), Message(to=there), changes={identity: Change(move_precompile_to=identity)})
    assert refused.value.code == -38022


def test_price_and_value_need_funds():
    poor = Message(to=CALLEE, value=1)
    with pytest.raises(CallRefused, match="insufficient funds"):
        call(chain(), env(), poor)
    with pytest.raises(CallRefused, match="max fee per gas less than block base fee"):
        call(chain(), env(), Message(sender=SENDER, to=CALLEE, max_fee=1))
    assert call(chain(), env(), Message(sender=SENDER, to=CALLEE, gas=100_000, max_fee=2 * 10**9)).status == 1


@pytest.mark.parametrize("precompile", ["loop", "modexp", "blake2f", "pairing"])
def test_a_deadline_really_ends_it(precompile):
    looks = 0

    def check():
        nonlocal looks
        looks += 1
        if looks > 5:
            raise DeadlineExceeded

    message = {
        "loop": Message(to=CALLEE),
        "modexp": Message(
            to=bytes(19) + b"\5",
            data=b"".join(size.to_bytes(32, "big") for size in (64, 1024, 64)) + b"\xff" * 1152,
        ),
        "blake2f": Message(to=bytes(19) + b"\x09", data=(30_000_000).to_bytes(4, "big") + bytes(209)),
        "pairing": Message(to=bytes(19) + b"\x08", data=bytes(192 * 10)),
    }[precompile]
    with pytest.raises(DeadlineExceeded):
        call(chain(LOOP), env(), message, check=check)


def test_estimates_are_enough_and_not_much_too_high():
    assert estimate(chain(), env(), Message(sender=SENDER, to=bytes.fromhex("aa" * 20), value=5)) == 21_000
    gas = estimate(chain(WRITE_SLOT), env(), Message(to=CALLEE))
    assert 43_106 <= gas <= 43_106 * 1.015
    needed = estimate(chain(NEEDS_GAS), env(), Message(to=CALLEE))
    assert 521_000 < needed < 521_100 * 1.016
    assert call(chain(NEEDS_GAS), env(), Message(to=CALLEE, gas=needed)).status == 1


def test_estimate_of_what_never_succeeds():
    with pytest.raises(CallReverted, match="execution reverted"):
        estimate(chain(REVERT), env(), Message(to=CALLEE))
    with pytest.raises(CallRefused, match="gas required exceeds allowance"):
        estimate(chain(LOOP), env(), Message(to=CALLEE, gas=100_000))


def test_access_list_names_the_slots_and_its_gas_is_with_it():
    result = access_list(chain(), env(), Message(sender=SENDER, to=CALLEE))
    assert [(entry.address, entry.slots) for entry in result.entries] == [(CALLEE, (bytes(32),))]
    again = call(chain(), env(), Message(sender=SENDER, to=CALLEE, access_list=result.entries))
    assert again.gas_used == result.gas_used


def test_simulated_calls_see_each_other_and_transfers_are_logged():
    rows = chain()
    calls = [Message(sender=SENDER, to=bytes.fromhex("aa" * 20), value=5)] * 2
    run = simulate_block(rows, env(base_fee=0), calls, trace_transfers=True)
    assert [tx.nonce for tx in run.transactions] == [0, 1]
    assert run.gas_used == 42_000
    assert run.outcomes[1].logs[0].address == TRANSFER_LOGGER
    assert run.outcomes[1].logs[0].data == (5).to_bytes(32, "big")
    assert len({tx.hash for tx in run.transactions}) == 2
    with pytest.raises(CallRefused) as refused:
        simulate_block(rows, env(), [Message(sender=SENDER, to=CALLEE, nonce=9)], validation=True)
    assert refused.value.code == -38011


def test_beneficiary_of_a_free_call_gets_nothing():
    code = bytes.fromhex("73" + BENEFICIARY.hex() + "3160005260206000f3")
    assert call(chain(code), env(), Message(to=CALLEE)).output == bytes(32)
