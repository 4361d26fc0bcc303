"""The contribution contracts in a devnet's genesis state: devices, receipts, reports, time."""

from dataclasses import dataclass, field
from typing import Any

from contract_world import World, address, events, key_address, private_key

from ioex_chain.evm.contribution import (
    NAMES,
    NodeKind,
    WorkKind,
    genesis_accounts,
    genesis_operators,
    parameters_of,
)
from ioex_chain.evm.contribution_receipts import Denial, Device, Receipt, sign
from ioex_chain.evm.system import artefact

GIB = 1 << 30
ALL_HOURS = (1 << 24) - 1
NOWHERE = bytes(32)


def uid(name: str) -> bytes:
    return name.encode().rjust(32, b"\x11")


@dataclass
class Contribution(World):
    """Nodes 1 to `members` are set 0's; `devices` has the names of the keys of those that register here."""

    devices: dict[int, str] = field(default_factory=dict)
    nonce: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.given = parameters_of(self.spec)
        self.reporters = genesis_operators(self.spec)
        for name, storage in genesis_accounts(self.spec).items():
            at = self.spec.contracts.addresses[name]
            if not self.state.get_code(at):
                self.state.set_code(at, artefact(name).runtime)
                for slot, value in storage.items():
                    self.state.set_storage(at, slot, value)
        self.state.lock_changes()

    def where(self, contract: str) -> bytes:
        return self.spec.contracts.addresses.get(contract, self.owner)

    def ask(self, contract: str, function: str, *args: Any) -> Any:
        return self.call(address(999), contract, function, *args)

    def names(self) -> list[str]:
        """Give the names of the last call's events."""
        known: dict[bytes, Any] = {}
        for contract in (*NAMES, "ArbitratorRegistry", "Bridge"):
            known |= events(contract)
        return [known[log.topics[0]]["name"] for log in self.logs]

    # --- time

    @property
    def epoch(self) -> int:
        return self.time // self.given.epoch_seconds

    def go_to(self, epoch: int) -> None:
        """Let the clock show the beginning of an epoch."""
        self.time = max(self.time, epoch * self.given.epoch_seconds)

    def finish(self, epoch: int) -> None:
        self.go_to(epoch + 1 + self.given.report_epochs + self.given.challenge_epochs)

    # --- nodes

    def bond(self, kind: int) -> int:
        return self.given.registry[1 if kind == NodeKind.PHONE else 0]

    def consent(self, owner: bytes, key: bytes, device: str) -> tuple[int, int, int]:
        signature = sign(self.spec, Device(owner, key), private_key(device))
        return signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")

    def add(self, owner: bytes, name: str, kind: int = NodeKind.PEER) -> int:
        """Register a node whose device account and key have a name."""
        key = uid(name)
        consent = self.consent(owner, key, name)
        arguments = (kind, key, NOWHERE, key_address(name), *consent)
        node = self.call(owner, "NodeRegistry", "register", *arguments, value=self.bond(kind))
        self.devices[node] = name
        return node

    def add_bootstrap(self, owner: bytes, name: str) -> int:
        node = self.add(owner, name, NodeKind.BOOTSTRAP)
        self.call(self.owner, "NodeRegistry", "admit", node)
        return node

    # --- work

    def receipt(self, node: int, counterparty: int, amount: int, **changes: int) -> Receipt:
        self.nonce += 1
        values = {"epoch": self.epoch, "kind": WorkKind.RELAYED, "nonce": self.nonce} | changes
        return Receipt(node, counterparty, amount=amount, **values)

    def signature(self, message: Receipt | Denial, by: str = "") -> bytes:
        return sign(self.spec, message, private_key(by or self.devices[message.counterparty]))

    def hand_in(self, *receipts: Receipt, sender: bytes = address(998)) -> None:
        """One by one: each must count."""
        for receipt in receipts:
            self.call(sender, "Workload", "submitReceipt", fields(receipt), self.signature(receipt))

    def hand_in_together(self, *receipts: Receipt, sender: bytes = address(998)) -> int:
        """All in one call; give how many count."""
        signatures = [self.signature(receipt) for receipt in receipts]
        given = [fields(item) for item in receipts], signatures
        return int(self.call(sender, "Workload", "submitReceipts", *given))

    def report(self, reporter: bytes, epoch: int, *nodes: int, seen: int = ALL_HOURS) -> None:
        self.call(reporter, "Workload", "reportUptime", epoch, nodes, [seen] * len(nodes))

    def work(self, epoch: int, node: int) -> dict[str, Any]:
        names = ("hours", "relayed", "stored", "transferred", "points", "struck", "settled", "qualified")
        return dict(zip(names, self.ask("Workload", "workOf", epoch, node), strict=True))

    def change(self, contract: str, parameter: int, value: int) -> None:
        """The owner's change, with its waiting time."""
        self.call(self.owner, contract, "announce", parameter, value)
        self.time += self.spec.bridge.owner_delay
        self.call(address(997), contract, "apply", parameter)


def fields(receipt: Receipt) -> tuple[int, ...]:
    """Give a receipt as its ABI tuple."""
    return (
        *(receipt.node, receipt.counterparty, receipt.epoch),
        *(receipt.kind, receipt.amount, receipt.nonce),
    )
