"""Who mines over Stratum: the server's figures, and each worker's."""

import math
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.pow.stratum_stats import RATE_WINDOWS, ShareStats, WorkerStats
from ioex_chain.pow.stratum_view import MinerView, StratumView
from ioex_chain.primitives.clock import Clock
from ioex_chain.rpc.errors import Code, RpcError
from ioex_chain.rpc.jsonio import number
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.registry import method

GROUP = "mining"
MAX_PAGE = 1000


class SharesJson(TypedDict):
    """Shares and what they say. Hash rates are hashes a second over 5 minutes and 1 hour.

    `rejected` counts by reason (duplicate, low-difficulty, time, ...); `stale` ones are not in it.
    `lastshare` is Unix time, null before the first share.
    """

    accepted: int
    stale: int
    rejected: dict[str, int]
    difficulty: float
    bestdifficulty: float
    hashrate: float
    hashrate1h: float
    blocks: int
    lastshare: int | None


class StratumInfo(TypedDict):
    """The server. `connections` counts all, `authorized` those with a worker, `workers` distinct names.

    `blocksfound` shares met the network's target; `blocksrefused` of them did not stay on the best chain.
    """

    enabled: bool
    host: str
    port: int
    connections: int
    authorized: int
    workers: int
    addresses: int
    connectionstotal: int
    connectionsrefused: int
    dropped: dict[str, int]
    protocolerrors: dict[str, int]
    jobs: int
    blocksfound: int
    blocksrefused: int
    shares: SharesJson


class WorkerJson(TypedDict):
    """A worker or, in the list by address, all workers of one address."""

    name: str
    address: str
    connections: int
    shares: SharesJson


class WorkersPage(TypedDict):
    """One page; `total` is how many there are, most connections and hashes first."""

    total: int
    workers: list[WorkerJson]


class ConnectionJson(TypedDict):
    """One connection. `difficulty` is what its shares are asked to have."""

    host: str
    agent: str
    workers: list[str]
    difficulty: float
    seconds: int
    shares: SharesJson


class StratumApi:
    """Speaks for the Stratum server, while there is one."""

    def __init__(self, find: Callable[[], StratumView | None], clock: Clock) -> None:
        """`find` gives the running server, None while there is none."""
        self._find = find
        self._clock = clock

    @method("getstratuminfo", group=GROUP)
    def getstratuminfo(self) -> StratumInfo:
        """Tell where miners connect, how many there are and what they have done together."""
        view = self._find()
        if view is None:
            return _disabled()
        stats = view.stats
        return {
            "enabled": True,
            "host": view.settings.host,
            "port": view.port,
            "connections": stats.connections,
            "authorized": stats.authorized,
            "workers": sum(worker.connections > 0 for worker in stats.workers.values()),
            "addresses": sum(one.connections > 0 for one in stats.addresses.values()),
            "connectionstotal": stats.connections_total,
            "connectionsrefused": stats.refused_connections,
            "dropped": dict(stats.dropped),
            "protocolerrors": dict(stats.protocol_errors),
            "jobs": stats.jobs,
            "blocksfound": stats.blocks_found,
            "blocksrefused": stats.blocks_refused,
            "shares": self._shares(view, stats.total),
        }

    @method("listworkers", group=GROUP, errors=(Code.MISC_ERROR,))
    def listworkers(
        self,
        by: Annotated[
            Literal["worker", "address"], Param("whose figures: each worker's or each address's")
        ] = ("worker"),
        skip: Annotated[int, Field(ge=0, le=1_000_000), Param("how many to leave out at the front")] = 0,
        count: Annotated[int, Field(ge=1, le=MAX_PAGE), Param("how many to give")] = 100,
    ) -> WorkersPage:
        """List who mines here, those that are connected first, then by hash rate.

        Workers that left are remembered for a while: 4,096 of them at most.
        """
        view = self._require()
        table = view.stats.workers if by == "worker" else view.stats.addresses
        now = view.now()
        ordered = sorted(
            table.values(), key=lambda one: (-min(one.connections, 1), -one.hash_rate(now), one.name)
        )
        return {
            "total": len(ordered),
            "workers": [self._worker(view, one) for one in ordered[skip : skip + count]],
        }

    @method("listminers", group=GROUP, errors=(Code.MISC_ERROR,))
    def listminers(
        self,
        skip: Annotated[int, Field(ge=0, le=1_000_000), Param("how many to leave out at the front")] = 0,
        count: Annotated[int, Field(ge=1, le=MAX_PAGE), Param("how many to give")] = 100,
    ) -> list[ConnectionJson]:
        """List the connections, oldest first, with the program and the share difficulty of each."""
        view = self._require()
        now = view.now()
        return [
            {
                "host": one.host,
                "agent": one.session.agent,
                "workers": list(one.session.workers),
                "difficulty": number(one.session.vardiff.difficulty),
                "seconds": max(0, math.floor(now - one.session.stats.started)),
                "shares": self._shares(view, one.session.stats),
            }
            for one in _page(view.connections, skip, count)
        ]

    def _require(self) -> StratumView:
        view = self._find()
        if view is None:
            raise RpcError(Code.MISC_ERROR, "there is no Stratum server; start the node with --stratum")
        return view

    def _worker(self, view: StratumView, one: WorkerStats) -> WorkerJson:
        return {
            "name": one.name,
            "address": one.address,
            "connections": one.connections,
            "shares": self._shares(view, one),
        }

    def _shares(self, view: StratumView, stats: ShareStats) -> SharesJson:
        now = view.now()
        last = stats.last_share
        return {
            "accepted": stats.accepted,
            "stale": stats.stale,
            "rejected": {reason: times for reason, times in stats.rejected.items() if reason != "stale"},
            "difficulty": number(stats.difficulty_sum),
            "bestdifficulty": number(stats.best_difficulty),
            "hashrate": number(stats.hash_rate(now)),
            "hashrate1h": number(stats.hash_rate(now, RATE_WINDOWS[1])),
            "blocks": stats.blocks,
            "lastshare": None if last is None else self._clock.now() - max(0, math.floor(now - last)),
        }


def _page(connections: Iterable[MinerView], skip: int, count: int) -> list[MinerView]:
    return list(islice(connections, skip, skip + count))


def _disabled() -> StratumInfo:
    return {
        "enabled": False,
        "host": "",
        "port": 0,
        "connections": 0,
        "authorized": 0,
        "workers": 0,
        "addresses": 0,
        "connectionstotal": 0,
        "connectionsrefused": 0,
        "dropped": {},
        "protocolerrors": {},
        "jobs": 0,
        "blocksfound": 0,
        "blocksrefused": 0,
        "shares": {
            "accepted": 0,
            "stale": 0,
            "rejected": {},
            "difficulty": 0.0,
            "bestdifficulty": 0.0,
            "hashrate": 0.0,
            "hashrate1h": 0.0,
            "blocks": 0,
            "lastshare": None,
        },
    }
