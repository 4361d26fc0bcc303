"""Stories of transactions: form, amounts, the closed set of outputs, maturity, locks, what is spent."""

from dataclasses import replace

from ioex_chain.crypto.address import deposit_script, reserve_change_script, witness_script
from ioex_chain.pow import errors
from ioex_chain.pow.block import Block
from ioex_chain.pow.transaction import NULL_OUTPOINT, OutPoint, Transaction, TxIn, TxOut
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.model import MAX_OUTPUT, NetworkSpec

from .builder import SEQUENCE_NO_LOCK, Funds
from .generate import World, add_case, case
from .owners import Fixed
from .specs import NODE_REWARDS, key, rich_spec, story_spec

BOB = key("bob")

# --- form ------------------------------------------------------------------------------------------------


@case("no inputs", errors.NoInputs)
def _(world: World) -> Block:
    return world.block(Transaction.build(2, [], [TxOut(0, BOB.script)]))


@case("no outputs", errors.NoOutputs)
def _(world: World) -> Block:
    return world.block(world.chain.spend(world.chain.take(), []), fees=0)


@case("the same input twice", errors.DuplicateInputs)
def _(world: World) -> Block:
    funds = world.chain.take()
    return world.block(world.chain.spend([funds, funds], [(funds.value * 2, BOB)]))


@case("a null input beside a real one", errors.NullInput)
def _(world: World) -> Block:
    funds = world.chain.take()
    null = Funds(NULL_OUTPOINT, 0, BOB)
    return world.block(world.chain.spend([funds, null], [(COIN, BOB)]))


@case("an input script", errors.InputScriptNotEmpty)
def _(world: World) -> Block:
    tx = world.pay()
    inputs = [item._replace(script=b"\x51") for item in tx.inputs]
    return world.block(Transaction.build(tx.version, inputs, tx.outputs, tx.lock_time))


for _version in (0, 1, 2, 3, 0xFFFFFFFF):
    add_case(
        f"transaction version {_version:x}",
        None,
        lambda world, version=_version: world.block(
            world.chain.spend(world.chain.take(), [(COIN, BOB)], fee=1, version=version)
        ),
    )

# --- outputs ---------------------------------------------------------------------------------------------


def _output(name: str, error: type[Exception] | None, script: bytes, value: int = 0) -> None:
    add_case(f"output: {name}", error, lambda world: world.block(world.pay((value, script))))


_HASH, _KEY = b"\x11" * 20, b"\x02" + b"\x11" * 32
for _name, _script in {
    "empty": b"",
    "anyone can spend": b"\x51",
    "P2PK": b"\x21" + _KEY + b"\xac",
    "P2PK uncompressed": b"\x41\x04" + b"\x11" * 64 + b"\xac",
    "P2PKH": b"\x76\xa9\x14" + _HASH + b"\x88\xac",
    "P2SH": b"\xa9\x14" + _HASH + b"\x87",
    "bare multisig": b"\x51\x21" + _KEY + b"\x51\xae",
    "witness v0 of 19 bytes": witness_script(0, bytes(19)),
    "witness v0 of 21 bytes": witness_script(0, bytes(21)),
    "witness v0 of 33 bytes": witness_script(0, bytes(33)),
    "witness v1 of 2 bytes (pay to anchor)": b"\x51\x02\x4e\x73",
    "witness v1 of 20 bytes": witness_script(1, bytes(20)),
    "witness v1 of 33 bytes": witness_script(1, bytes(33)),
    "witness v2": witness_script(2, bytes(32)),
    "witness v15": witness_script(15, bytes(32)),
    "witness v16 of another text": witness_script(16, b"ioeX:deposiT" + _HASH),
    "witness v16 of 31 bytes": witness_script(16, b"ioeX:deposit" + _HASH[1:]),
    "deposit program at v1 less one byte": witness_script(1, b"ioeX:deposit" + _HASH[1:]),
    "reserve change with a bit set": witness_script(16, b"ioeX:reserve" + bytes(19) + b"\x01"),
    "P2WPKH with a long push": b"\x00\x4c\x14" + _HASH,
    "P2WPKH with a byte after it": b"\x00\x14" + _HASH + b"\x51",
    "P2WPKH cut short": b"\x00\x14" + _HASH[1:],
    "P2WSH cut short": b"\x00\x20" + bytes(31),
    "P2WSH with a byte after it": b"\x00\x20" + bytes(33),
    "P2TR cut short": b"\x51\x20" + bytes(31),
    "P2TR with a byte after it": b"\x51\x20" + bytes(33),
    "deposit cut short": deposit_script(_HASH)[:-1],
    "deposit with a byte after it": deposit_script(_HASH) + b"\x00",
    "reserve change with a byte after it": reserve_change_script() + b"\x00",
    "OP_RETURN second": b"\x00\x6a",
}.items():
    _output(_name, errors.OutputFormClosed, _script)
