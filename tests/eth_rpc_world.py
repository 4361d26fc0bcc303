"""A DPoS chain in memory for the RPC tests: real blocks, executed by the real EVM; no node, no disk."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, TypeVar

import orjson
from eth_account import Account as Keys

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos.block import Block, Payload
from ioex_chain.dpos.codec import make_block, payload_root
from ioex_chain.dpos.header import EMPTY_OMMERS_HASH, Header, SealedHeader
from ioex_chain.dpos.mempool import Mempool
from ioex_chain.dpos.mempool_types import PoolTip
from ioex_chain.dpos.schedule import Schedule, round_seed
from ioex_chain.dpos.sets import ArbitratorSet, Member
from ioex_chain.dpos.votes import Certificate, Checkpoint, Link, SealEvidence, Vote
from ioex_chain.evm.block import BlockRules, BlockRun
from ioex_chain.evm.roots import transactions_root, withdrawals_root
from ioex_chain.evm.senders import Senders
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.evm.types import AccessEntry, BlockEnv, Receipt, Transaction, TxOutcome, Withdrawal
from ioex_chain.evm.vm import apply_transaction
from ioex_chain.gossip.sync import SyncState
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import Connected, Entry, HeadChanged, Status
from ioex_chain.node.eth_engine import EvmEngine
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.eth.evm_port import (
    CALL_GAS,
    AccessResult,
    Base,
    BlockOverride,
    Deadline,
    Message,
    MessageRefused,
    Overrides,
    Reverted,
    SimulatedBlock,
    SimulatedStep,
    StatePruned,
    TraceOptions,
)
from ioex_chain.rpc.eth.heavy import HeavyPool
from ioex_chain.rpc.eth.state_view import StateView
from ioex_chain.rpc.eth.table import eth_port
from ioex_chain.rpc.eth_backend import (
    DposEntry,
    EvidenceView,
    FinalityView,
    Location,
    RoundView,
    SigningView,
    SlotPosition,
    SlotResult,
    SoloTransaction,
    Standing,
    VotesView,
)
from ioex_chain.spec.model import DposSpec, GenesisMember, SystemContracts

T = TypeVar("T")
GENESIS_TIME = 1_700_000_000
CHAIN_ID = 51_337
GWEI = 10**9
ALICE, BOB = (Keys.from_key(bytes([n]) * 32) for n in (1, 2))
ALICE_ADDRESS, BOB_ADDRESS = (bytes.fromhex(key.address[2:]) for key in (ALICE, BOB))
MEMBERS = tuple(Member(bytes([n]) * 20, bytes([n + 100]) * 20) for n in range(1, 5))
SEAL = bytes(range(65))


def code_logging(topic: int) -> bytes:
    """Assemble: log1(0, 32, topic) of the first call data word, count in slot 0, return the word."""
    return (
        bytes.fromhex("600035600052")  # mstore(0, calldataload(0))
        + b"\x7f"
        + topic.to_bytes(32, "big")  # push32 topic
        + bytes.fromhex("60206000a1")  # log1(0, 32, topic)
        + bytes.fromhex("600054600101600055")  # sstore(0, sload(0) + 1)
        + bytes.fromhex("60206000f3")  # return(0, 32)
    )


REVERTING = bytes.fromhex(
    "7f08c379a0000000000000000000000000000000000000000000000000000000006000527f"
    + (32).to_bytes(32, "big").hex()
    + "6004527f"
    + (4).to_bytes(32, "big").hex()
    + "6024527f"
    + b"nope".ljust(32, b"\0").hex()
    + "60445260646000fd"
)
"""Reverts with Error("nope")."""
ENDLESS = bytes.fromhex("5b600056")


def init_code(runtime: bytes) -> bytes:
    """Wrap run-time code so that a creation leaves it: codecopy and return."""
    size = len(runtime).to_bytes(2, "big").hex()
    return bytes.fromhex(f"61{size}600e60003961{size}6000f3") + runtime


def sign(key: Any, nonce: int, **fields: Any) -> bytes:
    """Sign a transaction: type 2 unless `fields` say otherwise."""
    values: dict[str, Any] = {"nonce": nonce, "chainId": CHAIN_ID, "gas": 200_000, "value": 0, "data": b""}
    if "gasPrice" not in fields:
        values |= {"maxFeePerGas": 10 * GWEI, "maxPriorityFeePerGas": GWEI}
    values |= fields
    return bytes(Keys.sign_transaction(values, key.key).raw_transaction)


def authorize(key: Any, address: bytes, nonce: int) -> Any:
    """Sign an EIP-7702 authorisation."""
    return key.sign_authorization({"chainId": CHAIN_ID, "address": address, "nonce": nonce})


class Chain:
    """A best chain, and blocks that left it. States of every block are kept."""

    def __init__(self) -> None:
        self.spec = DposSpec(
            chain_id=CHAIN_ID,
            block_time=1,
            seats=4,
            p2p_port=1,
            rpc_port=2,
            genesis_time=GENESIS_TIME,
            term_rounds=2,
            min_members=1,
            members=tuple(GenesisMember(m.key, m.payout) for m in MEMBERS),
        )
        self.senders = Senders()
        self.entries: list[DposEntry] = []
        self.blocks: dict[BlockHash, Block] = {}
        self.receipts: dict[BlockHash, tuple[Receipt, ...]] = {}
        self.states: dict[BlockHash, MemoryStore] = {}
        self.known: dict[BlockHash, DposEntry] = {}
        self.where: dict[bytes, Location] = {}
        self._begin()

    def _begin(self) -> None:
        store = MemoryStore()
        overlay = Overlay(store)
        state = FlatState(overlay)
        for address in (ALICE_ADDRESS, BOB_ADDRESS):
            state.set_balance(address, 10**24)
        root = state.flush()
        self._take(self._header(None, root, 0, (), (), bytes(32), bytes(256)), (), (), (), overlay, store)

    def _header(
        self,
        parent: DposEntry | None,
        state_root: bytes,
        gas_used: int,
        txs: Sequence[Transaction],
        withdrawals: Sequence[Withdrawal],
        receipts_root: bytes,
        bloom: bytes,
        slots: int = 1,
    ) -> SealedHeader:
        before = parent.header.header if parent else None
        header = Header(
            parent_hash=parent.hash if parent else BlockHash(bytes(32)),
            ommers_hash=EMPTY_OMMERS_HASH,
            beneficiary=MEMBERS[0].payout,
            state_root=state_root,
            transactions_root=transactions_root(txs),
            receipts_root=receipts_root,
            logs_bloom=bloom,
            difficulty=0,
            number=before.number + 1 if before else 0,
            gas_limit=self.spec.gas_limit,
            gas_used=gas_used,
            timestamp=before.timestamp + slots if before else GENESIS_TIME,
            extra_data=b"ioex",
            mix_hash=round_seed(0, bytes(32)),
            nonce=bytes(8),
            base_fee=GWEI,
            withdrawals_root=withdrawals_root(withdrawals),
            blob_gas_used=0,
            excess_blob_gas=0,
            parent_beacon_root=payload_root(Payload()),
            requests_hash=bytes(32),
        )
        return SealedHeader(header, SEAL if parent else b"")

    def _take(self, sealed, txs, withdrawals, receipts, overlay, base) -> DposEntry:  # type: ignore[no-untyped-def]
        parent = self.entries[-1] if self.entries else None
        block = make_block(sealed, tuple(txs), tuple(withdrawals), Payload())
        entry: DposEntry = Entry(
            sealed, len(self.entries), len(self.entries), Status.BODY, 1, parent, self.known.__getitem__
        )
        store = MemoryStore()
        store.write(dict(base.scan(b"")))
        store.write(overlay.changes)
        self.states[entry.hash], self.blocks[entry.hash] = store, block
        self.receipts[entry.hash], self.known[entry.hash] = tuple(receipts), entry
        self.entries.append(entry)
        for index, tx in enumerate(txs):
            self.where[tx.hash] = Location(entry.hash, index)
        return entry

    @property
    def head(self) -> DposEntry:
        return self.entries[-1]

    def env(self, parent: DposEntry, slots: int = 1) -> BlockEnv:
        return BlockEnv(
            CHAIN_ID,
            parent.height + 1,
            parent.header.header.timestamp + slots,
            MEMBERS[0].payout,
            self.spec.gas_limit,
            GWEI,
            round_seed(0, bytes(32)),
            lambda number: self.entries[number].hash if 0 <= number <= parent.height else None,
        )

    def add(self, *raws: bytes, withdrawals: Sequence[Withdrawal] = (), slots: int = 1) -> DposEntry:
        """Execute transactions as the next block."""
        parent = self.head
        base = self.states[parent.hash]
        overlay = Overlay(base)
        run = BlockRun(overlay, self.env(parent, slots), BlockRules(), self.senders)
        txs = [decode_transaction(raw) for raw in raws]
        run.transactions(txs)
        run.withdrawals(withdrawals)
        done = run.finish()
        sealed = self._header(
            parent,
            done.state_root,
            done.gas_used,
            txs,
            withdrawals,
            done.receipts_root,
            done.logs_bloom,
            slots,
        )
        return self._take(sealed, txs, withdrawals, done.receipts, overlay, base)

    def drop(self) -> DposEntry:
        """Take the head off the best chain."""
        gone = self.entries.pop()
        self.where = {h: at for h, at in self.where.items() if at.block_hash != gone.hash}
        return gone


class _Spec:
    """As much of a NetworkSpec as the port reads."""

    name = "devnet"

    def __init__(self, dpos: DposSpec) -> None:
        self.dpos = dpos
        self.contracts = SystemContracts({"RewardPool": bytes(19) + b"\x01"})


class FakeArbitration:
    """Schedule and finality of a chain of four arbitrators in set 0."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.schedule = Schedule(chain.spec)
        self.set = ArbitratorSet(0, MEMBERS)

    def position(self, time: int | None = None) -> SlotPosition:
        now = self.chain.head.header.header.timestamp + 1 if time is None else time
        slot = self.schedule.slot_of(now)
        if slot < 0:
            return SlotPosition(now, -1, -1, -1)
        return SlotPosition(now, slot, self.schedule.round_of(slot), self.schedule.term_of(slot))

    def set_in_force(self, entry: DposEntry) -> ArbitratorSet:
        return self.set

    def sets(self, entry: DposEntry) -> Sequence[ArbitratorSet]:
        return (ArbitratorSet(1, MEMBERS[:3]),)

    def standings(self, entry: DposEntry) -> Sequence[Standing]:
        return [Standing(m.payout, m.key, m.payout, 5, False, False, 3, 1) for m in MEMBERS]

    def round(self, entry: DposEntry, round_: int) -> RoundView | None:
        if round_ > self.position().round + 1:
            return None
        first = self.schedule.first_slot_of_round(round_)
        producers = [self.schedule.producer(self.set, bytes(32), first + at) for at in range(4)]
        return RoundView(round_, self.schedule.term_of_round(round_), first, self.set, bytes(32), producers)

    def slots(self, first: int, last: int) -> Sequence[SlotResult]:
        by_slot = {e.header.header.timestamp - GENESIS_TIME: e for e in self.chain.entries}
        most = min(last, self.position().slot)
        rows = [(slot, by_slot.get(slot)) for slot in range(first, most + 1)]
        return [
            SlotResult(s, MEMBERS[s % 4], Checkpoint(e.hash, e.height) if e else None, "" if e else "late")
            for s, e in rows
        ]

    def link(self) -> Link:
        head, genesis = self.chain.head, self.chain.entries[0]
        return Link(0, Checkpoint(genesis.hash, 0), Checkpoint(head.hash, head.height))

    def votes(self, target: BlockHash) -> Sequence[VotesView]:
        return [VotesView(self.link(), [(2, Vote(self.link(), SEAL))], 4, 3)]

    def certificate(self, target: BlockHash) -> Certificate | None:
        return (
            Certificate(self.link(), 0b1011, (SEAL, SEAL, SEAL)) if target == self.chain.head.hash else None
        )

    def finality(self) -> FinalityView:
        genesis = self.chain.entries[0]
        point = Checkpoint(genesis.hash, 0)
        return FinalityView(point, point, 0, 3, self.chain.head.height, False)

    def evidence(self) -> Sequence[EvidenceView]:
        head = self.chain.head.header
        return [EvidenceView(SealEvidence(head, head), MEMBERS[0].key, None)]

    def signing(self) -> Sequence[SigningView]:
        return [
            SigningView(MEMBERS[0].key, ""),
            SigningView(MEMBERS[1].key, "watching", "it listens for 2 more slots"),
        ]


