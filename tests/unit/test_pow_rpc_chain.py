"""Blocks, headers, tips and the operator's commands over RPC."""

from typing import Any

import pytest
from pow_rpc_world import RpcRefused, World

from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.primitives.types import display

NOWHERE = "ab" * 32


async def refused(world: World, method: str, *params: object) -> tuple[int, str]:
    with pytest.raises(RpcRefused) as caught:
        await world.call(method, *params)
    return caught.value.code, caught.value.message


async def test_heights_and_hashes() -> None:
    w = World()
    assert await w.call("getblockcount") == 5
    assert await w.call("getbestblockhash") == display(w.blocks[5].hash)
    assert [await w.call("getblockhash", n) for n in range(6)] == [display(b.hash) for b in w.blocks]
    assert await refused(w, "getblockhash", 6) == (
        -8,
        "height: Block height out of range (the chain's height is 5)",
    )


async def test_blockchain_info() -> None:
    w = World()
    info = await w.call("getblockchaininfo")
    assert (info["chain"], info["blocks"], info["headers"]) == ("dev", 5, 5)
    assert info["bestblockhash"] == display(w.blocks[5].hash)
    assert int(info["chainwork"], 16) == 6 * 2  # six blocks of two expected hashes each, genesis counted
    assert info["mediantime"] == w.chain.median_time(w.blocks[5])
    assert info["difficulty"] == await w.call("getdifficulty")
    assert info["warnings"] == ["careful"]


async def test_a_header_known_without_its_body_counts_in_headers() -> None:
    w = World()
    ahead = w.chain.block(w.blocks[5])
    await w.call("submitheader", ahead.header.encode().hex())
    info = await w.call("getblockchaininfo")
    assert (info["blocks"], info["headers"]) == (5, 6)
    assert info["verificationprogress"] < 1
    assert (await w.call("getblockheader", display(ahead.hash)))["nTx"] == 0
    assert (await refused(w, "getblock", display(ahead.hash)))[0] == -1


async def test_header() -> None:
    w = World()
    block = w.blocks[4]
    header = await w.call("getblockheader", display(block.hash))
    assert header["height"] == 4
    assert header["confirmations"] == 2
    assert header["nTx"] == 2
    assert header["previousblockhash"] == display(w.blocks[3].hash)
    assert header["nextblockhash"] == display(w.blocks[5].hash)
    assert header["versionHex"] == "20000000"
    assert await w.call("getblockheader", display(block.hash), False) == block.header.encode().hex()


async def test_genesis_has_no_previous_block_and_the_head_no_next() -> None:
    w = World()
    assert "previousblockhash" not in await w.call("getblockheader", display(w.blocks[0].hash))
    assert "nextblockhash" not in await w.call("getblockheader", display(w.blocks[5].hash))


async def test_a_stale_block_has_minus_one_confirmations() -> None:
    w = World()
    w.ledger.accept_block(w.chain.block(w.blocks[5]))
    stale = await w.call("getblock", display(w.stale.hash), 2)
    assert stale["confirmations"] == -1
    assert "nextblockhash" not in stale


async def test_a_version_with_the_top_bit_is_negative_as_in_core() -> None:
    w = World()
    block = w.chain.block(w.blocks[5], version=0xE000_0000)
    w.ledger.accept_block(block)
    header = await w.call("getblockheader", display(block.hash))
    assert (header["version"], header["versionHex"]) == (-(1 << 29), "e0000000")


async def test_block_in_hex_reads_back() -> None:
    w = World()
    text = await w.call("getblock", display(w.blocks[5].hash), 0)
    assert Block.decode(bytes.fromhex(text)) == w.blocks[5]
    assert await w.call("getblock", display(w.blocks[5].hash), False) == text


async def test_block_with_ids() -> None:
    w = World()
    block = await w.call("getblock", display(w.blocks[5].hash))
    assert block["tx"] == [display(tx.txid) for tx in w.blocks[5].transactions]
    assert block["size"] == len(w.blocks[5].raw)
    assert block["weight"] == 3 * block["strippedsize"] + block["size"]
    assert block == await w.call("getblock", display(w.blocks[5].hash), True)


async def test_block_with_transactions_has_fees_and_with_prevouts_what_they_spend() -> None:
    w = World()
    two = (await w.call("getblock", display(w.blocks[5].hash), 2))["tx"]
    assert "fee" not in two[0]
    assert two[1]["fee"] == 0.00005
    assert two[1]["hex"] == w.second.raw.hex()
    assert "prevout" not in two[1]["vin"][0]
    three = (await w.call("getblock", display(w.blocks[5].hash), 3))["tx"]
    assert three[1]["vin"][0]["prevout"]["value"] == 5
    assert three[1]["vin"][0]["prevout"]["height"] == 4
    assert three[1]["vin"][0]["prevout"]["generated"] is False
    assert three[1]["vin"][0]["prevout"]["scriptPubKey"]["address"] == w.address(w.alice.script)


async def test_prevouts_made_in_the_same_block_are_found() -> None:
    w = World()
    parent = w.chain.spend(w.chain.take(), [(10**8, w.alice)], fee=1_000)
    child = w.chain.spend(w.chain.funds(parent), [(10**7, w.bob)], fee=1_000)
    w.ledger.accept_block(w.chain.block(w.blocks[5], [parent, child]))
    block = await w.call("getblockbyheight", 6, 3)
    assert block["tx"][2]["vin"][0]["prevout"]["height"] == 6
    assert [tx.get("fee") for tx in block["tx"]] == [None, 0.00001, 0.00001]


