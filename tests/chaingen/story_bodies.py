"""Stories of block bodies: Merkle tree, witnesses, coinbase, and the limits of a block."""

from collections.abc import Callable

from ioex_chain.crypto.address import deposit_script, reserve_change_script
from ioex_chain.pow import errors
from ioex_chain.pow.block import Block
from ioex_chain.pow.coinbase import COMMITMENT_HEAD, height_push
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import OutPoint, Transaction, TxIn, TxOut
from ioex_chain.primitives.merkle import merkle_root
from ioex_chain.primitives.types import COIN

from .builder import edit_coinbase, solve
from .generate import Told, World, add_case, case, rebody
from .specs import REWARD_POOL, key

# --- bodies that are not the header's: refused, but not remembered ---------------------------------------


@case("Merkle root of nothing", errors.WrongMerkleRoot)
def _(world: World) -> Block:
    return world.block(merkle=b"\x01" * 32)


@case("transaction left out", errors.WrongMerkleRoot)
def _(world: World) -> Told:
    block = world.block(world.pay(), world.pay())
    return Told(rebody(block, list(block.transactions[:-1])), block)


@case("transactions in another order", errors.WrongMerkleRoot)
def _(world: World) -> Told:
    block = world.block(world.pay(), world.pay())
    cb, one, two = block.transactions
    return Told(rebody(block, [cb, two, one]), block)


@case("no transaction at all under a foreign root", errors.WrongMerkleRoot)
def _(world: World) -> Told:
    block = world.block()
    return Told(rebody(block, []), block)


@case("last of three doubled (CVE-2012-2459)", errors.DuplicateTransactions)
def _(world: World) -> Told:
    block = world.block(world.pay(), world.pay())
    return Told(rebody(block, [*block.transactions, block.transactions[-1]]), block)


@case("last two of six doubled (CVE-2012-2459)", errors.DuplicateTransactions)
def _(world: World) -> Told:
    block = world.block(*(world.pay() for _ in range(5)))
    return Told(rebody(block, [*block.transactions, *block.transactions[-2:]]), block)


def _node_sized(world: World) -> Transaction:
    tx = world.chain.spend(world.chain.take(), [(0, b"\x6a\x02hi")])
    assert tx.stripped_size == 64
    return tx


@case("transaction of 64 bytes", errors.NodeSizedTransaction)
def _(world: World) -> Block:
    return world.block(_node_sized(world))


@case("transaction of 63 bytes", None)
def _(world: World) -> Block:
    tx = world.chain.spend(world.chain.take(), [(0, b"\x6a\x01h")])
    assert tx.stripped_size == 63
    return world.block(tx)


@case("transaction of 65 bytes", None)
def _(world: World) -> Block:
    tx = world.chain.spend(world.chain.take(), [(0, b"\x6a\x03hey")])
    assert tx.stripped_size == 65
    return world.block(tx)


@case("inner node passed for a transaction", errors.NodeSizedTransaction)
def _(world: World) -> Told:
    """The Merkle tree of two ids is that of one 'transaction' whose 64 bytes are the two ids."""
    block = world.block(world.pay())
    ids = b"".join(tx.txid for tx in block.transactions)
    node = Transaction.build(2, [TxIn(OutPoint(bytes(36)), b"", 0)], [TxOut(0, b"\x6a\x02hi")])
    node.txid = type(node.txid)(merkle_root([tx.txid for tx in block.transactions])[0])
    assert len(ids) == node.stripped_size == 64
    return Told(rebody(block, [node]), block)


@case("signature changed in flight", errors.WrongWitnessCommitment)
def _(world: World) -> Told:
    block = world.block(world.pay())
    cb, tx = block.transactions
    signature, public = tx.inputs[0].witness
    other = tx.with_witnesses([(signature[:-1] + b"\x02", public)])
    assert other.txid == tx.txid
    return Told(rebody(block, [cb, other]), block)


@case("witness stripped in flight", errors.WrongWitnessCommitment)
def _(world: World) -> Told:
    block = world.block(world.pay())
    return Told(rebody(block, [block.transactions[0], block.transactions[1].with_witnesses([()])]), block)


for _name, _nonce in (
    ("31 bytes", (bytes(31),)),
    ("33 bytes", (bytes(33),)),
    ("absent", ()),
    ("two items", (bytes(32), bytes(32))),
):

    def _nonce_story(world: World, nonce: tuple[bytes, ...] = _nonce) -> Told:
        block = world.block()
        return Told(rebody(block, [edit_coinbase(witness=nonce)(block.transactions[0])]), block)

    add_case(f"witness nonce {_name}", errors.WitnessNonceSize, _nonce_story)


