"""eth_*: what gas costs, now and lately."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.errors import LimitExceeded
from ioex_chain.rpc.eth.bodies import Body
from ioex_chain.rpc.eth.evm_port import Deadline, ExecutionTimeout
from ioex_chain.rpc.eth.heavy import HeavyPool
from ioex_chain.rpc.eth.reader import PRUNED_HISTORY, EthReader
from ioex_chain.rpc.eth.values import (
    BlockId,
    BlockTagParam,
    Count,
    ObjectResult,
    QuantityResult,
    fault,
    wrong_type,
)
from ioex_chain.rpc.eth_backend import DposEntry, EthBackend
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.registry import method

GROUP = "eth"
MAX_BLOCKS = 1_024
MAX_PERCENTILES = 100
SAMPLED_BLOCKS = 20
"""Blocks below the head whose tips the suggestion looks at."""
DEFAULT_TIP = 10**9
"""Suggested in wei when the sampled blocks have no transactions."""
MAX_TIP = 500 * 10**9
HISTORY_SECONDS = 5.0
_SUMMARIES = 4_096

Tips = tuple[Sequence[int], Sequence[int]]
"""Tips of a block's transactions in rising order, and the gas used up to and with each."""


def tips_of(body: Body) -> Tips:
    """Sort a block's transactions by tip. Raises BodyMissing."""
    base_fee = body.block.header.header.base_fee
    rows: list[tuple[int, int]] = []
    before = 0
    for tx, receipt in zip(body.block.transactions, body.receipts, strict=True):
        rows.append((tx.effective_gas_price(base_fee) - base_fee, receipt.cumulative_gas - before))
        before = receipt.cumulative_gas
    rows.sort()
    return [tip for tip, _ in rows], list(accumulate(gas for _, gas in rows))


def percentiles_of(tips: Tips, wanted: Sequence[float]) -> list[int]:
    """Give the tip at which each percentile of the block's gas is reached; zeros for an empty block."""
    prices, used = tips
    if not prices:
        return [0] * len(wanted)
    result, at = [], 0
    for percentile in wanted:
        threshold = int(used[-1] * percentile / 100)
        while used[at] < threshold and at < len(prices) - 1:
            at += 1
        result.append(prices[at])
    return result


def _read_percentiles(value: object) -> list[float]:
    if not isinstance(value, list):
        raise wrong_type("must be an array of numbers")
    if len(value) > MAX_PERCENTILES:
        raise fault(f"has {len(value)} percentiles, at most {MAX_PERCENTILES} are taken")
    if any(isinstance(item, bool) or not isinstance(item, int | float) for item in value):
        raise wrong_type("must be an array of numbers")
    if any(not 0 <= item <= 100 or math.isnan(item) for item in value):
        raise fault("a percentile lies between 0 and 100")
    if sorted(value) != value:
        raise fault("percentiles must rise")
    return [float(item) for item in value]


