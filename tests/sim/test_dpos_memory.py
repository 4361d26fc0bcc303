"""R18 for the DPoS chain: thousands of sealed, voted, final blocks with transactions, and a flat memory.

One process with the real ledger on a real database, pool, finality and execution, in virtual time. The
devnet's set of four signs with real keys.
"""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from ioex_chain.dpos.finality import Finality
from ioex_chain.dpos.follower import DposHeadChanged, Follower, LedgerTree
from ioex_chain.dpos.machine import Candidate
from ioex_chain.dpos.mempool import Mempool
from ioex_chain.dpos.mempool_known import KnownTransactions
from ioex_chain.dpos.mempool_types import PoolTip
from ioex_chain.dpos.records import ChainFacts, DposEntry
from ioex_chain.dpos.seal import address_of, seal_digest, sign, vote_digest
from ioex_chain.dpos.votes import Vote
from ioex_chain.evm.senders import Senders
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.ledger.store import LevelStore
from ioex_chain.node.dpos_build import open_dpos_ledger
from ioex_chain.node.dpos_service import HeadAccounts
from ioex_chain.spec.load import load_network
from ioex_chain.wallet.hd import DEV_MNEMONIC, MasterKey

BLOCKS = int(os.environ.get("IOEX_SIM_BLOCKS", "7200"))
WARM = 3_000
"""Blocks after which the ledger's window of 2,048 headers is full."""
GENESIS = 1_800_000_000
PER_BLOCK = 4
_MIB = 1 << 20


class Clock:
    def __init__(self) -> None:
        self.time = GENESIS

    def now(self) -> int:
        return self.time


class Chain:
    """A chain that one process seals and votes for; nothing waits, nothing sleeps."""

    def __init__(self, store: LevelStore) -> None:
        self.clock = Clock()
        self.spec = load_network("devnet", genesis_time=GENESIS)
        self.senders, self.known = Senders(remembered=2_000), KnownTransactions(4 * _MIB)
        rules = open_dpos_ledger(self.spec, store, self.clock, known=self.known)
        self.ledger, self.engine, self.machine = rules.ledger, rules.engine, rules.machine
        self.pool = Mempool(self.spec.dpos, self.clock, self.senders, known=self.known)
        facts = ChainFacts(self.engine.records, lambda: self.ledger.head)
        self.finality: Finality[DposEntry] = Finality(
            LedgerTree(self.ledger), facts, self.machine.signatures, self.ledger.head, self.ledger.floor
        )
        self.follower = Follower(self.ledger, self.finality, self._run)
        self.ledger.subscribe(self._moved)
        master = MasterKey.from_mnemonic(DEV_MNEMONIC)
        keys = [master.dpos_key(index) for index in range(self.spec.dpos.seats)]
        self.keys = {address_of(key): key for key in keys}
        self.payers: list[LocalAccount] = [Account.from_key(key) for key in keys]
        self.nonces = [0] * len(keys)
        self._events: list[DposHeadChanged] = []

    def _run(
        self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Exception], None]
    ) -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - handed on, as a worker does
            failed(error)
        else:
            done(result)

    def _moved(self, event: DposHeadChanged) -> None:
        self.pool.on_head(event, self)
        self._events.append(event)

    def tip(self) -> PoolTip:
        return PoolTip(HeadAccounts(self.ledger.view()), self.spec.dpos.min_base_fee)

    def transactions(self, entry: DposEntry) -> Any:
        return self.ledger.body(entry.hash).transactions

    def pay(self, which: int) -> None:
        payer = self.payers[which]
        fields = {
            "type": 2,
            "chainId": self.spec.dpos.chain_id,
            "nonce": self.nonces[which],
            "to": self.payers[which - 1].address,
            "value": 1,
            "gas": 21_000,
            "maxFeePerGas": 3 * 10**9,
            "maxPriorityFeePerGas": 10**9,
        }
        raw = bytes(payer.sign_transaction(fields).raw_transaction)  # type: ignore[no-untyped-call]
        self.pool.add(decode_transaction(raw), self.tip())
        self.nonces[which] += 1

    def step(self) -> None:
        """One slot: transactions, a block, everybody's vote, what finality makes of it."""
        self.clock.time += self.spec.dpos.block_time
        for which in range(PER_BLOCK):
            self.pay(which)
        head = self.ledger.head
        slot = self.engine.schedule.slot_of(self.clock.time)
        selection = self.pool.select(self.spec.dpos.min_base_fee, max_count=100, max_bytes=1_000_000)
        candidate = Candidate(slot, (entry.tx for entry in selection), self.finality.certificate_for(head))
        made = self.ledger.try_on_head(lambda view, parent: self.machine.assemble(view, parent, candidate))
        seal = sign(self.keys[made.producer.key], seal_digest(self.engine.genesis, made.header.hash))
        self.ledger.accept_block(made.sealed(seal))
        for event in self._events:
            self.follower.head_changed(event)
        self._events.clear()
        link = self.finality.link_for(self.ledger.head)
        assert link is not None
        digest = vote_digest(self.engine.genesis, link)
        self.follower.on_votes(Vote(link, sign(key, digest)) for key in self.keys.values())

    def check(self) -> None:
        """Everything is mined and final but for the last block."""
        assert len(self.pool) == 0
        assert self.ledger.floor.height == self.ledger.head.height - 1
        accounts = HeadAccounts(self.ledger.view())
        found = [accounts.account(bytes.fromhex(payer.address[2:])).nonce for payer in self.payers]
        assert found == self.nonces


def opened(folder: Path) -> LevelStore:
    return LevelStore(folder / "chain", create=True, write_buffer=_MIB, cache=4 * _MIB)


def test_a_hundred_blocks_are_mined_and_final(tmp_path: Path) -> None:
    store = opened(tmp_path)
    chain = Chain(store)
    for _ in range(100):
        chain.step()
    chain.check()
    assert chain.ledger.head.height == 100
    store.close()


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_memory_stays_flat_over_7200_blocks(tmp_path: Path) -> None:
    store = opened(tmp_path)
    chain, process, seen = Chain(store), psutil.Process(), []
    for number in range(1, BLOCKS + 1):
        chain.step()
        if number >= min(WARM, BLOCKS // 2) and number % 600 == 0:
            gc.collect()
            seen.append((number, process.memory_info().rss / _MIB, process.num_fds()))
            print(f"block {number}: {seen[-1][1]:.1f} MiB, {seen[-1][2]} descriptors", flush=True)
    chain.check()
    store.close()
    (first, low, files), (last, high, files_last) = seen[0], seen[-1]
    hours = (last - first) * 30 / 3600  # at a main network's slot
    slope = (high - low) / hours
    print(f"{last - first} blocks: {slope:+.3f} MiB an hour of chain time")
    assert slope <= 1
    assert files_last <= files + 2
