"""Signing, finalising and extracting a PSBT whose inputs are in the closed set (BIP-174's later roles).

Nothing is signed before every spent output is known and proven, and nothing is extracted that the chain's
own script rules would refuse.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Protocol

from ioex_chain.crypto.hashes import hash160
from ioex_chain.crypto.secp256k1 import (
    InvalidKey,
    is_x_only,
    public_key,
    sign,
    sign_schnorr,
    taproot_output_key,
    taproot_private_key,
    verify,
)
from ioex_chain.pow.errors import ScriptError
from ioex_chain.pow.script import (
    SIGHASH_ALL,
    SIGHASH_DEFAULT,
    Check,
    Form,
    SighashContext,
    SpendScript,
    check_input,
    classify,
    parse_spend_script,
    run_checks,
)
from ioex_chain.pow.transaction import Transaction, TxOut
from ioex_chain.wallet.errors import (
    NotComplete,
    PreviousOutputMissing,
    PsbtError,
    ScriptMismatch,
    UnsafeSighash,
)
from ioex_chain.wallet.hd import MasterKey
from ioex_chain.wallet.psbt import In, KeyPath, Psbt, PsbtInput

_KEPT_WHEN_FINAL = (In.PREVIOUS_TX, In.PREVIOUS_OUT, In.FINAL_SCRIPT, In.FINAL_WITNESS)


class KeySource(Protocol):
    """Who has private keys."""

    def private_key(self, public: bytes, origin: KeyPath | None) -> bytes | None:
        """Give the private key of a public key (33 bytes, or 32 for taproot), or None."""
        ...


class KeyRing:
    """The unlocked keys of a wallet: a mnemonic's tree, imported keys, or both. Prints no key."""

    __slots__ = ("_imported", "_master")

    def __init__(self, master: MasterKey | None = None, imported: Iterable[bytes] = ()) -> None:
        self._master = master
        self._imported: Mapping[bytes, bytes] = {public_key(private)[1:]: private for private in imported}

    def private_key(self, public: bytes, origin: KeyPath | None) -> bytes | None:
        """Give the private key of a public key, or None; a wrong origin in a PSBT finds nothing."""
        wanted = public[-32:]
        if self._master and origin and origin.fingerprint == self._master.fingerprint:
            private = self._master.private_key(origin.path)
            if public_key(private)[1:] == wanted:
                return private
        return self._imported.get(wanted)

    def dpos_key(self, index: int = 0) -> bytes | None:
        """Give the private key of the mnemonic's DPoS account `index`; None without a mnemonic."""
        return self._master.dpos_key(index) if self._master else None

    def __repr__(self) -> str:
        return f"<KeyRing master={self._master} imported={len(self._imported)}>"

    def __reduce__(self) -> str:
        raise TypeError("a key ring is not pickled or copied")


def sign_psbt(psbt: Psbt, keys: KeySource, trust_amounts: bool = False) -> int:
    """Add every signature that `keys` can make; give how many were added.

    Each version 0 input must carry the transaction that made it, which proves its amount: BIP-143 signs no
    other input's amount, so a lie would be paid as a fee. `trust_amounts` waives that for amounts that the
    caller knows himself. Raises PsbtError; then nothing was signed.
    """
    spent = [psbt.spent_output(index) for index in range(len(psbt.inputs))]
    if psbt.fee < 0:
        raise PsbtError("the outputs are worth more than the inputs")
    for index, item in enumerate(psbt.inputs):
        _check_signable(index, item, spent[index], trust_amounts)
    context = SighashContext(psbt.transaction, spent)
    return sum(
        _sign_input(context, index, item, keys)
        for index, item in enumerate(psbt.inputs)
        if item.final_witness is None
    )


def finalize_psbt(psbt: Psbt) -> int:
    """Turn complete sets of signatures into witnesses; give how many inputs are not complete yet."""
    spent = [psbt.spent_output(index) for index in range(len(psbt.inputs))]
    context = SighashContext(psbt.transaction, spent)
    missing = 0
    for index, item in enumerate(psbt.inputs):
        if item.final_witness is not None:
            continue
        witness = _witness(context, index, item)
        if witness is None:
            missing += 1
            continue
        item.pairs = {key: value for key, value in item.pairs.items() if _is_kept(key)}
        item.final_witness = witness
    return missing


def extract_transaction(psbt: Psbt) -> Transaction:
    """Give the finished transaction. Raises NotComplete, or ScriptError if a witness does not verify."""
    witnesses = [item.final_witness for item in psbt.inputs]
    missing = witnesses.count(None)
    if missing or not witnesses:
        raise NotComplete(missing, len(witnesses))
    transaction = psbt.transaction.with_witnesses([witness or () for witness in witnesses])
    check_witnesses(transaction, [psbt.spent_output(index) for index in range(len(psbt.inputs))])
    return transaction


def check_witnesses(transaction: Transaction, spent: list[TxOut]) -> None:
    """Run the chain's script rules over a signed transaction. Raises ScriptError, ReserveSpend."""
    context = SighashContext(transaction, spent)
    checks: list[Check] = []
    for index, output in enumerate(spent):
        form = classify(output.script)
        if form is None:
            raise ScriptMismatch(f"input {index}: this chain has no such outputs")
        check_input(context, index, form, checks)
    if run_checks(checks) is not None:
        raise ScriptError("a signature does not verify")