Percentiles = Annotated[
    list[float],
    PlainValidator(_read_percentiles),
    WithJsonSchema({"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 100}}),
    Param("percentiles of the block's gas, rising, for which to give the tip", name="rewardPercentiles"),
]


class FeesApi:
    """Prices. All amounts are wei for a unit of gas."""

    def __init__(self, backend: EthBackend, reader: EthReader, pool: HeavyPool) -> None:
        self._backend = backend
        self._reader = reader
        self._pool = pool
        self._tips: OrderedDict[BlockHash, Tips] = OrderedDict()
        self._suggested: tuple[BlockHash, int] | None = None

    @method("eth_baseFee", group=GROUP)
    def base_fee(self) -> QuantityResult:
        """Give the next block's base fee."""
        return hex(self._backend.next_base_fee(self._backend.head()))

    @method("eth_blobBaseFee", group=GROUP)
    def blob_base_fee(self) -> QuantityResult:
        """Give the price of blob gas: the least that EIP-4844 knows, as there are no blobs here."""
        return "0x1"

    @method("eth_gasPrice", group=GROUP)
    def gas_price(self) -> Any:
        """Give a price with which a transaction is in one of the next blocks: base fee and usual tip."""
        return self._with_tip(self._backend.next_base_fee(self._backend.head()))

    @method("eth_maxPriorityFeePerGas", group=GROUP)
    def max_priority_fee(self) -> Any:
        """Give the usual tip: the 60th percentile over the last 20 blocks."""
        return self._with_tip(0)

    def _with_tip(self, base_fee: int) -> Any:
        head = self._backend.head()
        if self._suggested is not None and self._suggested[0] == head.hash:
            return hex(base_fee + self._suggested[1])

        async def find() -> str:
            tip = await asyncio.to_thread(self._suggest, head)
            self._suggested = (head.hash, tip)
            return hex(base_fee + tip)

        return find()

    def _suggest(self, head: DposEntry) -> int:
        heights = range(max(1, head.height - SAMPLED_BLOCKS + 1), head.height + 1)
        entries = [entry for height in heights if (entry := self._backend.entry_at(height)) is not None]
        sampled = [percentiles_of(tips, (60,))[0] for entry in entries if (tips := self._tips_of(entry))[0]]
        usual = sorted(sampled)[len(sampled) * 6 // 10] if sampled else DEFAULT_TIP
        return min(max(usual, self._backend.pool.policy.min_tip), MAX_TIP)

    @method("eth_feeHistory", group=GROUP, errors=(PRUNED_HISTORY, LimitExceeded))
    async def fee_history(
        self,
        count: Annotated[Count, Param("blocks; above 1,024 means 1,024", name="blockCount")],
        newest: Annotated[BlockTagParam, Param("the last one", name="newestBlock")],
        percentiles: Percentiles | None = None,
    ) -> ObjectResult:
        """Give base fees, how full blocks were and, for percentiles, the tips paid, oldest block first.

        `baseFeePerGas` has one more value: that of the block after the newest.
        """

        def work(deadline: Deadline) -> dict[str, Any]:
            return self._history(min(count, MAX_BLOCKS), newest, percentiles, deadline)

        try:
            return await self._pool.run(work, HISTORY_SECONDS)
        except ExecutionTimeout:
            raise LimitExceeded(
                "reading the tips of so many blocks takes too long; ask for fewer, or again later"
            ) from None

    def _history(
        self, count: int, newest: BlockId, percentiles: list[float] | None, deadline: Deadline
    ) -> dict[str, Any]:
        last = self._reader.require(newest)
        first = max(0, last.height - count + 1)
        entries = [e for height in range(first, last.height) if (e := self._backend.entry_at(height))]
        entries = [*entries, last] if count else []
        headers = [entry.header.header for entry in entries]
        following = [self._base_fee_after(last)] if count else []
        answer: dict[str, Any] = {
            "oldestBlock": hex(first if count else 0),
            "baseFeePerGas": [*(hex(h.base_fee) for h in headers), *map(hex, following)],
            "gasUsedRatio": [h.gas_used / h.gas_limit if h.gas_limit else 0.0 for h in headers],
            "baseFeePerBlobGas": ["0x1"] * (len(headers) + len(following)),
            "blobGasUsedRatio": [0.0] * len(headers),
        }
        if percentiles:
            answer["reward"] = self._rewards(entries, percentiles, deadline)
        return answer

    def _base_fee_after(self, entry: DposEntry) -> int:
        after = self._backend.entry_at(entry.height + 1)
        return after.header.header.base_fee if after else self._backend.next_base_fee(entry)

    def _rewards(
        self, entries: Sequence[DposEntry], percentiles: list[float], deadline: Deadline
    ) -> list[list[str]]:
        rewards = []
        for entry in entries:
            deadline.check()
            rewards.append([hex(tip) for tip in percentiles_of(self._tips_of(entry), percentiles)])
        return rewards

    def _tips_of(self, entry: DposEntry) -> Tips:
        known = self._tips.get(entry.hash)
        if known is None:
            empty = entry.header.header.gas_used == 0
            known = ([], []) if empty else self._reader.make(entry, tips_of)
            self._tips[entry.hash] = known
            while len(self._tips) > _SUMMARIES:
                self._tips.popitem(last=False)
        return known