class FakeSolo:
    """Remembers what was asked."""

    def __init__(self, backend: "FakeBackend") -> None:
        self.backend = backend
        self.automine = True
        self.did: list[tuple[Any, ...]] = []
        self.masks: list[bytes] = []

    async def mine(self, blocks: int, interval: int = 1) -> None:
        self.did.append(("mine", blocks, interval))
        for _ in range(min(blocks, 3)):
            self.backend.chain.add(slots=interval)

    async def snapshot(self) -> int:
        return 7

    async def revert(self, number: int) -> bool:
        return number == 7

    async def set_balance(self, address: bytes, wei: int) -> None:
        self.did.append(("balance", address, wei))

    async def set_nonce(self, address: bytes, nonce: int) -> None:
        self.did.append(("nonce", address, nonce))

    async def set_code(self, address: bytes, code: bytes) -> None:
        self.did.append(("code", address, code))

    async def set_storage(self, address: bytes, slot: int, value: int) -> None:
        self.did.append(("storage", address, slot, value))

    def impersonate(self, address: bytes, on: bool) -> None:
        self.masks = [*self.masks, address] if on else [m for m in self.masks if m != address]

    def impersonated(self) -> Sequence[bytes]:
        return self.masks

    async def send(self, tx: SoloTransaction) -> bytes:
        self.did.append(("send", tx))
        return bytes(32)

    async def increase_time(self, seconds: int) -> int:
        return seconds

    async def set_next_timestamp(self, time: int) -> None:
        if time < GENESIS_TIME:
            raise ValueError("this time is past")


