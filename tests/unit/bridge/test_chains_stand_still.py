"""What a node's relayer does when a chain does not go on: finality is away, or a disk fails."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ioex_chain.bridge.finality_proofs import FinalityProofs
from ioex_chain.bridge.relayer import PowItems
from ioex_chain.dpos.votes import Checkpoint
from ioex_chain.ledger.errors import StoreError, UndoMissing
from ioex_chain.node.bridging import Bridging, read_kept
from ioex_chain.node.dpos_build import HISTORY
from ioex_chain.primitives.types import BlockHash


class Entry:
    """A block of one chain."""

    def __init__(self, parent: "Entry | None") -> None:
        self.parent = parent
        self.height = 0 if parent is None else parent.height + 1
        self.hash = BlockHash(self.height.to_bytes(32, "big"))

    def known(self, hash_: bytes) -> "Entry":
        return CHAIN[int.from_bytes(hash_, "big")]


CHAIN: list[Entry] = [Entry(None)]
while len(CHAIN) < 400:
    CHAIN.append(Entry(CHAIN[-1]))


class Records:
    """Block 5 records block 3 as final, and nothing is final after it."""

    def __init__(self) -> None:
        self.asked = 0

    def require(self, entry: Entry) -> Any:
        self.asked += 1
        final = 3 if entry.height >= 5 else 0
        return SimpleNamespace(finalised=Checkpoint(CHAIN[final].hash, final), requests=7)


def test_the_newest_proof_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def carried_by(_self: object, block: Entry) -> Any:
        assert block.height == 5
        members = SimpleNamespace(number=0)
        return SimpleNamespace(final=SimpleNamespace(hash=CHAIN[3].hash), members=members, count=7)

    monkeypatch.setattr(FinalityProofs, "_carried_by", carried_by)
    records, ledger = Records(), SimpleNamespace(head=CHAIN[390])
    proofs: Any = FinalityProofs(ledger, records)  # type: ignore[arg-type]
    assert proofs.next_for(0, [], 100).count == 7
    first = records.asked
    for head in range(391, 400):
        ledger.head = CHAIN[head]
        assert proofs.next_for(0, [], 100).count == 7
    assert records.asked - first < 40 < first
    assert proofs.next_for(0, [], 6) is None, "it reaches too far"


@pytest.mark.parametrize(("behind", "expected"), [(HISTORY, 1), (HISTORY + 1, 0)])
def test_a_past_state_far_below_is_not_opened(behind: int, expected: int) -> None:
    opened: list[Any] = []

    def state_at(entry: Any) -> Any:
        opened.append(entry)
        raise UndoMissing("not here")

    floor = SimpleNamespace(height=1_000)
    ledger = SimpleNamespace(head=SimpleNamespace(height=1_000 + behind), floor=floor, state_at=state_at)
    bridging: Any = SimpleNamespace(_dpos=SimpleNamespace(ledger=ledger))
    Bridging.on_final(bridging, lambda _: None)
    assert len(opened) == expected


def test_blocks_are_made_without_the_other_chain_when_it_cannot_be_read() -> None:
    def items(_state: object, _timestamp: int) -> PowItems:
        raise StoreError("the disk failed")

    bridging: Any = SimpleNamespace(relayer=SimpleNamespace(items=items))
    assert Bridging.items(bridging, None, 0) == PowItems()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", '{"height": 1}', '{"height": Infinity, "hash": ""}', '{"height": 1, "hash": 7}',
     '{"height": "x", "hash": "00"}', '{"height": 1, "hash": "00"}'],
)  # fmt: skip
def test_a_damaged_file_says_nothing(tmp_path: Path, text: str) -> None:
    kept = tmp_path / "bridge.json"
    assert read_kept(kept) is None
    kept.write_text(text)
    assert read_kept(kept) is None
