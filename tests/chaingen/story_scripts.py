"""Stories of witnesses: each spendable form, broken in each of its parts, and kept at its edges."""

from collections.abc import Callable
from dataclasses import replace

from ecdsa.der import encode_integer, encode_sequence, remove_integer, remove_sequence

from ioex_chain.crypto.address import witness_script
from ioex_chain.crypto.hashes import hash160
from ioex_chain.crypto.secp256k1 import ORDER, public_key
from ioex_chain.pow import errors
from ioex_chain.pow.block import Block
from ioex_chain.primitives.types import COIN

from .generate import World, add_case
from .owners import (
    Altered,
    Fixed,
    HiddenScript,
    Impostor,
    Owner,
    ScriptHash,
    Taproot,
    Witness,
    lock_prefix,
    multisig_script,
    private_key,
    push_number,
)
from .specs import key

BOB = key("bob")
ALICE = private_key("alice")
TEAM = tuple(private_key(f"team {number}") for number in range(20))
KEY = public_key(ALICE)
UNCOMPRESSED = b"\x04" + bytes(64)
_ALICE = key("alice")
_TAPROOT = Taproot(ALICE)
_SINGLE = ScriptHash((ALICE,))
_HASHED = ScriptHash((ALICE,), kind="keyhash")
_TWO_OF_THREE = ScriptHash(TEAM[:3], 2, kind="multisig")

Change = Callable[[Witness], Witness]


def _spend(
    name: str,
    error: type[Exception] | None,
    owner: Owner,
    *,
    lock_time: int = 0,
    sequence: int = 0xFFFFFFFE,
    version: int = 2,
    hash_type: int = 1,
    wait: int = 0,
) -> None:
    """Pay `owner` in one block and spend it in the next, with the witness that it gives."""

    def tell(world: World) -> Block:
        funds = replace(world.fund(owner)[0], sequence=sequence)
        for _ in range(wait):
            world.add()
        tx = world.chain.spend(
            funds, [(COIN, BOB)], lock_time=lock_time, version=version, hash_type=hash_type
        )
        return world.block(tx)

    add_case(f"witness: {name}", error, tell)


def _altered(name: str, error: type[Exception] | None, owner: Owner, change: Change) -> None:
    _spend(name, error, Altered(owner, change))


def _signature(change: Callable[[bytes], bytes], at: int = 0) -> Change:
    return lambda stack: (*stack[:at], change(stack[at]), *stack[at + 1 :])


def _high_s(signature: bytes) -> bytes:
    body, _ = remove_sequence(signature[:-1])
    r, rest = remove_integer(body)
    s, _ = remove_integer(rest)
    return encode_sequence(encode_integer(r), encode_integer(ORDER - s)) + signature[-1:]


def _padded_r(signature: bytes) -> bytes:
    size = signature[3] + 1
    return bytes((0x30, signature[1] + 1, 2, size, 0)) + signature[4:]


# --- ECDSA signatures ------------------------------------------------------------------------------------

for _name, _owner, _at in (
    ("P2WPKH", _ALICE, 0),
    ("P2WSH key", _SINGLE, 0),
    ("P2WSH key hash", _HASHED, 0),
    ("P2WSH multisig", _TWO_OF_THREE, 2),
):
    for _fault, _change in {
        "is empty": lambda _: b"",
        "has no hash type": lambda s: s[:-1],
        "is a hash type alone": lambda s: s[-1:],
        "has hash type 0": lambda s: s[:-1] + b"\x00",
        "has hash type 4": lambda s: s[:-1] + b"\x04",
        "has hash type 0x80": lambda s: s[:-1] + b"\x80",
        "has hash type 0x41": lambda s: s[:-1] + b"\x41",
        "has a high S": _high_s,
        "has a padded R": _padded_r,
        "has a byte before its hash type": lambda s: s[:-1] + b"\x00" + s[-1:],
        "is cut short": lambda s: s[:20] + s[-1:],
        "has another tag": lambda s: b"\x31" + s[1:],
        "has 74 bytes": lambda s: s + bytes(74 - len(s)),
    }.items():
        _altered(
            f"{_name}: the signature {_fault}", errors.SignatureEncoding, _owner, _signature(_change, _at)
        )
    _altered(
        f"{_name}: signed as ALL, called NONE",
        errors.SignatureWrong,
        _owner,
        _signature(lambda s: s[:-1] + b"\x02", _at),
    )
    for _type in (0x01, 0x02, 0x03, 0x81, 0x82, 0x83):
        _spend(f"{_name}: hash type {_type:#x}", None, _owner, hash_type=_type)

