"""PowLightClient: changes of branch, the owner's word for deep ones, inclusion proofs, costs."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from chaingen.builder import ChainBuilder, solve
from chaingen.light_world import ANYBODY, BRIDGE, OWNER, BareBlock, Headers, LightWorld, Reverted, open_bare
from chaingen.specs import EASY_BITS, story_spec

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm import light_client
from ioex_chain.pow.auxpow import AuxPow
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction, TxOut
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.primitives.merkle import branch_root, merkle_branch, merkle_root

LIMIT = 5
SPEC = story_spec(max_reorg_depth=LIMIT, burial_depth=2)


@pytest.fixture
def light() -> LightWorld:
    return LightWorld(SPEC)


@pytest.fixture
def headers() -> Headers:
    return Headers(SPEC)


def events(light: LightWorld) -> list[str]:
    known = {
        keccak256(text.encode()): text.split("(")[0]
        for text in (
            "HeaderAccepted(bytes32,uint256)",
            "Reorganised(uint256,uint256,bytes32,bytes32)",
            "DeepBranchProposed(bytes32,uint256)",
            "DeepBranchAllowed(bytes32)",
            "DeepBranchCancelled()",
        )
    }
    return [known[log.topics[0]] for log in light.logs]


# --- changes of branch -----------------------------------------------------------------------------------


def test_the_first_seen_wins_a_tie_and_more_work_wins(light: LightWorld, headers: Headers) -> None:
    base = headers.chain(headers.genesis, 3)
    one, other = headers.chain(base[-1], 2), headers.chain(base[-1], 3)
    light.submit_all([*base, *one, *other[:2]])
    assert light.reader.best() == (one[-1].hash, 5, 10)
    assert events(light) == ["HeaderAccepted"]
    light.submit_all(other[2:])
    assert light.reader.best() == (other[-1].hash, 6, 12)
    assert events(light) == ["Reorganised", "HeaderAccepted"]
    assert [light.view("hashAt", height) for height in range(7)] == [
        headers.genesis.hash,
        *(header.hash for header in [*base, *other]),
    ]
    for header in one:
        assert light.view("knows", header.hash)
        with pytest.raises(Reverted, match="not on the best chain"):
            light.view("heightOf", header.hash)
    assert light.view("heightOf", other[0].hash) == 4
    assert light.view("headerOf", one[0].hash) == (base[-1].hash, 4, 8, one[0].time)
    with pytest.raises(Reverted, match="above the best chain"):
        light.view("hashAt", 7)
    with pytest.raises(Reverted, match="orphan"):
        light.view("headerOf", bytes(32))
    assert (light.view("deepestReorg"), light.view("deepReorgs")) == (2, 0)


def test_burial(light: LightWorld, headers: Headers) -> None:
    chain = headers.chain(headers.genesis, 4)
    expected = [0, 0, 1, 2]
    for header, height in zip(chain, expected, strict=True):
        light.submit_all([header])
        assert light.view("buriedHeight") == light.reader.buried_height() == height
        assert light.view("buriedHash") == light.reader.hash_at(height)


@pytest.mark.parametrize(("depth", "deep"), [(1, 0), (2, 0), (3, 1), (LIMIT, 1)])
def test_a_change_that_takes_back_a_buried_block_is_counted(depth: int, deep: int) -> None:
    light, headers = LightWorld(SPEC), Headers(SPEC)
    base = headers.chain(headers.genesis, 4)
    light.submit_all([*base, *headers.chain(base[-1], depth), *headers.chain(base[-1], depth + 1)])
    assert light.reader.best()[1] == 5 + depth
    assert (light.view("deepestReorg"), light.view("deepReorgs")) == (depth, deep)
    assert (light.reader.deepest_reorg(), light.reader.deep_reorgs()) == (depth, deep)


class Uneven:
    """A network where a branch with more work may be shorter: late blocks have 2 hashes, timely ones 8."""

    def __init__(self, burial_depth: int) -> None:
        spec = story_spec(
            max_reorg_depth=10,
            burial_depth=burial_depth,
            fixed_difficulty=False,
            genesis_bits=0x201FFFFF,
            spacing=10,
            half_life=100,
        )
        self.light, self.headers = LightWorld(spec), Headers(spec)

    def timely(self, parent: Header, length: int) -> list[Header]:
        chain = self.headers.chain(parent, length)
        self.light.submit_all(chain)
        return chain

    def late(self, parent: Header, length: int) -> list[Header]:
        """The first is late and has 8 still; the difficulty of those on it falls to the limit."""
        first = self.headers.on(parent, time=parent.time + 5_000)
        chain = [first, *self.headers.chain(first, length - 1)]
        self.light.submit_all(chain)
        return chain

    def counts(self) -> tuple[int, int, int]:
        """Height of the tip, depth of the deepest change, number of deep ones."""
        return self.light.reader.best()[1], self.light.view("deepestReorg"), self.light.view("deepReorgs")


def test_what_was_buried_under_a_higher_tip_is_not_forgotten() -> None:
    """The first change lowers the tip and takes back nothing buried; the second is as shallow, but does."""
    net = Uneven(burial_depth=3)
    base = net.timely(net.headers.genesis, 4)
    net.late(base[3], 3)
    assert net.counts() == (7, 0, 0)
    net.timely(base[3], 2)
    assert net.counts() == (6, 3, 0)
    net.timely(base[2], 4)
    assert net.counts() == (7, 3, 1)


@pytest.mark.parametrize(("fork", "length", "deep"), [(6, 4, 2), (7, 3, 1)])
def test_after_a_deep_change_only_what_is_still_there_counts(fork: int, length: int, deep: int) -> None:
    """Blocks 1 to 8 stay buried, those that were buried above are gone."""
    net = Uneven(burial_depth=3)
    base = net.timely(net.headers.genesis, 8)
    net.late(base[7], 4)
    net.timely(base[7], 2)
    assert net.counts() == (10, 4, 1)
    net.timely(base[fork], length)
    assert net.counts() == (11, 4, deep)


def test_a_branch_one_deeper_than_the_limit_is_refused_as_the_node_leaves_it(
    light: LightWorld, headers: Headers
) -> None:
    base = headers.chain(headers.genesis, 2)
    best, other = headers.chain(base[-1], LIMIT + 1), headers.chain(base[-1], LIMIT + 2)
    taken = [*base, *best[:-1], *other[:-2], best[-1], other[-2]]
    light.submit_all(taken)
    light.time = other[-1].time
    assert light.refused(other[-1]) == "deep"
    ledger = open_bare(SPEC, FixedClock(light.time))
    for header in [*taken, other[-1]]:
        ledger.accept_block(BareBlock(header))
    assert ledger.head.hash == light.reader.best()[0] == best[-1].hash
    assert ledger.deep_branches()[0].hash == other[-1].hash
    ledger.accept_deep_reorg(other[-1].hash)
    allow(light, other[-1].hash)
    light.submit(other[-1])
    assert ledger.head.hash == light.reader.best()[0] == other[-1].hash


def test_a_fork_from_far_below_is_refused_at_its_first_header(light: LightWorld, headers: Headers) -> None:
    chain = headers.chain(headers.genesis, LIMIT + 2)
    light.submit_all(chain)
    assert light.refused(headers.on(chain[0])) == "deep"
    assert light.refused(headers.on(chain[1])) == ""


# --- the owner's word ------------------------------------------------------------------------------------


def allow(light: LightWorld, hash_: bytes) -> None:
    light.call(OWNER, "proposeDeepBranch", hash_)
    light.time += light.spec.bridge.owner_delay
    light.call(OWNER, "allowDeepBranch", hash_)


def deep_branch(light: LightWorld, headers: Headers) -> list[Header]:
    """A branch that more work stands behind than behind the best chain, and that forks too deep."""
    light.submit_all(headers.chain(headers.genesis, LIMIT + 4))
    branch = headers.chain(headers.genesis, LIMIT + 5)
    assert light.refused(branch[0]) == "deep"
    return branch


@pytest.mark.parametrize("place", [0, 3, LIMIT + 4])
def test_the_owner_allows_a_deep_branch_by_any_block_of_it(place: int) -> None:
    light, headers = LightWorld(SPEC), Headers(SPEC)
    branch = deep_branch(light, headers)
    allow(light, branch[place].hash)
    light.submit_all(branch)
    assert light.reader.best() == (branch[-1].hash, LIMIT + 5, 2 * (LIMIT + 5))
    assert (light.view("deepestReorg"), light.view("deepReorgs")) == (LIMIT + 4, 1)
    assert light.view("allowedBranch") == bytes(32)
    assert light.refused(headers.on(branch[0])) == "deep"


def test_a_block_of_another_branch_or_of_the_best_allows_nothing(light: LightWorld, headers: Headers) -> None:
    branch = deep_branch(light, headers)
    side = headers.on(branch[0])
    for hash_ in (headers.genesis.hash, light.reader.best()[0], side.hash, b"\x77" * 32):
        allow(light, hash_)
        for header in [*branch[:-1], side]:
            if not light.reader.knows(header.hash):
                light.submit(header)
        assert light.refused(branch[-1]) == "deep"
    allow(light, branch[1].hash)
    assert light.refused(branch[-1]) == ""


def test_a_block_that_is_allowed_elsewhere_is_in_nobodys_way() -> None:
    """It stands higher than the branch that becomes the best, which is shallow and needs no permission."""
    net = Uneven(burial_depth=3)
    base = net.timely(net.headers.genesis, 4)
    tall = net.late(base[3], 3)
    allow(net.light, tall[-1].hash)
    net.timely(base[3], 2)
    assert net.counts() == (6, 3, 0)
    assert net.light.view("allowedBranch") == tall[-1].hash
    with pytest.raises(Reverted, match="not on the best chain"):
        net.light.view("heightOf", tall[-1].hash)


def test_the_owner_must_announce_and_wait(light: LightWorld) -> None:
    wanted, delay = b"\x11" * 32, light.spec.bridge.owner_delay
    with pytest.raises(Reverted, match="not proposed"):
        light.call(OWNER, "allowDeepBranch", wanted)
    with pytest.raises(Reverted, match="not proposed"):
        light.call(OWNER, "allowDeepBranch", bytes(32))
    with pytest.raises(Reverted, match="zero"):
        light.call(OWNER, "proposeDeepBranch", bytes(32))
    light.call(OWNER, "proposeDeepBranch", wanted)
    assert events(light) == ["DeepBranchProposed"]
    assert light.view("proposedTime") == light.time + delay
    light.time += delay - 1
    with pytest.raises(Reverted, match="too early"):
        light.call(OWNER, "allowDeepBranch", wanted)
    light.time += 1
    with pytest.raises(Reverted, match="not proposed"):
        light.call(OWNER, "allowDeepBranch", b"\x12" * 32)
    light.call(OWNER, "allowDeepBranch", wanted)
    assert events(light) == ["DeepBranchAllowed"]
    assert light.view("allowedBranch") == wanted
    light.call(OWNER, "cancelDeepBranch")
    assert events(light) == ["DeepBranchCancelled"]
    assert light.view("allowedBranch") == bytes(32)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("proposeDeepBranch", (b"\x11" * 32,)),
        ("allowDeepBranch", (b"\x11" * 32,)),
        ("cancelDeepBranch", ()),
        ("transferOwnership", (ANYBODY,)),
    ],
)
def test_nobody_else_has_the_owners_word(light: LightWorld, name: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(Reverted, match="only the owner"):
        light.call(ANYBODY, name, *arguments)


def test_the_ownership_moves_in_two_steps(light: LightWorld) -> None:
    with pytest.raises(Reverted, match="not offered"):
        light.call(ANYBODY, "acceptOwnership")
    with pytest.raises(Reverted, match="not offered"):
        light.call(bytes(20), "acceptOwnership")
    light.call(OWNER, "transferOwnership", ANYBODY)
    light.call(OWNER, "cancelDeepBranch")
    light.call(ANYBODY, "acceptOwnership")
    assert light.view("owner") == "0x" + ANYBODY.hex()
    with pytest.raises(Reverted, match="only the owner"):
        light.call(OWNER, "cancelDeepBranch")


@pytest.mark.parametrize("paused", [False, True])
def test_with_a_bridge_it_must_be_paused(paused: bool) -> None:
    light = LightWorld(SPEC, bridge=True)
    # answers isPaused(0) with `paused`, reverts for any other door
    light.put_code(BRIDGE, bytes.fromhex(f"600435600e57600{paused:d}5f5260205ff35b5f5ffd"))
    if paused:
        allow(light, b"\x11" * 32)
        return
    with pytest.raises(Reverted, match="the bridge is not paused"):
        allow(light, b"\x11" * 32)


# --- inclusion -------------------------------------------------------------------------------------------


def leaves(count: int) -> list[bytes]:
    return [sha256(bytes((place % 256, place // 256))).digest() for place in range(count)]


def block_of(light: LightWorld, root: bytes, parent: bytes | None = None) -> Header:
    """A submitted header on the tip (or elsewhere) with this Merkle root."""
    light.time += 4
    header = solve(
        Header.build(0x2000_0000, parent or light.reader.best()[0], root, light.time, EASY_BITS, 0)
    )
    light.submit(header)
    return header


def include(light: LightWorld, header: Header, leaf: bytes, index: int, branch: Sequence[bytes]) -> int:
    found: int = light.view("verifyInclusion", header.core, leaf, index, list(branch))
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 9, 13])
def test_every_leaf_is_proven_once_and_nothing_else_is(light: LightWorld, size: int) -> None:
    ids = leaves(size)
    root, _ = merkle_root(ids)
    header = block_of(light, root)
    depth = (size - 1).bit_length()
    for index, leaf in enumerate(ids):
        branch = merkle_branch(ids, index)
        assert include(light, header, leaf, index, branch) == 1
        for other in range(1 << depth):  # the same branch at any other place: a copy that fills a level
            if other != index:
                with pytest.raises(Reverted, match=r"root|duplicate"):
                    include(light, header, leaf, other, branch)
        with pytest.raises(Reverted, match="index"):
            include(light, header, leaf, index + (1 << depth), branch)
        with pytest.raises(Reverted, match="root"):
            include(light, header, bytes((leaf[0] ^ 1,)) + leaf[1:], index, branch)
        with pytest.raises(Reverted, match="root"):
            include(light, header, leaf, index, [*branch, b"\x01" * 32])


def test_a_copied_leaf_or_subtree_is_named(light: LightWorld) -> None:
    """CVE-2012-2459: five and six leaves have copies at their right edge, at other levels."""
    for size, copied in ((3, 3), (5, 5), (5, 6), (6, 6), (6, 7)):
        ids = leaves(size)
        filled = [*ids, *ids[-1:]] if size % 2 else ids
        filled = [*filled, *filled[-2:]] if len(filled) % 4 else filled
        header = block_of(light, merkle_root(ids)[0])
        with pytest.raises(Reverted, match="duplicate"):
            include(light, header, filled[copied], copied, merkle_branch(filled, copied))


def test_empty_roots_and_leaves_are_refused(light: LightWorld) -> None:
    empty = block_of(light, bytes(32))
    with pytest.raises(Reverted, match="zero"):
        include(light, empty, bytes(32), 0, [])
    with pytest.raises(Reverted, match="zero"):
        include(light, empty, b"\x01" * 32, 0, [])
    ids = [bytes(32), b"\x01" * 32]
    header = block_of(light, merkle_root(ids)[0])
    with pytest.raises(Reverted, match="zero"):
        include(light, header, ids[0], 0, merkle_branch(ids, 0))


def test_only_blocks_of_the_best_chain_prove(light: LightWorld, headers: Headers) -> None:
    leaf = b"\x05" * 32
    side = block_of(light, leaf)
    assert include(light, side, leaf, 0, []) == 1
    light.submit_all(headers.chain(headers.genesis, 2))
    with pytest.raises(Reverted, match="not on the best chain"):
        include(light, side, leaf, 0, [])
    unknown = solve(Header.build(0x2000_0000, side.hash, leaf, light.time, EASY_BITS, 0))
    with pytest.raises(Reverted, match="not on the best chain"):
        include(light, unknown, leaf, 0, [])
    with pytest.raises(Reverted, match="size"):
        light.view("verifyInclusion", side.core[:79], leaf, 0, [])


def test_a_proof_has_at_most_14_levels(light: LightWorld) -> None:
    leaf, branch = b"\x05" * 32, leaves(15)
    header = block_of(light, branch_root(leaf, branch[:14], 0b10110011100101))
    assert include(light, header, leaf, 0b10110011100101, branch[:14]) == 1
    deeper = block_of(light, branch_root(leaf, branch, 0))
    with pytest.raises(Reverted):
        include(light, deeper, leaf, 0, branch)


# --- what calls cost -------------------------------------------------------------------------------------


def test_a_plain_header_costs_at_most_150_000(light: LightWorld, headers: Headers) -> None:
    chain = headers.chain(headers.genesis, 64)
    costs, of_transactions = [], []
    for place, header in enumerate(chain):
        light.time = header.time
        if place % 2:
            assert light.transaction(light_client.submit(header.encode())).status == 1
            of_transactions.append(light.gas_used)
        else:
            light.submit(header)
            costs.append(light.gas_used)
    assert max(costs) <= 125_000
    assert max(of_transactions) <= 150_000
    assert light.reader.best()[0] == chain[-1].hash


def merged_costs(light: LightWorld, chain: ChainBuilder, *, transaction: bool, **changes: Any) -> int:
    header = chain.merged(chain.block(chain.genesis), **changes).header
    light.time = header.time
    if transaction:
        assert light.transaction(light_client.submit(header.encode())).status == 1
    else:
        light.submit(header)
    return light.gas_used


def coinbase_like_a_pools(record: AuxPow) -> AuxPow:
    """About 300 bytes, in a parent block of some thousand transactions."""
    (item,) = record.coinbase.inputs
    outputs = [
        TxOut(1, b"\x00\x14" + bytes(20)),
        TxOut(0, b"\x6a" + bytes(37)),
        TxOut(0, b"\x6a" + bytes(60)),
    ]
    branch = (b"\x55" * 32,) * 12
    return replace(record, coinbase=Transaction.build(1, [item], outputs), coinbase_branch=branch)


def many_outputs(record: AuxPow) -> AuxPow:
    """As many outputs as 2,048 bytes hold, and branches of 30."""
    outputs = [TxOut(1, b"")] * ((2_048 - 4 - 1 - 41 - len(record.coinbase.inputs[0].script) - 5) // 9)
    coinbase = Transaction.build(1, record.coinbase.inputs, outputs)
    return replace(record, coinbase=coinbase, coinbase_branch=(b"\x55" * 32,) * 30)


def long_branches(record: AuxPow) -> AuxPow:
    return replace(record, coinbase_branch=(b"\x55" * 32,) * 30)


def test_a_merged_mined_header_costs_at_most_500_000(light: LightWorld) -> None:
    chain = ChainBuilder(SPEC)
    for transaction in (False, True):
        cost = merged_costs(
            light,
            chain,
            transaction=transaction,
            depth=4,
            script=lambda text: b"\x03abc" + text + bytes(40),
            edit=coinbase_like_a_pools,
        )
        assert cost <= 225_000


def test_the_worst_record_leaves_room_for_eight_in_a_block(light: LightWorld) -> None:
    chain = ChainBuilder(SPEC)
    filler = 2_048 - 4 - 1 - 36 - 3 - 4 - 1 - 10 - 4 - 44
    worst = merged_costs(
        light,
        chain,
        transaction=False,
        depth=30,
        script=lambda text: bytes(filler) + text,
        edit=long_branches,
    )
    assert worst <= 600_000
    assert merged_costs(light, chain, transaction=False, depth=30, edit=many_outputs) <= 600_000


def test_a_switch_costs_no_more_for_being_deep() -> None:
    """720 blocks give way to 721 in one call: nothing is written for each of them."""
    spec = story_spec(max_reorg_depth=720, burial_depth=12)
    light, headers = LightWorld(spec), Headers(spec)
    light.submit_all(headers.chain(headers.genesis, 720))
    branch = headers.chain(headers.genesis, 721)
    light.submit_all(branch)
    assert light.gas_used <= 350_000
    assert light.reader.best()[0] == branch[-1].hash
    assert (light.view("deepestReorg"), light.view("deepReorgs")) == (720, 1)
    costs = []
    for height in range(0, 722, 7):
        assert light.view("hashAt", height) == light.reader.hash_at(height)
        costs.append(light.gas_used)
    assert max(costs) <= 80_000
