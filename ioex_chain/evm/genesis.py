"""Genesis of the DPoS chain from the network's spec alone (docs/protocol.md sections 4 and 5).

State: the contracts with their first storage, the spec's accounts, and NodeRewards with line B of the token
plan. The header commits to it, to the PoW genesis hash (mixHash), and to the rules that a network keeps for
ever (extraData). It stands in this layer because the identity of a network is over both genesis hashes, so
that both chains ask for it; `dpos/genesis.py` makes the block.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

from ioex_chain.crypto.address import deposit_script
from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm import bridge, contribution, light_client, system
from ioex_chain.evm.accounts import encode_account
from ioex_chain.evm.system import Registry, artefact, mapping_slot
from ioex_chain.evm.trie import list_root, root_of
from ioex_chain.evm.types import EMPTY_CODE_HASH, EMPTY_TRIE_ROOT, WEI_PER_POW_UNIT
from ioex_chain.primitives import rlp
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import BridgeSpec, DposSpec, NetworkSpec, PowSpec

EMPTY_OMMERS_HASH = keccak256(rlp.encode([]))
EMPTY_PAYLOAD = rlp.encode([b"", [], [], []])
"""rlp of a payload without items."""
NO_REQUESTS = bytes((0xFF,)) + bytes(8) + bytes(32)
"""The accumulator before any request: type ff, count 0 (uint64), 32 zero bytes."""


@dataclass(frozen=True, slots=True)
class GenesisAccountState:
    """An account as genesis makes it; `storage` has slots and values that are not zero."""

    nonce: int = 0
    balance: int = 0
    code: bytes = b""
    storage: Mapping[int, int] = field(default_factory=dict)


def genesis_state(spec: NetworkSpec, pow_genesis: bytes) -> dict[bytes, GenesisAccountState]:
    """Give every account of the genesis state by its 20-byte address.

    `pow_genesis` is the PoW genesis hash as it is hashed: where the light client begins.
    """
    contracts = spec.contracts.addresses
    state = {
        system.HISTORY_ADDRESS: GenesisAccountState(1, 0, system.HISTORY_CODE),
        system.BEACON_ROOTS_ADDRESS: GenesisAccountState(1, 0, system.BEACON_ROOTS_CODE),
        system.CREATE2_DEPLOYER: GenesisAccountState(1, 0, system.CREATE2_DEPLOYER_CODE),
    }
    if Registry.NAME in contracts:
        registry = _registry_storage(spec)
        state[contracts[Registry.NAME]] = _contract(Registry.NAME, registry)
        pool = {artefact("RewardPool").slots["registry"]: _number(contracts[Registry.NAME])}
        state[contracts["RewardPool"]] = _contract("RewardPool", pool)
        client = light_client.genesis_storage(spec, pow_genesis)
        state[contracts[light_client.NAME]] = _contract(light_client.NAME, client)
        state[contracts[bridge.NAME]] = _contract(bridge.NAME, bridge.genesis_storage(spec))
        for name, storage in contribution.genesis_accounts(spec).items():
            state[contracts[name]] = _contract(name, storage)
    if spec.dpos.owner:
        state[spec.dpos.owner] = _contract("OwnerMultisig", _owner_storage(spec.dpos))
    for account in spec.dpos.accounts:
        state[account.address] = GenesisAccountState(balance=account.wei)
    node_rewards = node_rewards_balance(spec)
    if node_rewards:
        contract = state.get(contracts["NodeRewards"], GenesisAccountState())
        state[contracts["NodeRewards"]] = replace(contract, balance=node_rewards)
    return state


def node_rewards_balance(spec: NetworkSpec) -> int:
    """Give NodeRewards' wei: what the PoW genesis pays to its deposit address (line B)."""
    if "NodeRewards" not in spec.contracts.addresses:
        return 0
    script = deposit_script(spec.contracts.node_rewards)
    return WEI_PER_POW_UNIT * sum(row.amount for row in spec.token.allocations if row.script == script)


def _contract(name: str, storage: Mapping[int, int]) -> GenesisAccountState:
    return GenesisAccountState(1, 0, artefact(name).runtime, storage)


def _number(address: bytes) -> int:
    return int.from_bytes(address, "big")


def _registry_storage(spec: NetworkSpec) -> dict[int, int]:
    """Set 0 as the first partners, in the order of the file, without votes; each has a bootstrap node."""
    dpos, slot = spec.dpos, Registry.slot
    storage = {
        slot("owner"): _number(dpos.owner),
        slot("rewardPool"): _number(spec.contracts.addresses["RewardPool"]),
        slot("nodeRegistry"): _number(spec.contracts.addresses.get("NodeRegistry", b"")),
        slot("unlockPeriod"): dpos.unlock_period,
        slot("jailPeriod"): dpos.jail_period,
        slot("missLimit"): dpos.miss_limit,
        slot("version"): 1,
        slot("partnerCount"): len(dpos.members),
    }
    for partner, member in enumerate(dpos.members, 1):
        operator = member.operator or member.payout
        fields = {
            Registry.OPERATOR: _number(operator),
            Registry.KEY: _number(member.key),
            Registry.PAYOUT: _number(member.payout),
            Registry.STATUS: Registry.ADMITTED | Registry.NODE,
            Registry.PARTNER_NAME: int.from_bytes(member.name.encode().ljust(32, b"\0"), "big"),
        }
        storage |= {Registry.partner_slot(partner, at): value for at, value in fields.items()}
        storage[mapping_slot(slot("partnerOf"), member.key)] = partner
        storage[mapping_slot(slot("partnerByOperator"), operator)] = partner
    return {at: value for at, value in storage.items() if value}


