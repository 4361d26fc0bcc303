"""The closed set of scripts: what an output may be, what may spend it, and what a signature signs.

docs/protocol.md section 3. There is no interpreter: each spendable form is recognised as a whole and
checked by its own few lines, with the verdict that Bitcoin's interpreter would give it.
"""

from collections.abc import Sequence
from enum import Enum
from hashlib import sha256
from typing import NamedTuple, Protocol

from ioex_chain.crypto.address import DEPOSIT_TAG, reserve_change_script
from ioex_chain.crypto.hashes import hash160, tagged_hash
from ioex_chain.crypto.secp256k1 import SignatureCheck, is_low_s, is_strict_der, verify_batch
from ioex_chain.pow import errors
from ioex_chain.pow.transaction import SEQUENCE_FINAL, Transaction
from ioex_chain.primitives.codec import compact, sized

DATA_HEAD = b"\x6a"
"""OP_RETURN: what an output that carries data begins with."""
MAX_DATA_SCRIPT = 83
MAX_MULTISIG_KEYS = 20
LOCKTIME_THRESHOLD = 500_000_000
"""Lock times below are heights, from here on Unix times (BIP-65)."""
SEQUENCE_DISABLE = 1 << 31
SEQUENCE_TIME = 1 << 22
SEQUENCE_MASK = 0xFFFF

SIGHASH_DEFAULT, SIGHASH_ALL, SIGHASH_NONE, SIGHASH_SINGLE, SIGHASH_ANYONECANPAY = 0, 1, 2, 3, 0x80
_ECDSA_TYPES = frozenset((0x01, 0x02, 0x03, 0x81, 0x82, 0x83))

_CLTV, _CSV, _DROP = 0xB1, 0xB2, 0x75
_CHECKSIG, _CHECKMULTISIG = 0xAC, 0xAE
_RESERVE_CHANGE = reserve_change_script()
_DEPOSIT_HEAD = b"\x60\x20" + DEPOSIT_TAG


class Form(Enum):
    """What an output script is."""

    P2WPKH = "witness_v0_keyhash"
    P2WSH = "witness_v0_scripthash"
    P2TR = "witness_v1_taproot"
    DEPOSIT = "ioex_deposit"
    RESERVE = "ioex_reserve"
    DATA = "nulldata"

    @property
    def is_reserve(self) -> bool:
        """Whether the output belongs to the bridge reserve."""
        return self is Form.DEPOSIT or self is Form.RESERVE


def classify(script: bytes) -> Form | None:
    """Give the form of an output script, or None if it is outside the closed set."""
    size = len(script)
    if size == 22 and script[:2] == b"\x00\x14":
        return Form.P2WPKH
    if size == 34:
        head = script[:2]
        if head == b"\x00\x20":
            return Form.P2WSH
        if head == b"\x51\x20":
            return Form.P2TR
        if script[:14] == _DEPOSIT_HEAD:
            return Form.DEPOSIT
        if script == _RESERVE_CHANGE:
            return Form.RESERVE
    return Form.DATA if script[:1] == DATA_HEAD else None


class SpendScript(NamedTuple):
    """What a witness script asks: optional locks, then a key, a key hash, or m of n keys."""

    lock_time: int | None
    """OP_CHECKLOCKTIMEVERIFY's number."""
    sequence: int | None
    """OP_CHECKSEQUENCEVERIFY's number."""
    required: int
    """Signatures needed."""
    keys: tuple[bytes, ...]
    """33-byte keys; empty when `key_hash` is set."""
    key_hash: bytes = b""
    is_multisig: bool = False


def _read_number(script: bytes, at: int) -> tuple[int, int] | None:
    """Read a minimally pushed script number of at most 5 bytes: (value, next position)."""
    opcode = script[at]
    if opcode == 0:
        return 0, at + 1
    if 0x51 <= opcode <= 0x60:
        return opcode - 0x50, at + 1
    if not 1 <= opcode <= 5:
        return None
    data = script[at + 1 : at + 1 + opcode]
    if len(data) != opcode:
        return None
    top = data[-1]
    if not top & 0x7F and (opcode == 1 or not data[-2] & 0x80):
        return None
    value = int.from_bytes(data, "little")
    if top & 0x80:
        value = -(value ^ (0x80 << 8 * (opcode - 1)))
    return None if -1 <= value <= 16 else (value, at + 1 + opcode)


def _read_lock(script: bytes, at: int, opcode: int) -> tuple[int | None, int]:
    found = _read_number(script, at) if at < len(script) else None
    if found and script[found[1] : found[1] + 2] == bytes((opcode, _DROP)):
        return found[0], found[1] + 2
    return None, at


