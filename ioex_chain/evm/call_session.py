"""One state and one block, both perhaps changed by their asker, on which calls are tried."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.call_types import CALL_GAS, AccountChange, BlockChange, CallMessage, CallRefused, Changes
from ioex_chain.evm.errors import (
    BalanceOverflow,
    FeeCapTooLow,
    FloorGasTooLow,
    GasLimitReached,
    InitcodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidTransaction,
    NonceExhausted,
    NonceTooHigh,
    NonceTooLow,
    SenderNotExternal,
)
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.transactions import check_transaction, unsigned_payload
from ioex_chain.evm.types import BlockEnv, Log, Transaction, TxOutcome, Withdrawal
from ioex_chain.evm.validation import check_against_state
from ioex_chain.evm.vm import PRAGUE, run_transaction
from ioex_chain.evm.vm_rules import Rules
from ioex_chain.evm.vm_world import Watcher, World
from ioex_chain.ledger.types import Readable
from ioex_chain.primitives.rlp import wrap_list

_GWEI = 10**9
TRANSFER_LOGGER = bytes.fromhex("eeee" * 10)
"""Whose logs eth_simulateV1 reports for moved wei."""
TRANSFER_TOPIC = keccak256(b"Transfer(address,address,uint256)")
_CODES: dict[type[InvalidTransaction], int] = {
    NonceTooLow: -38010,
    NonceTooHigh: -38011,
    FeeCapTooLow: -38012,
    IntrinsicGasTooLow: -38013,
    FloorGasTooLow: -38013,
    InsufficientFunds: -38014,
    GasLimitReached: -38015,
    SenderNotExternal: -38024,
    InitcodeTooLarge: -38025,
    NonceExhausted: -38011,
}
"""eth_simulateV1's codes."""


def refusal(error: InvalidTransaction) -> CallRefused:
    """Say a broken rule as a refused call."""
    return CallRefused(str(error), _CODES.get(type(error), -32000))


def transfer_log(sender: bytes, receiver: bytes, value: int) -> Log:
    """Say a move of wei as a token's Transfer event."""
    topics = (TRANSFER_TOPIC, sender.rjust(32, b"\0"), receiver.rjust(32, b"\0"))
    return Log(TRANSFER_LOGGER, topics, value.to_bytes(32, "big"))


class Session:
    """A state in memory, a block and rules; runs messages on them."""

    def __init__(
        self, state: FlatState, env: BlockEnv, rules: Rules, check: Callable[[], None] | None
    ) -> None:
        self.state = state
        self.env = env
        self.rules = rules
        self.check = check
        self.refund = 0
        """Refund counter of the last run."""
        self.trace_transfers = False

    def fill(self, message: CallMessage, gas: int | None = None) -> Transaction:
        """Make a transaction of a message; `gas` where it names none (at most CALL_GAS anyway)."""
        fee = message.max_fee or 0
        tip = min(message.max_priority_fee or 0, fee) if message.max_fee is None else message.max_priority_fee
        limit = message.gas if message.gas is not None else CALL_GAS if gas is None else gas
        nonce = self.state.get_nonce(message.sender) if message.nonce is None else message.nonce
        return Transaction(
            raw=b"",
            hash=b"",
            type=4 if message.authorizations else 2,
            chain_id=self.env.chain_id,
            nonce=nonce,
            max_priority_fee=tip or 0,
            max_fee=fee,
            gas=min(limit, CALL_GAS),
            to=message.to,
            value=message.value,
            data=message.data,
            access_list=message.access_list or (),
            authorizations=message.authorizations,
            y_parity=0,
            r=0,
            s=0,
            signing_hash=b"",
        )

    def run(
        self,
        tx: Transaction,
        sender: bytes,
        watcher: Watcher | None = None,
        *,
        validation: bool = False,
    ) -> TxOutcome:
        """Execute; the state keeps what it did. Raises CallRefused."""
        env = self.env if tx.max_fee or validation else replace(self.env, base_fee=0)
        try:
            if validation:
                intrinsic = check_against_state(self.state, env, tx, sender, self.rules)
            else:
                intrinsic = self._check(env, tx, sender)
        except InvalidTransaction as error:
            raise refusal(error) from None
        world = World(
            self.state,
            env,
            self.rules,
            origin=sender,
            gas_price=tx.effective_gas_price(env.base_fee),
            watcher=watcher,
            check_deadline=self.check,
        )
        if self.trace_transfers:
            world.transfers = transfer_log
        try:
            outcome = run_transaction(world, tx, sender, intrinsic)
        except BalanceOverflow as error:
            raise refusal(error) from None
        self.refund = world.refund
        return outcome

    def withdraw(self, items: Iterable[Withdrawal]) -> None:
        """Credit withdrawals (EIP-4895). Raises CallRefused."""
        state = self.state
        try:
            for item in items:
                state.set_balance(item.address, state.get_balance(item.address) + item.amount * _GWEI)
        except BalanceOverflow as error:
            raise refusal(error) from None

    def _check(self, env: BlockEnv, tx: Transaction, sender: bytes) -> int:
        """Check what even a call must hold: gas, prices if it names some, funds."""
        intrinsic = check_transaction(tx, env.chain_id)
        if tx.max_fee < env.base_fee:
            raise FeeCapTooLow(
                f"address 0x{sender.hex()}, maxFeePerGas: {tx.max_fee}, baseFee: {env.base_fee}"
            )
        cost = tx.gas * tx.max_fee + tx.value
        balance = self.state.get_balance(sender)
        if balance < cost:
            raise InsufficientFunds(f"address 0x{sender.hex()} have {balance} want {cost}")
        return intrinsic

    def probe(self, tx: Transaction, sender: bytes, watcher: Watcher | None = None) -> TxOutcome:
        """Execute and take everything back."""
        self.state.hold()
        try:
            return self.run(tx, sender, watcher)
        finally:
            self.state.take_back()