def _owner_storage(dpos: DposSpec) -> dict[int, int]:
    slots = artefact("OwnerMultisig").slots
    storage = {slots["quorum"]: dpos.owner_quorum, slots["owners"]: len(dpos.owner_keys)}
    for index, owner in enumerate(dpos.owner_keys):
        storage[slots["owners"] + 1 + index] = _number(owner)
        storage[mapping_slot(slots["isOwner"], owner)] = 1
    return storage


# --- roots and the header --------------------------------------------------------------------------------


def account_row(content: GenesisAccountState) -> bytes:
    """Give an account's leaf, with the root of its storage."""
    code_hash = keccak256(content.code) if content.code else EMPTY_CODE_HASH
    slots = {
        keccak256(slot.to_bytes(32, "big")): rlp.encode(rlp.encode_integer(value))
        for slot, value in content.storage.items()
    }
    return encode_account(content.nonce, content.balance, root_of(slots), code_hash)


def state_root(state: Mapping[bytes, GenesisAccountState]) -> bytes:
    """Give the root of a whole state."""
    return root_of({keccak256(address): account_row(content) for address, content in state.items()})


class WritableState(Protocol):
    """A state as far as genesis writes it; `state.FlatState` is one."""

    def set_nonce(self, address: bytes, nonce: int) -> None:
        """Write the nonce."""
        ...

    def set_balance(self, address: bytes, balance: int) -> None:
        """Write the balance in wei."""
        ...

    def set_code(self, address: bytes, code: bytes) -> None:
        """Write the code."""
        ...

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        """Write a slot."""
        ...


def write_genesis(spec: NetworkSpec, state: WritableState, pow_genesis: bytes) -> None:
    """Write the genesis state into an empty state: what connecting block 0 does."""
    for address, content in genesis_state(spec, pow_genesis).items():
        state.set_nonce(address, content.nonce)
        state.set_balance(address, content.balance)
        if content.code:
            state.set_code(address, content.code)
        for slot, value in content.storage.items():
            state.set_storage(address, slot, value)


def parameters_hash(spec: NetworkSpec) -> bytes:
    """Give keccak256 of the RLP list of the rules that are fixed for ever; genesis' extraData.

    In this order: chain id, block time, nominal block time, seats, rounds of a term, least members, gas
    limit, least base fee, block reward, a settlement's fee for each withdrawal, its most inputs.
    """
    dpos, bridge = spec.dpos, spec.bridge
    values = (
        *(dpos.chain_id, dpos.block_time, dpos.nominal_block_time, dpos.seats, dpos.term_rounds),
        *(dpos.min_members, dpos.gas_limit, dpos.min_base_fee, dpos.block_reward),
        *(bridge.withdrawal_fee, bridge.max_settlement_inputs),
    )
    return keccak256(rlp.encode([rlp.encode_integer(value) for value in values]))


def genesis_header_items(spec: NetworkSpec, pow_genesis: bytes) -> list[bytes]:
    """Give the 21 RLP items of the genesis header; `pow_genesis` is the PoW genesis hash as it is hashed."""
    dpos, number = spec.dpos, rlp.encode_integer
    return [
        bytes(32),
        EMPTY_OMMERS_HASH,
        bytes(20),
        state_root(genesis_state(spec, pow_genesis)),
        EMPTY_TRIE_ROOT,
        EMPTY_TRIE_ROOT,
        bytes(256),
        number(0),
        number(0),
        number(dpos.gas_limit),
        number(0),
        number(dpos.genesis_time),
        parameters_hash(spec),
        pow_genesis,
        bytes(8),
        number(dpos.min_base_fee),
        list_root([]),
        number(0),
        number(0),
        keccak256(EMPTY_PAYLOAD),
        sha256(sha256(NO_REQUESTS).digest()).digest(),
    ]


@dataclass(frozen=True)
class _Key:
    """What the genesis hash depends on; the rest of the spec is not looked at."""

    dpos: DposSpec
    pow: PowSpec
    bridge: BridgeSpec
    contracts: tuple[tuple[str, bytes], ...]
    pow_genesis: bytes
    spec: NetworkSpec = field(compare=False)


@lru_cache(maxsize=64)
def _hash_of(key: _Key) -> BlockHash:
    return BlockHash(keccak256(rlp.encode(genesis_header_items(key.spec, key.pow_genesis))))


def genesis_hash(spec: NetworkSpec, pow_genesis: bytes) -> BlockHash:
    """Give the hash of the DPoS genesis block that belongs to this PoW genesis."""
    contracts = tuple(spec.contracts.addresses.items())
    return _hash_of(_Key(spec.dpos, spec.pow, spec.bridge, contracts, bytes(pow_genesis), spec))
