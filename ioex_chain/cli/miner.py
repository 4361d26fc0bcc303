"""`ioex miner`: mine for a node, this machine's or another, with this machine's processors."""

import asyncio
import signal
import time
from typing import Any

from rich.live import Live
from rich.table import Table

from ioex_chain.cli.options import Session, command, err, fail
from ioex_chain.crypto.address import address_to_script
from ioex_chain.node.clock import SystemClock
from ioex_chain.pow.difficulty import difficulty_of
from ioex_chain.pow.hash_pool import HashPool
from ioex_chain.pow.miner import Miner
from ioex_chain.pow.work import LONG_POLL_SECONDS, RpcSource
from ioex_chain.primitives.types import COIN

_LINE_SECONDS = 30.0


@command("mine_to", "mine_processes", "spacing")
def miner(session: Session) -> None:
    """Mine for the node at --rpc-url (by default the local one) until Ctrl-C.

    Shows the hash rate, the expected time per block and when rewards mature.
    """
    spec = session.spec()
    address = session.config.mine_to
    if address is None:
        fail("give the address to pay with --mine-to; `ioex wallet address new` makes one", 2)
        return
    address_to_script(spec.pow.address_prefix, address)
    asyncio.run(_mine(session, address))


async def _mine(session: Session, address: str) -> None:
    spec = session.spec()
    async with session.client(timeout=LONG_POLL_SECONDS + 30) as client:
        await client.call("getblockcount")  # an unreachable node is said at once, not retried for ever
        miner = Miner(
            spec.pow,
            RpcSource(client, spec, address),
            SystemClock(),
            hashers=HashPool(session.config.mine_processes),
        )
        mining = asyncio.create_task(miner.run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, mining.cancel)
        showing = asyncio.create_task(_show(session, miner))
        try:
            await mining
        except asyncio.CancelledError:
            pass
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
    session.show(_facts(miner), lambda: err.print(_line(miner), highlight=False))


async def _show(session: Session, miner: Miner) -> None:
    if err.is_terminal and not session.as_json:
        with Live(console=err, refresh_per_second=2, transient=True) as live:
            while True:
                live.update(_table(miner))
                await asyncio.sleep(0.5)
    while True:
        await asyncio.sleep(_LINE_SECONDS)
        if not session.quiet:
            err.print(_line(miner), highlight=False, soft_wrap=True)


def _facts(miner: Miner) -> dict[str, Any]:
    stats, now = miner.stats, time.monotonic()
    return {
        "hashes": stats.hashes,
        "hash_rate": round(stats.hash_rate(now)),
        "expected_seconds": stats.expected_seconds(now),
        "height": stats.height,
        "accepted": stats.accepted,
        "stale": stats.stale,
        "rejected": stats.rejected,
        "rewards": [
            {"height": reward.height, "hash": reward.block_hash[::-1].hex(), "matures_at": reward.matures_at}
            for reward in stats.rewards[-100:]
        ],
        "last_error": stats.last_error,
    }


def _line(miner: Miner) -> str:
    facts = _facts(miner)
    expected = facts["expected_seconds"]
    pace = "waiting for the spacing" if miner.stats.is_pacing else f"{facts['hash_rate']:,} H/s"
    return (
        f"height {facts['height']}  {pace}  block every {_duration(expected)}  "
        f"accepted {facts['accepted']}  stale {facts['stale']}  rejected {facts['rejected']}"
        + (f"  last error: {facts['last_error']}" if facts["last_error"] else "")
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    for size, unit in ((86_400 * 365, "years"), (86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _table(miner: Miner) -> Table:
    stats, now = miner.stats, time.monotonic()
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("hash rate", f"{stats.hash_rate(now):,.0f} H/s" + (" (pacing)" if stats.is_pacing else ""))
    if stats.bits:
        table.add_row("height", f"{stats.height}, difficulty {difficulty_of(stats.bits):.6g}")
    table.add_row("block every", f"{_duration(stats.expected_seconds(now))} on average")
    table.add_row("blocks", f"{stats.accepted} accepted, {stats.stale} stale, {stats.rejected} rejected")
    waiting = stats.maturing(stats.height - 1)
    if waiting:
        value = sum(reward.value for reward in waiting) / COIN
        table.add_row("maturing", f"{value:,.2f} IOEX, the next at height {waiting[0].matures_at}")
    if stats.last_error:
        table.add_row("last error", stats.last_error)
    return table
