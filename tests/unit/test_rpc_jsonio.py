from decimal import Decimal

import orjson
import pytest

from ioex_chain.rpc.errors import JsonError
from ioex_chain.rpc.jsonio import amount, dumps, loads, number, units_from_json, writable
from ioex_chain.rpc.limits import Limits

LIMITS = Limits(json_depth=4, json_values=50, number_digits=20)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "byte 0"),
        (b"\xff", "UTF-8"),
        (b"\xef\xbb\xbf1", "byte order mark"),
        ("[1]".encode("utf-16"), "Parse error"),
        ("[1]".encode("utf-32"), "Parse error"),
        (b"NaN", "Parse error"),
        (b"[Infinity]", "Parse error"),
        (b"-Infinity", "Parse error"),
        (b"1e400", "Parse error"),
        (b"1" * 21, "20 digits"),
        (b"1" * 5_000, "Parse error"),
        (b'"\\ud800"', "Parse error"),
        (b'{"a":1,"a":1}', "two members"),
        (b'[{"b":{"a":1,"a":1}}]', "two members"),
        (b"[1,]", "Parse error"),
        (b"[1] 2", "Parse error"),
        (b"'a'", "Parse error"),
        (b"{a:1}", "Parse error"),
        (b'"a\nb"', "Parse error"),
        (b"[[[[[1]]]]]", "4 levels"),
        (b"[" * 2_000 + b"]" * 2_000, "values"),
        (b"[" + b"1," * 50 + b"1]", "50 values"),
        (b"[/*x*/1]", "Parse error"),
    ],
)
def test_what_is_refused_says_why(body: bytes, word: str) -> None:
    with pytest.raises(JsonError) as caught:
        loads(body, LIMITS)
    assert caught.value.code == -32700
    assert word in caught.value.message


def test_deep_nesting_is_refused_without_recursion() -> None:
    for depth in (65, 999, 1_025, 100_000):
        with pytest.raises(JsonError):
            loads(b"[" * depth + b"]" * depth, Limits())
    assert loads(b"[" * 64 + b"]" * 64, Limits()) is not None


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b" [1, 2.5, null, true]\r\n", [1, 2.5, None, True]),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b"[[[[]]]]", [[[[]]]]),
        (b'["[[[[[[[["]', ["[[[[[[[["]),
    ],
)
def test_what_is_read(body: bytes, value: object) -> None:
    assert loads(body, Limits(json_depth=4)) == value


@pytest.mark.parametrize(
    ("units", "text"),
    [
        (0, "0.00000000"),
        (1, "0.00000001"),
        (-1, "-0.00000001"),
        (2_000_000_000, "20.00000000"),
        (20_000_000_000_000_001, "200000000.00000001"),
    ],
)
def test_amounts_are_exact(units: int, text: str) -> None:
    assert dumps({"a": amount(units)}) == f'{{"a":{text}}}'.encode()


@pytest.mark.parametrize(
    ("value", "units"),
    [
        (1, 10**8),
        (0.1, 10**7),
        ("0.00000001", 1),
        (Decimal("20.5"), 2_050_000_000),
        (1e-8, 1),
        (20_000_000.00000001, 2 * 10**15 + 1),
    ],
)
def test_amounts_are_read_exactly(value: object, units: int) -> None:
    assert units_from_json(value) == units


@pytest.mark.parametrize(
    "value",
    [
        True,
        None,
        "x",
        "",
        "1_0",
        "١",
        " 1",
        "1e99999999",
        1e300,
        -1,
        "-0.1",
        "0.000000001",
        10**10,
        "NaN",
        float("inf"),
        [],
        "9" * 400,
    ],
)
def test_what_is_no_amount(value: object) -> None:
    with pytest.raises(ValueError):
        units_from_json(value)


def test_other_helpers() -> None:
    assert dumps(Decimal("0.00000001")) == b"0.00000001"
    assert number(1.00000000000000001) == 1.0
    assert dumps({"a": [2**64, 1]}) == b'{"a":[18446744073709551616,1]}'
    assert writable(True) is True
    for bad in (b"x", {1, 2}, "\ud800"):
        with pytest.raises(TypeError):
            dumps(bad)
    assert orjson.loads(dumps({"a": None})) == {"a": None}
