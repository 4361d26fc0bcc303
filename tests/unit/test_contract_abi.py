"""Texts to typed values and back: what people type, what contracts answer."""

import json
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.wallet import abi as contract_abi
from ioex_chain.wallet.abi import (
    decode_log,
    decode_values,
    encode_values,
    function,
    parse_integer,
    parse_signature,
    parse_value,
    read_abi,
    revert_reason,
)
from ioex_chain.wallet.contract_errors import (
    AmbiguousFunction,
    InvalidAbi,
    InvalidArgument,
    NoSuchFunction,
    WrongArgumentCount,
)

ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
ORDER = {
    "name": "order",
    "type": "tuple",
    "components": [{"name": "to", "type": "address"}, {"name": "amounts", "type": "uint8[2]"}],
}


def value(kind: str, text: Any) -> Any:
    return parse_value({"name": "x", "type": kind}, text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-5", -5),
        ("1_000", 1000),
        ("0xff", 255),
        ("-0x10", -16),
        ("1e18", 10**18),
        ("1.5ether", 15 * 10**17),
        ("1.5 IOEX", 15 * 10**17),
        ("3gwei", 3 * 10**9),
        ("0.000000000000000001ioex", 1),
        ("0.0000000000000000001ioex", None),
        ("1.5", None),
        ("1.0", 1),
        ("", None),
        ("five", None),
        ("1 dollar", None),
        ("0x", None),
        ("1e999", None),
        ("--5", None),
        ("1" * 101, None),
        ("٣", None),
    ],
)
def test_numbers(text: str, number: int | None) -> None:
    assert parse_integer(text) == number


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("uint8", "255", 255),
        ("int8", "-128", -128),
        ("address", ADDRESS.lower(), ADDRESS),
        ("bool", "true", True),
        ("bool", "0", False),
        ("bytes", "0x", b""),
        ("bytes4", "0x01020304", b"\1\2\3\4"),
        ("string", "grüß", "grüß"),
        ("uint256[]", '[1, "2ether", "0x3"]', [1, 2 * 10**18, 3]),
        ("uint8[2][]", "[[1,2],[3,4]]", [[1, 2], [3, 4]]),
        ("string[]", '["a", "b"]', ["a", "b"]),
    ],
)
def test_values(kind: str, text: str, expected: object) -> None:
    assert value(kind, text) == expected


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        ("uint8", "256", "out of its range"),
        ("uint256", "-1", "out of its range"),
        ("int8", "128", "out of its range"),
        ("uint256", "x", "no whole number"),
        ("address", ADDRESS[:-1] + "7", "typing error"),
        ("address", "0x12", "40 hex digits"),
        ("bool", "maybe", "true or false"),
        ("bytes4", "0x010203", "has 4 bytes, not 3"),
        ("bytes", "hello", "hex"),
        ("bytes", "0x123", "pairs"),
        ("uint256[]", "1,2", "as JSON"),
        ("uint256[]", "{}", "JSON array"),
        ("uint256[2]", "[1]", "2 elements, not 1"),
        ("uint256[]", "[true]", "no whole number"),
        ("fixed128x18", "1", "cannot be written here"),
        ("function", "1", "cannot be written here"),
    ],
)
def test_wrong_values_name_the_argument(kind: str, text: str, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why) as caught:
        value(kind, text)
    assert caught.value.name.startswith("x")


def test_tuples_are_arrays_or_objects() -> None:
    by_place = parse_value(ORDER, json.dumps([ADDRESS, [1, 2]]))
    by_name = parse_value(ORDER, json.dumps({"amounts": [1, 2], "to": ADDRESS}))
    assert by_place == by_name == (ADDRESS, [1, 2])
    with pytest.raises(InvalidArgument, match="to, amounts"):
        parse_value(ORDER, json.dumps({"amounts": [1, 2]}))
    with pytest.raises(InvalidArgument, match=r"order\.amounts\[1\]"):
        parse_value(ORDER, json.dumps([ADDRESS, [1, 256]]))


ABI = read_abi(
    [
        {"type": "function", "name": "put", "inputs": [{"name": "a", "type": "uint256"}], "outputs": []},
        {"type": "function", "name": "put", "inputs": [{"name": "a", "type": "string"}], "outputs": []},
        {
            "type": "function",
            "name": "fill",
            "inputs": [ORDER],
            "outputs": [ORDER],
            "stateMutability": "view",
        },
        {"type": "error", "name": "TooMuch", "inputs": [{"name": "limit", "type": "uint256"}]},
        {
            "type": "event",
            "name": "Done",
            "inputs": [
                {"name": "who", "type": "address", "indexed": True},
                {"name": "what", "type": "string", "indexed": True},
                {"name": "order", **{k: v for k, v in ORDER.items() if k != "name"}, "indexed": False},
            ],
        },
    ]
)


