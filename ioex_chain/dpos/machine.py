"""What a block of the DPoS chain does: the ledger's StateMachine (docs/protocol.md section 4).

`connect` checks a block against state and records; `assemble` builds one by the same steps on the same
state, so that a producer cannot build what others would refuse.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ioex_chain.dpos import codec, errors, indexes, payload_rules
from ioex_chain.dpos.assembled import OwnBlock, RecordingView
from ioex_chain.dpos.block import Block, Payload
from ioex_chain.dpos.consensus import DposEngine, RoundContext, next_base_fee
from ioex_chain.dpos.evidence import Offence
from ioex_chain.dpos.execution import Execution, World
from ioex_chain.dpos.filling import fill
from ioex_chain.dpos.finality_ports import Signatures
from ioex_chain.dpos.header import EMPTY_OMMERS_HASH, Header, SealedHeader
from ioex_chain.dpos.payload_trial import PayloadTrial
from ioex_chain.dpos.pow_facts import PowFacts, check_withdrawals, requests_hash
from ioex_chain.dpos.records import DposEntry, Record, Roster, SetRef, encode_record
from ioex_chain.dpos.sets import Member
from ioex_chain.dpos.system_steps import Ending, SystemSteps
from ioex_chain.dpos.votes import Certificate, Checkpoint, Evidence
from ioex_chain.evm import system
from ioex_chain.evm.block import BlockResult
from ioex_chain.evm.errors import (
    ExecutionGasReached,
    InvalidTransaction,
    SystemCallFailed,
    TransactionRefused,
)
from ioex_chain.evm.trie import list_root
from ioex_chain.evm.types import BlockEnv, Receipt, Transaction, TxOutcome, Withdrawal
from ioex_chain.ledger.types import StateView
from ioex_chain.spec.model import NetworkSpec

_ANCESTORS = 256
_SPARE = 2_048
"""Bytes of a block beside transactions, evidence and certificate: header, seal, list heads."""


@dataclass(frozen=True, slots=True)
class BlockReceipt:
    """What connecting a block told."""

    receipts: tuple[Receipt, ...] = ()
    outcomes: tuple[TxOutcome, ...] = ()
    execution_gas: int = 0
    offences: tuple[Offence, ...] = ()
    """What the payload's evidence proved: each was counted."""
    payload: Payload = field(default_factory=Payload)
    """The block's own: what finality learns from."""
    block: Block | None = None
    """The block itself, but for the genesis block."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a producer wants in its block, as many as there are; each kind in the order of inclusion."""

    slot: int
    transactions: Iterable[Transaction] = ()
    certificate: Certificate | None = None
    evidence: Sequence[Evidence] = ()
    extra_data: bytes = b""
    pow_headers: Sequence[bytes] = ()
    """PoW headers with their AuxPoW records, parents before children."""
    deposit_proofs: Sequence[bytes] = ()
    """Encoded proofs (docs/protocol.md section 6)."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A block without its seal: `header.hash` is what the seal signs; `codec.make_block` puts it together."""

    header: Header
    transactions: tuple[Transaction, ...]
    withdrawals: tuple[Withdrawal, ...]
    payload: Payload
    producer: Member
    rejected: tuple[tuple[Transaction, InvalidTransaction], ...] = ()
    """Transactions that may not stand on this state; those that only found no room are not among them."""

    def sealed(self, signature: bytes) -> Block:
        """Give the whole block under this seal."""
        return codec.make_block(
            SealedHeader(self.header, signature), self.transactions, self.withdrawals, self.payload
        )


@dataclass(slots=True)
class _Start:
    """A block on its way: what is known before its transactions run."""

    run: Execution
    slot: int
    context: RoundContext
    producer: Member
    record: Record
    """The block's, but for what is read of the state after it."""


