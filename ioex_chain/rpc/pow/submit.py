"""Blocks that come in over RPC: read, the cheap checks first, and answered with BIP-22's words."""

import asyncio

from ioex_chain.ledger.errors import InvalidBlock, InvalidHeader, KnownInvalid, Rejected, UnknownParent
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.pow.auxpow import MAX_RECORD
from ioex_chain.pow.block import MAX_BLOCK_SIZE, Block
from ioex_chain.pow.coinbase import WITNESS_RESERVED, find_commitment
from ioex_chain.pow.consensus import check_work
from ioex_chain.pow.errors import PowHeaderError
from ioex_chain.pow.header import HEADER_SIZE, Header
from ioex_chain.primitives.codec import Reader
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import display
from ioex_chain.rpc.errors import Code, RpcError
from ioex_chain.rpc.pow.params import HexError, decode_failed, from_hex
from ioex_chain.rpc.pow.reader import ChainReader
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.pow_errors import reason_of

DUPLICATE, DUPLICATE_INVALID, INCONCLUSIVE = "duplicate", "duplicate-invalid", "inconclusive"
STALE = "stale-prevblk"
_FRONT_DIGITS = 2 * (HEADER_SIZE + MAX_RECORD)
_LARGE_DIGITS = 1 << 17


def read_front(text: str) -> Header:
    """Read the header at the front of a block in hex, and nothing behind it. Raises -22."""
    if len(text) > 2 * MAX_BLOCK_SIZE:
        raise decode_failed("Block", f"above the limit of {MAX_BLOCK_SIZE} bytes")
    try:
        return Header.read(Reader(from_hex(text[:_FRONT_DIGITS])))
    except (HexError, DecodeError) as error:
        raise decode_failed("Block", error) from None


async def read_block(text: str) -> Block:
    """Read a block in hex; its coinbase may come without the witness that the commitment needs.

    A large one is read in a thread. Raises -22, also when the first transaction is no coinbase.
    """
    if len(text) > _LARGE_DIGITS:
        return await asyncio.to_thread(_read_block, text)
    return _read_block(text)


def _read_block(text: str) -> Block:
    try:
        block = Block.decode(from_hex(text))
    except (HexError, DecodeError) as error:
        raise decode_failed("Block", error) from None
    if not block.transactions or not block.transactions[0].is_coinbase:
        raise RpcError(Code.DESERIALIZATION_ERROR, "Block does not start with a coinbase")
    return with_reserved_value(block)


def with_reserved_value(block: Block) -> Block:
    """Put BIP-141's reserved value into a coinbase that has a commitment and no witness.

    Miners submit the coinbase as they hashed it, and its id does not cover the witness.
    """
    coinbase = block.transactions[0]
    if coinbase.inputs[0].witness or find_commitment(coinbase) is None:
        return block
    whole = coinbase.with_witnesses([(WITNESS_RESERVED,)])
    return Block.build(block.header, [whole, *block.transactions[1:]])


def known_as(entry: Entry[Header] | None) -> str | None:
    """Give BIP-22's word for a block that is known already; None when its body is still wanted."""
    if entry is None:
        return None
    if entry.status.is_invalid:
        return DUPLICATE_INVALID
    return DUPLICATE if entry.status & Status.BODY else None


class Submitter:
    """Takes blocks. What needs only the header is looked at before the body is even parsed."""

    def __init__(self, backend: PowBackend, reader: ChainReader) -> None:
        self._backend = backend
        self._ledger = backend.ledger
        self._spec = reader.spec.pow

    async def submit(self, text: str) -> str | None:
        """Take a block in hex; give None when it is the new head, else BIP-22's word. Raises -22."""
        refused = self.refuse_early(read_front(text))
        if refused is not None:
            return refused
        return await self.accept(await read_block(text))

    def refuse_early(self, header: Header) -> str | None:
        """Judge by the header alone: known, without work, on nothing that we know, or far behind.

        At trivial difficulty a miner sends hundreds of such blocks a second.
        """
        known = known_as(self._ledger.entry(header.hash))
        if known is not None:
            return known
        try:
            check_work(self._spec, header)
        except PowHeaderError as error:
            return reason_of(error)
        parent = self._ledger.entry(header.parent_hash)
        if parent is None:
            return reason_of(UnknownParent(header.parent_hash))
        if parent.status.is_invalid:
            return "bad-prevblk"
        if self._ledger.head.height - parent.height > self._spec.max_reorg_depth:
            return STALE
        return None

    async def accept(self, block: Block) -> str | None:
        """Hand a block to the node; give None when it is on the best chain, else BIP-22's word."""
        try:
            await self._backend.submit_block(block)
        except KnownInvalid:
            return DUPLICATE_INVALID
        except Rejected as error:
            return reason_of(error)
        entry = self._ledger.entry(block.hash)
        if entry is not None and self._ledger.is_on_best_chain(entry):
            return None
        if entry is not None and entry.status.is_invalid:
            return DUPLICATE_INVALID
        return INCONCLUSIVE

    async def submit_header(self, text: str) -> None:
        """Take a header in hex. Raises -22, -25."""
        try:
            header = Header.decode(from_hex(text))
        except (HexError, DecodeError) as error:
            raise decode_failed("Block header", error) from None
        if self._ledger.entry(header.parent_hash) is None:
            raise RpcError(
                Code.VERIFY_ERROR, f"Must submit previous header ({display(header.parent_hash)}) first"
            )
        try:
            await self._backend.submit_header(header)
        except (InvalidHeader, InvalidBlock, Rejected) as error:
            raise RpcError(Code.VERIFY_ERROR, f"{reason_of(error)}: {error}") from None
