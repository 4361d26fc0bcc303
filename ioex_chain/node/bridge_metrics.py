"""What Prometheus sees of the bridge: figures read when somebody asks (`ioex_bridge_*`, amounts in IOEX).

IOEX as a floating-point number is exact to a millionth; whether the equation holds to the unit is said by
`ioex_bridge_sound` and `ioex_bridge_difference_wei`.
"""

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ioex_chain.bridge.solvency import Solvency, Verdict
from ioex_chain.evm.types import WEI
from ioex_chain.ledger.errors import LedgerError
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.rpc.bridge_port import BridgePort, BridgeView, PoolView


class BridgeCollector(Collector):
    """Doors, queues, light client, settlements, reward pool and solvency at this moment."""

    def __init__(self, bridge: BridgePort) -> None:
        self._bridge = bridge

    def collect(self) -> Iterator[Metric]:
        """Give one family after the other; in the event loop."""
        try:
            status, pool = self._bridge.status(), self._bridge.pool()
            solvency = self._bridge.solvency(quick=True)
        except (LedgerError, DecodeError):
            return  # a chain is being rebuilt or its disk failed: the other metrics say so
        yield from _doors(status)
        yield from _queues(status)
        yield from _light_client(status)
        yield from _pool(pool)
        yield from _solvency(solvency.result)


def _doors(status: BridgeView) -> Iterator[Metric]:
    doors = {"in": status.inward, "out": status.outward}
    yield _gauges(
        "door_open",
        "1 while a direction is open.",
        "direction",
        {k: int(not v.reasons) for k, v in doors.items()},
    )
    yield _gauge("daily_cap_ioex", "Withdrawn in a day at most.", status.daily_cap / WEI)
    yield _gauge("used_today_ioex", "Withdrawn today (UTC).", status.used_today / WEI)


def _queues(status: BridgeView) -> Iterator[Metric]:
    waiting = status.credits_made - status.credits_paid
    yield _gauge("credits_made", "Credits ever queued for the DPoS chain.", status.credits_made)
    yield _gauge("credits_queued", "Credits that wait for a block.", waiting)
    yield _gauge("counted_height", "PoW height up to which rewards are credited.", status.counted_height)
    stages = {
        "made": status.requests,
        "drained": status.drained,
        "finalized": status.finalized,
        "settled": status.settlement.count,
    }
    yield _gauges("requests", "Number of the last request to the PoW chain, by stage.", "stage", stages)
    unsettled = max(0, status.finalized - status.settlement.count)
    yield _gauge("requests_to_settle", "Requests in final blocks that are not settled.", unsettled)
    yield _gauge(
        "set", "Number of the set that the PoW chain takes the word of.", status.settlement.current.number
    )
    yield _gauge("sets_handed_over", "Sets handed over and not used yet.", len(status.settlement.handed_over))


def _light_client(status: BridgeView) -> Iterator[Metric]:
    light = status.light_client
    yield _gauge("light_client_height", "Height of the light client's best block.", light.height)
    yield _gauge("light_client_buried_height", "Height that it believes.", light.buried_height)
    yield _gauge(
        "light_client_on_best_chain",
        "1 while its best block is on this node's PoW chain.",
        int(light.on_best_chain),
    )
    if light.behind is not None:
        yield _gauge("light_client_behind", "Blocks of this node's PoW chain that it lacks.", light.behind)
    yield _gauge("deep_reorganisations", "Switches of its branch deeper than k.", light.deep_reorgs)
    yield _gauge("deepest_reorganisation", "Blocks of the deepest one.", light.deepest_reorg)


def _pool(pool: PoolView) -> Iterator[Metric]:
    amounts = ("balance", "income", "accrued", "claimed", "forfeited", "unclaimed", "debt")
    values = {name: getattr(pool, name) / WEI for name in amounts}
    yield _gauges("reward_pool_ioex", "The arbitrators' pool.", "amount", values)


def _solvency(found: Solvency) -> Iterator[Metric]:
    verdicts = {verdict.value: int(verdict is found.verdict) for verdict in Verdict}
    yield _gauges("verdict", "1 at what the solvency figures say.", "verdict", verdicts)
    yield _gauge("sound", "0 when an invariant is broken.", int(found.verdict is not Verdict.HOLE))
    yield _gauge("broken_invariants", "Invariants that do not hold.", len(found.broken))
    yield _gauge("difference_wei", "Reserve less all that it must cover: zero.", found.difference)
    yield _gauge("reserve_ioex", "What the bridge reserve holds.", found.reserve / WEI)
    waiting = found.not_credited
    parts = {
        "native": found.native,
        "queued": found.queued,
        "unsettled": found.unsettled,
        "retired": found.retired,
        "unseen": waiting.unseen,
        "unburied": waiting.unburied,
        "uncounted": waiting.uncounted,
        "unproven": waiting.unproven,
        "uncreditable": found.uncreditable,
    }
    values = {name: amount / WEI for name, amount in parts.items()}
    yield _gauges("backed_ioex", "What the reserve must cover.", "part", values)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"ioex_bridge_{name}", text, value=value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"ioex_bridge_{name}", text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family
