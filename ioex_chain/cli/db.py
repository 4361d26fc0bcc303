"""`ioex db`: check, repair, compact and rebuild the database of a stopped node."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Annotated, Any

import typer

from ioex_chain.cli.options import Session, command, err, fail, out
from ioex_chain.cli.progress import Progress
from ioex_chain.ledger import store as stores
from ioex_chain.ledger.errors import MutatedBlock, StoreCorrupt, StoreError
from ioex_chain.ledger.opening import refuse_foreign
from ioex_chain.ledger.verify import check as check_database
from ioex_chain.ledger.verify import reindex as rebuild
from ioex_chain.node.build import CODEC, naming, open_ledger, open_store
from ioex_chain.node.clock import SystemClock
from ioex_chain.node.datadir import DataDir, Identity
from ioex_chain.node.processes import verify_pool
from ioex_chain.pow.block import Block
from ioex_chain.pow.genesis import genesis_block, identity_of
from ioex_chain.pow.machine import PowMachine
from ioex_chain.primitives.types import display
from ioex_chain.spec.load import load_network
from ioex_chain.spec.model import NetworkSpec

app = typer.Typer(
    no_args_is_help=True, help="The database of a stopped node: check, repair, compact, reindex."
)


@contextmanager
def _locked(session: Session) -> Iterator[tuple[DataDir, Identity, NetworkSpec]]:
    """Take the folder of a stopped node. Raises NotInitialised, StoreError."""
    datadir = session.datadir
    identity = datadir.identity()
    datadir.lock()
    try:
        spec = load_network(identity.network, **identity.options())
        yield datadir, identity, spec
    finally:
        datadir.unlock()


@contextmanager
def _opened(session: Session, datadir: DataDir, spec: NetworkSpec) -> Iterator[stores.LevelStore]:
    """Open the database, damaged or not, unless it is somebody else's. Raises StoreError."""
    with closing(open_store(session.config, datadir, create=False)) as store:
        try:
            refuse_foreign(store, identity_of(spec), genesis_block(spec).hash)
            yield store
        except StoreError as error:
            raise naming(error, datadir.database) from error


@app.command("check")
@command()
def check(
    session: Session,
    deep: Annotated[bool, typer.Option("--deep", help="Check every body against its header too.")] = False,
) -> None:
    """Read every row and see that they agree. Exits 1 when something is wrong."""
    with (
        _locked(session) as (datadir, _, spec),
        _opened(session, datadir, spec) as store,
        Progress("checking", session) as progress,
    ):
        report = check_database(
            store, CODEC, check_block=_body_check(spec) if deep else None, progress=progress.step
        )
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


def _body_check(spec: NetworkSpec) -> Callable[[Block], None]:
    """Give the check of a body against its header; genesis is exempt from rules, and compared as it is."""
    machine, genesis = PowMachine(spec), genesis_block(spec)

    def check_body(block: Block) -> None:
        if block.hash != genesis.hash:
            machine.check_block(block)
        elif block.encode() != genesis.encode():
            raise MutatedBlock("it is not this network's genesis block")

    return check_body


@app.command("repair")
@command()
def repair(session: Session) -> None:
    """Let LevelDB save what it can of damaged files. Follow it with `ioex db reindex`."""
    with _locked(session) as (datadir, _, spec):
        with suppress(StoreCorrupt), _opened(session, datadir, spec):
            pass
        stores.repair(datadir.database)
    session.show(
        {"repaired": str(datadir.database), "next": "ioex db reindex"},
        lambda: out.print("Saved what could be read. Now run: ioex db reindex", highlight=False),
    )


@app.command("compact")
@command()
def compact(session: Session) -> None:
    """Give the disk space of deleted rows back."""
    with _locked(session) as (datadir, _, spec), _opened(session, datadir, spec) as store:
        before = store.size()
        store.compact()
        after = store.size()
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
    with _locked(session) as (datadir, identity, spec):
        indexes = identity.indexes if session.config.indexes is None else session.config.indexes
        workers = verify_pool(session.config.verify_processes)
        shutil.rmtree(datadir.rebuilt, ignore_errors=True)
        try:
            with (
                _opened(session, datadir, spec) as old,
                closing(stores.LevelStore(datadir.rebuilt, create=True)) as new,
                Progress("reindexing", session) as progress,
            ):
                archive = session.config.archive
                ledger = open_ledger(
                    spec, new, SystemClock(), indexes=indexes, archive=archive, workers=workers
                )
                height = rebuild(old, ledger, CODEC, progress.step)
                head = display(ledger.head.hash)
        finally:
            if workers is not None:
                workers.shutdown(cancel_futures=True)
        datadir.take_rebuilt(replace(identity, indexes=indexes))
    session.show(
        {"height": height, "head": head, "indexes": indexes},
        lambda: out.print(f"Rebuilt up to height {height}, {head}", highlight=False, soft_wrap=True),
    )


@command()
def rollback(
    session: Session,
    count: Annotated[int, typer.Argument(help="How many blocks to take off.", min=1)],
) -> None:
    """Take the last COUNT blocks off a stopped node's chain; it fetches them anew when it runs."""
    with _locked(session) as (datadir, _, spec), _opened(session, datadir, spec) as store:
        ledger = open_ledger(spec, store, SystemClock(), archive=session.config.archive)
        try:
            event = ledger.rollback(count)
        except ValueError as error:
            fail(str(error), as_json=session.as_json)
            return
    session.show(
        {"height": event.head.height, "head": display(event.head.hash), "removed": count},
        lambda: out.print(f"Now at height {event.head.height}, {display(event.head.hash)}", highlight=False),
    )
