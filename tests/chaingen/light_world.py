"""`LightWorld`: PowLightClient on a PoW network of the tests, called as the system, as anybody, or by views.

    light = LightWorld(story_spec())
    light.submit(block.header)              # raises Reverted with the contract's reason
    assert light.view("bestHash") == block.hash

Nothing but the contract has code there; a test may put other code at `light.bridge`.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from eth_abi import decode, encode

from ioex_chain.evm import light_client, system, vm
from ioex_chain.evm.revert import revert_reason
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.types import SYSTEM_ADDRESS, BlockEnv, Transaction, TxOutcome
from ioex_chain.evm.vm_calls import call as run_message
from ioex_chain.evm.vm_calls import create
from ioex_chain.evm.vm_frame import Message
from ioex_chain.evm.vm_ops_call import contract_address
from ioex_chain.evm.vm_world import World
from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import Codec, Entry, StateView
from ioex_chain.pow.consensus import PowEngine
from ioex_chain.pow.difficulty import next_bits
from ioex_chain.pow.genesis import genesis_block
from ioex_chain.pow.header import Header
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.spec.model import NetworkSpec, SystemContracts

from .builder import solve

ADDRESS = bytes.fromhex("000000000000000000000000000000000010e003")
BRIDGE = bytes.fromhex("000000000000000000000000000000000010e004")
OWNER = b"\x0a" * 20
ANYBODY = b"\xaa" * 20
GAS = 30_000_000
"""The system gas of a block."""


class Reverted(Exception):
    """The call reverted; the message is its reason, or the error's name where it has none."""


@functools.cache
def function(name: str) -> tuple[bytes, list[str], list[str]]:
    """Give selector, input types and output types of a function of the contract."""
    (item,) = (item for item in system.artefact(light_client.NAME).abi if item.get("name") == name)
    inputs = [part["type"] for part in item["inputs"]]
    selector = system.selector(f"{name}({','.join(inputs)})")
    return selector, inputs, [part["type"] for part in item["outputs"]]


def with_light_client(spec: NetworkSpec, bridge: bool = False) -> NetworkSpec:
    """Give the network with PowLightClient's address and owner, and the Bridge's if asked."""
    addresses = {**spec.contracts.addresses, light_client.NAME: ADDRESS}
    if bridge:
        addresses["Bridge"] = BRIDGE
    return replace(spec, contracts=SystemContracts(addresses), dpos=replace(spec.dpos, owner=OWNER))


