"""Addresses, their history, and what an exchange follows, over RPC."""

from collections.abc import Callable
from typing import Any

import pytest
from bip32 import BIP32
from chaingen.owners import KeyHash
from pow_rpc_world import RpcRefused, World

from ioex_chain.crypto.address import deposit_script, encode_witness, reserve_change_script
from ioex_chain.pow.pool_events import Left
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import display
from ioex_chain.rpc.pow.watch import WatchedAccount
from ioex_chain.wallet.errors import InvalidExtendedKey
from ioex_chain.wallet.hd import Account, Purpose

ACCOUNT = bytes(range(20))


async def refused(world: World, method: str, *params: object, **named: object) -> tuple[int, str]:
    with pytest.raises(RpcRefused) as caught:
        await world.call(method, *params, **named)
    return caught.value.code, caught.value.message


# --- validateaddress -------------------------------------------------------------------------------------


async def test_addresses_of_every_form() -> None:
    w = World()
    shown = await w.call("validateaddress", w.address(w.bob.script))
    assert shown["isvalid"] is True
    assert shown["scriptPubKey"] == w.bob.script.hex()
    assert (shown["witness_version"], shown["witness_program"]) == (0, w.bob.script[2:].hex())
    assert shown["isscript"] is False
    deposit = await w.call("validateaddress", w.address(deposit_script(ACCOUNT)))
    assert deposit["dpos_address"].lower() == "0x" + ACCOUNT.hex()
    assert (await w.call("validateaddress", w.address(reserve_change_script())))["type"] == "ioex_reserve"
    upper = await w.call("validateaddress", w.address(w.bob.script).upper())
    assert upper["address"] == w.address(w.bob.script)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "bech32"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "begins with 'bc'"),
        (encode_witness("ioex", 0, bytes(20)), "begins with 'ioex'"),
        (encode_witness("riox", 0, bytes(20))[:-1] + "q", "checksum"),
        (encode_witness("riox", 2, bytes(32)), "no outputs of witness version 2"),
        (encode_witness("riox", 1, bytes(20)), "no outputs of witness version 1"),
    ],
)
async def test_addresses_that_cannot_be_paid(address: str, said: str) -> None:
    w = World()
    shown = await w.call("validateaddress", address)
    assert shown["isvalid"] is False
    assert said in shown["error"]
    assert (await refused(w, "getreceivedbyaddress", address))[0] == -5
    assert (await refused(w, "listunspent", addresses=[address]))[0] == -5


async def test_validateaddress_takes_text_only() -> None:
    assert (await refused(World(), "validateaddress", 5))[0] == -3
    assert (await refused(World(), "validateaddress", "x" * 201))[0] == -8


# --- listunspent and getreceivedbyaddress ----------------------------------------------------------------


async def test_unspent_outputs_of_an_address() -> None:
    w = World()
    alice = w.address(w.alice.script)
    listed = await w.call("listunspent", addresses=[alice])
    assert listed == await w.call("listunspent", 1, 9_999_999, [alice])
    assert [(item["txid"], item["vout"]) for item in listed] == [(display(w.second.txid), 1)]
    assert listed[0]["amount"] == 1.99995
    assert listed[0]["confirmations"] == 1
    assert listed[0]["spendable"] is True
    assert listed[0]["safe"] is True


async def test_the_mempool_takes_coins_away_and_brings_others() -> None:
    w = World()
    alice, bob = w.address(w.alice.script), w.address(w.bob.script)
    w.wait()
    assert await w.call("listunspent", addresses=[bob]) == []
    listed = await w.call("listunspent", 0, 9, [alice, bob])
    assert sorted((item["amount"], item["confirmations"]) for item in listed) == [
        (1.0, 0),
        (1.99995, 1),
        (1.99996, 0),
    ]
    assert {item["safe"] for item in listed if item["confirmations"] == 0} == {False}
    assert len(await w.call("listunspent", 0, 9, [alice, bob], False)) == 1
    assert len(await w.call("listunspent", 0, 0, [alice, bob])) == 2


