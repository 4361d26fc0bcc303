"""The form of `genesis/<network>.json`: strict models, where an unknown key is an error."""

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ioex_chain.crypto.address import checksum_account, parse_account
from ioex_chain.primitives.types import COIN

CONTRACTS = (
    "ArbitratorRegistry",
    "RewardPool",
    "PowLightClient",
    "Bridge",
    "NodeRegistry",
    "Workload",
    "GasPoints",
    "NodeRewards",
    "ServiceLedger",
)
"""The system contracts of docs/protocol.md section 5, in its order."""
LOCK_TIME_THRESHOLD = 500_000_000
"""Lock times from here on are Unix times (BIP-65)."""

_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,9})(\.[0-9]{1,8})?")


def parse_amount(text: str) -> int:
    """Read decimal IOEX ("20000000", "0.5") as PoW units. Raises ValueError."""
    if not _AMOUNT.fullmatch(text):
        raise ValueError(f"{text!r} is no amount: write IOEX as a decimal with at most 8 places")
    return int(Decimal(text) * COIN)


def format_amount(units: int) -> str:
    """Write PoW units as decimal IOEX without needless zeros."""
    whole, part = divmod(units, COIN)
    return f"{whole}" + (f".{part:08d}".rstrip("0") if part else "")


def _check_amount(text: str) -> str:
    parse_amount(text)
    return text


def _check_bits(text: str) -> str:
    bits = int(text, 16)
    if not (0x03 <= bits >> 24 <= 0x20 and 0x8000 <= bits & 0xFFFFFF < 0x800000):
        raise ValueError(f"{text} is no target in normal compact form")
    return text


def _check_account(text: str) -> str:
    if checksum_account(parse_account(text)) != text:
        raise ValueError(f"{text} lacks the EIP-55 checksum, write {checksum_account(parse_account(text))}")
    return text


def _check_name(text: str) -> str:
    if len(text.encode()) > 32:
        raise ValueError(f"{text!r} is above 32 bytes of UTF-8")
    return text


AmountText = Annotated[str, AfterValidator(_check_amount)]
BitsText = Annotated[str, Field(pattern=r"^0x[0-9a-f]{8}$"), AfterValidator(_check_bits)]
AccountText = Annotated[str, AfterValidator(_check_account)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
SlotSeconds = Annotated[int, Field(ge=1, le=3600)]
Gas = Annotated[int, Field(ge=1_000_000, le=10**12)]
KeyPath = Annotated[str, Field(pattern=r"^(m(/[0-9]+'?)+)?$")]
SeedText = Annotated[str, Field(pattern=r"^ioex://[0-9a-f]{64}@[^\s/?#@]+:[0-9]{1,5}$")]
Time = Annotated[int, Field(ge=LOCK_TIME_THRESHOLD, lt=1 << 32)]


class Strict(BaseModel):
    """A frozen model that takes no unknown key and converts no type."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Unlock(Strict):
    """When an output can be spent: months of 30 days after genesis or after listing."""

    after: Literal["genesis", "listing"]
    months: Annotated[int, Field(ge=1, le=1_200)]


class AllocationDocument(Strict):
    """One output of the genesis coinbase."""

    plan: str
    amount: AmountText
    beneficiary: str
    """An address, `pk(...)`, `multi(...)`, or NodeRewards."""
    unlock: Unlock | None = None
    """Absent when free."""
    key_path: KeyPath = ""
    """Path of the key under the published mnemonic, where the beneficiary is one of its addresses."""


class TokenDocument(Strict):
    """The token plan's data."""

    listing_time: Time
    provisional: bool
    unsold: dict[str, AmountText]
    allocations: list[AllocationDocument]


class PowDocument(Strict):
    """The PoW chain's parameters that differ between networks."""

    spacing: Annotated[int, Field(ge=1, le=3600)]
    genesis_time: Time
    genesis_bits: BitsText
    pow_limit_bits: BitsText
    genesis_nonce: Annotated[int, Field(ge=0, lt=1 << 32)]
    genesis_text: Annotated[str, Field(pattern=r"^[ -~]{1,75}$")]
    fixed_difficulty: bool
    coinbase_maturity: Positive
    max_reorg_depth: Positive
    burial_depth: Positive
    address_prefix: Annotated[str, Field(pattern=r"^[a-z]{2,10}$")]
    p2p_port: Port
    rpc_port: Port
    stratum_port: Port
    activations: list[Annotated[int, Field(ge=1, lt=1 << 32)]]
    minimum_work: Annotated[str, Field(pattern=r"^0x[0-9a-f]{1,64}$")] = "0x0"
    """Hexadecimal: work grows beyond what JSON numbers hold."""
    seeds: list[SeedText] = []


class SlotLengthDocument(Strict):
    """From `slot` on, a round boundary, a slot lasts `seconds`."""

    slot: Annotated[int, Field(ge=1, lt=1 << 32)]
    seconds: SlotSeconds


class MemberDocument(Strict):
    """A partner that genesis admits and seats."""

    key: AccountText
    payout: AccountText
    operator: AccountText | None = None
    """The payout address if absent."""
    name: Annotated[str, AfterValidator(_check_name)] = ""
    key_path: KeyPath = ""


class AccountDocument(Strict):
    """A balance at genesis, in IOEX; outputs of the PoW genesis to its deposit address back it."""

    address: AccountText
    amount: AmountText
    key_path: KeyPath = ""


class DposDocument(Strict):
    """The DPoS chain's parameters that differ between networks; what is left out has the model's default."""

    chain_id: Annotated[int, Field(ge=1, lt=1 << 53)]
    block_time: SlotSeconds
    nominal_block_time: SlotSeconds
    seats: Annotated[int, Field(ge=1, le=51)]
    term_rounds: Annotated[int, Field(ge=1, le=10_000)]
    min_members: Annotated[int, Field(ge=1, le=51)]
    genesis_time: Time
    p2p_port: Port
    rpc_port: Port
    execution_gas_limit: Gas
    unlock_period: Annotated[int, Field(ge=60, le=90 * 86_400)]
    jail_period: Annotated[int, Field(ge=0, le=360 * 86_400)]
    miss_limit: Annotated[int, Field(ge=16, le=100_000)]
    owner: AccountText
    owner_keys: Annotated[list[AccountText], Field(min_length=1, max_length=32)]
    owner_quorum: Annotated[int, Field(ge=1, le=32)]
    slot_lengths: list[SlotLengthDocument] = []
    activations: list[Annotated[int, Field(ge=1, lt=1 << 32)]] = []
    seeds: list[SeedText] = []
    members: Annotated[list[MemberDocument], Field(min_length=1, max_length=51)]
    """Set 0 is the first `seats` of them."""
    accounts: list[AccountDocument] = []


class BridgeDocument(Strict):
    """The bridge's parameters that differ between networks; amounts in IOEX, `owner_delay` in seconds."""

    withdrawal_fee: AmountText
    min_withdrawal: AmountText
    daily_outflow_cap: AmountText
    min_relayed_deposit: AmountText
    owner_delay: Annotated[int, Field(ge=60, le=90 * 86_400)]


class NetworkDocument(Strict):
    """A whole file."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    options: bool
    """Whether spacing, block time, seats and genesis time may be given at start (devnet)."""
    coin_type: Annotated[int, Field(ge=0, lt=1 << 31)]
    metrics_port: Port
    pow: PowDocument
    dpos: DposDocument
    bridge: BridgeDocument
    contracts: dict[str, AccountText]
    token: TokenDocument
