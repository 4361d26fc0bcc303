"""The block that tag `pending` names: what the next producer would find, not executed."""

import asyncio
from dataclasses import replace

from ioex_chain.dpos.header import SealedHeader
from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.eth import render
from ioex_chain.rpc.eth_backend import EthBackend, Pooled


def pending_header(backend: EthBackend) -> SealedHeader:
    """Give a header on the head: its own number, time and base fee; roots are the head's."""
    head = backend.head()
    header = replace(
        head.header.header,
        parent_hash=BlockHash(head.hash),
        number=head.height + 1,
        timestamp=backend.next_timestamp(),
        base_fee=backend.next_base_fee(head),
        gas_used=0,
        logs_bloom=bytes(256),
        extra_data=b"",
    )
    return SealedHeader(header, b"")


async def pending_transactions(backend: EthBackend) -> list[Pooled]:
    """Give the executable transactions of the pool, as many as a block holds, a sender's by nonce."""
    spec, pool = backend.spec.dpos, backend.pool

    def gather() -> list[Pooled]:
        room = spec.gas_limit
        chosen: list[Pooled] = []
        for sender in pool.senders():
            for pooled in pool.pending_of(sender):
                room -= pooled.tx.gas
                if room < 0 or len(chosen) == spec.max_block_transactions:
                    return chosen
                chosen.append(pooled)
        return chosen

    return await backend.call(gather)


async def pending_block(backend: EthBackend, *, full: bool) -> render.Json:
    """Write the pending block."""
    pooled = await pending_transactions(backend)
    return await asyncio.to_thread(_write, pending_header(backend), pooled, full)


async def pending_count(backend: EthBackend) -> str:
    """Count the pending block's transactions."""
    return hex(len(await pending_transactions(backend)))


async def pending_transaction(backend: EthBackend, index: int) -> render.Json | None:
    """Write one transaction of the pending block."""
    pooled = await pending_transactions(backend)
    if index >= len(pooled):
        return None
    place = render.Place.of(pending_header(backend))
    return render.transaction_json(pooled[index].tx, pooled[index].sender, place, index)


def _write(sealed: SealedHeader, pooled: list[Pooled], full: bool) -> render.Json:
    place = render.Place.of(sealed)
    size = len(sealed.encode()) + sum(len(p.tx.raw) for p in pooled)
    listed: list[object] = ["0x" + p.tx.hash.hex() for p in pooled]
    if full:
        listed = [render.transaction_json(p.tx, p.sender, place, at) for at, p in enumerate(pooled)]
    return render.block_json(sealed, (), size, listed)
