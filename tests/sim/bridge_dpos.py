"""A DPoS node with all arbitrators' keys, in memory: production's ledger, machine and system contracts.

Honest arbitrators only: they vote for their head, once for each height, never with an older source. What a
certificate means (prefer its target, finalise its source) is done as nodes do it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar
from unittest.mock import patch

from chaingen.stores import Crashed
from eth_account import Account

from ioex_chain.dpos import certificates, codec, seal
from ioex_chain.dpos.block import Block, Payload
from ioex_chain.dpos.execution import EvmWorld
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.machine import BlockReceipt, Candidate, withdrawals_root
from ioex_chain.dpos.records import DposEntry, Record
from ioex_chain.dpos.sets import ArbitratorSet
from ioex_chain.dpos.votes import Certificate, Checkpoint, Link, Vote
from ioex_chain.evm.senders import sender
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.system import artefact, mapping_slot
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.evm.types import Transaction, Withdrawal
from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.types import HeadChanged, StateView
from ioex_chain.node import dpos_build
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import NetworkSpec

from .bridge_spec import ACCOUNT_KEY_OF, MEMBER_KEY_OF, USER_ACCOUNTS
from .bridge_store import WINDOW, CrashingStore

T = TypeVar("T")
GAS_PRICE = 10**11
CALL_GAS = 3_000_000
POINTS = 1_000_000
"""GAS of each user at genesis."""


@dataclass
class Ballots:
    """What the arbitrators have signed, all together: they vote as one, so one memory serves them."""

    target: int = 0
    source: int = 0
    links: dict[BlockHash, Link] = field(default_factory=dict)


class PointsWorld(EvmWorld):
    """The EVM's state, in whose genesis every user has worked already: GAS that one could try to move."""

    def genesis(self, view: StateView, pow_genesis: bytes) -> None:
        """Write the genesis state and the points."""
        super().genesis(view, pow_genesis)
        state, gas = FlatState(view), self.spec.contracts.addresses["GasPoints"]
        slots = artefact("GasPoints").slots
        for account in USER_ACCOUNTS:
            state.set_storage(gas, mapping_slot(slots["balanceOf"], account), POINTS)
        state.set_storage(gas, slots["totalSupply"], POINTS * len(USER_ACCOUNTS))
        state.flush()


