"""Stories of headers: work, target, time, and every check of an AuxPoW record."""

from collections.abc import Callable
from dataclasses import replace

from ioex_chain.pow import errors
from ioex_chain.pow.auxpow import MERGED_MINING_HEADER, AuxPow
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import AUXPOW_BIT, Header
from ioex_chain.pow.transaction import NULL_OUTPOINT, SEQUENCE_FINAL, Transaction, TxIn, TxOut

from .builder import auxpow, solve
from .generate import World, add_case, case, recore


@case("header misses its target", errors.HighHash)
def _(world: World) -> Block:
    return world.block(solved=False)


for _bits in (0x207FFFFE, 0x2070FFFF, 0x1F7FFFFF, 0x2100FF00):
    add_case(
        f"bits {_bits:08x} are not the rule's",
        errors.WrongBits,
        lambda world, bits=_bits: world.block(bits=bits),
    )
for _bits, _what in (
    (0x20FFFFFF, "negative"),
    (0x20000000, "zero"),
    (0x00000000, "all zero"),
    (0x217FFFFF, "above 256 bits"),
    (0xFF7FFFFF, "far above 256 bits"),
):
    add_case(f"bits {_what}", errors.BadCompact, lambda world, bits=_bits: recore(world.block(), bits=bits))


@case("time is the median", errors.TimeTooOld)
def _(world: World) -> Block:
    return world.block(time=world.chain.median_time(world.tip))


@case("time is zero", errors.TimeTooOld)
def _(world: World) -> Block:
    return world.block(time=0)


@case("time is one after the median", None)
def _(world: World) -> Block:
    for _step in range(11):
        world.add()
    time = world.chain.median_time(world.tip) + 1
    assert time < world.tip.header.time
    return world.block(time=time)


def _ahead(world: World, seconds: int) -> Block:
    now = world.chain.clock.time
    block = world.block(time=now + seconds)
    world.chain.clock.time = now
    return block


add_case("time is 601 s ahead", errors.TimeTooNew, lambda world: _ahead(world, 601))
add_case("time is 600 s ahead", None, lambda world: _ahead(world, 600))
for _version in (0, 1, 4, 0x20000000, 0x3FFFE000, 0x7FFFFEFF, 0xFFFFFEFF, 0x494F0000):
    add_case(
        f"native version {_version:08x} is free",
        None,
        lambda world, version=_version: world.block(version=version),
    )


# --- merged mining ---------------------------------------------------------------------------------------


def _record(name: str, error: type[Exception] | None, **changes: object) -> None:
    add_case(f"auxpow: {name}", error, lambda world: world.chain.merged(world.block(), **changes))


def _script(name: str, error: type[Exception] | None, script: Callable[[bytes], bytes]) -> None:
    _record(name, error, script=script)


def _with(**fields: object) -> Callable[[AuxPow], AuxPow]:
    return lambda record: replace(record, **fields)  # type: ignore[arg-type]


def _after(name: str, error: type[Exception] | None, change: Callable[[AuxPow], AuxPow]) -> None:
    """Change the record once its parent header is solved."""

    def tell(world: World) -> Block:
        block = world.chain.merged(world.block())
        assert block.header.auxpow is not None
        return Block.build(Header(block.header.core, change(block.header.auxpow)), block.transactions)

    add_case(f"auxpow: {name}", error, tell)


def _coinbase(record: AuxPow, inputs: list[TxIn], outputs: int = 1) -> AuxPow:
    return replace(record, coinbase=Transaction.build(1, inputs, [TxOut(1, b"\x51")] * outputs))


def _long_coinbase(record: AuxPow) -> AuxPow:
    return _coinbase(record, [record.coinbase.inputs[0]], outputs=200)


def _no_input(record: AuxPow) -> AuxPow:
    return _coinbase(record, [], outputs=2)


def _with_witness(record: AuxPow) -> AuxPow:
    return replace(record, coinbase=record.coinbase.with_witnesses([(bytes(32),)]))


