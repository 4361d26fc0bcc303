"""Ethereum's executable specification (the package `ethereum-execution`), run as the oracle of our EVM."""

from collections.abc import Sequence
from dataclasses import dataclass

from ethereum.exceptions import EthereumException
from ethereum.prague import vm
from ethereum.prague.fork import process_transaction
from ethereum.prague.fork_types import Account, Address
from ethereum.prague.state import State, set_account, set_storage, state_root
from ethereum.prague.transactions import LegacyTransaction, decode_transaction
from ethereum.prague.trie import root
from ethereum_rlp import rlp as oracle_rlp
from ethereum_types.bytes import Bytes, Bytes32
from ethereum_types.numeric import U64, U256, Uint

from ioex_chain.evm.types import BlockEnv


@dataclass(frozen=True)
class Start:
    """An account before the block."""

    address: bytes
    nonce: int
    balance: int
    code: bytes
    slots: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Verdict:
    """What a block of transactions came to."""

    accepted: tuple[bool, ...]
    gas_used: int
    state_root: bytes
    receipts_root: bytes


def _state(accounts: Sequence[Start]) -> State:
    state = State()
    for item in accounts:
        if not (item.nonce or item.balance or item.code):
            continue  # no empty account is left in any state (EIP-7523)
        address = Address(item.address)
        set_account(state, address, Account(Uint(item.nonce), U256(item.balance), Bytes(item.code)))
        for slot, value in item.slots:
            set_storage(state, address, Bytes32(slot.to_bytes(32, "big")), U256(value))
    return state


def _environment(state: State, env: BlockEnv) -> vm.BlockEnvironment:
    numbers = range(max(0, env.number - 256), env.number)
    return vm.BlockEnvironment(
        chain_id=U64(env.chain_id),
        state=state,
        block_gas_limit=Uint(env.gas_limit),
        block_hashes=[Bytes32(env.block_hash(number) or b"") for number in numbers],
        coinbase=Address(env.beneficiary),
        number=Uint(env.number),
        base_fee_per_gas=Uint(env.base_fee),
        time=U256(env.timestamp),
        prev_randao=Bytes32(env.prev_randao),
        excess_blob_gas=U64(0),
        parent_beacon_block_root=Bytes32(bytes(32)),
    )


def _decode(raw: bytes):
    if raw[0] < 0xC0:
        return decode_transaction(Bytes(raw))
    return oracle_rlp.decode_to(LegacyTransaction, Bytes(raw))


def run_oracle(accounts: Sequence[Start], env: BlockEnv, raws: Sequence[bytes]) -> Verdict:
    """Execute the transactions in order, passing over those that are refused."""
    state = _state(accounts)
    block, output = _environment(state, env), vm.BlockOutput()
    accepted, index = [], 0
    for raw in raws:
        try:
            process_transaction(block, output, _decode(raw), Uint(index))
        except EthereumException:
            accepted.append(False)
        else:
            index += 1
            accepted.append(True)
    return Verdict(
        tuple(accepted),
        int(output.block_gas_used),
        bytes(state_root(state)),
        bytes(root(output.receipts_trie)),
    )
