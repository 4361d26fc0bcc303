"""`ioex db`: check, repair, compact and rebuild the databases of a stopped node."""

import shutil
from collections.abc import Iterable
from contextlib import closing, suppress
from enum import StrEnum
from typing import Annotated, Any

import typer

from ioex_chain.cli.options import Session, command, err, fail, out
from ioex_chain.cli.progress import Progress
from ioex_chain.ledger import store as stores
from ioex_chain.ledger.errors import BelowFloor, StoreCorrupt
from ioex_chain.ledger.verify import check as check_database
from ioex_chain.ledger.verify import reindex as rebuild
from ioex_chain.node.offline import Place, Tools, stopped_node

app = typer.Typer(
    no_args_is_help=True, help="The databases of a stopped node: check, repair, compact, reindex."
)


class Chain(StrEnum):
    """The chain that a command is about."""

    POW = "pow"
    DPOS = "dpos"


AnyChain = Annotated[Chain, typer.Option("--chain", help="The chain.")]


@app.command("check")
@command()
def check(
    session: Session,
    deep: Annotated[bool, typer.Option("--deep", help="Check every body against its header too.")] = False,
    chain: Annotated[Chain | None, typer.Option("--chain", help="One chain only.")] = None,
) -> None:
    """Read every row of both chains and see that they agree. Exits 1 when something is wrong."""
    with stopped_node(session.config) as place:
        found: dict[Chain, dict[str, Any]] = {
            name: _check(session, place.tools(name), deep) for name in _wanted(place, chain)
        }
    first, *others = found
    result = {**found[first], **{str(name): found[name] for name in others}}
    sound = result["ok"] = all(report["ok"] for report in found.values())

    def text() -> None:
        for name, report in found.items():
            _tell(name, report)

    session.show(result, text)
    if not sound:
        raise SystemExit(1)


def _wanted(place: Place, chain: Chain | None) -> Iterable[Chain]:
    if chain is not None:
        return (chain,)
    return (Chain.POW, Chain.DPOS) if place.has_dpos else (Chain.POW,)


def _check(session: Session, tools: Tools, deep: bool) -> dict[str, Any]:
    with tools.opened() as store, Progress("checking", session) as progress:
        report = check_database(
            store, tools.codec, check_block=tools.check_body if deep else None, progress=progress.step
        )
    return {
        "database": str(tools.database),
        "height": report.height,
        "rows": report.rows,
        "state_digest": report.state_digest.hex(),
        "problems": report.problems,
        "ok": not report.problems,
    }


def _tell(name: str, report: dict[str, Any]) -> None:
    count = sum(report["rows"].values())
    out.print(f"{report['database']}: height {report['height']}, {count} rows", soft_wrap=True)
    for problem in report["problems"]:
        err.print(f"  {problem}", highlight=False, soft_wrap=True)
    here = "" if name == Chain.POW else f" --chain {name}"
    print(
        "sound"
        if report["ok"]
        else f"damaged: run `ioex db reindex{here}`, after `ioex db repair{here}` if that fails"
    )


@app.command("repair")
@command()
def repair(session: Session, chain: AnyChain = Chain.POW) -> None:
    """Let LevelDB save what it can of damaged files. Follow it with `ioex db reindex`."""
    with stopped_node(session.config) as place:
        tools = place.tools(chain)
        with suppress(StoreCorrupt), tools.opened():
            pass
        stores.repair(tools.database)
    follow = "ioex db reindex" if chain == Chain.POW else f"ioex db reindex --chain {chain}"
    session.show(
        {"repaired": str(tools.database), "next": follow},
        lambda: out.print(f"Saved what could be read. Now run: {follow}", highlight=False),
    )


@app.command("compact")
@command()
def compact(session: Session, chain: AnyChain = Chain.POW) -> None:
    """Give the disk space of deleted rows back."""
    with stopped_node(session.config) as place, place.tools(chain).opened() as store:
        before = store.size()
        store.compact()
        after = store.size()
    session.show(
        {"bytes_before": before, "bytes_after": after},
        lambda: out.print(f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after", highlight=False),
    )


@app.command("reindex")
@command("indexes")
def reindex(session: Session, chain: AnyChain = Chain.POW) -> None:
    """Build state, undo and indexes anew from the stored blocks; every block is verified again.

    The new database takes the old one's place only when it is complete: interrupted, it changes nothing.
    """
    with stopped_node(session.config) as place:
        wanted = session.config.indexes
        indexes = place.identity.indexes if wanted is None or chain == Chain.DPOS else wanted
        tools = place.tools(chain)
        shutil.rmtree(tools.rebuilt, ignore_errors=True)
        with (
            tools.opened() as old,
            closing(stores.LevelStore(tools.rebuilt, create=True)) as new,
            Progress("reindexing", session) as progress,
        ):
            ledger = tools.open_ledger(new, indexes=indexes)
            height = rebuild(old, ledger, tools.codec, progress.step)
            head = tools.shown(ledger.head.hash)
        tools.take_rebuilt(indexes)
    session.show(
        {"height": height, "head": head, "indexes": indexes},
        lambda: out.print(f"Rebuilt up to height {height}, {head}", highlight=False, soft_wrap=True),
    )


@command()
def rollback(
    session: Session,
    count: Annotated[int, typer.Argument(help="How many blocks to take off.", min=1)],
    chain: AnyChain = Chain.POW,
) -> None:
    """Take the last COUNT blocks off a stopped node's chain; it fetches them anew when it runs.

    Final blocks stay.
    """
    with stopped_node(session.config) as place:
        tools = place.tools(chain)
        with tools.open() as ledger:
            try:
                event = ledger.rollback(count)
            except (ValueError, BelowFloor) as error:
                fail(str(error), as_json=session.as_json)
                return
    shown = tools.shown(event.head.hash)
    session.show(
        {"height": event.head.height, "head": shown, "removed": count},
        lambda: out.print(f"Now at height {event.head.height}, {shown}", highlight=False),
    )
