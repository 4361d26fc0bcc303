import asyncio
from typing import Any

import orjson
import pytest
from rpc_sample import SampleApi, dispatcher, parse

from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.dispatch import Dispatcher, Reply
from ioex_chain.rpc.errors import Flavour
from ioex_chain.rpc.limits import Limits

HASH = "ab" * 32


async def ask(d: Dispatcher, value: object, authorized: bool = False) -> Reply:
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return await d.handle(body, CallContext(authorized))


def v2(method: str, *params: object, **named: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": named or list(params), "id": 1}


def v1(method: str, *params: object) -> dict[str, Any]:
    return {"method": method, "params": list(params), "id": 1}


async def error_of(d: Dispatcher, value: object, authorized: bool = False) -> dict[str, Any]:
    error: dict[str, Any] = parse(await ask(d, value, authorized))["error"]
    return error


async def test_version_2_carries_result_or_error_never_both() -> None:
    _, d = dispatcher()
    good, bad = await ask(d, v2("echo", 5)), await ask(d, v2("nothing"))
    assert parse(good) == {"jsonrpc": "2.0", "result": 5, "id": 1}
    assert set(parse(bad)) == {"jsonrpc", "error", "id"}
    assert (good.status, bad.status) == (200, 200)


@pytest.mark.parametrize("extra", [{}, {"jsonrpc": "1.0"}, {"jsonrpc": "1.1"}, {"version": "1.1"}])
async def test_version_1_carries_both_keys(extra: dict[str, str]) -> None:
    _, d = dispatcher()
    assert parse(await ask(d, {**v1("echo", 5), **extra})) == {"result": 5, "error": None, "id": 1}
    assert parse(await ask(d, {**v1("nothing"), **extra}))["result"] is None


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (v1("nothing"), 404),
        ({"method": 5, "id": 1, "jsonrpc": "1.0"}, 400),
        (v1("missing"), 500),
        (v1("getblock", 7), 500),
        (v1("pay", "a", 1), 401),
        (v2("pay", "a", 1), 401),
        (v2("missing"), 200),
    ],
)
async def test_http_status_is_cores_for_version_1(request_: object, status: int) -> None:
    _, d = dispatcher()
    assert (await ask(d, request_)).status == status


@pytest.mark.parametrize("id_", [0, -1, 2**70, 1.5, "", "é\u0000", None, 10**299])
async def test_ids_come_back_unchanged(id_: object) -> None:
    _, d = dispatcher()
    text = b"null" if id_ is None else str(id_).encode() if isinstance(id_, int) else orjson.dumps(id_)
    reply = await ask(d, b'{"jsonrpc":"2.0","method":"echo","id":' + text + b"}")
    assert parse(reply)["id"] == id_
    assert b'"id":' + text in (reply.body or b"")


@pytest.mark.parametrize("id_", [True, [], {}])
async def test_other_ids_are_invalid_requests(id_: object) -> None:
    _, d = dispatcher()
    answer = parse(await ask(d, {"jsonrpc": "2.0", "method": "echo", "id": id_}))
    assert answer["error"]["code"] == -32600
    assert answer["id"] is None


async def test_notifications_run_and_are_not_answered() -> None:
    seen: list[str] = []
    _, d = dispatcher(observe=lambda name, seconds, code: seen.append(name))
    assert await ask(d, {"jsonrpc": "2.0", "method": "echo"}) == Reply(204, None)
    assert await ask(d, [{"jsonrpc": "2.0", "method": "nothing"}]) == Reply(204, None)
    assert seen == ["echo", "unknown"]


async def test_version_1_without_id_is_answered_as_core_does() -> None:
    _, d = dispatcher()
    assert parse(await ask(d, {"method": "echo"})) == {"result": None, "error": None, "id": None}


async def test_batch_items_fail_alone_and_notifications_leave_no_gap() -> None:
    _, d = dispatcher()
    reply = await ask(
        d, [v2("echo", 1), 5, {"jsonrpc": "2.0", "method": "echo"}, v1("nothing"), v2("pay", "a", 1)]
    )
    items = parse(reply)
    assert reply.status == 200
    assert [item.get("error") and item["error"]["code"] for item in items] == [None, -32600, -32601, 4100]


