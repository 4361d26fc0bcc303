"""The PoW genesis block, made from the network's spec alone (docs/protocol.md sections 1 and 3).

Its coinbase pays the token plan instead of a miner, so the coinbase's amount, its first output and the
witness commitment are not asked of it; its outputs are in the UTXO set like any other. Its work is not
checked either: a node knows it by its hash.
"""

from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import NULL_OUTPOINT, SEQUENCE_FINAL, Transaction, TxIn, TxOut
from ioex_chain.primitives.merkle import merkle_root
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.identity import network_id
from ioex_chain.spec.model import NetworkSpec

NO_PARENT = BlockHash(bytes(32))


def genesis_coinbase(spec: NetworkSpec) -> Transaction:
    """Make the transaction that pays the token plan: one output per allocation, in their order.

    Its script is height 0 as BIP-34 pushes it (OP_0), then a push of the network's text.
    """
    text = spec.pow.genesis_text.encode("ascii")
    script = b"\x00" + bytes((len(text),)) + text
    outputs = [TxOut(allocation.amount, allocation.script) for allocation in spec.token.allocations]
    return Transaction.build(2, [TxIn(NULL_OUTPOINT, script, SEQUENCE_FINAL)], outputs)


def genesis_block(spec: NetworkSpec) -> Block:
    """Make block 0. The same spec gives the same bytes on every machine."""
    coinbase = genesis_coinbase(spec)
    header = Header.build(
        spec.pow.genesis_version,
        NO_PARENT,
        merkle_root([coinbase.txid])[0],
        spec.pow.genesis_time,
        spec.pow.genesis_bits,
        spec.pow.genesis_nonce,
    )
    return Block.build(header, [coinbase])


def identity_of(spec: NetworkSpec) -> bytes:
    """Give the network's identity; provisional while the DPoS chain has no genesis (spec/identity)."""
    return network_id(genesis_block(spec).hash)
