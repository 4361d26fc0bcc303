"""The wallet's `ChainSource` over a node's RPC: addresses and finished transactions travel, never keys."""

import asyncio
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Self

from ioex_chain.crypto.address import script_to_address
from ioex_chain.pow.genesis import genesis_coinbase
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN, OutPoint, TxHash, display, from_display
from ioex_chain.rpc.client import RpcCallError, RpcClient
from ioex_chain.spec.model import NetworkSpec
from ioex_chain.wallet.coins import Activity, Coin, Tip

ADDRESSES_PER_CALL = 500
PAGE = 1_000
_TRIES = 5


class NodeSource:
    """Asks a node. Raises RpcClientError; a context manager that closes the connection."""

    def __init__(self, client: RpcClient, spec: NetworkSpec) -> None:
        self._client = client
        self._spec = spec
        self._runner = asyncio.Runner()
        genesis = genesis_coinbase(spec)
        self._transactions = {genesis.txid: genesis}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def call(self, method: str, *params: object) -> Any:
        """Call one RPC method."""
        return self._runner.run(self._client.call(method, *params))

    def tip(self) -> Tip:
        """Give the node's best block."""
        info = self.call("getblockchaininfo")
        return Tip(info["blocks"], info["mediantime"])

    def median_time(self, height: int) -> int:
        """Give the median time of a block of the best chain."""
        return int(self.call("getblockheader", self.call("getblockhash", height))["mediantime"])

    def coins(self, scripts: Sequence[bytes]) -> list[Coin]:
        """Give what the scripts can spend, asked again if a block came in between: heights must fit."""
        for _ in range(_TRIES):
            height = self.call("getblockcount")
            found = [
                self._coin(row, height) for names in self._addresses(scripts) for row in self._unspent(names)
            ]
            if self.call("getblockcount") == height:
                break
        return found

    def activity(self, scripts: Sequence[bytes]) -> list[Activity]:
        """Give every transaction that touches the scripts."""
        by_address = {self._address(script): script for script in scripts}
        return [
            Activity(by_address[row["address"]], TxHash(from_display(row["txid"])), row["height"])
            for names in self._addresses(scripts)
            for row in self._history(names)
        ]

    def transaction(self, txid: TxHash) -> Transaction:
        """Give a transaction by id; each is asked for once."""
        if txid not in self._transactions:
            raw = bytes.fromhex(self.call("getrawtransaction", display(txid)))
            self._transactions[txid] = Transaction.decode(raw)
        return self._transactions[txid]

    def fee_rate(self, blocks: int) -> int | None:
        """Give the node's estimate in units per 1,000 bytes, None if it has none."""
        try:
            rate = self.call("estimatesmartfee", blocks).get("feerate")
        except RpcCallError:
            return None
        return None if rate is None else to_units(rate)

    def broadcast(self, transaction: Transaction) -> TxHash:
        """Hand a transaction to the node; RpcCallError says why it is refused."""
        return TxHash(from_display(self.call("sendrawtransaction", transaction.raw.hex())))

    def _addresses(self, scripts: Sequence[bytes]) -> Iterator[list[str]]:
        names = list(dict.fromkeys(self._address(script) for script in scripts))
        for start in range(0, len(names), ADDRESSES_PER_CALL):
            yield names[start : start + ADDRESSES_PER_CALL]

    def _address(self, script: bytes) -> str:
        return script_to_address(self._spec.pow.address_prefix, script) or ""

    def _unspent(self, addresses: list[str]) -> list[dict[str, Any]]:
        options = {"include_immature_coinbase": True}
        return list(self.call("listunspent", 0, 9_999_999, addresses, True, options))

    def _coin(self, row: dict[str, Any], height: int) -> Coin:
        confirmations = row["confirmations"]
        outpoint = OutPoint(from_display(row["txid"]) + row["vout"].to_bytes(4, "little"))
        made_at = height - confirmations + 1 if confirmations else None
        script = bytes.fromhex(row["scriptPubKey"])
        return Coin(outpoint, to_units(row["amount"]), script, made_at, row["coinbase"])

    def _history(self, addresses: list[str]) -> Iterator[dict[str, Any]]:
        after = None
        while True:
            page = self.call("getaddresshistory", addresses, PAGE, after)
            yield from page["rows"]
            after = page["next"]
            if after is None:
                return


def to_units(amount: Decimal | int) -> int:
    """Turn an amount as RPC gives it into PoW units."""
    return int(Decimal(amount) * COIN)


def to_coins(units: int) -> Decimal:
    """Turn PoW units into an amount with 8 decimals, for output."""
    return Decimal(units).scaleb(-8)