class FakePeers:
    """A peer-to-peer side with three connections."""

    def network_state(self) -> Any:
        return SimpleNamespace(listening=("ioex://0:1",))

    def peers(self) -> Sequence[Any]:
        return (1, 2, 3)


class _Accounts:
    """The pool's look at the newest state."""

    def __init__(self, view: StateView) -> None:
        self._view = view

    def account(self, address: bytes) -> Any:
        return self._view.account(address)

    def code(self, address: bytes) -> bytes:
        return self._view.code(address)


class FakeBackend:
    """An EthBackend over a `Chain`."""

    def __init__(self, evm: Any, *, solo: bool = False) -> None:
        self.chain = Chain()
        self.spec: Any = _Spec(self.chain.spec)
        self.version = "0.1.0"
        self.clock = FixedClock(GENESIS_TIME)
        self.pool = Mempool(self.chain.spec, self.clock, self.chain.senders)
        self.evm = evm(self) if evm else None
        self.arbitration = FakeArbitration(self.chain)
        self.solo = FakeSolo(self) if solo else None
        self.state_depth: int | None = 128
        self.peers = FakePeers()
        self.heavy = HeavyPool(threads=1)
        self.syncing = False
        self.final = 0
        self.bad: list[Block] = []

    def sync_state(self) -> SyncState:
        return SyncState(self.syncing, self.chain.head.height, self.chain.head.height + 5, 1.0, None)

    def head(self) -> DposEntry:
        return self.chain.head

    def safe(self) -> DposEntry:
        return self.chain.entries[self.final]

    finalized = safe

    def entry(self, hash_: BlockHash) -> DposEntry | None:
        return self.chain.known.get(hash_)

    def entry_at(self, height: int) -> DposEntry | None:
        return self.chain.entries[height] if 0 <= height < len(self.chain.entries) else None

    def is_on_best_chain(self, entry: DposEntry) -> bool:
        return self.entry_at(entry.height) is entry

    def block(self, hash_: BlockHash) -> Block | None:
        return self.chain.blocks.get(hash_)

    def senders(self, block: Block) -> Sequence[bytes]:
        return self.chain.senders.of(block.transactions)

    def receipts(self, hash_: BlockHash) -> Sequence[Receipt] | None:
        return self.chain.receipts.get(hash_)

    def locate(self, tx_hash: bytes) -> Location | None:
        return self.chain.where.get(tx_hash)

    def state(self, entry: DposEntry) -> StateView:
        if self.state_depth is not None and entry.height < self.chain.head.height - self.state_depth:
            raise StatePruned(f"the state of block {entry.height} is not kept any more")
        return StateView(self.chain.states[entry.hash])

    def next_base_fee(self, entry: DposEntry) -> int:
        return GWEI

    def next_timestamp(self) -> int:
        return self.chain.head.header.header.timestamp + 1

    def bad_blocks(self) -> Sequence[Block]:
        return self.bad

    async def call(self, function: Callable[[], T]) -> T:
        return function()

    async def submit(self, raw: bytes) -> bytes:
        tx = decode_transaction(raw)
        with self.state(self.head()) as state:
            self.pool.add(tx, PoolTip(_Accounts(state), GWEI))  # type: ignore[arg-type]
        return tx.hash

    async def run_heavy(self, work: Callable[[Deadline], T], seconds: float) -> T:
        return await self.heavy.run(work, seconds)