_SHORT = bytes.fromhex("3006020101020101")
_altered("signature of r = s = 1", errors.SignatureWrong, _ALICE, _signature(lambda s: _SHORT + s[-1:]))


def _zero_r(signature: bytes) -> bytes:
    return bytes.fromhex("3006020100020101") + signature[-1:]


_altered("signature of r = 0", errors.SignatureWrong, _ALICE, _signature(_zero_r))

# --- P2WPKH ----------------------------------------------------------------------------------------------

_altered("P2WPKH: nothing", errors.WitnessShape, _ALICE, lambda _: ())
_altered("P2WPKH: no key", errors.WitnessShape, _ALICE, lambda s: s[:1])
_altered("P2WPKH: an item more", errors.WitnessShape, _ALICE, lambda s: (*s, b""))
_altered("P2WPKH: an item before", errors.WitnessShape, _ALICE, lambda s: (b"", *s))
_altered("P2WPKH: another key", errors.WitnessProgramMismatch, _ALICE, lambda s: (s[0], public_key(TEAM[0])))
_altered(
    "P2WPKH: the key's mirror",
    errors.WitnessProgramMismatch,
    _ALICE,
    _signature(lambda k: bytes((k[0] ^ 1,)) + k[1:], 1),
)
_altered("P2WPKH: key and signature swapped", errors.KeyEncoding, _ALICE, lambda s: s[::-1])
_altered("P2WPKH: empty key", errors.KeyEncoding, _ALICE, lambda s: (s[0], b""))
for _name, _public in {
    "uncompressed": UNCOMPRESSED,
    "hybrid": b"\x06" + bytes(64),
    "of another prefix": b"\x05" + KEY[1:],
    "of 32 bytes": KEY[1:],
}.items():
    _spend(
        f"P2WPKH: the program's own key is {_name}",
        errors.KeyEncoding,
        Fixed(witness_script(0, hash160(_public)), (_SHORT + b"\x01", _public)),
    )
_OFF_CURVE = b"\x02" + b"\xff" * 32
_spend(
    "P2WPKH: the program's own key is off the curve",
    errors.SignatureWrong,
    Fixed(witness_script(0, hash160(_OFF_CURVE)), (_SHORT + b"\x01", _OFF_CURVE)),
)

# --- P2TR ------------------------------------------------------------------------------------------------


def _taproot(name: str, error: type[Exception] | None, change: Change) -> None:
    _altered(f"P2TR: {name}", error, _TAPROOT, change)


for _type in (0x01, 0x02, 0x03, 0x81, 0x82, 0x83):
    _spend(f"P2TR: hash type {_type:#x}", None, _TAPROOT, hash_type=_type)
_taproot("nothing", errors.WitnessShape, lambda _: ())
_taproot("an annex", errors.ScriptFormClosed, lambda s: (*s, b"\x50annex"))
_taproot("a script path", errors.ScriptFormClosed, lambda _: (b"\x51", b"\xc0" + KEY[1:]))
_taproot("empty signature", errors.SignatureEncoding, lambda _: (b"",))
_taproot("signature of 63 bytes", errors.SignatureEncoding, lambda s: (s[0][:63],))
_taproot("signature of 66 bytes", errors.SignatureEncoding, lambda s: (s[0] + b"\x01\x01",))
_taproot("default hash type written out", errors.SignatureEncoding, lambda s: (s[0] + b"\x00",))
_taproot("undefined hash type", errors.SignatureEncoding, lambda s: (s[0] + b"\x04",))
_taproot("hash type ALL not signed", errors.SignatureWrong, lambda s: (s[0] + b"\x01",))
_taproot("one bit wrong", errors.SignatureWrong, lambda s: (bytes((s[0][0] ^ 1,)) + s[0][1:],))
_spend("P2TR: another key signs", errors.SignatureWrong, Impostor(_TAPROOT, Taproot(TEAM[0])))
_spend(
    "P2TR: the program is no point",
    errors.SignatureWrong,
    Fixed(witness_script(1, b"\xff" * 32), (bytes(64),)),
)


