"""Rules whose edges a short chain does not reach, and the helpers that rules lean on."""

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace

import pytest
from bitcoin.core.script import CScript
from chaingen.builder import ChainBuilder, auxpow, edit_coinbase, solve
from chaingen.generate import World
from chaingen.harness import DictView, open_ledger
from chaingen.specs import REWARD_POOL, key, story_spec

from ioex_chain.crypto.address import deposit_script
from ioex_chain.crypto.secp256k1 import InvalidKey, SignatureCheck, public_key, sign, taproot_output_key
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.pow import errors
from ioex_chain.pow.auxpow import MAX_PARENT_COINBASE, MAX_RECORD, AuxPow, expected_index
from ioex_chain.pow.block import Block
from ioex_chain.pow.coinbase import build_coinbase, check_coinbase, find_commitment, height_push
from ioex_chain.pow.consensus import check_work, median_time_past
from ioex_chain.pow.header import AUXPOW_BIT, Header
from ioex_chain.pow.machine import PowMachine
from ioex_chain.pow.script import Form, SighashContext, check_input
from ioex_chain.pow.transaction import OutPoint, Transaction, TxIn, TxOut
from ioex_chain.pow.utxo import encode_coin, find_transaction, get_coin, get_median_time, scan_address
from ioex_chain.pow.verifier import CHECKS_PER_JOB, Verifier
from ioex_chain.primitives.codec import Reader
from ioex_chain.primitives.errors import DecodeError, OverCap
from ioex_chain.primitives.types import COIN

HEIGHTS = [*range(1, 18), 127, 128, 255, 256, 32_767, 32_768, 65_535, 8_388_607, 8_388_608, 2**31 - 1]


@pytest.mark.parametrize("height", HEIGHTS)
def test_bip34_height_is_bitcoins_script_number(height):
    """python-bitcoinlib writes the same push; heights 1 to 16 need padding to make a script of 2 bytes."""
    push = height_push(height)
    assert push == bytes(CScript([height]))
    spec = story_spec()
    coinbase = build_coinbase(spec, height, key("miner").script, 0, [])
    assert 2 <= len(coinbase.inputs[0].script) <= 100
    check_coinbase(spec, coinbase, height)
    for other in (height - 1, height + 1):
        if not coinbase.inputs[0].script.startswith(height_push(other)):
            with pytest.raises(errors.WrongCoinbaseHeight):
                check_coinbase(spec, coinbase, other)


def test_bip34_other_writings_are_refused():
    spec = story_spec()
    coinbase = build_coinbase(spec, 32_768, key("miner").script, 0, [])
    for script in (b"\x02\x00\x80pad", b"\x04\x00\x80\x00\x00pad", b"\x4c\x03\x00\x80\x00", b"\x03\x00\x80"):
        with pytest.raises(errors.WrongCoinbaseHeight):
            check_coinbase(spec, edit_coinbase(script=script)(coinbase), 32_768)


def test_coinbase_pays_24():
    spec = story_spec()
    coinbase = build_coinbase(spec, 9, key("miner").script, 1_234, [], b"\x02tag")
    assert coinbase.outputs[0] == TxOut(20 * COIN, deposit_script(REWARD_POOL))
    assert sum(output.value for output in coinbase.outputs) == 24 * COIN + 1_234
    assert find_commitment(coinbase) is not None
    assert coinbase.inputs[0].script.endswith(b"\x02tag")


def _entries(times: list[int]) -> Entry[Header]:
    entry = None
    for height, time in enumerate(times):
        header = Header.build(1, bytes(32), bytes(32), time, 0x207FFFFF, 0)
        entry = Entry(header, height, 0, Status.BODY, 0, entry, lambda _: pytest.fail("loaded"))
    assert entry is not None
    return entry


@pytest.mark.parametrize(
    ("times", "median"),
    [
        ([5], 5),
        ([5, 9], 9),
        ([9, 5, 7], 7),
        ([*range(11)], 5),
        ([99, *range(11)], 5),
        ([*range(10, -1, -1)], 5),
    ],
)
def test_median_time_of_the_last_eleven(times, median):
    assert median_time_past(_entries(times)) == median


def test_relative_time_lock_on_an_old_coin_costs_one_read():
    """Looking up a coin's median time must not walk the chain down to the coin."""
    world = World(story_spec())
    for _ in range(60):
        world.add()
    view = world.ledger.view()
    for block in world.chain.branch(world.tip):
        assert get_median_time(view, world.chain.height(block)) == world.chain.median_time(block)
    assert get_median_time(view, 0) == world.chain.genesis.header.time
    with pytest.raises(DecodeError):
        get_median_time(view, 10**6)


