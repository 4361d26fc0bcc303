"""Transactions, scripts, the set of unspent outputs and inclusion proofs over RPC."""

from hashlib import sha256
from typing import Any

import pytest
from bitcoin.core.script import CScript
from chaingen.owners import ScriptHash, private_key
from pow_rpc_world import RpcRefused, World

from ioex_chain.crypto.address import deposit_script, reserve_change_script, witness_script
from ioex_chain.crypto.hashes import sha256d
from ioex_chain.pow.utxo import scan_coins
from ioex_chain.primitives.merkle import merkle_root
from ioex_chain.primitives.types import display
from ioex_chain.rpc.pow.proofs import BadProof, PartialTree
from ioex_chain.rpc.pow.scripts import disassemble

NOWHERE = "ab" * 32
ACCOUNT = bytes(range(20))


async def refused(world: World, method: str, *params: object, **named: object) -> tuple[int, str]:
    with pytest.raises(RpcRefused) as caught:
        await world.call(method, *params, **named)
    return caught.value.code, caught.value.message


# --- getrawtransaction -----------------------------------------------------------------------------------


async def test_a_confirmed_transaction_in_its_three_forms() -> None:
    w = World()
    txid = display(w.second.txid)
    assert await w.call("getrawtransaction", txid) == w.second.raw.hex()
    one = await w.call("getrawtransaction", txid, 1)
    assert one["blockhash"] == display(w.blocks[5].hash)
    assert one["confirmations"] == 1
    assert one["time"] == one["blocktime"] == w.blocks[5].header.time
    assert "fee" not in one
    assert "in_active_chain" not in one
    two = await w.call("getrawtransaction", txid, 2)
    assert two["fee"] == 0.00005
    assert two["vin"][0]["prevout"]["height"] == 4


async def test_a_transaction_of_the_mempool() -> None:
    w = World()
    txid = w.wait()
    shown = await w.call("getrawtransaction", txid, 2)
    assert "blockhash" not in shown
    assert shown["fee"] == 0.00004
    assert shown["vin"][0]["prevout"]["value"] == 3
    child = w.chain.spend(w.chain.funds(w.waiting), [(10**6, w.bob)], fee=2_000)
    shown = await w.call("getrawtransaction", w.wait(child), 2)
    assert shown["vin"][0]["prevout"]["height"] == 6  # not confirmed yet: the next block's


async def test_a_transaction_in_a_named_block() -> None:
    w = World()
    txid, blockhash = display(w.second.txid), display(w.blocks[5].hash)
    assert (await w.call("getrawtransaction", txid, 1, blockhash))["in_active_chain"] is True
    stale = display(w.stale.transactions[0].txid)
    shown = await w.call("getrawtransaction", stale, 1, display(w.stale.hash))
    assert (shown["in_active_chain"], shown["confirmations"]) == (False, 0)
    message = "No such transaction found in the provided block."
    assert await refused(w, "getrawtransaction", stale, 1, blockhash) == (-5, message)
    assert await refused(w, "getrawtransaction", txid, 1, NOWHERE) == (-5, "Block not found")


async def test_an_unknown_transaction_is_minus_five() -> None:
    w = World()
    code, message = await refused(w, "getrawtransaction", NOWHERE)
    assert (code, message) == (-5, "No such mempool or blockchain transaction.")
    bare = World(indexes=False)
    code, message = await refused(bare, "getrawtransaction", display(bare.second.txid))
    assert code == -5
    assert "no transaction index" in message
    shown = await bare.call("getrawtransaction", display(bare.second.txid), 1, display(bare.blocks[5].hash))
    assert shown["confirmations"] == 1


async def test_the_coinbase_shows_its_script_and_no_output_spent() -> None:
    w = World()
    shown = await w.call("getrawtransaction", display(w.blocks[5].transactions[0].txid), 2)
    assert set(shown["vin"][0]) == {"coinbase", "sequence", "txinwitness"}
    assert shown["vout"][0]["value"] == 20
    assert shown["vout"][0]["scriptPubKey"]["type"] == "ioex_deposit"
    assert shown["vout"][2]["scriptPubKey"]["type"] == "nulldata"


