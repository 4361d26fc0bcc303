"""Sending, testing and looking up unconfirmed transactions over RPC."""

from typing import Any

import pytest
from pow_rpc_world import RpcRefused, World

from ioex_chain.primitives.types import display

NOWHERE = "ab" * 32


async def refused(world: World, method: str, *params: object, **named: object) -> tuple[int, str]:
    with pytest.raises(RpcRefused) as caught:
        await world.call(method, *params, **named)
    return caught.value.code, caught.value.message


async def test_send_gives_the_id_and_announces() -> None:
    w = World()
    assert await w.call("sendrawtransaction", w.waiting.raw.hex(), authorized=False) == display(
        w.waiting.txid
    )
    assert w.backend.announced == [w.waiting]
    assert await w.call("getrawmempool") == [display(w.waiting.txid)]


async def test_sending_twice_is_no_error_and_announces_once() -> None:
    w = World()
    first = await w.call("sendrawtransaction", w.waiting.raw.hex())
    assert await w.call("sendrawtransaction", w.waiting.raw.hex()) == first
    assert w.backend.announced == [w.waiting]


async def test_refusals_have_cores_codes_and_words() -> None:
    w = World()
    chain = w.chain
    spent = chain.spend(chain.funds(w.tx), [(10**8, w.bob)], fee=9_000)
    assert (await refused(w, "sendrawtransaction", spent.raw.hex()))[0] == -25
    assert (await refused(w, "sendrawtransaction", spent.raw.hex()))[1].startswith(
        "bad-txns-inputs-missingorspent"
    )
    assert await refused(w, "sendrawtransaction", w.second.raw.hex()) == (
        -27,
        "Transaction outputs already in utxo set",
    )
    cheap = chain.spend(chain.funds(w.second), [(10**8, w.bob)], fee=1)
    assert (await refused(w, "sendrawtransaction", cheap.raw.hex()))[0] == -26
    assert (await refused(w, "sendrawtransaction", cheap.raw.hex()))[1].startswith("min relay fee not met")
    young = chain.spend(chain.coinbase_funds(w.blocks[5]), [(10**8, w.bob)], fee=1_000)
    code, message = await refused(w, "sendrawtransaction", young.raw.hex())
    assert (code, message.split(":")[0]) == (-26, "bad-txns-premature-spend-of-coinbase")
    forged = w.waiting.with_witnesses([(w.waiting.inputs[0].witness[0], bytes(33))])
    code, message = await refused(w, "sendrawtransaction", forged.raw.hex())
    assert (code, message.split(":")[0]) == (-26, "mandatory-script-verify-flag-failed")
    coinbase = w.blocks[5].transactions[0]
    assert (await refused(w, "sendrawtransaction", coinbase.raw.hex()))[0] == -26
    assert len(w.backend.mempool) == 0


async def test_a_fee_that_looks_like_a_mistake_is_refused() -> None:
    w = World()
    dear = w.chain.spend(w.chain.funds(w.second), [(10**8, w.bob)], fee=10**8)
    code, message = await refused(w, "sendrawtransaction", dear.raw.hex())
    assert code == -25
    assert message.startswith("Fee exceeds maximum configured by user")
    assert (await refused(w, "sendrawtransaction", dear.raw.hex(), "4.2"))[0] == -25
    tested = (await w.call("testmempoolaccept", [dear.raw.hex()]))[0]
    assert tested["reject-reason"] == "max-fee-exceeded"
    assert (await w.call("testmempoolaccept", [dear.raw.hex()], 0))[0]["allowed"] is True
    assert await w.call("sendrawtransaction", dear.raw.hex(), 0) == display(dear.txid)


async def test_burning_is_refused_before_the_rules_refuse_it() -> None:
    w = World()
    funds = w.chain.funds(w.second)
    burn = w.chain.spend(funds, [(5_000, b"\x6a\x01x")], fee=1_000)
    code, message = await refused(w, "sendrawtransaction", burn.raw.hex())
    assert (code, message.split(" ")[0]) == (-25, "Unspendable")
    code, message = await refused(w, "sendrawtransaction", hexstring=burn.raw.hex(), maxburnamount=1)
    assert (code, message.split(":")[0]) == (-26, "datacarrier")


@pytest.mark.parametrize(
    ("params", "code", "name"),
    [
        ((), -1, "hexstring"),
        ((5,), -3, "hexstring"),
        (("00", "x"), -8, "maxfeerate"),
        (("00", -1), -8, "maxfeerate"),
        (("00", "0.000000001"), -8, "maxfeerate"),
        (("00", []), -8, "maxfeerate"),
        (("00", 0, "x"), -8, "maxburnamount"),
    ],
)
async def test_wrong_parameters_of_sendrawtransaction(params: tuple[Any, ...], code: int, name: str) -> None:
    answered = await refused(World(), "sendrawtransaction", *params)
    assert answered[0] == code
    assert answered[1].startswith(name)