async def test_batch_limits() -> None:
    _, d = dispatcher(limits=Limits(batch_items=3, reply_bytes=1_000))
    assert (await error_of(d, []))["code"] == -32600
    assert (await error_of(d, [v2("echo")] * 4))["code"] == -32005
    items = parse(await ask(d, [v2("large", 600)] * 3))
    assert "result" in items[0]
    assert [i["error"]["code"] for i in items[1:]] == [-32005, -32005]


async def test_a_reply_above_the_cap_is_an_error() -> None:
    _, d = dispatcher(limits=Limits(reply_bytes=1_000))
    assert (await error_of(d, v2("large", 1_000)))["code"] == -32005


async def test_a_batch_has_one_deadline() -> None:
    api, d = dispatcher(limits=Limits(request_seconds=0.05))
    items = parse(await ask(d, [v2("write_slowly"), v2("echo")], authorized=True))
    assert [i["error"]["code"] for i in items] == [-32002, -32002]
    assert api.finished_writes == 0


@pytest.mark.parametrize(
    ("request_", "core", "word"),
    [
        (v2("getblock"), -1, "blockhash"),
        (v2("getblock", HASH, 1, 2), -1, "blockhash, verbosity"),
        (v2("getblock", 5), -3, "blockhash"),
        (v2("getblock", None), -3, "blockhash"),
        (v2("getblock", "zz"), -8, "blockhash"),
        (v2("getblock", HASH, 4), -8, "verbosity"),
        (v2("getblock", HASH, "1"), -3, "verbosity"),
        (v2("getblock", hash=HASH), -8, "hash"),
        (v2("getblock", blockhash=HASH, verbosity=1, verbose=True), -8, "verbose"),
        (v2("getblock", args=[HASH], blockhash=HASH), -8, "blockhash"),
        (v2("getblock", args=HASH), -3, "args"),
        (v2("many", [HASH, 5]), -3, "[1]"),
        (v2("choose", "c"), -8, "kind"),
        (v2("pay", "a", "1.000000001"), -8, "value"),
    ],
)
async def test_wrong_parameters_are_named(request_: object, core: int, word: str) -> None:
    for flavour, code in ((Flavour.CORE, core), (Flavour.ETHEREUM, -32602)):
        _, d = dispatcher(flavour)
        error = await error_of(d, request_, authorized=True)
        assert error["code"] == code
        assert word in error["message"]


@pytest.mark.parametrize(
    ("request_", "verbosity"),
    [
        (v2("getblock", HASH), 1),
        (v2("getblock", HASH, None), 1),
        (v2("getblock", HASH, 0), 0),
        (v2("getblock", HASH, True), True),
        (v2("getblock", blockhash=HASH), 1),
        (v2("getblock", verbose=2, blockhash=HASH), 2),
        (v2("getblock", args=[HASH], verbosity=3), 3),
    ],
)
async def test_right_parameters_in_every_form(request_: object, verbosity: object) -> None:
    _, d = dispatcher()
    assert parse(await ask(d, request_))["result"] == {"hash": HASH, "verbosity": verbosity}


async def test_a_json_name_that_python_reserves() -> None:
    _, d = dispatcher()
    assert parse(await ask(d, {**v2("choose"), "params": {"kind": "b", "from": 2}}))["result"] == ["b", "b"]


async def test_domain_errors_have_their_row() -> None:
    _, d = dispatcher()
    assert await error_of(d, v2("missing")) == {"code": -5, "message": "Block not found"}
    assert await error_of(d, v2("damaged")) == {"code": -20, "message": "Database error"}