@case("witness nonce of other bytes", errors.WrongWitnessCommitment)
def _(world: World) -> Told:
    block = world.block()
    return Told(rebody(block, [edit_coinbase(witness=(b"\x01" * 32,))(block.transactions[0])]), block)


# --- the coinbase ----------------------------------------------------------------------------------------

Outputs = Callable[[list[TxOut]], list[TxOut]]


def _outputs(name: str, error: type[Exception] | None, change: Outputs) -> None:
    add_case(f"coinbase: {name}", error, lambda world: world.block(coinbase=edit_coinbase(outputs=change)))


def _value(index: int, by: int) -> Outputs:
    def change(outputs: list[TxOut]) -> list[TxOut]:
        outputs[index] = TxOut(outputs[index].value + by, outputs[index].script)
        return outputs

    return change


def _plus(*extra: TxOut) -> Outputs:
    return lambda outputs: [outputs[0], TxOut(outputs[1].value - 9, outputs[1].script), *extra, *outputs[2:]]


_WRONG_COMMITMENT = TxOut(0, COMMITMENT_HEAD + bytes(32))

_outputs("no witness commitment", errors.NoWitnessCommitment, lambda o: o[:2])
_outputs("commitment of 37 bytes", errors.NoWitnessCommitment, lambda o: [*o[:2], TxOut(0, o[2].script[:37])])
_outputs(
    "wrong commitment after the right one", errors.WrongWitnessCommitment, lambda o: [*o, _WRONG_COMMITMENT]
)
_outputs("wrong commitment before the right one", None, lambda o: [*o[:2], _WRONG_COMMITMENT, o[2]])
_outputs("commitment with bytes after it", None, lambda o: [*o[:2], TxOut(0, o[2].script + b"more")])
_outputs("one unit too much", errors.CoinbaseTooMuch, _value(1, 1))
_outputs("one unit unclaimed", None, _value(1, -1))
_outputs("nothing for the miner", None, lambda o: [o[0], o[2]])
_outputs("one unit too little for the arbitrators", errors.WrongArbitratorReward, _value(0, -1))
_outputs("one unit too much for the arbitrators", errors.WrongArbitratorReward, _value(0, 1))
_outputs("arbitrators paid second", errors.WrongArbitratorReward, lambda o: [o[1], o[0], o[2]])
_outputs("arbitrators not paid", errors.WrongArbitratorReward, lambda o: o[1:])
_outputs(
    "arbitrators' reward to another deposit",
    errors.WrongArbitratorReward,
    lambda o: [TxOut(20 * COIN, deposit_script(bytes(20))), *o[1:]],
)
_outputs(
    "arbitrators' reward to a key",
    errors.WrongArbitratorReward,
    lambda o: [TxOut(20 * COIN, key("bob").script), *o[1:]],
)
_outputs("a deposit beside", errors.CoinbaseReserveOutput, _plus(TxOut(9, deposit_script(b"\x07" * 20))))
_outputs(
    "the pool's deposit again", errors.CoinbaseReserveOutput, _plus(TxOut(9, deposit_script(REWARD_POOL)))
)
_outputs("a deposit of nothing", errors.CoinbaseReserveOutput, _plus(TxOut(0, deposit_script(REWARD_POOL))))
_outputs("reserve change beside", errors.CoinbaseReserveOutput, _plus(TxOut(9, reserve_change_script())))
_outputs("a second payee", None, _plus(TxOut(9, key("bob").script)))


@case("coinbase: claims fees that are not there", errors.CoinbaseTooMuch)
def _(world: World) -> Block:
    return world.block(world.pay(fee=1_000), fees=1_001)


@case("coinbase: claims all fees", None)
def _(world: World) -> Block:
    return world.block(world.pay(fee=1_000), world.pay(fee=234), fees=1_234)


@case("coinbase: claims a part of the fees", None)
def _(world: World) -> Block:
    return world.block(world.pay(fee=1_000), fees=1)


@case("coinbase: height of the parent", errors.WrongCoinbaseHeight)
def _(world: World) -> Block:
    return world.block(height=world.next_height - 1)


@case("coinbase: height of the child", errors.WrongCoinbaseHeight)
def _(world: World) -> Block:
    return world.block(height=world.next_height + 1)


def _height_script(world: World, script: Callable[[int], bytes]) -> Block:
    return world.block(coinbase=edit_coinbase(script=script(world.next_height)))


