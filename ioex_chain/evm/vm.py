"""The one door to the EVM: transactions and system calls on an account state, under py-evm's rules.

docs/protocol.md section 4; yellow paper section 6. The opcode table, the prices and the precompiles are
py-evm's (vm_table); the loop that drives them, and what py-evm does not check, are this package's.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ioex_chain.evm.errors import SystemCallFailed
from ioex_chain.evm.revert import revert_reason
from ioex_chain.evm.senders import authority
from ioex_chain.evm.transactions import floor_gas
from ioex_chain.evm.types import SYSTEM_ADDRESS, Authorization, BlockEnv, Log, Transaction, TxOutcome
from ioex_chain.evm.validation import check_against_state
from ioex_chain.evm.vm_calls import call, collide, create
from ioex_chain.evm.vm_errors import words_of
from ioex_chain.evm.vm_frame import Frame, Message
from ioex_chain.evm.vm_ops_call import contract_address
from ioex_chain.evm.vm_rules import Rules
from ioex_chain.evm.vm_table import CANCUN, PRAGUE
from ioex_chain.evm.vm_world import DELEGATION_PREFIX, MAX_NONCE, Accounts, Watcher, World

__all__ = ["CANCUN", "PRAGUE", "SystemOutcome", "apply_transaction", "run_transaction", "system_call"]

_REFUND_QUOTIENT = 5
_EXISTING_AUTHORITY_REFUND = 12_500
_NO_ADDRESS = bytes(20)


@dataclass(frozen=True, slots=True)
class SystemOutcome:
    """What a system call gave back, what it cost and what it logged."""

    output: bytes
    gas_used: int
    logs: tuple[Log, ...]


def apply_transaction(
    state: Accounts,
    env: BlockEnv,
    tx: Transaction,
    sender: bytes,
    *,
    tracer: Watcher | None = None,
    rules: Rules = PRAGUE,
    check_deadline: Callable[[], None] | None = None,
) -> TxOutcome:
    """Check and run a transaction; the state holds its changes afterwards.

    The sender pays; tips go to `env.beneficiary`; base fees are nobody's here (the block credits them once).
    Raises InvalidTransaction before anything changed, DeadlineExceeded with the state in between.
    """
    intrinsic = check_against_state(state, env, tx, sender, rules)
    price = tx.effective_gas_price(env.base_fee)
    world = World(
        state,
        env,
        rules,
        origin=sender,
        gas_price=price,
        watcher=tracer,
        check_deadline=check_deadline,
    )
    return run_transaction(world, tx, sender, intrinsic)


def run_transaction(world: World, tx: Transaction, sender: bytes, intrinsic: int) -> TxOutcome:
    """Run a transaction that was checked, or a call that needs no check, in its own `world`."""
    state = world.accounts
    if world.gas_price:
        state.set_balance(sender, state.get_balance(sender) - tx.gas * world.gas_price)
    frame = execute(world, tx, sender, tx.gas - intrinsic)
    gas_used = charged_gas(world, tx, frame)
    _settle(world, tx, sender, gas_used)
    world.finish()
    return TxOutcome(
        status=0 if frame.error else 1,
        gas_used=gas_used,
        execution_gas=max(0, gas_used - intrinsic),
        logs=tuple(world.logs),
        output=frame.output,
        created=frame.msg.target if tx.to is None else None,
        error=words_of(frame.error) if frame.error else None,
    )


def execute(world: World, tx: Transaction, sender: bytes, gas: int) -> Frame:
    """Warm what the transaction names, raise the nonce, and run its message with `gas`."""
    world.warm.add(sender)
    for entry in tx.access_list:
        world.warm.add(entry.address)
        world.warm_slots.update((entry.address, int.from_bytes(slot, "big")) for slot in entry.slots)
    if tx.to is None:
        return _create(world, tx, sender, gas)
    world.increment_nonce(sender)
    for authorization in tx.authorizations:
        _authorize(world, authorization)
    return call(world, _call_message(world, tx, tx.to, sender, gas))


def _authorize(world: World, item: Authorization) -> None:
    """Follow one EIP-7702 authorisation; an unsound one is passed over."""
    if item.chain_id not in (0, world.env.chain_id) or item.nonce >= MAX_NONCE:
        return
    signer = authority(item)
    if signer is None:
        return
    world.warm.add(signer)
    code = world.get_code(signer)
    if (code and world.delegate(code) is None) or world.get_nonce(signer) != item.nonce:
        return
    if not world.account_is_empty(signer):
        world.refund += _EXISTING_AUTHORITY_REFUND
    world.accounts.set_code(signer, b"" if item.address == _NO_ADDRESS else DELEGATION_PREFIX + item.address)
    world.increment_nonce(signer)


def _create(world: World, tx: Transaction, sender: bytes, gas: int) -> Frame:
    address = contract_address(sender, world.get_nonce(sender))
    world.increment_nonce(sender)
    world.warm.add(address)
    msg = Message(
        "CREATE",
        sender=sender,
        target=address,
        to=address,
        value=tx.value,
        data=b"",
        code=tx.data,
        gas=gas,
        runs_precompile=False,
    )
    return collide(world, msg) if world.is_taken(address) else create(world, msg)


def _call_message(world: World, tx: Transaction, to: bytes, sender: bytes, gas: int) -> Message:
    world.warm.add(to)
    code = world.get_code(to)
    delegate = world.delegate(code)
    if delegate is not None:
        world.warm.add(delegate)
        code = world.get_code(delegate)
    return Message(
        "CALL",
        sender=sender,
        target=to,
        to=to,
        value=tx.value,
        data=tx.data,
        code=code,
        gas=gas,
        code_address=delegate,
        runs_precompile=delegate is None,
    )


def charged_gas(world: World, tx: Transaction, frame: Frame) -> int:
    """Give what the sender pays for: less refunds (EIP-3529), at least the data's floor (EIP-7623)."""
    used = tx.gas - frame.gas
    used -= min(world.refund, used // _REFUND_QUOTIENT)
    return max(used, floor_gas(tx)) if world.rules.data_floor and tx.data else used


def _settle(world: World, tx: Transaction, sender: bytes, gas_used: int) -> None:
    state, env = world.accounts, world.env
    left = (tx.gas - gas_used) * world.gas_price
    if left:
        state.set_balance(sender, state.get_balance(sender) + left)
    tip = gas_used * (world.gas_price - env.base_fee)
    if tip:
        state.set_balance(env.beneficiary, state.get_balance(env.beneficiary) + tip)


def system_call(
    state: Accounts,
    env: BlockEnv,
    to: bytes,
    data: bytes,
    gas: int,
    *,
    rules: Rules = PRAGUE,
    tracer: Watcher | None = None,
) -> SystemOutcome:
    """Call a contract as the system does (EIP-4788): no nonce, no fee, caller SYSTEM_ADDRESS.

    An account without code answers nothing and uses no gas. Raises SystemCallFailed when the call reverts
    or runs out of `gas`; the state is then as before.
    """
    world = World(state, env, rules, origin=SYSTEM_ADDRESS, gas_price=0, watcher=tracer)
    code = state.get_code(to)
    if not code:
        return SystemOutcome(b"", 0, ())
    world.warm.add(to)
    msg = Message("CALL", sender=SYSTEM_ADDRESS, target=to, to=to, value=0, data=data, code=code, gas=gas)
    frame = call(world, msg)
    if frame.error is not None:
        reason = revert_reason(frame.output) or frame.output.hex()
        raise SystemCallFailed(f"system call to 0x{to.hex()}: {words_of(frame.error)}: {reason}")
    world.finish()
    return SystemOutcome(frame.output, gas - frame.gas, tuple(world.logs))
