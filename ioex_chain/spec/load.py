"""From `genesis/<network>.json` to the frozen NetworkSpec, with every rule checked on the way."""

from importlib.resources import files
from pathlib import Path
from typing import TypedDict, Unpack

from pydantic import ValidationError

from ioex_chain.crypto.address import deposit_script, parse_account
from ioex_chain.spec.bridge import bridge_spec
from ioex_chain.spec.consortium import dpos_spec
from ioex_chain.spec.document import (
    CONTRACTS,
    AllocationDocument,
    NetworkDocument,
    parse_amount,
)
from ioex_chain.spec.errors import (
    BadBeneficiary,
    BadField,
    GenesisError,
    OptionRefused,
    SpecError,
    SpecFileUnreadable,
    UnknownNetwork,
)
from ioex_chain.spec.lock import pay_to
from ioex_chain.spec.model import (
    MONTH,
    Allocation,
    NetworkSpec,
    PowSpec,
    SystemContracts,
    TokenSpec,
)
from ioex_chain.spec.plan import NODE_REWARDS, NODE_REWARDS_LINE, PlanRow, check_plan

NETWORKS = ("mainnet", "testnet", "devnet")
_MAX_FILE = 1 << 20
_OPTION_FIELDS = {
    "genesis_time": (("pow", "genesis_time"), ("dpos", "genesis_time")),
    "spacing": (("pow", "spacing"),),
    "block_time": (("dpos", "block_time"), ("dpos", "nominal_block_time")),
    "seats": (("dpos", "seats"),),
    "arbitrators": (("dpos", "seats"),),
}
"""Where each option goes in the document."""


class Options(TypedDict, total=False):
    """What a network whose file says `options: true` (devnet) takes at start; None changes nothing.

    `genesis_time` (Unix seconds) moves the listing time by the same amount; `spacing` and `block_time` are
    seconds between PoW and DPoS blocks (`block_time` is the nominal length too); `seats` and `arbitrators`
    are one thing, 1 to 51: the file's members up to that number make set 0.
    """

    genesis_time: int | None
    spacing: int | None
    block_time: int | None
    seats: int | None
    arbitrators: int | None


def load_network(name: str, **options: Unpack[Options]) -> NetworkSpec:
    """Give one of the networks that ship with the program. Raises SpecError."""
    if name not in NETWORKS:
        raise UnknownNetwork(f"there is no network {name!r}; choose one of {', '.join(NETWORKS)}")
    return to_spec(read_shipped(name), f"{name}.json", **options)


def load_network_file(path: Path, **options: Unpack[Options]) -> NetworkSpec:
    """Give the network that the file at `path` describes. Raises SpecError."""
    return to_spec(read_document(path), str(path), **options)


def read_shipped(name: str) -> NetworkDocument:
    """Read a shipped network's file: from the installed package, else from the checkout beside it."""
    packaged = files("ioex_chain") / "genesis" / f"{name}.json"
    if packaged.is_file():
        return parse_document(packaged.read_bytes(), f"{name}.json")
    return read_document(Path(__file__).parents[2] / "genesis" / f"{name}.json")


def read_document(path: Path) -> NetworkDocument:
    """Read a file without checking the plan. Raises SpecFileUnreadable, BadField."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise SpecFileUnreadable(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > _MAX_FILE:
        raise SpecFileUnreadable(f"{path}: is above {_MAX_FILE} bytes; this is no network file")
    return parse_document(data, str(path))


def parse_document(data: bytes, file: str) -> NetworkDocument:
    """Read JSON in the file's form. Raises SpecFileUnreadable, BadField."""
    try:
        return NetworkDocument.model_validate_json(data)
    except ValidationError as error:
        raise bad_field(error, file) from error


