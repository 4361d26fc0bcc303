"""The Bridge on a devnet's genesis state, above a light client that tests lead by the hand."""

import functools
import hashlib
from pathlib import Path
from typing import Any

import pytest
from contract_world import World, address
from eth_abi import decode, encode

from ioex_chain.bridge.deposits import BlockProofs
from ioex_chain.crypto.address import deposit_script
from ioex_chain.evm import bridge
from ioex_chain.evm.bridge import BridgeReader, DepositProof
from ioex_chain.evm.system import artefact, selector
from ioex_chain.evm.types import SYSTEM_ADDRESS, Withdrawal
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction, TxIn, TxOut
from ioex_chain.primitives.merkle import merkle_root
from ioex_chain.primitives.types import OutPoint

UNIT = 10**10
"""Wei in a PoW unit."""
P2WPKH = b"\x00\x14" + b"\x11" * 20
P2WSH = b"\x00\x20" + b"\x22" * 32
P2TR = b"\x51\x20" + b"\x33" * 32
ALICE = address(1)


@functools.cache
def _tame_code() -> bytes:
    vyper = pytest.importorskip("vyper", reason="vyper is not installed")
    source = (Path(__file__).parent / "sources" / "TameLightClient.vy").read_text()
    made = vyper.compile_code(source, output_formats=["bytecode_runtime"])
    return bytes.fromhex(made["bytecode_runtime"][2:])


def outpoint(name: str, index: int = 0) -> OutPoint:
    return OutPoint(hashlib.sha256(name.encode()).digest() + index.to_bytes(4, "little"))


def spend(name: str = "coin", inputs: int = 2) -> list[TxIn]:
    """Inputs as a wallet makes them: no script, a witness."""
    return [TxIn(outpoint(name, at), b"", 0xFFFFFFFD, (b"\x30" * 71, b"\x02" * 33)) for at in range(inputs)]


def payment(name: str = "coin", account: bytes = ALICE, amount: int = 5_000_000) -> Transaction:
    """An ordinary transaction: two inputs; a deposit in output 1, a payment and change beside it."""
    outputs = [TxOut(7_000, P2WPKH), TxOut(amount, deposit_script(account)), TxOut(123_456, P2TR)]
    return Transaction.build(2, spend(name), outputs)


def coinbase(height: int = 1, script: bytes = b"") -> Transaction:
    outputs = [TxOut(20 * 10**8, deposit_script(address(77))), TxOut(4 * 10**8, P2WPKH)]
    null = OutPoint(bytes(32) + b"\xff" * 4)
    return Transaction.build(2, [TxIn(null, script or height.to_bytes(8, "little"), 0xFFFFFFFF)], outputs)


def block_of(*transactions: Transaction, height: int = 1, salt: bytes = b"") -> Block:
    """A block with a coinbase and these transactions; its header has no work."""
    body = (coinbase(height), *transactions)
    root, _ = merkle_root([bytes(one.txid) for one in body])
    parent = hashlib.sha256(salt + height.to_bytes(8, "big")).digest()
    header = Header.build(0x20000000, parent, root, 1_800_000_000 + height, 0x207FFFFF, 0)
    return Block.build(header, body)


class BridgeWorld(World):
    """`client` calls the tame light client, `bridge` the contract, `system` as the protocol.

    Not `tame`: above the PowLightClient of genesis.
    """

    def __init__(self, *, tame: bool = True) -> None:
        super().__init__()
        self.at = self.spec.contracts.addresses["Bridge"]
        self.light_client = self.spec.contracts.addresses["PowLightClient"]
        if tame:
            self.light_client = address(900)
            self.put_code(self.light_client, _tame_code())
            self.set("lightClient", int.from_bytes(self.light_client, "big"))
        self.slot = 0
        self.next_due: tuple[Withdrawal, ...] = ()
        """The withdrawals of the next block: the queue's head after the last one."""
        self.taken: list[Withdrawal] = []
        """All that blocks have paid."""

    def set(self, variable: str, value: int) -> None:
        """Write a variable of the Bridge."""
        self.state.set_storage(self.at, artefact("Bridge").slots[variable], value)
        self.state.lock_changes()

    def where(self, contract: str) -> bytes:
        own = {"Bridge": self.at, "PowLightClient": self.light_client}
        return own.get(contract) or super().where(contract)

    def client(self, signature: str, *args: Any) -> None:
        """Tell the tame light client something: `client("bury(uint256)", 5)`."""
        types = signature[signature.index("(") + 1 : -1].split(",")
        self.raw(address(5), self.light_client, selector(signature) + encode(types, args))

    def put(self, block: Block, height: int) -> None:
        """Have a block on the light client's best chain."""
        self.client("put(bytes32,uint256)", bytes(block.hash), height)

    def bridge(self, sender: bytes, function: str, *args: Any, value: int = 0) -> Any:
        return self.call(sender, "Bridge", function, *args, value=value)

    def get(self, function: str, *args: Any) -> Any:
        return self.view(function, *args, contract="Bridge")

    @property
    def reader(self) -> BridgeReader:
        return BridgeReader(self.spec, self.state)

    def prove(self, proof: DepositProof, sender: bytes = ALICE) -> int:
        """Prove a deposit; give its place in the queue of credits."""
        (place,) = decode(["uint256"], self.raw(sender, self.at, bridge.prove_deposit(proof)))
        return int(place)

    def next_block(self, *, final: int | None = None, slots: int = 1) -> tuple[bytes, ...]:
        """Close a block as the chain does: pay the due credits, call `onBlock`; give the drained requests."""
        due = self.next_due
        self.slot += slots
        final_slot = max(0, self.slot - 2) if final is None else final
        self.raw(SYSTEM_ADDRESS, self.at, bridge.on_block(len(due), self.slot, final_slot))
        for credit in due:
            self.credit(credit.address, credit.amount * 10**9)
        self.taken += due
        self.next_due = self.reader.due_credits()
        return self.reader.drained_requests()

    def withdraw(self, units: int, script: bytes = P2WPKH, sender: bytes = ALICE) -> int:
        return int(self.bridge(sender, "withdraw", script, value=units * UNIT))

    def buried_block(self, *transactions: Transaction, height: int = 5) -> tuple[Block, BlockProofs]:
        """A buried block on the best chain, and its proofs."""
        block = block_of(*transactions, height=height)
        self.put(block, height)
        self.client("bury(uint256)", height)
        return block, BlockProofs(block)
