"""Compile ioex_chain/evm/contracts/*.vy to the artefacts beside them, which the package carries.

    python scripts/compile_contracts.py [FOLDER]

The artefacts are committed: a node needs no compiler. A test runs this again and compares byte for byte,
because genesis holds the byte code.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import vyper

SOURCES = Path(__file__).parents[1] / "ioex_chain" / "evm" / "contracts"


def compile_source(path: Path) -> dict[str, Any]:
    """Give a source's artefact: ABI, runtime byte code, storage slots, and what they were made from."""
    source = path.read_text()
    made = vyper.compile_code(source, output_formats=["abi", "bytecode_runtime", "layout"])
    return {
        "name": path.stem,
        "compiler": f"vyper {vyper.__version__}",
        "source_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "abi": made["abi"],
        "bytecode_runtime": made["bytecode_runtime"],
        "storage_layout": {name: field["slot"] for name, field in made["layout"]["storage_layout"].items()},
    }


def main() -> None:
    """Write one JSON file a contract."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCES
    for source in sorted(SOURCES.glob("*.vy")):
        path = folder / f"{source.stem}.json"
        path.write_text(json.dumps(compile_source(source), indent=1, sort_keys=True) + "\n")
        print(path)


if __name__ == "__main__":
    main()