def bad_field(error: ValidationError, file: str) -> SpecError:
    """Give our error for the first fault that pydantic found in a file."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return SpecFileUnreadable(f"{file}: {first['msg']}")
    field = ".".join(str(part) for part in first["loc"]) or "(the whole file)"
    return BadField(field, first["msg"], file)


def to_spec(document: NetworkDocument, file: str, **options: Unpack[Options]) -> NetworkSpec:
    """Check a document against every rule and give the frozen value. Raises GenesisError, OptionRefused."""
    try:
        return _build(_with_options(document, options))
    except GenesisError as error:
        error.file = file
        raise


def _with_options(document: NetworkDocument, options: Options) -> NetworkDocument:
    given = {key: value for key, value in options.items() if value is not None}
    if not given:
        return document
    if not document.options:
        raise OptionRefused(f"{document.name} has fixed parameters; {', '.join(given)} cannot be changed")
    raw = document.model_dump()
    shift = given.get("genesis_time", document.pow.genesis_time)
    raw["token"]["listing_time"] += int(str(shift)) - document.pow.genesis_time
    for key, value in given.items():
        for section, field in _OPTION_FIELDS[key]:
            raw[section][field] = value
    try:
        return NetworkDocument.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise OptionRefused(f"option {first['loc'][-1]}: {first['msg']}") from error


def _build(document: NetworkDocument) -> NetworkSpec:
    contracts = _contracts(document)
    token = _token_spec(document, contracts)
    return NetworkSpec(
        name=document.name,
        coin_type=document.coin_type,
        pow=_pow_spec(document),
        dpos=dpos_spec(document.dpos, contracts, token),
        token=token,
        contracts=contracts,
        metrics_port=document.metrics_port,
        bridge=bridge_spec(document.bridge),
    )


def _pow_spec(document: NetworkDocument) -> PowSpec:
    raw = document.pow.model_dump()
    for key in ("genesis_bits", "pow_limit_bits"):
        raw[key] = int(raw[key], 16)
    raw["minimum_work"] = int(raw["minimum_work"], 16)
    raw["seeds"] = tuple(raw["seeds"])
    if raw["genesis_bits"] > raw["pow_limit_bits"]:
        raise BadField("pow.genesis_bits", "the target is easier than pow_limit_bits")
    activations = raw["activations"] = tuple(raw["activations"])
    if list(activations) != sorted(set(activations)):
        raise BadField("pow.activations", "heights must rise")
    return PowSpec(**raw)


def _contracts(document: NetworkDocument) -> SystemContracts:
    if set(document.contracts) != set(CONTRACTS):
        odd = sorted(set(document.contracts) ^ set(CONTRACTS))
        raise BadField(
            "contracts", f"exactly the nine system contracts have an address; see {', '.join(odd)}"
        )
    addresses = {name: parse_account(document.contracts[name]) for name in CONTRACTS}
    if len(set(addresses.values())) != len(addresses):
        raise BadField("contracts", "two contracts have one address")
    return SystemContracts(addresses)


def _token_spec(document: NetworkDocument, contracts: SystemContracts) -> TokenSpec:
    token = document.token
    if token.listing_time < document.pow.genesis_time:
        raise BadField("token.listing_time", "is before genesis")
    unsold = {letter: parse_amount(amount) for letter, amount in token.unsold.items()}
    check_plan([_plan_row(index, row) for index, row in enumerate(token.allocations)], unsold)
    allocations = tuple(
        _allocation(document, contracts, index, row) for index, row in enumerate(token.allocations)
    )
    return TokenSpec(token.listing_time, token.provisional, allocations, unsold)


def _plan_row(index: int, row: AllocationDocument) -> PlanRow:
    base = row.unlock.after if row.unlock else "genesis"
    months = row.unlock.months if row.unlock else 0
    return PlanRow(f"token.allocations.{index}", row.plan, parse_amount(row.amount), base, months)


def _allocation(
    document: NetworkDocument, contracts: SystemContracts, index: int, row: AllocationDocument
) -> Allocation:
    field = f"token.allocations.{index}.beneficiary"
    amount = parse_amount(row.amount)
    if (row.plan == NODE_REWARDS_LINE) != (row.beneficiary == NODE_REWARDS):
        raise BadBeneficiary(field, "line B, and it alone, pays NodeRewards")
    if row.plan == NODE_REWARDS_LINE:
        return Allocation(row.plan, amount, deposit_script(contracts.node_rewards), 0, row.beneficiary)
    unlock_time = unlock_time_of(document, row)
    script, witness_script = pay_to(document.pow.address_prefix, row.beneficiary, unlock_time, field)
    months = row.unlock.months if row.unlock else 0
    return Allocation(
        row.plan, amount, script, unlock_time, row.beneficiary, witness_script, months, row.key_path
    )


def unlock_time_of(document: NetworkDocument, row: AllocationDocument) -> int:
    """Give the Unix time at which an output's lock ends; 0 when it is free."""
    if row.unlock is None:
        return 0
    start = document.pow.genesis_time if row.unlock.after == "genesis" else document.token.listing_time
    return start + row.unlock.months * MONTH
