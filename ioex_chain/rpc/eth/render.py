"""Blocks, transactions, receipts and logs as the execution-apis specification writes them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import rlp

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.evm.types import AccessEntry, Authorization, Log, Receipt, Transaction, Withdrawal

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction stands, as its JSON forms repeat it."""

    block_hash: str
    number: str
    timestamp: str
    base_fee: int

    @classmethod
    def of(cls, sealed: SealedHeader) -> "Place":
        """Give the place of the transactions of a block."""
        header = sealed.header
        return cls("0x" + sealed.hash.hex(), hex(header.number), hex(header.timestamp), header.base_fee)


def header_json(sealed: SealedHeader) -> Json:
    """Write a header with Ethereum's names; `newHeads` sends exactly this."""
    header = sealed.header
    return {
        "hash": "0x" + sealed.hash.hex(),
        "parentHash": "0x" + header.parent_hash.hex(),
        "sha3Uncles": "0x" + header.ommers_hash.hex(),
        "miner": "0x" + header.beneficiary.hex(),
        "stateRoot": "0x" + header.state_root.hex(),
        "transactionsRoot": "0x" + header.transactions_root.hex(),
        "receiptsRoot": "0x" + header.receipts_root.hex(),
        "logsBloom": "0x" + header.logs_bloom.hex(),
        "difficulty": hex(header.difficulty),
        "number": hex(header.number),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "extraData": "0x" + header.extra_data.hex(),
        "mixHash": "0x" + header.mix_hash.hex(),
        "nonce": "0x" + header.nonce.hex(),
        "baseFeePerGas": hex(header.base_fee),
        "withdrawalsRoot": "0x" + header.withdrawals_root.hex(),
        "blobGasUsed": hex(header.blob_gas_used),
        "excessBlobGas": hex(header.excess_blob_gas),
        "parentBeaconBlockRoot": "0x" + header.parent_beacon_root.hex(),
        "requestsHash": "0x" + header.requests_hash.hex(),
    }


def block_json(
    sealed: SealedHeader, withdrawals: Sequence[Withdrawal], size: int, transactions: list[Any]
) -> Json:
    """Write a block around its transactions, which are hashes or objects."""
    body = header_json(sealed)
    body["size"] = hex(size)
    body["transactions"] = transactions
    body["withdrawals"] = [withdrawal_json(w) for w in withdrawals]
    body["uncles"] = []
    return body


def whole_block_json(block: Block, senders: Sequence[bytes] | None) -> Json:
    """Write a block: with whole transactions when their senders are given, else with hashes."""
    if senders is None:
        listed: list[Any] = ["0x" + tx.hash.hex() for tx in block.transactions]
    else:
        place = Place.of(block.header)
        listed = [
            transaction_json(tx, sender, place, index)
            for index, (tx, sender) in enumerate(zip(block.transactions, senders, strict=True))
        ]
    return block_json(block.header, block.withdrawals, len(block.raw), listed)


def withdrawal_json(withdrawal: Withdrawal) -> Json:
    """Write a withdrawal (EIP-4895)."""
    return {
        "index": hex(withdrawal.index),
        "validatorIndex": hex(withdrawal.validator_index),
        "address": "0x" + withdrawal.address.hex(),
        "amount": hex(withdrawal.amount),
    }


def transaction_json(tx: Transaction, sender: bytes, place: Place | None, index: int | None) -> Json:
    """Write a transaction; without a place it is one of the pool."""
    if place is None:
        body: Json = {
            "blockHash": None,
            "blockNumber": None,
            "blockTimestamp": None,
            "transactionIndex": None,
        }
    else:
        body = {
            "blockHash": place.block_hash,
            "blockNumber": place.number,
            "blockTimestamp": place.timestamp,
            "transactionIndex": hex(index or 0),
        }
    price = tx.max_fee if place is None else tx.effective_gas_price(place.base_fee)
    body |= {
        "type": hex(tx.type),
        "hash": "0x" + tx.hash.hex(),
        "from": "0x" + sender.hex(),
        "to": None if tx.to is None else "0x" + tx.to.hex(),
        "nonce": hex(tx.nonce),
        "gas": hex(tx.gas),
        "gasPrice": hex(price),
        "value": hex(tx.value),
        "input": "0x" + tx.data.hex(),
        "r": hex(tx.r),
        "s": hex(tx.s),
    }
    return body | (_legacy_members(tx) if tx.type == 0 else _typed_members(tx))


