"""The small parts of the server on their own: table, signatures, credentials, origins, frames, budget."""

import ast
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rpc_sample import ROWS, BlockMissing, SampleApi, table

from ioex_chain import rpc
from ioex_chain.primitives.errors import UnexpectedEnd
from ioex_chain.rpc.auth import Authenticator, CookieError, CookieFile, Credential
from ioex_chain.rpc.budget import Budget, Hold
from ioex_chain.rpc.errors import ErrorTable, Flavour, LimitExceeded
from ioex_chain.rpc.frames import FrameGuard, FrameScanner
from ioex_chain.rpc.limits import Limits
from ioex_chain.rpc.origin import OriginPolicy, is_plain_form
from ioex_chain.rpc.params import BadSignature
from ioex_chain.rpc.registry import MethodTable, method
from ioex_chain.rpc.websocket import Outbox


def no_type(a) -> int:  # type: ignore[no-untyped-def]
    """Take something."""
    return 0


def no_result(a: int):  # type: ignore[no-untyped-def]
    """Take something."""


def starred(*a: int) -> int:
    """Take something."""
    return 0


def undocumented(a: int) -> int:
    return a


def named_args(args: int) -> int:
    """Take a parameter with the reserved name."""
    return args


@pytest.mark.parametrize("function", [no_type, no_result, starred, undocumented, named_args])
def test_methods_that_cannot_be_described_are_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(BadSignature):
        MethodTable().add(method("m", group="g")(function))


def test_names_are_unique_and_marks_needed() -> None:
    _, methods = table()
    with pytest.raises(BadSignature):
        methods.add_api(SampleApi())
    with pytest.raises(BadSignature):
        methods.add(lambda: None)

    async def waits() -> None:
        """Wait."""

    with pytest.raises(BadSignature):
        methods.add(method("t", group="g", thread=True)(waits))


def test_help() -> None:
    _, methods = table()
    assert methods.help_lines()["blocks"] == ["getblock blockhash ( verbosity )"]
    text = methods.help_text("getblock") or ""
    for part in (
        "Give a block.",
        "Verbosity 0 is",
        "1. blockhash (string, required) a block's hash",
        "default 1",
    ):
        assert part in text
    assert "authentication" in (methods.help_text("pay") or "")
    assert methods.help_text("nothing") is None
    assert len(methods) == len(list(methods))
    assert "echo" in methods


def test_error_rows_follow_the_class_tree() -> None:
    class Deeper(BlockMissing):
        """A kind of it."""

    core, ethereum = ErrorTable(ROWS), ErrorTable(ROWS, Flavour.ETHEREUM)
    assert core.translate(Deeper("gone"), "m").code == -5
    assert core.translate(UnexpectedEnd("short"), "m").code == -22
    assert ethereum.translate(UnexpectedEnd("short"), "m").code == -32000
    assert core.translate(Deeper(), "m").message == "Deeper"


def test_cookie_file(tmp_path: Path) -> None:
    cookie = CookieFile(tmp_path / ".cookie")
    with pytest.raises(CookieError, match="cookie"):
        cookie.read()
    first = cookie.create()
    assert cookie.read() == first
    assert stat.S_IMODE(cookie.path.stat().st_mode) == 0o600
    assert (first.user, len(first.password)) == ("__cookie__", 64)
    second = cookie.create()
    assert second.password != first.password
    assert [p.name for p in tmp_path.iterdir()] == [".cookie"]
    cookie.path.write_text("nonsense")
    with pytest.raises(CookieError):
        cookie.read()
    cookie.remove()
    cookie.remove()
    assert not cookie.path.exists()
    with pytest.raises(CookieError):
        CookieFile(tmp_path / "no" / "folder").create()


def test_basic_authentication() -> None:
    auth = Authenticator([Credential("__cookie__", "aa"), Credential("u", "p:q")])
    assert auth.accepts(Credential("u", "p:q").header())
    assert auth.accepts(Credential("__cookie__", "aa").header().replace("Basic", "basic"))
    for wrong in (
        "",
        "Basic",
        "Basic !",
        "Bearer x",
        "Basic é",
        "Basic " + "A" * 5000,
        Credential("u", "p").header(),
    ):
        assert not auth.accepts(wrong)
    assert not Authenticator().accepts(Credential("", "").header())
    assert "p:q" not in repr(Credential("u", "p:q"))


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        (None, True),
        ("localhost", True),
        ("LOCALHOST:8332", True),
        ("127.0.0.1:1", True),
        ("[::1]:1", True),
        ("192.168.1.5", True),
        ("node.example:80", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("", False),
        ("[::1", True),
        ("2130706433", False),
    ],
)
def test_host_names(host: str | None, allowed: bool) -> None:
    assert OriginPolicy(hosts=frozenset({"node.example"})).allows_host(host) is allowed
    assert OriginPolicy(hosts=frozenset({"*"})).allows_host(host)


