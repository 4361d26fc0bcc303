"""The long form of the arbitrators' simulation: IOEX_SIM_DPOS_SEEDS seeds of at least 200 slots."""

import os

import pytest

from .dpos_shapes import SOAK, SOAK_CROWD
from .dpos_world import DposWorld

pytestmark = [pytest.mark.soak, pytest.mark.timeout(86_400)]

SEEDS = int(os.environ.get("IOEX_SIM_DPOS_SEEDS", "1000"))
CROWDS = int(os.environ.get("IOEX_SIM_DPOS_CROWDS", "50"))
FIRST_SEED = int(os.environ.get("IOEX_SIM_FIRST_SEED", "1000"))


def test_a_thousand_seeds() -> None:
    names, wrong = list(SOAK), []
    slots = guilty = 0
    for number in range(SEEDS):
        seed = FIRST_SEED + number
        name = "crowd" if number % max(1, SEEDS // max(1, CROWDS)) == 0 else names[number % len(names)]
        shape = SOAK_CROWD if name == "crowd" else SOAK[name]
        world = DposWorld(seed, shape)
        found = world.run()
        slots += shape.slots + shape.quiet
        guilty += len(world.guilty)
        wrong += [f"{name} {seed}: {sentence}" for sentence in found]
        print(f"{name}: {world.summary()}{'  WRONG' if found else ''}", flush=True)
    print(f"{SEEDS} seeds, {slots} slots, {guilty} keys found guilty, {len(wrong)} wrong")
    assert not wrong, "\n".join(wrong)
