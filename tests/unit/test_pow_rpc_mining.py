"""Templates, submitted blocks, merged mining and blocks on demand over RPC."""

from dataclasses import replace
from typing import Any

import pytest
from chaingen.builder import auxpow, edit_coinbase, solve
from chaingen.specs import story_spec
from pow_rpc_world import RpcRefused, World, peer_info

from ioex_chain.crypto.hashes import sha256d
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction, TxOut
from ioex_chain.primitives.codec import compact
from ioex_chain.primitives.merkle import merkle_root
from ioex_chain.primitives.types import display
from ioex_chain.rpc.pow.generate import Tries, find_nonce

SEGWIT = {"rules": ["segwit"]}
NOWHERE = "ab" * 32


async def refused(world: World, method: str, *params: object, **named: object) -> tuple[int, str]:
    with pytest.raises(RpcRefused) as caught:
        await world.call(method, *params, **named)
    return caught.value.code, caught.value.message


def paid(world: World) -> dict[str, Any]:
    return {**SEGWIT, "address": world.address(world.bob.script)}


def mine(template: dict[str, Any], append: bytes = b"") -> bytes:
    """Build the block as a stock miner does: from hex alone, appending to the coinbase's script.

    It reads the script's length at byte 41, so the coinbase must come without witness marker.
    """
    coinbase = bytearray.fromhex(template["coinbasetxn"]["data"])
    assert coinbase[4] == 1
    end = 42 + coinbase[41]
    coinbase[end:end] = append
    coinbase[41] += len(append)
    ids = [sha256d(bytes(coinbase)), *(bytes.fromhex(tx["txid"])[::-1] for tx in template["transactions"])]
    header = Header.build(
        template["version"],
        bytes.fromhex(template["previousblockhash"])[::-1],
        merkle_root(ids)[0],
        template["curtime"],
        int(template["bits"], 16),
        0,
    )
    solved = solve(header)
    assert int.from_bytes(solved.hash, "little") <= int(template["target"], 16)
    rest = b"".join(bytes.fromhex(tx["data"]) for tx in template["transactions"])
    return solved.core + compact(len(ids)) + bytes(coinbase) + rest


# --- getblocktemplate ------------------------------------------------------------------------------------


@pytest.mark.parametrize("append", [b"", b"\x04/me/", b"x" * 80])
async def test_a_stock_miner_mines_from_a_template(append: bytes) -> None:
    w = World()
    w.wait()
    template = await w.call("getblocktemplate", paid(w), authorized=False)
    block = mine(template, append)
    assert await w.call("submitblock", block.hex(), authorized=False) is None
    assert await w.call("getblockcount") == 6
    assert len(w.backend.mempool) == 0
    coinbase = w.ledger.body(w.ledger.head.hash).transactions[0]
    assert coinbase.outputs[1] == TxOut(4 * 10**8 + 4_000, w.bob.script)
    assert coinbase.inputs[0].witness == (bytes(32),)


async def test_the_template_has_what_miners_read() -> None:
    w = World()
    w.wait()
    child = w.chain.spend(w.chain.funds(w.waiting), [(10**6, w.bob)], fee=9_000)
    w.wait(child)
    template = await w.call("getblocktemplate", paid(w))
    assert template["height"] == 6
    assert template["previousblockhash"] == display(w.blocks[5].hash)
    assert template["mintime"] == w.chain.median_time(w.blocks[5]) + 1
    assert [tx["txid"] for tx in template["transactions"]] == [display(w.waiting.txid), display(child.txid)]
    assert [tx["depends"] for tx in template["transactions"]] == [[], [1]]
    assert [tx["fee"] for tx in template["transactions"]] == [4_000, 9_000]
    assert template["coinbasetxn"]["fee"] == -13_000
    assert "coinbasevalue" not in template
    assert "weightlimit" not in template
    assert (template["sizelimit"], template["sigoplimit"]) == (8_000_000, 40_000)
    assert "coinbase/append" in template["mutable"]
    coinbase = Transaction.decode(bytes.fromhex(template["coinbasetxn"]["data"]))
    assert display(coinbase.txid) == template["coinbasetxn"]["txid"]
    assert coinbase.outputs[-1].script.hex() == template["default_witness_commitment"]


async def test_two_miners_get_different_work() -> None:
    w = World()
    one, two = [await w.call("getblocktemplate", paid(w)) for _ in range(2)]
    assert one["coinbasetxn"]["txid"] != two["coinbasetxn"]["txid"]
    assert one["workid"] != two["workid"]


