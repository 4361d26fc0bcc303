"""What a DPoS chain did to the bridge, worked out from blocks and receipts' statuses, not from the Bridge.

A row for each block of the best chain: what its payload and its transactions asked, which requests follow
from that, what accumulator and `requestsHash` they must give, which credits it paid. Fields of contracts are
compared with these rows in `bridge_invariants`.
"""

from collections import Counter
from dataclasses import dataclass, replace
from hashlib import sha256

from eth_abi import decode

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.records import DposEntry
from ioex_chain.evm.system import selector
from ioex_chain.evm.types import WEI_PER_POW_UNIT, Transaction, Withdrawal
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.pow.transaction import Transaction as PowTransaction
from ioex_chain.primitives.types import BlockHash

from .bridge_dpos import DposSide
from .bridge_pow_model import txid_of

WITHDRAW = selector("withdraw(bytes)")
RETIRE = selector("retire()")
PROVE = selector("proveDeposit(bytes,uint256,bytes32[],bytes,uint256)")
WEI_PER_GWEI = 10**9
DESTROY = b"\x30\xff"
"""Init code `ADDRESS SELFDESTRUCT`: by EIP-6780 what the new contract was given is gone."""
Name = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class DposRow:
    """Totals since genesis after one block, and what this block brought."""

    hash: BlockHash
    height: int
    taken: int = 0
    """Credits paid: the next one's index."""
    taken_deposits: int = 0
    """Of these, deposits."""
    taken_wei: int = 0
    count: int = 0
    """Requests queued."""
    drained: int = 0
    requested: int = 0
    """PoW units withdrawn, fees included."""
    retired: int = 0
    """Wei."""
    sets: int = 0
    """Handovers."""
    destroyed: int = 0
    """Wei that contracts destroyed with themselves: the reserve backs them for nobody."""
    credited: tuple[Name, ...] = ()
    requests: tuple[bytes, ...] = ()


