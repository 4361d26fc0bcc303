"""The contribution contracts as nodes and tools know them: names, parameters, and what genesis writes.

NodeRegistry, Workload, GasPoints, NodeRewards and ServiceLedger are `contracts/*.vy`; their rules are
docs/protocol.md section 5.7. What their storage says is read by `contribution_reader`, what devices sign is
made by `contribution_receipts`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.system import artefact, mapping_slot
from ioex_chain.spec.model import NetworkSpec

NODE_REGISTRY: Final = "NodeRegistry"
WORKLOAD: Final = "Workload"
GAS_POINTS: Final = "GasPoints"
NODE_REWARDS: Final = "NodeRewards"
SERVICE_LEDGER: Final = "ServiceLedger"
NAMES: Final = (NODE_REGISTRY, WORKLOAD, GAS_POINTS, NODE_REWARDS, SERVICE_LEDGER)

GAS_DECIMALS: Final = 6
"""A point is 1e-6 GAS."""
UPTIME_PARTS: Final = 24
"""Uptime is counted in 24ths of an epoch: hours, where an epoch is a day."""
MAX_REPORTERS: Final = 64
YEAR_HEADERS: Final = 259_200
"""Counted PoW headers of a year."""
YEAR_RETIREMENT: Final = 220_800 * 10**18
"""Wei that are retired from the node rewards plan for each year."""

_WEI = 10**18
_GIB = 1 << 30
_DAY = 24 * 3600
_NODE_DOMAIN = b"ioeX/genesis node/v1"


class NodeKind(IntEnum):
    """What a carrier node is."""

    BOOTSTRAP = 1
    PEER = 2
    PHONE = 3


class NodeStatus(IntEnum):
    """What a carrier node may do: only active ones work."""

    ACTIVE = 1
    SUSPENDED = 2
    RETIRED = 3
    PENDING = 4
    """A bootstrap node before the consortium's word."""


class WorkKind(IntEnum):
    """What a receipt is for."""

    RELAYED = 1
    STORED = 2
    TRANSFERRED = 3


class StrikeReason(IntEnum):
    """Why a receipt or a node's epoch was struck."""

    DENIED = 1
    CONFLICT = 2
    SUSPENDED = 3
    OBJECTED = 4


