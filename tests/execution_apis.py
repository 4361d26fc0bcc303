"""Ethereum's execution-apis specification as the tests read it: methods, schemas, and what is left out."""

import os
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from yaml_subset import load

ROOT = os.environ.get("IOEX_VECTORS")
SOURCE = Path(ROOT or ".") / "execution-apis" / "src"

NOT_OFFERED = {
    "eth_sign": "the node holds no keys",
    "eth_signTransaction": "the node holds no keys",
    "eth_sendTransaction": "the node holds no keys; a solo devnet offers it",
    "eth_fillTransaction": "clients fall back on its parts",
    "eth_coinbase": "the node is nobody's wallet",
    "eth_config": "EIP-7910 tells of forks by time and blob schedules, which this chain has not",
    "eth_getBlockAccessList": "EIP-7928 is after Prague",
    "debug_getRawBlockAccessList": "EIP-7928 is after Prague",
}

EITHER_LIST = ("eth_getLogs", "eth_getFilterLogs", "eth_getFilterChanges")
"""Their schema is one of two kinds of lists, so that an empty one, being both, is neither."""


def read_methods() -> dict[str, Any]:
    return {
        entry["name"]: entry
        for folder in ("eth", "debug", "txpool")
        for path in sorted((SOURCE / folder).glob("*.yaml"))
        for entry in load(path.read_text())
    }


def read_schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    for path in sorted((SOURCE / "schemas").glob("*.yaml")):
        schemas |= load(path.read_text())
    return schemas


METHODS = read_methods() if ROOT else {}
SCHEMAS = {"schemas": read_schemas()} if ROOT else {}


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": SCHEMAS})


def fault_of(name: str, result: Any) -> str | None:
    """Say what is wrong with an answer by the method's schema; None when nothing is."""
    if result == [] and name in EITHER_LIST:
        return None
    errors = list(validator(METHODS[name]["result"]["schema"]).iter_errors(result))
    return f"{errors[0].message[:500]} at {list(errors[0].absolute_path)}" if errors else None