def test_functions_are_found_by_name_or_signature() -> None:
    with pytest.raises(AmbiguousFunction, match=r"put\(uint256\), put\(string\)"):
        function(ABI, "put")
    assert function(ABI, "put(uint)").signature == "put(uint256)"
    assert function(ABI, "fill").signature == "fill((address,uint8[2]))"
    assert function(ABI, "fill((address,uint8[2]))").mutability == "view"
    with pytest.raises(NoSuchFunction, match="it has:"):
        function(ABI, "nothing")
    with pytest.raises(WrongArgumentCount, match="takes 1 arguments, 2 were given"):
        function(ABI, "fill").calldata(["a", "b"])


def test_signatures_need_no_abi() -> None:
    found = parse_signature("function swap(uint,(address,bytes32[])[2]) (bool, string)")
    assert found.signature == "swap(uint256,(address,bytes32[])[2])"
    assert [one["type"] for one in found.outputs] == ["bool", "string"]
    assert parse_signature("total()").inputs == ()
    assert parse_signature("transfer(address,uint256)").selector.hex() == "a9059cbb"
    for text in ("total", "total(", "total)(", "a(b", "a(uint256)(x)(y)"):
        with pytest.raises((NoSuchFunction, InvalidAbi)):
            parse_signature(text)


def test_an_abi_with_unknown_types_is_refused() -> None:
    for kind in ("uint257", "byte33", "tuple", ""):
        with pytest.raises(InvalidAbi):
            read_abi([{"type": "function", "name": "f", "inputs": [{"type": kind}]}])
    with pytest.raises(InvalidAbi, match="no contract ABI"):
        read_abi({"abi": []})


def test_reverts_in_words() -> None:
    def error(signature: str, kinds: list[str], values: list[Any]) -> bytes:
        return keccak256(signature.encode())[:4] + encode(kinds, values)

    assert revert_reason(error("Error(string)", ["string"], ["no money"])) == "no money"
    assert revert_reason(error("Panic(uint256)", ["uint256"], [0x11])) == (
        "panic 0x11: arithmetic overflow or underflow"
    )
    assert revert_reason(error("TooMuch(uint256)", ["uint256"], [7]), ABI) == "TooMuch(limit=7)"
    assert revert_reason(b"\1\2\3\4") == "0x01020304"
    assert revert_reason(b"") == "it gave no reason"
    assert revert_reason(keccak256(b"Error(string)")[:4] + b"\xff" * 8).startswith("0x08c379a0")


def test_events_in_words() -> None:
    topic = keccak256(b"Done(address,string,(address,uint8[2]))")
    who, what = bytes(12) + bytes.fromhex(ADDRESS[2:]), keccak256(b"text")
    data = encode(["(address,uint8[2])"], [(ADDRESS, [1, 2])])
    found = decode_log(ABI, [topic, who, what], data)
    assert found is not None
    assert found["arguments"] == {"who": ADDRESS, "what": "0x" + what.hex(), "order": [ADDRESS, ["1", "2"]]}
    assert decode_log(ABI, [topic, who], data) is None
    assert decode_log(ABI, [topic, who, what], b"") is None
    assert decode_log(ABI, [], data) is None


KINDS = st.sampled_from(["uint256", "int64", "bool", "address", "bytes", "bytes3", "string"])
SCALARS = {
    "uint256": st.integers(0, 2**256 - 1).map(str),
    "int64": st.integers(-(2**63), 2**63 - 1).map(str),
    "bool": st.booleans(),
    "address": st.binary(min_size=20, max_size=20).map(contract_abi.checksum_account),
    "bytes": st.binary(max_size=70).map(lambda data: "0x" + data.hex()),
    "bytes3": st.binary(min_size=3, max_size=3).map(lambda data: "0x" + data.hex()),
    "string": st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40),
}


@given(st.data())
def test_what_is_written_comes_back(data: st.DataObject) -> None:
    """Any value, inside arrays and tuples too, survives text -> bytes -> JSON."""
    kinds = data.draw(st.lists(KINDS, min_size=1, max_size=4))
    plain = [data.draw(SCALARS[kind]) for kind in kinds]
    parts = [{"name": f"m{place}", "type": kind} for place, kind in enumerate(kinds)]
    item = {"name": "t", "type": "tuple[]", "components": parts}
    parsed = [parse_value(item, json.dumps([plain, plain]))]
    (back,) = decode_values([item], encode_values([item], parsed))
    assert back == [plain, plain]
