"""eth_*: accounts, storage, code and proofs, after the newest block or an older one."""

import asyncio
from functools import partial
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from ioex_chain.rpc.eth.evm_port import StatePruned
from ioex_chain.rpc.eth.reader import EthReader
from ioex_chain.rpc.eth.values import (
    LATEST,
    Address,
    BlockId,
    BlockParam,
    DataResult,
    ObjectResult,
    QuantityResult,
    Slot,
    Slots,
    data,
    fault,
    read_address,
    read_list,
    read_slot,
    word,
    wrong_type,
)
from ioex_chain.rpc.eth_backend import EthBackend, Proof
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.registry import method

GROUP = "eth"
MAX_SLOTS = 1_024
ERRORS = (-32001, -32000, StatePruned)


def _read_requests(value: object) -> dict[bytes, tuple[str, list[int]]]:
    if not isinstance(value, dict):
        raise wrong_type("must be an object: slots by address")
    wanted = {
        read_address(address): (address, read_list(slots, read_slot, MAX_SLOTS))
        for address, slots in value.items()
    }
    if len(wanted) != len(value):
        raise fault("names an address twice")
    if sum(len(slots) for _, slots in wanted.values()) > MAX_SLOTS:
        raise fault(f"has more than {MAX_SLOTS} slots")
    return wanted


SlotsByAddress = Annotated[
    dict[bytes, tuple[str, list[int]]],
    PlainValidator(_read_requests),
    WithJsonSchema(
        {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}
    ),
    Param("arrays of slots by address"),
]


class StateApi:
    """The state after a block. Tag `pending` means the newest state, but for nonces."""

    def __init__(self, backend: EthBackend, reader: EthReader) -> None:
        self._backend = backend
        self._reader = reader

    @method("eth_getBalance", group=GROUP, errors=ERRORS)
    def balance(self, address: Address, block: BlockParam = LATEST) -> QuantityResult:
        """Give an account's balance in wei."""
        with self._reader.state(block) as state:
            return hex(state.account(address).balance)

    @method("eth_getTransactionCount", group=GROUP, errors=ERRORS)
    def nonce(self, address: Address, block: BlockParam = LATEST) -> QuantityResult:
        """Give an account's next nonce; with `pending`, the one after its executable transactions."""
        if block.tag == "pending":
            waiting = self._backend.pool.next_nonce(address)
            if waiting is not None:
                return hex(waiting)
        with self._reader.state(block) as state:
            return hex(state.account(address).nonce)

    @method("eth_getCode", group=GROUP, errors=ERRORS)
    def code(self, address: Address, block: BlockParam = LATEST) -> DataResult:
        """Give an account's code; `0x` when it has none."""
        with self._reader.state(block) as state:
            return data(state.code(address))

    @method("eth_getStorageAt", group=GROUP, errors=ERRORS)
    def storage(self, address: Address, slot: Slot, block: BlockParam = LATEST) -> DataResult:
        """Give the 32 bytes of a storage slot."""
        with self._reader.state(block) as state:
            return word(state.storage(address, slot))

    @method("eth_getStorageValues", group=GROUP, errors=ERRORS)
    def storage_values(self, requests: SlotsByAddress, block: BlockParam = LATEST) -> ObjectResult:
        """Give many storage slots of many accounts, at most 1,024 in all."""
        with self._reader.state(block) as state:
            return {
                name: [word(state.storage(address, slot)) for slot in slots]
                for address, (name, slots) in requests.items()
            }

    @method("eth_getProof", group=GROUP, errors=ERRORS)
    async def proof(
        self,
        address: Address,
        slots: Annotated[Slots, Param("storage slots, at most 1,024", name="storageKeys")],
        block: BlockParam = LATEST,
    ) -> ObjectResult:
        """Prove an account and some of its storage against the block's state root (EIP-1186)."""
        proof = await asyncio.to_thread(partial(self._prove, address, slots, block))
        return _proof_json(address, proof)

    def _prove(self, address: bytes, slots: list[int], block: BlockId) -> Proof:
        with self._reader.state(block) as state:
            return state.prove(address, slots)


def _proof_json(address: bytes, proof: Proof) -> dict[str, Any]:
    return {
        "address": data(address),
        "accountProof": [data(node) for node in proof.nodes],
        "balance": hex(proof.account.balance),
        "codeHash": data(proof.account.code_hash),
        "nonce": hex(proof.account.nonce),
        "storageHash": data(proof.account.storage_root),
        "storageProof": [
            {"key": word(slot), "value": hex(value), "proof": [data(node) for node in nodes]}
            for slot, value, nodes in proof.storage
        ],
    }