class DposMachine:
    """Checks bodies, executes them on the state, and records what later headers are checked against."""

    def __init__(
        self,
        spec: NetworkSpec,
        engine: DposEngine,
        world: World,
        pow_facts: PowFacts,
        signatures: Signatures | None = None,
        *,
        reuse_own: bool = False,
    ) -> None:
        """`signatures` may remember the votes that finality has verified; the engine's are the default.

        `reuse_own`: whether the execution of a block that was assembled here counts when it is connected.
        """
        self.spec = spec
        self.engine = engine
        self.world = world
        self.pow_facts = pow_facts
        self.signatures = signatures or engine.signatures
        self._steps = SystemSteps(spec, pow_facts)
        self._reuse_own = reuse_own
        self._own: OwnBlock | None = None
        """The block assembled last, until one is connected."""

    # --- the ledger's seam ---

    def check_block(self, block: Block) -> None:
        """Check the body against its header, without state. Raises MutatedBlock, DposBlockError."""
        header, spec = block.header.header, self.spec.dpos
        if header.transactions_root != list_root([tx.raw for tx in block.transactions]):
            raise errors.WrongTransactionsRoot("transactionsRoot is not that of the transactions")
        if header.withdrawals_root != withdrawals_root(block.withdrawals):
            raise errors.WrongWithdrawalsRoot("withdrawalsRoot is not that of the withdrawals")
        if header.parent_beacon_root != codec.payload_root(block.payload):
            raise errors.WrongPayloadRoot("parentBeaconBlockRoot is not keccak256 of the payload")
        if len(block.raw) > spec.max_block_size:
            raise errors.BlockTooLarge(f"{len(block.raw)} bytes, at most {spec.max_block_size}")
        if len(block.transactions) > spec.max_block_transactions:
            raise errors.TooManyTransactions(f"{len(block.transactions)} transactions")
        if len(block.withdrawals) > spec.max_withdrawals:
            raise errors.TooManyWithdrawals(f"{len(block.withdrawals)} withdrawals")
        payload_rules.check_counts(spec, block.payload)

    def connect(self, block: Block, entry: DposEntry, view: StateView) -> BlockReceipt:
        """Execute a block on its parent's state. Raises DposHeaderError, DposBlockError, WrongSeal."""
        parent = entry.parent
        if parent is None:
            return self._connect_genesis(entry, view)
        header, payload = block.header.header, block.payload
        slot = self.engine.verify(block.header, parent)
        if entry.header is not block.header:
            self.engine.verify(entry.header, parent)  # what the tree keeps may carry another seal
        self._check_certificate(payload.certificate, parent)
        check_withdrawals(block.withdrawals, self.pow_facts.due_withdrawals(view))
        record = self._planned(parent, slot, payload.certificate)
        offences = payload_rules.offences(payload.evidence, self.signatures)
        own, self._own = self._own, None
        if own is not None and own.is_of(block):
            own.write(view)
            result, requests = own.result, own.requests
        else:
            result, requests = self._execute(block, parent, slot, record, offences, view)
        _compare(header, result, requests)
        indexes.write(view, entry.height, block.transactions, result.receipts)
        indexes.write_credits(view, entry.height, block.withdrawals)
        before = parent, self.engine.records.require(parent)
        view.note(encode_record(self._with_state(record, view, before, entry)))
        return BlockReceipt(
            result.receipts, result.outcomes, result.execution_gas, tuple(offences), payload, block
        )

    def _execute(
        self,
        block: Block,
        parent: DposEntry,
        slot: int,
        record: Record,
        offences: Sequence[Offence],
        view: StateView,
    ) -> tuple[BlockResult, Sequence[bytes]]:
        header = block.header.header
        start = self._start(view, parent, slot, record, self._env(header, parent))
        try:
            start.run.begin(header.parent_hash, header.parent_beacon_root)
            self._steps.before(start.run, block.payload, offences)
            start.run.transactions(block.transactions)
            return self._finish(start, parent, block.withdrawals, view)
        except SystemCallFailed as error:
            raise errors.SystemCallReverted(str(error)) from error
        except TransactionRefused as error:
            raise _refused(error) from error

    def _connect_genesis(self, entry: DposEntry, view: StateView) -> BlockReceipt:
        self.world.genesis(view, entry.header.header.mix_hash)
        point, first = Checkpoint(entry.hash, 0), SetRef(0, entry.hash)
        record = Record(point, point, b"", 0, None, first, first)
        view.note(encode_record(self._with_state(record, view, None, entry)))
        return BlockReceipt()

    def replay(self, block: Block, parent: DposEntry, view: StateView) -> Execution:
        """Do what comes before the transactions of a block that was connected once; for tracing it."""
        header = block.header.header
        run = self.world.run(view, self._env(header, parent))
        run.begin(header.parent_hash, header.parent_beacon_root)
        payload = block.payload
        self._steps.before(run, payload, payload_rules.offences(payload.evidence, self.signatures))
        return run

    # --- the steps that checking and building share ---

    def _start(self, view: StateView, parent: DposEntry, slot: int, record: Record, env: BlockEnv) -> _Start:
        context = self.engine.require_context(parent, slot)
        producer = context.producer(slot, self.spec.dpos.seats)
        return _Start(self.world.run(view, env), slot, context, producer, record)

    def _env(self, header: Header, parent: DposEntry) -> BlockEnv:
        return BlockEnv(
            self.spec.dpos.chain_id,
            header.number,
            header.timestamp,
            header.beneficiary,
            header.gas_limit,
            header.base_fee,
            header.mix_hash,
            block_hashes(parent),
        )

    def _check_certificate(self, certificate: Certificate | None, parent: DposEntry) -> None:
        if certificate is not None:
            payload_rules.check_certificate(certificate, parent, self.engine.records, self.signatures)

    def _finish(
        self, start: _Start, parent: DposEntry, withdrawals: Sequence[Withdrawal], view: StateView
    ) -> tuple[BlockResult, Sequence[bytes]]:
        """Do what follows the transactions: fees, system calls, withdrawals, requests."""
        run = start.run
        run.settle_base_fees()
        self._steps.after(run, self._ending(start, parent, len(withdrawals)))
        run.withdrawals(withdrawals)
        result = run.finish()
        return result, self.pow_facts.requests(view)

    def _ending(self, start: _Start, parent: DposEntry, taken: int) -> Ending:
        records, slot, record = self.engine.records, start.slot, start.record
        is_new = record.newest.number > records.require(parent).newest.number
        return Ending(
            key=start.producer.key,
            missed=self.missed(parent, slot),
            term=self.engine.schedule.term_of(slot),
            reward=self.reward(slot),
            slot=slot,
            final_slot=self.engine.slot_of(parent.known(record.finalised.hash)),
            taken=taken,
            handover=records.members(parent, record.newest) if is_new else None,
        )

    def reward(self, slot: int) -> int:
        """Give what the producer of a slot earns, in wei: block_reward x slot length / nominal length."""
        spec = self.spec.dpos
        return spec.block_reward * self.engine.schedule.slot_length(slot) // spec.nominal_block_time

    def missed(self, parent: DposEntry, slot: int) -> list[bytes]:
        """Give the keys whose slots between a block and its parent stayed empty, oldest slot first.

        Of the newest `system.MAX_MISSED` empty slots; a key stands there once for each of its slots.
        """
        first = max(self.engine.slot_of(parent) + 1, slot - system.MAX_MISSED)
        seats = self.spec.dpos.seats
        return [
            self.engine.require_context(parent, empty).producer(empty, seats).key
            for empty in range(first, slot)
        ]

    # --- records ---

    def _planned(self, parent: DposEntry, slot: int, certificate: Certificate | None) -> Record:
        """Give the record of a block on `parent` as far as it does not need the state after the block."""
        before = self.engine.records.require(parent)
        seen = self.engine.seen_from(parent, before, self.engine.schedule.round_of(slot))
        justified, finalised = payload_rules.recorded(before, certificate)
        return replace(seen, justified=justified, finalised=finalised)

    def _with_state(
        self, record: Record, view: StateView, before: tuple[DposEntry, Record] | None, entry: DposEntry
    ) -> Record:
        """Add what is read of the state after the block; the roster only if it may be another."""
        version = self.world.registry.version(view)
        pow_hash = self.pow_facts.buried_hash(view)
        roster: Roster | None = None
        holder = None
        if before is not None and version == before[1].registry_version and _same_sets(record, before[1]):
            holder = before[1].roster_at or before[0].hash
        else:
            roster = self._read_roster(record, view, entry if before is None else before[0])
        return replace(
            record,
            pow_hash=pow_hash,
            registry_version=version,
            roster_at=holder,
            roster=roster,
            requests=self.pow_facts.drained(view),
        )

    def _read_roster(self, record: Record, view: StateView, near: DposEntry) -> Roster:
        reader = self.world.registry
        ranking = reader.ranking(view)
        ranked = {member.key for member in ranking}
        others: dict[bytes, Member] = {}
        for ref in (record.in_force, record.newest, *(one.ref for one in record.waiting)):
            for member in self.engine.records.members(near, ref).members:
                if member.key not in ranked and member.key not in others:
                    payout = reader.payout(view, member.key) or member.payout
                    others[member.key] = Member(member.key, payout)
        return Roster(ranking, tuple(others.values()))

    # --- building ---

    def assemble(
        self,
        view: StateView,
        parent: DposEntry,
        candidate: Candidate,
        go_on: Callable[[], bool] = lambda: True,
    ) -> Assembled:
        """Build a block on `parent`, whose state `view` is: for `Ledger.try_on_head`.

        Transactions that may not stand are passed over; it stops when the block is full or `go_on` says no.
        Items of the payload that light client, Bridge or registry refuse are left out. Raises PayloadError
        when the certificate is wrong, DposBlockError when there is too much evidence.
        """
        slot, spec = candidate.slot, self.spec.dpos
        context = self.engine.require_context(parent, slot)
        self._check_certificate(candidate.certificate, parent)
        withdrawals = self.pow_facts.due_withdrawals(view)
        payload, offences = self._accepted(view, parent, candidate, context, withdrawals, go_on)
        header = self._draft(parent, candidate, context, payload, withdrawals)
        recording = RecordingView(view)
        record = self._planned(parent, slot, payload.certificate)
        start = self._start(recording, parent, slot, record, self._env(header, parent))
        start.run.begin(header.parent_hash, header.parent_beacon_root)
        self._steps.before(start.run, payload, offences)
        room = self._room(withdrawals, payload)
        taken, rejected = fill(start.run, candidate.transactions, room, spec.max_block_transactions, go_on)
        result, requests = self._finish(start, parent, withdrawals, recording)
        header = replace(
            header,
            state_root=result.state_root,
            transactions_root=list_root([tx.raw for tx in taken]),
            receipts_root=result.receipts_root,
            logs_bloom=result.logs_bloom,
            gas_used=result.gas_used,
            requests_hash=requests_hash(requests),
        )
        if self._reuse_own:
            self._own = OwnBlock(header, tuple(taken), result, requests, recording.writes)
        return Assembled(header, tuple(taken), withdrawals, payload, start.producer, tuple(rejected))

    def _room(self, withdrawals: Sequence[Withdrawal], payload: Payload) -> int:
        """Give the bytes that a block with these has left for more."""
        used = len(codec.encode_withdrawals_and_payload(withdrawals, payload))
        return self.spec.dpos.max_block_size - _SPARE - used

    def _accepted(
        self,
        view: StateView,
        parent: DposEntry,
        candidate: Candidate,
        context: RoundContext,
        withdrawals: Sequence[Withdrawal],
        go_on: Callable[[], bool],
    ) -> tuple[Payload, list[Offence]]:
        """Give the payload without what would be refused: it is tried on a run that is thrown away."""
        payload = Payload(candidate.certificate, tuple(candidate.evidence))
        payload_rules.check_counts(self.spec.dpos, payload)
        if not (candidate.evidence or candidate.pow_headers or candidate.deposit_proofs):
            return payload, []
        draft = self._draft(parent, candidate, context, payload, ())
        run = self.world.run(view, self._env(draft, parent))
        room = self._room(withdrawals, payload)
        trial = PayloadTrial(self.spec.dpos, self._steps, run, room, go_on)
        headers = trial.pow_headers(candidate.pow_headers)
        proofs = trial.deposit_proofs(candidate.deposit_proofs)
        evidence, offences = trial.evidence(candidate.evidence, self.signatures)
        return Payload(candidate.certificate, evidence, headers, proofs), offences

    def _draft(
        self,
        parent: DposEntry,
        candidate: Candidate,
        context: RoundContext,
        payload: Payload,
        withdrawals: Sequence[Withdrawal],
    ) -> Header:
        """Give the header as far as it is known before execution; roots are zero."""
        spec = self.spec.dpos
        return Header(
            parent_hash=parent.hash,
            ommers_hash=EMPTY_OMMERS_HASH,
            beneficiary=context.producer(candidate.slot, spec.seats).payout,
            state_root=bytes(32),
            transactions_root=bytes(32),
            receipts_root=bytes(32),
            logs_bloom=bytes(256),
            difficulty=0,
            number=parent.height + 1,
            gas_limit=spec.gas_limit,
            gas_used=0,
            timestamp=self.engine.schedule.slot_start(candidate.slot),
            extra_data=candidate.extra_data,
            mix_hash=context.seed,
            nonce=bytes(8),
            base_fee=next_base_fee(spec, parent.header.header),
            withdrawals_root=withdrawals_root(withdrawals),
            blob_gas_used=0,
            excess_blob_gas=0,
            parent_beacon_root=codec.payload_root(payload),
            requests_hash=bytes(32),
        )