def _is_key(data: bytes) -> bool:
    return len(data) == 33 and data[0] in (2, 3)


def parse_spend_script(script: bytes) -> SpendScript:
    """Read a P2WSH witness script. Raises ScriptFormClosed, KeyEncoding."""
    lock_time, at = _read_lock(script, 0, _CLTV)
    sequence, at = _read_lock(script, at, _CSV)
    core = script[at:]
    if len(core) == 35 and core[0] == 33 and core[34] == _CHECKSIG:
        if not _is_key(core[1:34]):
            raise errors.KeyEncoding("the script's key is not a compressed one")
        return SpendScript(lock_time, sequence, 1, (core[1:34],))
    if len(core) == 25 and core[:3] == b"\x76\xa9\x14" and core[23:] == b"\x88\xac":
        return SpendScript(lock_time, sequence, 1, (), core[3:23])
    required, keys = _parse_multisig(core)
    return SpendScript(lock_time, sequence, required, keys, is_multisig=True)


def _parse_multisig(core: bytes) -> tuple[int, tuple[bytes, ...]]:
    closed = errors.ScriptFormClosed(
        "a witness script is [CLTV DROP] [CSV DROP], then a key, a key hash or m-of-n CHECKMULTISIG"
    )
    head = _read_number(core, 0) if core else None
    if head is None or core[-1] != _CHECKMULTISIG:
        raise closed
    required, at = head
    keys = []
    while at < len(core) and core[at] == 33:
        keys.append(core[at + 1 : at + 34])
        at += 34
    tail = _read_number(core, at) if at < len(core) else None
    if tail is None or tail[1] != len(core) - 1:
        raise closed
    if tail[0] != len(keys) or not 1 <= required <= len(keys) <= MAX_MULTISIG_KEYS:
        raise closed
    if not all(_is_key(key) for key in keys):
        raise errors.KeyEncoding("a key of the script is not a compressed one")
    return required, tuple(keys)


class Spent(Protocol):
    """The output that an input spends: an output or a coin."""

    @property
    def value(self) -> int:
        """PoW units."""
        ...

    @property
    def script(self) -> bytes:
        """Output script."""
        ...


class SighashContext:
    """What the signatures of one transaction have in common; each hash is made once, when first needed."""

    __slots__ = ("_outputs", "_prevouts", "_sequences", "_taproot", "_taproot_outputs", "coins", "tx")

    def __init__(self, tx: Transaction, coins: Sequence[Spent]) -> None:
        """Take a transaction and the outputs that it spends, in input order."""
        self.tx = tx
        self.coins = coins
        self._prevouts = self._sequences = self._outputs = b""
        self._taproot = self._taproot_outputs = b""

    def _prevouts_bytes(self) -> bytes:
        inputs = self.tx.inputs
        return inputs[0].outpoint if len(inputs) == 1 else b"".join([item.outpoint for item in inputs])

    def _sequences_bytes(self) -> bytes:
        return b"".join([item.sequence.to_bytes(4, "little") for item in self.tx.inputs])

    def segwit_digest(self, index: int, script_code: bytes, hash_type: int) -> bytes:
        """BIP-143: what an ECDSA signature of input `index` signs."""
        return self.sized_digest(index, sized(script_code), hash_type)

    def sized_digest(self, index: int, script_code: bytes, hash_type: int) -> bytes:
        """`segwit_digest` of a script code that has its CompactSize length before it already."""
        tx = self.tx
        item = tx.inputs[index]
        base = hash_type & 0x1F
        anyone = hash_type & SIGHASH_ANYONECANPAY
        if not self._prevouts:
            self._prevouts = _double(self._prevouts_bytes())
            self._sequences = _double(self._sequences_bytes())
            self._outputs = _double(tx.outputs_raw)
        outputs = self._outputs
        if base == SIGHASH_SINGLE:
            outputs = _double(tx.outputs[index].encode()) if index < len(tx.outputs) else bytes(32)
        elif base == SIGHASH_NONE:
            outputs = bytes(32)
        preimage = b"".join(
            (
                tx.raw[:4],
                bytes(32) if anyone else self._prevouts,
                bytes(32) if anyone or base != SIGHASH_ALL else self._sequences,
                item.outpoint,
                script_code,
                self.coins[index].value.to_bytes(8, "little"),
                item.sequence.to_bytes(4, "little"),
                outputs,
                tx.raw[-4:],
                hash_type.to_bytes(4, "little"),
            )
        )
        return sha256(sha256(preimage).digest()).digest()

    def taproot_digest(self, index: int, hash_type: int) -> bytes:
        """BIP-341: what a key-path signature of input `index` signs.

        Raises SignatureEncoding for SIGHASH_SINGLE without an output at `index`.
        """
        tx = self.tx
        base = hash_type & 3
        anyone = hash_type & SIGHASH_ANYONECANPAY
        parts = [
            b"\x00",
            bytes((hash_type,)),
            tx.version.to_bytes(4, "little"),
            tx.lock_time.to_bytes(4, "little"),
        ]
        if not anyone:
            parts.append(self._taproot_common())
        if base not in (SIGHASH_NONE, SIGHASH_SINGLE):
            # Once and not for each input: a block of many inputs beside many outputs would take minutes.
            self._taproot_outputs = self._taproot_outputs or sha256(tx.outputs_raw).digest()
            parts.append(self._taproot_outputs)
        parts.append(b"\x00")
        if anyone:
            item, coin = tx.inputs[index], self.coins[index]
            parts += [item.outpoint, coin.value.to_bytes(8, "little"), sized(coin.script)]
            parts.append(item.sequence.to_bytes(4, "little"))
        else:
            parts.append(index.to_bytes(4, "little"))
        if base == SIGHASH_SINGLE:
            if index >= len(tx.outputs):
                raise errors.SignatureEncoding(
                    f"input {index}: SIGHASH_SINGLE without an output of that number"
                )
            parts.append(sha256(tx.outputs[index].encode()).digest())
        return tagged_hash("TapSighash", b"".join(parts))

    def _taproot_common(self) -> bytes:
        if not self._taproot:
            amounts = b"".join([coin.value.to_bytes(8, "little") for coin in self.coins])
            scripts = b"".join([compact(len(coin.script)) + coin.script for coin in self.coins])
            fields = (self._prevouts_bytes(), amounts, scripts, self._sequences_bytes())
            self._taproot = b"".join([sha256(data).digest() for data in fields])
        return self._taproot