def _check_signable(index: int, item: PsbtInput, output: TxOut, trust_amounts: bool) -> None:
    form = classify(output.script)
    if form not in (Form.P2WPKH, Form.P2WSH, Form.P2TR):
        raise ScriptMismatch(f"input {index}: only P2WPKH, P2WSH and P2TR outputs can be signed for")
    if form is not Form.P2TR and item.get(In.PREVIOUS_TX) is None and not trust_amounts:
        raise PreviousOutputMissing(
            f"input {index}: the PSBT does not carry the transaction that it spends, so its amount is not "
            "proven; ask for a PSBT with the previous transactions, or trust the amounts explicitly"
        )
    hash_type = int.from_bytes(item.get(In.SIGHASH) or b"", "little")
    if hash_type not in (SIGHASH_DEFAULT, SIGHASH_ALL):
        raise UnsafeSighash(
            f"input {index}: asks for hash type {hash_type:#x}; this wallet signs all or nothing"
        )
    hidden = item.get(In.WITNESS_SCRIPT)
    if form is Form.P2WSH and hidden is not None:
        _spend_script(index, hidden, output)


def _sign_input(context: SighashContext, index: int, item: PsbtInput, keys: KeySource) -> int:
    output = context.coins[index]
    form = classify(output.script)
    if form is Form.P2TR:
        return _sign_taproot(context, index, item, keys)
    if form is Form.P2WPKH:
        script_code = b"\x76\xa9\x14" + output.script[2:] + b"\x88\xac"
        publics = [public for public in item.derivations if hash160(public) == output.script[2:]]
    else:
        script_code = item.get(In.WITNESS_SCRIPT) or b""
        if not script_code:
            return 0
        publics = _wanted_keys(parse_spend_script(script_code), item)
    return sum(_sign_ecdsa(context, index, item, keys, public, script_code) for public in publics)


def _sign_ecdsa(
    context: SighashContext, index: int, item: PsbtInput, keys: KeySource, public: bytes, code: bytes
) -> int:
    private = keys.private_key(public, item.derivations.get(public))
    if private is None or item.get(In.PARTIAL_SIG, public) is not None:
        return 0
    signature = sign(private, context.segwit_digest(index, code, SIGHASH_ALL)) + bytes((SIGHASH_ALL,))
    item.put(In.PARTIAL_SIG, signature, public)
    return 1


def _sign_taproot(context: SighashContext, index: int, item: PsbtInput, keys: KeySource) -> int:
    internal = _internal_key(item, context.coins[index].script[2:])
    if internal is None or item.get(In.TAP_KEY_SIG) is not None:
        return 0
    private = keys.private_key(internal, item.derivations.get(internal))
    if private is None:
        return 0
    hash_type = int.from_bytes(item.get(In.SIGHASH) or b"", "little")
    digest = context.taproot_digest(index, hash_type)
    signature = sign_schnorr(taproot_private_key(private), digest)
    item.put(In.TAP_KEY_SIG, signature + (bytes((hash_type,)) if hash_type else b""))
    return 1


def _internal_key(item: PsbtInput, output_key: bytes) -> bytes | None:
    """Find the x-only key whose BIP-86 output key this is; a tree of scripts cannot be spent here."""
    stated = item.get(In.TAP_INTERNAL_KEY)
    candidates = [stated] if stated else [public for public in item.derivations if len(public) == 32]
    for internal in candidates:
        try:
            if is_x_only(internal) and taproot_output_key(internal) == output_key:
                return internal
        except (InvalidKey, ValueError):
            continue
    return None


def _spend_script(index: int, hidden: bytes, output: TxOut) -> SpendScript:
    if sha256(hidden).digest() != output.script[2:]:
        raise ScriptMismatch(f"input {index}: the witness script does not hash to the output")
    try:
        return parse_spend_script(hidden)
    except ScriptError as error:
        raise ScriptMismatch(f"input {index}: {error}") from error


def _wanted_keys(spend: SpendScript, item: PsbtInput) -> list[bytes]:
    if spend.key_hash:
        return [public for public in item.derivations if hash160(public) == spend.key_hash]
    return list(spend.keys)


def _witness(context: SighashContext, index: int, item: PsbtInput) -> tuple[bytes, ...] | None:
    """Build an input's witness from the signatures that verify, or None if some are missing."""
    output = context.coins[index]
    form = classify(output.script)
    if form is Form.P2TR:
        signature = item.get(In.TAP_KEY_SIG)
        return None if signature is None else (signature,)
    signed = item.keyed(In.PARTIAL_SIG)
    if form is Form.P2WPKH:
        code = b"\x76\xa9\x14" + output.script[2:] + b"\x88\xac"
        owners = [public for public in signed if hash160(public) == output.script[2:]]
        good = _verified(context, index, code, {public: signed[public] for public in owners})
        return (next(iter(good.values())), next(iter(good))) if good else None
    hidden = item.get(In.WITNESS_SCRIPT)
    if form is not Form.P2WSH or hidden is None:
        return None
    spend = _spend_script(index, hidden, TxOut(output.value, output.script))
    good = _verified(context, index, hidden, signed)
    if spend.key_hash:
        pair = next(((sig, key) for key, sig in good.items() if hash160(key) == spend.key_hash), None)
        return (*pair, hidden) if pair else None
    ordered = [good[key] for key in spend.keys if key in good][: spend.required]
    if len(ordered) < spend.required:
        return None
    return (b"", *ordered, hidden) if spend.is_multisig else (ordered[0], hidden)


def _verified(
    context: SighashContext, index: int, code: bytes, signed: Mapping[bytes, bytes]
) -> dict[bytes, bytes]:
    """Keep the signatures that are good: a cosigner's bad one must not spoil the rest."""
    return {
        public: signature
        for public, signature in signed.items()
        if len(public) == 33
        and verify(public, context.segwit_digest(index, code, signature[-1]), signature[:-1])
    }


def _is_kept(key: bytes) -> bool:
    return key[0] in _KEPT_WHEN_FINAL or key[0] not in set(In)
