"""ioex_*: the bridge in both directions: every transfer by its id, doors, rewards, solvency.

Ids: a deposit is `txid` and `vout` of the PoW chain, `txid` as that chain's port writes it (64 hex digits,
reversed, no 0x); a withdrawal is its number, or the hash of the DPoS transaction that made it.
"""

import re
from binascii import a2b_hex
from threading import Lock
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from ioex_chain.crypto.address import checksum_account, deposit_script, script_to_address
from ioex_chain.rpc.bridge_port import BridgePort, NotProvable
from ioex_chain.rpc.errors import Code, LimitExceeded, RpcError
from ioex_chain.rpc.eth import bridge_render as show
from ioex_chain.rpc.eth.evm_port import StatePruned
from ioex_chain.rpc.eth.values import (
    Address,
    AnyResult,
    Count,
    ListResult,
    ObjectResult,
    TxHashParam,
    data,
    fault,
    read_count,
    wrong_type,
)
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.registry import method
from ioex_chain.spec.model import NetworkSpec

GROUP = "ioex bridge"
MAX_REQUESTS = 256
"""Requests of one answer."""
COUNT_SECONDS = 600.0
MAX_TERMS = 4_096
"""Terms of one answer."""
_PLAIN = re.compile(r"[0-9a-fA-F]{64}")


def _read_txid(value: object) -> bytes:
    """Read a PoW transaction id; one with 0x would be ambiguous, since it is not reversed elsewhere."""
    if not isinstance(value, str):
        raise wrong_type("must be a PoW transaction id: 64 hex digits")
    if not _PLAIN.fullmatch(value):
        raise fault("must be a PoW transaction id as the PoW chain writes it: 64 hex digits, no 0x")
    return a2b_hex(value)[::-1]


Txid = Annotated[
    bytes,
    PlainValidator(_read_txid),
    WithJsonSchema({"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}),
    Param("id of a PoW transaction"),
]
Vout = Annotated[
    int,
    PlainValidator(lambda value: read_count(value, (1 << 32) - 1)),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]}),
    Param("which output, from 0"),
]
Number = Annotated[Count, Param("of the request, from 1")]