# --- merged mining ----------------------------------------------------------------------------------------


def _merged(**changes):
    chain = ChainBuilder(story_spec())
    return chain.merged(chain.block(chain.genesis), **changes).header


def test_record_above_its_cap_is_refused_at_decoding():
    padding = replace(_merged().auxpow, coinbase_branch=(bytes(32),) * 128)
    with pytest.raises(OverCap):
        AuxPow.read(Reader(padding.encode()))


def test_parent_coinbase_at_its_cap():
    """2,048 bytes are accepted, 2,049 are not: by the rule in memory and by the decoder on the wire."""

    def sized(size):
        spare = size - _merged(script=lambda text: text + bytes(300)).auxpow.coinbase.size
        return _merged(script=lambda text: text + bytes(300 + spare))

    spec = story_spec().pow
    good, bad = sized(MAX_PARENT_COINBASE), sized(MAX_PARENT_COINBASE + 1)
    assert good.auxpow.coinbase.size == MAX_PARENT_COINBASE
    assert bad.auxpow.coinbase.size == MAX_PARENT_COINBASE + 1
    assert Header.decode(good.encode()).encode() == good.encode()
    check_work(spec, good)
    with pytest.raises(errors.AuxPowTooLarge):
        check_work(spec, bad)
    with pytest.raises(DecodeError):
        Header.decode(bad.encode())


def test_largest_sound_record_fits():
    """30 and 30 siblings beside a coinbase of 2,048 bytes are within 4,096 bytes."""
    header = _merged(depth=30, edit=lambda record: replace(record, coinbase_branch=(b"\x05" * 32,) * 30))
    rest = len(header.auxpow.encode()) - header.auxpow.coinbase.size
    assert rest + MAX_PARENT_COINBASE <= MAX_RECORD
    check_work(story_spec().pow, header)


def test_expected_index_is_namecoins():
    """The linear congruential steps, written out with Namecoin's chain id 1."""
    value = ((7 * 1103515245 + 12345) % 2**32 + 1) % 2**32
    value = (value * 1103515245 + 12345) % 2**32
    for depth in range(31):
        assert expected_index(7, 1, depth) == value % 2**depth
    assert len({expected_index(7, chain, 3) for chain in range(8)}) == 8, "eight chains find eight leaves"


def test_record_is_no_part_of_the_identity():
    header = _merged()
    again = Header(header.core, auxpow(story_spec(), header, nonce=11))
    assert again.hash == header.hash
    assert again.encode() != header.encode()
    check_work(story_spec().pow, again)


def test_limit_is_the_easiest_target():
    spec = replace(story_spec().pow, pow_limit_bits=0x1F7FFFFF)
    header = solve(Header.build(1, bytes(32), bytes(32), 0, 0x207FFFFF, 0))
    with pytest.raises(errors.WrongBits):
        check_work(spec, header)
    assert not header.version & AUXPOW_BIT


# --- signatures -------------------------------------------------------------------------------------------


class CountsReads:
    """A transaction that counts how often its outputs' bytes are asked for."""

    def __init__(self, tx):
        self._tx, self.reads = tx, 0

    def __getattr__(self, name):
        return getattr(self._tx, name)

    @property
    def outputs_raw(self):
        self.reads += 1
        return self._tx.outputs_raw


@pytest.mark.parametrize("hash_type", [0, 1, 0x81])
@pytest.mark.parametrize("form", ["taproot", "segwit"])
def test_outputs_are_hashed_once_for_all_inputs(form, hash_type):
    """Else 8 MB of inputs and outputs would be hashed quadratically: minutes for one block."""
    sources = [TxIn(OutPoint(bytes(32) + n.to_bytes(4, "little")), b"", 0) for n in range(50)]
    counted = CountsReads(Transaction.build(2, sources, [TxOut(1, key("bob").script)] * 50))
    context = SighashContext(counted, [TxOut(1, b"\x51\x20" + bytes(32))] * 50)
    for index in range(50):
        if form == "taproot":
            context.taproot_digest(index, hash_type)
        else:
            context.segwit_digest(index, b"", hash_type or 1)
    assert counted.reads == 1