class DposSide:
    """One node's chain. `ballots` and `certificates` are the arbitrators': nodes of one world share them."""

    def __init__(
        self,
        spec: NetworkSpec,
        clock: FixedClock,
        store: CrashingStore | None = None,
        ballots: Ballots | None = None,
        certificates_: dict[BlockHash, Certificate] | None = None,
    ) -> None:
        self.spec = spec
        self.clock = clock
        self.store = store or CrashingStore()
        self.ballots = ballots or Ballots()
        self.certificates = {} if certificates_ is None else certificates_
        """By target."""
        self.statuses: dict[BlockHash, list[int]] = {}
        """Of the transactions' receipts, by block, as far as they were heard of."""
        self.open()

    def open(self) -> None:
        """Open the chain from its rows, as after a start."""
        with patch.object(dpos_build, "Ledger", partial(Ledger, window=WINDOW)):
            rules = dpos_build.open_dpos_ledger(
                self.spec, self.store, self.clock, world=PointsWorld(self.spec)
            )
        self.ledger, self.engine, self.machine = rules.ledger, rules.engine, rules.machine
        self.schedule = self.engine.schedule
        self.genesis = self.ledger.genesis.hash
        self.ledger.subscribe(self._hear)

    def _hear(self, event: HeadChanged[SealedHeader, BlockReceipt]) -> None:
        for done in event.connected:
            self.statuses[done.entry.hash] = [one.status for one in done.receipt.receipts]

    def twin(self) -> "DposSide":
        """Give another node that has heard the same so far."""
        return DposSide(self.spec, self.clock, self.store.copy(), self.ballots, self.certificates)

    # --- reads ---

    @property
    def head(self) -> DposEntry:
        return self.ledger.head

    @property
    def state(self) -> FlatState:
        """The state after the head."""
        return FlatState(self.ledger.view())

    @property
    def record(self) -> Record:
        """The head's record."""
        return self.engine.records.require(self.head)

    @property
    def slot(self) -> int:
        """The slot of the head."""
        return self.engine.slot_of(self.head)

    def members_at(self, entry: DposEntry) -> ArbitratorSet:
        return self.engine.records.in_force(entry, self.engine.records.require(entry))

    # --- producing ---

    def produce(
        self,
        slot: int,
        transactions: Iterable[Transaction] = (),
        pow_headers: Sequence[bytes] = (),
        deposit_proofs: Sequence[bytes] = (),
    ) -> Block:
        """Give the block of `slot` on the head as its producer makes it; not taken."""
        candidate = Candidate(
            slot,
            tuple(transactions),
            self.due_certificate(self.head),
            pow_headers=tuple(pow_headers),
            deposit_proofs=tuple(deposit_proofs),
        )
        made = self.ledger.try_on_head(lambda view, head: self.machine.assemble(view, head, candidate))
        digest = seal.seal_digest(self.genesis, made.header.hash)
        return made.sealed(seal.sign(MEMBER_KEY_OF[made.producer.key], digest))

    def altered(
        self,
        block: Block,
        payload: Payload | None = None,
        withdrawals: Sequence[Withdrawal] | None = None,
        **header: Any,
    ) -> Block:
        """Give a block again with another payload, withdrawals or header fields, and its producer's seal.

        The header commits to the new body; what execution gives is left as it was.
        """
        payload = block.payload if payload is None else payload
        withdrawals = block.withdrawals if withdrawals is None else tuple(withdrawals)
        changed = replace(
            block.header.header,
            parent_beacon_root=codec.payload_root(payload),
            withdrawals_root=withdrawals_root(withdrawals),
            **header,
        )
        parent = self.ledger.entry(changed.parent_hash)
        assert parent is not None
        producer = self.engine.producer(parent, self.schedule.slot_of(changed.timestamp))
        assert producer is not None
        digest = seal.seal_digest(self.genesis, changed.hash)
        sealed = SealedHeader(changed, seal.sign(MEMBER_KEY_OF[producer.key], digest))
        return codec.make_block(sealed, block.transactions, withdrawals, payload)

    def take(self, block: Block) -> None:
        """Have the ledger take a block, and follow the certificates that are known."""
        self.ledger.accept_block(block)
        self.follow()

    def due_certificate(self, parent: DposEntry) -> Certificate | None:
        """Give what a block on `parent` should carry: the highest target that is not recorded yet."""
        recorded = self.engine.records.require(parent).justified.height
        at: DposEntry | None = parent
        while at is not None and at.height > recorded:
            found = self.certificates.get(at.hash)
            if found is not None and found.link == self.link(at):
                return found
            at = at.parent
        return None

    # --- voting ---

    def link(self, entry: DposEntry) -> Link:
        """Give the only link that may be voted for with this target."""
        record = self.engine.records.require(entry)
        return Link(self.members_at(entry).number, record.justified, Checkpoint(entry.hash, entry.height))

    def vote(self, *, heard: bool = True, silent: int | None = None) -> Certificate | None:
        """Have all arbitrators (but voter `silent`) vote for the head, if the rules let them.

        With `heard` their votes make a certificate that everybody hears; else they are lost on the way.
        """
        link, ballots = self.link(self.head), self.ballots
        if link.target.height <= ballots.target or link.source.height < ballots.source:
            return None
        ballots.target, ballots.source = link.target.height, link.source.height
        ballots.links[link.target.hash] = link
        return self.gather(self.head, silent=silent) if heard else None

    def gather(self, entry: DposEntry, *, silent: int | None = None) -> Certificate | None:
        """Put a certificate together from votes that were given before."""
        link = self.ballots.links[entry.hash]
        members = self.members_at(entry)
        digest = seal.vote_digest(self.genesis, link)
        votes = {
            member.key: Vote(link, seal.sign(MEMBER_KEY_OF[member.key], digest))
            for position, member in enumerate(members.voters)
            if position != silent
        }
        made = certificates.assemble(link, votes, members)
        if made is not None:
            self.certificates[entry.hash] = made
            self.follow()
        return made

    def lost_votes(self) -> list[DposEntry]:
        """Give the blocks, on any branch, that all voted for, that have no certificate and could have one."""
        anchor = self.ledger.anchor
        found = []
        for hash_ in self.ballots.links:
            entry = self.ledger.entry(hash_)
            if entry is None or hash_ in self.certificates or entry.note is None:
                continue
            above = entry.height > max(self.ledger.floor.height, 0 if anchor is None else anchor.height)
            if above and self.ledger.fork_point(entry, self.ledger.floor) is self.ledger.floor:
                found.append(entry)
        return found

    def hear_late(self, entry: DposEntry) -> None:
        """Have a block's lost votes turn up: whatever branch it is on, it comes first now."""
        if self.gather(entry) is not None:
            self.ledger.prefer(entry.hash)
            self.follow()

    def follow(self) -> None:
        """Do what the certificates for blocks of the best chain say: prefer, finalise."""
        for entry in list(self._unfinal()):
            made = self.certificates.get(entry.hash)
            if made is None or made.link != self.link(entry):
                continue
            self.ledger.prefer(entry.hash)
            source = made.link.source
            if entry.height == source.height + 1 and source.height > self.ledger.floor.height:
                self.ledger.finalize(source.hash)

    def _unfinal(self) -> Iterable[DposEntry]:
        found, at = [], self.head
        while at.height > self.ledger.floor.height and at.parent is not None:
            found.append(at)
            at = at.parent
        return reversed(found)

    # --- transactions ---

    def sign(
        self,
        account: bytes,
        nonce: int,
        to: bytes | None,
        data: bytes = b"",
        value: int = 0,
        gas: int = CALL_GAS,
    ) -> Transaction:
        """Give a transaction of one of the world's accounts, signed as wallets sign."""
        fields = {
            "type": 2,
            "chainId": self.spec.dpos.chain_id,
            "nonce": nonce,
            "maxFeePerGas": GAS_PRICE,
            "maxPriorityFeePerGas": 0,
            "gas": CALL_GAS,
            "value": value,
            "data": data,
        } | ({} if to is None else {"to": to})
        return decode_transaction(
            bytes(Account.sign_transaction(fields, ACCOUNT_KEY_OF[account]).raw_transaction)
        )


