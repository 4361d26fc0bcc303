"""A small Ethereum node on py-evm, answering the JSON-RPC calls that the wallet makes, each block at once.

Every question for the finalised block makes another empty block, so that waiting ends without a clock.
"""
# ruff: noqa: N802 - methods have the names of JSON-RPC

from collections.abc import Callable
from typing import Any

from eth.chains.base import MiningChain
from eth.consensus import NoProofConsensus
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM
from eth.vm.spoof import SpoofTransaction

from ioex_chain.rpc.client import RpcCallError
from ioex_chain.wallet.contract_errors import NodeError
from ioex_chain.wallet.hd import DEV_MNEMONIC, MasterKey, dpos_address

CHAIN_ID = 51337
WEI = 10**18


class EthNode:
    """One chain with funded accounts of the published mnemonic."""

    def __init__(
        self, chain_id: int = CHAIN_ID, *, lag: int = 2, accounts: dict[bytes, dict[str, Any]] | None = None
    ) -> None:
        vm = PragueVM.configure(consensus_class=NoProofConsensus)
        kind = MiningChain.configure(vm_configuration=((0, vm),), chain_id=chain_id)
        master = MasterKey.from_mnemonic(DEV_MNEMONIC)
        self.keys = [master.dpos_key(index) for index in range(4)]
        state: dict[bytes, dict[str, Any]] = {
            dpos_address(key): {"balance": 10_000 * WEI, "nonce": 0, "code": b"", "storage": {}}
            for key in self.keys
        }
        genesis = {"gas_limit": 60_000_000, "timestamp": 1_767_225_600, "difficulty": 0}
        self.chain = kind.from_genesis(AtomicDB(), genesis, {**state, **(accounts or {})})
        self.chain_id = chain_id
        self.lag = lag
        self.mined: dict[str, tuple[int, Any, Any]] = {}
        self.calls: list[str] = []
        self.refuse: dict[str, NodeError] = {}
        """Methods that answer with an error."""

    def call(self, method: str, /, *params: Any) -> Any:
        self.calls.append(method)
        if method in self.refuse:
            raise self.refuse[method]
        work: Callable[..., Any] | None = getattr(self, method, None)
        if work is None:
            raise NodeError(-32601, f"the method {method} does not exist")
        return work(*params)

    # --- methods -----------------------------------------------------------------------------------------

    def eth_chainId(self) -> str:
        return hex(self.chain_id)

    def eth_blockNumber(self) -> str:
        return hex(self.head)

    def eth_gasPrice(self) -> str:
        return hex(2 * 10**9)

    def eth_maxPriorityFeePerGas(self) -> str:
        return hex(10**9)

    def eth_feeHistory(self, blocks: str, newest: str, percentiles: list[int]) -> dict[str, Any]:
        return {"baseFeePerGas": [hex(10**9)] * 2, "reward": [[hex(3 * 10**8)]], "gasUsedRatio": [0.5]}

    def eth_getBalance(self, address: str, block: str) -> str:
        return hex(self._state(block).get_balance(raw(address)))

    def eth_getTransactionCount(self, address: str, block: str) -> str:
        return hex(self._state(block).get_nonce(raw(address)))

    def eth_getCode(self, address: str, block: str) -> str:
        return "0x" + self._state(block).get_code(raw(address)).hex()

    def eth_call(self, call: dict[str, str], block: str) -> str:
        return "0x" + self._run(call, block).output.hex()

    def eth_estimateGas(self, call: dict[str, str]) -> str:
        done = self._run(call, "latest")
        return hex(done.get_gas_used() + done.get_gas_refund() + 60_000)

    def eth_getBlockByNumber(self, tag: str, full: bool) -> dict[str, Any] | None:
        if tag == "finalized":
            self._mine()
        header = self.chain.get_canonical_block_header_by_number(self._number(tag))
        return {
            "number": hex(header.block_number),
            "hash": "0x" + header.hash.hex(),
            "timestamp": hex(header.timestamp),
        }

    def eth_sendRawTransaction(self, text: str) -> str:
        tx = self.chain.get_vm().get_transaction_builder().decode(raw(text))
        found = "0x" + tx.hash.hex()
        if found in self.mined:
            raise NodeError(-32000, "already known")
        _, receipt, _ = self.chain.apply_transaction(tx)
        height = self._mine()
        self.mined[found] = (height, tx, receipt)
        return found

    def eth_getTransactionByHash(self, text: str) -> dict[str, Any] | None:
        if text not in self.mined:
            return None
        _, tx, _ = self.mined[text]
        return {
            "hash": text,
            "from": "0x" + tx.sender.hex(),
            "to": "0x" + tx.to.hex() if tx.to else None,
            "input": "0x" + tx.data.hex(),
            "value": hex(tx.value),
            "gas": hex(tx.gas),
        }

    def eth_getTransactionReceipt(self, text: str) -> dict[str, Any] | None:
        if text not in self.mined:
            return None
        height, _, receipt = self.mined[text]
        header = self.chain.get_canonical_block_header_by_number(height)
        return {
            "transactionHash": text,
            "blockNumber": hex(height),
            "blockHash": "0x" + header.hash.hex(),
            "status": hex(int.from_bytes(receipt.state_root, "big")),
            "gasUsed": hex(receipt.gas_used),
            "effectiveGasPrice": hex(10**9),
            "logs": [
                {
                    "address": "0x" + log.address.hex(),
                    "topics": ["0x" + topic.to_bytes(32, "big").hex() for topic in log.topics],
                    "data": "0x" + log.data.hex(),
                }
                for log in receipt.logs
            ],
        }

    # --- inside ------------------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        return int(self.chain.get_canonical_head().block_number)

    def _mine(self) -> int:
        self.chain.mine_block()
        return self.head

    def _number(self, tag: str) -> int:
        named = {"latest": self.head, "pending": self.head, "earliest": 0}
        named |= {"finalized": max(0, self.head - self.lag), "safe": max(0, self.head - 1)}
        return named[tag] if tag in named else int(tag, 16)

    def _state(self, tag: str) -> Any:
        header = self.chain.get_canonical_block_header_by_number(self._number(tag))
        return self.chain.get_vm(header).state if header.block_number == self.head else self._past(header)

    def _past(self, header: Any) -> Any:
        child = self.chain.create_header_from_parent(header)
        return self.chain.get_vm(child).state

    def _run(self, call: dict[str, str], tag: str) -> Any:
        header = self.chain.get_canonical_block_header_by_number(self._number(tag))
        vm = self.chain.get_vm(self.chain.create_header_from_parent(header))
        sender = raw(call.get("from") or "0x" + bytes(20).hex())
        tx = vm.create_unsigned_transaction(
            nonce=vm.state.get_nonce(sender),
            gas_price=0,
            gas=20_000_000,
            to=raw(call["to"]) if "to" in call else b"",
            value=int(call.get("value", "0x0"), 16),
            data=raw(call.get("data") or call.get("input") or "0x"),
        )
        with vm.in_costless_state() as state:
            done = state.costless_execute_transaction(SpoofTransaction(tx, from_=sender))
        if done.is_error:
            output = bytes(done.output)
            raise NodeError(3, "execution reverted", "0x" + output.hex())
        return done


def raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


class FakeClient:
    """Stands where `SyncRpcClient` does."""

    def __init__(self, node: EthNode) -> None:
        self._node = node

    def call(self, method: str, /, *params: Any) -> Any:
        try:
            return self._node.call(method, *params)
        except NodeError as error:
            raise RpcCallError(error.code, error.message, error.data) from error

    def close(self) -> None:
        """Keep the node for the next command."""
