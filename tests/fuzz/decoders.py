"""Feeds every decoder with random, mutated and truncated bytes: a typed error or a round trip, nothing else.

    python tests/fuzz/decoders.py --iterations 100000 --seed 1

Each iteration takes one decoder and one input: a good one that was mutated, truncated, spliced with another
or given a huge count, or plain noise. A decoder may raise its typed error; what it accepts it must write back
to the same bytes. Anything else ends the run with the seed, the iteration and the bytes that did it. The peak
of memory is bounded too: no input makes a decoder allocate more than `ALLOCATION` times its own size and a
fixed allowance.
"""

import argparse
import random
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chaingen.builder import ChainBuilder, auxpow
from chaingen.owners import ScriptHash, private_key
from chaingen.specs import GENESIS_OWNERS, key, story_spec

from ioex_chain.crypto.address import (
    InvalidAddress,
    checksum_account,
    decode_witness,
    encode_witness,
    parse_account,
)
from ioex_chain.ledger.overlay import decode_undo, encode_undo
from ioex_chain.pow.auxpow import AuxPow
from ioex_chain.pow.block import Block
from ioex_chain.pow.errors import KeyEncoding, ScriptFormClosed
from ioex_chain.pow.header import Header
from ioex_chain.pow.script import classify, parse_spend_script
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import decode_coin, encode_coin
from ioex_chain.primitives.codec import Reader, compact
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import COIN

ALLOCATION = 80
"""Objects per byte of input, in bytes: an output of 9 bytes becomes a tuple, a number and a string."""
ALLOWANCE = 256 * 1024

HUGE_COUNTS = [
    b"\xfd\xff\xff",
    b"\xfe\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\xfe\x00\x00\x00\x01",
    b"\xfd\x01\x00",
]


@dataclass(frozen=True)
class Decoder:
    """A decoder with the error that it may raise, its inverse, and good inputs to start from."""

    name: str
    decode: Callable[[bytes], object]
    encode: Callable[[object], bytes]
    corpus: tuple[bytes, ...]
    refuses: tuple[type[Exception], ...] = (DecodeError,)


class FuzzFailure(AssertionError):
    """An input that a decoder did not handle; the message reproduces it."""


def decoders() -> list[Decoder]:
    """Give every decoder of the PoW chain's rules with its corpus."""
    chain = ChainBuilder(story_spec())
    base = chain.warm_up()
    pays = [chain.spend(chain.take(form), [(COIN, key("bob"))], fee=500) for form in GENESIS_OWNERS]
    block = chain.block(base[-1], pays)
    merged = chain.merged(block)
    record = auxpow(chain.spec, block.header, depth=30)
    scripts = [owner.witness_script for owner in GENESIS_OWNERS.values() if isinstance(owner, ScriptHash)]
    scripts.append(
        ScriptHash((private_key(1), private_key(2)), 2, 500_000_000, 144, "multisig").witness_script
    )
    transactions = tuple(tx.raw for tx in [*pays, *block.transactions, chain.genesis.transactions[0]])
    rows = {b"u" + bytes(36): None, b"a" * 40: b"value", b"m" + bytes(4): bytes(4)}
    return [
        Decoder("transaction", Transaction.decode, lambda tx: rebuild(tx), transactions),
        Decoder(
            "header",
            Header.decode,
            lambda header: header.encode(),
            (block.header.encode(), merged.header.encode()),
        ),
        Decoder("block", Block.decode, lambda made: rebuild_block(made), (block.encode(), merged.encode())),
        Decoder("auxpow", read_auxpow, lambda made: made.encode(), (record.encode(),)),
        Decoder(
            "coin",
            decode_coin,
            lambda coin: encode_coin(*coin),
            (encode_coin(5, scripts[0], 9, True), bytes(12)),
        ),
        Decoder("undo", decode_undo, encode_undo, (encode_undo(rows), encode_undo({}))),
        Decoder(
            "compact",
            read_compact,
            lambda number: compact(number),
            (b"\x05", b"\xfd\xfd\x00", b"\xfe" + b"\x01" * 4),
        ),
        Decoder("witness script", read_spend_script, bytes, tuple(scripts), (KeyEncoding, ScriptFormClosed)),
        Decoder(
            "output script",
            read_output_script,
            bytes,
            tuple(owner.script for owner in GENESIS_OWNERS.values()),
        ),
        Decoder(
            "address",
            read_address,
            write_address,
            (encode_witness("riox", 0, bytes(20)).encode(), encode_witness("riox", 16, bytes(32)).encode()),
            (InvalidAddress,),
        ),
        Decoder(
            "account",
            read_account,
            lambda account: account,
            (checksum_account(bytes(range(20))).encode(),),
            (InvalidAddress,),
        ),
    ]


def rebuild(tx: Transaction) -> bytes:
    """Write a transaction anew from its fields; one without inputs has no form of its own (BIP-144)."""
    if not tx.inputs:
        return tx.encode()
    again = Transaction.build(tx.version, tx.inputs, tx.outputs, tx.lock_time)
    if (again.txid, again.wtxid, again.stripped_size) != (tx.txid, tx.wtxid, tx.stripped_size):
        raise FuzzFailure("ids or sizes differ after a rebuild")
    return again.encode()


