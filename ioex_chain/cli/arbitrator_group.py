"""`ioex arbitrator`: its commands, imported when they are called."""

import typer

from ioex_chain.cli.lazy import LazyGroup, Place

_KEYS, _REGISTRY = "Key and node", "Registry"


class Commands(LazyGroup):
    """All of them, as the help lists them."""

    places = {  # noqa: RUF012 - a table that nobody changes
        "init": Place("arbitrator", "init", _KEYS),
        "run": Place("arbitrator_run", "run", _KEYS),
        "destroy-key": Place("arbitrator_destroy", "destroy_key", _KEYS),
        "status": Place("arbitrator", "status", _REGISTRY),
        "jail": Place("arbitrator", "jail", _REGISTRY),
        "register": Place("arbitrator", "register", _REGISTRY),
        "rotate-key": Place("arbitrator", "rotate_key", _REGISTRY),
        "standby": Place("arbitrator", "standby", _REGISTRY),
    }


app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Seal and vote on the DPoS chain: keys, node, registry."
)


@app.callback()
def arbitrator() -> None:
    """Seal and vote on the DPoS chain: keys, node, registry."""