for _name, _script in {
    "P2WPKH of nothing": witness_script(0, _HASH),
    "P2WSH": witness_script(0, bytes(32)),
    "P2TR that is no point": witness_script(1, b"\xff" * 32),
    "deposit": deposit_script(_HASH),
    "reserve change": reserve_change_script(),
    "OP_RETURN alone": b"\x6a",
    "OP_RETURN of 83 bytes": b"\x6a" + bytes(82),
    "OP_RETURN with a push that is cut short": b"\x6a\x4c\xff\x00",
}.items():
    _output(_name, None, _script)
_output("OP_RETURN of 84 bytes", errors.DataTooLarge, b"\x6a" + bytes(83))
_output("OP_RETURN with one unit", errors.DataTooLarge, b"\x6a\x01a", 1)
for _name, _value in {"one unit above the cap": MAX_OUTPUT + 1, "negative": 2**64 - 1, "2^63": 2**63}.items():
    add_case(
        f"output: {_name}",
        errors.OutputTooLarge,
        lambda world, value=_value: world.block(world.pay((value, BOB), fee=None), fees=0),
    )


@case("outputs sum above MAX_MONEY", errors.OutputSumTooLarge)
def _(world: World) -> Block:
    return world.block(world.pay(*[(MAX_OUTPUT, BOB)] * 51, fee=None), fees=0)


@case("outputs of the cap, and not that much coming in", errors.OutputsAboveInputs)
def _(world: World) -> Block:
    return world.block(world.pay(*[(MAX_OUTPUT, BOB)] * 50, fee=None), fees=0)


def deposit_of_size(world: World, size: int) -> Transaction:
    """A transaction with a deposit that has exactly `size` bytes without its witness."""
    funds = world.chain.take()
    pays: list[tuple[int, bytes]] = [(COIN, deposit_script(_HASH))]
    while (rest := size - world.chain.spend(funds, pays).stripped_size) > 0:
        # The count of outputs takes one byte up to 252 of them and three from then on.
        grows = 2 if len(pays) == 252 else 0
        piece = rest if rest <= 92 else min(92, rest - 46)
        pays.append((0, b"\x6a" + bytes(piece - 10 - grows)))
    tx = world.chain.spend(funds, pays)
    assert tx.stripped_size == size
    return tx


add_case("deposit in 32,768 bytes", None, lambda world: world.block(deposit_of_size(world, 32_768)))
add_case(
    "deposit in 32,769 bytes",
    errors.DepositTooLarge,
    lambda world: world.block(deposit_of_size(world, 32_769)),
)


@case("32,769 bytes with reserve change but no deposit", None)
def _(world: World) -> Block:
    tx = world.pay((1, reserve_change_script()), *[(1, BOB)] * 1_100)
    assert tx.stripped_size > 32_768
    return world.block(tx)


# --- what is spent ---------------------------------------------------------------------------------------


def _unknown(world: World, outpoint: OutPoint) -> Block:
    return world.block(world.chain.spend(Funds(outpoint, COIN, BOB), [(COIN, BOB)]), fees=0)


@case("spends what never was", errors.MissingInput)
def _(world: World) -> Block:
    return _unknown(world, OutPoint(b"\x77" * 32 + bytes(4)))


@case("spends an output number that the transaction has not", errors.MissingInput)
def _(world: World) -> Block:
    return _unknown(world, world.chain.genesis.transactions[0].outpoint(5_000))


@case("spends what a block before spent", errors.MissingInput)
def _(world: World) -> Block:
    funds = world.chain.take()
    world.add(world.chain.spend(funds, [(COIN, BOB)], fee=0))
    return world.block(world.chain.spend(funds, [(2 * COIN, BOB)], fee=0))


@case("two transactions spend one output", errors.MissingInput)
def _(world: World) -> Block:
    funds = world.chain.take()
    pays = [world.chain.spend(funds, [(n * COIN, BOB)], fee=0) for n in (1, 2)]
    return world.block(*pays)


@case("spends a later transaction of the block", errors.MissingInput)
def _(world: World) -> Block:
    first = world.pay()
    return world.block(world.chain.spend(world.chain.funds(first), [(COIN, BOB)]), first)


@case("spends an earlier transaction of the block", None)
def _(world: World) -> Block:
    first = world.pay()
    return world.block(first, world.chain.spend(world.chain.funds(first), [(COIN, BOB)]))


@case("spends a side branch's output", errors.MissingInput)
def _(world: World) -> Block:
    tx = world.pay()
    world.ledger.accept_block(side := world.block(tx))
    world.ledger.invalidate(side.hash)
    return world.block(world.chain.spend(world.chain.funds(tx), [(COIN, BOB)]))