def with_bytes(tx: Transaction) -> Transaction:
    """Give the transaction its bytes and hash with an empty signature, as simulations show it."""
    payload = unsigned_payload(tx)
    start = 2 if payload[1] < 0xF8 else payload[1] - 0xF5
    raw = payload[:1] + wrap_list(payload[start:] + b"\x80\x80\x80")
    return replace(tx, raw=raw, hash=keccak256(raw), signing_hash=keccak256(payload))


def open_session(
    view: Readable,
    env: BlockEnv,
    changes: Changes | None = None,
    block: BlockChange | None = None,
    check: Callable[[], None] | None = None,
) -> Session:
    """Open a state with its changes; costs nothing but what the changes write. Raises CallRefused."""
    session = Session(FlatState(view), env, PRAGUE, check)
    if block is not None:
        session.env = change_env(env, block)
        if block.blob_base_fee is not None:
            session.rules = replace(PRAGUE, blob_base_fee=block.blob_base_fee)
    if changes:
        change_state(session, changes)
    return session


def change_env(env: BlockEnv, block: BlockChange) -> BlockEnv:
    """Give the block with the asker's changes."""
    wanted = {
        "number": block.number,
        "timestamp": block.time,
        "gas_limit": block.gas_limit,
        "beneficiary": block.fee_recipient,
        "prev_randao": block.prev_randao,
        "base_fee": block.base_fee,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    return replace(env, **given) if given else env  # type: ignore[arg-type]


def change_state(session: Session, changes: Changes) -> None:
    """Write the asker's changes into the session's state; precompiles move or go (execution-apis)."""
    for address, change in changes.items():
        _change_precompile(session, address, change, changes)
        _change_account(session.state, address, change)
    session.state.lock_changes()


def _change_precompile(session: Session, address: bytes, change: AccountChange, changes: Changes) -> None:
    target, precompiles = change.move_precompile_to, session.rules.precompiles
    if target is not None:
        if address not in precompiles:
            raise CallRefused(f"account 0x{address.hex()} is not a precompile")
        if target == address:
            raise CallRefused("a precompile cannot be moved to its own address", -38022)
        if target in changes:
            raise CallRefused(f"account 0x{target.hex()} is already overridden", -38023)
    if address in precompiles and (target is not None or change.code is not None):
        kept = {key: value for key, value in precompiles.items() if key != address}
        if target is not None:
            kept[target] = precompiles[address]
        session.rules = replace(session.rules, precompiles=kept)


def _change_account(state: FlatState, address: bytes, change: AccountChange) -> None:
    if change.nonce is not None:
        state.set_nonce(address, change.nonce)
    if change.balance is not None:
        state.set_balance(address, change.balance)
    if change.code is not None:
        state.set_code(address, change.code)
    if change.state is not None and change.state_diff is not None:
        raise CallRefused(f"account 0x{address.hex()} has both state and stateDiff")
    if change.state is not None:
        state.delete_storage(address)
    for slot, value in (change.state or change.state_diff or {}).items():
        state.set_storage(address, slot, value)
