"""Stock ethers and viem from npm against a devnet: deploy, send, call, logs, finality, subscriptions."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from e2e.dpos_world import CHAIN_ID, devnet, needs_node, run_script, token
from e2e.node_process import NodeProcess

from ioex_chain.wallet.hd import DEV_MNEMONIC

pytestmark = [pytest.mark.e2e, needs_node, pytest.mark.xdist_group("dpos_ethers")]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with devnet(tmp_path_factory.mktemp("ethers")) as running:
        yield running


@pytest.mark.parametrize("client", ["ethers", "viem"])
def test_a_contract_authors_day(client: str, node: NodeProcess, tmp_path: Path) -> None:
    artefact = tmp_path / "Ledger.json"
    artefact.write_bytes(orjson.dumps(token().document()))
    told = run_script(
        f"{client}_story.cjs",
        node.dpos["rpc"],
        node.dpos["websocket"],
        str(artefact),
        DEV_MNEMONIC,
        timeout=200,
    )
    assert told == {
        "chainId": CHAIN_ID,
        "deployed": 1,
        "reason": "balance too low",
        "ownerReason": "not the owner",
        "types": [0, 1, 2, 4],
        "heads": told["heads"],
        "logs": [4],
    }
    assert told["heads"] >= 2
