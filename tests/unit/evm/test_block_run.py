"""BlockRun's own rules: limits, system calls, fees, withdrawals; receipts and proofs."""

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.crypto.recovery import recover_address
from ioex_chain.crypto.secp256k1 import sign_recoverable
from ioex_chain.evm.accounts import decode_account, encode_account, encode_row, leaf_of
from ioex_chain.evm.block import BEACON_ROOTS, GWEI, HISTORY, BlockRules, BlockRun
from ioex_chain.evm.errors import (
    BalanceOverflow,
    ExecutionGasReached,
    GasLimitReached,
    NonceTooHigh,
    SystemCallFailed,
    SystemGasExceeded,
    TransactionRefused,
)
from ioex_chain.evm.receipts import (
    decode_receipts,
    encode_receipts,
    join_blooms,
    logs_bloom,
    make_receipt,
)
from ioex_chain.evm.roots import account_proof, state_root, withdrawals_root
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.transactions import signed, signing_hash
from ioex_chain.evm.types import (
    EMPTY_CODE_HASH,
    EMPTY_TRIE_ROOT,
    SYSTEM_ADDRESS,
    WEI,
    Account,
    BlockEnv,
    Log,
    Transaction,
    Withdrawal,
)
from ioex_chain.evm.work import CODE_BYTES, WEIGHTS
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.primitives.errors import DecodeError

KEY = bytes(31) + b"\x07"
_SIGNED = sign_recoverable(KEY, bytes(32))
SENDER = recover_address(bytes(32), _SIGNED[:64], _SIGNED[64])
POOL = bytes.fromhex("11" * 20)
MINER = bytes.fromhex("22" * 20)
FRIEND = bytes.fromhex("33" * 20)
SPENDER = bytes.fromhex("44" * 20)
REVERTER = bytes.fromhex("55" * 20)
KEEPER = bytes.fromhex("66" * 20)
BASE_FEE = 10**9
# PUSH2 n, loop: 1 swap sub dup jumpi: burns gas for as many rounds as its call data says
LOOP = bytes.fromhex("5f355b6001900380600257")
KEEP = bytes.fromhex("335f555f35600155")  # SSTORE(0, CALLER); SSTORE(1, CALLDATALOAD(0))


def world(code=()):
    store = MemoryStore()
    overlay = Overlay(store)
    state = FlatState(overlay)
    state.set_balance(SENDER, 100 * WEI)
    for address, program in {
        SPENDER: LOOP,
        REVERTER: bytes.fromhex("5f5ffd"),
        KEEPER: KEEP,
        **dict(code),
    }.items():
        state.set_code(address, program)
    state.flush()
    store.write(overlay.changes)
    return store


def env(gas_limit=1_000_000) -> BlockEnv:
    return BlockEnv(1, 9, 900, MINER, gas_limit, BASE_FEE, bytes(32), lambda number: None)


def make(nonce=0, to=FRIEND, value=1, data=b"", gas=21_000, tip=5) -> Transaction:
    blank = Transaction(
        *(b"", b"", 2, 1, nonce, tip, 10 * BASE_FEE, gas, to, value, data, (), (), 0, 0, 0, b"")
    )
    signature = sign_recoverable(KEY, signing_hash(blank))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return signed(blank, signature[64], r, s)


def rounds(count: int, **fields) -> Transaction:
    return make(to=SPENDER, value=0, data=count.to_bytes(32, "big"), **fields)


def run_on(store, rules=BlockRules(), gas_limit=1_000_000) -> BlockRun:  # noqa: B008
    return BlockRun(Overlay(store), env(gas_limit), rules)


def test_base_fees_go_to_the_pool_in_one_step_and_tips_at_once():
    run = run_on(world(), BlockRules(fees_to=POOL))
    run.transactions([make(0), make(1)])
    assert run.state.get_balance(POOL) == 0
    assert run.state.get_balance(MINER) == 2 * 21_000 * 5
    result = run.finish()
    assert run.state.get_balance(POOL) == 42_000 * BASE_FEE
    assert run.state.get_balance(SENDER) == 100 * WEI - 42_000 * (BASE_FEE + 5) - 2
    assert (result.gas_used, result.execution_gas) == (42_000, 0)