def _single_without_output(name: str, error: type[Exception] | None, first: Owner, second: Owner) -> None:
    """SIGHASH_SINGLE on input 1 of a transaction with one output."""

    def tell(world: World) -> Block:
        return world.block(world.chain.spend(world.fund(first, second), [(COIN, BOB)], hash_type=3))

    add_case(f"witness: {name}: SINGLE without an output of its number", error, tell)


_single_without_output(
    "P2TR", errors.SignatureEncoding, _TAPROOT, Fixed(_TAPROOT.script, (bytes(64) + b"\x03",))
)
_single_without_output("P2WPKH", None, _ALICE, _ALICE)
_single_without_output("P2WSH multisig", None, _ALICE, _TWO_OF_THREE)

# --- P2WSH -----------------------------------------------------------------------------------------------

_altered("P2WSH: nothing", errors.WitnessShape, _SINGLE, lambda _: ())
_altered("P2WSH: script alone", errors.WitnessShape, _SINGLE, lambda s: s[-1:])
_altered("P2WSH: an item more", errors.WitnessShape, _SINGLE, lambda s: (b"", *s))
_altered("P2WSH: another script", errors.WitnessProgramMismatch, _SINGLE, lambda s: (s[0], s[1] + b"\x51"))
_altered("P2WSH: key hash without a key", errors.WitnessShape, _HASHED, lambda s: (s[0], s[2]))
_altered("P2WSH: key hash and an item more", errors.WitnessShape, _HASHED, lambda s: (b"", *s))
_altered(
    "P2WSH: key hash, another key",
    errors.WitnessProgramMismatch,
    _HASHED,
    lambda s: (s[0], public_key(TEAM[0]), s[2]),
)
_altered(
    "P2WSH: key hash, uncompressed key", errors.KeyEncoding, _HASHED, lambda s: (s[0], UNCOMPRESSED, s[2])
)
_spend("P2WSH: another key signs", errors.SignatureWrong, HiddenScript(_SINGLE.witness_script, TEAM[0]))


def _multi(name: str, error: type[Exception], change: Change) -> None:
    _altered(f"multisig: {name}", error, _TWO_OF_THREE, change)


_multi("dummy is not empty", errors.WitnessShape, lambda s: (b"\x00", *s[1:]))
_multi("dummy is missing", errors.WitnessShape, lambda s: s[1:])
_multi("a signature is missing", errors.WitnessShape, lambda s: (s[0], s[1], s[3]))
_multi("a signature more", errors.WitnessShape, lambda s: (s[0], s[1], s[2], s[2], s[3]))
_multi("signatures in the wrong order", errors.SignatureWrong, lambda s: (s[0], s[2], s[1], s[3]))
_multi("the same signature twice", errors.SignatureWrong, lambda s: (s[0], s[1], s[1], s[3]))


def _team(required: int, count: int, signers: tuple[int, ...]) -> Owner:
    """An m-of-n output that the named members sign for."""
    script = multisig_script(required, [public_key(private) for private in TEAM[:count]])
    of = HiddenScript(script, ALICE)

    class Signers:
        script = of.script

        def witness(self, context: object, index: int, hash_type: int) -> Witness:
            made = [replace(of, key=TEAM[n]).witness(context, index, hash_type)[0] for n in signers]  # type: ignore[arg-type]
            return b"", *made, script

    return Signers()


for _required, _count, _signers in (
    (1, 1, (0,)),
    (1, 2, (1,)),
    (2, 3, (0, 2)),
    (2, 3, (1, 2)),
    (15, 16, tuple(range(1, 16))),
    (16, 17, tuple(range(16))),
    (1, 20, (0,)),
    (20, 20, tuple(range(20))),
):
    _spend(f"multisig: {_required} of {_count} by {_signers}", None, _team(_required, _count, _signers))
_spend("multisig: 2 of 3 by an outsider", errors.SignatureWrong, _team(2, 3, (0, 7)))
_spend("multisig: 1 of 20 by an outsider", errors.SignatureWrong, _team(1, 19, (19,)))
_spend("multisig: 2 of 3 by one", errors.WitnessShape, _team(2, 3, (0,)))

