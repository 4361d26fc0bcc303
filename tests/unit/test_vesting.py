"""The unlock calendar: read from the scripts, then walked on a real chain by spending every output."""

from collections import Counter
from dataclasses import replace

import pytest
from bip32 import BIP32
from chaingen.builder import ChainBuilder, Funds
from chaingen.harness import PowLedger, open_ledger
from chaingen.owners import KeyHash, ScriptHash
from chaingen.specs import key
from mnemonic import Mnemonic

from ioex_chain.crypto.hashes import hash160
from ioex_chain.crypto.secp256k1 import public_key
from ioex_chain.pow import errors
from ioex_chain.pow.block import Block
from ioex_chain.pow.script import classify, parse_spend_script
from ioex_chain.pow.utxo import get_coin
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.load import NETWORKS, load_network
from ioex_chain.spec.model import MONTH, NetworkSpec
from ioex_chain.wallet.vesting import (
    calendar,
    find_witness_script,
    spendable_at,
    unlock_time_of,
    vested_outputs,
)

MNEMONIC = "test test test test test test test test test test test junk"

# Months after genesis -> millions of IOEX that become spendable, by docs/protocol.md section 1. E1 counts
# from listing, which these networks have one month after genesis: months 4, 7, 10 and 13.
FREE = 40 + 34 + 4  # A, C, E5
UNLOCKS = {
    3: 2.5 + 2.1,  # E2, E4
    4: 2.5,  # E1
    6: 5 + 2.5 + 2.1,  # D, E2, E4
    7: 2.5,  # E1
    9: 2.5 + 1.8,  # E2, E4
    10: 2.5,  # E1
    12: 5 + 2.5,  # D, E2
    13: 2.5,  # E1
    18: 5,  # D
    24: 5,  # D
}
ON_DPOS = {"devnet": 10 * 10_000 * COIN}
"""Of line E5: deposits that fund accounts of the DPoS chain at genesis; no key spends them on this chain."""


def private_keys(spec: NetworkSpec) -> dict[str, bytes]:
    root = BIP32.from_seed(Mnemonic.to_seed(MNEMONIC))
    return {
        row.plan: root.get_privkey_from_path(row.key_path)
        for row in spec.token.allocations
        if row.key_path.startswith("m/84'")
    }


def key_hashes(spec: NetworkSpec) -> set[bytes]:
    return {hash160(public_key(private)) for private in private_keys(spec).values()}


@pytest.mark.parametrize("name", NETWORKS)
def test_calendar_month_by_month(name):
    spec = load_network(name)
    assert spec.token.listing_time == spec.pow.genesis_time + MONTH
    expected = FREE * COIN * 1_000_000 - ON_DPOS.get(name, 0)
    assert spendable_at(spec, spec.pow.genesis_time) == expected
    for month in range(1, 31):
        at = spec.pow.genesis_time + month * MONTH
        assert spendable_at(spec, at) == expected  # BIP-113: the median time must be above the lock time
        expected += round(UNLOCKS.get(month, 0) * 1_000_000 * COIN)
        assert spendable_at(spec, at + 1) == expected
    assert expected == 124_000_000 * COIN - ON_DPOS.get(name, 0)
    assert calendar(spec)[0].time == 0
    assert calendar(spec)[-1].total == expected


def test_calendar_moves_with_genesis():
    base = calendar(load_network("devnet"))
    moved = calendar(load_network("devnet", genesis_time=1_800_000_000))
    shift = 1_800_000_000 - load_network("devnet").pow.genesis_time
    assert [date.time for date in moved[1:]] == [date.time + shift for date in base[1:]]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_published_keys_own_everything_but_the_reserve(name):
    spec = load_network(name)
    found = vested_outputs(spec, key_hashes(spec))
    assert sum(output.value for output in found) == 124_000_000 * COIN - ON_DPOS.get(name, 0)
    assert Counter(output.plan for output in found) == {
        "A": 2, "C": 2, "D": 4, "E1": 4, "E2": 4, "E4": 3, "E5": 1
    }  # fmt: skip
    assert vested_outputs(spec, {bytes(20)}) == ()
    for output in found:
        hidden = output.witness_script
        assert bool(hidden) == bool(output.unlock_time)
        if hidden:
            assert unlock_time_of(hidden) == output.unlock_time == parse_spend_script(hidden).lock_time
            assert find_witness_script(spec, output.script) == hidden
    assert find_witness_script(spec, b"\x00\x20" + bytes(32)) is None


def test_scripts_without_a_time_lock_are_free():
    one = (b"\x01" * 32,)
    assert unlock_time_of(ScriptHash(one).witness_script) == 0
    assert unlock_time_of(ScriptHash(one, lock_time=499_999_999).witness_script) == 0
    assert unlock_time_of(ScriptHash(one, lock_time=500_000_000).witness_script) == 500_000_000


