"""Mining over RPC: templates, submitted blocks and headers, figures."""

import asyncio
import secrets
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.pow.consensus import median_time_past
from ioex_chain.pow.difficulty import next_bits
from ioex_chain.pow.template import Template, TemplateBuilder
from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.errors import Code, ParameterError, ParameterFault, RpcError
from ioex_chain.rpc.jsonio import number
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.pow.address import AddressBook
from ioex_chain.rpc.pow.chain import CHAIN_NAMES
from ioex_chain.rpc.pow.format import difficulty_json, target_hex
from ioex_chain.rpc.pow.params import HexParam
from ioex_chain.rpc.pow.reader import ChainReader
from ioex_chain.rpc.pow.submit import Submitter, read_block, read_front
from ioex_chain.rpc.pow.templates import (
    TemplateJson,
    TemplateRequest,
    judge_proposal,
    read_longpoll_id,
    template_json,
)
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.registry import method

GROUP = "mining"
LONG_POLL_SECONDS = 90.0
"""A long poll is answered after this at the latest, with what is best then."""
REFRESH_SECONDS = 5
"""A template is kept this long although better fees came, so that many miners do not build many."""


class NextBlock(TypedDict):
    """What the next block needs."""

    height: int
    bits: str
    target: str
    difficulty: float


class MiningInfo(TypedDict):
    """Figures about mining. `networkhashps`: estimated hashes a second."""

    blocks: int
    bits: str
    difficulty: float
    target: str
    networkhashps: float
    pooledtx: int
    chain: str
    next: NextBlock
    warnings: list[str]


class TemplateSource:
    """Templates of one node, each built once per head and every few seconds while fees come in."""

    def __init__(self, backend: PowBackend) -> None:
        self._backend = backend
        self._builder = TemplateBuilder(backend.spec, backend.ledger, backend.mempool, backend.clock)
        self._latest: Template | None = None
        self._built_at = 0

    def get(self) -> Template:
        """Give a template on the head. For the chain's worker thread. Raises TemplateRefused."""
        latest, now = self._latest, self._backend.clock.now()
        if latest is not None and latest.parent_hash == self._backend.ledger.head.hash:
            same = latest.pool_version == self._backend.mempool.version
            if same or now - self._built_at < REFRESH_SECONDS:
                return latest
        self._latest, self._built_at = self._builder.build(), now
        return self._latest

    def fresh(self) -> Template:
        """Give a template with everything that the mempool has now."""
        self._latest = None
        return self.get()


def require_network(backend: PowBackend) -> None:
    """Refuse work that nobody would take: without peers, or on a head that is not the network's.

    A devnet may be one node alone and is exempt, as test networks are in Core. Raises RpcError (-9, -10).
    """
    if backend.spec.name == "devnet":
        return
    network = backend.peers.network_state()
    if network.inbound + network.outbound == 0:
        raise RpcError(Code.CLIENT_NOT_CONNECTED, "ioeX is not connected!")
    if backend.peers.sync_state().is_syncing:
        raise RpcError(Code.CLIENT_IN_INITIAL_DOWNLOAD, "ioeX is in initial sync and waiting for blocks...")


