"""evm_*, anvil_*, hardhat_*: state editing of a solo devnet, under the names that test tools know."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from ioex_chain.rpc.errors import Code, ParameterError, RpcError
from ioex_chain.rpc.eth.call_params import MessageParam
from ioex_chain.rpc.eth.reader import EthReader
from ioex_chain.rpc.eth.values import (
    UINT64,
    Address,
    Bytes,
    Count,
    HashResult,
    ObjectResult,
    Quantity,
    QuantityResult,
    Slot,
    read_count,
)
from ioex_chain.rpc.eth_backend import EthBackend, SoloPort, SoloTransaction
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.registry import Mark, MethodTable

GROUP = "solo"
MAX_MINED = 10_000
MAX_SECONDS = 1 << 40


def _bounded(most: int) -> Any:
    return PlainValidator(lambda value: read_count(value, most))


_COUNT_SCHEMA = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]})
Blocks = Annotated[int, _bounded(MAX_MINED), _COUNT_SCHEMA, Param("blocks, at most 10,000")]
Seconds = Annotated[int, _bounded(MAX_SECONDS), _COUNT_SCHEMA, Param("seconds")]
SnapshotId = Annotated[Count, Param("what evm_snapshot answered")]


@dataclass(frozen=True, slots=True)
class _Offer:
    """One method and the names that it has in each tool."""

    names: tuple[str, ...]
    function: Callable[..., Awaitable[Any] | Any]


class SoloApi:
    """Only on a solo devnet. Nothing here asks for authentication: the whole chain is a toy there."""

    def __init__(self, backend: EthBackend, reader: EthReader, solo: SoloPort) -> None:
        self._backend = backend
        self._reader = reader
        self._solo = solo

    def add_to(self, table: MethodTable) -> None:
        """Add every method under each of its names."""
        for offer in self._offers():
            for name in offer.names:
                table.add(offer.function, Mark(name, GROUP, False, (), None, False, False))

    def _offers(self) -> tuple[_Offer, ...]:
        return (
            _Offer(("evm_snapshot", "anvil_snapshot"), self.snapshot),
            _Offer(("evm_revert", "anvil_revert"), self.revert),
            _Offer(("evm_mine",), self.mine_one),
            _Offer(("hardhat_mine", "anvil_mine"), self.mine),
            _Offer(("hardhat_setBalance", "anvil_setBalance"), self.set_balance),
            _Offer(("hardhat_setNonce", "anvil_setNonce"), self.set_nonce),
            _Offer(("hardhat_setCode", "anvil_setCode"), self.set_code),
            _Offer(("hardhat_setStorageAt", "anvil_setStorageAt"), self.set_storage),
            _Offer(("hardhat_impersonateAccount", "anvil_impersonateAccount"), self.impersonate),
            _Offer(
                ("hardhat_stopImpersonatingAccount", "anvil_stopImpersonatingAccount"),
                self.stop_impersonating,
            ),
            _Offer(("evm_increaseTime", "anvil_increaseTime"), self.increase_time),
            _Offer(("evm_setNextBlockTimestamp", "anvil_setNextBlockTimestamp"), self.set_next_timestamp),
            _Offer(("hardhat_getAutomine", "anvil_getAutomine"), self.get_automine),
            _Offer(("evm_setAutomine", "anvil_setAutomine"), self.set_automine),
            _Offer(("hardhat_metadata", "anvil_metadata", "anvil_nodeInfo"), self.metadata),
            _Offer(("eth_sendTransaction",), self.send_transaction),
        )

    async def snapshot(self) -> QuantityResult:
        """Keep chain, pool and clock as they are, and give the number to go back by."""
        return hex(await self._solo.snapshot())

    async def revert(self, id: SnapshotId) -> bool:  # noqa: A002
        """Go back to a snapshot; it and all later ones are gone. False if there is none."""
        return await self._solo.revert(id)

    async def mine_one(self, timestamp: Count | None = None) -> QuantityResult:
        """Produce one block now, in the first slot at or after `timestamp`."""
        if timestamp is not None:
            await self._at(timestamp)
        await self._solo.mine(1)
        return "0x0"

    async def mine(self, blocks: Blocks = 1, interval: Seconds = 1) -> None:
        """Produce blocks, `interval` slots apart."""
        await self._solo.mine(blocks, max(1, interval))

    async def set_balance(self, address: Address, balance: Quantity) -> bool:
        """Set an account's balance in wei."""
        await self._solo.set_balance(address, balance)
        return True

    async def set_nonce(self, address: Address, nonce: Count) -> bool:
        """Set an account's next nonce."""
        await self._solo.set_nonce(address, nonce)
        return True

    async def set_code(self, address: Address, code: Bytes) -> bool:
        """Set an account's code."""
        await self._solo.set_code(address, code)
        return True

    async def set_storage(self, address: Address, slot: Slot, value: Slot) -> bool:
        """Set a storage slot to 32 bytes."""
        await self._solo.set_storage(address, slot, value)
        return True

    async def impersonate(self, address: Address) -> bool:
        """Let eth_sendTransaction send in this account's name."""
        self._solo.impersonate(address, True)
        return True

    async def stop_impersonating(self, address: Address) -> bool:
        """End an impersonation."""
        self._solo.impersonate(address, False)
        return True

    async def increase_time(self, seconds: Seconds) -> QuantityResult:
        """Move the chain's clock on; give by how much it is ahead in all."""
        return hex(await self._solo.increase_time(seconds))

    async def set_next_timestamp(self, timestamp: Count) -> None:
        """Give the next block the first slot at or after a Unix time."""
        await self._at(timestamp)

    async def _at(self, timestamp: int) -> None:
        if timestamp > UINT64 >> 20:
            raise ParameterError("timestamp", "is too far in the future")
        try:
            await self._solo.set_next_timestamp(timestamp)
        except ValueError as error:
            raise ParameterError("timestamp", str(error)) from None

    def get_automine(self) -> bool:
        """Whether a transaction gets its block at once."""
        return self._solo.automine

    async def set_automine(self, enabled: bool) -> bool:
        """Say whether a transaction gets its block at once, or waits for its slot."""
        self._solo.automine = enabled
        return True

    def metadata(self) -> ObjectResult:
        """Describe the node, as Hardhat Ignition asks."""
        head = self._backend.head()
        return {
            "clientVersion": f"ioex/v{self._backend.version}",
            "chainId": self._backend.spec.dpos.chain_id,
            "instanceId": "0x" + self._reader.genesis_hash.hex(),
            "latestBlockNumber": head.height,
            "latestBlockHash": "0x" + head.hash.hex(),
        }

    async def send_transaction(self, transaction: MessageParam) -> HashResult:
        """Send in the name of an impersonated account; what it leaves out is filled in."""
        message = transaction
        if message.sender not in self._solo.impersonated():
            raise RpcError(
                Code.INVALID_INPUT,
                f"unknown account 0x{message.sender.hex()}: this node holds no keys; sign the transaction "
                "yourself, or impersonate the account",
            )
        if message.authorizations:
            raise ParameterError("authorizationList", "needs signatures; send the transaction signed")
        return "0x" + (await self._solo.send(_solo_transaction(message))).hex()


def _solo_transaction(message: Any) -> SoloTransaction:
    return SoloTransaction(
        sender=message.sender,
        to=message.to,
        value=message.value,
        data=message.data,
        gas=message.gas,
        nonce=message.nonce,
        max_fee=message.max_fee,
        max_priority_fee=message.max_priority_fee,
        access_list=tuple((entry.address, entry.slots) for entry in message.access_list or ()),
    )
