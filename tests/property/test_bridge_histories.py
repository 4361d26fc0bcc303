"""Random histories of both chains, the bridge's invariants after every step (docs/protocol.md section 6).

The suite runs a few short ones; `-m soak` many (`IOEX_BRIDGE_SEQUENCES`, 500 of 100 steps) and a long one
(`IOEX_BRIDGE_STEPS`, 10,000). A seed that failed: `IOEX_BRIDGE_FIRST_SEED`.
"""

import os
from collections import Counter

import pytest
from sim.bridge_history import History
from sim.bridge_spec import bridge_network, narrow_network

SEEDS = (1, 2, 3, 4, 5)
STEPS = 100
SEQUENCES = int(os.environ.get("IOEX_BRIDGE_SEQUENCES", "500"))
LONG = int(os.environ.get("IOEX_BRIDGE_STEPS", "10000"))
FIRST_SEED = int(os.environ.get("IOEX_BRIDGE_FIRST_SEED", "1000"))
WANTED = {
    "PoW forks",
    "DPoS forks",
    "PoW crashes",
    "DPoS crashes",
    "deposits undone",
    "settled withdrawals undone",
    "credits undone",
    "requests undone",
    "late votes that moved the head",
    "deposits credited",
    "withdrawals settled",
    "sets handed over",
    "settlements",
}


def lived(history: History) -> Counter[str]:
    """Count what happened to coins in a history."""
    pow_model, dpos_model = history.invariants.pow, history.invariants.dpos
    return history.world.happened + Counter(
        {
            "steps": history.steps,
            "deposits undone": pow_model.undone["deposits"],
            "settled withdrawals undone": pow_model.undone["withdrawals"],
            "credits undone": dpos_model.undone["credits"],
            "requests undone": dpos_model.undone["requests"],
            "deposits credited": len(dpos_model.credited),
            "withdrawals settled": pow_model.now.settled,
            "sets handed over": dpos_model.now.sets,
            "settlements": pow_model.now.settlements,
            "PoW blocks": pow_model.now.height,
            "DPoS blocks": dpos_model.now.height,
        }
    )


def live(seed: int, steps: int, *, newcomers: bool = True) -> Counter[str]:
    """Run one history, and have it named if an invariant breaks; every other network has narrow limits."""
    history = History(seed, narrow_network() if seed % 2 == 0 else bridge_network())
    try:
        while history.steps + 500 < steps:
            for _ in range(500):
                history.step()
            print(f"{history.steps} steps: {dict(lived(history))}", flush=True)
        history.run(steps - history.steps, newcomers=newcomers)
    except BaseException as error:
        error.add_note(f"seed {seed}, step {history.steps}: {history.last}")
        raise
    return lived(history)


def test_invariants_hold_after_every_step_of_random_histories() -> None:
    total: Counter[str] = Counter()
    for seed in SEEDS:
        total += live(seed, STEPS)
    assert total["steps"] == len(SEEDS) * STEPS
    missing = WANTED - set(+total)
    assert not missing, "these histories are too quiet to prove anything"


@pytest.mark.soak
@pytest.mark.timeout(86_400)
def test_hundreds_of_sequences() -> None:
    total: Counter[str] = Counter()
    for number in range(SEQUENCES):
        total += live(FIRST_SEED + number, STEPS, newcomers=number % 5 == 0)
        if number % 25 == 24:
            print(f"{number + 1} sequences: {dict(total)}", flush=True)
    assert total["steps"] == SEQUENCES * STEPS


@pytest.mark.soak
@pytest.mark.timeout(86_400)
def test_a_long_history() -> None:
    print(dict(live(FIRST_SEED - 1, LONG)), flush=True)