def test_origins() -> None:
    policy = OriginPolicy(origins=frozenset({"https://app.example"}))
    assert policy.allows_origin(None, "h")
    assert policy.allows_origin("http://h:1", "h:1")
    assert not policy.allows_origin("http://h:2", "h:1")
    assert not policy.allows_origin("null", "null")
    assert not policy.allows_origin("https://evil.example", "h")
    assert policy.cors_headers("https://app.example")["Access-Control-Allow-Origin"] == "https://app.example"
    assert not policy.cors_headers("https://evil.example")
    assert not OriginPolicy().preflight_headers("https://app.example")
    assert is_plain_form("Text/Plain; charset=utf-8")
    assert is_plain_form(None)
    assert not is_plain_form("application/json")


def frame(payload: bytes, first: int = 0x81, masked: bool = True) -> bytes:
    size = len(payload)
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, bit | size])
    elif size < 65_536:
        head = bytes([first, bit | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, bit | 127]) + size.to_bytes(8, "big")
    return head + (b"\0\0\0\0" if masked else b"") + payload


@pytest.mark.parametrize("step", [1, 3, 7, 100_000])
def test_frames_are_followed_in_every_cut(step: int) -> None:
    stream = frame(b"") + frame(b"a" * 125) + frame(b"b" * 300) + frame(b"c" * 70_000) + frame(b"p", 0x89)
    scanner = FrameScanner()
    verdicts = [scanner.scan(stream[i : i + step]) for i in range(0, len(stream), step)]
    assert all(masked for masked, _ in verdicts)
    assert scanner.scan(frame(b"x", masked=False))[0] is False


def test_messages_end_with_their_last_frame() -> None:
    scanner = FrameScanner()
    assert scanner.scan(frame(b"a", 0x01)) == (True, False)
    assert scanner.scan(frame(b"ping", 0x89)) == (True, False)
    assert scanner.scan(frame(b"b", 0x80)) == (True, True)


class Recorder:
    def __init__(self) -> None:
        self.data = b""
        self.ended = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        self.ended = True


def test_the_guard_ends_the_connection_once() -> None:
    refusals: list[int] = []
    parser, budget = Recorder(), Budget(100)
    guard = FrameGuard(parser, Hold(budget, 0), lambda: refusals.append(1))
    guard.feed_data(frame(b"fine"))
    assert budget.used == 10
    guard.feed_data(frame(b"bad", masked=False))
    guard.feed_data(frame(b"later"))
    assert (refusals, parser.data, budget.used) == ([1], frame(b"fine"), 0)


def test_half_messages_are_bounded_by_the_budget() -> None:
    refusals: list[int] = []
    budget = Budget(100)
    guard = FrameGuard(Recorder(), Hold(budget, 50), lambda: refusals.append(1))
    guard.feed_data(frame(b"x" * 10_000)[:140])
    assert (refusals, budget.used) == ([], 90)
    guard.feed_data(b"x" * 20)
    assert (refusals, budget.used) == ([1], 0)


def test_the_budget_is_handed_back() -> None:
    budget = Budget(10)
    with Hold(budget, 5) as one, Hold(budget, 5) as other:
        one.grow(12)
        other.grow(8)
        with pytest.raises(LimitExceeded):
            other.grow(1)
        assert budget.used == 10
    assert budget.used == 0


async def test_the_outbox_is_bounded_in_number_and_bytes() -> None:
    box = Outbox(Limits(ws_queue_items=2, ws_queue_bytes=100))
    assert box.put(b"x" * 500)
    assert not box.put(b"y")
    assert await box.first() == b"x" * 500
    box.sent()
    assert box.put(b"1")
    assert box.put(b"2")
    assert not box.put(b"3")


GENERIC = [
    "auth",
    "budget",
    "client",
    "connection",
    "context",
    "dispatch",
    "envelope",
    "errors",
    "fastlane",
    "frames",
    "jsonio",
    "limits",
    "openrpc",
    "origin",
    "params",
    "registry",
    "server",
    "subscriptions",
    "websocket",
]


@pytest.mark.parametrize("module", GENERIC)
def test_the_server_knows_no_chain(module: str) -> None:
    """So that the second chain's port is served by the same code."""
    tree = ast.parse((Path(rpc.__file__).parent / f"{module}.py").read_text())
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    own = {name.removeprefix("ioex_chain.") for name in names if name.startswith("ioex_chain")}
    allowed = {f"rpc.{name}" for name in GENERIC}
    assert {name for name in own if not name.startswith("primitives.")} <= allowed
