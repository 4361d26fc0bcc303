"""What the contribution contracts' storage says under one state, without the EVM (protocol, section 5.7)."""

from dataclasses import dataclass
from typing import Protocol

from ioex_chain.evm.contribution import (
    GAS_POINTS,
    NODE_REGISTRY,
    NODE_REWARDS,
    WORKLOAD,
    NodeKind,
    NodeStatus,
)
from ioex_chain.evm.system import artefact, mapping_slot
from ioex_chain.spec.model import NetworkSpec

_BYTE, _TIME, _ACCOUNT = 0xFF, (1 << 48) - 1, (1 << 160) - 1
_POINTS = (1 << 128) - 1


class StateReader(Protocol):
    """A state as far as these contracts are read; `evm.state.FlatState` is one."""

    def get_storage(self, address: bytes, slot: int) -> int:
        """Give a slot's value."""
        ...

    def get_balance(self, address: bytes) -> int:
        """Give an account's wei."""
        ...


@dataclass(frozen=True, slots=True)
class CarrierNode:
    """A node of NodeRegistry."""

    number: int
    uid: bytes
    """32 bytes: its Ed25519 public key."""
    owner: bytes
    device: bytes
    """20-byte account that signs receipts."""
    region: str
    kind: NodeKind
    status: NodeStatus
    since: int
    ended: int
    """Unix time of retiring; 0 before."""
    bond: int
    """Wei."""


@dataclass(frozen=True, slots=True)
class EpochTotals:
    """An epoch of Workload: sums over all nodes."""

    epoch: int
    points: int
    qualified: int
    """Bootstrap nodes that were up long enough for the quota."""


@dataclass(frozen=True, slots=True)
class RewardsPlan:
    """NodeRewards' figures in wei: balance + paid + retired + diverted is what the plan ever had."""

    balance: int
    reserved: int
    """Set aside for epochs that are opened and not wholly claimed."""
    paid: int
    retired: int
    diverted: int


class ContributionReader:
    """NodeRegistry, Workload, GasPoints and NodeRewards under one state."""

    def __init__(self, spec: NetworkSpec, state: StateReader) -> None:
        self._addresses = spec.contracts.addresses
        self._state = state

    def _get(self, contract: str, variable: str, *keys: int | bytes, offset: int = 0) -> int:
        slot = mapping_slot(artefact(contract).slots[variable], *keys)
        return self._state.get_storage(self._addresses[contract], slot + offset)

    def node_count(self) -> int:
        """Give how many nodes were ever registered; they are numbered from 1."""
        return self._get(NODE_REGISTRY, "nodeCount")

    def node(self, number: int) -> CarrierNode | None:
        """Give a node by its number."""
        uid, owner, device, region, facts = (
            self._get(NODE_REGISTRY, "nodes", number, offset=at) for at in range(5)
        )
        if not facts:
            return None
        return CarrierNode(
            number=number,
            uid=uid.to_bytes(32, "big"),
            owner=(owner & _ACCOUNT).to_bytes(20, "big"),
            device=(device & _ACCOUNT).to_bytes(20, "big"),
            region=region.to_bytes(32, "big").rstrip(b"\0").decode(errors="replace"),
            kind=NodeKind(facts & _BYTE),
            status=NodeStatus(facts >> 8 & _BYTE),
            since=facts >> 16 & _TIME,
            ended=facts >> 64 & _TIME,
            bond=facts >> 112,
        )

    def nodes_of(self, owner: bytes) -> tuple[CarrierNode, ...]:
        """Give all nodes that a 20-byte account registered, oldest first."""
        count = self._get(NODE_REGISTRY, "nodeCountOf", owner)
        numbers = [self._get(NODE_REGISTRY, "owned", owner, place) for place in range(count)]
        return tuple(node for node in map(self.node, numbers) if node)

    def node_of_uid(self, uid: bytes) -> CarrierNode | None:
        """Give the node that has a 32-byte key now."""
        return self.node(self._get(NODE_REGISTRY, "nodeByUid", uid))

    def node_of_device(self, device: bytes) -> CarrierNode | None:
        """Give the node that has a 20-byte device account now."""
        return self.node(self._get(NODE_REGISTRY, "nodeByDevice", device))

    def bootstrap_nodes(self, owner: bytes) -> int:
        """Give how many active bootstrap nodes an account has: a seat needs one."""
        return self._get(NODE_REGISTRY, "bootstrapNodes", owner)

    def epoch_at(self, time: int) -> int:
        """Give the number of the epoch in which a Unix time lies."""
        return time // self._get(WORKLOAD, "epochSeconds")

    def final_from(self, epoch: int) -> int:
        """Give the epoch from whose beginning on this one is final."""
        report, challenge = self._get(WORKLOAD, "reportEpochs"), self._get(WORKLOAD, "challengeEpochs")
        return epoch + 1 + report + challenge

    def totals(self, epoch: int) -> EpochTotals:
        """Give an epoch's sums as they stand; they move until it is final."""
        packed = self._get(WORKLOAD, "totals", epoch)
        return EpochTotals(epoch, packed & _POINTS, packed >> 128)

    def points_of_node(self, node: int) -> int:
        """Give a node's points: 1e-6 GAS."""
        return self._get(GAS_POINTS, "pointsOf", node)

    def points_of_owner(self, owner: bytes) -> int:
        """Give the points of all nodes of an account."""
        return self._get(GAS_POINTS, "balanceOf", owner)

    def points_supply(self) -> int:
        """Give all points there are."""
        return self._get(GAS_POINTS, "totalSupply")

    def plan(self) -> RewardsPlan:
        """Give what the node rewards plan has and had."""
        return RewardsPlan(
            balance=self._state.get_balance(self._addresses[NODE_REWARDS]),
            reserved=self._get(NODE_REWARDS, "reserved"),
            paid=self._get(NODE_REWARDS, "paidTotal"),
            retired=self._get(NODE_REWARDS, "retiredTotal"),
            diverted=self._get(NODE_REWARDS, "divertedTotal"),
        )
