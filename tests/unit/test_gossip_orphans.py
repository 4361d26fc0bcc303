"""The orphanage by itself: few, fair, forgetful."""

from itertools import count

from ioex_chain.gossip.orphans import LIFETIME, MAX_ORPHAN_BYTES, MAX_ORPHANS, MAX_PARENTS, Orphan, Orphanage
from ioex_chain.pow.transaction import Transaction, TxIn, TxOut
from ioex_chain.primitives.types import OutPoint

_numbers = count(1)


def make(parent: bytes | None = None, index: int = 0, size: int = 40) -> Transaction:
    """Make a transaction that spends an output of `parent`."""
    funds = (parent or next(_numbers).to_bytes(32, "big")) + index.to_bytes(4, "little")
    out = TxOut(next(_numbers), b"\x00\x14" + bytes(20))
    return Transaction.build(2, [TxIn(OutPoint(funds), b"", 0, (bytes(size),))], [out, out])


def orphan(tx: Transaction, peer: int = 1, since: float = 0.0) -> Orphan:
    return Orphan(tx, peer, tuple({item.outpoint[:32]: None for item in tx.inputs}), since)


def test_found_by_what_it_spends():
    kept = Orphanage()
    parent = make()
    children = [make(parent.txid, 0), make(parent.txid, 1), make()]
    for tx in children:
        assert kept.add(orphan(tx))
    assert children[0].wtxid in kept
    assert kept.has_txid(children[2].txid)
    assert [item.tx for item in kept.take_children(parent)] == children[:2]
    assert len(kept) == 1
    assert kept.take_children(parent) == []
    assert not kept.has_txid(children[0].txid)


def test_two_that_spend_the_same_are_both_kept():
    kept = Orphanage()
    parent = make()
    rivals = [make(parent.txid), make(parent.txid)]
    for tx in rivals:
        kept.add(orphan(tx))
    kept.remove(rivals[0].wtxid)
    assert [item.tx for item in kept.take_children(parent)] == rivals[1:]


def test_limits():
    kept = Orphanage()
    assert not kept.add(orphan(make(size=MAX_ORPHAN_BYTES)))
    many = Orphan(make(), 1, tuple(n.to_bytes(32, "big") for n in range(MAX_PARENTS + 1)), 0.0)
    assert not kept.add(many)
    for _ in range(3 * MAX_ORPHANS):
        kept.add(orphan(make()))
    assert len(kept) == MAX_ORPHANS


def test_the_largest_holder_loses_its_oldest():
    kept = Orphanage()
    honest = [make() for _ in range(3)]
    for tx in honest:
        kept.add(orphan(tx, peer=1))
    flood = [make() for _ in range(3 * MAX_ORPHANS)]
    for tx in flood:
        kept.add(orphan(tx, peer=2))
    assert all(tx.wtxid in kept for tx in honest)
    assert [item.tx for item in kept.all() if item.peer == 2] == flood[-(MAX_ORPHANS - 3) :]


def test_dropped_with_its_peer_and_in_time():
    kept = Orphanage()
    kept.add(orphan(make(), peer=1))
    kept.add(orphan(make(), peer=2, since=10.0))
    kept.add(orphan(make(), peer=2, since=20.0))
    kept.forget_peer(1)
    assert len(kept) == 2
    kept.expire(10.0 + LIFETIME)
    assert [item.since for item in kept.all()] == [20.0]
    assert [item.since for item in kept.take_all()] == [20.0]
    assert len(kept) == 0
