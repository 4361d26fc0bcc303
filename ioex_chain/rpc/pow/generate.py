"""Blocks on demand, for tests and development networks."""

import asyncio
from threading import Event
from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.ledger.errors import InvalidBlock
from ioex_chain.pow.block import Block
from ioex_chain.pow.hashing import BATCH, BATCHES, search
from ioex_chain.pow.header import Header
from ioex_chain.pow.template import Job, Template, TemplateBuilder
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import display
from ioex_chain.rpc.errors import Code, RpcError
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.pow.address import AddressBook
from ioex_chain.rpc.pow.mining import TemplateSource
from ioex_chain.rpc.pow.params import AddressText, HexParam, not_found
from ioex_chain.rpc.pow.reader import ChainReader
from ioex_chain.rpc.pow.submit import Submitter
from ioex_chain.rpc.pow.transactions import decode_transaction
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.pow_errors import reason_of
from ioex_chain.rpc.registry import method

GENERATE_SECONDS = 600.0
MAX_BLOCKS = 10_000
PayTo = Annotated[AddressText, Param("whom the coinbase pays its 4 IOEX and the fees")]
MaxTries = Annotated[int, Field(ge=1, le=2**40), Param("hashes to try in all")]


class GeneratedBlock(TypedDict):
    """A block that was made; `hex` when it was not submitted."""

    hash: str
    hex: NotRequired[str]


class Tries:
    """How many hashes a call may still try, and whether it was given up."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.stopped = Event()


def find_nonce(header: Header, target: int, tries: Tries) -> Header | None:
    """Give the header with a nonce that meets the target; None when tries or nonces are used up."""
    for batch in range(BATCHES):
        if tries.left <= 0 or tries.stopped.is_set():
            return None
        count = min(BATCH, tries.left)
        nonce = search(header.core, target, batch, count)
        if nonce is not None:
            tries.left -= (nonce >> 16) % BATCH + 1
            return header.with_nonce(nonce)
        tries.left -= count
    return None


def solve(job: Job, tries: Tries) -> Block | None:
    """Give a whole block with enough work, over as many extra nonces as it takes."""
    extra_nonce = 0
    while tries.left > 0 and not tries.stopped.is_set():
        found = find_nonce(job.header(extra_nonce), job.template.target, tries)
        if found is not None:
            return job.block_with(found, extra_nonce)
        extra_nonce += 1
    return None


class GenerateApi:
    """Mines blocks in a thread of this process, without pacing."""

    def __init__(
        self, backend: PowBackend, reader: ChainReader, submitter: Submitter, templates: TemplateSource
    ) -> None:
        self._backend = backend
        self._submitter = submitter
        self._templates = templates
        self._book = AddressBook(reader.prefix)
        self._builder = TemplateBuilder(backend.spec, backend.ledger, backend.mempool, backend.clock)

    @method(
        "generatetoaddress",
        group="generating",
        write=True,
        timeout=GENERATE_SECONDS,
        errors=(Code.INVALID_ADDRESS_OR_KEY, Code.VERIFY_ERROR),
    )
    async def generatetoaddress(
        self,
        nblocks: Annotated[int, Field(ge=1, le=MAX_BLOCKS), Param("how many")],
        address: PayTo,
        maxtries: MaxTries = 1_000_000,
    ) -> list[str]:
        """Mine blocks at once and give their hashes; fewer when `maxtries` hashes were not enough.

        For networks with easy work (devnet): it waits for no spacing. On others it tries, and gives [].
        """
        script = self._book.script(address)
        tries = Tries(maxtries)
        hashes: list[str] = []
        for _ in range(nblocks):
            template = await self._backend.call(self._templates.fresh)
            block = await self._solve(template, script, tries)
            if block is None:
                break
            await self._take(block)
            hashes.append(display(block.hash))
        return hashes

    @method(
        "generateblock",
        group="generating",
        write=True,
        timeout=GENERATE_SECONDS,
        errors=(Code.INVALID_ADDRESS_OR_KEY, Code.DESERIALIZATION_ERROR, Code.VERIFY_ERROR),
    )
    async def generateblock(
        self,
        output: PayTo,
        transactions: Annotated[
            list[HexParam],
            Field(max_length=9_999),
            Param("ids of mempool transactions, or whole ones in hex"),
        ],
        submit: Annotated[bool, Param("false: only make it")] = True,
        maxtries: MaxTries = 1_000_000,
    ) -> GeneratedBlock:
        """Mine one block with these transactions in this order, and no others."""
        script = self._book.script(output, "output")
        chosen = await self._backend.call(lambda: [self._transaction(text) for text in transactions])
        try:
            template = await self._backend.call(lambda: self._builder.build_with(chosen))
        except InvalidBlock as error:
            raise RpcError(
                Code.VERIFY_ERROR, f"TestBlockValidity failed: {reason_of(error)}: {error}"
            ) from None
        block = await self._solve(template, script, Tries(maxtries))
        if block is None:
            raise RpcError(Code.MISC_ERROR, f"Failed to make block: no nonce found in {maxtries} tries")
        if not submit:
            return {"hash": display(block.hash), "hex": block.raw.hex()}
        await self._take(block)
        return {"hash": display(block.hash)}

    def _transaction(self, text: str) -> Transaction:
        if len(text) != 64:
            return decode_transaction(text)
        try:
            txid = bytes.fromhex(text)[::-1]
        except ValueError:
            raise not_found(f"transactions: {text} is no transaction id") from None
        entry = self._backend.mempool.get(txid)
        if entry is None:
            raise not_found(f"Transaction {text} not in mempool.")
        return entry.tx

    async def _solve(self, template: Template, script: bytes, tries: Tries) -> Block | None:
        try:
            return await asyncio.to_thread(solve, template.job(script), tries)
        except asyncio.CancelledError:
            tries.stopped.set()
            raise

    async def _take(self, block: Block) -> None:
        refused = await self._submitter.accept(block)
        if refused is not None:
            raise RpcError(Code.VERIFY_ERROR, f"The block that was made is not taken: {refused}")
