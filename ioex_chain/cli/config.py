"""`ioex init` and `ioex config`: set a data directory up, show where each setting comes from."""

from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.table import Table

from ioex_chain.cli.options import Session, command, fail, out
from ioex_chain.node.config import CONFIG_FILE, NodeConfig, example_file
from ioex_chain.node.datadir import write_atomically
from ioex_chain.node.setup import prepare_datadir

app = typer.Typer(no_args_is_help=True, help="Settings: what they are and where they come from.")


@command("spacing")
def init(session: Session) -> None:
    """Create the data directory and a commented settings file; nothing that exists is overwritten."""
    datadir = session.datadir
    existed = datadir.exists()
    prepare_datadir(session.config)
    settings = datadir.base / CONFIG_FILE
    wrote = not settings.exists()
    if wrote:
        try:
            write_atomically(settings, example_file().encode())
        except OSError as error:
            fail(f"cannot write {settings}: {error.strerror}", as_json=session.as_json)
    result = {
        "datadir": str(datadir.path),
        "created": not existed,
        "config": str(settings),
        "config_created": wrote,
    }

    def text() -> None:
        out.print(f"{'Found' if existed else 'Created'} {datadir.path}", highlight=False, soft_wrap=True)
        out.print(f"{'Wrote' if wrote else 'Kept'} {settings}", highlight=False, soft_wrap=True)
        out.print(f"Start the node with: ioex node --network {session.config.network}", highlight=False)

    session.show(result, text)


@app.command("show")
@command()
def show(
    session: Session,
    effective: Annotated[
        bool, typer.Option("--effective", help="Show values in force and their origins.")
    ] = False,
) -> None:
    """List all settings; with --effective, the values in force and where each comes from."""
    rows = [_row(session, name, effective=effective) for name in NodeConfig.model_fields]

    def text() -> None:
        table = Table("setting", "value", "from" if effective else "what it is", box=None, pad_edge=False)
        for row in rows:
            table.add_row(
                row["name"], _text(row["value"]), row["origin"] if effective else row["description"]
            )
        out.print(table)

    session.show({row["name"]: {k: v for k, v in row.items() if k != "name"} for row in rows}, text)


def _text(value: Any) -> str:
    """Write a value as the settings file would."""
    if value is None:
        return "(not set)"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) or "(none)" if isinstance(value, list) else str(value)


def _row(session: Session, name: str, *, effective: bool) -> dict[str, Any]:
    field = NodeConfig.model_fields[name]
    value = getattr(session.config, name) if effective else field.default
    if isinstance(value, SecretStr):
        value = "(hidden)"
    plain = (
        value
        if isinstance(value, int | None)
        else str(value)
        if not isinstance(value, tuple)
        else list(value)
    )
    origin = session.effective.origins[name]
    return {"name": name, "value": plain, "origin": origin, "description": field.description or ""}
