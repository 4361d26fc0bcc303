"""Network parameters as frozen values. Every field that nodes must agree on stands here and nowhere else."""

from dataclasses import dataclass, field

from ioex_chain.primitives.types import COIN

BLOCKS_PER_YEAR = 259_200
"""PoW blocks in a year of 360 days at 120 s (docs/protocol.md section 1)."""
MONTH = 30 * 24 * 3600
"""Seconds in the token plan's month."""
MAX_OUTPUT = 20_000_000 * COIN
"""No single output is larger: Bitcoin libraries refuse more than 21,000,000 coins."""
MAX_MONEY = 1_000_000_000 * COIN
"""Bounds every sum of amounts, so that none can overflow; it is not a cap on supply."""


@dataclass(frozen=True, slots=True)
class PowSpec:
    """The PoW chain's parameters (docs/protocol.md sections 1, 3 and 7). Amounts in units of 1e-8 IOEX."""

    spacing: int
    """Seconds between blocks on average."""
    genesis_time: int
    genesis_bits: int
    """Compact target of genesis: the anchor of the difficulty rule."""
    pow_limit_bits: int
    """Compact form of the easiest target; difficulty is clamped to it."""
    fixed_difficulty: bool
    """Whether every block has the easiest target (devnet)."""
    coinbase_maturity: int
    max_reorg_depth: int
    burial_depth: int
    """k: blocks on top after which the other chain believes a block."""
    address_prefix: str
    """Human-readable part of bech32 addresses."""
    p2p_port: int
    rpc_port: int
    stratum_port: int = 0
    """Where mining programs connect."""
    half_life: int = 3 * 3600
    """Seconds of schedule deviation that double or halve the target (ASERT)."""
    auxpow_chain_id: int = 0x494F
    """Namecoin's chain id: outside 0x2000-0x3FFF, where version-rolling parents live."""
    max_future: int = 600
    """Seconds that a header's time may be ahead of the clock."""
    miner_reward: int = 4 * COIN
    arbitrator_reward: int = 20 * COIN
    max_block_size: int = 8_000_000
    max_block_transactions: int = 10_000
    max_block_signatures: int = 40_000
    max_deposit_transaction: int = 32_768
    """Bytes without witness of a transaction that carries a deposit."""
    genesis_version: int = 0x20000000
    """Native: version bit 8 is clear."""
    genesis_nonce: int = 0
    """No work stands behind genesis: its hash alone is its identity."""
    genesis_text: str = ""
    """What follows the height in the genesis coinbase's script: 1 to 75 ASCII letters."""
    activations: tuple[int, ...] = ()
    """Heights of scheduled rule changes, rising; the fork id covers them, the network's identity does not."""
    minimum_work: int = 0
    """Work that the best chain is known to have: peers' chains of headers with less are not stored. Raised
    with releases; outside the network's identity."""
    seeds: tuple[str, ...] = ()
    """Where a new node looks for peers: `ioex://<64 hex digits of the id>@host:port`."""


@dataclass(frozen=True, slots=True)
class SlotLength:
    """From `slot` on (a round boundary, counted from genesis) a slot lasts `seconds`."""

    slot: int
    seconds: int


@dataclass(frozen=True, slots=True)
class GenesisMember:
    """A seat of set 0: 20-byte addresses of the sealing key, of its payout, and of the partner's operator."""

    key: bytes
    payout: bytes
    operator: bytes = b""
    """Who changes key, payout and standby; empty: the payout address."""
    name: str = ""
    """What explorers show: at most 32 bytes of UTF-8."""


@dataclass(frozen=True, slots=True)
class GenesisAccount:
    """A DPoS balance at genesis: each is backed by PoW genesis outputs to its deposit address."""

    address: bytes
    wei: int


