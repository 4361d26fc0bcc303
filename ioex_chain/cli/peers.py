"""`ioex peers`: who is connected, who shall be, and who shall not."""

import asyncio
import time
from typing import Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from ioex_chain.cli.options import Session, command, fail, out
from ioex_chain.rpc.client import RpcCallError

DAY = 86_400
WIDE = 100
"""Columns of a terminal that has room for the peers' programs too."""


class _ListByDefault(TyperGroup):
    """A group that lists when no command is named: `ioex peers --json` is `ioex peers list --json`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` before options; the group has none of its own but --help."""
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args.insert(0, "list")
        found: list[str] = super().parse_args(ctx, args)
        return found


app = typer.Typer(
    cls=_ListByDefault,
    help="The node's peers: list (also without a word), add, remove, disconnect, ban, unban, bans.",
)


@app.command("list")
@command()
def list_(session: Session) -> None:
    """Show every connection. Exits 3 when no node answers."""
    rows = _call(session, "getpeerinfo")
    now = int(time.time())
    session.show([_facts(row, now) for row in rows], lambda: _print_peers([_facts(row, now) for row in rows]))


def _facts(row: dict[str, Any], now: int) -> dict[str, Any]:
    """Give what the table shows, under names that stay."""
    return {
        "number": row["id"],
        "id": row["peerid"],
        "address": row["addr"],
        "direction": "in" if row["inbound"] else "out",
        "type": row["connection_type"],
        "agent": row["subver"],
        "height": max(row["startingheight"], row["synced_headers"]),
        "ping": row.get("pingtime"),
        "up": max(0, now - row["conntime"]),
        "bytes_in": row["bytesrecv"],
        "bytes_out": row["bytessent"],
        "score": row["score"],
        "url": row.get("url"),
    }


def _print_peers(rows: list[dict[str, Any]]) -> None:
    if not rows:
        out.print("no peers", highlight=False)
        return
    table = Table(box=None, pad_edge=False)
    for name in ("#", "id", "address", "way"):
        table.add_column(name, no_wrap=True)
    for name in ("height", "ping", "up", "in", "out", "score"):
        table.add_column(name, justify="right", no_wrap=True)
    if is_wide := out.width >= WIDE:
        table.add_column("agent", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row), *([_plain(row["agent"])] if is_wide else []))
    out.print(table, highlight=False, markup=False)


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        str(row["number"]),
        row["id"][:8],
        row["address"],
        row["direction"] + ("*" if row["type"] == "manual" else ""),
        str(row["height"]),
        "" if row["ping"] is None else f"{1000 * row['ping']:.0f} ms",
        _age(row["up"]),
        _bytes(row["bytes_in"]),
        _bytes(row["bytes_out"]),
        str(row["score"]),
    ]


def _plain(text: str) -> str:
    """Show a stranger's text without what could drive the terminal or the markup."""
    return "".join(letter if letter.isprintable() and letter != "[" else "?" for letter in text)


def _age(seconds: int) -> str:
    for size, unit in ((DAY, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="ioex://<64 hex digits of the id>@host:port")]


@app.command("add")
@command()
def add(
    session: Session,
    peer: UrlArgument,
    once: Annotated[bool, typer.Option("--once", help="Dial once, do not keep the connection.")] = False,
) -> None:
    """Keep a connection to a peer, until the node stops or `ioex peers remove`.

    The setting `peers` keeps connections over restarts.
    """
    _call(session, "addnode", peer, "onetry" if once else "add")
    session.show({"added": peer, "once": once}, lambda: out.print("dialling" if once else "added"))


@app.command("remove")
@command()
def remove(session: Session, peer: UrlArgument) -> None:
    """Stop keeping a connection. It stays open; `ioex peers disconnect` ends it."""
    _call(session, "addnode", peer, "remove")
    session.show({"removed": peer}, lambda: out.print("removed"))


@app.command("disconnect")
@command()
def disconnect(
    session: Session,
    peer: Annotated[str, typer.Argument(help="Its number, host:port, id or URL.")],
) -> None:
    """End a connection."""
    if peer.isascii() and peer.isdigit() and len(peer) < 19:
        _call(session, "disconnectnode", "", int(peer))
    else:
        _call(session, "disconnectnode", peer)
    session.show({"disconnected": peer}, lambda: out.print("disconnected"))


SubjectArgument = Annotated[str, typer.Argument(help="An IP address, a subnet (CIDR) or a peer's id.")]


@app.command("ban")
@command()
def ban(
    session: Session,
    subject: SubjectArgument,
    seconds: Annotated[int, typer.Option(help="How long.", min=1)] = DAY,
) -> None:
    """Ban an address, a subnet or a peer, and disconnect it."""
    _call(session, "setban", subject, "add", seconds)
    session.show({"banned": subject, "seconds": seconds}, lambda: out.print(f"banned for {_age(seconds)}"))


@app.command("unban")
@command()
def unban(session: Session, subject: SubjectArgument) -> None:
    """Lift a ban."""
    _call(session, "setban", subject, "remove")
    session.show({"unbanned": subject}, lambda: out.print("lifted"))


@app.command("bans")
@command()
def bans(session: Session) -> None:
    """Show the bans in force, those by hand and the node's own."""
    rows = [
        {
            "subject": row["address"],
            "created": row["ban_created"],
            "until": row["banned_until"],
            "seconds_left": row["time_remaining"],
            "reason": row["ban_reason"],
        }
        for row in _call(session, "listbanned")
    ]
    session.show(rows, lambda: _print_bans(rows))


def _print_bans(rows: list[dict[str, Any]]) -> None:
    if not rows:
        out.print("no bans", highlight=False)
        return
    table = Table("banned", "for another", "reason", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["subject"], _age(row["seconds_left"]), _plain(row["reason"]))
    out.print(table, highlight=False, markup=False)


def _call(session: Session, method: str, *params: Any) -> Any:
    async def ask() -> Any:
        async with session.client() as client:
            return await client.call(method, *params)

    try:
        return asyncio.run(ask())
    except RpcCallError as error:
        fail(error.message.removeprefix("Error: "), as_json=session.as_json)
