"""Print the genesis hashes of every network; `--write` puts them where tests and pages have the old ones.

Run it after anything that changes a genesis block (contracts, their storage, parameters), and look at the
difference: who changes these hashes makes other networks.
"""

import ast
import sys
from pathlib import Path

from ioex_chain.evm.genesis import genesis_hash
from ioex_chain.pow.genesis import genesis_block, identity_of
from ioex_chain.primitives.types import display
from ioex_chain.spec.load import NETWORKS, load_network

ROOT = Path(__file__).parents[1]
POW_TEST = ROOT / "tests/unit/test_genesis.py"
DPOS_TEST = ROOT / "tests/unit/contracts/test_contracts_genesis.py"
FILES = (POW_TEST, DPOS_TEST, ROOT / "docs/protocol.md", ROOT / "docs/genesis.md")


def present(name: str) -> tuple[str, ...]:
    """Give PoW genesis hash, Merkle root, network identity and DPoS genesis hash of a network."""
    spec = load_network(name)
    block = genesis_block(spec)
    found = display(block.hash), display(block.header.merkle_root), identity_of(spec).hex()
    return (*found, genesis_hash(spec, block.hash).hex())


def golden(path: Path) -> dict[str, str | tuple[str, ...]]:
    """Read a test's table of hashes."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "GOLDEN":
            found: dict[str, str | tuple[str, ...]] = ast.literal_eval(node.value)
            return found
    raise SystemExit(f"{path} has no table GOLDEN")


def main() -> None:
    """Print, and write when asked to."""
    old_pow, old_dpos = golden(POW_TEST), golden(DPOS_TEST)
    changes: dict[str, str] = {}
    for name in NETWORKS:
        new = present(name)
        print(name, *new, sep="\n  ")
        changes |= dict(zip((*old_pow[name], str(old_dpos[name])), new, strict=True))
    if "--write" in sys.argv[1:]:
        for path in FILES:
            text = path.read_text()
            for before, after in changes.items():
                text = text.replace(before, after)
            path.write_text(text)


if __name__ == "__main__":
    main()
