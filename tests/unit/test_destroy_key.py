"""`ioex arbitrator destroy-key` over both real chains: a key goes when no set of either has it."""

import json
from pathlib import Path
from typing import Any

import pytest
from bridge_cli_world import CliWorld
from sim.bridge_spec import MEMBER_KEYS, OPERATORS, USER_KEYS

from ioex_chain.crypto.address import checksum_account
from ioex_chain.dpos import seal
from ioex_chain.wallet.errors import KeystoreMissing
from ioex_chain.wallet.keystore import Sealer, write_document
from ioex_chain.wallet.retired_keys import destroy_file

KEY = seal.address_of(MEMBER_KEYS[0])


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliWorld:
    made = CliWorld(tmp_path, monkeypatch)
    monkeypatch.setattr(made.dpos, "eth_syncing", lambda: False, raising=False)
    monkeypatch.setattr(made.dpos, "_own", _with_sets(made, made.dpos._own))
    return made


def _with_sets(shell: CliWorld, own: Any) -> Any:
    """Answer ioex_getArbitrators from the records, as the arbitration's reader does."""

    def answer(method: str, *params: Any) -> Any:
        if method != "ioex_getArbitrators":
            return own(method, *params)
        dpos = shell.world.dpos
        entry = dpos.ledger.floor if params == ("finalized",) else dpos.head
        record = dpos.engine.records.require(entry)
        sets = [
            dpos.members_at(entry),
            *(dpos.engine.records.members(entry, one.ref) for one in record.waiting),
        ]
        shown = [
            {"set": hex(one.number), "members": [{"key": "0x" + member.key.hex()} for member in one.members]}
            for one in sets
        ]
        return {"current": shown[0], "waiting": shown[1:]}

    return answer


def keystore(shell: CliWorld, private: bytes = MEMBER_KEYS[0]) -> Path:
    path = shell.folder / "arbitrator.json"
    address = seal.address_of(private)
    write_document(path, Sealer(scrypt_n=2).key_document(private, address, "correct horse"))
    return path


def test_a_key_is_kept_until_both_chains_have_left_its_sets(shell: CliWorld) -> None:
    path = keystore(shell)
    command = ("arbitrator", "destroy-key", str(path), "--yes")
    refused = shell.fail(*command)
    assert "is registered with it" in refused
    assert "it is in set 0 of the DPoS chain" in refused
    assert "the PoW chain takes the word of set 0" in refused
    shell.world.call(OPERATORS[0], "ArbitratorRegistry", "setStandby(bool)", True)
    while shell.world.dpos.members_at(shell.world.dpos.ledger.floor).number == 0:
        shell.world.produce()  # the PoW chain hears of nothing yet
    refused = shell.fail(*command)
    assert "DPoS chain" not in refused
    assert "the PoW chain takes the word of set 0" in refused
    for _ in range(12):
        shell.bridge.pass_blocks(1)
        shell.world.mine()
    assert shell.run(*command, "--check")["destroyed"] is False
    assert path.exists()
    found = shell.run(*command)
    assert (found["key"], found["partner"], found["destroyed"]) == (checksum_account(KEY), 1, True)
    assert not path.exists()
    assert "no such file" in shell.fail(*command).lower()


def test_a_key_of_another_network_is_not_touched(shell: CliWorld) -> None:
    path = keystore(shell, USER_KEYS[0])
    assert "is this the right network" in shell.fail("arbitrator", "destroy-key", str(path), "--yes")
    assert path.exists()


def test_a_node_that_is_behind_is_not_believed(shell: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell.dpos, "eth_syncing", lambda: {"currentBlock": "0x1"})
    assert "synchronising" in shell.fail("arbitrator", "destroy-key", str(keystore(shell)), "--yes")


def test_it_asks_and_takes_no_for_an_answer(shell: CliWorld) -> None:
    path = keystore(shell)
    data = json.loads(path.read_text())
    assert data["version"] == 3
    assert "still needed" in shell.fail("arbitrator", "destroy-key", str(path))
    assert json.loads(path.read_text()) == data


def test_a_destroyed_file_was_written_over(tmp_path: Path) -> None:
    path, other = tmp_path / "key.json", tmp_path / "same-inode"
    path.write_bytes(b"secret" * 50)
    other.hardlink_to(path)
    destroy_file(path)
    assert not path.exists()
    left = other.read_bytes()
    assert len(left) == 300
    assert b"secret" not in left
    with pytest.raises(KeystoreMissing):
        destroy_file(path)
