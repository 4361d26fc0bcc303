"""Block 0 of the DPoS chain (docs/protocol.md section 4): the header of `evm/genesis`, no body, no seal."""

from ioex_chain.dpos.block import Block, Payload
from ioex_chain.dpos.codec import decode_header, make_block
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.evm.genesis import genesis_header_items
from ioex_chain.primitives import rlp
from ioex_chain.spec.model import NetworkSpec


def genesis_header(spec: NetworkSpec, pow_genesis: bytes) -> SealedHeader:
    """Give the genesis header; `pow_genesis` is the PoW genesis hash as it is hashed."""
    return SealedHeader(decode_header(rlp.encode(genesis_header_items(spec, pow_genesis))), b"")


def genesis_block(spec: NetworkSpec, pow_genesis: bytes) -> Block:
    """Give block 0. The same spec gives the same bytes on every machine.

    Its state is written by `evm.genesis.write_genesis`; executing it does nothing else.
    """
    return make_block(genesis_header(spec, pow_genesis), (), (), Payload())
