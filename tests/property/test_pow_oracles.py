"""Independent libraries agree with ours: btclib's interpreter, python-bitcoinlib's digests, python-ecdsa.

Each direction: what ours made and signed is parsed and verified by theirs, and what theirs made by ours. The
differential test breaks witnesses at random and asks both for a verdict.
"""

from hashlib import sha256

import pytest
from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import SIGVERSION_WITNESS_V0, CScript, CScriptWitness, SignatureHash
from btclib.exceptions import BTClibValueError
from btclib.script import sig_hash, taproot
from btclib.script.engine import ScriptFlag, verify_input
from btclib.script.witness import Witness
from btclib.tx import OutPoint as TheirOutPoint
from btclib.tx import Tx as TheirTx
from btclib.tx import TxIn as TheirTxIn
from btclib.tx import TxOut as TheirTxOut
from chaingen.builder import ChainBuilder, Funds
from chaingen.generate import Case, World, all_cases
from chaingen.owners import KeyHash, Owner, ScriptHash, Taproot, private_key
from chaingen.specs import key, story_spec
from ecc.ecc import ssa
from ecdsa import SECP256k1, SigningKey, VerifyingKey
from ecdsa.util import sigdecode_der, sigencode_der, sigencode_der_canonize
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ioex_chain.crypto.hashes import hash160
from ioex_chain.crypto.secp256k1 import HALF_ORDER, ORDER, is_low_s, is_strict_der, public_key, sign, verify
from ioex_chain.pow import errors
from ioex_chain.pow.block import Block
from ioex_chain.pow.script import SighashContext, check_input, classify, run_checks
from ioex_chain.pow.transaction import OutPoint, Transaction, TxOut
from ioex_chain.primitives.types import COIN

FLAGS = (
    ScriptFlag.P2SH
    | ScriptFlag.DERSIG
    | ScriptFlag.NULLDUMMY
    | ScriptFlag.CHECKLOCKTIMEVERIFY
    | ScriptFlag.CHECKSEQUENCEVERIFY
    | ScriptFlag.WITNESS
    | ScriptFlag.TAPROOT
    | ScriptFlag.STRICTENC
    | ScriptFlag.LOW_S
    | ScriptFlag.MINIMALDATA
    | ScriptFlag.WITNESS_PUBKEYTYPE
)
"""Bitcoin's rules with those that docs/protocol.md section 3 lifts from policy to consensus."""
HASH_TYPES = (0x01, 0x02, 0x03, 0x81, 0x82, 0x83)

privates = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
digests = st.binary(min_size=32, max_size=32)
hash_types = st.sampled_from(HASH_TYPES)
lock_times = st.sampled_from(
    [None, None, 0, 1, 16, 17, 500, 499_999_999, 500_000_000, 1_600_000_000, 2**32 - 1]
)
sequences = st.sampled_from(
    [None, None, 0, 1, 144, 65_535, 1 << 22, 1 << 22 | 9, 1 << 31, 1 << 31 | 5, 2**32 - 1]
)


@st.composite
def owners(draw: st.DrawFn) -> Owner:
    form = draw(st.sampled_from(["p2wpkh", "p2tr", "key", "keyhash", "multisig", "multisig"]))
    if form == "p2wpkh":
        return KeyHash(draw(privates))
    if form == "p2tr":
        return Taproot(draw(privates))
    locks = (draw(lock_times), draw(sequences))
    if form != "multisig":
        return ScriptHash((draw(privates),), 1, *locks, form)
    count = draw(st.integers(1, 20))
    keys = tuple(private_key(number) for number in range(count))
    return ScriptHash(keys, draw(st.integers(1, count)), *locks, "multisig")