def rebuild_block(block: Block) -> bytes:
    """Write a block anew from its parts."""
    for tx in block.transactions:
        if rebuild(tx) != tx.encode():
            raise FuzzFailure("a transaction differs after a rebuild")
    return Block.build(block.header, block.transactions).encode()


def read_auxpow(data: bytes) -> AuxPow:
    """Read a record that must use every byte."""
    reader = Reader(data)
    record = AuxPow.read(reader)
    reader.finish()
    return record


def read_compact(data: bytes) -> int:
    """Read a CompactSize that must use every byte."""
    reader = Reader(data)
    number = reader.compact(2**64 - 1)
    reader.finish()
    return number


def read_spend_script(data: bytes) -> bytes:
    """Parse a witness script; what it means is checked by the rules' own tests."""
    parse_spend_script(data)
    return data


def read_output_script(data: bytes) -> bytes:
    """Classify an output script: never an error."""
    classify(data)
    return data


def read_address(data: bytes) -> tuple[str, int, bytes]:
    """Read an address in whatever case it is written."""
    text = data.decode("latin-1")
    version, program = decode_witness("riox", text)
    return text, version, program


def write_address(read: tuple[str, int, bytes]) -> bytes:
    """Write an address in the case that it had."""
    text, version, program = read
    again = encode_witness("riox", version, program)
    return (again.upper() if text.isupper() else again).encode()


def read_account(data: bytes) -> bytes:
    """Read an account; the digits' case may be missing, so the input itself is what is given back."""
    parse_account(data.decode("latin-1"))
    return data


def mutate(data: bytes, corpus: tuple[bytes, ...], chance: random.Random) -> bytes:
    """Change good bytes in one of the ways that break decoders."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(out) + 1)
        way = chance.randrange(8)
        if way == 0:
            out[at : at + 1] = bytes((chance.randrange(256),))
        elif way == 1:
            del out[at:]
        elif way == 2:
            out[at:at] = chance.randbytes(chance.choice((1, 1, 4, 32)))
        elif way == 3:
            out[at : at + chance.choice((1, 9))] = chance.choice(HUGE_COUNTS)
        elif way == 4:
            del out[at : at + chance.choice((1, 4, 32))]
        elif way == 5 and at < len(out):
            out[at] ^= 1 << chance.randrange(8)
        elif way == 6:
            other = chance.choice(corpus)
            out[at:] = other[chance.randrange(len(other) + 1) :]
        else:
            out[at : at + 4] = chance.choice((bytes(4), b"\xff" * 4))
    return bytes(out)


def check(decoder: Decoder, data: bytes) -> bool:
    """Decode; say whether it was accepted. Raises FuzzFailure."""
    try:
        found = decoder.decode(data)
    except decoder.refuses:
        return False
    except Exception as error:
        raise FuzzFailure(f"{decoder.name}: {type(error).__name__}: {error}: {data.hex()}") from error
    again = decoder.encode(found)
    if again != data:
        raise FuzzFailure(f"{decoder.name}: accepted {data.hex()}, wrote back {again.hex()}")
    return True


def check_memory(decoder: Decoder, data: bytes) -> None:
    """Decode under a watch of what it allocates. Raises FuzzFailure."""
    tracemalloc.start()
    try:
        check(decoder, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if peak > ALLOCATION * len(data) + ALLOWANCE:
        raise FuzzFailure(f"{decoder.name}: {peak} bytes allocated for {len(data)}: {data.hex()[:2_000]}")


def run(iterations: int, seed: int) -> dict[str, tuple[int, int]]:
    """Run; give for each decoder how many inputs it accepted and refused."""
    chance = random.Random(seed)
    targets = decoders()
    counts = {decoder.name: [0, 0] for decoder in targets}
    for decoder in targets:
        for good in decoder.corpus:
            if not check(decoder, good):
                raise FuzzFailure(f"{decoder.name} refuses a good input: {good.hex()}")
    for iteration in range(iterations):
        decoder = chance.choice(targets)
        if chance.random() < 0.1:
            data = chance.randbytes(chance.choice((0, 1, 10, 80, 500)))
        else:
            data = mutate(chance.choice(decoder.corpus), decoder.corpus, chance)
        try:
            accepted = check(decoder, data)
            if iteration % 64 == 0:
                check_memory(decoder, data)
        except FuzzFailure as failure:
            raise FuzzFailure(f"seed {seed}, iteration {iteration}: {failure}") from failure
        counts[decoder.name][not accepted] += 1
    return {name: (accepted, refused) for name, (accepted, refused) in counts.items()}


def main() -> int:
    """Run from the command line; 0 when nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        counts = run(options.iterations, options.seed)
    except FuzzFailure as failure:
        print(failure, file=sys.stderr)
        return 1
    for name, (accepted, refused) in counts.items():
        print(f"{name:16} accepted {accepted:8,} refused {refused:8,}")
    print(f"{options.iterations:,} inputs, seed {options.seed}: 0 findings")
    return 0


if __name__ == "__main__":
    sys.exit(main())