async def test_testmempoolaccept_changes_nothing() -> None:
    w = World()
    other = w.chain.spend(w.chain.take(), [(10**8, w.bob)], fee=1)
    good, bad = await w.call("testmempoolaccept", [w.waiting.raw.hex(), other.raw.hex()])
    assert good["allowed"] is True
    assert good["vsize"] == w.waiting.size
    assert good["fees"]["base"] == 0.00004
    assert good["fees"]["effective-feerate"] == (4_000 * 1_000 // w.waiting.size) / 10**8
    assert good["fees"]["effective-includes"] == [display(w.waiting.wtxid)]
    assert (bad["allowed"], bad["reject-reason"]) == (False, "min relay fee not met")
    assert len(w.backend.mempool) == 0


@pytest.mark.parametrize(
    ("params", "code", "name"),
    [
        (([],), -8, "rawtxs"),
        ((["00"] * 26,), -8, "rawtxs"),
        (("00",), -3, "rawtxs"),
        (([5],), -3, "rawtxs"),
        ((["00"],), -22, "TX decode failed"),
        ((["00"], "x"), -8, "maxfeerate"),
    ],
)
async def test_wrong_parameters_of_testmempoolaccept(params: tuple[Any, ...], code: int, name: str) -> None:
    answered = await refused(World(), "testmempoolaccept", *params)
    assert answered[0] == code
    assert answered[1].startswith(name)


async def test_entries_show_their_family() -> None:
    w = World()
    parent = w.wait()
    child_tx = w.chain.spend(w.chain.funds(w.waiting), [(10**6, w.bob)], fee=2_000)
    child = w.wait(child_tx)
    entries = await w.call("getrawmempool", True)
    assert set(entries) == {parent, child}
    assert entries[parent] == await w.call("getmempoolentry", parent)
    assert entries[parent]["spentby"] == [child]
    assert entries[child]["depends"] == [parent]
    assert entries[child]["ancestorcount"] == 2
    assert entries[child]["fees"]["ancestor"] == 0.00006
    assert entries[parent]["fees"]["descendant"] == 0.00006
    assert entries[parent]["vsize"] == w.waiting.size
    assert entries[parent]["height"] == 5
    assert await w.call("getmempoolancestors", child) == [parent]
    assert await w.call("getmempooldescendants", parent) == [child]
    assert await w.call("getmempooldescendants", parent, True) == {child: entries[child]}
    assert set(await w.call("getmempoolancestors", child, True)) == {parent}


@pytest.mark.parametrize("method", ["getmempoolentry", "getmempoolancestors", "getmempooldescendants"])
async def test_what_is_not_in_the_mempool(method: str) -> None:
    assert await refused(World(), method, NOWHERE) == (-5, "Transaction not in mempool")
    assert (await refused(World(), method, "ab"))[0] == -8
    assert (await refused(World(), method, 7))[0] == -3


async def test_mempool_figures() -> None:
    w = World()
    w.wait()
    info = await w.call("getmempoolinfo")
    assert (info["size"], info["bytes"]) == (1, w.waiting.size)
    assert info["total_fee"] == 0.00004
    assert info["minrelaytxfee"] == info["mempoolminfee"] == 0.00001
    assert info["fullrbf"] is True
    listed = await w.call("getrawmempool", False, True)
    assert listed == {"txids": [display(w.waiting.txid)], "mempool_sequence": w.backend.mempool.version}
    assert (await refused(w, "getrawmempool", True, True))[0] == -8
    assert (await refused(w, "getrawmempool", 1))[0] == -3


async def test_estimates_say_why_there_is_none() -> None:
    answer = await World().call("estimatesmartfee", 6)
    assert answer["errors"] == ["Insufficient data or no feerate found"]
    assert "feerate" not in answer


async def test_an_estimate_from_what_confirmed() -> None:
    w = World()
    tip = w.blocks[5]
    for _ in range(14):
        pays = [
            w.chain.spend(w.chain.take(form), [(10**8, w.bob)], fee=22_000) for form in ("p2wpkh", "p2tr")
        ]
        for tx in pays:
            w.wait(tx)
        tip = w.chain.block(tip, pays)
        w.ledger.accept_block(tip)
    answer = await w.call("estimatesmartfee", 2)
    assert 0.0008 < answer["feerate"] < 0.0013
    assert answer["blocks"] == 2
    assert await w.call("estimatesmartfee", 2, "CONSERVATIVE") == answer


@pytest.mark.parametrize(
    ("params", "code", "name"),
    [
        ((), -1, "conf_target"),
        ((0,), -8, "conf_target"),
        ((1_009,), -8, "conf_target"),
        (("6",), -3, "conf_target"),
        ((6, "fast"), -8, "estimate_mode"),
    ],
)
async def test_wrong_parameters_of_estimatesmartfee(params: tuple[Any, ...], code: int, name: str) -> None:
    answered = await refused(World(), "estimatesmartfee", *params)
    assert answered[0] == code
    assert answered[1].startswith(name)