def withdrawals_root(withdrawals: Sequence[Withdrawal]) -> bytes:
    """Give the root of the withdrawals' trie (EIP-4895)."""
    return list_root([codec.encode_withdrawal(one) for one in withdrawals])


def block_hashes(parent: DposEntry) -> Callable[[int], bytes | None]:
    """Give the lookup of ancestors' hashes for a block on `parent`: the last 256 by number."""
    known: list[bytes] = []

    def walk() -> Iterator[bytes]:
        at: DposEntry | None = parent
        while at is not None:
            yield at.hash
            at = at.parent

    steps = walk()

    def block_hash(number: int) -> bytes | None:
        back = parent.height - number
        if not 0 <= back < _ANCESTORS or number < 0:
            return None
        while len(known) <= back:
            known.append(next(steps))
        return known[back]

    return block_hash


def _same_sets(one: Record, other: Record) -> bool:
    return one.in_force == other.in_force and one.newest == other.newest and one.waiting == other.waiting


def _refused(error: TransactionRefused) -> errors.ExecutionError:
    if isinstance(error.cause, ExecutionGasReached):
        return errors.TooMuchExecutionGas(str(error))
    return errors.BlockTransactionError(error.position, error.cause)


def _compare(header: Header, result: BlockResult, requests: Sequence[bytes]) -> None:
    """Compare what the header says with what execution gave, cause before consequence."""
    if header.gas_used != result.gas_used:
        raise errors.WrongGasUsed(f"gasUsed {header.gas_used}, the transactions use {result.gas_used}")
    if header.receipts_root != result.receipts_root:
        raise errors.WrongReceiptsRoot("receiptsRoot is not that of the receipts")
    if header.logs_bloom != result.logs_bloom:
        raise errors.WrongBloom("logsBloom is not that of the logs")
    if header.requests_hash != requests_hash(requests):
        raise errors.WrongRequestsHash("requestsHash is not that of the requests")
    if header.state_root != result.state_root:
        raise errors.WrongStateRoot("stateRoot is not that of the state after the block")
