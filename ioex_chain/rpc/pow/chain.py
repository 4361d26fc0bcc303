"""Blocks, headers and the state of the chain."""

import asyncio
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.gossip.sync import SyncState
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.pow.block import Block
from ioex_chain.pow.consensus import median_time_past
from ioex_chain.pow.header import Header
from ioex_chain.primitives.types import display
from ioex_chain.rpc.errors import Code
from ioex_chain.rpc.jsonio import number
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.pow.format import (
    BlockTransaction,
    block_transaction_json,
    difficulty_json,
    header_hex,
    target_hex,
)
from ioex_chain.rpc.pow.params import BlockHashParam, Verbosity3
from ioex_chain.rpc.pow.reader import BlockHeaderJson, ChainReader, TooMuchToRead
from ioex_chain.rpc.pow_backend import NodeState, PowBackend
from ioex_chain.rpc.registry import method

CHAIN_NAMES = {"mainnet": "main", "testnet": "test", "devnet": "dev"}
"""What `chain` says, in the manner of Core."""
GROUP = "blockchain"
HeightParam = Annotated[int, Field(ge=0, le=2**31 - 1), Param("blocks from genesis, which is 0")]


class BlockchainInfo(TypedDict):
    """How far this node's chain is.

    `headers`: height of the best header known. `verificationprogress`: the part of the known work that is
    verified, at most 1.
    """

    chain: str
    blocks: int
    headers: int
    bestblockhash: str
    bits: str
    target: str
    difficulty: float
    time: int
    mediantime: int
    verificationprogress: float
    initialblockdownload: bool
    chainwork: str
    size_on_disk: int
    pruned: bool
    warnings: list[str]


class ChainTip(TypedDict):
    """The end of a branch; `branchlen` counts the blocks above the best chain."""

    height: int
    hash: str
    branchlen: int
    status: str


class BlockJson(BlockHeaderJson):
    """A block; `tx` holds ids (verbosity 1) or transactions (2 and 3)."""

    strippedsize: int
    size: int
    weight: int
    tx: list[str] | list[BlockTransaction]


