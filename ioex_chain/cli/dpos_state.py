"""What `ioex status` and `ioex wait-sync` tell of the DPoS chain of a node."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from ioex_chain.cli.dpos_url import credentials
from ioex_chain.cli.options import Session, out
from ioex_chain.rpc.client import RpcClient

QUESTIONS: Sequence[tuple[str, list[Any]]] = (
    ("eth_syncing", []),
    ("net_peerCount", []),
    ("txpool_status", []),
    ("ioex_getFinality", []),
    ("ioex_getSigning", []),
)


def dpos_client_of(session: Session, state: dict[str, Any]) -> RpcClient | None:
    """Give a client of the chain that a node's `getnodestate` tells of; None without it, or not yet."""
    told = state.get("dpos_rpc")
    if not told:
        return None
    host = urlsplit(session.rpc_url).hostname if session.rpc_url else None
    place = urlsplit(told)
    url = f"http://{f'[{host}]' if host and ':' in host else host or place.hostname}:{place.port}/"
    return RpcClient(url, timeout=60, **credentials(session, url))


async def dpos_state(session: Session, state: dict[str, Any]) -> dict[str, Any] | None:
    """Ask the chain how it is; None when the node runs without it. Raises RpcUnreachable, RpcCallError."""
    client = dpos_client_of(session, state)
    if client is None:
        return None
    async with client:
        answers = await client.batch(list(QUESTIONS))
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    syncing, peers, pool, finality, keys = answers
    found: dict[str, Any] = {
        "rpc": state["dpos_rpc"],
        "height": _int(finality["head"]["number"]),
        "bestblockhash": finality["head"]["hash"],
        "safe": _point(finality["justified"]),
        "finalized": _point(finality["finalized"]),
        "slots_since_finalized": _int(finality["slotsSinceFinalized"]),
        "stalled": finality["stalled"],
        "set": _int(finality["set"]),
        "quorum": _int(finality["quorum"]),
        "peers": _int(peers),
        "syncing": syncing is not False,
        "highest": _int(syncing["highestBlock"]) if syncing else _int(finality["head"]["number"]),
        "pool": {name: _int(count) for name, count in pool.items()},
        "arbitrators": keys,
    }
    return found


def _int(text: str) -> int:
    return int(text, 16)


def _point(found: dict[str, Any]) -> dict[str, Any]:
    return {"height": _int(found["number"]), "hash": found["hash"]}


def show_dpos_state(dpos: dict[str, Any]) -> None:
    """Print it in a few lines."""
    _line(f"[bold]DPoS chain[/]  {dpos['rpc']}")
    _line(f"height      {dpos['height']}  {dpos['bestblockhash']}")
    _line(f"justified   {dpos['safe']['height']}  {dpos['safe']['hash']}")
    behind = f"{dpos['slots_since_finalized']} slots ago{', stalled' if dpos['stalled'] else ''}"
    _line(f"finalised   {dpos['finalized']['height']}  {dpos['finalized']['hash']}  {behind}")
    _line(f"set         {dpos['set']}, {dpos['quorum']} votes make a certificate")
    _line(f"pool        {dpos['pool']['pending']} pending, {dpos['pool']['queued']} queued")
    _line(f"peers       {dpos['peers']}")
    _line(f"syncing     {_progress(dpos)}")
    keys = dpos["arbitrators"]
    if keys:
        _line(f"arbitrators {sum(key['signs'] for key in keys)} of {len(keys)} keys sign")
    for key in keys:
        if not key["signs"]:
            _line(f"[yellow]silent:[/] {key['key']} {key['reason']} {key['detail']}")


def _progress(dpos: dict[str, Any]) -> str:
    if not dpos["syncing"]:
        return "no"
    if dpos["highest"] <= dpos["height"]:
        return "yes, waiting to hear of the peers' chains"
    return f"yes, height {dpos['height']} of {dpos['highest']}"


def _line(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True)
