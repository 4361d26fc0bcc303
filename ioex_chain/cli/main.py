"""The command `ioex`: puts the groups together."""

import json
from typing import Annotated

import typer

from ioex_chain import __version__
from ioex_chain.cli import chain_io, config, db, genesis, miner, node, rpc, status, wallet

app = typer.Typer(
    name="ioex",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="ioeX: run a node of the PoW public chain, mine, hold and move coins.",
    epilog="Settings: flag, IOEX_* variable, ioex.toml, default; see `ioex config show --effective`.",
)

app.command("init", rich_help_panel="Node")(config.init)
app.command("devnet", rich_help_panel="Node")(node.devnet)
app.command("node", rich_help_panel="Node")(node.node)
app.command("miner", rich_help_panel="Node")(miner.miner)
app.command("stop", rich_help_panel="Node")(status.stop)
app.command("status", rich_help_panel="Ask a node")(status.status)
app.command("wait-sync", rich_help_panel="Ask a node")(status.wait_sync)
app.command("rpc", rich_help_panel="Ask a node")(rpc.rpc)
app.add_typer(wallet.app, name="wallet", rich_help_panel="Money")
app.add_typer(genesis.app, name="genesis", rich_help_panel="Money")
app.add_typer(db.app, name="db", rich_help_panel="Stopped node")
app.command("export", rich_help_panel="Stopped node")(chain_io.export)
app.command("import", rich_help_panel="Stopped node")(chain_io.import_)
app.command("rollback", rich_help_panel="Stopped node")(db.rollback)
app.add_typer(config.app, name="config", rich_help_panel="Settings")


@app.command("version", rich_help_panel="Settings")
def version(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print the program's version."""
    print(json.dumps({"version": __version__}) if as_json else f"ioex {__version__}")
