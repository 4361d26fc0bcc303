"""eth_*: the chain, its blocks, and what the node says of itself."""

from operator import attrgetter
from typing import Annotated, Any

from ioex_chain.rpc.eth.bodies import Body
from ioex_chain.rpc.eth.pending import pending_block, pending_count
from ioex_chain.rpc.eth.reader import PRUNED_HISTORY, EthReader
from ioex_chain.rpc.eth.values import (
    BlockHashParam,
    BlockId,
    BlockParam,
    BlockResult,
    BlockTagParam,
    ObjectResult,
    Quantity,
    QuantityOrNull,
    QuantityResult,
    ReceiptsResult,
    SyncingResult,
)
from ioex_chain.rpc.eth_backend import DposEntry, EthBackend
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.registry import method

GROUP = "eth"
Full = Annotated[bool, Param("whole transactions instead of their hashes")]
_WITH_HASHES, _WITH_TRANSACTIONS, _RECEIPTS = "json_with_hashes", "json_with_transactions", "json_receipts"


def _count(body: Body) -> str:
    return hex(len(body.block.transactions))


def syncing_json(backend: EthBackend) -> Any:
    """Write the state of synchronising: false, or how far it is."""
    state = backend.sync_state()
    if not state.is_syncing:
        return False
    return {
        "startingBlock": "0x0",
        "currentBlock": hex(backend.head().height),
        "highestBlock": hex(max(state.header_height, backend.head().height)),
    }


class ChainApi:
    """Blocks. Reads of small or known blocks are answered in the event loop at once."""

    def __init__(self, backend: EthBackend, reader: EthReader) -> None:
        self._backend = backend
        self._reader = reader
        self._chain_id = hex(backend.spec.dpos.chain_id)

    @method("eth_blockNumber", group=GROUP)
    def block_number(self) -> QuantityResult:
        """Give the height of the best chain's last block."""
        return hex(self._backend.head().height)

    @method("eth_chainId", group=GROUP)
    def chain_id(self) -> QuantityResult:
        """Give the chain id that transactions are signed for (EIP-155)."""
        return self._chain_id

    @method("eth_syncing", group=GROUP)
    def syncing(self) -> SyncingResult:
        """Tell how far synchronising is; false when the node is up to date."""
        return syncing_json(self._backend)

    @method("eth_accounts", group=GROUP)
    def accounts(self) -> list[str]:
        """Give the accounts that the node signs for: none, but those impersonated on a solo devnet."""
        solo = self._backend.solo
        return ["0x" + address.hex() for address in solo.impersonated()] if solo else []

    @method("eth_getBlockByNumber", group=GROUP, errors=(PRUNED_HISTORY,))
    def block_by_number(self, block: BlockTagParam, full: Full = False) -> BlockResult:
        """Give a block of the best chain by height or tag; null when there is none.

        `pending` is what the next producer would find: its transactions are not executed, its roots are
        the head's.
        """
        if block.tag == "pending":
            return pending_block(self._backend, full=full)
        return self._block(self._reader.find(block), full)

    @method("eth_getBlockByHash", group=GROUP, errors=(PRUNED_HISTORY,))
    def block_by_hash(self, hash: BlockHashParam, full: Full = False) -> BlockResult:  # noqa: A002
        """Give a block of any branch; null when it is not known."""
        return self._block(self._reader.find(BlockId(hash=hash)), full)

    def _block(self, entry: DposEntry | None, full: bool) -> Any:
        if entry is None:
            return None
        return self._form(entry, _WITH_TRANSACTIONS if full else _WITH_HASHES)

    def _form(self, entry: DposEntry, name: str) -> Any:
        return self._reader.from_body(entry, attrgetter(name), name)

    @method("eth_getBlockTransactionCountByNumber", group=GROUP, errors=(PRUNED_HISTORY,))
    def count_by_number(self, block: BlockTagParam) -> QuantityOrNull:
        """Give how many transactions a block has; null when there is no such block."""
        if block.tag == "pending":
            return pending_count(self._backend)
        return self._of(self._reader.find(block))

    @method("eth_getBlockTransactionCountByHash", group=GROUP, errors=(PRUNED_HISTORY,))
    def count_by_hash(self, hash: BlockHashParam) -> QuantityOrNull:  # noqa: A002
        """Give how many transactions a block has; null when it is not known."""
        return self._of(self._reader.find(BlockId(hash=hash)))

    def _of(self, entry: DposEntry | None) -> Any:
        return None if entry is None else self._reader.from_body(entry, _count)

    @method("eth_getUncleCountByBlockNumber", group=GROUP)
    def uncles_by_number(self, block: BlockTagParam) -> QuantityOrNull:
        """Give how many uncles a block has: none, on this chain."""
        return None if self._reader.find(block) is None else "0x0"

    @method("eth_getUncleCountByBlockHash", group=GROUP)
    def uncles_by_hash(self, hash: BlockHashParam) -> QuantityOrNull:  # noqa: A002
        """Give how many uncles a block has: none, on this chain."""
        return None if self._reader.find(BlockId(hash=hash)) is None else "0x0"

    @method("eth_getUncleByBlockNumberAndIndex", group=GROUP)
    def uncle_by_number(self, block: BlockTagParam, index: Quantity) -> BlockResult:  # noqa: ARG002
        """Give an uncle: always null, this chain has none."""
        return None

    @method("eth_getUncleByBlockHashAndIndex", group=GROUP)
    def uncle_by_hash(self, hash: BlockHashParam, index: Quantity) -> BlockResult:  # noqa: A002, ARG002
        """Give an uncle: always null, this chain has none."""
        return None

    @method("eth_getBlockReceipts", group=GROUP, errors=(PRUNED_HISTORY,))
    def block_receipts(self, block: BlockParam) -> ReceiptsResult:
        """Give the receipts of all transactions of a block; null when there is no such block."""
        if block.tag == "pending":
            return []
        entry = self._reader.find(block)
        return None if entry is None else self._form(entry, _RECEIPTS)

    @method("eth_capabilities", group=GROUP)
    def capabilities(self) -> ObjectResult:
        """Tell which history this node can answer for."""
        head, depth = self._backend.head(), self._backend.state_depth
        whole = {"disabled": False, "oldestBlock": "0x0"}
        state: dict[str, Any] = dict(whole)
        if depth is not None:
            state["oldestBlock"] = hex(max(0, head.height - depth))
            state["deleteStrategy"] = {"type": "window", "retentionBlocks": hex(depth)}
        return {
            "head": {"number": hex(head.height), "hash": "0x" + head.hash.hex()},
            "state": state,
            "tx": whole,
            "logs": whole,
            "receipts": whole,
            "blocks": whole,
            "stateproofs": state,
        }
