"""Commands about the DPoS chain of a stopped and of a running node: db, export, import, rollback, status."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.dpos_world import devnet, dpos_cli, eventually
from e2e.node_process import Finished, NodeDied, NodeProcess

from ioex_chain.ledger import schema
from ioex_chain.ledger.store import LevelStore

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("dpos_ops")]
DPOS = ("--chain", "dpos")


def block(node: NodeProcess, tag: str) -> dict[str, Any]:
    return dict(dpos_cli(node, "rpc", "eth_getBlockByNumber", tag, "false"))


def number(node: NodeProcess, tag: str) -> int:
    return int(block(node, tag)["number"], 16)


def fails(node: NodeProcess, *words: str) -> str:
    done: Finished = node.cli(*words, "--json")
    assert done.code == 1, done
    return str(json.loads(done.err)["error"]["message"])


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A devnet that ran for a while and was stopped; no test changes it."""
    with devnet(tmp_path_factory.mktemp("devnet")) as node:
        dpos_cli(node, "faucet", "0x" + "77" * 20, "3")
        eventually(lambda: number(node, "finalized") >= 6)
        assert node.stop()[0] == 0
        yield node


@pytest.fixture
def copy(stopped: NodeProcess, tmp_path: Path) -> NodeProcess:
    node = NodeProcess(tmp_path)
    shutil.rmtree(node.folder)
    shutil.copytree(stopped.folder, node.folder)
    return node


def test_check_reads_both_chains_or_one(stopped: NodeProcess) -> None:
    both = stopped.json("db", "check", "--deep")
    assert both["ok"]
    assert both["database"] == str(stopped.datadir.database)
    assert both["dpos"]["ok"]
    assert both["dpos"]["height"] >= 6
    one = stopped.json("db", "check", *DPOS)
    assert one == both["dpos"]
    assert "dpos" not in stopped.json("db", "check", "--chain", "pow")
    text = stopped.cli("db", "check").out
    assert text.count("sound") == 2
    assert str(stopped.datadir.dpos_database) in text


def test_reindex_and_a_copy_through_a_file_give_the_same_chain(copy: NodeProcess, tmp_path: Path) -> None:
    before = copy.json("db", "check", *DPOS)
    assert copy.cli("db", "repair", *DPOS).code == 0
    assert "ioex db reindex --chain dpos" in fails(copy, "rollback", "1", *DPOS)
    assert copy.json("db", "reindex", *DPOS)["height"] == before["height"]
    assert copy.json("db", "compact", *DPOS)["bytes_after"] > 0
    assert copy.json("db", "check", *DPOS)["state_digest"] == before["state_digest"]
    file = tmp_path / "blocks"
    assert copy.json("export", str(file), *DPOS)["blocks"] == before["height"]
    assert "not an export of this chain" in fails(copy, "import", str(file))
    shutil.rmtree(copy.datadir.dpos)
    done = copy.json("import", str(file), *DPOS)
    assert (done["added"], done["height"]) == (before["height"], before["height"])
    assert copy.json("db", "check", *DPOS)["state_digest"] == before["state_digest"]


def test_rollback_stops_at_the_final_block(copy: NodeProcess) -> None:
    height = copy.json("db", "check", *DPOS)["height"]
    assert "below the final block" in fails(copy, "rollback", str(height - 1), *DPOS)
    assert copy.json("rollback", "1", *DPOS)["height"] == height - 1
    assert copy.json("db", "check", *DPOS)["ok"]


def test_a_checkpoint_that_the_chain_does_not_hold_stops_the_node(copy: NodeProcess) -> None:
    for wrong, words in (("5:0x" + "ab" * 32, "dpos_checkpoint"), ("5", "height:0xhash")):
        with pytest.raises(NodeDied, match=words) as died:
            copy.start("--dpos-checkpoint", wrong)
        assert died.value.code == (1 if ":" in wrong else 2)
        assert "Traceback" not in died.value.stderr
    with copy.running():
        right = block(copy, "0x5")["hash"]
        assert copy.stop()[0] == 0
    with copy.running("--dpos-checkpoint", f"5:{right}"):
        assert number(copy, "latest") >= 6


def test_a_newer_format_is_refused_and_left_alone(copy: NodeProcess) -> None:
    store = LevelStore(copy.datadir.dpos_database, create=False)
    store.write({schema.META_FORMAT: schema.encode_height(schema.FORMAT_VERSION + 1)})
    rows = list(store.scan(b""))
    store.close()
    with pytest.raises(NodeDied, match="has format 2") as died:
        copy.start()
    assert died.value.code == 1
    assert died.value.stderr.count('"error"') == 1, died.value.stderr
    for words in (("db", "check"), ("db", "repair"), ("db", "reindex"), ("rollback", "1")):
        message = fails(copy, *words, *DPOS)
        assert "has format 2" in message
        assert str(copy.datadir.dpos_database) in message
    store = LevelStore(copy.datadir.dpos_database, create=False)
    assert list(store.scan(b"")) == rows
    store.close()


def test_status_and_wait_sync_tell_of_both_chains(tmp_path: Path) -> None:
    with devnet(tmp_path) as node:
        assert node.json("wait-sync", "--timeout", "30")["dpos"]["height"] >= 0
        eventually(lambda: node.json("status")["dpos"]["finalized"]["height"] >= 2)
        state = node.json("status")
        assert state["height"] >= 0
        dpos = state["dpos"]
        assert dpos["height"] >= dpos["safe"]["height"] >= dpos["finalized"]["height"] >= 2
        assert (dpos["set"], dpos["quorum"], dpos["peers"], dpos["syncing"]) == (0, 3, 0, False)
        assert dpos["pool"] == {"pending": 0, "queued": 0}
        assert [one["signs"] for one in dpos["arbitrators"]] == [True] * 4
        text = node.cli("status").out
        for words in ("DPoS chain", "finalised", "4 of 4 keys sign"):
            assert words in text, text


def test_status_of_a_node_without_the_chain(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path)
    with node.running("--no-dpos"):
        assert node.json("status")["dpos"] is None
        assert node.json("wait-sync", "--timeout", "10")["dpos"] is None


def test_the_files_of_a_solo_chain_carry_its_edits(tmp_path: Path) -> None:
    with devnet(tmp_path, "--solo") as node:
        address = "0x" + "55" * 20
        dpos_cli(node, "rpc", "hardhat_setBalance", address, "0x1234")
        dpos_cli(node, "rpc", "evm_increaseTime", "1000")
        dpos_cli(node, "rpc", "evm_mine")
        assert node.stop()[0] == 0
        before = node.json("db", "check", "--deep")
        assert before["ok"]
        assert node.json("db", "reindex", *DPOS)["height"] == before["dpos"]["height"]
        assert node.json("db", "check")["dpos"]["state_digest"] == before["dpos"]["state_digest"]
        file = node.base / "blocks"
        assert node.json("export", str(file), *DPOS)["blocks"] == before["dpos"]["height"]
        notes = node.datadir.solo_notes
        kept = notes.read_bytes()
        for damage in (kept.replace(b"0x1234", b"0x1235"), kept[:-5], b"", None):
            notes.unlink(missing_ok=True)
            if damage is not None:
                notes.write_bytes(damage)
            with pytest.raises(NodeDied) as died:
                node.start("--mine-processes", "1", "--solo")
            assert died.value.code == 1
            assert str(notes) in died.value.stderr
            assert "Traceback" not in died.value.stderr
        notes.write_bytes(kept)
        node.start("--mine-processes", "1", "--solo")
        assert int(dpos_cli(node, "rpc", "eth_getBalance", address), 16) == 0x1234