async def test_the_nodes_own_payout_is_the_default() -> None:
    w = World(payout=b"\x00\x14" + bytes(20))
    template = await w.call("getblocktemplate", SEGWIT)
    coinbase = Transaction.decode(bytes.fromhex(template["coinbasetxn"]["data"]))
    assert coinbase.outputs[1].script == b"\x00\x14" + bytes(20)
    named = await w.call("getblocktemplate", paid(w))
    assert w.bob.script.hex() in named["coinbasetxn"]["data"]


async def test_a_template_is_kept_for_a_while_and_made_anew_on_a_new_head() -> None:
    w = World()
    assert (await w.call("getblocktemplate", paid(w)))["transactions"] == []
    w.wait()
    assert (await w.call("getblocktemplate", paid(w)))["transactions"] == []
    w.backend.clock.advance(6)
    assert len((await w.call("getblocktemplate", paid(w)))["transactions"]) == 1
    w.ledger.accept_block(w.chain.block(w.blocks[5]))
    assert (await w.call("getblocktemplate", paid(w)))["height"] == 7


async def test_the_request_is_checked() -> None:
    w = World()
    code, message = await refused(w, "getblocktemplate")
    assert code == -8
    assert "must be called with the segwit rule set" in message
    assert (await refused(w, "getblocktemplate", {"rules": []}))[0] == -8
    assert (await refused(w, "getblocktemplate", {"rules": "segwit"}))[0] == -3
    assert (await refused(w, "getblocktemplate", 5))[0] == -3
    code, message = await refused(w, "getblocktemplate", SEGWIT)
    assert (code, message.split(":")[0]) == (-8, "template_request.address")
    assert "mine_to" in message
    code, message = await refused(w, "getblocktemplate", {**SEGWIT, "address": "bc1qxx"})
    assert (code, message.split(":")[0]) == (-5, "template_request.address")
    assert (await refused(w, "getblocktemplate", {**SEGWIT, "mode": "other"}))[0] == -8


async def test_no_work_without_peers_or_while_synchronising() -> None:
    w = World()
    w.backend.peers.syncing = True
    assert (await w.call("getblocktemplate", paid(w)))["height"] == 6  # a devnet may be alone
    w.backend.spec = replace(w.backend.spec, name="testnet")
    assert await refused(w, "getblocktemplate", paid(w)) == (
        -10,
        "ioeX is in initial sync and waiting for blocks...",
    )
    w.backend.peers.connected = []
    assert await refused(w, "getblocktemplate", paid(w)) == (-9, "ioeX is not connected!")
    assert (await refused(w, "createauxblock", w.address(w.bob.script)))[0] == -9
    w.backend.peers.syncing, w.backend.peers.connected = False, [peer_info(1)]
    assert (await w.call("getblocktemplate", paid(w)))["height"] == 6


async def test_unknown_members_of_the_request_are_no_error() -> None:
    """Stock miners send limits and capabilities of their own."""
    w = World()
    request = {
        **paid(w),
        "capabilities": ["coinbasetxn", "coinbasevalue", "longpoll", "workid"],
        "sizelimit": 1,
    }
    assert (await w.call("getblocktemplate", request))["height"] == 6


async def test_a_long_poll_waits_while_its_template_is_good() -> None:
    w = World()
    first = await w.call("getblocktemplate", paid(w))
    w.backend.on_wait = lambda: w.ledger.accept_block(w.chain.block(w.blocks[5])) and None
    later = await w.call("getblocktemplate", {**paid(w), "longpollid": first["longpollid"]})
    assert later["height"] == 7
    head, version, seconds = w.backend.waited[0]
    assert (head, seconds) == (w.blocks[5].hash, 90.0)
    assert first["longpollid"].endswith(str(version))


@pytest.mark.parametrize("made_up", ["", "x", NOWHERE + "1", "zz" * 32 + "1", NOWHERE + "\u0661"])
async def test_a_long_poll_on_another_head_answers_at_once(made_up: str) -> None:
    w = World()
    await w.call("getblocktemplate", {**paid(w), "longpollid": made_up})
    assert w.backend.waited == []


# --- proposals -------------------------------------------------------------------------------------------


async def propose(w: World, block: Block) -> Any:
    return await w.call("getblocktemplate", {"mode": "proposal", "data": block.raw.hex()})


async def test_a_good_proposal_needs_no_work_and_changes_nothing() -> None:
    w = World()
    assert await propose(w, w.chain.block(w.blocks[5], solved=False)) is None
    assert await w.call("getblockcount") == 5


