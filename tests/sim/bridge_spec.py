"""A network for both chains at once: real rules and contracts, small numbers, every key known.

Both genesis blocks have one time. A DPoS slot lasts 30 s; k is 2, a round 4 slots, a term 2 rounds, a quorum
3 of 4, so that sets change, finality stalls and deposits are buried within a few steps. Every DPoS balance
at genesis is backed by a PoW output to its deposit address.
"""

from dataclasses import replace
from typing import Any

from chaingen.owners import KeyHash, private_key
from chaingen.specs import EASY_BITS, key

from ioex_chain.crypto.address import deposit_script
from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos import seal
from ioex_chain.evm.types import WEI, WEI_PER_POW_UNIT
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.load import load_network
from ioex_chain.spec.model import (
    Allocation,
    BridgeSpec,
    GenesisAccount,
    GenesisMember,
    NetworkSpec,
    TokenSpec,
)

GENESIS_TIME = 1_800_000_000
SLOT_SECONDS = 30
SEATS = 4
USERS = 6
PAYERS = 24
"""PoW keys that genesis pays `COINS_EACH` coins of 1,000 IOEX."""
COINS_EACH = 4
USER_WEI = 10_000 * WEI


def _key(name: str) -> bytes:
    return keccak256(f"bridge world {name}".encode())


MEMBER_KEYS = [_key(f"member {number}") for number in range(64)]
"""Sealing keys: the first `SEATS` are set 0, the others come by rotation."""
OPERATOR_KEYS = [_key(f"operator {number}") for number in range(SEATS)]
OWNER_KEY = _key("owner")
USER_KEYS = [_key(f"user {number}") for number in range(USERS)]
MEMBER_KEY_OF = {seal.address_of(private): private for private in MEMBER_KEYS}
ACCOUNT_KEY_OF = {seal.address_of(private): private for private in (*OPERATOR_KEYS, OWNER_KEY, *USER_KEYS)}
OPERATORS = [seal.address_of(private) for private in OPERATOR_KEYS]
OWNER = seal.address_of(OWNER_KEY)
USER_ACCOUNTS = [seal.address_of(private) for private in USER_KEYS]


def payer(number: int) -> KeyHash:
    """Give a PoW key that genesis pays."""
    return KeyHash(private_key(f"bridge payer {number}"))


def bridge_network(bridge: dict[str, Any] | None = None, **dpos: Any) -> NetworkSpec:
    """Give the network; `bridge` and `dpos` replace fields of BridgeSpec and DposSpec."""
    network = load_network("devnet")
    funded = [*USER_ACCOUNTS, *OPERATORS, OWNER]
    pow_spec = replace(
        network.pow,
        genesis_time=GENESIS_TIME,
        spacing=4 * SLOT_SECONDS,
        genesis_bits=EASY_BITS,
        pow_limit_bits=EASY_BITS,
        coinbase_maturity=2,
        burial_depth=2,
        max_reorg_depth=100,
        genesis_text="two chains and a bridge",
    )
    fields: dict[str, Any] = {
        "genesis_time": GENESIS_TIME,
        "block_time": SLOT_SECONDS,
        "nominal_block_time": SLOT_SECONDS,
        "slot_lengths": (),
        "seats": SEATS,
        "term_rounds": 2,
        "min_members": 3,
        "stall_slots": 12,
        "miss_limit": 10_000,
        "owner_keys": (OWNER,),
        "owner_quorum": 1,
        "members": tuple(
            GenesisMember(seal.address_of(MEMBER_KEYS[n]), OPERATORS[n], OPERATORS[n], f"member {n}")
            for n in range(SEATS)
        ),
        "accounts": tuple(GenesisAccount(address, USER_WEI) for address in funded),
    }
    limits = {"owner_delay": 60, "daily_outflow_cap": 4_000 * COIN, "min_relayed_deposit": COIN // 100}
    return replace(
        network,
        pow=pow_spec,
        dpos=replace(network.dpos, **(fields | dpos)),
        bridge=replace(BridgeSpec(), **(limits | (bridge or {}))),
        token=TokenSpec(GENESIS_TIME, provisional=True, allocations=tuple(_paid(network, funded))),
    )


NARROW: dict[str, int] = {
    "max_withdrawals": 2,
    "max_pow_headers": 3,
    "max_merged_headers": 1,
    "max_deposit_proofs": 2,
    "stall_slots": 6,
}
NARROW_BRIDGE: dict[str, int] = {
    "max_requests": 2,
    "max_waiting": 6,
    "max_settlement_inputs": 3,
    "daily_outflow_cap": 150 * COIN,
}


def narrow_network() -> NetworkSpec:
    """Give the network with limits so low that every one of them is met."""
    return bridge_network(NARROW_BRIDGE, **NARROW)


def scattered_network(piece: int) -> NetworkSpec:
    """Give the network with its reserve in outputs of `piece` units."""
    spec = bridge_network()
    rows = []
    for row in spec.token.allocations:
        is_reserve = row.script[:1] == b"\x60"
        count = row.amount // piece if is_reserve else 1
        assert not is_reserve or row.amount == count * piece
        rows += [replace(row, amount=row.amount // count)] * count
    return replace(spec, token=replace(spec.token, allocations=tuple(rows)))


def _paid(network: NetworkSpec, funded: list[bytes]) -> list[Allocation]:
    units = USER_WEI // WEI_PER_POW_UNIT
    rows = [
        Allocation("A", 1_000 * COIN, payer(number).script, 0, f"payer {number}")
        for number in range(PAYERS)
        for _ in range(COINS_EACH)
    ]
    rows += [Allocation("A", units, deposit_script(address), 0, address.hex()) for address in funded]
    node_rewards = deposit_script(network.contracts.node_rewards)
    rows.append(Allocation("B", 50_000 * COIN, node_rewards, 0, "NodeRewards"))
    rows.append(Allocation("A", 1_000 * COIN, key("miner").script, 0, "miner"))
    return rows