@st.composite
def spends(draw: st.DrawFn, of: st.SearchStrategy[Owner]) -> tuple[Transaction, list[TxOut]]:
    """A transaction that our code made and signed, and what it spends."""
    chain = ChainBuilder(story_spec())
    sources = [
        Funds(
            OutPoint(draw(digests) + index.to_bytes(4, "little")),
            draw(st.integers(0, 20_000_000 * COIN)),
            draw(of),
            sequence=draw(sequences.filter(lambda value: value is not None)),
        )
        for index in range(draw(st.integers(1, 3)))
    ]
    hash_type = draw(hash_types)
    least = len(sources) if hash_type & 3 == 3 else 1
    pays = [(draw(st.integers(0, COIN)), key("bob")) for _ in range(draw(st.integers(least, 4)))]
    version = draw(st.sampled_from([1, 2, 3]))
    lock_time = draw(lock_times) or 0
    tx = chain.spend(sources, pays, hash_type=hash_type, version=version, lock_time=lock_time)
    return tx, [source.output() for source in sources]


def our_verdict(tx: Transaction, coins: list[TxOut], index: int) -> Exception | None:
    form = classify(coins[index].script)
    assert form is not None
    checks = []
    try:
        check_input(SighashContext(tx, coins), index, form, checks)
    except errors.TransactionError as error:
        return error
    return None if run_checks(checks) is None else errors.SignatureWrong("does not verify")


def their_verdict(tx: Transaction, coins: list[TxOut], index: int) -> Exception | None:
    theirs = TheirTx.parse(tx.encode(), check_validity=False)
    prevouts = [TheirTxOut(coin.value, coin.script) for coin in coins]
    try:
        verify_input(prevouts, theirs, index, FLAGS)
    except BTClibValueError as error:
        return error
    return None


# --- btclib -------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(spends(owners()))
def test_btclib_parses_and_judges_what_we_signed(spend):
    tx, coins = spend
    theirs = TheirTx.parse(tx.encode())
    assert theirs.serialize(include_witness=True) == tx.encode()
    assert theirs.id[::-1] == tx.txid
    assert theirs.hash[::-1] == tx.wtxid
    for index in range(len(coins)):
        ours, other = our_verdict(tx, coins, index), their_verdict(tx, coins, index)
        assert (ours is None) == (other is None), (ours, other)


