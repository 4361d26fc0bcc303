"""Merged mining in Namecoin's shapes: a block whose work is done on another chain."""

from collections import OrderedDict
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.pow.auxpow import MAX_RECORD, AuxPow
from ioex_chain.pow.header import Header
from ioex_chain.pow.template import Job, merged_version
from ioex_chain.primitives.codec import Reader
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash, display
from ioex_chain.rpc.errors import Code, RpcError
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.pow.address import AddressBook
from ioex_chain.rpc.pow.mining import GROUP, TemplateSource, require_network
from ioex_chain.rpc.pow.params import AddressText, BlockHashParam, HexError, decode_failed, from_hex
from ioex_chain.rpc.pow.reader import ChainReader
from ioex_chain.rpc.pow.submit import Submitter
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.registry import method

KEPT_BLOCKS = 64
"""Blocks handed out on one head that can still be submitted."""
AuxPowHex = Annotated[str, Field(max_length=2 * MAX_RECORD), Param("the AuxPoW record in hex")]


class AuxBlock(TypedDict):
    """Work for a merged miner. `hash` goes into the parent's coinbase; `_target` is little-endian hex."""

    hash: str
    chainid: int
    previousblockhash: str
    coinbasevalue: int
    bits: str
    height: int
    _target: str


class AuxPowApi:
    """Hands out block hashes and takes the records that prove work for them."""

    def __init__(
        self, backend: PowBackend, reader: ChainReader, submitter: Submitter, templates: TemplateSource
    ) -> None:
        self._backend = backend
        self._submitter = submitter
        self._templates = templates
        self._book = AddressBook(reader.prefix)
        self._head: BlockHash | None = None
        self._given: OrderedDict[BlockHash, tuple[Job, Header]] = OrderedDict()

    @method(
        "createauxblock",
        group=GROUP,
        errors=(
            Code.INVALID_ADDRESS_OR_KEY,
            Code.CLIENT_NOT_CONNECTED,
            Code.CLIENT_IN_INITIAL_DOWNLOAD,
        ),
    )
    async def createauxblock(
        self, address: Annotated[AddressText, Param("whom the coinbase pays")]
    ) -> AuxBlock:
        """Make a block for merged mining and give the hash that the parent chain's coinbase must carry."""
        script = self._book.script(address)
        require_network(self._backend)
        template = await self._backend.call(self._templates.get)
        job = template.job(script)
        header = job.header(0, version=merged_version(template.spec))
        self._keep(template.parent_hash, job, header)
        return {
            "hash": display(header.hash),
            "chainid": template.spec.pow.auxpow_chain_id,
            "previousblockhash": display(template.parent_hash),
            "coinbasevalue": template.spec.pow.miner_reward + template.fees,
            "bits": f"{template.bits:08x}",
            "height": template.height,
            "_target": template.target.to_bytes(32, "little").hex(),
        }

    def _keep(self, head: BlockHash, job: Job, header: Header) -> None:
        if head != self._head:
            self._given.clear()
            self._head = head
        self._given[header.hash] = (job, header)
        if len(self._given) > KEPT_BLOCKS:
            self._given.popitem(last=False)

    @method(
        "submitauxblock",
        group=GROUP,
        errors=(Code.INVALID_PARAMETER, Code.DESERIALIZATION_ERROR),
    )
    async def submitauxblock(self, hash: BlockHashParam, auxpow: AuxPowHex) -> bool:  # noqa: A002
        """Take the AuxPoW record for a block of createauxblock; true when it is the new head.

        The hash must be one of the last 64 handed out on the present head.
        """
        given = self._given.get(BlockHash(hash))
        if given is None:
            raise RpcError(Code.INVALID_PARAMETER, "hash: block hash unknown")
        job, header = given
        try:
            reader = Reader(from_hex(auxpow))
            record = AuxPow.read(reader)
            reader.finish()
        except (HexError, DecodeError) as error:
            raise decode_failed("AuxPoW", error) from None
        merged = Header(header.core, record)
        refused = self._submitter.refuse_early(merged)
        if refused is None:
            refused = await self._submitter.accept(job.block_with(merged, 0))
        return refused is None