_KEYS = [public_key(private) for private in TEAM]
_P = b"\x21" + KEY
_CLOSED = {
    "empty": b"",
    "anyone can spend": b"\x51",
    "a key without CHECKSIG": _P,
    "CHECKSIGVERIFY and a number": _P + b"\xad\x51",
    "a key and a byte more": _P + b"\xac\x51",
    "an uncompressed key": b"\x41" + UNCOMPRESSED + b"\xac",
    "a key pushed the long way": b"\x4c" + _P + b"\xac",
    "a key hash without its check": b"\x76\xa9\x14" + hash160(KEY) + b"\x88",
    "a hash lock": b"\xa8\x20" + bytes(32) + b"\x87",
    "0 of 1": multisig_script(0, [KEY]),
    "2 of 1": multisig_script(2, [KEY]),
    "1 of 0": multisig_script(1, []),
    "1 of 21": multisig_script(1, [*_KEYS, KEY]),
    "1 of 2 with one key": b"\x51" + _P + b"\x52\xae",
    "1 of 1 with two keys": b"\x51" + _P + _P + b"\x51\xae",
    "m pushed the long way": b"\x01\x01" + _P + b"\x51\xae",
    "n pushed the long way": b"\x51" + _P + b"\x01\x01\xae",
    "17 keys, n in two bytes": b"\x51" + b"".join(b"\x21" + key for key in _KEYS[:17]) + b"\x02\x11\x00\xae",
    "multisig and a byte more": multisig_script(1, [KEY]) + b"\x51",
    "a NOP before CHECKMULTISIG": multisig_script(1, [KEY])[:-1] + b"\x61\xae",
    "a key more before CHECKMULTISIG": multisig_script(1, [KEY])[:-1] + _P + b"\xae",
    "CHECKMULTISIGVERIFY": multisig_script(1, [KEY])[:-1] + b"\xaf",
    "CLTV without DROP": push_number(5) + b"\xb1" + _P + b"\xac",
    "CLTV alone": push_number(5) + b"\xb1\x75",
    "CSV before CLTV": lock_prefix(None, 5) + lock_prefix(5, None) + _P + b"\xac",
    "CLTV twice": lock_prefix(5, None) * 2 + _P + b"\xac",
    "CSV twice": lock_prefix(None, 5) * 2 + _P + b"\xac",
    "CLTV number not minimal": b"\x01\x05\xb1\x75" + _P + b"\xac",
    "CLTV number padded": b"\x02\x20\x00\xb1\x75" + _P + b"\xac",
    "CLTV number of 6 bytes": b"\x06\x01\x01\x01\x01\x01\x01\xb1\x75" + _P + b"\xac",
    "CLTV number cut short": b"\x05\x01",
    "CLTV number negative zero": b"\x01\x80\xb1\x75" + _P + b"\xac",
    "CLTV of minus one": b"\x4f\xb1\x75" + _P + b"\xac",
    "CLTV of -1 as bytes": b"\x01\x81\xb1\x75" + _P + b"\xac",
    "a nested witness program": witness_script(0, hash160(KEY)),
    "a branch": b"\x63" + _P + b"\x67" + _P + b"\x68\xac",
}
for _name, _script in _CLOSED.items():
    _spend(f"hidden script: {_name}", errors.ScriptFormClosed, HiddenScript(_script, ALICE))
for _name, _script in {
    "key of prefix 5": b"\x21\x05" + KEY[1:] + b"\xac",
    "key of prefix 0": b"\x21\x00" + KEY[1:] + b"\xac",
    "one of two keys of prefix 4": multisig_script(1, [KEY, b"\x04" + KEY[1:]]),
}.items():
    _spend(f"hidden script: {_name}", errors.KeyEncoding, HiddenScript(_script, ALICE))
_spend(
    "hidden script: another key is off the curve",
    None,
    HiddenScript(multisig_script(1, [_OFF_CURVE, KEY]), ALICE, head=(b"",)),
)

# --- locks in scripts: BIP-65 and BIP-112 ----------------------------------------------------------------

_TIME, _OFF = 1 << 22, 1 << 31
_EARLIER = 1_600_000_000


def _cltv(name: str, error: type[Exception] | None, locked: int, **fields: int) -> None:
    _spend(f"CLTV: {name}", error, ScriptHash((ALICE,), lock_time=locked), **fields)  # type: ignore[arg-type]


def _csv(name: str, error: type[Exception] | None, locked: int, **fields: int) -> None:
    _spend(f"CSV: {name}", error, ScriptHash((ALICE,), sequence=locked), **fields)  # type: ignore[arg-type]