@pytest.mark.parametrize(
    ("params", "code", "name"),
    [
        ((), -1, "txid"),
        ((1,), -3, "txid"),
        (("ab",), -8, "txid"),
        ((NOWHERE, 3), -8, "verbosity"),
        ((NOWHERE, "1"), -3, "verbosity"),
        ((NOWHERE, 1, "ab"), -8, "blockhash"),
        ((NOWHERE, 1, 5), -3, "blockhash"),
        ((NOWHERE, 1, NOWHERE, 1), -1, "params"),
    ],
)
async def test_wrong_parameters_of_getrawtransaction(params: tuple[Any, ...], code: int, name: str) -> None:
    answered = await refused(World(), "getrawtransaction", *params)
    assert answered[0] == code
    assert answered[1].startswith(name)


# --- decoding --------------------------------------------------------------------------------------------


async def test_decode_gives_what_getrawtransaction_gives() -> None:
    w = World()
    decoded = await w.call("decoderawtransaction", w.second.raw.hex())
    shown = await w.call("getrawtransaction", display(w.second.txid), 1)
    assert decoded == {name: shown[name] for name in decoded}
    assert await w.call("decoderawtransaction", w.second.raw.hex(), True) == decoded
    assert decoded["weight"] == 3 * w.second.stripped_size + w.second.size
    assert decoded["vsize"] == -(-decoded["weight"] // 4)


@pytest.mark.parametrize("text", ["", "00", "zz", "0", "02000000 00", "ff" * 60])
@pytest.mark.parametrize("method", ["decoderawtransaction", "sendrawtransaction"])
async def test_what_is_no_transaction_is_minus_22(method: str, text: str) -> None:
    code, message = await refused(World(), method, text)
    assert code == -22
    assert message.startswith("TX decode failed")


async def test_decodescript_of_a_multisig_tells_its_address_and_that_it_can_be_spent() -> None:
    w = World()
    owner = ScriptHash(tuple(private_key(f"k{n}") for n in range(3)), 2, kind="multisig")
    shown = await w.call("decodescript", owner.witness_script.hex())
    assert shown["type"] == "multisig"
    assert shown["segwit"]["address"] == w.address(owner.script)
    assert shown["segwit"]["spendable"] is True
    assert shown["asm"].endswith("3 OP_CHECKMULTISIG")


async def test_decodescript_warns_of_a_script_that_nothing_spends() -> None:
    shown = await World().call("decodescript", "5187")  # 1 OP_EQUAL
    assert (shown["type"], shown["segwit"]["spendable"]) == ("nonstandard", False)


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (witness_script(0, bytes(20)), "witness_v0_keyhash"),
        (witness_script(0, bytes(32)), "witness_v0_scripthash"),
        (witness_script(1, bytes(32)), "witness_v1_taproot"),
        (witness_script(2, bytes(32)), "witness_unknown"),
        (deposit_script(ACCOUNT), "ioex_deposit"),
        (reserve_change_script(), "ioex_reserve"),
        (b"\x6a\x02hi", "nulldata"),
        (b"\x76\xa9\x14" + bytes(20) + b"\x88\xac", "pubkeyhash"),
        (b"\xa9\x14" + bytes(20) + b"\x87", "scripthash"),
        (b"\x21\x02" + bytes(32) + b"\xac", "pubkey"),
        (b"\x4c\xff", "nonstandard"),
        (b"", "nonstandard"),
    ],
)
async def test_script_types_have_cores_names(script: bytes, kind: str) -> None:
    shown = await World().call("decodescript", script.hex())
    assert shown["type"] == kind
    assert ("dpos_address" in shown) is (kind == "ioex_deposit")
    if kind == "ioex_deposit":
        assert shown["dpos_address"].lower() == "0x" + ACCOUNT.hex()


