"""What a user lives through with one node: mine, pay, restart, reorganise, read."""

import json
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from bitcoin.core import CBlock
from btclib.block.block import Block as BtclibBlock
from btclib.script.sig_hash import from_tx
from btclib.script.witness import Witness
from btclib.tx.out_point import OutPoint
from btclib.tx.tx import Tx
from btclib.tx.tx_in import TxIn
from btclib.tx.tx_out import TxOut
from chaingen.builder import Funds
from chaingen.owners import KeyHash
from e2e.devnet_chain import dev_chain, dev_owner
from e2e.node_process import ADDRESS, NodeProcess, RpcFailed
from ecdsa import SECP256k1, SigningKey
from ecdsa.util import sigencode_der_canonize
from embit import ec as embit_ec
from embit import script as embit_script
from embit.transaction import SIGHASH, Transaction, TransactionInput, TransactionOutput

pytestmark = pytest.mark.e2e
PASSWORD = "correct horse battery"
PAID = "riox1qddd479298yf4mtzdxwudkd7npj7ln3s5ntn8e4"


def wallet(node: NodeProcess, *words: str) -> Any:
    done = node.cli("wallet", *words, "--json", IOEX_WALLET_PASSWORD=PASSWORD)
    assert done.code == 0, done
    return json.loads(done.out, parse_float=Decimal)


def test_mine_pay_restart_and_find_everything_still_there(node: NodeProcess, tmp_path: Path) -> None:
    with node.running():
        wallet(node, "create", "--mnemonic-out", str(tmp_path / "words"))
        own = wallet(node, "address", "new")["address"]
        node.rpc("generatetoaddress", 6, own)
        before = wallet(node, "balance")
        assert (before["spendable"], before["immature"]) == (Decimal(12), Decimal(12))
        sent = wallet(node, "send", PAID, "2.5", "--yes")
        assert node.rpc("getrawmempool") == [sent["txid"]]
        assert node.stop()[0] == 0

    with node.running():
        assert node.rpc("getrawmempool") == [sent["txid"]], "the mempool outlives a restart"
        node.rpc("generatetoaddress", 1, ADDRESS)
        assert node.rpc("getrawmempool") == []
        shown = node.rpc("getrawtransaction", sent["txid"], True)
        assert shown["confirmations"] == 1
        paid = [out for out in shown["vout"] if out["scriptPubKey"]["address"] == PAID]
        assert [out["value"] for out in paid] == [2.5]
        after = wallet(node, "balance")
        assert after["total"] == Decimal(24) - Decimal("2.5") - sent["fee"]
        assert after["spendable"] + after["immature"] == after["total"]
        fee_block = node.rpc("getblock", node.rpc("getbestblockhash"), 2)
        assert fee_block["tx"][0]["vout"][1]["value"] == float(4 + sent["fee"])
        facts = node.facts()
        node.kill()

    with node.running():
        assert node.facts() == facts
        assert wallet(node, "balance") == after