def test_a_burnt_base_fee_goes_to_nobody():
    run = run_on(world())
    run.transactions([make(0)])
    before = run.state.get_balance(SENDER) + run.state.get_balance(MINER) + run.state.get_balance(FRIEND)
    run.finish()
    assert before == 100 * WEI - 21_000 * BASE_FEE


def test_a_block_names_the_transaction_that_may_not_stand():
    with pytest.raises(TransactionRefused, match="transaction 1: nonce too high") as caught:
        run_on(world()).transactions([make(0), make(2)])
    assert caught.value.position == 1
    assert isinstance(caught.value.cause, NonceTooHigh)


def test_the_gas_limit_counts_what_was_used_and_what_is_asked():
    run = run_on(world(), gas_limit=60_000)
    run.try_transaction(make(0))
    with pytest.raises(GasLimitReached):
        run.try_transaction(make(1, gas=39_001))
    run.try_transaction(make(1, gas=39_000))
    assert run.gas_used == 42_000


def test_execution_gas_beyond_the_limit_leaves_nothing_behind():
    run = run_on(world(), BlockRules(execution_gas_limit=30_000))
    used = run.try_transaction(rounds(400, gas=45_000)).execution_gas
    assert 10_000 < used < 20_000
    state, before = run.state, run.state.get_balance(SENDER)
    with pytest.raises(ExecutionGasReached, match="left in the block"):
        run.try_transaction(rounds(800, nonce=1, gas=45_000))
    assert (state.get_balance(SENDER), state.get_nonce(SENDER)) == (before, 1)
    run.try_transaction(make(1))
    assert run.execution_gas == used
    with pytest.raises(TransactionRefused, match="execution gas limit reached"):
        run.transactions([rounds(800, nonce=2, gas=45_000)])


def test_data_above_the_limit_is_not_half_done_on_the_short_path():
    run = run_on(world(), BlockRules(execution_gas_limit=1_000))
    with pytest.raises(ExecutionGasReached):
        run.try_transaction(make(data=b"\x01" * 100, gas=25_000))
    assert (run.state.get_nonce(SENDER), run.state.get_balance(FRIEND)) == (0, 0)
    assert run.try_transaction(make(data=b"\x01" * 40, gas=22_600)).execution_gas == 40 * 24


def test_no_transaction_may_ask_for_more_execution_than_a_block_has():
    run = run_on(world(), BlockRules(execution_gas_limit=30_000))
    with pytest.raises(ExecutionGasReached, match="allowed"):
        run.try_transaction(rounds(1, gas=100_000))


PAIRING = 45_000
"""Price of a pairing over nothing (EIP-1108)."""


def pairs(count: int) -> bytes:
    """Call the bn256 pairing over nothing `count` times, then revert."""
    return bytes.fromhex("5f5f5f5f60085afa50") * count + bytes.fromhex("5f5ffd")


def test_slow_contracts_count_by_their_weight_even_when_reverted():
    store = world({FRIEND: pairs(2)})
    weight = WEIGHTS[bytes(19) + b"\x08"]
    run = run_on(store)
    outcome = run.try_transaction(make(value=0, gas=200_000))
    assert (outcome.status, outcome.gas_used < 21_000 + 2 * PAIRING + 1_000) == (0, True)
    code = len(pairs(2)) // CODE_BYTES
    assert outcome.execution_gas == outcome.gas_used - 21_000 + 2 * PAIRING * (weight - 1) + code


