"""`ioex export` and `ioex import`: blocks of a stopped node to and from a file.

The file holds blocks of one chain in order, each as Bitcoin Core's blk files have it: 4 magic bytes of the
network's chain, the length as a little-endian uint32, the block.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from ioex_chain.cli.db import AnyChain, Chain
from ioex_chain.cli.options import Session, command, fail, out
from ioex_chain.cli.progress import Progress
from ioex_chain.ledger.errors import Rejected
from ioex_chain.node.offline import AnyLedger, Tools, stopped_node
from ioex_chain.node.setup import prepare_datadir
from ioex_chain.primitives.errors import DecodeError, IoexError


class BadExport(IoexError):
    """A file that is not an export of this network, or that ends in the middle of a block."""


@command()
def export(
    session: Session,
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    first: Annotated[int, typer.Option("--from", help="First height.", min=0)] = 1,
    last: Annotated[int | None, typer.Option("--to", help="Last height; the head by default.", min=0)] = None,
    chain: AnyChain = Chain.POW,
) -> None:
    """Write blocks of the best chain to FILE."""
    with _stored(session, chain) as (tools, ledger), Progress("exporting", session) as progress:
        top = min(ledger.head.height, last if last is not None else ledger.head.height)
        try:
            handle = file.open("xb")
        except OSError as error:
            fail(f"cannot write {file}: {error.strerror}", as_json=session.as_json)
            return
        with handle:
            for height in range(first, top + 1):
                entry = ledger.entry_at(height)
                data = ledger.body_bytes(entry.hash) if entry else None
                if data is None:
                    raise BadExport(f"block {height} is not stored; run `ioex db check`")
                handle.write(tools.magic + len(data).to_bytes(4, "little") + data)
                progress.step("blocks", height)
    count = max(0, top - first + 1)
    session.show(
        {"file": str(file), "blocks": count},
        lambda: out.print(f"Wrote {count} blocks to {file}", highlight=False, soft_wrap=True),
    )


@command()
def import_(
    session: Session,
    file: Annotated[Path, typer.Argument(help="File that `ioex export` wrote.")],
    chain: AnyChain = Chain.POW,
) -> None:
    """Verify and add the blocks in FILE."""
    try:
        handle = file.open("rb")
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}", as_json=session.as_json)
        return
    added = 0
    with handle, _growing(session, chain) as (tools, ledger), Progress("importing", session) as progress:
        for number, data in enumerate(_blocks(handle, tools, file), 1):
            try:
                added += ledger.accept_block(tools.codec.block(data)) is not None
            except (DecodeError, Rejected) as error:
                raise BadExport(f"{file}: block {number} is refused: {error}; {added} were added") from error
            progress.step("blocks", number)
        height = ledger.head.height
    session.show(
        {"file": str(file), "added": added, "height": height},
        lambda: out.print(f"Added {added} blocks; height {height}", highlight=False),
    )


@contextmanager
def _stored(session: Session, chain: Chain) -> Iterator[tuple[Tools, AnyLedger]]:
    """Open a chain that is there."""
    with stopped_node(session.config) as place:
        tools = place.tools(chain)
        with tools.open() as ledger:
            yield tools, ledger


@contextmanager
def _growing(session: Session, chain: Chain) -> Iterator[tuple[Tools, AnyLedger]]:
    """Open a chain as the node does, a new one too."""
    config = session.config
    if session.datadir.exists():
        config = config.model_copy(update={"solo": session.datadir.identity().solo})
    prepare_datadir(config)
    with stopped_node(config) as place:
        tools = place.tools(chain)
        with tools.open(create=True) as ledger:
            yield tools, ledger


def _blocks(handle: IO[bytes], tools: Tools, file: Path) -> Iterator[bytes]:
    while head := handle.read(8):
        size = int.from_bytes(head[4:], "little")
        if head[:4] != tools.magic or size > tools.max_block_size:
            raise BadExport(f"{file} is not an export of this chain's blocks")
        data = handle.read(size)
        if len(data) != size:
            raise BadExport(f"{file} ends in the middle of a block")
        yield data
