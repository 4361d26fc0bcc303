"""A node with both chains for `ioex bridge` and `ioex rewards`: each question lets a little time pass."""
# ruff: noqa: N802 - methods have the names of JSON-RPC

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from bridge_view_world import Refused, ViewWorld
from eth_node import FakeClient
from pow_rpc_world import LIMITS, FakeBackend
from sim.bridge_spec import ACCOUNT_KEY_OF
from typer.testing import CliRunner

from ioex_chain.cli import dpos_node, wallet_session
from ioex_chain.cli.main import app
from ioex_chain.cli.options import Session
from ioex_chain.dpos import indexes
from ioex_chain.evm import call as evm
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.evm.types import BlockEnv
from ioex_chain.rpc.client import RpcCallError
from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.eth.evm_port import Message
from ioex_chain.rpc.pow.table import pow_port
from ioex_chain.wallet.contract_errors import NodeError
from ioex_chain.wallet.keystore import Sealer


class DposRpc:
    """The DPoS port: Ethereum's methods as far as wallets ask, and the bridge's own as they are.

    Whoever asks for a transfer or a final block lets a PoW block and a DPoS block pass while `runs`.
    """

    def __init__(self, bridge: ViewWorld) -> None:
        self.bridge = bridge
        self.world = bridge.world
        self.runs = True

    def call(self, method: str, /, *params: Any) -> Any:
        if method.startswith("ioex_"):
            return self._own(method, *params)
        return getattr(self, method)(*params)

    def _own(self, method: str, *params: Any) -> Any:
        if self.runs and method in ("ioex_getDeposit", "ioex_getWithdrawal"):
            self.bridge.pass_blocks(1)
            self.world.mine()
        try:
            return asyncio.run(self.bridge.ask(method, *params))
        except Refused as error:
            raise NodeError(error.code, str(error)) from error

    def eth_chainId(self) -> str:
        return hex(self.world.spec.dpos.chain_id)

    def eth_blockNumber(self) -> str:
        return hex(self.world.dpos.head.height)

    def eth_getTransactionCount(self, address: str, block: str) -> str:
        return hex(self.world.dpos.state.get_nonce(_bytes(address)))

    def eth_getBalance(self, address: str, block: str) -> str:
        return hex(self.world.dpos.state.get_balance(_bytes(address)))

    def eth_getCode(self, address: str, block: str) -> str:
        return "0x" + self.world.dpos.state.get_code(_bytes(address)).hex()

    def eth_feeHistory(self, blocks: str, newest: str, percentiles: list[int]) -> dict[str, Any]:
        return {"baseFeePerGas": [hex(10**11)] * 2, "reward": [[hex(10**8)]], "gasUsedRatio": [0.5]}

    def eth_estimateGas(self, call: dict[str, str]) -> str:
        self._run(call)
        return hex(400_000)

    def eth_call(self, call: dict[str, str], block: str) -> str:
        return "0x" + self._run(call).hex()

    def _run(self, call: dict[str, str]) -> bytes:
        message = Message(
            sender=_bytes(call.get("from", "0x" + bytes(20).hex())),
            to=_bytes(call["to"]),
            value=int(call.get("value", "0x0"), 16),
            data=_bytes(call["data"]),
        )
        head = self.world.dpos.head.header.header
        spec = self.world.spec.dpos
        env = BlockEnv(
            spec.chain_id,
            head.number + 1,
            head.timestamp + 30,
            head.beneficiary,
            spec.gas_limit,
            head.base_fee,
            head.mix_hash,
            lambda _: None,
        )
        done = evm.call(self.world.dpos.ledger.view(), env, message)
        if done.status == 0:
            raise NodeError(3, f"execution reverted: {done.error}", "0x" + done.output.hex())
        return done.output

    def eth_sendRawTransaction(self, raw: str) -> str:
        tx = self.world.calls.add(decode_transaction(_bytes(raw)))
        self.bridge.pass_blocks(1)
        return "0x" + tx.hash.hex()

    def eth_getBlockByNumber(self, tag: str, full: bool) -> dict[str, Any] | None:
        self.bridge.pass_blocks(1)
        entry = self.world.dpos.ledger.floor if tag == "finalized" else self.world.dpos.head
        return {"number": hex(entry.height), "hash": "0x" + entry.hash.hex()}

    def eth_getTransactionReceipt(self, text: str) -> dict[str, Any] | None:
        view = self.world.dpos.ledger.view()
        place = indexes.find_transaction(view, _bytes(text))
        if place is None:
            return None
        height, index = place
        receipt = indexes.receipts(view, height)[index]
        entry = self.world.dpos.ledger.entry_at(height)
        assert entry is not None
        return {
            "transactionHash": text,
            "blockNumber": hex(height),
            "blockHash": "0x" + entry.hash.hex(),
            "status": hex(receipt.status),
            "gasUsed": hex(receipt.cumulative_gas),
            "effectiveGasPrice": hex(10**9),
            "logs": [
                {
                    "address": "0x" + log.address.hex(),
                    "topics": ["0x" + topic.hex() for topic in log.topics],
                    "data": "0x" + log.data.hex(),
                }
                for log in receipt.logs
            ],
        }