def test_a_longer_branch_takes_over_and_gives_back_what_it_does_not_hold(node: NodeProcess) -> None:
    chain, coins = dev_chain()
    base = chain.warm_up()
    pay = chain.spend(coins[0], [(coins[0].value // 2, coins[0].owner)], fee=1000)
    ours = [chain.block(base[-1], [pay])]
    theirs = chain.extend(base[-1], 3)
    with node.running():
        for block in [*base, *ours]:
            assert node.rpc("submitblock", block.encode().hex()) is None
        with_payment = node.facts()
        assert node.rpc("submitblock", theirs[0].encode().hex()) == "inconclusive"
        assert node.rpc("submitblock", theirs[1].encode().hex()) is None
        assert node.rpc("submitblock", theirs[1].encode().hex()) == "duplicate"
        assert node.rpc("getrawmempool") == [pay.txid[::-1].hex()], "the lost block's payment waits again"
        tips = {tip["status"] for tip in node.rpc("getchaintips")}
        assert tips == {"active", "valid-fork"}
        without = node.facts()
        assert without["height"] == with_payment["height"] + 1
        # back and forth by hand, twice: exactly the same state each time
        for _ in range(2):
            node.rpc("invalidateblock", theirs[0].hash[::-1].hex())
            assert node.facts() == with_payment
            assert node.rpc("getrawmempool") == []
            node.rpc("reconsiderblock", theirs[0].hash[::-1].hex())
            assert node.facts() == without
        assert node.rpc("submitblock", theirs[2].encode().hex()) is None
        node.kill()
    with node.running():
        assert node.rpc("getbestblockhash") == theirs[2].hash[::-1].hex()


def test_blocks_and_coins_read_over_rpc_agree_with_stock_libraries(node: NodeProcess) -> None:
    chain, coins = dev_chain()
    base = chain.warm_up()
    pay = chain.spend(coins[0], [(5_0000_0000, dev_owner("m/84'/1'/1'/0/0"))], fee=2000)
    block = chain.block(base[-1], [pay])
    name, txid = block.hash[::-1].hex(), pay.txid[::-1].hex()
    with node.running():
        for one in [*base, block]:
            assert node.rpc("submitblock", one.encode().hex()) is None
        raw = node.rpc("getblock", name, 0)
        ids, full, with_spent = (node.rpc("getblock", name, level) for level in (1, 2, 3))
        theirs = CBlock.deserialize(bytes.fromhex(raw))
        assert theirs.GetHash()[::-1].hex() == name
        assert [tx.GetTxid()[::-1].hex() for tx in theirs.vtx] == ids["tx"]
        parsed = BtclibBlock.parse(bytes.fromhex(raw), check_validity=False)
        assert parsed.header.hash.hex() == name
        assert [tx.id.hex() for tx in parsed.transactions] == [tx["txid"] for tx in full["tx"]]
        assert [tx.vsize for tx in parsed.transactions] == [tx["vsize"] for tx in full["tx"]]
        assert with_spent["tx"][1]["vin"][0]["prevout"]["value"] == coins[0].value / 1e8
        assert (
            node.rpc("getrawtransaction", txid)
            == parsed.transactions[1].serialize(include_witness=True).hex()
        )
        out = node.rpc("gettxout", txid, 0)
        assert (out["value"], out["confirmations"], out["coinbase"]) == (5.0, 1, False)
        assert node.rpc("gettxout", coins[0].outpoint[:32][::-1].hex(), 0) is None
        listed = node.rpc("listunspent", 1, 9_999_999, [PAID])
        assert (txid, 5.0) in [(row["txid"], row["amount"]) for row in listed]


def place_of(coin: Funds) -> tuple[bytes, int, KeyHash]:
    """Give transaction id (as displayed), output number and owner of a P2WPKH coin."""
    assert isinstance(coin.owner, KeyHash)
    return coin.outpoint[:32][::-1], int.from_bytes(coin.outpoint[32:], "little"), coin.owner


def signed_by_embit(coin: Funds, value: int) -> str:
    """Spend a coin back to its owner with embit alone."""
    txid, index, owner = place_of(coin)
    script = embit_script.Script(owner.script)
    tx = Transaction(vin=[TransactionInput(txid, index)], vout=[TransactionOutput(value, script)])
    key = embit_ec.PrivateKey(owner.private)
    digest = tx.sighash_segwit(0, embit_script.p2pkh_from_p2wpkh(script), coin.value, SIGHASH.ALL)
    signature = key.sign(digest).serialize() + bytes([SIGHASH.ALL])
    tx.vin[0].witness = embit_script.Witness([signature, key.sec()])
    return str(tx.serialize().hex())


def signed_by_btclib(coin: Funds, value: int) -> str:
    """The same with btclib, and python-ecdsa for the signature."""
    txid, index, owner = place_of(coin)
    spend = TxIn(OutPoint(txid, index), b"", 0xFFFFFFFD)
    tx = Tx(2, 0, [spend], [TxOut(value, owner.script)])
    digest = from_tx([TxOut(coin.value, owner.script)], tx, 0, 1)
    key = SigningKey.from_string(owner.private, SECP256k1)
    signature = key.sign_digest_deterministic(digest, sha256, sigencode_der_canonize) + b"\x01"
    tx.vin[0].script_witness = Witness([signature, owner.public])
    return tx.serialize(include_witness=True).hex()


@pytest.mark.parametrize("sign", [signed_by_embit, signed_by_btclib])
def test_a_transaction_of_another_library_is_taken_and_mined(node: NodeProcess, sign: Any) -> None:
    _, coins = dev_chain()
    made = sign(coins[0], coins[0].value - 5000)
    with node.running():
        node.rpc("generatetoaddress", 4, ADDRESS)
        value = (coins[0].value - 5000).to_bytes(8, "little")
        stolen = made.replace(value.hex(), (coins[0].value - 4999).to_bytes(8, "little").hex())
        with pytest.raises(RpcFailed) as refused:
            node.rpc("sendrawtransaction", stolen)
        assert refused.value.code == -26
        txid = node.rpc("sendrawtransaction", made)
        assert node.rpc("decoderawtransaction", made)["txid"] == txid
        mined = node.rpc("getblock", node.rpc("generatetoaddress", 1, ADDRESS)[0], 1)
        assert mined["tx"][1:] == [txid]