_record("sound", None)
_record("alone in its tree", None, depth=0)
_record("chain branch of 30", None, depth=30)
_record("parent of another version", None, parent_version=0x3FFFE000)
_record("parent misses the target", errors.HighHash, met=False)
_record("parent carries our chain id", errors.AuxPowChainId, parent_version=0x494F0000)
_record("parent carries our chain id merged", errors.AuxPowChainId, parent_version=0x494F0100)
_record("chain branch of 31", errors.AuxPowBranchTooLong, depth=31)
_record("coinbase branch of 31", errors.AuxPowBranchTooLong, edit=_with(coinbase_branch=(bytes(32),) * 31))
_record("coinbase branch of 30", None, edit=_with(coinbase_branch=(b"\x07" * 32,) * 30))
_record("transaction at index 1", errors.AuxPowNotGenerate, edit=_with(coinbase_index=1))
_record("coinbase above 2,048 bytes", errors.AuxPowTooLarge, edit=_long_coinbase)
_record("record above 4,096 bytes", errors.AuxPowTooLarge, edit=_with(coinbase_branch=(bytes(32),) * 128))
_record("coinbase without an input", errors.AuxPowNoInput, edit=_no_input)
_record("coinbase with its witness", errors.AuxPowMerkleRoot, edit=_with_witness)
_after("other branch", errors.AuxPowMerkleRoot, _with(coinbase_branch=(bytes(32),)))
_after("branch left out", errors.AuxPowMerkleRoot, _with(coinbase_branch=()))
_after("free field is free", None, _with(parent_hash=b"\x99" * 32))
_after("chain branch changed", errors.AuxPowRootMissing, _with(chain_branch=(bytes(32),) * 2))
_after("chain index changed", errors.AuxPowRootMissing, lambda record: replace(record, chain_index=2))
_script("no commitment", errors.AuxPowRootMissing, lambda _: b"\x03abc")
_script("root in the wrong byte order", errors.AuxPowRootMissing, lambda c: c[:4] + c[4:36][::-1] + c[36:])
_script("two headers", errors.AuxPowManyHeaders, lambda c: c + MERGED_MINING_HEADER)
_script("two commitments", errors.AuxPowManyHeaders, lambda c: c + c)
_script("header not before the root", errors.AuxPowHeaderPlace, lambda c: c[:4] + b"\x00" + c[4:])
_script("header after the root", errors.AuxPowHeaderPlace, lambda c: c[4:] + MERGED_MINING_HEADER)
_script(
    "two roots smuggled",
    errors.AuxPowHeaderPlace,
    lambda c: c[4:] + MERGED_MINING_HEADER + bytes(32) + c[36:],
)
_script("legacy form at 20", None, lambda c: bytes(20) + c[4:])
_script("legacy form at 21", errors.AuxPowRootTooLate, lambda c: bytes(21) + c[4:])
_script("commitment after 60 bytes", None, lambda c: bytes(60) + c)
_script("size and nonce missing", errors.AuxPowSizeMissing, lambda c: c[:36])
_script("nonce cut short", errors.AuxPowSizeMissing, lambda c: c[:-1])
_script("size too large", errors.AuxPowTreeSize, lambda c: c[:36] + b"\x08\0\0\0" + c[40:])
_script("size in the wrong byte order", errors.AuxPowTreeSize, lambda c: c[:36] + b"\0\0\0\x04" + c[40:])
_script("nonce of another leaf", errors.AuxPowChainIndex, lambda c: c[:40] + b"\x09\0\0\0")


@case("auxpow: record of another block", errors.AuxPowRootMissing)
def _(world: World) -> Block:
    block, other = world.chain.merged(world.block()), world.chain.merged(world.block())
    return Block.build(Header(block.header.core, other.header.auxpow), block.transactions)


@case("auxpow: bit 8 without a record", errors.AuxPowMissing)
def _(world: World) -> Block:
    return world.block(version=0x494F0100)


@case("auxpow: record without bit 8", errors.AuxPowMissing)
def _(world: World) -> Block:
    block = world.block()
    record = auxpow(world.chain.spec, block.header)
    return Block.build(Header(block.header.core, record), block.transactions)


for _id in (0x0001, 0x2000, 0x3FFF, 0x494E):

    def _other_chain(world: World, chain: int = _id) -> Block:
        block = world.block()
        core = (chain << 16 | AUXPOW_BIT).to_bytes(4, "little") + block.header.core[4:]
        record = auxpow(world.chain.spec, Header(core))
        return Block.build(Header(core, record), block.transactions)

    add_case(f"auxpow: version of chain {_id:04x}", errors.AuxPowChainId, _other_chain)


@case("auxpow: native work does not count", errors.HighHash)
def _(world: World) -> Block:
    block = world.chain.merged(world.block())
    record = auxpow(world.chain.spec, solve(block.header), met=False)
    return Block.build(Header(solve(Header(block.header.core)).core, record), block.transactions)


@case("auxpow: coinbase with a null input and no script", errors.AuxPowRootMissing)
def _(world: World) -> Block:
    empty = [TxIn(NULL_OUTPOINT, b"", SEQUENCE_FINAL)]
    return world.chain.merged(world.block(), edit=lambda record: _coinbase(record, empty))
