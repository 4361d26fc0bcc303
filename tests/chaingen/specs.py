"""Networks for tests: devnet's rules with a genesis that pays the tests' own keys."""

from dataclasses import replace
from typing import Any

from ioex_chain.crypto.address import deposit_script, reserve_change_script
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.model import (
    MAX_OUTPUT,
    Allocation,
    DposSpec,
    NetworkSpec,
    PowSpec,
    SystemContracts,
    TokenSpec,
)

from .owners import KeyHash, Owner, ScriptHash, Taproot, private_key

EASY_BITS = 0x207FFFFF
"""Every second hash meets this target."""
GENESIS_TIME = 1_700_000_000

REWARD_POOL = bytes.fromhex("00000000000000000000000000000000000010e1")
NODE_REWARDS = bytes.fromhex("00000000000000000000000000000000000010e2")


def key(name: str | int) -> KeyHash:
    """Give a P2WPKH owner by name."""
    return KeyHash(private_key(name))


GENESIS_OWNERS: dict[str, Owner] = {
    "p2wpkh": key("genesis"),
    "p2tr": Taproot(private_key("genesis")),
    "key": ScriptHash((private_key("genesis"),)),
    "keyhash": ScriptHash((private_key("genesis"),), kind="keyhash"),
    "multisig": ScriptHash(tuple(private_key(f"m{n}") for n in range(3)), 2, kind="multisig"),
}
"""Whom genesis pays, one owner for each form."""


def story_spec(**changes: Any) -> NetworkSpec:
    """Give a devnet-like network; `changes` replace fields of its PowSpec.

    Fixed easiest difficulty, spacing 4 s, maturity 4, at most 100 blocks reorganised. Genesis pays each of
    GENESIS_OWNERS 20 outputs of 10,000 IOEX and the node rewards plan's deposit 1,000,000, all free at once.
    """
    pow_spec = PowSpec(
        spacing=4,
        genesis_time=GENESIS_TIME,
        genesis_bits=EASY_BITS,
        pow_limit_bits=EASY_BITS,
        fixed_difficulty=True,
        coinbase_maturity=4,
        max_reorg_depth=100,
        burial_depth=2,
        address_prefix="riox",
        genesis_text="a story of blocks",
        p2p_port=22338,
        rpc_port=22336,
    )
    paid = [
        Allocation("A", 10_000 * COIN, owner.script, 0, name)
        for name, owner in GENESIS_OWNERS.items()
        for _ in range(20)
    ]
    paid.append(Allocation("B", 1_000_000 * COIN, deposit_script(NODE_REWARDS), 0, "NodeRewards"))
    paid.append(Allocation("B", 1_000_000 * COIN, reserve_change_script(), 0, "reserve"))
    return network(replace(pow_spec, **changes), paid)


def rich_spec() -> NetworkSpec:
    """Give a network whose genesis holds more than MAX_MONEY (it is exempt), to overflow input sums."""
    spec = story_spec()
    paid = [Allocation("A", MAX_OUTPUT, key("genesis").script, 0, "rich") for _ in range(51)]
    return network(spec.pow, paid)


def network(pow_spec: PowSpec, allocations: list[Allocation]) -> NetworkSpec:
    """Give a network of these PoW parameters and genesis outputs."""
    return NetworkSpec(
        name="devnet",
        coin_type=1,
        pow=pow_spec,
        dpos=DposSpec(chain_id=51337, block_time=1, seats=4, p2p_port=32338, rpc_port=8545),
        token=TokenSpec(listing_time=GENESIS_TIME, provisional=True, allocations=tuple(allocations)),
        contracts=SystemContracts({"RewardPool": REWARD_POOL, "NodeRewards": NODE_REWARDS}),
        metrics_port=29420,
    )
