"""The Bridge above the real light client: real headers, real reorganisations, what a proof costs there."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
from bridge_world import ALICE, BridgeWorld, coinbase, payment
from contract_world import Reverted

from ioex_chain.bridge.deposits import BlockProofs
from ioex_chain.evm import bridge, light_client
from ioex_chain.evm.bridge import Door, PauseReason
from ioex_chain.evm.light_client import LightClientReader, jump_span
from ioex_chain.evm.system import artefact, mapping_slot
from ioex_chain.evm.types import SYSTEM_ADDRESS
from ioex_chain.pow.block import Block
from ioex_chain.pow.genesis import genesis_block
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.merkle import merkle_root

TARGET = 0x7FFFFF << 8 * (0x20 - 3)


@pytest.fixture
def world() -> BridgeWorld:
    return BridgeWorld(tame=False)


def mine(parent: Header, height: int, body: Sequence[Transaction] = (), salt: int = 0) -> Block:
    """A block with work on a parent; `salt` makes branches differ."""
    transactions = (coinbase(height), *body)
    root, _ = merkle_root([bytes(one.txid) for one in transactions])
    header = Header.build(0x20000000, parent.hash, root, parent.time + 1 + salt, 0x207FFFFF, 0)
    while int.from_bytes(header.hash, "little") > TARGET:
        header = header.with_nonce(header.nonce + 1)
    return Block.build(header, transactions)


def extend(
    world: BridgeWorld,
    parent: Header,
    height: int,
    count: int,
    body: Sequence[Transaction] = (),
    salt: int = 0,
) -> list[Block]:
    """Mine `count` blocks from `height` on and submit their headers; the first has the body."""
    made = []
    for at in range(count):
        block = mine(parent, height + at, () if at else body, salt)
        world.raw(SYSTEM_ADDRESS, world.light_client, light_client.submit(block.header.encode()))
        made.append(block)
        parent = block.header
    return made


def start(world: BridgeWorld) -> Header:
    return genesis_block(world.spec).header


def refused(world: BridgeWorld, proof: bridge.DepositProof, reason: str) -> None:
    with pytest.raises(Reverted) as error:
        world.prove(proof)
    assert str(error.value) == reason


def test_a_deposit_is_credited_once_its_block_is_buried(world):
    k = world.spec.pow.burial_depth
    blocks = extend(world, start(world), 1, k, [payment()])
    proof = BlockProofs(blocks[0]).prove(1, 1)
    refused(world, proof, "not buried")
    world.next_block()
    assert world.reader.counted_height == 0
    extend(world, blocks[-1].header, k + 1, 1)
    world.prove(proof)
    world.next_block()
    world.next_block()
    assert world.reader.counted_height == 1
    assert world.balance(ALICE) == 5 * 10**16
    assert world.balance(world.pool) == 20 * 10**18


def test_a_reorganisation_up_to_the_burial_depth_changes_nothing_credited(world):
    k = world.spec.pow.burial_depth
    first = extend(world, start(world), 1, 1 + k, [payment()])
    world.prove(BlockProofs(first[0]).prove(1, 1))
    world.next_block()
    rival = extend(world, first[0].header, 2, k + 1, [payment("second"), payment()], salt=7)
    assert LightClientReader(world.spec, world.state).best()[0] == rival[-1].hash
    world.next_block()
    assert world.reader.pause_reasons(Door.IN) == PauseReason(0)
    proofs = BlockProofs(rival[0])
    world.prove(proofs.prove(1, 1))
    refused(world, proofs.prove(2, 1), "credited before")
    refused(world, BlockProofs(first[1]).prove(0, 0), "coinbase")
    for _ in range(3):
        world.next_block()
    assert world.reader.credited_rewards == 2 * 20 * 10**9
    assert world.reader.credited_deposits == 2 * 50_000_000


def test_a_deeper_reorganisation_closes_both_ways_in_the_same_block(world):
    k = world.spec.pow.burial_depth
    body = [payment()]
    first = extend(world, start(world), 1, 1 + k, body)
    world.prove(BlockProofs(first[0]).prove(1, 1))
    world.next_block()
    rival = extend(world, start(world), 1, k + 3, [payment("double spend")], salt=9)
    refused(world, BlockProofs(first[0]).prove(1, 1), "paused by a deep reorganisation")
    refused(world, BlockProofs(rival[0]).prove(1, 1), "paused by a deep reorganisation")
    with pytest.raises(Reverted, match="paused by a deep reorganisation"):
        world.withdraw(20_000)
    world.next_block()
    assert world.reader.pause_reasons(Door.IN) == PauseReason.DEEP_REORGANISATION
    assert world.reader.counted_height == 1
    world.bridge(world.owner, "acknowledge", 1)
    refused(world, BlockProofs(first[1]).prove(0, 0), "coinbase")
    stale = replace(BlockProofs(first[0]).prove(1, 1), vout=0)
    refused(world, stale, "no deposit output")
    world.prove(BlockProofs(rival[0]).prove(1, 1))
    world.next_block()
    assert world.reader.counted_height == 3  # heights 2 and 3: height 1 was counted on the branch that lost


def test_a_stale_branch_and_another_chain_prove_nothing(world):
    k = world.spec.pow.burial_depth
    best = extend(world, start(world), 1, k + 3)
    stale = extend(world, start(world), 1, k + 1, [payment()], salt=5)
    refused(world, BlockProofs(stale[0]).prove(1, 1), "not on the best chain")
    foreign = mine(Header(bytes(80)), 1, [payment()])
    refused(world, BlockProofs(foreign).prove(1, 1), "not on the best chain")
    with pytest.raises(Reverted, match="orphan"):
        world.raw(SYSTEM_ADDRESS, world.light_client, light_client.submit(foreign.header.encode()))
    unknown = mine(best[0].header, 2, [payment()], salt=3)
    refused(world, BlockProofs(unknown).prove(1, 1), "not on the best chain")
    assert world.reader.credit_tail == 0


def test_the_genesis_block_of_the_chain_proves_nothing(world):
    extend(world, start(world), 1, 4)
    proof = BlockProofs(genesis_block(world.spec)).prove(0, 0)
    refused(world, proof, "coinbase")
    refused(world, replace(proof, index=1), "coinbase")


def test_a_deep_branch_is_allowed_only_while_the_bridge_is_closed(world):
    owner, client = world.owner, "PowLightClient"
    wanted = b"\x07" * 32
    world.call(owner, client, "proposeDeepBranch", wanted)
    world.time += world.spec.bridge.owner_delay
    with pytest.raises(Reverted, match="the bridge is not paused"):
        world.call(owner, client, "allowDeepBranch", wanted)
    world.bridge(owner, "pause", Door.IN)
    world.call(owner, client, "allowDeepBranch", wanted)


# --- gas -------------------------------------------------------------------------------------------------


def intrinsic(data: bytes) -> int:
    return 21_000 + sum(16 if byte else 4 for byte in data)


def cost(world: BridgeWorld, proof: bridge.DepositProof) -> tuple[int, int]:
    """Gas of a proof as system call, and as transaction."""
    world.prove(proof, sender=SYSTEM_ADDRESS)
    return world.gas_used, world.gas_used + intrinsic(bridge.prove_deposit(proof))


def test_a_proof_in_a_block_of_ten_thousand_costs_at_most_400000_gas(world):
    body = [payment(str(at)) for at in range(9_999)]
    blocks = extend(world, start(world), 1, 30, body)
    proof = BlockProofs(blocks[0]).prove(9_999, 1)
    assert len(proof.branch) == 14
    assert len(blocks[0].transactions[1].inputs) == 2
    assert len(blocks[0].transactions[1].outputs) == 3
    system, transaction = cost(world, proof)
    assert (system <= 250_000, transaction <= 400_000) == (True, True), (system, transaction)


def far(world: BridgeWorld, block: Block, height: int, top: int) -> int:
    """Put a block so far below the tip of a made-up chain; give the records that lead down to it."""
    at, steps = hashlib.sha256(b"tip").digest(), 0
    records = artefact(light_client.NAME).slots["records"]
    world.state.set_storage(
        world.light_client, artefact(light_client.NAME).slots["best"], int.from_bytes(at, "big")
    )
    world.state.set_storage(world.light_client, mapping_slot(records, at) + 1, top << 224 | 1)
    world.state.set_storage(world.light_client, mapping_slot(records, block.hash) + 1, height << 224 | 1)
    while top > height:
        span = jump_span(top)
        jumps = span > 1 and top - span >= height
        top -= span if jumps else 1
        steps += 1
        below = bytes(block.hash) if top == height else hashlib.sha256(at).digest()
        slot = mapping_slot(records, at) + (3 if jumps else 0)
        world.state.set_storage(world.light_client, slot, int.from_bytes(below, "big"))
        at = below
    world.state.lock_changes()
    return steps


def test_a_proof_from_ten_years_ago_costs_at_most_400000_gas_too(world):
    block = mine(start(world), 1, [payment(str(at)) for at in range(9_999)])
    steps = far(world, block, 1, 2_621_420)  # the most steps that two heights of ten years are apart
    assert steps == 59
    system, transaction = cost(world, BlockProofs(block).prove(7_777, 1))
    assert transaction <= 400_000, (system, transaction)
    assert world.reader.credit(0).address == ALICE
