"""`ioex db`: check, repair, compact and rebuild the database of a stopped node."""

import shutil
from typing import Annotated, Any

import typer

from ioex_chain.cli.options import Session, command, err, fail, out
from ioex_chain.cli.progress import Progress
from ioex_chain.ledger import store as stores
from ioex_chain.ledger.errors import StoreError
from ioex_chain.ledger.verify import check as check_database
from ioex_chain.ledger.verify import reindex as rebuild
from ioex_chain.node.build import CODEC, open_ledger, open_store
from ioex_chain.node.clock import SystemClock
from ioex_chain.node.datadir import DataDir, Identity
from ioex_chain.node.processes import verify_pool
from ioex_chain.pow.machine import PowMachine
from ioex_chain.primitives.types import display
from ioex_chain.spec.load import load_network
from ioex_chain.spec.model import NetworkSpec

app = typer.Typer(
    no_args_is_help=True, help="The database of a stopped node: check, repair, compact, reindex."
)


def _locked(session: Session) -> tuple[DataDir, Identity, NetworkSpec]:
    datadir = session.datadir
    identity = datadir.identity()
    datadir.lock()
    spec = load_network(identity.network, genesis_time=identity.genesis_time, spacing=identity.spacing)
    return datadir, identity, spec


@app.command("check")
@command()
def check(
    session: Session,
    deep: Annotated[bool, typer.Option("--deep", help="Check every body against its header too.")] = False,
) -> None:
    """Read every row and see that they agree. Exits 1 when something is wrong."""
    datadir, _, spec = _locked(session)
    store = open_store(session.config, datadir, create=False)
    with Progress("checking", session) as progress:
        machine = PowMachine(spec)
        report = check_database(
            store,
            CODEC,
            check_block=machine.check_block if deep else None,
            progress=progress.step,
        )
    store.close()
    result: dict[str, Any] = {
        "database": str(datadir.database),
        "height": report.height,
        "rows": report.rows,
        "state_digest": report.state_digest.hex(),
        "problems": report.problems,
        "ok": not report.problems,
    }

    def text() -> None:
        out.print(
            f"{datadir.database}: height {report.height}, {sum(report.rows.values())} rows", soft_wrap=True
        )
        for problem in report.problems:
            err.print(f"  {problem}", highlight=False, soft_wrap=True)
        print(
            "sound"
            if not report.problems
            else "damaged: run `ioex db reindex`, after `ioex db repair` if that fails"
        )

    session.show(result, text)
    if report.problems:
        raise SystemExit(1)


@app.command("repair")
@command()
def repair(session: Session) -> None:
    """Let LevelDB save what it can of damaged files. Follow it with `ioex db reindex`."""
    datadir, _, _ = _locked(session)
    stores.repair(datadir.database)
    session.show(
        {"repaired": str(datadir.database), "next": "ioex db reindex"},
        lambda: out.print("Saved what could be read. Now run: ioex db reindex", highlight=False),
    )


@app.command("compact")
@command()
def compact(session: Session) -> None:
    """Give the disk space of deleted rows back."""
    datadir, _, _ = _locked(session)
    store = open_store(session.config, datadir, create=False)
    before = store.size()
    store.compact()
    after = store.size()
    store.close()
    session.show(
        {"bytes_before": before, "bytes_after": after},
        lambda: out.print(f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after", highlight=False),
    )


@app.command("reindex")
@command("indexes")
def reindex(session: Session) -> None:
    """Build state, undo and indexes anew from the stored blocks; every block is verified again.

    The new database takes the old one's place only when it is complete: interrupted, it changes nothing.
    """
    datadir, identity, spec = _locked(session)
    indexes = identity.indexes if session.config.indexes is None else session.config.indexes
    fresh = datadir.database.with_name("pow.reindex")
    shutil.rmtree(fresh, ignore_errors=True)
    workers = verify_pool(session.config.verify_processes)
    old = open_store(session.config, datadir, create=False)
    new = stores.LevelStore(fresh, create=True)
    ledger = open_ledger(
        spec, new, SystemClock(), indexes=indexes, archive=session.config.archive, workers=workers
    )
    with Progress("reindexing", session) as progress:
        height = rebuild(old, ledger, CODEC, progress.step)
    head = display(ledger.head.hash)
    old.close()
    new.close()
    if workers is not None:
        workers.shutdown(cancel_futures=True)
    _swap(datadir, identity, indexes=indexes)
    session.show(
        {"height": height, "head": head, "indexes": indexes},
        lambda: out.print(f"Rebuilt up to height {height}, {head}", highlight=False, soft_wrap=True),
    )


def _swap(datadir: DataDir, identity: Identity, *, indexes: bool) -> None:
    fresh, aside = datadir.database.with_name("pow.reindex"), datadir.database.with_name("pow.old")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        datadir.database.rename(aside)
        fresh.rename(datadir.database)
        datadir.write_identity(Identity(identity.network, identity.genesis_time, identity.spacing, indexes))
        shutil.rmtree(aside)
    except OSError as error:
        raise StoreError(
            f"cannot put the new database in place ({error.strerror}); rename {fresh} to {datadir.database}"
        ) from error


@command()
def rollback(
    session: Session,
    count: Annotated[int, typer.Argument(help="How many blocks to take off.", min=1)],
) -> None:
    """Take the last COUNT blocks off a stopped node's chain; it fetches them anew when it runs."""
    datadir, _, spec = _locked(session)
    store = open_store(session.config, datadir, create=False)
    ledger = open_ledger(spec, store, SystemClock(), archive=session.config.archive)
    try:
        event = ledger.rollback(count)
    except ValueError as error:
        fail(str(error), as_json=session.as_json)
        return
    finally:
        store.close()
    session.show(
        {"height": event.head.height, "head": display(event.head.hash), "removed": count},
        lambda: out.print(f"Now at height {event.head.height}, {display(event.head.hash)}", highlight=False),
    )