class World:
    """A port over a fake backend, asked as a client asks."""

    def __init__(self, evm: Any = None, *, solo: bool = False) -> None:
        self.backend = FakeBackend(evm, solo=solo)
        self.chain = self.backend.chain
        self.time = 0.0
        self.port = eth_port(self.backend, lambda: self.time)
        self.dispatcher = Dispatcher(self.port.table, errors=self.port.errors)

    def close(self) -> None:
        self.backend.heavy.close()
        self.dispatcher.close()

    async def reply(self, method: str, params: Any, push: Any = None) -> dict[str, Any]:
        context = CallContext(push=push)
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        answer = await self.dispatcher.handle(body, context)
        for announce in context.after_reply:
            announce()
        assert answer.body is not None
        parsed: dict[str, Any] = orjson.loads(answer.body)
        return parsed

    async def ask(self, method: str, *params: Any) -> Any:
        answer = await self.reply(method, list(params))
        assert "error" not in answer, answer["error"]
        return answer["result"]

    async def error(self, method: str, *params: Any) -> dict[str, Any]:
        answer = await self.reply(method, list(params))
        assert "error" in answer, answer
        error: dict[str, Any] = answer["error"]
        return error

    def connect(self, entry: DposEntry, disconnected: Sequence[DposEntry] = ()) -> None:
        """Tell the port of a new head."""
        event: HeadChanged[SealedHeader, None] = HeadChanged(
            tuple(disconnected), (Connected(entry, None),), entry
        )
        self.port.publisher.head_changed(event)