async def test_immature_coinbases_are_left_out_unless_asked_for() -> None:
    w = World()
    miner = w.address(w.chain.miner.script)
    listed = await w.call("listunspent", addresses=[miner])
    assert {item["confirmations"] for item in listed} == {4, 5}
    options = {"include_immature_coinbase": True}
    every = await w.call("listunspent", addresses=[miner], query_options=options)
    assert len(every) == 5
    assert [item["spendable"] for item in every] == [item["confirmations"] >= 4 for item in every]


async def test_reserve_outputs_are_never_spendable() -> None:
    w = World()
    listed = await w.call("listunspent", addresses=[w.address(reserve_change_script())])
    assert {item["spendable"] for item in listed} == {False}


async def test_filters_of_listunspent() -> None:
    w = World()
    split = w.chain.spend(w.chain.take(), [(n * 10**8, w.bob) for n in (1, 2, 3, 4)], fee=1_000)
    w.ledger.accept_block(w.chain.block(w.blocks[5], [split]))
    bob = w.address(w.bob.script)

    async def amounts(**options: Any) -> list[float]:
        listed = await w.call("listunspent", addresses=[bob], query_options=options)
        return [item["amount"] for item in listed]

    assert await amounts() == [3, 1, 2, 3, 4]
    assert await amounts(minimumAmount=2, maximumAmount="3.0") == [3, 2, 3]
    assert await amounts(maximumCount=2) == [3, 1]
    assert await amounts(minimumSumAmount=5) == [3, 1, 2]
    assert [item["amount"] for item in await w.call("listunspent", 2, 9, [bob])] == [3]


@pytest.mark.parametrize(
    ("named", "code", "name"),
    [
        ({}, -8, "addresses"),
        ({"addresses": []}, -8, "addresses"),
        ({"addresses": "x"}, -3, "addresses"),
        ({"addresses": [5]}, -3, "addresses"),
        ({"minconf": -1}, -8, "minconf"),
        ({"maxconf": "x"}, -3, "maxconf"),
        ({"include_unsafe": 1}, -3, "include_unsafe"),
        ({"query_options": 1}, -3, "query_options"),
        ({"query_options": {"maximumCount": 0}}, -8, "query_options"),
        ({"query_options": {"minimumAmount": "x"}}, -8, "query_options"),
        ({"wallet": "x"}, -8, "wallet"),
    ],
)
async def test_wrong_parameters_of_listunspent(named: dict[str, Any], code: int, name: str) -> None:
    answered = await refused(World(), "listunspent", **named or {"minconf": 1})
    assert answered[0] == code
    assert answered[1].startswith(name)


async def test_an_address_given_twice() -> None:
    w = World()
    bob = w.address(w.bob.script)
    code, message = await refused(w, "listunspent", addresses=[bob, bob.upper()])
    assert (code, "duplicated" in message) == (-8, True)


async def test_received_counts_what_was_spent_too() -> None:
    w = World()
    alice = w.address(w.alice.script)
    assert await w.call("getreceivedbyaddress", alice) == 5 + 1.99995
    assert await w.call("getreceivedbyaddress", alice, 2) == 5
    assert await w.call("getreceivedbyaddress", alice, 9) == 0
    w.wait()
    assert await w.call("getreceivedbyaddress", alice, 0) == 5 + 1.99995 + 1


async def test_received_leaves_immature_coinbases_out() -> None:
    w = World()
    miner = w.address(w.chain.miner.script)
    assert await w.call("getreceivedbyaddress", miner) == 8
    assert await w.call("getreceivedbyaddress", miner, 1, True) == 20.00015
    assert (await refused(w, "getreceivedbyaddress", miner, -1))[0] == -8
    assert (await refused(w, "getreceivedbyaddress", miner, 1, "x"))[0] == -3


@pytest.mark.parametrize("method", ["listunspent", "getaddresshistory", "listsinceblock"])
async def test_without_the_index_the_answer_says_so(method: str) -> None:
    w = World(indexes=False)
    code, message = await refused(w, method, addresses=[w.address(w.bob.script)])
    assert (code, "address index" in message) == (-1, True)


# --- history ---------------------------------------------------------------------------------------------


