"""Transactions and system calls through the EVM's door, on the plainest state."""

import re

import pytest
from eth_account import Account as Key
from evm_world import KEY, SENDER, env, transaction
from vm_accounts import DictAccounts

from ioex_chain.evm import errors, vm
from ioex_chain.evm.types import SYSTEM_ADDRESS, WEI
from ioex_chain.evm.vm_ops_call import contract_address

CALLEE = bytes.fromhex("c0de" * 10)
STORE_CALLER = bytes.fromhex("3360005500")  # sstore(0, caller)
RETURN_CALLER = bytes.fromhex("3360005260206000f3")
REVERT = bytes.fromhex("60006000fd")
LOOP = bytes.fromhex("5b600056")


def funded(nonce: int = 0, balance: int = WEI) -> DictAccounts:
    state = DictAccounts()
    state.add(SENDER, nonce=nonce, balance=balance)
    return state


def test_plain_transfer_moves_value_and_tip_and_burns_the_base_fee():
    state = funded()
    outcome = vm.apply_transaction(state, env(), transaction(to=CALLEE, value=5), SENDER)
    assert (outcome.status, outcome.gas_used, outcome.execution_gas) == (1, 21_000, 0)
    assert state.get_balance(CALLEE) == 5
    assert state.get_balance(env().beneficiary) == 21_000 * 10**9
    assert state.get_balance(SENDER) == WEI - 5 - 21_000 * 2 * 10**9
    assert state.get_nonce(SENDER) == 1


def test_creation_gives_the_address_and_stores_the_code():
    state = funded()
    initcode = bytes.fromhex("6005600c60003960056000f3") + STORE_CALLER
    outcome = vm.apply_transaction(state, env(), transaction(to=None, data=initcode, gas=200_000), SENDER)
    assert outcome.status == 1
    assert outcome.created is not None
    assert state.get_code(outcome.created) == STORE_CALLER
    assert state.get_nonce(outcome.created) == 1


def test_revert_keeps_the_fee_and_says_so():
    state = funded()
    state.add(CALLEE, code=REVERT)
    outcome = vm.apply_transaction(state, env(), transaction(to=CALLEE, value=7, gas=50_000), SENDER)
    assert (outcome.status, outcome.error) == (0, "execution reverted")
    assert outcome.gas_used == 21_006
    assert state.get_balance(CALLEE) == 0


def test_endless_loop_ends_out_of_gas():
    state = funded()
    state.add(CALLEE, code=LOOP)
    outcome = vm.apply_transaction(state, env(), transaction(to=CALLEE, gas=100_000), SENDER)
    assert (outcome.status, outcome.error, outcome.gas_used) == (0, "out of gas", 100_000)
    assert outcome.execution_gas == 79_000


def test_creation_on_an_address_with_storage_fails_and_takes_all_gas():
    state = funded()
    state.add(contract_address(SENDER, 0), slots={1: 1})
    outcome = vm.apply_transaction(state, env(), transaction(to=None, gas=100_000), SENDER)
    assert (outcome.status, outcome.gas_used) == (0, 100_000)
    assert outcome.error == "contract address collision"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"chain_id": 2}, errors.WrongChainId, "invalid chain id"),
        ({"nonce": 3}, errors.NonceTooHigh, "nonce too high"),
        ({"gas": 20_999}, errors.IntrinsicGasTooLow, "intrinsic gas too low"),
        ({"gas": 40_000_001}, errors.GasLimitReached, "gas limit reached"),
        ({"value": WEI}, errors.InsufficientFunds, "insufficient funds for gas * price + value"),
        ({"max_fee": 10}, errors.FeeCapTooLow, "max fee per gas less than block base fee"),
        (
            {"max_priority_fee": 10**10},
            errors.TipAboveFeeCap,
            "max priority fee per gas higher than max fee per gas",
        ),
        ({"to": None, "data": b"\1" * 49_153, "gas": 5_000_000}, errors.InitcodeTooLarge, "initcode"),
        ({"data": b"\1" * 1000, "gas": 40_000}, errors.FloorGasTooLow, "floor data gas"),
    ],
)
def test_each_broken_rule_has_its_error_and_changes_nothing(change, error, words):
    state = funded()
    root = state.root()
    with pytest.raises(error, match=re.escape(words)):
        vm.apply_transaction(state, env(), transaction(**{"to": CALLEE, **change}), SENDER)
    assert state.root() == root


def test_old_nonce_and_sender_with_code_are_refused():
    with pytest.raises(errors.NonceTooLow):
        vm.apply_transaction(funded(nonce=1), env(), transaction(to=CALLEE), SENDER)
    state = DictAccounts()
    state.add(SENDER, balance=WEI, code=b"\0")
    with pytest.raises(errors.SenderNotExternal):
        vm.apply_transaction(state, env(), transaction(to=CALLEE), SENDER)


def test_sender_with_a_delegation_may_send():
    state = DictAccounts()
    state.add(SENDER, balance=WEI, code=b"\xef\x01\x00" + CALLEE)
    assert vm.apply_transaction(state, env(), transaction(to=CALLEE), SENDER).status == 1


def test_system_call_has_the_systems_caller_and_costs_nobody():
    state = DictAccounts()
    state.add(CALLEE, nonce=1, code=RETURN_CALLER)
    outcome = vm.system_call(state, env(), CALLEE, b"", 100_000)
    assert outcome.output == SYSTEM_ADDRESS.rjust(32, b"\0")
    assert 0 < outcome.gas_used < 100
    assert SYSTEM_ADDRESS not in state.accounts


def test_failed_system_call_is_an_error_and_an_absent_contract_none():
    state = DictAccounts()
    state.add(CALLEE, nonce=1, code=REVERT)
    with pytest.raises(errors.SystemCallFailed, match="execution reverted"):
        vm.system_call(state, env(), CALLEE, b"", 100_000)
    assert vm.system_call(state, env(), bytes(20), b"", 100_000) == vm.SystemOutcome(b"", 0, ())


def test_the_fixed_key_is_the_senders():
    assert bytes.fromhex(Key.from_key(KEY).address[2:]) == SENDER


def test_deep_recursion_ends_at_1024_calls():
    state = funded(balance=10**6 * WEI)
    # call(gas, self, ...) with everything, then count up in slot 0
    code = bytes.fromhex("60006000600060006000305af1506001600054016000550000")
    state.add(CALLEE, nonce=1, code=code)
    block = env(gas_limit=10**14)
    tx = transaction(to=CALLEE, gas=10**13)
    assert vm.apply_transaction(state, block, tx, SENDER).status == 1
    assert state.get_storage(CALLEE, 0) == 1025
