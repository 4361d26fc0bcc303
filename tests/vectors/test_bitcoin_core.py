"""Bitcoin Core's data: transactions round-trip, and whatever is in our closed set gets Bitcoin's verdict."""

import json
import re

import pytest

from ioex_chain.crypto.hashes import sha256d
from ioex_chain.pow import errors
from ioex_chain.pow.script import Form, SighashContext, check_input, classify, run_checks
from ioex_chain.pow.transaction import NULL_OUTPOINT, SEQUENCE_FINAL, OutPoint, Transaction, TxIn, TxOut
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import from_display

WITNESS_PROGRAM = re.compile(r"^(?:0|0x00|0x51|1) (?:0x14|0x20)? ?0x(?:14|20)?([0-9a-f]{40}|[0-9a-f]{64})$")
STRICTER = (errors.KeyEncoding, errors.ScriptFormClosed)
"""Forms that Bitcoin knows and our chain does not: uncompressed keys, other scripts."""


def load(vectors, name):
    return json.loads((vectors / f"bitcoin/{name}.json").read_text())


def program_script(text: str) -> bytes | None:
    """Read Core's notation of a witness program; None for anything else."""
    match = WITNESS_PROGRAM.match(text)
    if match is None:
        return None
    program = bytes.fromhex(match[1])
    opcode = b"\x51" if text.startswith(("0x51", "1 ")) else b"\x00"
    script = opcode + bytes((len(program),)) + program
    return script if classify(script) else None


def verdict(tx: Transaction, coins: list[TxOut], index: int) -> type[Exception] | None:
    """Give the rule that input `index` breaks, None if it is good."""
    checks = []
    form = classify(coins[index].script)
    assert form in (Form.P2WPKH, Form.P2WSH, Form.P2TR)
    try:
        check_input(SighashContext(tx, coins), index, form, checks)
    except errors.ScriptError as error:
        return type(error)
    except errors.InputScriptNotEmpty as error:
        return type(error)
    return None if run_checks(checks) is None else errors.SignatureWrong


@pytest.mark.parametrize("name", ["tx_valid", "tx_invalid"])
def test_transactions_round_trip(vectors, name):
    decoded = 0
    for row in load(vectors, name):
        if len(row) != 3:
            continue
        raw = bytes.fromhex(row[1])
        try:
            tx = Transaction.decode(raw)
        except DecodeError:
            assert name == "tx_invalid"
            continue
        decoded += 1
        if not tx.inputs:
            continue
        again = Transaction.build(tx.version, tx.inputs, tx.outputs, tx.lock_time)
        assert (again.raw, again.txid, again.wtxid) == (raw, tx.txid, sha256d(raw))
        assert again.txid == sha256d(tx.encode_stripped())
    assert decoded > 80


def test_sighash_transactions_round_trip(vectors):
    """Legacy signature hashes are not ours; the 500 random transactions and their ids are."""
    rows = load(vectors, "sighash")[1:]
    assert len(rows) == 500
    for raw, *_ in rows:
        tx = Transaction.decode(bytes.fromhex(raw))
        again = Transaction.build(tx.version, tx.inputs, tx.outputs, tx.lock_time)
        assert again.raw.hex() == raw
        assert tx.txid == tx.wtxid == sha256d(bytes.fromhex(raw))


def closed_inputs(row) -> tuple[Transaction, list[TxOut], list[int]] | None:
    """Give a row's transaction, what it spends, and the inputs that spend a form of ours."""
    try:
        tx = Transaction.decode(bytes.fromhex(row[1]))
    except DecodeError:
        return None
    known = {}
    for prevout in row[0]:
        txid, index, script, *amount = prevout
        outpoint = OutPoint(from_display(txid) + (index & 0xFFFFFFFF).to_bytes(4, "little"))
        known[outpoint] = TxOut(amount[0] if amount else 0, program_script(script) or b"")
    coins = [known.get(item.outpoint, TxOut(0, b"")) for item in tx.inputs]
    return tx, coins, [index for index, coin in enumerate(coins) if coin.script]


def test_valid_inputs_of_our_forms_are_good(vectors):
    good = closed = 0
    for row in load(vectors, "tx_valid"):
        found = closed_inputs(row) if len(row) == 3 and "WITNESS" in row[2] else None
        for index in found[2] if found else ():
            broken = verdict(found[0], found[1], index)
            if broken in STRICTER:
                closed += 1
            else:
                assert broken is None, (row[1], index)
                good += 1
    assert good >= 15
    assert closed < good


def test_invalid_transactions_with_our_forms_are_bad(vectors):
    """A transaction of this list fails somewhere; where only our forms are spent, ours must see it."""
    bad = 0
    for row in load(vectors, "tx_invalid"):
        found = closed_inputs(row) if len(row) == 3 and "WITNESS" in row[2] else None
        if not found or len(found[2]) != len(found[0].inputs):
            continue
        bad += 1
        assert any(verdict(found[0], found[1], index) for index in found[2]), row[1]
    assert bad >= 4


# The rules that Core's errors belong to; one error here may be told more finely by ours.
SAME_RULE = {
    "EVAL_FALSE": {errors.SignatureWrong, errors.SignatureEncoding},
    "WITNESS_PROGRAM_MISMATCH": {errors.WitnessProgramMismatch, errors.WitnessShape},
    "WITNESS_PROGRAM_WITNESS_EMPTY": {errors.WitnessShape},
    "WITNESS_MALLEATED": {errors.InputScriptNotEmpty},
    "SIG_NULLDUMMY": {errors.WitnessShape},
    "NULLFAIL": {errors.SignatureWrong},
    "EQUALVERIFY": {errors.WitnessProgramMismatch},
}


def script_rows(vectors):
    """Give the rows that spend a witness program natively, under BIP-141's rules."""
    for row in load(vectors, "script_tests"):
        if not isinstance(row[0], list):
            continue
        stack, (script_sig, script_pubkey, flags, expected) = row[0], row[1:5]
        script = program_script(script_pubkey)
        if script is None or script_sig or "WITNESS" not in flags.split(","):
            continue
        if script[0] == 0x51 or any(item.startswith("#") for item in stack[:-1]):
            continue
        witness = tuple(bytes.fromhex(item) for item in stack[:-1])
        yield witness, round(stack[-1] * 10**8), script, expected, row


def spend_of(script: bytes, witness: tuple[bytes, ...], value: int) -> tuple[Transaction, TxOut]:
    """Make Core's crediting and spending transactions."""
    credit = Transaction.build(1, [TxIn(NULL_OUTPOINT, b"\x00\x00", SEQUENCE_FINAL)], [TxOut(value, script)])
    source = TxIn(credit.outpoint(0), b"", SEQUENCE_FINAL, witness)
    return Transaction.build(1, [source], [TxOut(value, b"")]), credit.outputs[0]


def test_script_tests(vectors):
    """Every row in our closed set gets Bitcoin's verdict; every row outside of it is refused."""
    applied = outside = 0
    for witness, value, script, expected, row in script_rows(vectors):
        tx, coin = spend_of(script, witness, value)
        broken = verdict(tx, [coin], 0)
        if broken in STRICTER:
            outside += 1
            continue
        applied += 1
        if expected == "OK":
            assert broken is None, row
        else:
            assert broken in SAME_RULE.get(expected, {broken} - {None}), (expected, broken, row)
    assert applied >= 7
    assert outside > 0