def _legacy_members(tx: Transaction) -> Json:
    if tx.chain_id is None:
        return {"v": hex(27 + tx.y_parity)}
    return {"v": hex(35 + 2 * tx.chain_id + tx.y_parity), "chainId": hex(tx.chain_id)}


def _typed_members(tx: Transaction) -> Json:
    members: Json = {
        "chainId": hex(tx.chain_id or 0),
        "accessList": access_list_json(tx.access_list),
        "v": hex(tx.y_parity),
        "yParity": hex(tx.y_parity),
    }
    if tx.type >= 2:
        members["maxFeePerGas"] = hex(tx.max_fee)
        members["maxPriorityFeePerGas"] = hex(tx.max_priority_fee)
    if tx.type == 4:
        members["authorizationList"] = [_authorization_json(a) for a in tx.authorizations]
    return members


def access_list_json(entries: Sequence[AccessEntry]) -> list[Json]:
    """Write an access list (EIP-2930)."""
    return [
        {"address": "0x" + entry.address.hex(), "storageKeys": ["0x" + slot.hex() for slot in entry.slots]}
        for entry in entries
    ]


def _authorization_json(item: Authorization) -> Json:
    return {
        "chainId": hex(item.chain_id),
        "address": "0x" + item.address.hex(),
        "nonce": hex(item.nonce),
        "yParity": hex(item.y_parity),
        "r": hex(item.r),
        "s": hex(item.s),
    }


def created_address(sender: bytes, nonce: int) -> bytes:
    """Give the address of the contract that a transaction creates (yellow paper, section 7)."""
    return keccak256(rlp.encode([sender, nonce]))[12:]


def log_json(log: Log, place: Place, tx_hash: str, tx_index: str, log_index: int) -> Json:
    """Write a log of a mined transaction."""
    return {
        "address": "0x" + log.address.hex(),
        "topics": ["0x" + topic.hex() for topic in log.topics],
        "data": "0x" + log.data.hex(),
        "blockNumber": place.number,
        "transactionHash": tx_hash,
        "transactionIndex": tx_index,
        "blockHash": place.block_hash,
        "blockTimestamp": place.timestamp,
        "logIndex": hex(log_index),
        "removed": False,
    }


def receipts_json(block: Block, senders: Sequence[bytes], receipts: Sequence[Receipt]) -> Iterator[Json]:
    """Write a block's receipts one after the other."""
    place = Place.of(block.header)
    logs_before = gas_before = 0
    rows = zip(block.transactions, senders, receipts, strict=True)
    for index, (tx, sender, receipt) in enumerate(rows):
        yield receipt_json(
            place, index, tx, sender, receipt, receipt.cumulative_gas - gas_before, logs_before
        )
        gas_before = receipt.cumulative_gas
        logs_before += len(receipt.logs)


def receipt_json(
    place: Place,
    index: int,
    tx: Transaction,
    sender: bytes,
    receipt: Receipt,
    gas_used: int,
    logs_before: int,
) -> Json:
    """Write one receipt, given the gas of its transaction and the number of logs before it in the block."""
    tx_hash, tx_index = "0x" + tx.hash.hex(), hex(index)
    return {
        "type": hex(receipt.type),
        "status": hex(receipt.status),
        "transactionHash": tx_hash,
        "transactionIndex": tx_index,
        "blockHash": place.block_hash,
        "blockNumber": place.number,
        "from": "0x" + sender.hex(),
        "to": None if tx.to is None else "0x" + tx.to.hex(),
        "cumulativeGasUsed": hex(receipt.cumulative_gas),
        "gasUsed": hex(gas_used),
        "contractAddress": None if tx.to else "0x" + created_address(sender, tx.nonce).hex(),
        "logs": [
            log_json(log, place, tx_hash, tx_index, logs_before + at) for at, log in enumerate(receipt.logs)
        ],
        "logsBloom": "0x" + receipt.bloom.hex(),
        "effectiveGasPrice": hex(tx.effective_gas_price(place.base_fee)),
    }
