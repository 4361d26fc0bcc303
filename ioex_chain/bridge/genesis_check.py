"""Whether the two genesis blocks of a network belong together (docs/protocol.md sections 5.5 and 6).

The DPoS genesis state is made once and then read as a running node reads it: by the readers of the contracts'
storage, not by the code that wrote it.
"""

from collections import defaultdict
from collections.abc import Iterator

from ioex_chain.crypto.address import checksum_account
from ioex_chain.dpos.genesis import genesis_block as dpos_genesis_block
from ioex_chain.dpos.registry import RegistryReader
from ioex_chain.evm.bridge import BridgeReader, Door
from ioex_chain.evm.genesis import genesis_state, state_root, write_genesis
from ioex_chain.evm.light_client import LightClientReader
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.system import OWNER_MULTISIG, artefact
from ioex_chain.evm.types import WEI_PER_POW_UNIT
from ioex_chain.pow.block import Block
from ioex_chain.pow.genesis import WrongGenesis
from ioex_chain.pow.reserve import genesis_state as reserve_genesis
from ioex_chain.pow.script import Form, classify
from ioex_chain.spec.consortium import account_of_deposit
from ioex_chain.spec.model import NetworkSpec

_OWNED = (
    *("ArbitratorRegistry", "PowLightClient", "Bridge"),
    *("NodeRegistry", "Workload", "GasPoints", "NodeRewards", "ServiceLedger"),
)
"""Contracts that have an owner."""


class GenesisMismatch(WrongGenesis):
    """What one chain's genesis says of the other is not so."""


class _Nothing:
    """A state without rows."""

    def get(self, key: bytes) -> None:
        """Give no value."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:  # noqa: ARG002 - there is none
        """Give no rows."""
        return iter(())


def check_both_chains(spec: NetworkSpec, pow_genesis: Block) -> None:
    """Check the DPoS genesis against the PoW genesis block. Raises GenesisMismatch naming what differs.

    Each balance is backed by deposits to the unit, and each deposit has its balance; the contracts have the
    code of their artefacts and the spec's owner; the light client begins at the PoW genesis block; registry
    and PoW chain begin with the same set, and each of its members ranks; the Bridge has moved nothing.
    """
    state = FlatState(_Nothing())
    write_genesis(spec, state, pow_genesis.hash)
    _check_header(spec, pow_genesis)
    _check_code(spec, state)
    _check_backing(spec, state, pow_genesis)
    _check_light_client(spec, state, pow_genesis)
    _check_first_set(spec, state)
    _check_bridge(spec, state)


def _require(holds: bool, words: str) -> None:
    if not holds:
        raise GenesisMismatch(words)


def _check_header(spec: NetworkSpec, pow_genesis: Block) -> None:
    header = dpos_genesis_block(spec, pow_genesis.hash).header.header
    root = state_root(genesis_state(spec, pow_genesis.hash))
    _require(header.mix_hash == pow_genesis.hash, "the DPoS genesis names another PoW genesis")
    _require(header.state_root == root, "the DPoS genesis has another state root")


def _check_code(spec: NetworkSpec, state: FlatState) -> None:
    for name, address in spec.contracts.addresses.items():
        _require(state.get_code(address) == artefact(name).runtime, f"{name} has other code")
    owner = spec.dpos.owner
    _require(owner != OWNER_MULTISIG or bool(state.get_code(owner)), "the owner has no code")
    for name in _OWNED:
        at = artefact(name).slots["owner"]
        found = state.get_storage(spec.contracts.addresses[name], at)
        _require(found == int.from_bytes(owner, "big"), f"{name} has another owner")


def _check_backing(spec: NetworkSpec, state: FlatState, pow_genesis: Block) -> None:
    paid: defaultdict[bytes, int] = defaultdict(int)
    for output in pow_genesis.transactions[0].outputs:
        form = classify(output.script)
        _require(form is not Form.RESERVE, "the PoW genesis pays reserve change, which nobody owns")
        if form is Form.DEPOSIT:
            paid[account_of_deposit(output.script) or b""] += output.value
    for address in {*genesis_state(spec, pow_genesis.hash), *paid}:
        wei, units = state.get_balance(address), paid[address]
        _require(
            wei == units * WEI_PER_POW_UNIT,
            f"{checksum_account(address)} has {wei} wei, its deposits are {units} units of 1e-8 IOEX",
        )


def _check_light_client(spec: NetworkSpec, state: FlatState, pow_genesis: Block) -> None:
    reader, anchor = LightClientReader(spec, state), pow_genesis.hash
    _require(reader.best()[:2] == (anchor, 0), "the light client begins at another block")
    _require(reader.buried_hash() == anchor, "the light client has buried another block")
    _require(
        reader.time_of(anchor) == pow_genesis.header.time, "the light client's first block has another time"
    )


def _check_first_set(spec: NetworkSpec, state: FlatState) -> None:
    first = reserve_genesis(spec).current
    ranked = tuple(member.key for member in RegistryReader(spec, state).ranking())
    _require(first.number == 0, "the PoW chain does not begin with set 0")
    _require(first.members == ranked, "registry and PoW chain begin with different sets")


def _check_bridge(spec: NetworkSpec, state: FlatState) -> None:
    bridge = BridgeReader(spec, state)
    moved = (bridge.credit_tail, bridge.counted_height, bridge.queued, bridge.last_set, bridge.retired_wei)
    _require(not any(moved), "the Bridge has moved something already")
    _require(not any(map(bridge.is_paused, Door)), "a door of the Bridge is closed")
