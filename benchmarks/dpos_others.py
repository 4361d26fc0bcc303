"""The same block of 1,000 transactions here and in py-evm's own block import, under Ethereum's rules.

Both start from the block's bytes and the same state in memory, and end with the state root; py-evm checks
each field of the header that we made.
"""

from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, process_time
from typing import Any

import rlp
from eth.chains.base import MiningChain
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.blocks import PragueBlock

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
    return {"this project": ours, "py-evm's own block import": theirs}
