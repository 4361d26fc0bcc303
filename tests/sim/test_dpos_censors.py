"""Producers that leave transactions out delay them by their own slots in a row and one more.

Within a round that is at most k + 1 slots for k censors. At the border of two rounds the shuffles may put one
censor's slots of both rounds next to each other.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from chaingen.dpos_tiny import tiny_transaction

from ioex_chain.evm.types import Transaction
from ioex_chain.ledger.types import Readable

from .dpos_node import Arbitrator
from .dpos_shapes import PEACE
from .dpos_world import DposWorld

EVERY = 3
"""Slots between two transactions of the user."""


class CensoredWorld(DposWorld):
    """A user's transactions are in every pool; `censors` are as honest as the others otherwise."""

    def __init__(self, seed: int, censors: int, slots: int) -> None:
        super().__init__(seed, replace(PEACE, slots=slots))
        self.sent: dict[int, Transaction] = {}
        self.included: dict[int, int] = {}
        self._slots = slots
        for node in self.honest[:censors]:
            node.world = _Blind(self)  # type: ignore[assignment]
        for node in self.nodes:
            node.start()
        for slot in range(2, slots - 10, EVERY):
            tx = tiny_transaction(gas=slot)
            self.at_slot(slot + 0.9, lambda slot=slot, tx=tx: self.sent.update({slot: tx}))  # type: ignore[misc]

    def transactions(self, view: Readable) -> Sequence[Transaction]:
        return [tx for slot, tx in self.sent.items() if slot not in self.included]

    def play(self) -> None:
        """Run, and note in which slot each transaction came into a block."""
        for slot in range(1, self._slots):
            self.advance(slot + 0.5)
            node = self.honest[-1]
            raw = {tx.raw: sent for sent, tx in self.sent.items()}
            for tx in self.block(node.ledger, node.ledger.head.hash).transactions:
                self.included.setdefault(raw[tx.raw], node.slot_of(node.ledger.head))

    def censored_in_a_row(self, sent: int, keys: set[bytes]) -> int:
        """Give how many slots after `sent` belong to censors without a break."""
        node: Arbitrator = self.honest[-1]
        count = 0
        while True:
            slot = sent + 1 + count
            parent = max(
                (node.ledger.entry_at(height) for height in range(node.ledger.head.height + 1)),
                key=lambda entry: (
                    entry is not None and node.slot_of(entry) < slot,
                    entry.height if entry else 0,
                ),
            )
            producer = None if parent is None else node.engine.producer(parent, slot)
            if producer is None or producer.key not in keys:
                return count
            count += 1


class _Blind:
    """The world as a censor shows it to its producer: without anybody's transactions."""

    def __init__(self, world: DposWorld) -> None:
        self._world = world

    def __getattr__(self, name: str) -> object:
        return getattr(self._world, name)

    def transactions(self, view: Readable) -> Sequence[Transaction]:
        return ()


@pytest.mark.parametrize(("seed", "censors"), [(1, 1), (2, 4), (3, 8)])
def test_k_censors_delay_a_transaction_by_their_own_slots_only(seed: int, censors: int) -> None:
    world = CensoredWorld(seed, censors, slots=70)
    world.play()
    assert not world.faults
    keys = {node.key.address for node in world.honest[:censors]}
    longest = 0
    for sent in world.sent:
        delay = world.included[sent] - sent
        row = world.censored_in_a_row(sent, keys)
        assert delay == row + 1
        one_round = (sent + 1) // 13 == world.included[sent] // 13
        assert delay <= (censors if one_round else 2 * censors) + 1
        longest = max(longest, delay)
    assert longest > 1
