"""Run one world from the command line: `PYTHONPATH=tests python -m sim SHAPE SEED [TRACE-FILE]`."""

import sys
from pathlib import Path
from time import perf_counter

from .shapes import LARGE
from .world import World


def main() -> int:
    """Run the world, print its summary, the digest of its trace and what does not hold."""
    name, seed = sys.argv[1], int(sys.argv[2])
    began = perf_counter()
    if len(sys.argv) > 3:
        with Path(sys.argv[3]).open("w", encoding="utf-8") as file:
            world = World(seed, LARGE[name], log=lambda line: print(line, file=file))
            wrong = world.run()
    else:
        world = World(seed, LARGE[name])
        wrong = world.run()
    print(f"{name}: {world.summary()}")
    print(f"digest {world.scheduler.digest} lines {world.scheduler.lines}")
    print(f"{perf_counter() - began:.1f} s", file=sys.stderr)
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
