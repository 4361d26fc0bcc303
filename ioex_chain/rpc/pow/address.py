"""Addresses: what one is, what it received and holds, by the address index and without a wallet."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, NamedTuple, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.crypto.address import InvalidAddress, address_to_script, decode_witness
from ioex_chain.pow.script import Form, classify
from ioex_chain.pow.utxo import scan_address
from ioex_chain.primitives.types import OutPoint, display
from ioex_chain.rpc.errors import Code, ParameterError, RpcError
from ioex_chain.rpc.jsonio import AmountParam, JsonAmount, amount
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.pow.params import AddressText, Confirmations
from ioex_chain.rpc.pow.pool import pool_outputs
from ioex_chain.rpc.pow.reader import ChainReader
from ioex_chain.rpc.pow.scripts import dpos_address, script_json, type_of
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.registry import method
from ioex_chain.spec.model import MAX_MONEY

GROUP = "address"
MAX_ADDRESSES = 1_000
MAX_UNSPENT = 20_000
"""Outputs in one answer; an address with more is asked with `maximumCount` or narrower amounts."""

AddressesParam = Annotated[
    list[AddressText],
    Field(min_length=1, max_length=MAX_ADDRESSES),
    Param(f"1 to {MAX_ADDRESSES} addresses"),
]


class AddressInfo(TypedDict):
    """What an address is; of one that this chain cannot pay only `isvalid` and why."""

    isvalid: bool
    address: NotRequired[str]
    scriptPubKey: NotRequired[str]
    isscript: NotRequired[bool]
    iswitness: NotRequired[bool]
    witness_version: NotRequired[int]
    witness_program: NotRequired[str]
    type: NotRequired[str]
    dpos_address: NotRequired[str]
    error: NotRequired[str]
    error_locations: NotRequired[list[int]]


class Unspent(TypedDict):
    """An output that an address can spend.

    `spendable`: the next block may spend it (it is mature, and no reserve output); this node holds no keys.
    `safe`: it is confirmed.
    """

    txid: str
    vout: int
    address: str
    scriptPubKey: str
    amount: JsonAmount
    confirmations: int
    coinbase: bool
    spendable: bool
    solvable: bool
    desc: str
    safe: bool


class QueryOptions(TypedDict):
    """Core's filters on amounts and number, all optional."""

    minimumAmount: NotRequired[AmountParam]
    maximumAmount: NotRequired[AmountParam]
    minimumSumAmount: NotRequired[AmountParam]
    maximumCount: NotRequired[Annotated[int, Field(ge=1, le=MAX_UNSPENT)]]
    include_immature_coinbase: NotRequired[bool]


class _Found(NamedTuple):
    """One unspent output, confirmed or not."""

    outpoint: OutPoint
    value: int
    script: bytes
    confirmations: int
    is_coinbase: bool


