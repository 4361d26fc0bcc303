"""Commands that are imported when they are called: most of a short command's time would be imports."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is: a function of `ioex_chain.cli`, or a typer app with commands of its own."""

    module: str
    member: str
    panel: str


class LazyGroup(TyperGroup):
    """A group of the commands in `places`, in their order; subclasses name them."""

    places: dict[str, Place]

    def list_commands(self, _ctx: Any) -> list[str]:
        """Give all names."""
        return list(self.places)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        """Import a command; None when there is none of this name."""
        if cmd_name not in self.commands and cmd_name in self.places:
            self.commands[cmd_name] = _load(cmd_name, self.places[cmd_name])
        return self.commands.get(cmd_name)


def _load(name: str, place: Place) -> Any:
    member = getattr(import_module(f"ioex_chain.cli.{place.module}"), place.member)
    if isinstance(member, typer.Typer):
        found: Any = get_group(member)
        found.rich_help_panel = place.panel
    else:
        alone = typer.Typer(add_completion=False)
        alone.command(name, rich_help_panel=place.panel)(member)
        found = get_command(alone)
    found.name = name
    return found