class LightWorld:
    """A state with the contract as genesis makes it; `time` is the block's, `gas_used` the last call's."""

    def __init__(self, spec: NetworkSpec, *, bridge: bool = False, time: int | None = None) -> None:
        self.spec = with_light_client(spec, bridge)
        self.genesis = genesis_block(spec).hash
        self.time = spec.pow.genesis_time if time is None else time
        self.state = FlatState(_Nothing())
        self.state.set_code(ADDRESS, system.artefact(light_client.NAME).runtime)
        for slot, value in light_client.genesis_storage(self.spec, self.genesis).items():
            self.state.set_storage(ADDRESS, slot, value)
        self.state.lock_changes()
        self.reader = light_client.LightClientReader(self.spec, self.state)
        self.gas_used = 0
        self.logs: list[Any] = []
        self._nonce = 0

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

    def raw(self, sender: bytes, data: bytes, gas: int = GAS) -> bytes:
        """Call the contract; raises Reverted, and then the state is as before."""
        world = World(self.state, self.env, vm.PRAGUE, origin=sender, gas_price=0)
        world.warm.update((sender, ADDRESS))
        code = self.state.get_code(ADDRESS)
        message = Message(
            "CALL", sender=sender, target=ADDRESS, to=ADDRESS, value=0, data=data, code=code, gas=gas
        )
        frame = run_message(world, message)
        self.gas_used = gas - frame.gas
        if frame.error is not None:
            raise Reverted(revert_reason(bytes(frame.output)) or type(frame.error).__name__)
        world.finish()
        self.state.lock_changes()
        self.logs = list(world.logs)
        return bytes(frame.output)

    def submit(self, header: Header | bytes, sender: bytes = SYSTEM_ADDRESS) -> None:
        """Submit a header with its AuxPoW record, by default as the system."""
        data = header if isinstance(header, bytes) else header.encode()
        self.raw(sender, light_client.submit(data))

    def refused(self, header: Header | bytes) -> str:
        """Give the reason why a header is refused, empty if it was taken."""
        try:
            self.submit(header)
        except Reverted as reason:
            return str(reason)
        return ""

    def call(self, sender: bytes, name: str, *args: Any) -> Any:
        """Call a function by name; give what it returns."""
        selector, inputs, outputs = function(name)
        values = decode(outputs, self.raw(sender, selector + encode(inputs, args)))
        return values[0] if len(values) == 1 else values or None

    def view(self, name: str, *args: Any) -> Any:
        """Ask the contract as anybody."""
        return self.call(ANYBODY, name, *args)

    def create(self, initcode: bytes) -> bytes:
        """Deploy by a transaction without a target, and give the new account."""
        world = World(self.state, self.env, vm.PRAGUE, origin=ANYBODY, gas_price=0)
        made = contract_address(ANYBODY, self.state.get_nonce(ANYBODY))
        message = Message(
            "CREATE", sender=ANYBODY, target=made, to=made, value=0, data=b"", code=initcode, gas=GAS
        )
        frame = create(world, message)
        if frame.error is not None:
            raise Reverted(type(frame.error).__name__)
        world.finish()
        self.state.lock_changes()
        return made

    def transaction(self, data: bytes) -> TxOutcome:
        """Execute an ordinary transaction with this calldata, without fees; `gas_used` is its own."""
        fields: dict[str, Any] = dict.fromkeys(
            ("nonce", "value", "max_priority_fee", "max_fee", "y_parity"), 0
        )
        fields |= {"raw": b"", "hash": bytes(32), "type": 2, "chain_id": self.env.chain_id, "gas": GAS}
        fields |= {"to": ADDRESS, "data": data, "access_list": (), "authorizations": ()}
        tx = Transaction(**fields, r=1, s=1, signing_hash=bytes(32))
        outcome = vm.apply_transaction(self.state, self.env, replace(tx, nonce=self._nonce), ANYBODY)
        self._nonce += 1
        self.gas_used = outcome.gas_used
        return outcome

    def submit_all(self, headers: Iterable[Header]) -> None:
        """Submit headers, the block's time following theirs."""
        for header in headers:
            self.time = max(self.time, header.time)
            self.submit(header)

    def put_code(self, at: bytes, code: bytes) -> None:
        self.state.set_code(at, code)
        self.state.lock_changes()


class _Nothing:
    def get(self, key: bytes) -> None:
        return None

    def scan(self, prefix: bytes) -> Any:
        return iter(())


class Headers:
    """Makes sound headers without blocks on any that it made, by a network's rules; each is another."""

    def __init__(self, spec: NetworkSpec) -> None:
        self.spec = spec
        self.genesis = genesis_block(spec).header
        self._heights = {self.genesis.hash: 0}

    def on(self, parent: Header, time: int | None = None, version: int = 0x2000_0000) -> Header:
        """Make and solve one, by default one spacing after its parent."""
        height = self._heights[parent.hash]
        bits = next_bits(self.spec.pow, height, parent.time)
        root = len(self._heights).to_bytes(32, "big")
        at = parent.time + self.spec.pow.spacing if time is None else time
        header = solve(Header.build(version, parent.hash, root, at, bits, 0))
        self._heights[header.hash] = height + 1
        return header

    def chain(self, parent: Header, length: int) -> list[Header]:
        """Make `length` headers, each on the one before."""
        made: list[Header] = []
        for _ in range(length):
            made.append(self.on(made[-1] if made else parent))
        return made


# --- the ledger that it is compared with -----------------------------------------------------------------


@dataclass(frozen=True)
class BareBlock:
    """A header as a block: what the light client sees of one."""

    header: Header

    def encode(self) -> bytes:
        return self.header.encode()

    @classmethod
    def decode(cls, data: bytes) -> "BareBlock":
        return cls(Header.decode(data))


class BareMachine:
    """Every body is right and changes nothing."""

    def check_block(self, block: BareBlock) -> None:
        """Take it."""

    def connect(self, block: BareBlock, entry: Entry[Header], view: StateView) -> int:
        return entry.height


def open_bare(spec: NetworkSpec, clock: FixedClock) -> Ledger[Header, BareBlock, int]:
    """Open the node's own ledger, with the PoW chain's rules, on headers alone."""
    depth = spec.pow.max_reorg_depth
    return Ledger(
        MemoryStore(),
        PowEngine(spec.pow),
        BareMachine(),
        Codec(Header.decode, BareBlock.decode),
        BareBlock(genesis_block(spec).header),
        network_id=bytes(32),
        clock=clock,
        max_reorg_depth=depth,
        undo_depth=max(depth, 1_000),
    )