@dataclass(frozen=True, slots=True)
class DposSpec:
    """The DPoS chain's parameters (docs/protocol.md sections 1, 4, 5, 7): wei and seconds."""

    chain_id: int
    block_time: int
    """Seconds of a slot at genesis; `slot_lengths` may change it later."""
    seats: int
    """Slots of a round, whatever the number of active members."""
    p2p_port: int
    rpc_port: int
    genesis_time: int = 1_767_225_600
    """Start of slot 0, which is genesis'."""
    nominal_block_time: int = 30
    """A block of this length is worth the whole `block_reward`."""
    slot_lengths: tuple[SlotLength, ...] = ()
    """Later slot lengths, rising, each at a round boundary; outside the network's identity."""
    term_rounds: int = 56
    """Rounds of a term: about a day of 30-second slots and 51 seats."""
    min_members: int = 13
    """A candidate set with fewer members never comes into force."""
    gas_limit: int = 210_000_000
    """Gas of a block: 10,000 plain transfers."""
    execution_gas_limit: int = 40_000_000
    """Gas of a block beyond the transactions' intrinsic gas; docs/performance.md says why this much."""
    system_gas_limit: int = 30_000_000
    """Gas of all system calls of a block together, outside `gas_limit`."""
    min_base_fee: int = 1_000_000_000
    """EIP-1559's base fee never falls below this; it is also genesis'."""
    block_reward: int = 5 * 10**18
    """What a block's producer earns at the nominal slot length."""
    max_block_size: int = 8_000_000
    max_block_transactions: int = 10_000
    max_pow_headers: int = 64
    max_merged_headers: int = 8
    max_deposit_proofs: int = 16
    max_evidence: int = 8
    """Items of evidence in one payload."""
    max_withdrawals: int = 16
    max_unverified: int = 2_048
    """Headers kept whose set or seed is not known yet, over all branches."""
    clock_tolerance: int = 1
    """An arbitrator whose clock is further off than this signs nothing."""
    unlock_period: int = 7 * 24 * 3600
    """Seconds from taking votes back to having the IOEX; at genesis, later the owner's to change."""
    jail_period: int = 30 * 24 * 3600
    """Seconds in jail before the owner may release; at genesis, later the owner's to change."""
    miss_limit: int = 168
    """Slots missed in a row that put a partner on standby; at genesis, later the owner's to change."""
    stall_slots: int = 100
    """Slots without finality after which the Bridge pauses."""
    owner: bytes = b""
    """20-byte address of the consortium's owner: a multisig."""
    owner_keys: tuple[bytes, ...] = ()
    """Addresses whose signatures make the owner's word."""
    owner_quorum: int = 1
    members: tuple[GenesisMember, ...] = ()
    """Set 0, which seals rounds and terms 0 and 1."""
    accounts: tuple[GenesisAccount, ...] = ()
    activations: tuple[int, ...] = ()
    """Heights of scheduled rule changes, rising; the fork id covers them."""
    seeds: tuple[str, ...] = ()
    """Where a new node looks for peers."""


@dataclass(frozen=True, slots=True)
class BridgeSpec:
    """The bridge's parameters (docs/protocol.md section 6): amounts in PoW units of 1e-8 IOEX."""

    withdrawal_fee: int = 10_000
    """What a settlement keeps back of every withdrawal: exactly the miner's fee."""
    min_withdrawal: int = 20_000
    """The least amount that may be withdrawn: the fee and an output that is no dust."""
    daily_outflow_cap: int = 1_000_000 * COIN
    """Withdrawn in one day (UTC) at most; at genesis, later the owner's to change."""
    min_relayed_deposit: int = COIN // 100
    """Deposits from this amount on are proven by arbitrators without a fee: policy of producers."""
    max_requests: int = 256
    """Requests to the PoW chain that one block drains; one that hands over to a set drains all before it."""
    max_waiting: int = 20_000
    """Requests not known to be drained for good above which no withdrawal is taken: a settlement of so many
    fits a block."""
    max_settlement_inputs: int = 64
    owner_delay: int = 7 * 24 * 3600
    """Seconds between the owner's announcement of a looser rule and its coming in force."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """One output of the genesis coinbase.

    `script` is the output script; a locked one pays the P2WSH of `witness_script`, which is kept so that
    the beneficiary can spend it and anyone can check it. `unlock_time` is Unix time, 0 when free.
    """

    plan: str
    """Letter of the token plan's line: A, B, C, D, E1, E2, E4, E5."""
    amount: int
    script: bytes
    unlock_time: int
    beneficiary: str
    """Who the lock frees the coins to: an address, `pk(key)`, `multi(m,key,...)`, or a system contract."""
    witness_script: bytes = b""
    months: int = 0
    """Months of 30 days from the line's base (genesis or listing) to the unlock time; 0 when free."""
    key_path: str = ""
    """Derivation path of the beneficiary's key from the published mnemonic; empty for a private one."""


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """The token plan: what exists in genesis and who may spend it when."""

    listing_time: int
    provisional: bool
    """True until beneficiaries, members and owners are final."""
    allocations: tuple[Allocation, ...]
    unsold: dict[str, int] = field(default_factory=dict)
    """PoW units of E1 and E2 that found no buyer and stand in line A instead."""

    @property
    def supply(self) -> int:
        """Sum of all allocations in PoW units."""
        return sum(allocation.amount for allocation in self.allocations)


@dataclass(frozen=True, slots=True)
class SystemContracts:
    """The fixed 20-byte addresses of the DPoS system contracts (docs/protocol.md section 5)."""

    addresses: dict[str, bytes] = field(default_factory=dict)

    @property
    def reward_pool(self) -> bytes:
        """RewardPool: every coinbase pays its deposit program."""
        return self.addresses["RewardPool"]

    @property
    def node_rewards(self) -> bytes:
        """NodeRewards: the node rewards plan pays its deposit program."""
        return self.addresses["NodeRewards"]


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """Everything about one network."""

    name: str
    """mainnet, testnet or devnet."""
    coin_type: int
    """BIP-44 coin type of the PoW chain."""
    pow: PowSpec
    dpos: DposSpec
    token: TokenSpec
    contracts: SystemContracts
    metrics_port: int
    bridge: BridgeSpec = field(default_factory=BridgeSpec)