@settings(max_examples=150, deadline=None)
@given(spends(owners()), st.data())
def test_btclib_and_ours_agree_on_broken_witnesses(spend, data):
    """Wherever a script is in our closed set, the verdict on any witness for it is Bitcoin's."""
    tx, coins = spend
    index = data.draw(st.integers(0, len(coins) - 1))
    stack = list(tx.inputs[index].witness)
    at = data.draw(st.integers(0, len(stack) - 1))
    way = data.draw(st.sampled_from(["flip", "cut", "drop", "double", "empty", "swap", "type"]))
    item = stack[at]
    if way == "flip" and item:
        bit = data.draw(st.integers(0, len(item) * 8 - 1))
        stack[at] = bytes(
            (byte ^ (1 << bit % 8 if place == bit // 8 else 0)) for place, byte in enumerate(item)
        )
    elif way == "cut":
        stack[at] = item[: data.draw(st.integers(0, len(item)))]
    elif way == "drop":
        del stack[at]
    elif way == "double":
        stack.insert(at, item)
    elif way == "empty":
        stack[at] = b""
    elif way == "swap":
        other = data.draw(st.integers(0, len(stack) - 1))
        stack[at], stack[other] = stack[other], stack[at]
    elif item:
        stack[at] = item[:-1] + bytes((data.draw(st.integers(0, 255)),))
    stacks = [stack if n == index else list(entry.witness) for n, entry in enumerate(tx.inputs)]
    broken = tx.with_witnesses([tuple(items) for items in stacks])
    ours, theirs = our_verdict(broken, coins, index), their_verdict(broken, coins, index)
    if isinstance(ours, errors.ScriptFormClosed):
        return  # a script path or annex that Bitcoin would run and we do not know
    assert (ours is None) == (theirs is None), (ours, theirs, stack)


WITNESS_STORIES = [case for case in all_cases() if case.name.startswith("witness: ")]


@pytest.mark.parametrize("case", WITNESS_STORIES, ids=[case.name for case in WITNESS_STORIES])
def test_btclib_agrees_with_every_witness_story(case: Case):
    """What a story says of a witness is what Bitcoin says, unless Bitcoin knows a form that we do not."""
    world = World(case.spec())
    told = case.tell(world)
    assert isinstance(told, Block)
    tx = told.transactions[1]
    theirs = [their_verdict(tx, world.chain.spent_by(tx), n) for n in range(len(tx.inputs))]
    if case.error is None or case.error in (errors.NotFinal, errors.SequenceLocked):
        assert theirs == [None] * len(theirs)
    elif case.error is not errors.ScriptFormClosed:
        assert any(theirs)


@settings(max_examples=60, deadline=None)
@given(privates, hash_types | st.just(0), st.integers(1, 3), st.data())
def test_taproot_spend_made_by_btclib(private, hash_type, count, data):
    secret = taproot.output_prvkey(private)
    point = SigningKey.from_string(secret.to_bytes(32, "big"), SECP256k1).verifying_key
    script = b"\x51\x20" + point.to_string("compressed")[1:]
    values = data.draw(st.lists(st.integers(0, COIN), min_size=count, max_size=count))
    prevouts = [TheirTxOut(value, script) for value in values]
    vin = [TheirTxIn(TheirOutPoint(bytes([n + 1]) * 32, n), b"", 5) for n in range(count)]
    theirs = TheirTx(2, 7, vin, [TheirTxOut(1_000, key("bob").script)] * count)
    for n in range(count):
        digest = sig_hash.taproot(theirs, n, prevouts, hash_type, 0, b"", b"")
        signature = ssa.sign_(digest, secret).serialize() + bytes((hash_type,) if hash_type else ())
        theirs.vin[n].script_witness = Witness([signature])
    ours = Transaction.decode(theirs.serialize(include_witness=True))
    coins = [TxOut(value, script) for value in values]
    assert [our_verdict(ours, coins, n) for n in range(count)] == [None] * count


@settings(max_examples=60, deadline=None)
@given(privates, hash_types, st.integers(0, COIN))
def test_v0_spends_made_by_btclib(private, hash_type, value):
    """P2WPKH and P2WSH: btclib's transaction and digest, python-ecdsa's signature."""
    public = public_key(private)
    code = b"\x21" + public + b"\xac"
    scripts = [b"\x00\x14" + hash160(public), b"\x00\x20" + sha256(code).digest()]
    codes = [b"\x76\xa9\x14" + hash160(public) + b"\x88\xac", code]
    vin = [TheirTxIn(TheirOutPoint(b"\x09" * 32, n), b"", 0xFFFFFFFE) for n in range(2)]
    theirs = TheirTx(2, 0, vin, [TheirTxOut(900, key("bob").script)] * 2)
    for n in range(2):
        digest = sig_hash.segwit_v0(codes[n], theirs, n, hash_type, value)
        signature = ecdsa_sign(private, digest) + bytes((hash_type,))
        theirs.vin[n].script_witness = Witness([signature, (public, code)[n]])
    ours = Transaction.decode(theirs.serialize(include_witness=True))
    coins = [TxOut(value, script) for script in scripts]
    assert [our_verdict(ours, coins, n) for n in range(2)] == [None, None]


# --- python-bitcoinlib --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(spends(st.builds(KeyHash, privates)))
def test_bitcoinlib_reads_and_verifies_p2wpkh_that_we_signed(spend):
    tx, coins = spend
    assume(tx.lock_time < 2**31)  # python-bitcoinlib's digest takes it for a signed number
    theirs = CTransaction.deserialize(tx.encode())
    assert theirs.serialize() == tx.encode()
    assert theirs.GetTxid() == tx.txid
    assert theirs.GetHash() == tx.wtxid
    for n, coin in enumerate(coins):
        signature, public = theirs.wit.vtxinwit[n].scriptWitness.stack
        code = CScript(b"\x76\xa9\x14" + coin.script[2:] + b"\x88\xac")
        digest = SignatureHash(code, theirs, n, signature[-1], coin.value, SIGVERSION_WITNESS_V0)
        loaded = VerifyingKey.from_string(public, SECP256k1)
        assert loaded.verify_digest(signature[:-1], digest, sigdecode=sigdecode_der)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), hash_types, st.integers(0, 2**50), st.data())
