"""Coins across and back: a stock Bitcoin library pays the deposit, web3.py spends it, both chains agree.

The node is told nothing but transactions; what carries them across is its own relayer.
"""

from pathlib import Path
from typing import Any

import orjson
import pytest
from e2e.dpos_world import CHAIN_ID, devnet, eventually, token
from e2e.node_process import NodeProcess
from embit import bip32, bip39, ec
from embit import script as embit_script
from embit.transaction import SIGHASH, Transaction, TransactionInput, TransactionOutput
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3

from ioex_chain.evm.system import artefact
from ioex_chain.wallet.hd import DEV_MNEMONIC

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("bridge_devnet"), pytest.mark.timeout(300)]
COIN = 10**8
WEI_PER_UNIT = 10**10
DEPOSIT = 250 * COIN
WITHDRAWN = 40 * COIN
FEE = 10_000


def funded(node: NodeProcess) -> tuple[bytes, int, int, ec.PrivateKey]:
    """Give a coin of the published mnemonic in the genesis block: txid, output, units, key."""
    coinbase = node.rpc("getblock", node.rpc("getblockhash", 0), 2)["tx"][0]
    root = bip32.HDKey.from_seed(bip39.mnemonic_to_seed(DEV_MNEMONIC))
    for index in range(20):
        key = root.derive(f"m/84h/1h/0h/0/{index}").key
        mine = embit_script.p2wpkh(key).data.hex()
        for output in coinbase["vout"]:
            if output["scriptPubKey"]["hex"] == mine:
                units = round(float(output["value"]) * COIN)
                return bytes.fromhex(coinbase["txid"]), output["n"], units, key
    raise AssertionError("genesis has no coin of the published mnemonic")


def pay(node: NodeProcess, script: embit_script.Script, units: int) -> str:
    """Pay `units` to a script with embit alone, the rest back; give the transaction's id."""
    txid, vout, value, key = funded(node)
    own = embit_script.p2wpkh(key)
    outputs = [TransactionOutput(units, script), TransactionOutput(value - units - 1_000, own)]
    tx = Transaction(vin=[TransactionInput(txid, vout)], vout=outputs)
    digest = tx.sighash_segwit(0, embit_script.p2pkh_from_p2wpkh(own), value, SIGHASH.ALL)
    signature = key.sign(digest).serialize() + bytes([SIGHASH.ALL])
    tx.vin[0].witness = embit_script.Witness([signature, key.sec()])
    sent: str = node.rpc("sendrawtransaction", tx.serialize().hex())
    assert sent == tx.txid().hex()
    return sent


class Coins:
    """What both chains say of one user: an Ethereum account and a Bitcoin key made by their libraries."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node
        self.w3 = Web3(Web3.HTTPProvider(node.dpos["rpc"]))
        self.account: LocalAccount = Account.create()
        self.home = ec.PrivateKey(bytes(31) + b"\x07")

    def ioex(self, method: str, *params: Any) -> Any:
        answer = self.w3.provider.make_request(method, list(params))  # type: ignore[arg-type]
        assert "error" not in answer, answer
        return answer["result"]

    def send(self, transaction: dict[str, Any]) -> Any:
        """Sign with the account, send, and give the receipt."""
        raw = self.account.sign_transaction(transaction).raw_transaction
        receipt = self.w3.eth.wait_for_transaction_receipt(self.w3.eth.send_raw_transaction(raw), timeout=60)
        assert receipt["status"] == 1, receipt
        return receipt

    def fields(self, **more: Any) -> dict[str, Any]:
        nonce = self.w3.eth.get_transaction_count(self.account.address)
        return {"from": self.account.address, "nonce": nonce, "chainId": CHAIN_ID, **more}


def test_there_and_back(tmp_path: Path) -> None:
    with devnet(tmp_path) as node:
        coins = Coins(node)
        deposit(coins)
        use(coins)
        withdraw(coins)
        eventually(lambda: coins.ioex("ioex_getSolvency")["verdict"] == "sound")


def deposit(coins: Coins) -> None:
    """Any wallet that pays BIP-350 addresses can pay it; the whole amount arrives, once."""
    told = coins.node.cli("bridge", "address", coins.account.address, "--network", "devnet", "--json")
    assert told.code == 0, told
    address = orjson.loads(told.out)["address"]
    script = embit_script.Script(bytes.fromhex(coins.node.rpc("validateaddress", address)["scriptPubKey"]))
    eventually(lambda: coins.node.rpc("getblockcount") >= 4)  # genesis' outputs are a coinbase's
    txid = pay(coins.node, script, DEPOSIT)
    eventually(lambda: coins.w3.eth.get_balance(coins.account.address), 120)
    assert coins.w3.eth.get_balance(coins.account.address) == DEPOSIT * WEI_PER_UNIT
    told = coins.ioex("ioex_getDeposit", txid, 0)
    assert told["state"] == "paid", told
    confirmations = coins.node.rpc("getrawtransaction", txid, True)["confirmations"]
    assert confirmations >= 3  # in its block, and buried by two


def use(coins: Coins) -> None:
    """What came is money like any other: it pays for a contract and its calls."""
    made = token()
    factory = coins.w3.eth.contract(abi=made.abi, bytecode="0x" + made.creation)
    receipt = coins.send(factory.constructor("Token", 1_000).build_transaction(coins.fields()))
    contract = coins.w3.eth.contract(address=receipt["contractAddress"], abi=made.abi)
    other = Account.create().address
    coins.send(contract.functions.transfer(other, 77).build_transaction(coins.fields()))
    assert contract.functions.balanceOf(other).call() == 77


def withdraw(coins: Coins) -> None:
    """The PoW chain pays what was taken off, less the fixed fee, to the output script that was named."""
    home = embit_script.p2wpkh(coins.home)
    bridge = coins.w3.eth.contract(
        Web3.to_checksum_address("0x" + (0x10E004).to_bytes(20, "big").hex()), abi=artefact("Bridge").abi
    )
    before = coins.w3.eth.get_balance(coins.account.address)
    call = bridge.functions.withdraw(home.data).build_transaction(
        coins.fields(value=WITHDRAWN * WEI_PER_UNIT)
    )
    receipt = coins.send(call)
    gas = receipt["gasUsed"] * receipt["effectiveGasPrice"]
    assert coins.w3.eth.get_balance(coins.account.address) == before - WITHDRAWN * WEI_PER_UNIT - gas
    told = eventually(lambda: settled(coins, receipt["transactionHash"].to_0x_hex()), 120)
    paying = coins.node.rpc("getrawtransaction", told["settlement"]["txid"], True)
    paid = [output for output in paying["vout"] if output["scriptPubKey"]["hex"] == home.data.hex()]
    assert [round(float(output["value"]) * COIN) for output in paid] == [WITHDRAWN - FEE]


def settled(coins: Coins, transaction: str) -> Any:
    """Give the withdrawal that a transaction made once the PoW chain has paid it."""
    (told,) = coins.ioex("ioex_getWithdrawalsByTransaction", transaction)
    return told if told["state"] == "settled" else None
