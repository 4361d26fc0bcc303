"""A forge on the real EVM beside a PoW chain: blocks that carry headers, proofs, credits and requests."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from eth_abi import encode
from eth_account import Account

from chaingen.builder import ChainBuilder
from chaingen.dpos_forge import ADDRESSES, DictView, Forge, make_spec, payout_of
from ioex_chain.bridge.deposits import BlockProofs
from ioex_chain.crypto.address import deposit_script
from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos import seal
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.execution import EvmWorld
from ioex_chain.dpos.genesis import genesis_block
from ioex_chain.evm.bridge import BridgeReader, encode_proof
from ioex_chain.evm.light_client import LightClientReader
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.system import selector
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.evm.types import WEI, WEI_PER_POW_UNIT
from ioex_chain.evm.types import Transaction as DposTransaction
from ioex_chain.pow.block import Block as PowBlock
from ioex_chain.pow.genesis import genesis_block as pow_genesis_block
from ioex_chain.pow.transaction import Transaction, TxIn, TxOut
from ioex_chain.primitives.types import OutPoint
from ioex_chain.spec.load import load_network
from ioex_chain.spec.model import GenesisAccount, GenesisMember, NetworkSpec

RICH = keccak256(b"a rich account")
ALICE, BOB = b"\xa1" * 20, b"\xb0" * 20
SCRIPT = b"\x00\x14" + b"\x11" * 20
"""Where withdrawals are paid."""
REWARD = 20 * 10**9
"""Gwei that a buried height brings."""


def bridge_spec(members: int = 4, **dpos: Any) -> NetworkSpec:
    """A forge's network whose clocks agree: a DPoS slot lasts 10 s, k is 2."""
    rich = GenesisAccount(seal.address_of(RICH), 10**6 * WEI)
    time = load_network("devnet").pow.genesis_time
    fields: dict[str, Any] = {"genesis_time": time, "accounts": (rich,)}
    return make_spec(members, **(fields | dpos))


def deposit(name: str, *pays: tuple[bytes, int]) -> Transaction:
    """A PoW transaction that pays deposit addresses; nobody asks where its coins come from."""
    spent = TxIn(OutPoint(keccak256(name.encode()) + bytes(4)), b"", 0xFFFFFFFD, (b"\x30" * 71, b"\x02" * 33))
    return Transaction.build(2, [spent], [TxOut(units, deposit_script(account)) for account, units in pays])


class BridgeForge(Forge):
    """`pow` makes PoW blocks; `mined` is the best chain of them from genesis."""

    def __init__(self, spec: NetworkSpec | None = None, **dpos: Any) -> None:
        spec = spec or bridge_spec(**dpos)
        genesis = pow_genesis_block(spec)
        super().__init__(spec, EvmWorld, genesis_block(spec, genesis.hash), decode_transaction)
        self.pow = ChainBuilder(spec, genesis)
        self.mined: list[PowBlock] = [genesis]
        self._nonce = 0

    def mine(self, *transactions: Transaction, count: int = 1) -> PowBlock:
        """Mine `count` blocks, the first with these transactions; give the last."""
        for number in range(count):
            self.mined.append(self.pow.block(self.mined[-1], transactions if number == 0 else ()))
        return self.mined[-1]

    def headers(self, first: int, last: int) -> tuple[bytes, ...]:
        """PoW headers of these heights as a payload has them."""
        return tuple(block.header.encode() for block in self.mined[first : last + 1])

    def proof(self, height: int, vout: int = 0, index: int = 1) -> bytes:
        return encode_proof(BlockProofs(self.mined[height]).prove(index, vout))

    def call(
        self, contract: str, function: str, *args: object, units: int = 0, private: bytes = RICH
    ) -> DposTransaction:
        """A transaction of the rich account's to a system contract; nonces rise by themselves."""
        types = function[function.index("(") + 1 : -1]
        fields = {
            "type": 2,
            "chainId": self.spec.dpos.chain_id,
            "nonce": self._nonce,
            "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 0,
            "gas": 3_000_000,
            "to": self.spec.contracts.addresses[contract],
            "value": units * WEI_PER_POW_UNIT,
            "data": selector(function) + encode(types.split(",") if types else [], args),
        }
        self._nonce += 1
        return decode_transaction(bytes(Account.sign_transaction(fields, private).raw_transaction))

    def withdraw(self, units: int, script: bytes = SCRIPT) -> DposTransaction:
        return self.call("Bridge", "withdraw(bytes)", script, units=units)

    # Facts of the state after a block.

    def state(self, block: Block) -> FlatState:
        return FlatState(DictView(dict(self.rows[block.header.hash])))

    def bridge(self, block: Block) -> BridgeReader:
        return BridgeReader(self.spec, self.state(block))

    def light_client(self, block: Block) -> LightClientReader:
        return LightClientReader(self.spec, self.state(block))

    def final(self, parent: Block, count: int, **first: Any) -> list[Block]:
        """`count` blocks that each carry the certificate of the one before; `first`: parts of the first."""
        made: list[Block] = []
        for number in range(count):
            certificate = None if parent is self.genesis else self.certificate(parent)
            parent = self.extend(parent, certificate=certificate, **(first if number == 0 else {}))
            made.append(parent)
        return made


def members_of(numbers: Sequence[int]) -> tuple[GenesisMember, ...]:
    return tuple(GenesisMember(ADDRESSES[number], payout_of(number)) for number in numbers)


def with_bridge(spec: NetworkSpec, **changes: Any) -> NetworkSpec:
    return replace(spec, bridge=replace(spec.bridge, **changes))