class WorldEvm:
    """An Evm over a `Chain`: calls run in the real EVM; traces are written by hand."""

    def __init__(self, backend: FakeBackend) -> None:
        self.chain = backend.chain
        self.asked: list[Any] = []

    def _run(self, base: Base, message: Message, overrides: Overrides, deadline: Deadline) -> TxOutcome:
        state = FlatState(self.chain.states[base.entry.hash])
        state.set_balance(message.sender, 10**30)
        for address, changed in overrides.items():
            if changed.code is not None:
                state.set_code(address, changed.code)
            for slot, value in (changed.state_diff or {}).items():
                state.set_storage(address, slot, value)
        tx = self.transaction(message, state.get_nonce(message.sender))
        env = replace(self.chain.env(base.entry), base_fee=0)
        return apply_transaction(state, env, tx, message.sender, check_deadline=deadline.check)

    def transaction(self, message: Message, nonce: int) -> Transaction:
        raw = repr((message, nonce)).encode()
        gas = min(message.gas or CALL_GAS, CALL_GAS)
        access = message.access_list or ()
        return Transaction(
            raw, keccak256(raw), 2, CHAIN_ID, nonce, 0, 0, gas, message.to, message.value, message.data,
            access, (), 0, 0, 0, bytes(32),
        )  # fmt: skip

    def call(
        self, base: Base, message: Message, overrides: Overrides, block: BlockOverride, deadline: Deadline
    ) -> TxOutcome:
        self.asked.append((base, message, overrides, block))
        if message.value > 10**29:
            raise MessageRefused("insufficient funds for gas * price + value", -38014)
        return self._run(base, message, overrides, deadline)

    def estimate(
        self, base: Base, message: Message, overrides: Overrides, block: BlockOverride, deadline: Deadline
    ) -> int:
        outcome = self.call(base, message, overrides, block, deadline)
        if outcome.error:
            raise Reverted(outcome)
        return outcome.gas_used

    def access_list(
        self, base: Base, message: Message, overrides: Overrides, deadline: Deadline
    ) -> AccessResult:
        outcome = self.call(base, message, overrides, BlockOverride(), deadline)
        return AccessResult([AccessEntry(bytes(20), (bytes(32),))], outcome.gas_used, outcome.error)

    def simulate(
        self,
        base: Base,
        steps: Sequence[SimulatedStep],
        *,
        validation: bool,
        trace_transfers: bool,
        deadline: Deadline,
    ) -> Sequence[SimulatedBlock]:
        sealed = base.entry.header
        return [
            SimulatedBlock(
                sealed,
                step.block.withdrawals or (),
                [self.transaction(call, 0) for call in step.calls],
                [call.sender for call in step.calls],
                [self.call(base, call, step.state, step.block, deadline) for call in step.calls],
                600,
            )
            for step in steps
        ]

    def _trace(self, options: TraceOptions) -> Any:
        if options.tracer is not None:
            return {"type": "CALL", "from": "0x" + bytes(20).hex(), "gas": "0x0"}
        log = {"pc": 0, "op": "PUSH1", "gas": 5, "gasCost": 3, "depth": 1, "stack": ["0x1"]}
        return {"gas": 21_000, "failed": False, "returnValue": "0x", "structLogs": [log]}

    def trace_call(
        self,
        base: Base,
        message: Message,
        overrides: Overrides,
        block: BlockOverride,
        options: TraceOptions,
        deadline: Deadline,
    ) -> Any:
        self.asked.append((base, message, overrides, block, options))
        return self._trace(options)

    def trace_block(
        self, entry: DposEntry, options: TraceOptions, only: int | None, deadline: Deadline
    ) -> Sequence[Any]:
        self.asked.append((entry, options, only))
        count = 1 if only is not None else len(self.chain.blocks[entry.hash].transactions)
        return [self._trace(options) for _ in range(count)]