@dataclass(frozen=True, slots=True)
class Parameters:
    """What genesis writes. The lists are later the owner's to change, by the place in them."""

    epoch_seconds: int = _DAY
    report_epochs: int = 1
    challenge_epochs: int = 2
    registry: tuple[int, ...] = (10 * _WEI, 1 * _WEI, 7 * _DAY)
    """Bond of a bootstrap node or peer and of a phone (wei); seconds from retiring to the bond."""
    workload: tuple[int, ...] = (
        *(1_000_000, 500_000, 250_000, 250_000),
        *(16 * _GIB, 64 * _GIB, 500, 20),
    )
    """Points a 24th of uptime and a GiB relayed, stored, transferred; bytes that a counterparty may sign for
    one node and for all, by kind and epoch; per mille of the reporters to exceed; hours for the quota."""
    points: tuple[int, ...] = tuple(
        gas * 10**GAS_DECIMALS for gas in (100, 500, 2_000, 10_000, 50_000, 200_000, 1_000_000, 5_000_000)
    )
    """Points that level 1 to 8 needs."""
    rewards: tuple[int, ...] = (10_000 * _WEI, 20 * _WEI, 360, 0, _WEI // 10**GAS_DECIMALS)
    """Daily budget and a bootstrap node's quota (wei); epochs to claim in; destination of the yearly amount;
    wei that a point earns at most."""
    ledger: tuple[int, ...] = (90 * _DAY, 7 * _DAY)
    """Seconds that a backup lasts, and that an offer can be accepted."""


PUBLIC: Final = Parameters()
DEVNET: Final = Parameters(epoch_seconds=48, registry=(10 * _WEI, 1 * _WEI, 60))
"""A day lasts 48 seconds, so that an epoch is final and paid three minutes after it."""


def parameters_of(spec: NetworkSpec) -> Parameters:
    """Give the parameters that a network begins with."""
    return DEVNET if spec.name == "devnet" else PUBLIC


def genesis_accounts(spec: NetworkSpec) -> dict[str, dict[int, int]]:
    """Give each contract's genesis storage by its name; no slot is zero. Empty without their addresses.

    Addresses are `spec.contracts.addresses`, code is `artefact(name).runtime`; NodeRewards' balance is
    `genesis.node_rewards_balance`.
    """
    if not set(NAMES) <= set(spec.contracts.addresses):
        return {}
    given, address = parameters_of(spec), spec.contracts.addresses
    registry = {"arbitratorRegistry": _number(address["ArbitratorRegistry"])}
    workload = {
        "nodeRegistry": _number(address[NODE_REGISTRY]),
        "gasPoints": _number(address[GAS_POINTS]),
        "epochSeconds": given.epoch_seconds,
        "reportEpochs": given.report_epochs,
        "challengeEpochs": given.challenge_epochs,
    }
    rewards = {
        "nodeRegistry": _number(address[NODE_REGISTRY]),
        "workload": _number(address[WORKLOAD]),
        "bridge": _number(address["Bridge"]),
    }
    return {
        NODE_REGISTRY: _storage(spec, NODE_REGISTRY, given.registry, registry) | genesis_nodes(spec),
        WORKLOAD: _storage(spec, WORKLOAD, given.workload, workload),
        GAS_POINTS: _storage(spec, GAS_POINTS, given.points, {"workload": _number(address[WORKLOAD])}),
        NODE_REWARDS: _storage(spec, NODE_REWARDS, given.rewards, rewards),
        SERVICE_LEDGER: _storage(spec, SERVICE_LEDGER, given.ledger, {}),
    }


def _number(address: bytes) -> int:
    return int.from_bytes(address, "big")


def _storage(
    spec: NetworkSpec, name: str, parameters: tuple[int, ...], values: dict[str, int]
) -> dict[int, int]:
    slots = artefact(name).slots
    common = {"owner": _number(spec.dpos.owner), "ownerDelay": spec.bridge.owner_delay}
    storage = {slots[variable]: value for variable, value in (common | values).items()}
    storage |= {slots["parameters"] + at: value for at, value in enumerate(parameters)}
    return {slot: value for slot, value in storage.items() if value}


# --- the nodes of set 0 ----------------------------------------------------------------------------------


def genesis_operators(spec: NetworkSpec) -> tuple[bytes, ...]:
    """Give the 20-byte accounts that have a bootstrap node at genesis: the operators of set 0, each once."""
    return tuple(dict.fromkeys(member.operator or member.payout for member in spec.dpos.members))


def genesis_uid(operator: bytes) -> bytes:
    """Give the key of an operator's node at genesis: nobody's, until the operator sets the real one."""
    return keccak256(_NODE_DOMAIN + operator)


def genesis_nodes(spec: NetworkSpec) -> dict[int, int]:
    """Give the storage of one active bootstrap node for each operator of set 0: set 0 keeps its seats.

    Nodes are numbered as set 0 is. Without bond; the operator's account is the device account until it sets
    another. Each operator is a reporter from epoch 0 on, the first 64 of them.
    """
    slots = artefact(NODE_REGISTRY).slots
    operators = genesis_operators(spec)
    storage = {
        slots["nodeCount"]: len(operators),
        slots["reporterCount"]: min(len(operators), MAX_REPORTERS),
    }
    for node, operator in enumerate(operators, 1):
        storage |= _genesis_node(spec, node, operator)
        if node <= MAX_REPORTERS:
            storage[slots["reporters"] + node - 1] = _number(operator)
            storage[mapping_slot(slots["reporterEntry"], operator)] = node
    return {slot: value for slot, value in storage.items() if value}


def _genesis_node(spec: NetworkSpec, node: int, operator: bytes) -> dict[int, int]:
    slots = artefact(NODE_REGISTRY).slots
    first, uid = mapping_slot(slots["nodes"], node), genesis_uid(operator)
    facts = NodeKind.BOOTSTRAP | NodeStatus.ACTIVE << 8 | spec.dpos.genesis_time << 16
    return {
        first: _number(uid),
        first + 1: _number(operator),
        first + 2: _number(operator),
        first + 4: facts,
        mapping_slot(slots["nodeByUid"], uid): node,
        mapping_slot(slots["nodeByDevice"], operator): node,
        mapping_slot(slots["nodeCountOf"], operator): 1,
        mapping_slot(slots["owned"], operator, 0): node,
        mapping_slot(slots["bootstrapNodes"], operator): 1,
    }