_cltv("height reached", None, 4, lock_time=4)
_cltv("later lock time", None, 3, lock_time=4)
_cltv("lock time one short", errors.LockTimeUnsatisfied, 4, lock_time=3)
_cltv("no lock time", errors.LockTimeUnsatisfied, 4)
_cltv("of zero", None, 0)
_cltv("final sequence", errors.LockTimeUnsatisfied, 4, lock_time=4, sequence=0xFFFFFFFF)
_cltv("time reached", None, _EARLIER, lock_time=_EARLIER)
_cltv("time one short", errors.LockTimeUnsatisfied, _EARLIER, lock_time=_EARLIER - 1)
_cltv("height against time", errors.LockTimeUnsatisfied, 4, lock_time=_EARLIER)
_cltv("time against height", errors.LockTimeUnsatisfied, _EARLIER, lock_time=4)
_cltv("negative", errors.LockTimeUnsatisfied, -2, lock_time=4)
_cltv("above 32 bits", errors.LockTimeUnsatisfied, 1 << 32, lock_time=_EARLIER)
_cltv("transaction itself not final", errors.NotFinal, 9, lock_time=9)

_csv("blocks reached", None, 2, sequence=2, wait=1)
_csv("more blocks", None, 2, sequence=3, wait=2)
_csv("blocks not passed", errors.SequenceLocked, 2, sequence=2)
_csv("sequence one short", errors.SequenceUnsatisfied, 2, sequence=1, wait=3)
_csv("disabled in the input", errors.SequenceUnsatisfied, 2, sequence=_OFF | 2, wait=3)
_csv("final sequence", errors.SequenceUnsatisfied, 2, sequence=0xFFFFFFFF, wait=3)
_csv("version 1", errors.SequenceUnsatisfied, 2, sequence=2, wait=3, version=1)
_csv("disabled in the script", None, _OFF | 2, sequence=0xFFFFFFFF)
_csv("disabled in the script, version 1", None, _OFF | 2, sequence=0xFFFFFFFF, version=1)
_csv("of zero", None, 0, sequence=0)
_csv("seconds against blocks", errors.SequenceUnsatisfied, _TIME | 1, sequence=2, wait=3)
_csv("blocks against seconds", errors.SequenceUnsatisfied, 0, sequence=_TIME, wait=3)
_csv("seconds not passed", errors.SequenceLocked, _TIME | 1, sequence=_TIME | 1)
_csv("of zero seconds", None, _TIME, sequence=_TIME)
_csv("free bits ignored", None, 0x7FBF0002, sequence=2, wait=1)
_csv("negative", errors.SequenceUnsatisfied, -2, sequence=2, wait=3)

for _kind in ("key", "keyhash", "multisig"):
    _both = ScriptHash(TEAM[:3], 1 if _kind != "multisig" else 2, 4, 2, _kind)
    _spend(f"both locks: {_kind}", None, _both, lock_time=4, sequence=2, wait=1)
    _spend(f"both locks: {_kind}, CLTV fails", errors.LockTimeUnsatisfied, _both, sequence=2, wait=1)
    _spend(
        f"both locks: {_kind}, CSV fails", errors.SequenceUnsatisfied, _both, lock_time=4, sequence=1, wait=1
    )


# --- the limit on signature checks -----------------------------------------------------------------------


def _at_limit(more: int) -> Callable[[World], Block]:
    """2,000 inputs of 1-of-20, 40,000 signature checks, and `more` inputs of P2WPKH."""

    def tell(world: World) -> Block:
        team = _team(1, 20, (19,))
        spread = world.chain.fan_out(world.chain.take(), 2_000, team)
        world.add(spread)
        sources = [*world.chain.all_funds(spread), *(world.chain.take() for _ in range(more))]
        halves = [sources[:1_000], sources[1_000:]]
        return world.block(*(world.chain.spend(half, [(COIN, BOB)], fee=0) for half in halves))

    return tell


add_case("40,000 signature checks", None, _at_limit(0))
add_case("40,001 signature checks", errors.TooManySignatures, _at_limit(1))


def _full(world: World) -> Block:
    """10,000 transactions with the coinbase, each with a signature."""
    spread = world.chain.fan_out(world.chain.take(), 9_999, BOB)
    world.add(spread)
    return world.block(*(world.chain.spend(coin, [(1, BOB)]) for coin in world.chain.all_funds(spread)))


add_case("10,000 transactions", None, _full)
