"""Blocks that break rules, made on a node's own head by somebody with all the hash power he wants."""

from random import Random

from chaingen.builder import ChainBuilder, edit_coinbase, solve

from ioex_chain.pow.block import Block
from ioex_chain.pow.difficulty import next_bits
from ioex_chain.pow.header import Header
from ioex_chain.pow.ledger import PowLedger
from ioex_chain.pow.transaction import Transaction, TxOut
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.model import NetworkSpec

from .coins import Purse


class Forger:
    """Makes bad headers and blocks on the head of a ledger. `forge` gives the next of all kinds by chance."""

    def __init__(self, spec: NetworkSpec, purse: Purse, chance: Random) -> None:
        self._spec = spec
        self._purse = purse
        self._chance = chance
        self._made = 0

    def header(self, ledger: PowLedger) -> Header:
        """Give a header on the head that breaks one rule: work, bits or time."""
        good = self._block(ledger).header
        kind = self._chance.randrange(3)
        if kind == 0:
            return solve(good, met=False)
        if kind == 1:
            return solve(_changed(good, bits=good.bits - 0x010000))
        return solve(_changed(good, time=ledger.genesis.header.time))

    def block(self, ledger: PowLedger) -> Block:
        """Give a block with a good header whose body breaks a rule."""
        kind = self._chance.randrange(3)
        if kind == 0:
            return self._block(ledger, inflated=True)
        if kind == 1:
            return self._block(ledger, self._purse.forged())
        fine = self._block(ledger)
        header = solve(_changed(fine.header, merkle_root=bytes(32)))
        return Block.build(header, fine.transactions)

    def good(self, ledger: PowLedger) -> Block:
        """Give a valid block, to be withheld."""
        return self._block(ledger)

    def mutated(self, block: Block) -> Block:
        """Give another body under a good header."""
        last = block.transactions[-1]
        if len(block.transactions) > 1:
            return Block.build(block.header, [*block.transactions, last])
        return Block.build(block.header, [last.with_witnesses([(b"\x01" * 32,)])])

    def low_work(self, ledger: PowLedger, count: int) -> list[Header]:
        """Give a chain of headers from genesis with as little work as the rules allow."""
        made: list[Header] = []
        parent, height = ledger.genesis.header, 0
        for _ in range(count):
            bits = next_bits(self._spec.pow, height, parent.time)
            header = Header.build(
                0x2000_0000,
                parent.hash,
                self._chance.randbytes(32),
                parent.time + self._spec.pow.spacing,
                bits,
                0,
            )
            parent, height = solve(header), height + 1
            made.append(parent)
        return made

    def _block(self, ledger: PowLedger, *extra: Transaction, inflated: bool = False) -> Block:
        head = ledger.head
        builder = ChainBuilder(self._spec)
        builder.adopt(ledger.body(head.hash), head.height)
        self._made += 1
        builder._made = self._chance.getrandbits(48)

        def more(outputs: list[TxOut]) -> list[TxOut]:
            return [*outputs[:1], TxOut(outputs[1].value + COIN, outputs[1].script), *outputs[2:]]

        return builder.block(
            ledger.body(head.hash),
            extra,
            time=head.header.time + self._spec.pow.spacing,
            fees=0,
            coinbase=edit_coinbase(outputs=more) if inflated else None,
        )


def _changed(header: Header, **fields: int | bytes) -> Header:
    values = {
        "version": header.version,
        "parent_hash": header.parent_hash,
        "merkle_root": header.merkle_root,
        "time": header.time,
        "bits": header.bits,
        "nonce": 0,
    }
    return Header.build(**{**values, **fields})  # type: ignore[arg-type]