class MiningApi:
    """Hands out work and takes it back."""

    def __init__(
        self,
        backend: PowBackend,
        reader: ChainReader,
        submitter: Submitter,
        templates: TemplateSource,
        payout_script: bytes | None = None,
    ) -> None:
        self._backend = backend
        self._ledger = backend.ledger
        self._reader = reader
        self._submitter = submitter
        self._templates = templates
        self._payout_script = payout_script
        self._book = AddressBook(reader.prefix)

    @method(
        "getblocktemplate",
        group=GROUP,
        timeout=LONG_POLL_SECONDS + 30,
        errors=(
            Code.INVALID_PARAMETER,
            Code.INVALID_ADDRESS_OR_KEY,
            Code.CLIENT_NOT_CONNECTED,
            Code.CLIENT_IN_INITIAL_DOWNLOAD,
            Code.DESERIALIZATION_ERROR,
        ),
    )
    async def getblocktemplate(
        self, template_request: Annotated[TemplateRequest | None, Param("BIP 22's request")] = None
    ) -> TemplateJson | str | None:
        """Give what to mine next (BIP 22/23/145), or judge a proposed block.

        The coinbase is complete in `coinbasetxn`, without its witness: 20 IOEX to the RewardPool, 4 IOEX
        and the fees to `address` of the request or the node's own `mine_to`. Its script may be appended
        to. With `longpollid` of an earlier answer the call waits until there is something better.
        """
        request: TemplateRequest = template_request or {}
        mode = request.get("mode", "template")
        if mode not in ("template", "proposal"):
            raise ParameterError("template_request.mode", "Invalid mode: template or proposal")
        if mode == "proposal":
            return await self._propose(request)
        if "segwit" not in request.get("rules", []):
            raise ParameterError(
                "template_request.rules",
                'getblocktemplate must be called with the segwit rule set (call with {"rules": ["segwit"]})',
            )
        payout = self._payout(request)
        require_network(self._backend)
        await self._wait(request)
        template = await self._backend.call(self._templates.get)
        now = self._backend.clock.now()
        return await asyncio.to_thread(template_json, template, payout, now, secrets.randbits(64))

    def _payout(self, request: TemplateRequest) -> bytes:
        if "address" in request:
            return self._book.script(request["address"], "template_request.address")
        if self._payout_script is None:
            raise ParameterError(
                "template_request.address",
                'name whom the coinbase pays ({"address": ...}), or start the node with `mine_to`',
            )
        return self._payout_script

    async def _wait(self, request: TemplateRequest) -> None:
        """Wait for a better template than the one the miner has, if it names one that is still good."""
        if "longpollid" not in request:
            return
        known = read_longpoll_id(request["longpollid"])
        if known is not None and known[0] == self._ledger.head.hash:
            await self._backend.wait_for_template_change(BlockHash(known[0]), known[1], LONG_POLL_SECONDS)

    async def _propose(self, request: TemplateRequest) -> str | None:
        if "data" not in request:
            raise ParameterError(
                "template_request.data", "Missing data String key for proposal", ParameterFault.TYPE
            )
        read_front(request["data"])
        block = await read_block(request["data"])
        now = self._backend.clock.now()
        return await self._backend.call(lambda: judge_proposal(self._backend.spec, self._ledger, block, now))

    @method("submitblock", group=GROUP, errors=(Code.DESERIALIZATION_ERROR,))
    async def submitblock(
        self,
        hexdata: Annotated[HexParam, Param("the block in hex")],
        parameters: Annotated[
            dict[str, str] | str | None, Param("BIP 22's object with a workid; not needed", also=("dummy",))
        ] = None,
    ) -> str | None:
        """Take a mined block; null when it is the new head, else BIP 22's word why not.

        "duplicate", "duplicate-invalid", "inconclusive" (taken, but not on the best chain), "high-hash",
        "stale-prevblk", "prev-blk-not-found", "bad-cb-amount", ... A coinbase without witness gets the
        reserved value.
        """
        del parameters
        return await self._submitter.submit(hexdata)

    @method("submitheader", group=GROUP, errors=(Code.DESERIALIZATION_ERROR, Code.VERIFY_ERROR))
    async def submitheader(self, hexdata: Annotated[HexParam, Param("the header in hex")]) -> None:
        """Take a header, with its AuxPoW record if it is merged-mined."""
        await self._submitter.submit_header(hexdata)

    @method("getmininginfo", group=GROUP)
    async def getmininginfo(self) -> MiningInfo:
        """Give figures about mining: difficulty, the network's hash rate, the next block's target."""
        return await asyncio.to_thread(self._info, self._backend.state().warnings)

    def _info(self, warnings: tuple[str, ...]) -> MiningInfo:
        head, spec = self._ledger.head, self._backend.spec
        bits = next_bits(spec.pow, head.height, head.header.time)
        return {
            "blocks": head.height,
            "bits": f"{head.header.bits:08x}",
            "difficulty": difficulty_json(head.header.bits),
            "target": target_hex(head.header.bits),
            "networkhashps": self._hash_rate(120, head.height),
            "pooledtx": len(self._backend.mempool),
            "chain": CHAIN_NAMES.get(spec.name, spec.name),
            "next": {
                "height": head.height + 1,
                "bits": f"{bits:08x}",
                "target": target_hex(bits),
                "difficulty": difficulty_json(bits),
            },
            "warnings": list(warnings),
        }

    @method("getnetworkhashps", group=GROUP, thread=True, errors=(Code.INVALID_PARAMETER,))
    def getnetworkhashps(
        self,
        nblocks: Annotated[
            int, Field(ge=-1, le=2**31 - 1), Param("blocks to look at; -1: those of one day")
        ] = 120,
        height: Annotated[int, Field(ge=-1, le=2**31 - 1), Param("at which height; -1: the head")] = -1,
    ) -> float:
        """Estimate the network's hashes a second from the work of the last blocks and their times."""
        if nblocks == 0:
            raise ParameterError("nblocks", "Invalid nblocks. Must be a positive number or -1.")
        if nblocks == -1:
            nblocks = 86_400 // self._backend.spec.pow.spacing
        head = self._ledger.head.height
        if height > head:
            raise ParameterError("height", "Block does not exist at specified height")
        return self._hash_rate(nblocks, head if height == -1 else height)

    def _hash_rate(self, count: int, height: int) -> float:
        last = self._reader.at(height)
        first = self._reader.at(max(0, height - count))
        # Medians, as single times may lie by minutes and need not even rise.
        seconds = median_time_past(last) - median_time_past(first)
        return number((last.weight - first.weight) / seconds) if seconds > 0 else 0.0
