"""Ethereum's TransactionTests and RLPTests: bytes, hash, sender, intrinsic gas, and every refusal.

The verdict of the newest fork that a file knows is ours, but that type 3 does not exist here.
"""

import json

import pytest

from ioex_chain.evm.errors import FloorGasTooLow, InvalidTransaction
from ioex_chain.evm.senders import sender
from ioex_chain.evm.strict_rlp import decode
from ioex_chain.evm.transactions import (
    check_transaction,
    decode_transaction,
    floor_gas,
    intrinsic_gas,
    signed,
    signing_hash,
)
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.rlp import encode
from ioex_chain.primitives.rlp import encode_integer as uint

# Valid before Prague: since EIP-7623 its data costs more than its gas.
BEFORE_PRAGUE = {"DataTestSufficientGas2028/DataTestSufficientGas2028": FloorGasTooLow}
FORKS = ("Prague", "Cancun", "Shanghai", "Paris", "London")


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def cases(vectors):
    for path in sorted((vectors / "TransactionTests").glob("*/*.json")):
        for name, case in json.loads(path.read_text()).items():
            fork = next(fork for fork in FORKS if fork in case["result"])
            yield f"{path.stem}/{name}", unhex(case["txbytes"]), case["result"][fork]


def verdict(raw: bytes):
    tx = decode_transaction(raw)
    check_transaction(tx, 1)
    return tx, sender(tx)


def test_every_transaction(vectors):
    counts = {True: 0, False: 0}
    wrong = []
    for name, raw, expected in cases(vectors):
        valid = "hash" in expected
        counts[valid] += 1
        try:
            tx, address = verdict(raw)
        except InvalidTransaction as error:
            if valid and type(error) is not BEFORE_PRAGUE.get(name):
                wrong.append((name, repr(error), expected))
            continue
        if not valid:
            wrong.append((name, "accepted", expected))
            continue
        assert tx.hash == unhex(expected["hash"]), name
        assert address == unhex(expected["sender"]), name
        assert intrinsic_gas(tx) == int(expected["intrinsicGas"], 16), name
        assert signing_hash(tx) == tx.signing_hash, name
        assert signed(tx, tx.y_parity, tx.r, tx.s).raw == raw, name
        assert floor_gas(tx) >= 21_000
    assert not wrong
    assert counts[True] >= 20
    assert counts[False] >= 50


def to_item(value):
    if isinstance(value, list):
        return [to_item(part) for part in value]
    if isinstance(value, int):
        return uint(value)
    if value.startswith("#"):
        return uint(int(value[1:]))
    return value.encode()


@pytest.mark.parametrize("name", ["rlptest.json", "RandomRLPTests/example.json", "invalidRLPTest.json"])
def test_rlp(vectors, name):
    for case_name, case in json.loads((vectors / "RLPTests" / name).read_text()).items():
        data = unhex(case["out"])
        if case["in"] == "INVALID":
            with pytest.raises(DecodeError):
                decode(data)
        elif case["in"] == "VALID":
            assert encode(decode(data)) == data, case_name
        else:
            assert encode(to_item(case["in"])) == data, case_name
            assert decode(data) == to_item(case["in"]), case_name
