"""A devnet's genesis state in memory, and calls into it as anybody: contracts are tested through the EVM."""

import functools
from dataclasses import dataclass, field
from typing import Any

from eth_abi import decode, encode

from ioex_chain.crypto.address import account_of
from ioex_chain.crypto.hashes import keccak256
from ioex_chain.crypto.secp256k1 import sign_recoverable
from ioex_chain.evm import system, vm
from ioex_chain.evm.contribution import NodeKind, parameters_of
from ioex_chain.evm.genesis import write_genesis
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.types import SYSTEM_ADDRESS, BlockEnv, Log
from ioex_chain.evm.vm_calls import call as run_message
from ioex_chain.evm.vm_frame import Message
from ioex_chain.evm.vm_world import World as Machine
from ioex_chain.pow.genesis import genesis_block
from ioex_chain.spec.load import load_network

GAS = 30_000_000
WEI = 10**18
START = 1_800_000_000


class Reverted(Exception):
    """The call reverted; the message is its reason, empty where it has none."""


def address(number: int) -> bytes:
    """Give a plain account that is nobody's."""
    return b"\xaa" * 18 + number.to_bytes(2, "big")


def private_key(name: str) -> bytes:
    return keccak256(name.encode())


@functools.cache
def key_address(name: str) -> bytes:
    from coincurve import PrivateKey

    return account_of(PrivateKey(private_key(name)).public_key.format(compressed=False))


@functools.cache
def functions(contract: str) -> dict[str, tuple[bytes, list[str], list[str]]]:
    """Give name -> (selector, input types, output types) of a contract."""
    found = {}
    for item in system.artefact(contract).abi:
        if item["type"] == "function":
            inputs = [_type(part) for part in item["inputs"]]
            selector = system.selector(f"{item['name']}({','.join(inputs)})")
            found[item["name"]] = selector, inputs, [_type(part) for part in item["outputs"]]
    return found


def _type(part: dict[str, Any]) -> str:
    if part["type"].startswith("tuple"):
        return f"({','.join(_type(inner) for inner in part['components'])})" + part["type"][5:]
    return str(part["type"])


@functools.cache
def events(contract: str) -> dict[bytes, dict[str, Any]]:
    return {
        keccak256(f"{item['name']}({','.join(_type(part) for part in item['inputs'])})".encode()): item
        for item in system.artefact(contract).abi
        if item["type"] == "event"
    }


