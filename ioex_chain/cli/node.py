"""`ioex node` and `ioex devnet`: run a node in the foreground."""

import asyncio
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

from rich.table import Table

from ioex_chain.cli.devnet import dpos_facts, dpos_places, show_dpos
from ioex_chain.cli.options import Session, command, err, out
from ioex_chain.node import log
from ioex_chain.node.app import Running, run_node
from ioex_chain.node.datadir import DataDir
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.load import load_network
from ioex_chain.spec.model import NetworkSpec
from ioex_chain.wallet.hd import DEV_MNEMONIC

RUN_SETTINGS = (
    "log_level",
    "log_format",
    "rpc_host",
    "rpc_hosts",
    "rpc_origins",
    "rpc_require_auth",
    "p2p",
    "p2p_host",
    "p2p_port",
    "external_hosts",
    "peers",
    "only_peers",
    "max_inbound",
    "max_outbound",
    "metrics",
    "metrics_host",
    "metrics_port",
    "stratum",
    "stratum_host",
    "stratum_port",
    "stratum_min_difficulty",
    "mine",
    "mine_to",
    "mine_processes",
    "verify_processes",
    "mempool_mb",
    "min_relay_fee",
    "indexes",
    "archive",
    "db_cache_mb",
    "dpos",
    "dpos_rpc_port",
    "dpos_p2p_port",
    "dpos_peers",
    "dpos_checkpoint",
    "txpool_mb",
    "call_threads",
    "arbitrator_keys",
    "arbitrator_password_file",
)


@command(*RUN_SETTINGS)
def node(session: Session) -> None:
    """Run a node until it is stopped (Ctrl-C, SIGTERM, `ioex stop`)."""
    run_session(session)


def run_session(session: Session) -> None:
    """Run a node on a session's settings in the foreground; with --json, say on stdout where it listens."""
    _run(session, lambda running: _announce(session, running))


@command(*RUN_SETTINGS, "spacing", "arbitrators", "arbitrator_accounts", "block_time", "solo")
def devnet(session: Session) -> None:
    """Run a development network: both chains in one node, with funded accounts.

    It mines PoW blocks and seals DPoS blocks every few seconds, and keeps its chains between starts (in
    ~/.ioex/devnet); choose another --datadir for fresh ones.
    """
    changes: dict[str, Any] = {"network": "devnet"}
    if session.effective.origins["mine"] == "default":
        changes["mine"] = True
    if session.config.mine_to is None:
        changes["mine_to"] = _accounts(load_network("devnet"))[0]["address"]
    if session.config.solo:
        changes |= {"arbitrators": 1, "p2p": False}
    if not session.config.arbitrator_keys and not session.config.arbitrator_accounts:
        changes["arbitrator_accounts"] = tuple(map(str, range(1 if session.config.solo else _seats(session))))
    config = session.config.model_copy(update=changes)
    session = replace(session, effective=replace(session.effective, config=config))
    _run(session, lambda running: _show_devnet(session, running))


def _seats(session: Session) -> int:
    """Give how many arbitrators the devnet has: fixed at its first start."""
    wanted: int | None = session.config.arbitrators
    datadir = DataDir(session.config.datadir, "devnet")
    fixed = datadir.identity().arbitrators if datadir.exists() else wanted
    return fixed or load_network("devnet").dpos.seats


def _accounts(spec: NetworkSpec) -> list[dict[str, Any]]:
    """Give the devnet's funded accounts: address, key path and IOEX that are free from the start.

    Those of the DPoS chain (m/44') are shown with it: here they are only deposited.
    """
    found: dict[str, dict[str, Any]] = {}
    for allocation in spec.token.allocations:
        is_deposit = allocation.key_path is not None and allocation.key_path.startswith("m/44'")
        if allocation.key_path and not is_deposit and not allocation.unlock_time:
            row = {"address": allocation.beneficiary, "key_path": allocation.key_path, "ioex": 0}
            found.setdefault(allocation.beneficiary, row)["ioex"] += allocation.amount // COIN
    return list(found.values())


def _run(session: Session, on_ready: Callable[[Running], None]) -> None:
    config = session.config
    log.configure(config.log_level, config.log_format, color=err.is_terminal and not err.no_color)
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        runner.run(run_node(config, on_ready))


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Give uvloop's event loop where the extra `fast` is installed, else the standard library's."""
    try:
        uvloop = import_module("uvloop")
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _options(session: Session, running: Running) -> str:
    """Give the options with which other commands find this node."""
    words = ["--network devnet"]
    if session.effective.origins["datadir"] == "flag":
        words.append(f"--datadir {shlex.quote(str(session.config.datadir))}")
    port = running.rpc_url.rstrip("/").rpartition(":")[2]
    if int(port) != running.service.spec.pow.rpc_port:
        words.append(f"--rpc-port {port}")
    return " ".join(words)


def _announce(session: Session, running: Running) -> None:
    if session.as_json:
        session.show({"network": running.service.spec.name, **_places(running)})
        sys.stdout.flush()


def _places(running: Running) -> dict[str, Any]:
    return {
        "rpc": running.rpc_url,
        "p2p": running.p2p_url,
        "stratum_port": running.stratum_port,
        "metrics": running.metrics_url,
        "dpos": dpos_places(running),
    }


def _show_devnet(session: Session, running: Running) -> None:
    spec = running.service.spec
    accounts = _accounts(spec)
    facts = {
        "network": "devnet",
        **_places(running),
        "datadir": str(session.datadir.path),
        "spacing": spec.pow.spacing,
        "mnemonic": DEV_MNEMONIC,
        "mines_to": session.config.mine_to if session.config.mine else None,
        "accounts": accounts,
        **dpos_facts(spec, running, session.config.solo),
    }

    def text() -> None:
        table = Table("funded account", "key path", "IOEX", box=None, pad_edge=False)
        for row in accounts:
            table.add_row(row["address"], row["key_path"], f"{row['ioex']:,}")
        out.print(f"[bold]ioeX devnet[/] at height {running.service.ledger.head.height}", highlight=False)
        out.print(f"JSON-RPC    {running.rpc_url}   (WebSocket on the same port)", highlight=False)
        if running.p2p_url:
            out.print(f"peers       {running.p2p_url}", highlight=False, soft_wrap=True)
        if running.stratum_port:
            out.print(
                f"Stratum     stratum+tcp://{session.config.stratum_host}:{running.stratum_port}",
                highlight=False,
            )
        if running.metrics_url:
            out.print(f"metrics     {running.metrics_url}", highlight=False)
        out.print(f"data        {session.datadir.path}", highlight=False, soft_wrap=True)
        where = "mined here" if session.config.mine else "not mined here"
        out.print(f"blocks      one every {spec.pow.spacing} s, {where}")
        out.print(
            f"mnemonic    {DEV_MNEMONIC}   (published; never use it elsewhere)",
            highlight=False,
            soft_wrap=True,
        )
        out.print(table)
        show_dpos(facts)
        out.print(
            f"Try: ioex status {_options(session, running)}      Stop: Ctrl-C",
            highlight=False,
            soft_wrap=True,
        )

    session.show(facts, text)
    sys.stdout.flush()
