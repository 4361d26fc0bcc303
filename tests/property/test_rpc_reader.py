"""Whatever bytes come in, what goes out is a proper JSON-RPC answer or, for notifications, nothing."""

import asyncio
import json
import math
from typing import Annotated, Any, Literal

from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.dispatch import Dispatcher, Reply
from ioex_chain.rpc.errors import ErrorTable, Flavour, JsonError, ParameterError
from ioex_chain.rpc.jsonio import amount, dumps, loads, units_from_json
from ioex_chain.rpc.limits import Limits
from ioex_chain.rpc.params import Param, read_signature
from ioex_chain.rpc.registry import MethodTable, method

LIMITS = Limits(json_depth=20, json_values=2_000)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec="utf-8"), max_size=20)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), inner, max_size=5)
    ),
    max_leaves=25,
)


class Api:
    @method("f", group="g")
    def f(
        self,
        word: Annotated[str, Field(max_length=5)],
        count: Annotated[int, Field(ge=0, le=9)] = 3,
        kind: Annotated[Literal["a", "b"] | None, Param(also=("sort",))] = None,
        items: list[int] | None = None,
    ) -> list[Any]:
        """Give back the arguments."""
        return [word, count, kind, items]

    @method("g", group="g")
    async def g(self, value: dict[str, bool]) -> dict[str, bool]:
        """Give back an object."""
        return value


def make(flavour: Flavour) -> Dispatcher:
    table = MethodTable()
    table.add_api(Api())
    return Dispatcher(table, errors=ErrorTable(flavour=flavour), limits=LIMITS)


def answer(body: bytes, flavour: Flavour = Flavour.CORE) -> Reply:
    async def run() -> Reply:
        dispatcher = make(flavour)
        reply = await dispatcher.handle(body, CallContext())
        dispatcher.close()
        return reply

    return asyncio.run(run())


def assert_proper(item: Any) -> None:
    assert isinstance(item, dict)
    assert "id" in item
    error = item.get("error")
    if error is None:
        assert "result" in item
    else:
        assert item.get("result") is None
        assert isinstance(error["code"], int)
        assert isinstance(error["message"], str)
        assert error["code"] != -32603, error


def check(body: bytes) -> None:
    reply = answer(body)
    if reply.body is None:
        assert reply.status == 204
        return
    value = json.loads(reply.body, parse_constant=lambda name: 1 / 0)
    for item in value if isinstance(value, list) else [value]:
        assert_proper(item)


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    check(body)


@given(JSON)
def test_any_json(value: object) -> None:
    check(json.dumps(value).encode())


REQUEST = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "1.0", "1.1", "3.0"]) | SCALARS,
        "method": st.sampled_from(["f", "g", "rpc.discover"]) | SCALARS,
        "params": st.lists(JSON, max_size=5)
        | st.dictionaries(
            st.sampled_from(["word", "count", "kind", "sort", "items", "args", "value"]), JSON, max_size=5
        )
        | SCALARS,
        "id": SCALARS | JSON,
    },
)


@given(REQUEST | st.lists(REQUEST, max_size=4))
def test_any_request(value: object) -> None:
    check(json.dumps(value).encode())


@given(REQUEST, st.data())
def test_any_mutation_of_a_request(value: object, data: st.DataObject) -> None:
    body = bytearray(json.dumps(value).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        cut = data.draw(st.integers(0, 3))
        body[at : at + cut] = data.draw(st.binary(max_size=3))
    check(bytes(body))


def has_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({k for k, _ in pairs}) != len(pairs):
        raise ValueError("duplicate")
    return dict(pairs)


@given(JSON)
def test_what_is_read_equals_what_was_written(value: object) -> None:
    """Against the standard library's reader, where both accept."""
    text = json.dumps(value)
    try:
        got = loads(text.encode(), LIMITS)
    except JsonError:
        strict = "NaN" in text or "Infinity" in text
        assert strict or any(len(word) > 300 for word in text.split())
        return
    assert got == json.loads(text, object_pairs_hook=has_duplicates)


SIGNATURE = read_signature("f", Api().f)


@given(
    st.lists(JSON, max_size=5)
    | st.dictionaries(st.sampled_from(["word", "count", "kind", "sort", "items", "args"]), JSON)
)
def test_the_binder_gives_checked_arguments_or_names_the_fault(params: object) -> None:
    bound: dict[str, Any] | None
    named = False
    try:
        bound = SIGNATURE.bind(params, CallContext())
    except ParameterError as error:
        named = bool(error.name) and error.message.startswith(f"{error.name}: ")
        bound = None
    if bound is None:
        assert named
        return
    assert set(bound) == {"word", "count", "kind", "items"}
    assert isinstance(bound["word"], str)
    assert len(bound["word"]) <= 5
    assert type(bound["count"]) is int
    assert 0 <= bound["count"] <= 9
    assert bound["kind"] in (None, "a", "b")
    assert bound["items"] is None or all(type(i) is int for i in bound["items"])


@given(st.text(max_size=5), st.integers(0, 9), st.sampled_from(["a", "b"]), st.integers(1, 3))
def test_position_name_and_both_mean_the_same(word: str, count: int, kind: str, split: int) -> None:
    names, values = ["word", "count", "kind"], [word, count, kind]
    context = CallContext()
    mixed = {"args": values[:split], **dict(zip(names[split:], values[split:], strict=True))}
    expected = SIGNATURE.bind(values, context)
    assert SIGNATURE.bind(dict(zip(names, values, strict=True)), context) == expected
    assert SIGNATURE.bind(mixed, context) == expected


@given(st.integers(0, 10**17))
def test_amounts_survive_text(units: int) -> None:
    text = dumps(amount(units)).decode()
    assert text == f"{units // 10**8}.{units % 10**8:08d}"
    assert units_from_json(text) == units


@given(st.integers(0, 20_000_000 * 10**8))
def test_amounts_survive_json_numbers(units: int) -> None:
    assert units_from_json(loads(dumps(amount(units)), LIMITS)) == units


@given(JSON)
def test_what_is_no_amount_is_a_value_error(value: object) -> None:
    try:
        units = units_from_json(value)
    except ValueError:
        return
    assert units >= 0
    assert not (isinstance(value, float) and math.isnan(value))