@dataclass
class World:
    """A state after genesis; every call is a transaction of its own, without fees."""

    members: int = 4
    time: int = START
    state: FlatState = field(init=False)
    logs: list[Log] = field(default_factory=list)
    gas_used: int = 0

    def __post_init__(self) -> None:
        self.spec = load_network("devnet", arbitrators=self.members)
        self.state = FlatState(Nothing())
        write_genesis(self.spec, self.state, genesis_block(self.spec).hash)
        self.state.lock_changes()
        self.registry = self.spec.contracts.addresses["ArbitratorRegistry"]
        self.pool = self.spec.contracts.addresses["RewardPool"]
        self.owner = self.spec.dpos.owner

    @property
    def env(self) -> BlockEnv:
        return BlockEnv(
            chain_id=self.spec.dpos.chain_id,
            number=1,
            timestamp=self.time,
            beneficiary=bytes(20),
            gas_limit=210_000_000,
            base_fee=0,
            prev_randao=bytes(32),
            block_hash=lambda _: None,
        )

    def raw(self, sender: bytes, to: bytes, data: bytes, value: int = 0) -> bytes:
        """Send a message; raises Reverted with the reason, and then the state is as before."""
        if self.state.get_balance(sender) < value:
            self.state.set_balance(sender, value)
            self.state.lock_changes()
        world = Machine(self.state, self.env, vm.PRAGUE, origin=sender, gas_price=0)
        world.warm.update((sender, to))
        code = self.state.get_code(to)
        message = Message("CALL", sender=sender, target=to, to=to, value=value, data=data, code=code, gas=GAS)
        frame = run_message(world, message)
        self.gas_used = GAS - frame.gas
        if frame.error is not None:
            raise Reverted(_reason(frame.output) or type(frame.error).__name__)
        world.finish()
        self.state.lock_changes()
        self.logs = list(world.logs)
        return bytes(frame.output)

    def call(self, sender: bytes, contract: str, function: str, *args: Any, value: int = 0) -> Any:
        """Call a function of a system contract or of OwnerMultisig; give what it returns."""
        selector, inputs, outputs = functions(contract)[function]
        output = self.raw(sender, self.where(contract), selector + encode(inputs, args), value)
        values = decode(outputs, output) if outputs else ()
        return values[0] if len(values) == 1 else values or None

    def where(self, contract: str) -> bytes:
        return self.spec.contracts.addresses.get(contract, self.owner)

    def reg(self, sender: bytes, function: str, *args: Any, value: int = 0) -> Any:
        return self.call(sender, "ArbitratorRegistry", function, *args, value=value)

    def rewards(self, sender: bytes, function: str, *args: Any, value: int = 0) -> Any:
        return self.call(sender, "RewardPool", function, *args, value=value)

    def system(self, to: bytes, data: bytes) -> None:
        self.raw(SYSTEM_ADDRESS, to, data)

    def view(self, function: str, *args: Any, contract: str = "ArbitratorRegistry") -> Any:
        return self.call(address(999), contract, function, *args)

    def credit(self, to: bytes, amount: int) -> None:
        """Add to a balance as base fees and withdrawals do: nobody is called."""
        self.state.set_balance(to, self.state.get_balance(to) + amount)
        self.state.lock_changes()

    def balance(self, of: bytes) -> int:
        return self.state.get_balance(of)

    def put_code(self, at: bytes, code: bytes) -> None:
        self.state.set_code(at, code)
        self.state.lock_changes()

    def admit(self, operator: bytes, key: str, payout: bytes | None = None) -> int:
        """Admit a partner by the owner, give it a node and register its key: what joining takes."""
        number = self.reg(self.owner, "admit", operator, b"partner".ljust(32, b"\0"))
        self.give_node(operator)
        self.register(operator, key, payout or operator)
        return number

    def give_node(self, operator: bytes) -> None:
        """Register a bootstrap node of the operator's, which the owner admits."""
        uid, region, bond = keccak256(operator), bytes(32), parameters_of(self.spec).registry[0]
        arguments = (NodeKind.BOOTSTRAP, uid, region, operator, 0, 0, 0)
        node = self.call(operator, "NodeRegistry", "register", *arguments, value=bond)
        self.call(self.owner, "NodeRegistry", "admit", node)

    def proof(self, operator: bytes, key: str) -> tuple[int, int, int]:
        signature = sign_recoverable(private_key(key), self.view("keyDigest", operator))
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        return signature[64] + 27, r, s

    def register(self, operator: bytes, key: str, payout: bytes) -> None:
        self.reg(operator, "register", key_address(key), payout, *self.proof(operator, key))

    def event_names(self, contract: str = "ArbitratorRegistry") -> list[str]:
        known = events(contract)
        return [known[log.topics[0]]["name"] for log in self.logs if log.topics[0] in known]


def reentering(target: bytes, data: bytes) -> bytes:
    """Give code that calls `target` back with `data` (at most 255 bytes) when it is paid without calldata.

    Slot 0 then has 1 when that call failed, 2 when it succeeded. Other calldata it passes on to `target`,
    with the value.
    """
    push_target = b"\x73" + target
    back = b""
    for at in range(0, len(data), 32):
        back += b"\x7f" + data[at : at + 32].ljust(32, b"\0") + b"\x60" + bytes((at,)) + b"\x52"
    back += b"\x5f\x5f\x60" + bytes((len(data),)) + b"\x5f\x5f" + push_target + b"\x5a\xf1"
    back += b"\x60\x01\x01\x5f\x55\x00"
    forward = b"\x5b\x36\x5f\x5f\x37\x5f\x5f\x36\x5f\x34" + push_target + b"\x5a\xf1\x00"
    return b"\x36\x61" + (5 + len(back)).to_bytes(2, "big") + b"\x57" + back + forward


class Nothing:
    """A view without rows."""

    def get(self, key: bytes) -> None:
        return None

    def scan(self, prefix: bytes) -> Any:
        return iter(())


def _reason(output: bytes) -> str:
    if output[:4] != bytes.fromhex("08c379a0"):
        return ""
    (reason,) = decode(["string"], output[4:])
    return str(reason)