@pytest.mark.parametrize("name", ["broken", "unwritable", "bad_data", "deep"])
async def test_unforeseen_errors_say_nothing_of_the_inside(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, d = dispatcher()
    reply = await ask(d, v2(name))
    error = parse(reply)["error"]
    assert error["code"] == -32603
    assert not any(word in (reply.body or b"") for word in (b"/etc", b"Traceback", b".py", b"line"))
    assert error["data"]["reference"] in caplog.text


async def test_unauthorised_writes_and_closed_ports() -> None:
    _, d = dispatcher()
    assert (await error_of(d, v2("pay", "a", 1)))["code"] == 4100
    assert parse(await ask(d, v2("pay", "a", 1), authorized=True))["result"] == {
        "address": "a",
        "amount": 1.0,
    }
    _, closed = dispatcher(reads_need_auth=True)
    assert (await error_of(closed, v2("echo")))["code"] == 4100
    assert (await error_of(closed, v2("nothing")))["code"] == 4100
    assert parse(await ask(closed, v2("whoami"), authorized=True))["result"] is True


async def test_amounts_have_eight_places() -> None:
    _, d = dispatcher()
    reply = await ask(d, v2("pay", "a", "20.1"), authorized=True)
    assert b'"amount":20.10000000' in (reply.body or b"")


@pytest.mark.parametrize("name", ["hang", "deaf"])
async def test_the_deadline_answers_even_when_the_method_does_not_end(name: str) -> None:
    api, d = dispatcher()
    assert (await error_of(d, v2(name)))["code"] == -32002
    await api.cancelled.wait()
    api.go_on.set()
    d.close()


async def test_threads_compute_and_are_left_behind_at_the_deadline() -> None:
    api, d = dispatcher()
    assert parse(await ask(d, v2("compute")))["result"].startswith("rpc")
    assert (await error_of(d, v2("compute", True)))["code"] == -32002
    api.release.set()
    d.close()


async def test_long_polls_outlast_the_port_limit_and_are_counted_apart() -> None:
    api, d = dispatcher(limits=Limits(request_seconds=0.01, long_polls=1, concurrent_calls=1))
    waiting = asyncio.create_task(ask(d, v2("longpoll")))
    await asyncio.sleep(0.03)
    assert (await error_of(d, v2("longpoll")))["code"] == -32005
    assert parse(await ask(d, v2("getblock", HASH)))["result"]["hash"] == HASH
    api.go_on.set()
    assert parse(await waiting)["result"] == "happened"


async def test_in_a_batch_a_long_poll_has_the_batch_deadline() -> None:
    _, d = dispatcher(limits=Limits(request_seconds=0.02))
    assert parse(await ask(d, [v2("longpoll")]))[0]["error"]["code"] == -32002


async def test_calls_beyond_the_cap_wait_and_then_are_refused() -> None:
    api, d = dispatcher(limits=Limits(request_seconds=30, concurrent_calls=1))
    first = asyncio.create_task(ask(d, v2("write_slowly"), authorized=True))
    for _ in range(5):
        await asyncio.sleep(0)
    assert (await error_of(d, v2("deaf")))["code"] == -32005  # its own deadline is short
    api.go_on.set()
    assert parse(await first)["result"] is None
    assert parse(await ask(d, v2("getblock", HASH)))["result"]["hash"] == HASH


async def cancel_under_way(api: SampleApi, d: Dispatcher, name: str) -> None:
    task = asyncio.create_task(ask(d, v2(name), authorized=True))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_when_the_client_leaves_reads_stop_and_writes_end() -> None:
    api, d = dispatcher()
    await cancel_under_way(api, d, "hang")
    await api.cancelled.wait()
    await cancel_under_way(api, d, "write_slowly")
    api.go_on.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert api.finished_writes == 1


async def test_unreadable_requests_have_the_flavours_status() -> None:
    for flavour, status in ((Flavour.CORE, 500), (Flavour.ETHEREUM, 200)):
        _, d = dispatcher(flavour)
        reply = await ask(d, b"{")
        assert (reply.status, parse(reply)["error"]["code"], parse(reply)["id"]) == (status, -32700, None)


async def test_the_observer_hears_every_call() -> None:
    seen: list[tuple[str, int]] = []
    _, d = dispatcher(observe=lambda name, seconds, code: seen.append((name, code)))
    for request in (v2("echo"), v2("nothing"), v2("missing"), b"x", 5):
        await ask(d, request)
    assert seen == [
        ("echo", 0),
        ("unknown", -32601),
        ("missing", -5),
        ("unknown", -32700),
        ("unknown", -32600),
    ]