async def test_decodescript_refuses_what_is_no_hex() -> None:
    assert await refused(World(), "decodescript", "zz") == (
        -8,
        "hexstring: not an even number of hex digits",
    )
    assert (await refused(World(), "decodescript", 5))[0] == -3
    assert (await refused(World(), "decodescript", "00" * 10_001))[0] == -8


def test_every_opcode_has_the_name_that_another_library_gives() -> None:
    other = {
        "OP_NOP2": "OP_CHECKLOCKTIMEVERIFY",
        "OP_NOP3": "OP_CHECKSEQUENCEVERIFY",
    }
    for opcode in range(0x61, 0xBA):
        name = str(next(iter(CScript(bytes((opcode,))))))
        assert disassemble(bytes((opcode,))) == other.get(name, name), hex(opcode)
    assert disassemble(bytes.fromhex("00514f6003010203")) == "0 1 -1 16 197121"
    assert disassemble(b"\x02\x01\x80") == "-1"
    assert disassemble(b"\x05\x01") == "[error]"


# --- unspent outputs -------------------------------------------------------------------------------------


async def test_gettxout() -> None:
    w = World()
    txid = display(w.second.txid)
    shown = await w.call("gettxout", txid, 0)
    assert shown["value"] == 3
    assert shown["confirmations"] == 1
    assert shown["coinbase"] is False
    assert shown["bestblock"] == display(w.blocks[5].hash)
    assert await w.call("gettxout", display(w.tx.txid), 0) is None  # spent
    assert await w.call("gettxout", txid, 9) is None
    assert (await w.call("gettxout", display(w.chain.genesis.transactions[0].txid), 5))["coinbase"] is True


async def test_gettxout_looks_through_the_mempool_unless_told_not_to() -> None:
    w = World()
    txid = w.wait()
    assert await w.call("gettxout", display(w.second.txid), 0) is None
    assert (await w.call("gettxout", display(w.second.txid), 0, False))["value"] == 3
    assert (await w.call("gettxout", txid, 0))["confirmations"] == 0
    assert await w.call("gettxout", txid, 0, False) is None


@pytest.mark.parametrize(
    ("params", "code", "name"),
    [
        ((NOWHERE,), -1, "n"),
        ((NOWHERE, "0"), -3, "n"),
        ((NOWHERE, -1), -8, "n"),
        ((NOWHERE, 2**32), -8, "n"),
        ((NOWHERE, 0, 1), -3, "include_mempool"),
    ],
)
async def test_wrong_parameters_of_gettxout(params: tuple[Any, ...], code: int, name: str) -> None:
    answered = await refused(World(), "gettxout", *params)
    assert answered[0] == code
    assert answered[1].startswith(name + ":")


async def test_set_info_is_cores_hash_over_the_set() -> None:
    w = World()
    many = w.chain.fan_out(w.chain.take(), 300, w.alice)  # output 256 sorts before 1 in the store
    w.ledger.accept_block(w.chain.block(w.blocks[5], [many]))
    info = await w.call("gettxoutsetinfo")
    coins = sorted(
        scan_coins(w.ledger.view()),
        key=lambda pair: (pair[0][:32], int.from_bytes(pair[0][32:], "little")),
    )
    data = b"".join(
        outpoint
        + (coin.height * 2 + coin.is_coinbase).to_bytes(4, "little")
        + coin.value.to_bytes(8, "little")
        + bytes((len(coin.script),))
        + coin.script
        for outpoint, coin in coins
    )
    assert info["hash_serialized_3"] == display(sha256d(data))
    assert info["txouts"] == len(coins)
    assert info["transactions"] == len({outpoint[:32] for outpoint, _ in coins})
    assert round(info["total_amount"] * 10**8) == sum(coin.value for _, coin in coins)
    assert "hash_serialized_3" not in await w.call("gettxoutsetinfo", "none")


