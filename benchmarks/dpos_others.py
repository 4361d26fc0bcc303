"""The same block here, in py-evm's own block import and in ethereum-execution, under Ethereum's rules.

All start from the transactions' bytes and the same state in memory, and end with the state root; py-evm
checks each field of the header that we made, the specification's roots are compared with it.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import perf_counter, process_time
from typing import Any

import rlp
from eth.chains.base import MiningChain
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.blocks import PragueBlock
from ethereum.prague import state as specification
from ethereum.prague.fork import process_transaction
from ethereum.prague.fork_types import Address
from ethereum.prague.transactions import decode_transaction as decode_transaction_of_specification
from ethereum.prague.trie import root
from ethereum.prague.vm import BlockEnvironment, BlockOutput
from ethereum_types.bytes import Bytes, Bytes32
from ethereum_types.numeric import U64, U256, Uint

from benchmarks.dpos_world import CHAIN_ID, Shape, fund, transactions
from ioex_chain.evm.block import BlockResult, BlockRules, BlockRun
from ioex_chain.evm.roots import transactions_root
from ioex_chain.evm.senders import Senders
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.evm.types import BlockEnv
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.ledger.store import MemoryStore

COINBASE = bytes.fromhex("c0" * 20)
GAS_LIMIT = 500_000_000


class _Accounts(dict[bytes, dict[str, Any]]):
    """Takes what `fund` writes, in the form of py-evm's genesis."""

    def _of(self, address: bytes) -> dict[str, Any]:
        blank: dict[str, Any] = {"balance": 0, "nonce": 0, "code": b"", "storage": {}}
        return self.setdefault(address, blank)

    def set_balance(self, address: bytes, value: int) -> None:
        self._of(address)["balance"] = value

    def set_nonce(self, address: bytes, value: int) -> None:
        self._of(address)["nonce"] = value

    def set_code(self, address: bytes, value: bytes) -> None:
        self._of(address)["code"] = value

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        self._of(address)["storage"][slot] = value


def our_state(shape: Shape) -> tuple[MemoryStore, bytes]:
    store = MemoryStore()
    overlay = Overlay(store)
    state = FlatState(overlay)
    fund(state, shape)
    root = state.flush()
    store.write(overlay.changes)
    return store, root


def their_chain(shape: Shape) -> MiningChain:
    accounts = _Accounts()
    fund(accounts, shape)  # type: ignore[arg-type]
    chain = MiningChain.configure("Benchmark", vm_configuration=((0, PragueVM),), chain_id=CHAIN_ID)
    fields = {"difficulty": 0, "gas_limit": GAS_LIMIT, "timestamp": 1_000, "base_fee_per_gas": 10**9}
    return chain.from_genesis(AtomicDB(), fields, accounts)


def our_import(store: MemoryStore, raws: list[bytes], header: Any) -> tuple[BlockResult, bytes]:
    """Decode, recover, execute and root, on a fresh overlay."""
    with ThreadPoolExecutor(2) as threads:
        txs = [decode_transaction(raw) for raw in raws]
        env = BlockEnv(
            CHAIN_ID,
            1,
            header.timestamp,
            COINBASE,
            GAS_LIMIT,
            header.base_fee_per_gas,
            header.mix_hash,
            lambda _number: None,
        )
        run = BlockRun(Overlay(store), env, BlockRules(), Senders(threads))
        run.transactions(txs)
        return run.finish(), transactions_root(txs)


def compare(shape: Shape, runs: int) -> dict[str, list[tuple[float, float]]]:
    """Give wall clock and processor seconds of each run; raises when py-evm refuses our header."""
    raws = [tx.raw for tx in transactions(shape)]
    (store, root), chain = our_state(shape), their_chain(shape)
    genesis = chain.get_canonical_block_header_by_number(0)
    assert genesis.state_root == root
    header = chain.create_header_from_parent(genesis, timestamp=1_030, coinbase=COINBASE)
    ours = []
    for _ in range(runs):
        start, used = perf_counter(), process_time()
        result, body_root = our_import(store, raws, header)
        ours.append((perf_counter() - start, process_time() - used))
    header = header.copy(
        state_root=result.state_root,
        transaction_root=body_root,
        receipt_root=result.receipts_root,
        bloom=int.from_bytes(result.logs_bloom, "big"),
        gas_used=result.gas_used,
    )
    builder = PragueVM.get_transaction_builder()
    encoded = rlp.encode(PragueBlock(header, [builder.decode(raw) for raw in raws], [], []))
    start, used = perf_counter(), process_time()
    imported = chain.import_block(rlp.decode(encoded, PragueBlock), perform_validation=True)
    theirs = [(perf_counter() - start, process_time() - used)]
    assert imported.imported_block.header.hash == header.hash
    return {
        "this project": ours,
        "py-evm's own block import": theirs,
        "ethereum-execution's transactions and roots": [specification_import(shape, raws, header)],
    }


class _SpecificationState:
    """Takes what `fund` writes into the executable specification's state."""

    def __init__(self) -> None:
        self.state = specification.State()

    def _change(self, address: bytes, **fields: Any) -> None:
        at = Address(address)
        account = specification.get_account(self.state, at)
        specification.set_account(self.state, at, replace(account, **fields))

    def set_balance(self, address: bytes, value: int) -> None:
        self._change(address, balance=U256(value))

    def set_nonce(self, address: bytes, value: int) -> None:
        self._change(address, nonce=Uint(value))

    def set_code(self, address: bytes, value: bytes) -> None:
        self._change(address, code=value)

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        key = Bytes32(slot.to_bytes(32, "big"))
        specification.set_storage(self.state, Address(address), key, U256(value))


def specification_import(shape: Shape, raws: list[bytes], header: Any) -> tuple[float, float]:
    """Have Ethereum's executable specification execute the transactions; its roots must be the header's."""
    accounts = _SpecificationState()
    fund(accounts, shape)  # type: ignore[arg-type]
    env = BlockEnvironment(
        chain_id=U64(CHAIN_ID),
        state=accounts.state,
        block_gas_limit=Uint(GAS_LIMIT),
        block_hashes=[Bytes32(header.parent_hash)],
        coinbase=Address(COINBASE),
        number=Uint(1),
        base_fee_per_gas=Uint(header.base_fee_per_gas),
        time=U256(header.timestamp),
        prev_randao=Bytes32(header.mix_hash),
        excess_blob_gas=U64(0),
        parent_beacon_block_root=Bytes32(bytes(32)),
    )
    output = BlockOutput()
    start, used = perf_counter(), process_time()
    for index, raw in enumerate(raws):
        process_transaction(env, output, decode_transaction_of_specification(Bytes(raw)), Uint(index))
    state_root = specification.state_root(accounts.state)
    receipts_root = root(output.receipts_trie)
    spent = perf_counter() - start, process_time() - used
    assert (state_root, receipts_root) == (header.state_root, header.receipt_root)
    return spent
