"""Run benchmarks: `python -m benchmarks [NAME ...] [--quick] [--json FILE]`; all of them by default.

NAME is that of a module `bench_NAME`. One with `run(quick)` gives tables; one with `main` alone is run as a
program of its own, with the arguments in its `QUICK_ARGUMENTS` when things should go quickly.
"""

import argparse
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import benchmarks
from benchmarks.report import Table, calibrate, machine

PREFIX = "bench_"


def names() -> list[str]:
    """Give the names of all benchmarks."""
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name.removeprefix(PREFIX) for name in found if name.startswith(PREFIX))


def run_one(name: str, quick: bool) -> tuple[list[Table], str]:
    """Run a benchmark; give its tables, or what it printed if it is a program of its own."""
    module = importlib.import_module(f"benchmarks.{PREFIX}{name}")
    if hasattr(module, "run"):
        tables: list[Table] = module.run(quick)
        return tables, "\n".join(table.render() for table in tables)
    return [], f"### {name}\n\n```\n{run_program(module, quick)}```\n"


def run_program(module: ModuleType, quick: bool) -> str:
    """Run a module's `main` in a process of its own; give what it printed."""
    arguments = getattr(module, "QUICK_ARGUMENTS", ()) if quick else ()
    command = [sys.executable, "-m", module.__name__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else f"failed: {done.stderr}"


def main() -> None:
    known = names()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"among {', '.join(known)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, once: shows that all of it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE as well")
    options = parser.parse_args()
    unknown = set(options.names) - set(known)
    if unknown:
        parser.error(f"no benchmark called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    facts = {"machine": machine(), "calibration": [calibrate().render()]}
    print(f"{facts['machine']}\nbefore: {facts['calibration'][0]}\n", flush=True)
    results: dict[str, object] = {}
    for name in options.names or known:
        tables, text = run_one(name, options.quick)
        results[name] = [table.to_json() for table in tables] or text
        print(text, flush=True)
        line = calibrate().render()
        facts["calibration"].append(line)  # type: ignore[attr-defined]
        print(f"after {name}: {line}\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps({**facts, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