class PowRpc:
    """The PoW port over the same chain; speaks as RpcClient does."""

    def __init__(self, bridge: ViewWorld) -> None:
        backend = FakeBackend(bridge.world.pow.chain)
        backend.ledger = bridge.world.pow.ledger
        backend.mempool = bridge.world.pow.pool
        port = pow_port(backend)
        self._dispatcher = Dispatcher(port.table, errors=port.errors, limits=LIMITS)

    async def call(self, method: str, /, *params: object) -> Any:
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        reply = await self._dispatcher.handle(body, CallContext(True))
        answer = json.loads(reply.body or b"", parse_float=Decimal)
        if "error" in answer:
            raise RpcCallError(answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    async def close(self) -> None:
        """Keep running for the next command."""


class CliWorld:
    """Runs `ioex` on one data directory and this node."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bridge = ViewWorld()
        self.world = self.bridge.world
        self.dpos = DposRpc(self.bridge)
        self.pow = PowRpc(self.bridge)
        self.folder = folder
        spec = self.world.spec
        monkeypatch.setattr(dpos_node, "SyncRpcClient", lambda *_, **__: FakeClient(cast("Any", self.dpos)))
        monkeypatch.setattr(Session, "client", lambda *_: self.pow)
        monkeypatch.setattr(Session, "spec", lambda *_: spec)
        monkeypatch.setattr(wallet_session, "sealer", lambda: Sealer(scrypt_n=2))
        monkeypatch.setattr("time.sleep", lambda _: None)
        monkeypatch.setenv("IOEX_WALLET_PASSWORD", "correct horse")

    def key_file(self, account: bytes) -> str:
        """Give a file with the private key of one of the world's accounts."""
        path = self.folder / f"{account.hex()}.key"
        path.write_text(ACCOUNT_KEY_OF[account].hex())
        return str(path)

    def invoke(self, *words: str, as_json: bool = True, stdin: str | None = None) -> Any:
        place = ["--network", "devnet", "--datadir", str(self.folder), *(["--json"] if as_json else [])]
        return CliRunner().invoke(app, [*words, *place], input=stdin)

    def run(self, *words: str, stdin: str | None = None) -> Any:
        result = self.invoke(*words, stdin=stdin)
        assert result.exit_code == 0, (result.output, result.exception)
        return json.loads(result.stdout)

    def text(self, *words: str) -> str:
        result = self.invoke(*words, as_json=False)
        assert result.exit_code == 0, (result.output, result.exception)
        return str(result.stdout)

    def fail(self, *words: str) -> str:
        result = self.invoke(*words)
        assert result.exit_code in (1, 2), (result.output, result.exception)
        return str(result.output)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])