@pytest.mark.parametrize("form", [Form.P2WPKH, Form.P2WSH, Form.P2TR, Form.DEPOSIT, Form.RESERVE])
def test_input_script_is_refused_by_the_input_check_too(form):
    """Whoever checks inputs without `check_transaction` before must not let one pass."""
    tx = Transaction.build(2, [TxIn(OutPoint(bytes(36)), b"\x51", 0)], [])
    with pytest.raises(errors.InputScriptNotEmpty):
        check_input(SighashContext(tx, [TxOut(1, b"")]), 0, form, [])


def _checks(count, wrong):
    private, digest = b"\x07" * 32, bytes(32)
    good = SignatureCheck(public_key(private), digest, sign(private, digest))
    bad = good._replace(digest=b"\x01" * 32)
    return [bad if number in wrong else good for number in range(count)]


class Shut(Executor):
    """An executor that is no longer there."""

    def submit(self, *args, **kwargs):
        raise RuntimeError("cannot schedule new futures after shutdown")


@pytest.mark.parametrize("wrong", [(), (0,), (3, 900), (CHECKS_PER_JOB,), (999,), (1_000,)])
@pytest.mark.parametrize("workers", ["none", "threads", "shut down"])
def test_first_wrong_signature_is_found_wherever_it_stands(workers, wrong):
    with ThreadPoolExecutor(2) as threads:
        verifier = Verifier({"none": None, "threads": threads, "shut down": Shut()}[workers])
        for check in _checks(1_001, wrong):
            verifier.add([check])
        assert verifier.first_failure() == (min(wrong) if wrong else None)


def test_wrong_signature_in_a_block_names_its_transaction():
    """With workers and without, the error is the same and names the transaction."""
    world = World(story_spec())
    spread = world.chain.fan_out(world.chain.take(), 600, key("bob"))
    world.add(spread)
    coins = world.chain.all_funds(spread)
    spends = [world.chain.spend(coin, [(1, key("carol"))]) for coin in coins]
    signature, public = spends[450].inputs[0].witness
    spends[450] = spends[450].with_witnesses([(spends[449].inputs[0].witness[0], public)])
    block = world.block(*spends)
    with ThreadPoolExecutor(2) as threads:
        for workers in (None, threads):
            machine = PowMachine(world.chain.spec, workers=workers)
            ledger = open_ledger(world.chain, machine=machine)
            for below in world.chain.branch(world.tip):
                ledger.accept_block(below)
            with pytest.raises(errors.BlockTransactionError) as caught:
                ledger.accept_block(block)
            assert (caught.value.index, type(caught.value.cause)) == (451, errors.SignatureWrong)
            assert signature != spends[449].inputs[0].witness[0]


# --- rows and keys ----------------------------------------------------------------------------------------


def test_damaged_rows_are_typed_errors():
    view = DictView()
    view.rows.update(
        {b"u" + bytes(36): b"short", b"t" + bytes(32): b"short", b"a\x01s" + bytes(40): b"short"}
    )
    with pytest.raises(DecodeError):
        get_coin(view, bytes(36))
    with pytest.raises(DecodeError):
        find_transaction(view, bytes(32))
    with pytest.raises(DecodeError):
        list(scan_address(view, b"s"))
    assert len(encode_coin(1, b"", 2, True)) == 12


def test_indexes_are_optional_and_change_nothing_else():
    chain = ChainBuilder(story_spec())
    base = chain.warm_up()
    blocks = [*base, chain.block(base[-1], [chain.spend(chain.take(), [(COIN, key("bob"))], fee=1)])]
    views = []
    for indexes in (True, False):
        machine, view, parent = PowMachine(chain.spec, indexes=indexes), DictView(), None
        for height, block in enumerate([chain.genesis, *blocks]):
            parent = Entry(block.header, height, 0, Status.BODY, 0, parent, lambda _: pytest.fail("loaded"))
            machine.connect(block, parent, view)
        views.append(view.rows)
    full, bare = views
    assert {row: value for row, value in full.items() if row[:1] in (b"u", b"m", b"r")} == bare
    assert len(full) > len(bare)


@pytest.mark.parametrize("private", [b"", b"\x01", bytes(32), b"\xff" * 32, b"\x01" * 33])
def test_bad_private_keys_are_refused(private):
    with pytest.raises(InvalidKey):
        public_key(private)


def test_bad_points_are_refused():
    for point in (bytes(31), bytes(32), b"\xff" * 32):
        with pytest.raises(InvalidKey):
            taproot_output_key(point)


def test_block_of_another_cap_is_refused_before_parsing():
    with pytest.raises(OverCap):
        Block.decode(bytes(8_000_001))


def test_signing_is_deterministic():
    assert sign(b"\x01" * 32, bytes(32)) == sign(b"\x01" * 32, bytes(32))
