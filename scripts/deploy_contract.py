"""Deploy a contract and write its record: `ioex contract deploy` for build scripts.

    python scripts/deploy_contract.py SOURCE [ARGUMENTS ...] --network devnet --dev-account 0

SOURCE is Vyper, Solidity, standard JSON, or an artefact of Hardhat or Foundry; `--help` lists the options.
"""

import sys

from ioex_chain.cli.main import app


def main() -> None:
    """Run the command with this script's arguments."""
    app(["contract", "deploy", *sys.argv[1:]])


if __name__ == "__main__":
    main()
