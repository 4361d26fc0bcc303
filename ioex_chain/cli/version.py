"""`ioex version`."""

import json
from typing import Annotated

import typer

from ioex_chain import __version__


def version(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print the program's version."""
    print(json.dumps({"version": __version__}) if as_json else f"ioex {__version__}")
