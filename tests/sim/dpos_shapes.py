"""The worlds of arbitrators that the tests run."""

from dataclasses import replace

from .dpos_hostile import Equivocator, Forker, Hostile, Twin, Withholder
from .dpos_network import CALM
from .dpos_world import DposShape

SMALL = DposShape(slots=75, quiet=25, crashes=4, partitions=2, longest_partition=20, clock_steps=1)
"""13 arbitrators, 4 of them hostile."""
CROWD = DposShape(
    seats=51,
    hostile=16,
    spare=4,
    slots=75,
    quiet=10,
    crashes=5,
    clock_steps=0,
    partitions=1,
    longest_partition=12,
)
"""51 arbitrators, 16 of them hostile, in the suite's length."""
SOAK_SMALL = DposShape()
"""13 arbitrators over 200 slots: 15 terms."""
SOAK_LONG = replace(SMALL, slots=180, quiet=40, partitions=1, longest_partition=120, term_rounds=2)
"""Several terms without finality."""
SOAK_ANGRY = replace(SOAK_SMALL, relent=False, kinds=(Twin, Forker, Equivocator, Withholder))
"""Hostile to the end."""
SOAK_CROWD = replace(
    CROWD, slots=160, quiet=40, crashes=10, clock_steps=2, partitions=2, longest_partition=40
)
SOAK = {"small": SOAK_SMALL, "long": SOAK_LONG, "angry": SOAK_ANGRY}

PEACE = DposShape(
    seats=13,
    hostile=0,
    spare=0,
    slots=40,
    quiet=20,
    crashes=0,
    partitions=0,
    clock_steps=0,
    rankings=0.0,
    weather=CALM,
    storms=False,
)
SILENCE = replace(PEACE, seats=51, slots=30, quiet=12, silent=(17, 8, 28))
"""17 of 51 are off for 20 slots."""
TOO_MANY = replace(
    CROWD, hostile=18, relent=False, slots=60, quiet=10, kinds=(Twin, Forker, Equivocator, Hostile)
)
FORCED = replace(PEACE, hostile=5, kinds=(Twin,), slots=40, quiet=20, relent=False)
"""One more than a third, each of them on both sides of a partition: 5 of 13, 19 of 51."""
