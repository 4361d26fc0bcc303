"""`ioex status`, `ioex wait-sync`, `ioex stop`: ask a running node."""

import asyncio
import math
from typing import Annotated, Any

import typer

from ioex_chain.cli.dpos_state import dpos_state, show_dpos_state
from ioex_chain.cli.options import Session, command, fail, out
from ioex_chain.rpc.client import RpcClientError, RpcUnreachable


@command()
def status(session: Session) -> None:
    """Show what the node is doing. Exits 3 when none answers."""
    state, mining, dpos = asyncio.run(_ask(session))

    def text() -> None:
        out.print(
            f"ioex {state['version']}  {state['network']}  up {_span(state['uptime'])}", highlight=False
        )
        out.print(f"height      {state['height']}  {state['bestblockhash']}", highlight=False, soft_wrap=True)
        out.print(f"difficulty  {state['difficulty']}", highlight=False)
        out.print(f"hash rate   {float(mining['networkhashps']):,.0f} H/s on the network", highlight=False)
        out.print(f"mempool     {state['mempool']} transactions", highlight=False)
        ways = f"{state['connections_in']} in, {state['connections_out']} out"
        out.print(f"peers       {state['connections']} ({ways})", highlight=False)
        out.print(f"syncing     {_progress(state)}", highlight=False)
        for warning in state["warnings"]:
            out.print(f"[yellow]warning:[/] {warning}", highlight=False, soft_wrap=True)
        if dpos is not None:
            show_dpos_state(dpos)

    session.show({**state, "networkhashps": mining["networkhashps"], "dpos": dpos}, text)


def _progress(state: dict[str, Any]) -> str:
    """Say how far the node is: height of the best header's, speed, time left."""
    if not state["syncing"]:
        return "no"
    height, headers = int(state["height"]), int(state["headers"])
    if headers <= height:
        return "yes, waiting to hear of the peers' chains"
    parts = [f"yes, height {height} of {headers} ({_percent(height, headers)})"]
    if state["blockspersecond"]:
        parts.append(f"{float(state['blockspersecond']):,.1f} blocks/s")
    if state["secondsleft"] is not None:
        parts.append(f"{_span(int(state['secondsleft']))} left")
    return ", ".join(parts)


def _percent(part: int, whole: int) -> str:
    return f"{math.floor(1000 * part / whole) / 10} %"


async def _ask(session: Session) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    async with session.client() as client:
        state, mining = await client.batch([("getnodestate", []), ("getmininginfo", [])])
    for answer in (state, mining):
        if isinstance(answer, Exception):
            raise answer
    return state, mining, await dpos_state(session, state)


def _span(seconds: int) -> str:
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    shown = [f"{number}{unit}" for number, unit in parts if number]
    return " ".join(shown[:2]) or "0s"


@command()
def wait_sync(
    session: Session,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most; 0 waits for ever.", min=0)] = 0,
    height: Annotated[int, typer.Option(help="Wait for this height of the PoW chain too.", min=0)] = 0,
    both: Annotated[bool, typer.Option("--dpos/--no-dpos", help="Wait for the DPoS chain too.")] = True,
) -> None:
    """Return when the node answers and is synced (and at --height); exit 1 when that takes too long."""
    found = asyncio.run(_wait(session, timeout or None, height, both))
    if found is None:
        fail(f"not synced within {timeout:g} s", as_json=session.as_json)
        return
    state, dpos = found
    shown = dpos and {"height": dpos["height"], "bestblockhash": dpos["bestblockhash"]}
    also = f", DPoS chain at {dpos['height']}" if dpos else ""
    session.show(
        {"height": state["height"], "bestblockhash": state["bestblockhash"], "dpos": shown},
        lambda: out.print(f"synced at height {state['height']}{also}", highlight=False),
    )


Found = tuple[dict[str, Any], dict[str, Any] | None]


async def _wait(session: Session, timeout: float | None, height: int, both: bool) -> Found | None:
    try:
        async with asyncio.timeout(timeout):
            while True:
                found = await _synced(session, height, both)
                if found is not None:
                    return found
                await asyncio.sleep(0.5)
    except TimeoutError:
        return None


async def _synced(session: Session, height: int, both: bool) -> Found | None:
    """Give what the node says when it is synced; None while it is not, or does not answer."""
    state = await _state(session)
    if state is None or state["syncing"] or state["height"] < height:
        return None
    if not both or state["dpos_rpc"] is None:
        return state, None
    try:
        dpos = await dpos_state(session, state)
    except RpcUnreachable:
        return None
    return None if dpos is None or dpos["syncing"] else (state, dpos)


async def _state(session: Session) -> dict[str, Any] | None:
    try:
        async with session.client() as client:
            found: dict[str, Any] = await client.call("getnodestate")
            return found
    except RpcUnreachable:
        return None


@command()
def stop(session: Session) -> None:
    """Ask the node to flush and exit."""
    asyncio.run(_stop(session))
    session.show({"stopping": True}, lambda: out.print("the node is stopping"))


async def _stop(session: Session) -> None:
    async with session.client() as client:
        try:
            await client.call("stop")
        except RpcUnreachable:
            raise
        except RpcClientError as error:
            fail(str(error), as_json=session.as_json)
