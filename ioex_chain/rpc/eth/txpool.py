"""txpool_*: what waits for a block."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from ioex_chain.evm.types import Transaction
from ioex_chain.rpc.eth.render import transaction_json
from ioex_chain.rpc.eth.values import Address, ObjectResult
from ioex_chain.rpc.eth_backend import EthBackend, Pooled
from ioex_chain.rpc.jsonio import dumps
from ioex_chain.rpc.registry import method

GROUP = "txpool"
BySender = Mapping[bytes, Sequence[Pooled]]


class TxpoolApi:
    """The pool: pending transactions can be executed now, queued ones wait for another or for money."""

    def __init__(self, backend: EthBackend) -> None:
        self._backend = backend
        self._pool = backend.pool

    @method("txpool_status", group=GROUP)
    def status(self) -> dict[str, str]:
        """Count the transactions."""
        status = self._pool.status()
        return {"pending": hex(status.pending), "queued": hex(status.queued)}

    @method("txpool_content", group=GROUP)
    async def content(self) -> ObjectResult:
        """Give all transactions by sender and nonce."""
        return await self._written(_by_nonce)

    @method("txpool_inspect", group=GROUP)
    async def inspect(self) -> ObjectResult:
        """Give a line for each transaction, by sender and nonce."""
        return await self._written(_lines)

    @method("txpool_contentFrom", group=GROUP)
    async def content_from(self, address: Address) -> ObjectResult:
        """Give one sender's transactions by nonce."""
        pool = self._pool
        pending, queued = await self._backend.call(
            lambda: (pool.pending_of(address), pool.queued_of(address))
        )
        return {"pending": _by_nonce(pending), "queued": _by_nonce(queued)}

    async def _written(self, write: Callable[[Sequence[Pooled]], dict[str, Any]]) -> orjson.Fragment:
        """Copy the lists in the worker thread, write them in another one."""
        pending, queued = await self._backend.call(self._gather)

        def run() -> orjson.Fragment:
            parts = {"pending": _of_senders(pending, write), "queued": _of_senders(queued, write)}
            return orjson.Fragment(dumps(parts))

        return await asyncio.to_thread(run)

    def _gather(self) -> tuple[BySender, BySender]:
        senders = self._pool.senders()
        return (
            {sender: own for sender in senders if (own := self._pool.pending_of(sender))},
            {sender: own for sender in senders if (own := self._pool.queued_of(sender))},
        )


def _of_senders(
    senders: BySender, write: Callable[[Sequence[Pooled]], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    return {"0x" + sender.hex(): write(pooled) for sender, pooled in senders.items()}


def _by_nonce(pooled: Sequence[Pooled]) -> dict[str, Any]:
    return {str(p.tx.nonce): transaction_json(p.tx, p.sender, None, None) for p in pooled}


def _lines(pooled: Sequence[Pooled]) -> dict[str, Any]:
    return {str(p.tx.nonce): _line(p.tx) for p in pooled}


def _line(tx: Transaction) -> str:
    to = "contract creation" if tx.to is None else "0x" + tx.to.hex()
    return f"{to}: {tx.value} wei + {tx.gas} gas × {tx.max_fee} wei"