class BridgeApi:
    """Moving coins between the chains, as those who move them and those who watch look at it."""

    def __init__(self, spec: NetworkSpec, bridge: BridgePort) -> None:
        self._spec = spec
        self._bridge = bridge
        self._counting = Lock()

    @method("ioex_getDepositAddress", group=GROUP)
    def deposit_address(
        self, account: Annotated[Address, Param("who is to be credited on the DPoS chain")]
    ) -> ObjectResult:
        """Give the PoW address whose payments are credited to an account; any PoW wallet can pay it."""
        script = deposit_script(account)
        return {
            "account": checksum_account(account),
            "address": script_to_address(self._spec.pow.address_prefix, script),
            "script": data(script),
        }

    @method("ioex_getDeposit", group=GROUP, thread=True, errors=(StatePruned,))
    def deposit(self, txid: Txid, vout: Vout) -> AnyResult:
        """Tell how far a deposit has come; null for an output that is not known or pays no deposit address.

        `state` is mempool, confirming (`buried` of `burialDepth` blocks are upon its block), provable,
        credited (it has a `creditIndex` in the queue), paid (a DPoS block carries it), or never, and `note`
        says why.
        """
        found = self._bridge.deposit(txid, vout)
        return None if found is None else show.deposit(found)

    @method("ioex_getDeposits", group=GROUP, thread=True, errors=(StatePruned,))
    def deposits(self, txid: Txid) -> ListResult:
        """Give all deposits of a PoW transaction; none for one that is not known."""
        return [show.deposit(one) for one in self._bridge.deposits_of(txid)]

    @method("ioex_getDepositProof", group=GROUP, thread=True, errors=(NotProvable, StatePruned))
    def deposit_proof(self, txid: Txid, vout: Vout) -> AnyResult:
        """Prove a buried deposit: arguments of Bridge.proveDeposit and the call that anybody can send.

        null when the output is not known or pays no deposit address.
        """
        proof = self._bridge.proof(txid, vout)
        if proof is None:
            return None
        return {
            "header": data(proof.header),
            "index": hex(proof.index),
            "branch": [data(item) for item in proof.branch],
            "raw": data(proof.raw),
            "vout": hex(proof.vout),
            "to": data(proof.to),
            "data": data(proof.calldata),
        }

    @method("ioex_getWithdrawal", group=GROUP, thread=True, errors=(StatePruned,))
    def withdrawal(self, number: Number) -> AnyResult:
        """Tell how far a request to the PoW chain has come; null for a number that is not given yet.

        `kind` is withdrawal, or handover (a new set of arbitrators in the same stream). `state` is requested,
        drained (a block carries it), finalized (that block is final) or settled (`settlement` has the PoW
        transaction).
        """
        found = self._bridge.request(number)
        return None if found is None else self._request(found)

    @method("ioex_getWithdrawals", group=GROUP, thread=True, errors=(StatePruned, LimitExceeded))
    def withdrawals(
        self,
        first: Number,
        count: Annotated[Count, Param("how many, at most 256")] = 100,
    ) -> ListResult:
        """Give requests to the PoW chain by number; fewer when there are no more."""
        if count > MAX_REQUESTS:
            raise LimitExceeded(f"at most {MAX_REQUESTS} requests are told at a time")
        found = []
        for number in range(first, first + count):
            one = self._bridge.request(number)
            if one is None and number:
                break
            if one is not None:
                found.append(self._request(one))
        return found

    @method("ioex_getWithdrawalsByTransaction", group=GROUP, thread=True, errors=(StatePruned,))
    def withdrawals_by_transaction(self, transaction: TxHashParam) -> AnyResult:
        """Give the withdrawals that a DPoS transaction made; null while it is in no block."""
        found = self._bridge.requests_of(transaction)
        return None if found is None else [self._request(one) for one in found]

    def _request(self, one: Any) -> dict[str, Any]:
        return show.request(self._spec.pow.address_prefix, one)

    @method("ioex_getBridge", group=GROUP, thread=True, errors=(StatePruned,))
    def bridge(self) -> ObjectResult:
        """Tell how the bridge stands: doors, queues, caps, light client, settlements."""
        return show.bridge(self._bridge.status())

    @method("ioex_getLightClient", group=GROUP, thread=True, errors=(StatePruned,))
    def light_client(self) -> ObjectResult:
        """Tell what the DPoS chain knows of the PoW chain, beside this node's own PoW chain."""
        return show.light_client(self._bridge.status().light_client)

    @method("ioex_getSolvency", group=GROUP, thread=True, errors=(StatePruned,))
    def solvency(self) -> ObjectResult:
        """Set the reserve against everything that it must cover; `difference` is zero on a sound chain.

        `verdict` is sound, hole (`broken` names what does not hold), pow-behind or dpos-behind (this node
        lacks blocks of one chain, so nothing can be said yet), forked (a PoW reorganisation deeper than k),
        or void (a solo chain).
        """
        return show.solvency(self._bridge.solvency())

    @method("ioex_countSupply", group=GROUP, thread=True, timeout=COUNT_SECONDS, errors=(LimitExceeded,))
    def count_supply(self) -> ObjectResult:
        """Count every unspent output and every balance, instead of taking the chains' own totals for it.

        `sound` when the reserve is what its total says and the balances are at most what was ever credited;
        `supply` with what miners left unclaimed. It takes minutes on a long chain, so one counts at a time.
        """
        if not self._counting.acquire(blocking=False):
            raise LimitExceeded("the supply is being counted for somebody; ask again when that is done")
        try:
            return show.count(self._bridge.count())
        finally:
            self._counting.release()

    @method("ioex_getMissingDeposits", group=GROUP, thread=True, errors=(StatePruned,))
    def missing(self) -> ListResult:
        """Name deposits that were credited and that no block of the best PoW chain has any more.

        There are none but after a reorganisation deeper than k, when both doors are shut: what the reserve
        lacks then. `block` and `height` say where the deposit was.
        """
        return [show.missing(one) for one in self._bridge.missing()]

    @method("ioex_getRewardPool", group=GROUP, thread=True, errors=(StatePruned,))
    def reward_pool(self) -> ObjectResult:
        """Tell what the arbitrators' pool has, has paid and owes."""
        return show.pool(self._bridge.pool())

    @method("ioex_getRewards", group=GROUP, thread=True, errors=(StatePruned, LimitExceeded))
    def rewards(
        self,
        key: Annotated[Address, Param("an arbitrator's signing key")],
        first: Annotated[Count, Param("term; by default far enough back for the last 4,096")] | None = None,
        last: Annotated[Count, Param("term; the open one by default")] | None = None,
    ) -> ObjectResult:
        """Give the terms in which a key earned something: earned, paid, and what a claim would pay now."""
        newest = self._bridge.pool().open_term
        last = newest if last is None else last
        first = max(0, last - MAX_TERMS + 1) if first is None else first
        if last - first >= MAX_TERMS:
            raise LimitExceeded(f"at most {MAX_TERMS} terms are told at a time")
        if first > last:
            raise RpcError(Code.INVALID_PARAMS, "last: is before first")
        last = min(last, newest)
        terms = self._bridge.rewards(key, first, last)
        return {
            "key": checksum_account(key),
            "first": hex(first),
            "last": hex(last),
            "openTerm": hex(newest),
            "terms": [show.term(one) for one in terms],
        }