class DposPool:
    """Signed transactions that wait: in nonce order, on offer again after a reorganisation."""

    def __init__(self, side: DposSide) -> None:
        self._known: dict[tuple[bytes, int], Transaction] = {}
        self._side = side

    def __len__(self) -> int:
        return len(self.due(self._side))

    def send(self, account: bytes, to: bytes | None, data: bytes = b"", value: int = 0) -> Transaction:
        """Sign with the account's next nonce and keep."""
        nonce = self._side.state.get_nonce(account)
        while (account, nonce) in self._known:
            nonce += 1
        return self.add(self._side.sign(account, nonce, to, data, value))

    def add(self, tx: Transaction) -> Transaction:
        """Keep a transaction; it takes the place of one with its sender and nonce."""
        self._known[sender(tx), tx.nonce] = tx
        return tx

    def due(self, side: DposSide) -> list[Transaction]:
        """Give what may stand on a node's head."""
        return [
            tx
            for (account, nonce), tx in sorted(self._known.items(), key=lambda item: item[0])
            if nonce >= side.state.get_nonce(account)
        ]

    def forget_final(self) -> None:
        """Drop what no reorganisation can bring back."""
        ledger = self._side.ledger
        with ledger.state_at(ledger.floor) as past:
            final = FlatState(past)
            self._known = {
                name: tx for name, tx in self._known.items() if name[1] >= final.get_nonce(name[0])
            }


def crashed(work: Callable[[], object]) -> bool:
    """Do `work`; whether the process was lost on the way."""
    try:
        work()
    except Crashed:
        return True
    return False
