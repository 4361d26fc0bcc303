"""`ioex export` and `ioex import`: blocks of a stopped node to and from a file.

The file holds blocks in order, each as Bitcoin Core's blk files have it: the network's 4 magic bytes, the
length as a little-endian uint32, the block.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

import typer

from ioex_chain.cli.options import Session, command, fail, out
from ioex_chain.cli.progress import Progress
from ioex_chain.ledger.errors import Rejected
from ioex_chain.node.build import open_chain
from ioex_chain.pow.block import MAX_BLOCK_SIZE, Block
from ioex_chain.pow.genesis import identity_of
from ioex_chain.primitives.errors import DecodeError, IoexError
from ioex_chain.spec.identity import magic


class BadExport(IoexError):
    """A file that is not an export of this network, or that ends in the middle of a block."""


@command()
def export(
    session: Session,
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    first: Annotated[int, typer.Option("--from", help="First height.", min=0)] = 1,
    last: Annotated[int | None, typer.Option("--to", help="Last height; the head by default.", min=0)] = None,
) -> None:
    """Write blocks of the best chain to FILE."""
    with open_chain(session.config, create=False) as chain, Progress("exporting", session) as progress:
        top = min(chain.ledger.head.height, last if last is not None else chain.ledger.head.height)
        prefix = magic(identity_of(chain.spec))
        try:
            handle = file.open("xb")
        except OSError as error:
            fail(f"cannot write {file}: {error.strerror}", as_json=session.as_json)
            return
        with handle:
            for height in range(first, top + 1):
                entry = chain.ledger.entry_at(height)
                data = chain.ledger.body_bytes(entry.hash) if entry else None
                if data is None:
                    raise BadExport(f"block {height} is not stored; run `ioex db check`")
                handle.write(prefix + len(data).to_bytes(4, "little") + data)
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
) -> None:
    """Verify and add the blocks in FILE."""
    try:
        handle = file.open("rb")
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}", as_json=session.as_json)
        return
    added = 0
    with handle, open_chain(session.config) as chain, Progress("importing", session) as progress:
        for number, data in enumerate(_blocks(handle, magic(identity_of(chain.spec)), file), 1):
            try:
                added += chain.ledger.accept_block(Block.decode(data)) is not None
            except (DecodeError, Rejected) as error:
                raise BadExport(f"{file}: block {number} is refused: {error}; {added} were added") from error
            progress.step("blocks", number)
        height = chain.ledger.head.height
    session.show(
        {"file": str(file), "added": added, "height": height},
        lambda: out.print(f"Added {added} blocks; height {height}", highlight=False),
    )


def _blocks(handle: IO[bytes], prefix: bytes, file: Path) -> Iterator[bytes]:
    while head := handle.read(8):
        size = int.from_bytes(head[4:], "little")
        if head[:4] != prefix or size > MAX_BLOCK_SIZE:
            raise BadExport(f"{file} is not an export of this network's blocks")
        data = handle.read(size)
        if len(data) != size:
            raise BadExport(f"{file} ends in the middle of a block")
        yield data