class AddressBook:
    """Reads addresses of one network. Raises Core's -5 for text that is none."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def script(self, address: str, name: str = "address") -> bytes:
        """Give the output script that pays an address."""
        try:
            script = address_to_script(self.prefix, address)
        except InvalidAddress as error:
            raise RpcError(
                Code.INVALID_ADDRESS_OR_KEY, f"{name}: Invalid address {address[:100]}: {error}"
            ) from None
        if classify(script) is None:
            raise RpcError(
                Code.INVALID_ADDRESS_OR_KEY,
                f"{name}: Invalid address {address[:100]}: this chain has no such output",
            )
        return script

    def scripts(self, addresses: Sequence[str], name: str = "addresses") -> dict[bytes, str]:
        """Give the addresses by script; one that comes twice is refused as Core does (-8)."""
        found = {self.script(address, name): address for address in addresses}
        if len(found) != len(addresses):
            raise ParameterError(name, "Invalid parameter, duplicated address")
        return found


def require_index(reader: ChainReader) -> None:
    """Raise -1 when this node keeps no address index."""
    if not reader.indexes:
        raise RpcError(
            Code.MISC_ERROR,
            "This node keeps no address index (`indexes` is chosen when its data directory is made)",
        )


class AddressApi:
    """Answers by the address index and the mempool."""

    def __init__(self, backend: PowBackend, reader: ChainReader) -> None:
        self._backend = backend
        self._ledger = backend.ledger
        self._reader = reader
        self._book = AddressBook(reader.prefix)

    @method("validateaddress", group="util")
    def validateaddress(self, address: Annotated[AddressText, Param("the address")]) -> AddressInfo:
        """Say whether an address is one that this chain can pay, and what it stands for."""
        try:
            version, program = decode_witness(self._reader.prefix, address)
            script = address_to_script(self._reader.prefix, address)
        except InvalidAddress as error:
            return {"isvalid": False, "error_locations": [], "error": str(error)}
        form = classify(script)
        if form is None:
            reason = f"this chain has no outputs of witness version {version} with {len(program)} bytes"
            return {"isvalid": False, "error_locations": [], "error": reason}
        info: AddressInfo = {
            "isvalid": True,
            "address": address.lower(),
            "scriptPubKey": script.hex(),
            "isscript": form is Form.P2WSH,
            "iswitness": True,
            "witness_version": version,
            "witness_program": program.hex(),
            "type": type_of(script),
        }
        account = dpos_address(script)
        if account is not None:
            info["dpos_address"] = account
        return info

    @method(
        "listunspent",
        group=GROUP,
        errors=(Code.INVALID_ADDRESS_OR_KEY, Code.INVALID_PARAMETER, Code.MISC_ERROR),
    )
    async def listunspent(
        self,
        minconf: Annotated[Confirmations, Param("0 takes the mempool's outputs too")] = 1,
        maxconf: Annotated[Confirmations, Param("at most so many confirmations")] = 9_999_999,
        addresses: AddressesParam | None = None,
        include_unsafe: Annotated[bool, Param("false: confirmed outputs only")] = True,
        query_options: Annotated[QueryOptions | None, Param("filters by amount and number")] = None,
    ) -> list[Unspent]:
        """Give the unspent outputs of addresses, oldest first, without a wallet.

        Outputs that a mempool transaction spends are left out. `addresses` must be given: by its name
        alone, as the original ioeX node takes it, or in Core's third place.
        """
        require_index(self._reader)
        if not addresses:
            raise ParameterError("addresses", "name at least one; this node has no wallet of its own")
        options: QueryOptions = query_options or {}
        scripts = self._book.scripts(addresses)
        least = minconf if include_unsafe else max(1, minconf)
        waiting: list[_Found] = []
        if least == 0:  # first, so that what a block takes meanwhile is seen twice and not never
            waiting = await self._backend.call(lambda: self._waiting(scripts))
        confirmed = await asyncio.to_thread(self._confirmed, scripts, least, maxconf)
        known = {found.outpoint for found in confirmed}
        found = confirmed + [item for item in waiting if item.outpoint not in known]
        return await self._backend.call(lambda: self._choose(found, scripts, options))

    def _confirmed(self, scripts: dict[bytes, str], minconf: int, maxconf: int) -> list[_Found]:
        found: list[_Found] = []
        with self._ledger.snapshot() as snapshot:
            head = snapshot.head.height
            for script in scripts:
                for row in scan_address(snapshot, script):
                    confirmations = head - row.height + 1
                    if row.spender is None and minconf <= confirmations <= maxconf:
                        found.append(_Found(row.outpoint, row.value, script, confirmations, row.is_coinbase))
        return found

    def _waiting(self, scripts: dict[bytes, str]) -> list[_Found]:
        return [
            _Found(output.outpoint, output.value, output.script, 0, False)
            for output in pool_outputs(self._backend.mempool, scripts)
        ]

    def _choose(self, found: list[_Found], scripts: dict[bytes, str], options: QueryOptions) -> list[Unspent]:
        """Apply the filters, leave out what the mempool spends, and show the rest."""
        low, high = options.get("minimumAmount", 0), options.get("maximumAmount", MAX_MONEY)
        enough = options.get("minimumSumAmount")
        most = options.get("maximumCount", MAX_UNSPENT + 1)
        immature_too = options.get("include_immature_coinbase", False)
        chosen: list[Unspent] = []
        total = 0
        for item in found:
            mature = self._is_mature(item)
            if not low <= item.value <= high or not (mature or immature_too):
                continue
            if self._backend.mempool.spender(item.outpoint) is not None:
                continue
            chosen.append(self._shown(item, scripts[item.script], mature=mature))
            total += item.value
            if len(chosen) == most or (enough is not None and total >= enough):
                break
        if len(chosen) > MAX_UNSPENT:
            raise ParameterError(
                "query_options", f"more than {MAX_UNSPENT} outputs; give maximumCount or narrower amounts"
            )
        return chosen

    def _is_mature(self, found: _Found) -> bool:
        return not found.is_coinbase or found.confirmations >= self._reader.spec.pow.coinbase_maturity

    def _shown(self, found: _Found, address: str, *, mature: bool) -> Unspent:
        form = classify(found.script)
        return {
            "txid": display(found.outpoint[:32]),
            "vout": int.from_bytes(found.outpoint[32:], "little"),
            "address": address,
            "scriptPubKey": found.script.hex(),
            "amount": amount(found.value),
            "confirmations": found.confirmations,
            "coinbase": found.is_coinbase,
            "spendable": mature and form is not None and not form.is_reserve,
            "solvable": form in (Form.P2WPKH, Form.P2TR),
            "desc": script_json(self._reader.prefix, found.script)["desc"],
            "safe": found.confirmations > 0,
        }

    @method("getreceivedbyaddress", group=GROUP, errors=(Code.INVALID_ADDRESS_OR_KEY,))
    async def getreceivedbyaddress(
        self,
        address: Annotated[AddressText, Param("the address")],
        minconf: Annotated[Confirmations, Param("count what has so many confirmations")] = 1,
        include_immature_coinbase: Annotated[bool, Param("count coinbases that are not mature")] = False,
    ) -> JsonAmount:
        """Sum what an address ever received, spent or not."""
        require_index(self._reader)
        script = self._book.script(address)
        waiting = 0
        if minconf == 0:
            waiting = await self._backend.call(
                lambda: sum(output.value for output in pool_outputs(self._backend.mempool, {script}))
            )
        received = await asyncio.to_thread(self._received, script, minconf, include_immature_coinbase)
        return amount(received + waiting)

    def _received(self, script: bytes, minconf: int, include_immature: bool) -> int:
        maturity = 1 if include_immature else self._reader.spec.pow.coinbase_maturity
        total = 0
        with self._ledger.snapshot() as snapshot:
            head = snapshot.head.height
            for row in scan_address(snapshot, script):
                confirmations = head - row.height + 1
                if confirmations >= max(minconf, maturity if row.is_coinbase else 0):
                    total += row.value
        return total