async def test_a_genesis_coin_is_a_generated_prevout() -> None:
    w = World()
    block = await w.call("getblockbyheight", 4, 3)
    assert block["tx"][1]["vin"][0]["prevout"]["generated"] is True


async def test_without_the_index_there_are_no_fees() -> None:
    w = World(indexes=False)
    assert "fee" not in (await w.call("getblockbyheight", 5, 3))["tx"][1]


async def test_merged_block_shows_its_record_as_namecoin_does() -> None:
    w = World()
    merged = w.chain.merged(w.chain.block(w.blocks[5]))
    w.ledger.accept_block(merged)
    header = await w.call("getblockheader", display(merged.hash))
    assert header["auxpow"]["chainindex"] == merged.header.auxpow.chain_index  # type: ignore[union-attr]
    assert len(header["auxpow"]["chainmerklebranch"]) == 2
    text = await w.call("getblockheader", display(merged.hash), False)
    assert Header.decode(bytes.fromhex(text)) == merged.header


async def test_tips() -> None:
    w = World()
    lonely = w.chain.extend(w.blocks[2], 2)
    w.ledger.accept_header(lonely[0].header)
    w.ledger.accept_header(lonely[1].header)
    bad = w.chain.block(w.blocks[4], fees=1)
    w.ledger.accept_block(bad)
    tips = await w.call("getchaintips")
    assert tips[0] == {
        "height": 5,
        "hash": display(w.blocks[5].hash),
        "branchlen": 0,
        "status": "active",
    }
    by_hash = {tip["hash"]: (tip["status"], tip["branchlen"]) for tip in tips}
    assert by_hash[display(w.stale.hash)] == ("valid-headers", 1)
    assert by_hash[display(lonely[1].hash)] == ("headers-only", 2)
    await w.call("invalidateblock", display(w.stale.hash))
    after = {tip["hash"]: tip["status"] for tip in await w.call("getchaintips")}
    assert after[display(w.stale.hash)] == "invalid"


async def test_a_branch_that_was_left_is_a_valid_fork() -> None:
    w = World()
    w.ledger.accept_block(w.chain.block(w.stale))
    tips = {tip["hash"]: tip["status"] for tip in await w.call("getchaintips")}
    assert tips[display(w.blocks[5].hash)] == "valid-fork"


async def test_invalidate_and_reconsider() -> None:
    w = World()
    await w.call("invalidateblock", display(w.blocks[4].hash))
    assert await w.call("getblockcount") == 3
    await w.call("reconsiderblock", display(w.blocks[4].hash))
    assert await w.call("getbestblockhash") == display(w.blocks[5].hash)
    assert await refused(w, "invalidateblock", NOWHERE) == (-5, "Block not found")
    assert await refused(w, "reconsiderblock", NOWHERE) == (-5, "Block not found")
    assert (await refused(w, "invalidateblock", display(w.chain.genesis.hash)))[0] == -25


async def test_a_deep_reorganisation_waits_for_the_operator() -> None:
    w = World()
    depth = w.chain.spec.pow.max_reorg_depth
    for block in w.chain.extend(w.blocks[5], depth + 1):
        w.ledger.accept_block(block)
    other = w.chain.extend(w.stale, depth + 2)
    for block in other:
        w.ledger.accept_block(block)
    assert await w.call("getblockcount") == depth + 6
    info = await w.call("getblockchaininfo")
    assert any(display(other[-1].hash) in warning for warning in info["warnings"])
    assert await w.call("acceptdeepreorg", display(other[-1].hash)) is True
    assert await w.call("getbestblockhash") == display(other[-1].hash)
    assert await refused(w, "acceptdeepreorg", NOWHERE) == (-5, "Block not found")


@pytest.mark.parametrize(
    "method",
    ["getblock", "getblockheader", "invalidateblock", "reconsiderblock", "acceptdeepreorg"],
)
@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        (5, -3, "blockhash: must be a string"),
        (None, -3, "blockhash"),
        ("abc", -8, "blockhash: must be of length 64 (not 3, for 'abc')"),
        ("zz" * 32, -8, "blockhash: must be hexadecimal string"),
    ],
)
async def test_a_wrong_hash_is_named(method: str, value: Any, code: int, said: str) -> None:
    answered = await refused(World(), method, value)
    assert answered[0] == code
    assert answered[1].startswith(said)


@pytest.mark.parametrize("method", ["getblockhash", "getblockbyheight"])
@pytest.mark.parametrize(("value", "code"), [("5", -3), (1.5, -3), (True, -3), (-1, -8), (2**40, -8)])
async def test_a_wrong_height_is_named(method: str, value: Any, code: int) -> None:
    answered = await refused(World(), method, value)
    assert answered[0] == code
    assert answered[1].startswith("height:")


@pytest.mark.parametrize(("value", "code"), [("1", -3), (4, -8), (-1, -8), ([], -3)])
async def test_a_wrong_verbosity_is_named(value: Any, code: int) -> None:
    w = World()
    answered = await refused(w, "getblock", display(w.blocks[5].hash), value)
    assert answered[0] == code
    assert answered[1].startswith("verbosity")


async def test_too_many_parameters_are_refused_with_the_usage() -> None:
    code, message = await refused(World(), "getblockcount", 1)
    assert code == -1
    assert "getblockcount" in message


async def test_writing_needs_authentication() -> None:
    w = World()
    for method in ("invalidateblock", "reconsiderblock", "acceptdeepreorg"):
        with pytest.raises(RpcRefused) as caught:
            await w.call(method, NOWHERE, authorized=False)
        assert caught.value.code == 4100
