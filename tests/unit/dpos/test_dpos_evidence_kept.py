"""Evidence over a restart: what was found is offered again until a final block has punished it."""

from pathlib import Path

import pytest
from dpos_gossip_world import Node, World

from ioex_chain.dpos import evidence
from ioex_chain.dpos.evidence_kept import EvidenceUnreadable, decode_kept, encode_kept
from ioex_chain.dpos.finality_ports import RecoveredSignatures
from ioex_chain.dpos.votes import Evidence, SealEvidence
from ioex_chain.node.evidence_journal import EvidenceJournal, undone
from ioex_chain.p2p import chain_messages as m
from ioex_chain.p2p.finality_messages import EvidenceItem


def journal(path: Path, node: Node) -> EvidenceJournal:
    return EvidenceJournal(path, lambda: node.finality, node.chain.run)


def twins(world: World) -> SealEvidence:
    one = world.forge.extend(world.forge.genesis)
    other = world.forge.make(world.forge.genesis, extra_data=b"twin")
    return evidence.of_seals(one.header, other.header)


def test_what_was_found_is_due_again_after_a_restart(tmp_path: Path) -> None:
    path, world = tmp_path / "evidence.dat", World(2)
    node, restarted = world.nodes
    kept = journal(path, node)
    tell = node.follower._tell
    node.follower._tell = lambda outcome: (tell(outcome), kept.on_outcome(outcome))[0]
    one, other = (world.forge.make(world.forge.genesis, extra_data=text) for text in (b"", b"twin"))
    peer = node.peer()
    node.hear(peer, m.Headers((), more=False))
    for block in (one, other):
        node.hear(peer, m.Announce((block.header.encode(),)))
    (found,) = node.finality.evidence()
    loaded = journal(path, restarted).load()
    assert loaded == [found]
    for item in loaded:
        restarted.follower.on_evidence(item)
    restarted.give(one)
    assert restarted.finality.evidence_for(restarted.ledger.head, 4) == (found,)
    greeted = restarted.peer()
    assert len(greeted.take(EvidenceItem)) == 1


def test_what_is_final_is_not_written_again(tmp_path: Path) -> None:
    path, world = tmp_path / "evidence.dat", World(1)
    node = world.nodes[0]
    item = twins(world)
    node.follower.on_evidence(item)
    journal(path, node).write()()
    assert decode_kept(path.read_bytes()) == [item]
    carrier = world.forge.extend(world.forge.genesis, evidence=(item,))
    node.give(carrier, *world.forge.grow(carrier, 4, final=True))
    journal(path, node).write()()
    assert decode_kept(path.read_bytes()) == []


def test_what_is_punished_or_proves_nothing_is_left_out() -> None:
    world = World(1)
    item = twins(world)
    signatures = RecoveredSignatures(world.forge.genesis.header.hash)
    key = evidence.offence(item, signatures).key
    nothing = SealEvidence(item.one, item.one)
    assert undone([nothing, item], signatures, {key}.__contains__) == [item]
    assert undone([nothing, item], signatures, set[bytes]().__contains__) == []


def test_every_damage_is_found_and_costs_only_what_was_kept(tmp_path: Path) -> None:
    path, world = tmp_path / "evidence.dat", World(1)
    items: list[Evidence] = [twins(world)]
    data = encode_kept(items)
    assert decode_kept(data) == items
    for at in range(0, len(data), 37):
        damaged = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        for bad in (damaged, data[:at]):
            with pytest.raises(EvidenceUnreadable):
                decode_kept(bad)
    path.write_bytes(data[:-1])
    assert journal(path, world.nodes[0]).load() == []
    path.unlink()
    assert journal(path, world.nodes[0]).load() == []


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path) -> None:
    world = World(1)
    node = world.nodes[0]
    kept = journal(tmp_path / "none" / "evidence.dat", node)
    outcome = node.follower.on_evidence(twins(world))
    kept.on_outcome(outcome)
    kept.on_outcome(outcome)
    world.time.settle()
    assert node.finality.evidence()
    with pytest.raises(FileNotFoundError) as refused:
        kept.write()()
    kept.lost(refused.value)
    with pytest.raises(ValueError, match="another"):
        kept.lost(ValueError("another"))
