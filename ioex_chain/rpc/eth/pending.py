"""The block that tag `pending` names: what the next producer would find, not executed."""

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


def pending_transactions(backend: EthBackend) -> list[Pooled]:
    """Give the executable transactions of the pool, as many as a block holds, a sender's by nonce."""
    spec = backend.spec.dpos
    room = spec.gas_limit
    chosen: list[Pooled] = []
    for own in backend.pool.pending().values():
        for pooled in own:
            room -= pooled.tx.gas
            if room < 0 or len(chosen) == spec.max_block_transactions:
                return chosen
            chosen.append(pooled)
    return chosen


def pending_block(backend: EthBackend, *, full: bool) -> render.Json:
    """Write the pending block."""
    sealed = pending_header(backend)
    place = render.Place.of(sealed)
    pooled = pending_transactions(backend)
    size = len(sealed.encode()) + sum(len(p.tx.raw) for p in pooled)
    listed: list[object] = ["0x" + p.tx.hash.hex() for p in pooled]
    if full:
        listed = [render.transaction_json(p.tx, p.sender, place, index) for index, p in enumerate(pooled)]
    return render.block_json(sealed, (), size, listed)