class ChainApi:
    """Reads headers and blocks from the ledger."""

    def __init__(self, backend: PowBackend, reader: ChainReader) -> None:
        self._backend = backend
        self._ledger = backend.ledger
        self._reader = reader

    @method("getblockchaininfo", group=GROUP)
    async def getblockchaininfo(self) -> BlockchainInfo:
        """Tell the state of the chain: height, best block, difficulty, progress of synchronising."""
        state, sync = self._backend.state(), self._backend.peers.sync_state()
        return await asyncio.to_thread(self._info, state, sync)

    def _info(self, state: NodeState, sync: SyncState) -> BlockchainInfo:
        head, best = self._ledger.head, self._best_header()
        headers = max(best.height, sync.header_height)
        return {
            "chain": CHAIN_NAMES.get(self._backend.spec.name, self._backend.spec.name),
            "blocks": head.height,
            "headers": headers,
            "bestblockhash": display(head.hash),
            "bits": f"{head.header.bits:08x}",
            "target": target_hex(head.header.bits),
            "difficulty": difficulty_json(head.header.bits),
            "time": head.header.time,
            "mediantime": median_time_past(head),
            "verificationprogress": self._progress(best, headers),
            "initialblockdownload": sync.is_syncing,
            "chainwork": self._reader.chain_work(head),
            "size_on_disk": self._backend.database_size(),
            "pruned": False,
            "warnings": [*state.warnings, *self._deep_warnings()],
        }

    def _progress(self, best: Entry[Header], headers: int) -> float:
        """Compare work as far as headers are in the tree, heights beyond."""
        known = (self._ledger.head.weight + 1) / (best.weight + 1)
        return number(known * (best.height + 1) / (headers + 1))

    def _best_header(self) -> Entry[Header]:
        usable = [tip for tip in self._ledger.tips() if not tip.status.is_invalid]
        return max([self._ledger.head, *usable], key=lambda tip: tip.weight)

    def _deep_warnings(self) -> list[str]:
        return [
            f"A better chain ends at {display(tip.hash)} (height {tip.height}) and forks deeper than "
            f"{self._backend.spec.pow.max_reorg_depth} blocks; if it is the right one, say "
            f"acceptdeepreorg {display(tip.hash)}"
            for tip in self._ledger.deep_branches()[:4]
        ]

    @method("getblockcount", group=GROUP)
    def getblockcount(self) -> int:
        """Give the height of the best chain; genesis has height 0."""
        return self._ledger.head.height

    @method("getbestblockhash", group=GROUP)
    def getbestblockhash(self) -> str:
        """Give the hash of the best chain's last block."""
        return display(self._ledger.head.hash)

    @method("getblockhash", group=GROUP, errors=(Code.INVALID_PARAMETER,))
    def getblockhash(self, height: HeightParam) -> str:
        """Give the hash of the best chain's block at a height."""
        return display(self._reader.at(height).hash)

    @method("getdifficulty", group=GROUP)
    def getdifficulty(self) -> float:
        """Give the best block's difficulty: how much harder it was than Bitcoin's easiest target."""
        return difficulty_json(self._ledger.head.header.bits)

    @method("getblockheader", group=GROUP, thread=True, errors=(Code.INVALID_ADDRESS_OR_KEY,))
    def getblockheader(
        self, blockhash: BlockHashParam, verbose: Annotated[bool, Param("false: hex")] = True
    ) -> str | BlockHeaderJson:
        """Give a header, in hex (an AuxPoW record included) or as JSON."""
        entry = self._reader.require(blockhash)
        return self._reader.header_json(entry) if verbose else header_hex(entry.header)

    @method("getblock", group=GROUP, thread=True, errors=(Code.INVALID_ADDRESS_OR_KEY, Code.MISC_ERROR))
    def getblock(self, blockhash: BlockHashParam, verbosity: Verbosity3 = 1) -> str | BlockJson:
        """Give a block: 0 hex, 1 JSON with transaction ids, 2 with transactions, 3 with their prevouts.

        Fees and the outputs spent come from the transaction index; a block off the best chain has them only
        where the best chain has the same transactions.
        """
        return self._block(self._reader.require(blockhash), int(verbosity))

    @method("getblockbyheight", group=GROUP, thread=True, errors=(Code.INVALID_PARAMETER,))
    def getblockbyheight(self, height: HeightParam, verbosity: Verbosity3 = 1) -> str | BlockJson:
        """Give the best chain's block at a height, in the forms of getblock."""
        return self._block(self._reader.at(height), int(verbosity))

    def _block(self, entry: Entry[Header], verbosity: int) -> str | BlockJson:
        if verbosity == 0:
            return self._reader.body_bytes(entry).hex()
        block = self._reader.body(entry)
        stripped = sum(tx.stripped_size for tx in block.transactions)
        around = block.size - sum(tx.size for tx in block.transactions)
        return {
            **self._reader.header_json(entry, len(block.transactions)),
            "strippedsize": stripped + around,
            "size": block.size,
            "weight": 3 * (stripped + around) + block.size,
            "tx": self._transactions(block, verbosity),
        }

    def _transactions(self, block: Block, verbosity: int) -> list[str] | list[BlockTransaction]:
        if verbosity == 1:
            return [display(tx.txid) for tx in block.transactions]
        try:
            found = self._reader.spent_by_block(block)
        except TooMuchToRead:
            if verbosity == 3:
                raise
            found = {}
        return [
            block_transaction_json(
                self._reader.prefix, tx, self._reader.coins_of(tx, found), with_prevouts=verbosity == 3
            )
            for tx in block.transactions
        ]

    @method("getchaintips", group=GROUP, thread=True)
    def getchaintips(self) -> list[ChainTip]:
        """Give the ends of all branches that this node keeps, the best first.

        status: active (the best chain), valid-fork, valid-headers (all bodies here, never connected),
        headers-only, invalid.
        """
        head = self._ledger.head
        tips = sorted(self._ledger.tips(), key=lambda tip: (-tip.weight, tip is not head, tip.hash))
        return [self._tip(tip) for tip in tips]

    def _tip(self, tip: Entry[Header]) -> ChainTip:
        fork = self._ledger.fork_point(tip, self._ledger.head)
        return {
            "height": tip.height,
            "hash": display(tip.hash),
            "branchlen": tip.height - fork.height,
            "status": self._tip_status(tip),
        }

    def _tip_status(self, tip: Entry[Header]) -> str:
        if self._ledger.is_on_best_chain(tip):
            return "active"
        if tip.status.is_invalid:
            return "invalid"
        if not tip.sequence:
            return "headers-only"
        return "valid-fork" if tip.status & Status.CONNECTED else "valid-headers"

    @method("invalidateblock", group=GROUP, write=True, errors=(Code.INVALID_ADDRESS_OR_KEY,))
    async def invalidateblock(self, blockhash: BlockHashParam) -> None:
        """Treat a block as invalid from now on, with all that stands on it, until reconsiderblock."""
        entry = self._reader.require(blockhash)
        await self._backend.call(lambda: self._ledger.invalidate(entry.hash))

    @method("reconsiderblock", group=GROUP, write=True, errors=(Code.INVALID_ADDRESS_OR_KEY,))
    async def reconsiderblock(self, blockhash: BlockHashParam) -> None:
        """Take back invalidateblock: check the block and what stands on it again."""
        entry = self._reader.require(blockhash)
        await self._backend.call(lambda: self._ledger.reconsider(entry.hash))

    @method("acceptdeepreorg", group=GROUP, write=True, errors=(Code.INVALID_ADDRESS_OR_KEY,))
    async def acceptdeepreorg(self, blockhash: BlockHashParam) -> bool:
        """Let the node follow the branch of a block although it forks deeper than the network's limit.

        The operator's word (docs/protocol.md section 3); remembered until such a branch was chosen. Tells
        whether the best chain has the block now.
        """
        entry = self._reader.require(blockhash)
        await self._backend.call(lambda: self._ledger.accept_deep_reorg(entry.hash))
        return self._ledger.is_on_best_chain(entry)