def test_what_a_transaction_may_not_add_fails_like_a_call_without_gas_and_is_paid():
    weight, gas = WEIGHTS[bytes(19) + b"\x08"], 200_000
    limit = PAIRING * weight + gas
    run = run_on(world({FRIEND: pairs(2)}), BlockRules(execution_gas_limit=limit))
    outcome = run.try_transaction(make(value=0, gas=gas))
    added = PAIRING * (weight - 1) + len(pairs(2)) // CODE_BYTES  # of the first call only
    assert outcome.execution_gas == outcome.gas_used - 21_000 + added <= limit
    assert outcome.gas_used > gas - 10_000  # the second one took all the gas that it was given
    assert run.state.get_balance(SENDER) < 100 * WEI


def test_filling_wastes_no_time_on_what_finds_no_room():
    weight = WEIGHTS[bytes(19) + b"\x08"]
    limit = 10 * PAIRING * weight
    run = run_on(world({FRIEND: pairs(3), REVERTER: pairs(1)}), BlockRules(execution_gas_limit=limit), limit)
    run.try_transaction(make(0, to=REVERTER, value=0, gas=100_000))
    with pytest.raises(ExecutionGasReached, match="asks for"):
        run.try_transaction(make(1, to=REVERTER, value=0, gas=21_001 + limit // 4))
    run.try_transaction(make(1, to=REVERTER, value=0, gas=21_000 + limit // 64))
    with pytest.raises(ExecutionGasReached, match="slow contracts"):  # three are more than a quarter
        run.try_transaction(make(2, value=0, gas=180_000))
    with pytest.raises(ExecutionGasReached, match="asks for"):  # so now only what fits for certain
        run.try_transaction(make(2, to=REVERTER, value=0, gas=21_000 + limit // 64))
    assert run.try_transaction(make(2, to=REVERTER, value=0, gas=80_000)).status == 0
    fresh = run_on(world({FRIEND: pairs(3)}), BlockRules(execution_gas_limit=limit), limit)
    assert fresh.try_transaction(make(value=0, gas=180_000)).execution_gas > limit // 4


def test_long_code_counts_by_its_length_each_time_it_is_run():
    called = bytes.fromhex("c0ffee" + "00" * 17)
    twice = (bytes.fromhex("5f5f5f5f5f73") + called + bytes.fromhex("5af150")) * 2
    store = world({FRIEND: twice, called: bytes(24_576)})
    outcome = run_on(store).try_transaction(make(value=0, gas=100_000))
    extra = outcome.execution_gas - (outcome.gas_used - 21_000)
    assert (outcome.status, extra) == (1, 2 * 24_576 // CODE_BYTES + len(twice) // CODE_BYTES)
    creation = run_on(store).try_transaction(make(to=None, value=0, data=bytes(4_096), gas=100_000))
    assert creation.execution_gas == creation.gas_used - intrinsic(4_096) + 4_096 // CODE_BYTES
    limited = run_on(store, BlockRules(execution_gas_limit=2 * 24_576 // CODE_BYTES))
    limited.try_transaction(make(value=0, gas=27_000))
    with pytest.raises(TransactionRefused, match="long code"):
        limited.transactions([make(1, value=0, gas=27_000)])


def intrinsic(initcode: int) -> int:
    """Give the gas of a creation with so many zero bytes (EIP-3860)."""
    return 21_000 + 32_000 + 4 * initcode + 2 * initcode // 32


def test_a_plain_transfer_may_not_ask_for_more_than_a_block_has_either():
    run = run_on(world(), BlockRules(execution_gas_limit=30_000))
    with pytest.raises(ExecutionGasReached, match="allowed"):
        run.try_transaction(make(gas=51_001))
    assert run.try_transaction(make(gas=51_000)).execution_gas == 0


def test_system_calls_share_one_budget():
    run = run_on(world(), BlockRules(system_gas_limit=60_000))
    run.system_call(KEEPER, bytes(31) + b"\x09")
    assert run.state.get_storage(KEEPER, 0) == int.from_bytes(SYSTEM_ADDRESS, "big")
    assert run.state.get_storage(KEEPER, 1) == 9
    with pytest.raises(SystemCallFailed):
        run.system_call(SPENDER, (10_000).to_bytes(32, "big"))
    assert run.gas_used == 0
    exhausted = run_on(world(), BlockRules(system_gas_limit=0))
    with pytest.raises(SystemGasExceeded):
        exhausted.system_call(KEEPER, b"")


def test_a_system_call_that_reverts_is_an_error():
    with pytest.raises(SystemCallFailed, match="reverted"):
        run_on(world()).system_call(REVERTER, b"")


def test_begin_calls_both_contracts():
    run = run_on(world({BEACON_ROOTS: KEEP, HISTORY: KEEP}))
    run.begin(b"\x01" * 32, b"\x02" * 32)
    assert run.state.get_storage(HISTORY, 1) == int.from_bytes(b"\x01" * 32, "big")
    assert run.state.get_storage(BEACON_ROOTS, 1) == int.from_bytes(b"\x02" * 32, "big")


def test_withdrawals_are_gwei_and_a_zero_one_makes_no_account():
    store = world()
    overlay = Overlay(store)
    run = BlockRun(overlay, env(), BlockRules())
    run.withdrawals([Withdrawal(0, 1, FRIEND, 7), Withdrawal(1, 0, POOL, 0), Withdrawal(2, 1, FRIEND, 1)])
    result = run.finish()
    assert run.state.get_balance(FRIEND) == 8 * GWEI
    assert FlatState(overlay).account(POOL) is None
    assert FlatState(overlay).account(FRIEND) == Account(0, 8 * GWEI)
    assert state_root(overlay) == result.state_root
    assert keccak256(account_proof(overlay, FRIEND)[0]) == result.state_root
    assert withdrawals_root([]) == EMPTY_TRIE_ROOT


logs = st.builds(
    Log,
    address=st.binary(min_size=20, max_size=20),
    topics=st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(tuple),
    data=st.binary(max_size=70),
)
receipts = st.builds(
    make_receipt,
    kind=st.sampled_from([0, 1, 2, 4]),
    status=st.integers(0, 1),
    cumulative_gas=st.integers(0, 2**63),
    logs=st.lists(logs, max_size=3).map(tuple),
)


@given(st.lists(receipts, max_size=5))
def test_receipts_are_stored_and_read_again(many):
    assert decode_receipts(encode_receipts(many)) == many
    everything = [log for receipt in many for log in receipt.logs]
    assert join_blooms(receipt.bloom for receipt in many) == logs_bloom(everything)


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\xc1\x80", b"\xc5\xc4\x01\x01\x01\x01", b"\xc3\xc2\x01\x01"]
)
def test_damaged_receipts_are_a_typed_error(data):
    with pytest.raises(DecodeError):
        decode_receipts(data)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**256 - 1), st.binary(min_size=32, max_size=32))
def test_account_rows(nonce, balance, digest):
    for root, code_hash in ((digest, digest), (digest, EMPTY_CODE_HASH), (EMPTY_TRIE_ROOT, EMPTY_CODE_HASH)):
        row = encode_row(nonce, balance, root, code_hash)
        assert decode_account(row) == Account(nonce, balance, root, code_hash)
        assert leaf_of(row) == encode_account(nonce, balance, root, code_hash)
        assert leaf_of(row) == rlp.encode([nonce, balance, root, code_hash])


@pytest.mark.parametrize("row", [b"", b"\x01", b"\x01\x01\x01", b"\x01\x82\x01", b"\x01\x01" + bytes(63)])
def test_a_damaged_account_row_is_a_typed_error(row):
    with pytest.raises(DecodeError):
        decode_account(row)


@pytest.mark.parametrize("short", [True, False])
def test_a_made_up_balance_that_would_overflow_is_refused(short: bool):
    store = world()
    overlay = Overlay(store)
    state = FlatState(overlay)
    state.set_balance(FRIEND, 2**256 - 1)
    state.flush()
    store.write(overlay.changes)
    run = run_on(store, BlockRules(short_path=short))
    with pytest.raises(BalanceOverflow):
        run.try_transaction(make())
    assert run.state.get_balance(SENDER) == 100 * WEI
    assert run.try_transaction(make(to=POOL)).status == 1