async def test_history_sums_up_to_the_balance() -> None:
    w = World()
    w.wait()
    addresses = [w.address(w.alice.script), w.address(w.bob.script)]
    page = await w.call("getaddresshistory", addresses)
    assert page["next"] is None
    assert page["bestblock"] == display(w.blocks[5].hash)
    found = [(row["height"], row["category"], row["amount"], row["confirmations"]) for row in page["rows"]]
    assert found[0] == (4, "received", 5.0, 2)
    assert {row[:3] for row in found[1:4]} == {
        (5, "received", 3.0),
        (5, "received", 1.99995),
        (5, "spent", -5.0),
    }
    assert {row[1:] for row in found[4:]} == {
        ("received", 1.0, 0),
        ("received", 1.99996, 0),
        ("spent", -3.0, 0),
    }
    listed = await w.call("listunspent", 0, 9, addresses)
    balance = round(sum(row[2] for row in found), 8)
    assert balance == round(sum(item["amount"] for item in listed), 8)


@pytest.mark.parametrize("method", ["getaddresshistory", "listunspent"])
async def test_what_a_block_takes_during_the_call_is_told_once(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = World()
    w.wait()
    block = w.chain.block(w.blocks[5], [w.waiting])
    plain = w.backend.call

    async def call_then_connect(function: Callable[[], Any]) -> Any:
        result = await plain(function)
        w.ledger.accept_block(block)
        return result

    monkeypatch.setattr(w.backend, "call", call_then_connect)
    addresses = [w.address(w.alice.script)]
    if method == "listunspent":
        found = await w.call(method, 0, 9, addresses)
        assert sorted(item["amount"] for item in found) == [1.0, 1.99995]
    else:
        rows = (await w.call(method, addresses))["rows"]
        assert [row["amount"] for row in rows if row["txid"] == display(w.waiting.txid)] == [1.0]


async def test_a_spent_row_names_spender_and_output() -> None:
    w = World()
    page = await w.call("getaddresshistory", [w.address(w.alice.script)], 100, None, False)
    spent = next(row for row in page["rows"] if row["category"] == "spent")
    assert (spent["txid"], spent["n"]) == (display(w.second.txid), 0)
    assert (spent["prev_txid"], spent["prev_vout"]) == (display(w.tx.txid), 0)
    assert spent["blockhash"] == display(w.blocks[5].hash)


async def test_pages_join_without_gap_or_overlap() -> None:
    w = World()
    tip = w.blocks[5]
    for _ in range(6):
        tip = w.chain.block(tip, [w.chain.spend(w.chain.take(), [(10**8, w.bob)] * 2, fee=1_000)])
        w.ledger.accept_block(tip)
    bob = [w.address(w.bob.script)]
    whole = (await w.call("getaddresshistory", bob, 1_000))["rows"]
    rows: list[Any] = []
    after = None
    while True:
        page = await w.call("getaddresshistory", bob, 3, after)
        rows += page["rows"]
        assert len(page["rows"]) <= 3
        after = page["next"]
        if after is None:
            break
    assert rows == whole
    assert len(rows) == 13


@pytest.mark.parametrize(
    ("params", "code", "name"),
    [
        ((), -1, "addresses"),
        (("x",), -3, "addresses"),
        ((["x"],), -5, "addresses"),
        ((["BOB"], 0), -8, "count"),
        ((["BOB"], 1_001), -8, "count"),
        ((["BOB"], "1"), -3, "count"),
        ((["BOB"], 1, "x"), -8, "after"),
        ((["BOB"], 1, 5), -3, "after"),
        ((["BOB"], 1, None, 1), -3, "include_mempool"),
    ],
)
async def test_wrong_parameters_of_history(params: tuple[Any, ...], code: int, name: str) -> None:
    w = World()
    bob = w.address(w.bob.script)
    given = [[bob] if value == ["BOB"] else value for value in params]
    answered = await refused(w, "getaddresshistory", *given)
    assert answered[0] == code
    assert answered[1].startswith(name)


# --- listsinceblock --------------------------------------------------------------------------------------

NODE = BIP32.from_seed(b"an exchange's seed for tests", network="test")
TPUB = NODE.get_xpub_from_path("m/84'/1'/0'")
EXCHANGE = Account.parse(TPUB)


HOT = KeyHash(NODE.get_privkey_from_path("m/84'/1'/0'/0/7"))


def receives(index: int) -> bytes:
    return EXCHANGE.script(0, index)


def pay(w: World, script: bytes, units: int = 10**8) -> Transaction:
    return w.chain.spend(w.chain.take(), [(units, script)], fee=1_000)


async def test_deposits_since_a_block() -> None:
    w = World()
    one, two = pay(w, receives(0)), pay(w, receives(3), 2 * 10**8)
    b6 = w.chain.block(w.blocks[5], [one])
    b7 = w.chain.block(b6, [two])
    for block in (b6, b7):
        w.ledger.accept_block(block)
    first = await w.call("listsinceblock", keys=[TPUB])
    assert [(row["category"], row["amount"], row["path"]) for row in first["transactions"]] == [
        ("receive", 1.0, "0/0"),
        ("receive", 2.0, "0/3"),
    ]
    assert first["transactions"][0]["blockhash"] == display(b6.hash)
    assert (first["transactions"][0]["blockheight"], first["transactions"][0]["blockindex"]) == (6, 1)
    assert first["transactions"][0]["key"] == TPUB
    assert first["lastblock"] == display(b7.hash)
    since = await w.call("listsinceblock", blockhash=display(b6.hash), keys=[TPUB])
    assert [row["amount"] for row in since["transactions"]] == [2.0]
    assert (await w.call("listsinceblock", blockhash=first["lastblock"], keys=[TPUB]))["transactions"] == []


async def test_lastblock_lags_so_that_deposits_are_seen_until_they_are_deep_enough() -> None:
    w = World()
    answer = await w.call("listsinceblock", target_confirmations=3, keys=[TPUB])
    assert answer["lastblock"] == display(w.blocks[3].hash)
    assert (await w.call("listsinceblock", target_confirmations=99, keys=[TPUB]))["lastblock"] == display(
        w.blocks[0].hash
    )


async def test_deposits_in_the_mempool_have_no_confirmations() -> None:
    w = World()
    w.wait(pay(w, receives(1)))
    row = (await w.call("listsinceblock", keys=[TPUB]))["transactions"][0]
    assert row["confirmations"] == 0
    assert "blockhash" not in row


async def test_a_reorganisation_tells_what_it_took_back() -> None:
    w = World()
    stays, goes = pay(w, receives(0)), pay(w, receives(1), 3 * 10**8)
    b6 = w.chain.block(w.blocks[5], [stays, goes])
    w.ledger.accept_block(b6)
    seen = await w.call("listsinceblock", keys=[TPUB])
    assert seen["removed"] == []
    other = w.chain.block(w.blocks[5], [stays])
    last = w.chain.block(other)
    w.ledger.accept_block(other)
    w.ledger.accept_block(last)
    answer = await w.call("listsinceblock", blockhash=seen["lastblock"], keys=[TPUB])
    removed = {row["txid"]: row for row in answer["removed"]}
    assert removed[display(stays.txid)]["confirmations"] == 2
    assert removed[display(stays.txid)]["blockhash"] == display(b6.hash)
    assert removed[display(goes.txid)]["confirmations"] == 0  # back in the mempool
    again = {row["txid"]: row["confirmations"] for row in answer["transactions"]}
    assert again == {display(stays.txid): 2, display(goes.txid): 0}
    w.backend.mempool.remove(
        next(entry for entry in w.backend.mempool if entry.txid == goes.txid), Left.EXPIRED
    )
    answer = await w.call("listsinceblock", blockhash=seen["lastblock"], keys=[TPUB])
    assert {row["txid"]: row["confirmations"] for row in answer["removed"]}[display(goes.txid)] == -1
    quiet = await w.call("listsinceblock", blockhash=seen["lastblock"], include_removed=False, keys=[TPUB])
    assert quiet["removed"] == []


async def test_withdrawals_are_sends_and_change_stays_quiet() -> None:
    w = World()
    deposit = w.chain.spend(w.chain.take(), [(10**9, HOT)], fee=1_000)
    b6 = w.chain.block(w.blocks[5], [deposit])
    funds = w.chain.funds(deposit)
    change = EXCHANGE.script(1, 0)
    out = w.chain.spend(funds, [(4 * 10**8, w.bob), (6 * 10**8 - 2_000, change)])
    b7 = w.chain.block(b6, [out])
    w.ledger.accept_block(b6)
    w.ledger.accept_block(b7)
    rows = (await w.call("listsinceblock", blockhash=display(b6.hash), keys=[TPUB]))["transactions"]
    assert [(row["category"], row["amount"], row["fee"]) for row in rows] == [("send", -4.0, -0.00002)]
    assert rows[0]["address"] == w.address(w.bob.script)
    rows = (await w.call("listsinceblock", blockhash=display(b6.hash), include_change=True, keys=[TPUB]))[
        "transactions"
    ]
    assert [(row["category"], row["amount"]) for row in rows] == [("send", -4.0), ("receive", 5.99998)]
    assert rows[1]["path"] == "1/0"


async def test_mining_income_is_immature_and_then_generated() -> None:
    w = World()
    b6 = w.chain.block(w.blocks[5], payout=receives(0))
    w.ledger.accept_block(b6)
    row = (await w.call("listsinceblock", keys=[TPUB]))["transactions"][0]
    assert (row["category"], row["generated"], row["amount"]) == ("immature", True, 4.0)
    for block in w.chain.extend(b6, 3):
        w.ledger.accept_block(block)
    assert (await w.call("listsinceblock", keys=[TPUB]))["transactions"][0]["category"] == "generate"


async def test_the_gap_limit_is_twenty_behind_the_last_used() -> None:
    w = World()
    w.wait(pay(w, receives(20)))  # the 21st: behind 20 unused ones
    assert (await w.call("listsinceblock", keys=[TPUB]))["transactions"] == []
    w.wait(pay(w, receives(5)))
    rows = (await w.call("listsinceblock", keys=[TPUB]))["transactions"]
    assert {row["path"] for row in rows} == {"0/5", "0/20"}


async def test_single_addresses_can_be_watched() -> None:
    w = World()
    rows = (await w.call("listsinceblock", addresses=[w.address(w.alice.script)]))["transactions"]
    assert [(row["category"], row["amount"]) for row in rows] == [
        ("receive", 5.0),
        ("send", -3.0),
        ("send", -1.99995),
        ("receive", 1.99995),
    ]
    assert "key" not in rows[0]


async def test_keys_may_say_their_form() -> None:
    w = World()
    taproot = Account.parse(TPUB, Purpose.P2TR).script(0, 0)
    w.wait(pay(w, taproot))
    w.wait(pay(w, receives(0)))
    zpub = EXCHANGE.export(main=False)
    for key, script in ((f"tr({TPUB})", taproot), (f"wpkh({TPUB})", receives(0)), (zpub, receives(0))):
        rows = (await w.call("listsinceblock", keys=[key]))["transactions"]
        assert [row["address"] for row in rows] == [w.address(script)]


@pytest.mark.parametrize(
    ("named", "code", "name"),
    [
        ({"blockhash": "ab"}, -8, "blockhash"),
        ({"blockhash": "ab" * 32, "keys": [TPUB]}, -5, "Block not found"),
        ({"target_confirmations": 0}, -8, "target_confirmations"),
        ({"target_confirmations": "1"}, -3, "target_confirmations"),
        ({"include_removed": 1}, -3, "include_removed"),
        ({"include_change": "x"}, -3, "include_change"),
        ({"include_watchonly": "x"}, -3, "include_watchonly"),
        ({"keys": TPUB}, -3, "keys"),
        ({"keys": []}, -8, "keys"),
        ({"keys": [TPUB, "x"]}, -5, "keys[1]"),
        ({"keys": [TPUB[:-1]]}, -5, "keys[0]"),
        ({"keys": [NODE.get_xpriv()]}, -5, "keys[0]"),
        ({"addresses": ["x"]}, -5, "addresses"),
    ],
)
async def test_wrong_parameters_of_listsinceblock(named: dict[str, Any], code: int, name: str) -> None:
    answered = await refused(World(), "listsinceblock", **named)
    assert answered[0] == code
    assert answered[1].startswith(name)
    assert NODE.get_xpriv() not in answered[1]


def test_accounts_are_derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    account = WatchedAccount(TPUB)
    first = account.discover(lambda script: False)
    assert len(first) == 40
    monkeypatch.setattr(Account, "script", None)
    assert account.discover(lambda script: False) == first
    with pytest.raises(InvalidExtendedKey):
        WatchedAccount("nonsense")
