"""The command `ioex`: puts the groups together."""

import typer

from ioex_chain.cli.lazy import LazyGroup, Place


class Commands(LazyGroup):
    """All commands, as the help lists them."""

    places = {  # noqa: RUF012 - a table that nobody changes
        "init": Place("config", "init", "Node"),
        "devnet": Place("node", "devnet", "Node"),
        "node": Place("node", "node", "Node"),
        "miner": Place("miner", "miner", "Node"),
        "stop": Place("status", "stop", "Node"),
        "status": Place("status", "status", "Ask a node"),
        "wait-sync": Place("status", "wait_sync", "Ask a node"),
        "peers": Place("peers", "app", "Ask a node"),
        "rpc": Place("rpc", "rpc", "Ask a node"),
        "attach": Place("attach", "attach", "Ask a node"),
        "contract": Place("contract", "app", "Contracts"),
        "faucet": Place("faucet", "faucet", "Contracts"),
        "arbitrator": Place("arbitrator_group", "app", "Arbitrators"),
        "wallet": Place("wallet", "app", "Money"),
        "bridge": Place("bridge", "app", "Money"),
        "rewards": Place("rewards", "app", "Money"),
        "workload": Place("workload", "app", "Nodes of the carrier network"),
        "genesis": Place("genesis", "app", "Money"),
        "db": Place("db", "app", "Stopped node"),
        "export": Place("chain_io", "export", "Stopped node"),
        "import": Place("chain_io", "import_", "Stopped node"),
        "rollback": Place("db", "rollback", "Stopped node"),
        "config": Place("config", "app", "Settings"),
        "version": Place("version", "version", "Settings"),
    }


app = typer.Typer(
    name="ioex",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="ioeX: run a node of the PoW public chain, mine, hold and move coins.",
    epilog="Settings: flag, IOEX_* variable, ioex.toml, default; see `ioex config show --effective`.",
)


@app.callback()
def ioex() -> None:
    """Stand before every command."""