def _double(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


class MultisigCheck(NamedTuple):
    """m signatures that must match m of the keys, both in their order."""

    keys: tuple[bytes, ...]
    signed: tuple[tuple[bytes, bytes], ...]
    """(digest, signature without hash type) for each signature."""


Check = SignatureCheck | MultisigCheck


def run_checks(checks: Sequence[Check]) -> int | None:
    """Verify all; give the position of the first that fails, or None. Pure, so threads may share a block."""
    singles = [check for check in checks if type(check) is SignatureCheck]
    if len(singles) == len(checks):
        return verify_batch(singles)
    for position, check in enumerate(checks):
        good = _run_multisig(check) if isinstance(check, MultisigCheck) else verify_batch((check,)) is None
        if not good:
            return position
    return None


def _run_multisig(check: MultisigCheck) -> bool:
    signed = list(check.signed)
    left = len(check.keys)
    for key in reversed(check.keys):
        if not signed:
            return True
        if len(signed) > left:
            return False
        digest, signature = signed[-1]
        if verify_batch((SignatureCheck(key, digest, signature),)) is None:
            signed.pop()
        left -= 1
    return not signed


def check_input(context: SighashContext, index: int, form: Form, checks: list[Check]) -> int:
    """Check input `index` but for its signatures, which are appended to `checks`.

    Gives the signature checks that it costs. Raises ScriptError or ReserveSpend.
    """
    item = context.tx.inputs[index]
    if item.script:
        raise errors.InputScriptNotEmpty(f"input {index}: the input script must be empty")
    if form is Form.P2WPKH:
        return _check_key_hash(context, index, checks)
    if form is Form.P2WSH:
        return _check_script_hash(context, index, checks)
    if form is Form.P2TR:
        return _check_taproot(context, index, checks)
    if form.is_reserve:
        raise errors.ReserveSpend(f"input {index}: only a settlement may spend the bridge reserve")
    raise errors.ScriptFormClosed(f"input {index}: this output can never be spent")


def _check_key_hash(context: SighashContext, index: int, checks: list[Check]) -> int:
    witness = context.tx.inputs[index].witness
    if len(witness) != 2:
        raise errors.WitnessShape(f"input {index}: P2WPKH needs a signature and a key")
    signature, key = witness
    if len(key) != 33 or key[0] not in (2, 3):
        raise errors.KeyEncoding(f"input {index}: the key is not a compressed one")
    program = context.coins[index].script[2:]
    if hash160(key) != program:
        raise errors.WitnessProgramMismatch(f"input {index}: the key does not hash to the program")
    script_code = b"\x19\x76\xa9\x14" + program + b"\x88\xac"
    checks.append(SignatureCheck(key, *_ecdsa(context, index, script_code, signature)))
    return 1


def _ecdsa(context: SighashContext, index: int, script_code: bytes, signature: bytes) -> tuple[bytes, bytes]:
    """Give (digest, signature without hash type) of a well-formed ECDSA signature."""
    if not signature or signature[-1] not in _ECDSA_TYPES:
        raise errors.SignatureEncoding(f"input {index}: the signature has no defined hash type")
    der = signature[:-1]
    if not is_strict_der(der) or not is_low_s(der):
        raise errors.SignatureEncoding(f"input {index}: the signature is not strict DER with low S")
    return context.sized_digest(index, script_code, signature[-1]), der


def _check_script_hash(context: SighashContext, index: int, checks: list[Check]) -> int:
    witness = context.tx.inputs[index].witness
    if not witness:
        raise errors.WitnessShape(f"input {index}: P2WSH needs a witness script")
    script, stack = witness[-1], witness[:-1]
    if sha256(script).digest() != context.coins[index].script[2:]:
        raise errors.WitnessProgramMismatch(f"input {index}: the script does not hash to the program")
    spend = parse_spend_script(script)
    check_locks(context.tx, index, spend)
    if spend.is_multisig:
        if len(stack) != spend.required + 1 or stack[0]:
            raise errors.WitnessShape(f"input {index}: needs an empty item and {spend.required} signatures")
        signed = tuple(_ecdsa(context, index, sized(script), signature) for signature in stack[1:])
        checks.append(MultisigCheck(spend.keys, signed))
        return len(spend.keys)
    if spend.key_hash:
        if len(stack) != 2:
            raise errors.WitnessShape(f"input {index}: needs a signature, a key and the script")
        key = stack[1]
        if not _is_key(key):
            raise errors.KeyEncoding(f"input {index}: the key is not a compressed one")
        if hash160(key) != spend.key_hash:
            raise errors.WitnessProgramMismatch(f"input {index}: the key does not hash to the script's hash")
    else:
        if len(stack) != 1:
            raise errors.WitnessShape(f"input {index}: needs a signature and the script")
        key = spend.keys[0]
    checks.append(SignatureCheck(key, *_ecdsa(context, index, sized(script), stack[0])))
    return 1


def check_locks(tx: Transaction, index: int, spend: SpendScript) -> None:
    """Check a spend script's locks (BIP-65 and BIP-112). Raises LockTimeUnsatisfied, SequenceUnsatisfied."""
    sequence = tx.inputs[index].sequence
    if spend.lock_time is not None:
        same_kind = (spend.lock_time < LOCKTIME_THRESHOLD) == (tx.lock_time < LOCKTIME_THRESHOLD)
        if not (same_kind and 0 <= spend.lock_time <= tx.lock_time and sequence != SEQUENCE_FINAL):
            raise errors.LockTimeUnsatisfied(f"input {index}: locked until {spend.lock_time}")
    if spend.sequence is None:
        return
    wanted = spend.sequence
    if wanted >= 0 and wanted & SEQUENCE_DISABLE:
        return
    mask = SEQUENCE_TIME | SEQUENCE_MASK
    same_kind = (wanted & SEQUENCE_TIME) == (sequence & SEQUENCE_TIME)
    reached = wanted >= 0 and same_kind and wanted & mask <= sequence & mask
    if tx.version < 2 or sequence & SEQUENCE_DISABLE or not reached:
        raise errors.SequenceUnsatisfied(f"input {index}: relative lock {wanted} is not in its sequence")


def _check_taproot(context: SighashContext, index: int, checks: list[Check]) -> int:
    witness = context.tx.inputs[index].witness
    if not witness:
        raise errors.WitnessShape(f"input {index}: P2TR needs a signature")
    if len(witness) != 1:
        raise errors.ScriptFormClosed(f"input {index}: P2TR is spent by key path, without annex")
    signature = witness[0]
    hash_type = SIGHASH_DEFAULT
    if len(signature) == 65:
        hash_type = signature[64]
        if hash_type not in _ECDSA_TYPES:
            raise errors.SignatureEncoding(f"input {index}: the signature has no defined hash type")
    elif len(signature) != 64:
        raise errors.SignatureEncoding(f"input {index}: a BIP-340 signature has 64 or 65 bytes")
    digest = context.taproot_digest(index, hash_type)
    checks.append(SignatureCheck(context.coins[index].script[2:], digest, signature[:64]))
    return 1