_SCRIPTS: dict[str, Callable[[int], bytes]] = {
    "a one-byte push": lambda height: bytes((1, height)) + b"pad",
    "a two-byte push": lambda height: bytes((2, height, 0)) + b"pad",
    "after a push": lambda height: b"\x01\x00" + height_push(height),
    "absent": lambda _: b"\x00\x00",
}
for _name, _made in _SCRIPTS.items():
    add_case(
        f"coinbase: height as {_name}",
        errors.WrongCoinbaseHeight,
        lambda world, made=_made: _height_script(world, made),
    )


def _tall(world: World, height: int) -> World:
    while world.next_height < height:
        world.add()
    return world


for _height in (4, 15, 16, 17, 18, 127, 128, 129):
    add_case(
        f"coinbase: height {_height} and nothing else that is needed",
        None,
        lambda world, height=_height: _height_script(
            _tall(world, height), lambda at: (height_push(at) + b"\x00")[: max(2, len(height_push(at)))]
        ),
    )
add_case(
    "coinbase: height 17 as 16 and padding",
    errors.WrongCoinbaseHeight,
    lambda world: _height_script(_tall(world, 17), lambda _: b"\x60\x00"),
)
add_case(
    "coinbase: height 128 in one byte",
    errors.WrongCoinbaseHeight,
    lambda world: _height_script(_tall(world, 128), lambda _: b"\x01\x80\x00"),
)
add_case("coinbase: script of 1 byte", errors.CoinbaseScriptSize, lambda w: _height_script(w, height_push))
add_case(
    "coinbase: script of 101 bytes",
    errors.CoinbaseScriptSize,
    lambda w: _height_script(w, lambda height: height_push(height).ljust(101, b"x")),
)
add_case(
    "coinbase: script of 100 bytes",
    None,
    lambda w: _height_script(w, lambda height: height_push(height).ljust(100, b"x")),
)


@case("coinbase: lock time of its own height", errors.NotFinal)
def _(world: World) -> Block:
    return world.block(coinbase=edit_coinbase(lock_time=world.next_height, sequence=0))


@case("coinbase: lock time of the height before", None)
def _(world: World) -> Block:
    return world.block(coinbase=edit_coinbase(lock_time=world.next_height - 1, sequence=0))


def _under_own_root(world: World, transactions: list[Transaction]) -> Block:
    """A block of any transactions whose header commits to them."""
    old = world.block().header
    root = merkle_root([tx.txid for tx in transactions] or [bytes(32)])[0]
    header = Header.build(old.version, old.parent_hash, root, old.time, old.bits, 0)
    return Block.build(solve(header), transactions)


@case("no transactions", errors.NoCoinbase)
def _(world: World) -> Block:
    return _under_own_root(world, [])


@case("no coinbase", errors.NoCoinbase)
def _(world: World) -> Block:
    return _under_own_root(world, [world.pay()])


@case("coinbase second", errors.NoCoinbase)
def _(world: World) -> Block:
    block = world.block(world.pay())
    return _under_own_root(world, list(block.transactions[::-1]))


@case("two coinbases", errors.ManyCoinbases)
def _(world: World) -> Block:
    return world.block(world.block().transactions[0])


# --- limits ----------------------------------------------------------------------------------------------


def _many(count: int) -> list[Transaction]:
    """Distinct transactions that spend nothing: for rules that come before any spend is looked at."""
    outputs = [TxOut(1, key("bob").script)]
    return [
        Transaction.build(2, [TxIn(OutPoint(bytes(32) + n.to_bytes(4, "little")), b"", 0)], outputs)
        for n in range(count)
    ]


@case("10,001 transactions", errors.BlockTooLarge)
def _(world: World) -> Block:
    return world.block(*_many(10_000), fees=0)


@case("10,000 transactions that spend nothing", errors.MissingInput)
def _(world: World) -> Block:
    return world.block(*_many(9_999), fees=0)


def padded_block(world: World, size: int) -> Block:
    """A valid block of exactly `size` bytes: one Taproot spend with as much OP_RETURN as it takes."""
    funds = world.chain.take("p2tr")
    full = TxOut(0, b"\x6a" + b"\x4c\x50" + bytes(80))
    empty = world.block(world.chain.spend(funds, [(funds.value, key("bob"))])).size
    count = (size - empty) // len(full.encode()) - 1
    pays = [(funds.value, key("bob")), *[(0, full.script)] * count]
    rest = size - world.block(world.chain.spend(funds, pays)).size
    while rest:
        piece = rest if rest <= 83 + 9 else rest // 2
        pays.append((0, b"\x6a" + bytes(piece - 10)))
        rest -= piece
    block = world.block(world.chain.spend(funds, pays))
    assert block.size == size
    return block


add_case("8,000,000 bytes", None, lambda world: padded_block(world, 8_000_000))
add_case("8,000,001 bytes", errors.BlockTooLarge, lambda world: padded_block(world, 8_000_001))