class DposModel:
    """Follows a ledger's best chain."""

    def __init__(self, side: DposSide) -> None:
        self._side = side
        self.bridge = side.spec.contracts.addresses["Bridge"]
        self.pool = side.spec.contracts.reward_pool
        self.points = side.spec.contracts.addresses["GasPoints"]
        self.rows = [DposRow(side.genesis, 0)]
        self.credited: list[Name] = []
        """Every deposit that this chain says it credited, in that order."""
        self.places: dict[Name, int] = {}
        """The same by name."""
        self.requests: list[bytes] = []
        """Every request, number 1 first."""
        self.accumulators = [bytes(32)]
        self.due: dict[BlockHash, tuple[Withdrawal, ...]] = {}
        """The credits that a child of a block must pay, noted from its state."""
        self.outputs: dict[Name, tuple[bytes, int]] = {}
        """Account and PoW units of every output that was ever proven here."""
        self.undone: Counter[str] = Counter()
        """What reorganisations took back."""

    @property
    def now(self) -> DposRow:
        return self.rows[-1]

    def follow(self) -> None:
        """Take rows off and put rows on until they are the ledger's best chain."""
        ledger = self._side.ledger
        while self.now.height > ledger.head.height or not self._is_best(self.now):
            self._pop()
        while self.now.height < ledger.head.height:
            entry = ledger.entry_at(self.now.height + 1)
            assert entry is not None
            self._push(entry, ledger.body(entry.hash))

    def _is_best(self, row: DposRow) -> bool:
        entry = self._side.ledger.entry_at(row.height)
        return entry is not None and entry.hash == row.hash

    def _pop(self) -> None:
        row = self.rows.pop()
        self.undone += Counter(credits=len(row.credited), requests=len(row.requests))
        for name in row.credited:
            del self.places[name]
        del self.credited[len(self.credited) - len(row.credited) :]
        del self.requests[len(self.requests) - len(row.requests) :]
        del self.accumulators[len(self.accumulators) - len(row.requests) :]

    def _push(self, entry: DposEntry, block: Block) -> None:
        row = replace(self.now, hash=entry.hash, height=entry.height, credited=(), requests=())
        row = self._with_withdrawals(row, block)
        for proof in block.payload.deposit_proofs:
            row = self._with_credit(row, *_parse_proof(proof))
        statuses = self._statuses(entry, block)
        for tx, status in zip(block.transactions, statuses, strict=True):
            if status and tx.to is None and tx.data == DESTROY:
                row = replace(row, destroyed=row.destroyed + tx.value)
            assert not (status and tx.to == self.points), "a call of GAS by a user has succeeded"
            if status and tx.to == self.bridge:
                row = self._with_call(row, tx)
        sets, row = row.sets, self._with_handover(row, entry)
        for request in row.requests:
            self.requests.append(request)
            self.accumulators.append(keccak256(self.accumulators[-1] + request))
        drained = min(row.count, row.drained + self._side.spec.bridge.max_requests)
        drained = row.count if row.sets > sets else drained  # a handover waits for nothing
        items = [*self.requests[row.drained : drained], _accumulator_item(drained, self.accumulators)]
        hashes = b"".join(sha256(item).digest() for item in items)
        assert block.header.header.requests_hash == sha256(hashes).digest(), "requestsHash is not the model's"
        self.rows.append(replace(row, drained=drained))

    def _with_withdrawals(self, row: DposRow, block: Block) -> DposRow:
        expected = self.due.get(block.header.parent_hash)
        most = self._side.spec.dpos.max_withdrawals
        assert expected is None or block.withdrawals == expected[:most], "not the first credits of the queue"
        for at, item in enumerate(block.withdrawals):
            assert item.index == row.taken + at, "a credit's index has a gap"
            assert item.amount > 0
            if item.validator_index == 0:
                assert item.address == self.pool, "a reward went elsewhere"
                continue
            account, units = self.outputs[self.credited[row.taken_deposits]]
            assert (item.address, item.amount) == (account, 10 * units), "a deposit's credit is another"
            row = replace(row, taken_deposits=row.taken_deposits + 1)
        wei = WEI_PER_GWEI * sum(item.amount for item in block.withdrawals)
        return replace(row, taken=row.taken + len(block.withdrawals), taken_wei=row.taken_wei + wei)

    def _with_credit(self, row: DposRow, raw: bytes, vout: int) -> DposRow:
        name = txid_of(raw), vout
        assert name not in self.places, "an outpoint was credited twice"
        if name not in self.outputs:
            output = PowTransaction.decode(raw).outputs[vout]
            self.outputs[name] = output.script[14:], output.value
        self.places[name] = len(self.credited)
        self.credited.append(name)
        return replace(row, credited=(*row.credited, name))

    def _with_call(self, row: DposRow, tx: Transaction) -> DposRow:
        if tx.data[:4] == PROVE:
            _, _, _, raw, vout = decode(["bytes", "uint256", "bytes32[]", "bytes", "uint256"], tx.data[4:])
            return self._with_credit(row, raw, vout)
        if tx.data[:4] == RETIRE:
            return replace(row, retired=row.retired + tx.value)
        if tx.data[:4] != WITHDRAW:
            return row
        (script,) = decode(["bytes"], tx.data[4:])
        units, rest = divmod(tx.value, WEI_PER_POW_UNIT)
        assert not rest, "a part of a unit was taken"
        assert units >= self._side.spec.bridge.min_withdrawal, "too small an amount was taken"
        assert script[:2] in (b"\x00\x14", b"\x00\x20", b"\x51\x20"), "a wrong script was taken"
        request = b"\x10" + _u64(row.count + 1) + _u64(units) + script
        return replace(
            row,
            count=row.count + 1,
            requested=row.requested + units,
            requests=(*row.requests, request),
        )

    def _with_handover(self, row: DposRow, entry: DposEntry) -> DposRow:
        records = self._side.engine.records
        parent = entry.parent
        assert parent is not None
        newest = records.require(entry).newest
        if newest.number == records.require(parent).newest.number:
            return row
        assert newest.number == row.sets + 1, "a set was skipped"
        keys = b"".join(member.key for member in records.members(entry, newest).members)
        request = b"\x11" + _u64(row.count + 1) + _u64(newest.number) + keys
        return replace(row, count=row.count + 1, sets=newest.number, requests=(*row.requests, request))

    def _statuses(self, entry: DposEntry, block: Block) -> list[int]:
        """Give the receipts' statuses: as heard, or by executing the block again if a crash cut that off."""
        heard = self._side.statuses.get(entry.hash)
        if heard is not None or not block.transactions:
            return heard or []
        parent = entry.parent
        assert parent is not None
        with self._side.ledger.state_at(parent) as before:
            overlay = Overlay(before)
            overlay.begin()
            return [one.status for one in self._side.machine.connect(block, entry, overlay).receipts]


def _accumulator_item(count: int, accumulators: list[bytes]) -> bytes:
    return b"\xff" + _u64(count) + accumulators[count]


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _parse_proof(proof: bytes) -> tuple[bytes, int]:
    """Give raw transaction and output of a proof as it stands in a payload."""
    depth = proof[84]
    end = 85 + 32 * depth
    return proof[end + 4 :], int.from_bytes(proof[end : end + 4], "big")