@case("spends its own block's coinbase", errors.MissingInput)
def _(world: World) -> Block:
    twin = world.block()
    return world.block(world.chain.spend(world.chain.coinbase_funds(twin), [(COIN, BOB)]), fees=0)


@case("spends an OP_RETURN output", errors.MissingInput)
def _(world: World) -> Block:
    tx = world.pay((0, b"\x6a\x01a"))
    world.add(tx)
    return _unknown(world, tx.outpoint(0))


@case("pays out one unit more than comes in", errors.OutputsAboveInputs)
def _(world: World) -> Block:
    funds = world.chain.take()
    return world.block(world.chain.spend(funds, [(funds.value + 1, BOB)]))


@case("pays out all that comes in", None)
def _(world: World) -> Block:
    funds = world.chain.take()
    return world.block(world.chain.spend(funds, [(funds.value, BOB)]))


def _rich(world: World, inputs: int) -> Block:
    coinbase = world.chain.genesis.transactions[0]
    sources = [world.chain.funds(coinbase, index) for index in range(inputs)]
    return world.block(world.chain.spend(sources, [(MAX_OUTPUT, BOB)] * inputs), fees=0)


add_case("inputs sum to MAX_MONEY", None, lambda world: _rich(world, 50), rich_spec)


@case("inputs sum above MAX_MONEY", errors.AmountOutOfRange, rich_spec)
def _(world: World) -> Block:
    coinbase = world.chain.genesis.transactions[0]
    sources = [world.chain.funds(coinbase, index) for index in range(51)]
    return world.block(world.chain.spend(sources, [(COIN, BOB)]), fees=0)


@case("fees sum above MAX_MONEY", errors.CoinbaseTooMuch, rich_spec)
def _(world: World) -> Block:
    coinbase = world.chain.genesis.transactions[0]
    pays = [world.chain.spend(world.chain.funds(coinbase, index), [(0, BOB)]) for index in range(51)]
    return world.block(*pays, fees=0)


# --- maturity --------------------------------------------------------------------------------------------


def _maturing(world: World, depth: int) -> Block:
    funds = world.chain.coinbase_funds(world.add())
    for _ in range(depth - 1):
        world.add()
    return world.block(world.chain.spend(funds, [(COIN, BOB)], fee=0))


def _mainnet_maturity() -> NetworkSpec:
    return story_spec(coinbase_maturity=100)


add_case("coinbase spent one block early", errors.Immature, lambda world: _maturing(world, 3))
add_case("coinbase spent when mature", None, lambda world: _maturing(world, 4))
add_case("coinbase spent in the next block", errors.Immature, lambda world: _maturing(world, 1))
add_case("coinbase spent 99 deep", errors.Immature, lambda world: _maturing(world, 99), _mainnet_maturity)
add_case("coinbase spent 100 deep", None, lambda world: _maturing(world, 100), _mainnet_maturity)

# --- locks -----------------------------------------------------------------------------------------------


def _locked(world: World, lock_time: int, sequence: int = SEQUENCE_NO_LOCK) -> Block:
    funds = replace(world.chain.take(), sequence=sequence)
    return world.block(world.chain.spend(funds, [(COIN, BOB)], fee=0, lock_time=lock_time))


def _median(world: World) -> int:
    return world.chain.median_time(world.tip)


add_case("lock time of this height", errors.NotFinal, lambda w: _locked(w, w.next_height))
add_case("lock time of the height before", None, lambda w: _locked(w, w.next_height - 1))
add_case("lock time of this height, all final", None, lambda w: _locked(w, w.next_height, 0xFFFFFFFF))
add_case("lock time 499,999,999 is a height", errors.NotFinal, lambda w: _locked(w, 499_999_999))
add_case("lock time 500,000,000 is a time", None, lambda w: _locked(w, 500_000_000))
add_case("lock time of the median", errors.NotFinal, lambda w: _locked(w, _median(w)))
add_case("lock time before the median", None, lambda w: _locked(w, _median(w) - 1))
add_case("lock time between median and block time", errors.NotFinal, lambda w: _locked(w, w.tip.header.time))


def _relative(world: World, sequence: int, blocks: int, version: int = 2) -> Block:
    """Spend, `blocks` after it was made, an output with this sequence."""
    funds = replace(world.fund(key("alice"))[0], sequence=sequence)
    for _ in range(blocks - 1):
        world.add()
    return world.block(world.chain.spend(funds, [(COIN, BOB)], version=version))