class Walk:
    """A devnet chain whose clock we set, and every genesis output with the key that owns it."""

    def __init__(self) -> None:
        self.spec = load_network("devnet")
        self.chain = ChainBuilder(self.spec)
        self.ledger: PowLedger = open_ledger(self.chain)
        self.tip: Block = self.chain.genesis
        self.spent = 0
        self.left: dict[Funds, int] = {}
        keys = private_keys(self.spec)
        coinbase = self.chain.genesis.transactions[0]
        for index, row in enumerate(self.spec.token.allocations):
            form = classify(row.script)
            assert form is not None
            if form.is_reserve:
                continue
            private = keys[row.plan]
            owner = (
                ScriptHash((private,), lock_time=row.unlock_time, kind="keyhash")
                if row.unlock_time
                else KeyHash(private)
            )
            funds = Funds(coinbase.outpoint(index), row.amount, owner, coinbase.outputs[index].script)
            self.left[funds] = row.unlock_time

    def median_to(self, time: int) -> None:
        """Mine the six blocks at `time` after which the median time is exactly that."""
        while self.chain.median_time(self.tip) < time:
            self.accept(self.chain.block(self.tip, time=time))

    def accept(self, block: Block) -> None:
        self.ledger.accept_block(block)
        assert self.ledger.head.hash == block.hash
        self.tip = block

    def spend(self, funds: Funds, lock_time: int) -> None:
        tx = self.chain.spend(funds, [(funds.value - 1_000, key("bob"))], lock_time=lock_time)
        self.accept(self.chain.block(self.tip, [tx], time=self.ledger_time()))
        assert get_coin(self.ledger.view(), funds.outpoint) is None
        self.spent += funds.value

    def refuse(self, funds: Funds, lock_time: int, rule: type[errors.TransactionError]) -> None:
        tx = self.chain.spend(funds, [(funds.value - 1_000, key("bob"))], lock_time=lock_time)
        with pytest.raises(errors.BlockTransactionError) as caught:
            self.ledger.accept_block(self.chain.block(self.tip, [tx], time=self.ledger_time()))
        assert type(caught.value.cause) is rule
        assert self.ledger.head.hash == self.tip.hash

    def ledger_time(self) -> int:
        """The earliest time that a next block may have, so that spending hardly moves the median."""
        return self.chain.median_time(self.tip) + 1

    def refuse_all_locked(self) -> None:
        now = self.chain.median_time(self.tip)
        for funds, unlock_time in self.left.items():
            self.refuse(funds, unlock_time, errors.NotFinal)
            self.refuse(funds, min(now, unlock_time) - 1, errors.LockTimeUnsatisfied)

    def spend_all_unlocked(self, before: int) -> None:
        for funds, unlock_time in list(self.left.items()):
            if unlock_time < before:
                self.spend(funds, unlock_time)
                del self.left[funds]


def test_walk_the_whole_calendar_on_a_chain():
    walk = Walk()
    genesis_time = walk.spec.pow.genesis_time
    for block in walk.chain.warm_up():
        walk.accept(block)
    walk.spend_all_unlocked(before=1)
    assert walk.spent == FREE * 1_000_000 * COIN - ON_DPOS["devnet"]
    walk.refuse_all_locked()
    for month in range(1, 25):
        at = genesis_time + month * MONTH
        walk.median_to(at)
        assert walk.chain.median_time(walk.tip) == at
        walk.refuse_all_locked()
        assert walk.spent == spendable_at(walk.spec, at)
        walk.median_to(at + 1)
        walk.spend_all_unlocked(before=at + 1)
        assert walk.spent == spendable_at(walk.spec, at + 1)
    assert not walk.left
    assert walk.spent == 124_000_000 * COIN - ON_DPOS["devnet"]


def test_a_lock_cannot_be_dodged_by_a_final_sequence():
    walk = Walk()
    for block in walk.chain.warm_up():
        walk.accept(block)
    funds = next(item for item, unlock_time in walk.left.items() if unlock_time)
    walk.refuse(replace(funds, sequence=0xFFFFFFFF), walk.left[funds], errors.LockTimeUnsatisfied)


def test_genesis_outputs_mature_like_any_coinbase():
    walk = Walk()
    free = next(item for item, unlock_time in walk.left.items() if not unlock_time)
    walk.refuse(free, 0, errors.Immature)


def test_the_node_rewards_plan_cannot_be_spent():
    walk = Walk()
    for block in walk.chain.warm_up():
        walk.accept(block)
    coinbase = walk.chain.genesis.transactions[0]
    for index, row in enumerate(walk.spec.token.allocations):
        if row.plan == "B":
            thief = Funds(coinbase.outpoint(index), row.amount, key("bob"), coinbase.outputs[index].script)
            walk.refuse(thief, 0, errors.ReserveSpend)
