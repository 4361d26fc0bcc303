"""Two processes on the DPoS chain: one has the arbitrators, one follows, relays and hears of finality."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e.dpos_world import devnet, eventually
from e2e.node_process import NodeProcess
from eth_account import Account
from web3 import Web3

from ioex_chain.wallet.hd import DEV_MNEMONIC, MasterKey

pytestmark = pytest.mark.e2e
TO = "0x" + "99" * 20


def connected(node: NodeProcess) -> Web3:
    return Web3(Web3.HTTPProvider(node.dpos["rpc"]))


def height(w3: Web3, tag: Any) -> int:
    return int(w3.eth.get_block(tag)["number"])


@contextmanager
def follower(folder: Path, of: NodeProcess) -> Iterator[NodeProcess]:
    """Run a node without arbitrators on the same devnet."""
    node = NodeProcess(folder)
    node.datadir.marker.unlink()
    shutil.copy(of.datadir.marker, node.datadir.marker)
    with node.running("--dpos-peers", of.dpos["p2p"]):
        yield node


def test_a_node_follows_hears_of_finality_and_relays_transactions(tmp_path: Path) -> None:
    places = tmp_path / "one", tmp_path / "other"
    for place in places:
        place.mkdir()
    with devnet(places[0]) as one:
        first = connected(one)
        eventually(lambda: height(first, "finalized") >= 3)
        with follower(places[1], one) as other:
            second = connected(other)
            eventually(lambda: height(second, "finalized") >= 4)
            common = height(second, "finalized")
            assert second.eth.get_block(common)["hash"] == first.eth.get_block(common)["hash"]
            account = Account.from_key(MasterKey.from_mnemonic(DEV_MNEMONIC).dpos_key(0))
            signed = account.sign_transaction(
                {
                    "to": TO,
                    "value": 1,
                    "gas": 21_000,
                    "maxFeePerGas": 3 * 10**9,
                    "maxPriorityFeePerGas": 10**9,
                    "nonce": second.eth.get_transaction_count(account.address),
                    "chainId": 51337,
                    "type": 2,
                }
            )
            sent = second.eth.send_raw_transaction(signed.raw_transaction)
            for w3 in (first, second):
                assert w3.eth.wait_for_transaction_receipt(sent, timeout=30)["status"] == 1
            eventually(lambda: second.eth.get_balance(TO, "finalized") == 1)