async def test_proposals_are_judged_in_bips_words() -> None:
    w = World()
    chain, top = w.chain, w.blocks[5]
    assert await propose(w, top) == "duplicate"
    assert await propose(w, chain.block(w.blocks[4])) == "inconclusive-not-best-prevblk"
    assert await propose(w, chain.block(top, fees=1)) == "bad-cb-amount"
    assert await propose(w, chain.block(top, height=9)) == "bad-cb-height"
    assert await propose(w, chain.block(top, bits=0x1F00FFFF, solved=False)) == "bad-diffbits"
    assert await propose(w, chain.block(top, time=chain.median_time(top))) == "time-too-old"
    now = w.backend.clock.now()
    late = chain.block(top, time=now + 10_000)
    w.backend.clock.time = now
    assert await propose(w, late) == "time-too-new"
    assert await propose(w, chain.block(top, merkle=bytes(32))) == "bad-txnmrklroot"
    again = chain.spend(chain.funds(w.tx), [(10**8, w.bob)], fee=1_000)
    assert await propose(w, chain.block(top, [again])) == "bad-txns-inputs-missingorspent"
    bad = chain.block(top, fees=1)
    w.backend.clock.time = now + 100
    await w.call("submitblock", bad.raw.hex())
    assert await propose(w, bad) == "duplicate-invalid"


async def test_what_is_no_proposal() -> None:
    w = World()
    code, message = await refused(w, "getblocktemplate", {"mode": "proposal"})
    assert code == -3
    assert "Missing data String key for proposal" in message
    code, message = await refused(w, "getblocktemplate", {"mode": "proposal", "data": "00"})
    assert (code, message.split(":")[0]) == (-22, "Block decode failed")


# --- submitblock -----------------------------------------------------------------------------------------


async def test_answers_of_submitblock() -> None:
    w = World()
    chain, top = w.chain, w.blocks[5]
    good = chain.block(top)
    assert await w.call("submitblock", good.raw.hex()) is None
    assert await w.call("submitblock", good.raw.hex(), "ignored") == "duplicate"
    assert await w.call("submitblock", chain.block(top).raw.hex()) == "inconclusive"
    assert await w.call("submitblock", chain.block(good, solved=False).raw.hex()) == "high-hash"
    greedy = chain.block(good, fees=1)
    assert await w.call("submitblock", greedy.raw.hex()) == "bad-cb-amount"
    assert await w.call("submitblock", greedy.raw.hex()) == "duplicate-invalid"
    assert await w.call("submitblock", chain.block(greedy).raw.hex()) == "bad-prevblk"
    unknown = chain.block(chain.block(good))
    assert await w.call("submitblock", unknown.raw.hex()) == "prev-blk-not-found"
    assert await w.call("submitblock", chain.block(good, merkle=bytes(32)).raw.hex()) == "bad-txnmrklroot"
    old = chain.block(good, time=chain.median_time(good))
    assert await w.call("submitblock", old.raw.hex()) == "time-too-old"
    assert await w.call("getblockcount") == 6


async def test_a_better_branch_may_be_submitted_block_by_block() -> None:
    w = World()
    branch = w.chain.extend(w.blocks[3], 3)
    answers = [await w.call("submitblock", block.raw.hex()) for block in branch]
    assert answers == ["inconclusive", "inconclusive", None]


async def test_a_block_far_behind_is_refused_before_it_is_stored() -> None:
    w = World()
    depth = w.chain.spec.pow.max_reorg_depth
    for block in w.chain.extend(w.blocks[5], depth):
        w.ledger.accept_block(block)
    late = w.chain.block(w.blocks[3])
    assert await w.call("submitblock", late.raw.hex()) == "stale-prevblk"
    assert w.ledger.entry(late.hash) is None


async def test_duplicates_and_bad_work_are_found_without_reading_the_body() -> None:
    w = World()
    assert await w.call("submitblock", w.blocks[5].raw[:80].hex() + "ff") == "duplicate"
    missed = w.chain.block(w.blocks[5], solved=False)
    assert await w.call("submitblock", missed.raw[:80].hex()) == "high-hash"


async def test_the_reserved_value_is_added_only_where_a_commitment_asks_for_it() -> None:
    w = World()
    bare = w.chain.block(w.blocks[5], coinbase=edit_coinbase(outputs=lambda outputs: outputs[:2], witness=()))
    assert await w.call("submitblock", bare.raw.hex()) == "bad-cb-commitment"
    wrong = w.chain.block(w.blocks[5], coinbase=edit_coinbase(witness=(b"\1" * 32,)))
    assert await w.call("submitblock", wrong.raw.hex()) == "bad-witness-merkle-match"