_TIME, _OFF = 1 << 22, 1 << 31
add_case("relative lock of 5 blocks after 4", errors.SequenceLocked, lambda w: _relative(w, 5, 4))
add_case("relative lock of 5 blocks after 5", None, lambda w: _relative(w, 5, 5))
add_case("relative lock of 0 blocks", None, lambda w: _relative(w, 0, 1))
add_case("relative lock that is disabled", None, lambda w: _relative(w, _OFF | 5, 1))
add_case("relative lock in version 1", None, lambda w: _relative(w, 5, 1, version=1))
add_case("relative lock in version 2^32 - 1", errors.SequenceLocked, lambda w: _relative(w, 5, 1, 0xFFFFFFFF))
add_case("relative lock with free bits", None, lambda w: _relative(w, 0x7FBF0000, 1))
add_case("relative lock in the same block", errors.SequenceLocked, lambda w: _same_block(w, 1))
add_case("relative lock of 0 in the same block", None, lambda w: _same_block(w, 0))


def _same_block(world: World, sequence: int) -> Block:
    first = world.pay((COIN, BOB))
    funds = replace(world.chain.funds(first), sequence=sequence)
    return world.block(first, world.chain.spend(funds, [(COIN, BOB)]))


def _relative_time(world: World, short: int) -> Block:
    """Spend with a lock of 512 s when median time has moved on by 512 s less `short`."""
    for _ in range(12):
        world.add()
    since = _median(world)
    funds = replace(world.fund(key("alice"))[0], sequence=_TIME | 1)
    for _ in range(5):
        world.add(time=world.tip.header.time + 1)
    world.add(time=since + 512 - short)
    for _ in range(5):
        world.add(time=world.tip.header.time + 1)
    assert _median(world) - since == 512 - short
    return world.block(world.chain.spend(funds, [(COIN, BOB)]))


add_case("relative lock of 512 s after 512 s", None, lambda world: _relative_time(world, 0))
add_case("relative lock of 512 s after 511 s", errors.SequenceLocked, lambda world: _relative_time(world, 1))


@case("relative lock of 512 s on a genesis output", errors.SequenceLocked)
def _(world: World) -> Block:
    funds = replace(world.chain.take(), sequence=_TIME | 1)
    return world.block(world.chain.spend(funds, [(COIN, BOB)], fee=0))


# --- the bridge reserve ----------------------------------------------------------------------------------

_STACKS = {
    "no witness": (),
    "a signature": (bytes(64),),
    "a signature and a key": (bytes(71), _KEY),
    "a script": (b"\x51",),
    "a multisig": (b"", bytes(71), b"\x51\x21" + _KEY + b"\x51\xae"),
    "an annex": (bytes(64), b"\x50"),
    "a script path": (b"\x51", b"\xc0" + bytes(32)),
}


def _reserve(world: World, script: bytes, stack: tuple[bytes, ...]) -> Block:
    coinbase = world.chain.genesis.transactions[0]
    index = next(n for n, output in enumerate(coinbase.outputs) if output.script == script)
    output = coinbase.outputs[index]
    funds = Funds(coinbase.outpoint(index), output.value, Fixed(script, stack))
    return world.block(world.chain.spend(funds, [(COIN, BOB), (COIN, script)]), fees=0)


for _name, _stack in _STACKS.items():
    for _of, _script in (
        ("a genesis deposit", deposit_script(NODE_REWARDS)),
        ("reserve change", reserve_change_script()),
    ):
        add_case(
            f"reserve: {_of} spent with {_name}",
            errors.ReserveSpend,
            lambda world, script=_script, stack=_stack: _reserve(world, script, stack),
        )


@case("reserve: a deposit of one's own spent back", errors.ReserveSpend)
def _(world: World) -> Block:
    (funds,) = world.fund(Fixed(deposit_script(_HASH)))
    return world.block(world.chain.spend(funds, [(COIN, BOB)]))


@case("reserve: a mature coinbase's reward spent", errors.ReserveSpend)
def _(world: World) -> Block:
    block = world.add()
    for _ in range(5):
        world.add()
    output = block.transactions[0].outputs[0]
    funds = Funds(block.transactions[0].outpoint(0), output.value, Fixed(output.script))
    return world.block(world.chain.spend(funds, [(COIN, BOB)]), fees=0)


@case("reserve: hidden behind a good input", errors.ReserveSpend)
def _(world: World) -> Block:
    (funds,) = world.fund(Fixed(reserve_change_script()))
    return world.block(world.chain.spend([world.chain.take(), funds], [(COIN, BOB)], fee=0))


@case("reserve: with an input script", errors.InputScriptNotEmpty)
def _(world: World) -> Block:
    (funds,) = world.fund(Fixed(reserve_change_script()))
    inputs = [TxIn(funds.outpoint, b"\x51", 0xFFFFFFFF)]
    return world.block(Transaction.build(2, inputs, [TxOut(COIN, BOB.script)]))