def test_multisig_made_by_bitcoinlib(count, hash_type, value, data):
    required = data.draw(st.integers(1, count))
    signers = sorted(data.draw(st.permutations(range(count)))[:required])
    keys = [private_key(number) for number in range(count)]
    code = ScriptHash(tuple(keys), required, kind="multisig").witness_script
    script = b"\x00\x20" + sha256(code).digest()
    unsigned = CTransaction(
        [CTxIn(COutPoint(b"\x21" * 32, 3), nSequence=9)], [CTxOut(5, CScript(key("bob").script))], 0, 2
    )
    digest = SignatureHash(CScript(code), unsigned, 0, hash_type, value, SIGVERSION_WITNESS_V0)
    signed = [ecdsa_sign(keys[n], digest) + bytes((hash_type,)) for n in signers]
    witness = CTxWitness([CTxInWitness(CScriptWitness([b"", *signed, code]))])
    theirs = CTransaction(unsigned.vin, unsigned.vout, unsigned.nLockTime, unsigned.nVersion, witness)
    ours = Transaction.decode(theirs.serialize())
    assert ours.txid == theirs.GetTxid()
    assert our_verdict(ours, [TxOut(value, script)], 0) is None
    wrong = our_verdict(ours, [TxOut(value + 1, script)], 0)
    assert isinstance(wrong, errors.SignatureWrong)


# --- python-ecdsa -------------------------------------------------------------------------------------------


def ecdsa_sign(private: bytes, digest: bytes) -> bytes:
    """Sign with python-ecdsa: RFC 6979, strict DER, low S."""
    loaded = SigningKey.from_string(private, SECP256k1)
    signed: bytes = loaded.sign_digest_deterministic(digest, sha256, sigencode=sigencode_der_canonize)
    return signed


@settings(max_examples=60, deadline=None)
@given(privates, digests)
def test_ecdsa_signatures_are_the_same_bytes(private, digest):
    """RFC 6979 leaves no choice, so two libraries must give one signature."""
    signature = sign(private, digest)
    assert signature == ecdsa_sign(private, digest)
    assert is_strict_der(signature)
    assert is_low_s(signature)
    loaded = SigningKey.from_string(private, SECP256k1).verifying_key
    assert loaded.to_string("compressed") == public_key(private)
    assert loaded.verify_digest(signature, digest, sigdecode=sigdecode_der)


@settings(max_examples=60, deadline=None)
@given(privates, digests)
def test_high_s_of_ecdsa_is_refused(private, digest):
    def high(r: int, s: int, order: int) -> bytes:
        return bytes(sigencode_der(r, max(s, order - s), order))

    loaded = SigningKey.from_string(private, SECP256k1)
    signature = loaded.sign_digest_deterministic(digest, sha256, sigencode=high)
    assert int(ORDER - HALF_ORDER) > HALF_ORDER
    assert loaded.verifying_key.verify_digest(signature, digest, sigdecode=sigdecode_der)
    assert not is_low_s(signature)
    assert not verify(public_key(private), digest, signature)


@settings(max_examples=60, deadline=None)
@given(privates, digests, st.data())
def test_ecdsa_verdicts_on_changed_signatures(private, digest, data):
    signature = bytearray(sign(private, digest))
    bit = data.draw(st.integers(0, len(signature) * 8 - 1))
    signature[bit // 8] ^= 1 << bit % 8
    ours = is_strict_der(bytes(signature)) and is_low_s(bytes(signature))
    ours = ours and verify(public_key(private), digest, bytes(signature))
    assert not ours