@pytest.mark.parametrize("method", ["submitblock", "submitheader"])
@pytest.mark.parametrize(("value", "code"), [("", -22), ("zz", -22), ("00", -22), (5, -3), ("0", -22)])
async def test_what_is_no_block(method: str, value: Any, code: int) -> None:
    assert (await refused(World(), method, value))[0] == code


async def test_a_block_without_coinbase_or_above_the_cap() -> None:
    w = World()
    block = w.chain.block(w.blocks[5])
    empty = block.header.encode() + b"\0"
    assert await refused(w, "submitblock", empty.hex()) == (-22, "Block does not start with a coinbase")
    assert (await refused(w, "submitblock", "00" * 8_000_001))[0] == -22
    assert (await refused(w, "submitblock", block.raw.hex() + "00"))[0] == -22


# --- headers and figures ---------------------------------------------------------------------------------


async def test_submitheader() -> None:
    w = World()
    block = w.chain.block(w.blocks[5])
    after = w.chain.block(block)
    code, message = await refused(w, "submitheader", after.header.encode().hex())
    assert (code, message) == (-25, f"Must submit previous header ({display(block.hash)}) first")
    assert await w.call("submitheader", block.header.encode().hex()) is None
    assert await w.call("submitheader", after.header.encode().hex()) is None
    missed = w.chain.block(w.blocks[5], solved=False)
    code, message = await refused(w, "submitheader", missed.header.encode().hex())
    assert (code, message.split(":")[0]) == (-25, "high-hash")


async def test_mining_figures() -> None:
    w = World()
    w.wait()
    info = await w.call("getmininginfo")
    assert (info["blocks"], info["pooledtx"], info["chain"]) == (5, 1, "dev")
    assert info["next"]["height"] == 6
    assert info["networkhashps"] == await w.call("getnetworkhashps")


async def test_hash_rate_is_work_over_time() -> None:
    w = World()
    for block in w.chain.extend(w.blocks[5], 30):
        w.ledger.accept_block(block)
    assert await w.call("getnetworkhashps", 10) == 0.5  # two hashes a block, a block in four seconds
    assert await w.call("getnetworkhashps", 10, 20) == 0.5
    assert await w.call("getnetworkhashps", -1) > 0
    assert await w.call("getnetworkhashps", 5, 0) == 0


@pytest.mark.parametrize(
    ("params", "code", "name"),
    [
        ((0,), -8, "nblocks: Invalid nblocks"),
        ((-2,), -8, "nblocks"),
        (("1",), -3, "nblocks"),
        ((1, 6), -8, "height: Block does not exist at specified height"),
        ((1, -2), -8, "height"),
        ((1, "x"), -3, "height"),
    ],
)
async def test_wrong_parameters_of_getnetworkhashps(params: tuple[Any, ...], code: int, name: str) -> None:
    answered = await refused(World(), "getnetworkhashps", *params)
    assert answered[0] == code
    assert answered[1].startswith(name)


# --- merged mining ---------------------------------------------------------------------------------------


async def work_for(w: World, given: dict[str, Any], **changes: Any) -> str:
    """Do the work for a block of createauxblock as a merged miner does, who knows no more than its hash."""

    class OnlyHash:
        hash = bytes.fromhex(given["hash"])[::-1]
        time = w.blocks[5].header.time
        bits = int(given["bits"], 16)

    return auxpow(story_spec(), OnlyHash(), **changes).encode().hex()  # type: ignore[arg-type]


async def test_a_merged_miner_mines_a_block() -> None:
    w = World()
    w.wait()
    given = await w.call("createauxblock", w.address(w.bob.script), authorized=False)
    assert given["chainid"] == w.chain.spec.pow.auxpow_chain_id
    assert given["coinbasevalue"] == 4 * 10**8 + 4_000
    assert bytes.fromhex(given["_target"])[::-1].hex() == (await w.call("getmininginfo"))["next"]["target"]
    record = await work_for(w, given)
    assert await w.call("submitauxblock", given["hash"], record, authorized=False) is True
    assert await w.call("getbestblockhash") == given["hash"]
    assert (await w.call("getblock", given["hash"]))["nTx"] == 2
    assert await w.call("submitauxblock", given["hash"], record) is False


async def test_a_record_without_work_or_for_another_block_is_false() -> None:
    w = World()
    given = await w.call("createauxblock", w.address(w.bob.script))
    assert await w.call("submitauxblock", given["hash"], await work_for(w, given, met=False)) is False
    other = {**given, "hash": NOWHERE}
    assert await w.call("submitauxblock", given["hash"], await work_for(w, other)) is False
    assert await w.call("getblockcount") == 5


