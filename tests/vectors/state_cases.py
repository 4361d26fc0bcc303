"""Ethereum's state tests: reading them, and running one on the path that imports blocks."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import rlp

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.block import BlockRules, BlockRun
from ioex_chain.evm.errors import BlobsNotSupported, InvalidTransaction, TransactionRefused
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.evm.types import BlockEnv, Log
from ioex_chain.evm.vm import CANCUN, PRAGUE
from ioex_chain.ledger.overlay import Overlay

FORKS = {"Cancun": CANCUN, "Prague": PRAGUE}


@dataclass(frozen=True)
class Case:
    """One transaction on one state, with the state root and log hash that must come of it."""

    label: str
    fork: str
    env: dict[str, str]
    pre: dict[str, Any]
    raw: bytes
    root: bytes
    logs: bytes
    exception: str | None


class Rows(dict[bytes, bytes]):
    """An empty store."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted((key, value) for key, value in self.items() if key.startswith(prefix)))


def raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def number(text: str) -> int:
    return int(text, 16)


def cases_of(path: Path) -> Iterator[Case]:
    for name, test in json.loads(path.read_text()).items():
        for fork, posts in test["post"].items():
            for post in posts:
                yield Case(
                    f"{name} {fork} {post['indexes']}",
                    fork,
                    test["env"],
                    test["pre"],
                    raw(post["txbytes"]),
                    raw(post["hash"]),
                    raw(post["logs"]),
                    post.get("expectException"),
                )


def block_env(env: dict[str, str]) -> BlockEnv:
    return BlockEnv(
        chain_id=1,
        number=number(env["currentNumber"]),
        timestamp=number(env["currentTimestamp"]),
        beneficiary=raw(env["currentCoinbase"]),
        gas_limit=number(env["currentGasLimit"]),
        base_fee=number(env["currentBaseFee"]),
        prev_randao=raw(env["currentRandom"]),
        block_hash=lambda height: keccak256(str(height).encode()),
    )


def prepare(pre: dict[str, Any]) -> Overlay:
    """Write the accounts through a state of ours, as a genesis is written."""
    overlay = Overlay(Rows())
    state = FlatState(overlay)
    for text, account in pre.items():
        address = raw(text)
        state.set_nonce(address, number(account["nonce"]))
        state.set_balance(address, number(account["balance"]))
        state.set_code(address, raw(account["code"]))
        for slot, value in account["storage"].items():
            state.set_storage(address, number(slot), number(value))
    state.flush()
    return overlay


def hash_logs(logs: list[Log]) -> bytes:
    return keccak256(rlp.encode([[log.address, list(log.topics), log.data] for log in logs]))


def run(case: Case, short_path: bool = True) -> tuple[bytes, bytes, InvalidTransaction | None]:
    """Execute a block of this one transaction: state root, hash of its logs, why it was refused."""
    block = BlockRun(
        prepare(case.pre), block_env(case.env), BlockRules(fork=FORKS[case.fork], short_path=short_path)
    )
    error: InvalidTransaction | None = None
    try:
        block.transactions([decode_transaction(case.raw)])
    except BlobsNotSupported:
        raise
    except TransactionRefused as refusal:
        error = cast("InvalidTransaction", refusal.__cause__)
    except InvalidTransaction as refusal:
        error = refusal
    result = block.finish()
    logs = [log for receipt in result.receipts for log in receipt.logs]
    return result.state_root, hash_logs(logs), error
