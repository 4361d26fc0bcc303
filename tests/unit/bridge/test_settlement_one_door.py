"""All of the program runs one rule: whoever makes the chain's state machine makes it with the bridge's."""

import re
from pathlib import Path

from chaingen.settlements import SettlementWorld

import ioex_chain
from ioex_chain.bridge.settlement import BridgeSettlements
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.node.build import open_ledger, pow_machine
from ioex_chain.primitives.clock import FixedClock

SOURCES = sorted(Path(ioex_chain.__file__).parent.rglob("*.py"))


def made_in(name: str) -> set[str]:
    """Give the files in which a class is called by its name."""
    called = re.compile(rf"(?<!class )\b{name}\(")
    return {path.name for path in SOURCES if called.search(path.read_text())}


def test_one_place_makes_the_state_machine() -> None:
    assert made_in("PowMachine") == {"build.py"}
    assert made_in("pow_machine") == {"build.py"}


def test_every_pool_of_the_program_is_given_the_rule() -> None:
    (place,) = [
        path
        for path in SOURCES
        if "pow.mempool import Mempool" in path.read_text() and "Mempool(" in path.read_text()
    ]
    assert place.name == "app.py"
    assert "settlements=settlement_rule(" in place.read_text()


def test_the_machine_of_production_settles() -> None:
    world = SettlementWorld()
    assert isinstance(pow_machine(world.spec).settlements, BridgeSettlements)
    ledger = open_ledger(world.spec, MemoryStore(), FixedClock(world.clock.now()))
    for block in world.chain.branch(world.tip):
        ledger.accept_block(block)
    world.dpos.drain(world.dpos.withdraw(10**8, b"\x00\x14" + bytes(20)))
    ledger.accept_block(world.mine(world.settlement()))
    assert ledger.head.hash == world.ledger.head.hash