async def test_wrong_parameters_of_merged_mining() -> None:
    w = World()
    given = await w.call("createauxblock", w.address(w.bob.script))
    record = await work_for(w, given)
    assert await refused(w, "submitauxblock", NOWHERE, record) == (-8, "hash: block hash unknown")
    code, message = await refused(w, "submitauxblock", given["hash"], record[:-2])
    assert (code, message.split(":")[0]) == (-22, "AuxPoW decode failed")
    assert (await refused(w, "submitauxblock", given["hash"], record + "00"))[0] == -22
    assert (await refused(w, "submitauxblock", given["hash"], 5))[0] == -3
    assert (await refused(w, "submitauxblock", "ab", record))[0] == -8
    assert (await refused(w, "createauxblock", "nonsense"))[0] == -5
    assert (await refused(w, "createauxblock", 5))[0] == -3


async def test_work_for_an_old_head_is_forgotten() -> None:
    w = World()
    given = await w.call("createauxblock", w.address(w.bob.script))
    w.ledger.accept_block(w.chain.block(w.blocks[5]))
    await w.call("createauxblock", w.address(w.bob.script))
    assert (await refused(w, "submitauxblock", given["hash"], await work_for(w, given)))[0] == -8


# --- generate --------------------------------------------------------------------------------------------


async def test_generatetoaddress() -> None:
    w = World()
    w.wait()
    hashes = await w.call("generatetoaddress", 3, w.address(w.bob.script))
    assert await w.call("getblockcount") == 8
    assert hashes[-1] == await w.call("getbestblockhash")
    assert (await w.call("getblockbyheight", 6))["nTx"] == 2
    assert await w.call("getreceivedbyaddress", w.address(w.bob.script), 1, True) == 3 + 1.99996 + 12.00004


async def test_generate_stops_when_the_tries_are_used_up() -> None:
    w = World()
    assert len(await w.call("generatetoaddress", 100, w.address(w.bob.script), 5)) < 6


def test_search_counts_its_tries_and_can_be_stopped() -> None:
    header = World().blocks[5].header
    tries = Tries(100)
    assert find_nonce(header, 0, tries) is None
    assert tries.left == 0
    stopped = Tries(10**9)
    stopped.stopped.set()
    assert find_nonce(header, 0, stopped) is None


async def test_generateblock() -> None:
    w = World()
    txid = w.wait()
    other = w.chain.spend(w.chain.take(), [(10**8, w.bob)], fee=1_000)
    address = w.address(w.bob.script)
    made = await w.call("generateblock", address, [other.raw.hex(), txid], False)
    block = Block.decode(bytes.fromhex(made["hex"]))
    assert [tx.txid for tx in block.transactions[1:]] == [other.txid, w.waiting.txid]
    assert await w.call("getblockcount") == 5
    made = await w.call("generateblock", address, [])
    assert made == {"hash": await w.call("getbestblockhash")}
    assert len(w.backend.mempool) == 1
    assert await refused(w, "generateblock", address, [NOWHERE]) == (
        -5,
        f"Transaction {NOWHERE} not in mempool.",
    )
    code, message = await refused(w, "generateblock", address, [w.second.raw.hex()])
    assert code == -25
    assert message.startswith("TestBlockValidity failed: bad-txns-inputs-missingorspent")


@pytest.mark.parametrize(
    ("method", "params", "code", "name"),
    [
        ("generatetoaddress", (0, "ADDRESS"), -8, "nblocks"),
        ("generatetoaddress", ("1", "ADDRESS"), -3, "nblocks"),
        ("generatetoaddress", (1, "x"), -5, "address"),
        ("generatetoaddress", (1, 5), -3, "address"),
        ("generatetoaddress", (1, "ADDRESS", 0), -8, "maxtries"),
        ("generateblock", ("x", []), -5, "output"),
        ("generateblock", ("ADDRESS", "x"), -3, "transactions"),
        ("generateblock", ("ADDRESS", ["zz" * 32]), -5, "transactions"),
        ("generateblock", ("ADDRESS", ["00"]), -22, "TX decode failed"),
        ("generateblock", ("ADDRESS", [], 1), -3, "submit"),
    ],
)
async def test_wrong_parameters_of_generate(
    method: str, params: tuple[Any, ...], code: int, name: str
) -> None:
    w = World()
    given = [w.address(w.bob.script) if value == "ADDRESS" else value for value in params]
    answered = await refused(w, method, *given)
    assert answered[0] == code
    assert answered[1].startswith(name)


async def test_generating_needs_authentication() -> None:
    w = World()
    with pytest.raises(RpcRefused) as caught:
        await w.call("generatetoaddress", 1, w.address(w.bob.script), authorized=False)
    assert caught.value.code == 4100