TOPIC = 5
CONTRACT = bytes.fromhex("32dcab0ef3fb2de2fce1d2e0799d36239671f04a")
"""ALICE's creation with nonce 0."""


def told_world(evm: Any = WorldEvm, *, solo: bool = False) -> World:
    """Give a world whose chain has every kind of transaction, logs, a revert and a withdrawal."""
    world = World(evm, solo=solo)
    chain = world.chain
    chain.add(
        sign(ALICE, 0, data=init_code(code_logging(TOPIC))),
        sign(BOB, 0, gasPrice=2 * GWEI, to=ALICE_ADDRESS, value=5, gas=21_000),
    )
    access = [{"address": "0x" + CONTRACT.hex(), "storageKeys": ["0x" + "00" * 32]}]
    chain.add(
        sign(ALICE, 1, to=CONTRACT, data=bytes(31) + b"\x07", accessList=access),
        sign(BOB, 1, gasPrice=2 * GWEI, to=CONTRACT, accessList=access, data=bytes(31) + b"\x08"),
        sign(ALICE, 2, to=CONTRACT, authorizationList=[authorize(BOB, CONTRACT, 2)]),
        withdrawals=[Withdrawal(0, 1, BOB_ADDRESS, 5)],
    )
    chain.add(sign(ALICE, 3, data=REVERTING), slots=2)
    return world


class _Service:
    """As much of the node's DPoS service as its engine for calls needs, over a `Chain`."""

    def __init__(self, backend: FakeBackend) -> None:
        self._chain = backend.chain
        self.spec = backend.spec
        self.ledger = self
        self.clock = FixedClock(GENESIS_TIME)
        self.engine = SimpleNamespace(
            schedule=Schedule(backend.chain.spec),
            slot_of=lambda entry: entry.header.header.timestamp - GENESIS_TIME,
            context=lambda entry, slot: None,
        )
        machine = SimpleNamespace(replay=self._replay)
        self.chain = SimpleNamespace(senders=backend.chain.senders, machine=machine)

    @property
    def head(self) -> DposEntry:
        return self._chain.head

    def snapshot(self) -> Any:
        taken: Any = self.state_at(self.head)
        taken.head = self.head
        return taken

    def state_at(self, entry: DposEntry) -> Any:
        return self._chain.states[entry.hash].snapshot()

    def body(self, hash_: BlockHash) -> Block:
        return self._chain.blocks[hash_]

    def _replay(self, block: Block, parent: DposEntry, view: Overlay) -> BlockRun:
        slots = block.header.header.timestamp - parent.header.header.timestamp
        return BlockRun(view, self._chain.env(parent, slots), BlockRules(), self._chain.senders)


def node_engine(backend: FakeBackend) -> EvmEngine:
    """Give the node's own engine, over the chain of a world."""
    service: Any = _Service(backend)
    return EvmEngine(service)