@pytest.mark.parametrize(("value", "code"), [("muhash", -8), (5, -8), ("", -8)])
async def test_other_hashes_of_the_set_are_refused(value: Any, code: int) -> None:
    answered = await refused(World(), "gettxoutsetinfo", value)
    assert answered[0] == code
    assert answered[1].startswith("hash_type:")


# --- proofs ----------------------------------------------------------------------------------------------


async def test_a_proof_leads_to_its_transactions() -> None:
    w = World()
    wanted = [display(w.second.txid)]
    proof = await w.call("gettxoutproof", wanted)
    assert proof.startswith(w.blocks[5].header.encode().hex())
    assert await w.call("verifytxoutproof", proof) == wanted
    assert await w.call("gettxoutproof", wanted, display(w.blocks[5].hash)) == proof
    both = [display(tx.txid) for tx in w.blocks[5].transactions]
    assert await w.call("verifytxoutproof", await w.call("gettxoutproof", both)) == both


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
def test_partial_trees_of_every_shape(count: int) -> None:
    leaves = [sha256(bytes((n,))).digest() for n in range(count)]
    for mask in range(1 << count if count < 8 else 64):
        matches = [bool(mask >> n & 1) for n in range(count)]
        tree = PartialTree.build(leaves, matches)
        root, found = tree.extract()
        assert root == merkle_root(leaves)[0]
        assert found == [leaf for leaf, match in zip(leaves, matches, strict=True) if match]


def test_a_tree_with_anything_too_much_or_too_little_is_refused() -> None:
    leaves = [sha256(bytes((n,))).digest() for n in range(5)]
    tree = PartialTree.build(leaves, [False, True, False, False, False])
    for changed in (
        PartialTree(5, tree.hashes[:-1], tree.bits),
        PartialTree(5, [*tree.hashes, bytes(32)], tree.bits),
        PartialTree(5, tree.hashes, tree.bits[:2]),
        PartialTree(5, tree.hashes, tree.bits + [False] * 16),
        PartialTree(5, tree.hashes, [*tree.bits, True]),  # in the last byte's padding
    ):
        with pytest.raises(BadProof):
            changed.extract()
    twin = PartialTree(4, [leaves[0], leaves[1], leaves[0], leaves[1]], [True] * 7)
    with pytest.raises(BadProof):
        twin.extract()


async def test_proofs_that_cannot_be_made() -> None:
    w = World()
    one, two = display(w.second.txid), display(w.tx.txid)
    assert await refused(w, "gettxoutproof", [NOWHERE]) == (-5, "Transaction not yet in block")
    message = "Not all transactions found in specified or retrieved block"
    assert await refused(w, "gettxoutproof", [one, two]) == (-5, message)
    assert (await refused(w, "gettxoutproof", [one, one]))[0] == -8
    assert (await refused(w, "gettxoutproof", []))[0] == -8
    assert (await refused(w, "gettxoutproof", one))[0] == -3
    assert (await refused(w, "gettxoutproof", [5]))[0] == -3
    assert (await refused(w, "gettxoutproof", [one], NOWHERE))[0] == -5


async def test_proofs_that_do_not_hold() -> None:
    w = World()
    proof = bytes.fromhex(await w.call("gettxoutproof", [display(w.second.txid)]))
    changed = bytearray(proof)
    changed[90] ^= 1  # a hash
    assert await w.call("verifytxoutproof", changed.hex()) == []
    assert (await refused(w, "verifytxoutproof", proof[:-1].hex()))[0] == -22
    assert (await refused(w, "verifytxoutproof", (proof + b"\0").hex()))[0] == -22
    assert (await refused(w, "verifytxoutproof", "zz"))[0] == -22
    assert (await refused(w, "verifytxoutproof", 5))[0] == -3
    stale = await w.call("gettxoutproof", [display(w.stale.transactions[0].txid)], display(w.stale.hash))
    assert await refused(w, "verifytxoutproof", stale) == (-5, "Block not found in chain")
