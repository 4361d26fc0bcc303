"""What RPC tells of the bridge, over both real chains: every step of every transfer, doors, solvency."""

from dataclasses import replace
from typing import Any

import pytest
from bridge_view_world import ALICE, Refused, ViewWorld, pow_service
from sim.bridge_spec import OPERATORS, OWNER

from ioex_chain.bridge.solvency import Verdict
from ioex_chain.crypto.address import deposit_script, reserve_change_script, script_to_address
from ioex_chain.evm.types import WEI
from ioex_chain.ledger.errors import StoreError
from ioex_chain.primitives.types import COIN, display
from ioex_chain.rpc.bridge_port import DepositState, RequestState
from ioex_chain.rpc.errors import LimitExceeded
from ioex_chain.rpc.eth.ioex_bridge import BridgeApi

SCRIPT = bytes.fromhex("0014") + bytes(range(20))


@pytest.fixture
def bridge() -> ViewWorld:
    return ViewWorld()


def checked(bridge: ViewWorld) -> Any:
    """Give the solvency, which must be sound."""
    found = bridge.view.solvency().result
    assert (found.verdict, found.difference, found.broken) == (Verdict.SOUND, 0, ())
    return found


async def test_a_deposit_step_by_step(bridge: ViewWorld) -> None:
    paid = bridge.world.deposit((5 * COIN, ALICE))
    assert paid is not None
    txid = display(paid.txid)
    seen: list[tuple[Any, ...]] = []
    for _ in range(2 * bridge.k + 4):
        found = await bridge.ask("ioex_getDeposit", txid, 0)
        seen.append((found["state"], int(found["buried"], 16)))
        checked(bridge)
        if found["state"] == "paid":
            break
        bridge.world.mine() if found["state"] in ("mempool", "confirming") else None
        bridge.pass_blocks(1)
    assert seen == [
        ("mempool", 0),
        ("confirming", 0),
        ("confirming", 1),
        ("provable", bridge.k),
        ("credited", bridge.k),
        ("paid", bridge.k),
    ]
    assert found["id"] == f"{txid}:0"
    assert (found["account"], int(found["amount"], 16)) == ("0x" + ALICE.hex(), 5 * WEI)
    assert (int(found["burialDepth"], 16), found["note"]) == (bridge.k, "")
    block = bridge.world.dpos.ledger.entry_at(int(found["paid"]["blockNumber"], 16))
    assert block is not None
    assert found["paid"]["blockHash"] == "0x" + block.hash.hex()
    credit = [one.index for one in bridge.world.dpos.ledger.body(block.hash).withdrawals]
    assert int(found["creditIndex"], 16) in credit
    assert (await bridge.ask("ioex_getDeposits", txid)) == [found]
    bridge.pass_blocks(3)
    assert (await bridge.ask("ioex_getDeposit", txid, "0x0"))["paid"]["finalized"]


async def test_only_blocks_that_the_light_client_has_bury_a_deposit(bridge: ViewWorld) -> None:
    paid = bridge.world.deposit((5 * COIN, ALICE))
    assert paid is not None
    txid = display(paid.txid)
    for _ in range(bridge.k + 1):
        bridge.world.mine()  # nobody tells the DPoS chain
    found = await bridge.ask("ioex_getDeposit", txid, 0)
    assert (found["state"], found["buried"]) == ("confirming", "0x0")
    assert found["pow"]["confirmations"] == hex(bridge.k + 1)
    bridge.pass_blocks(1)
    assert (await bridge.ask("ioex_getDeposit", txid, 0))["state"] == "provable"


async def test_a_deposit_on_another_branch_than_the_light_clients_is_not_buried(bridge: ViewWorld) -> None:
    paid = bridge.world.deposit((5 * COIN, ALICE))
    assert paid is not None
    bridge.mine(2)
    bridge.world.fork_pow(2, keep=1.0)  # the same transaction in a block that the DPoS chain does not know
    found = await bridge.ask("ioex_getDeposit", display(paid.txid), 0)
    assert (found["state"], found["buried"]) == ("confirming", "0x0")
    bridge.pass_blocks(1)
    assert (await bridge.ask("ioex_getDeposit", display(paid.txid), 0))["buried"] == "0x2"


async def test_a_small_deposit_is_proven_by_whoever_wants_it(bridge: ViewWorld) -> None:
    paid = bridge.world.deposit((COIN // 1_000, ALICE))
    assert paid is not None
    txid = display(paid.txid)
    with pytest.raises(Refused, match="in no PoW block yet"):
        await bridge.ask("ioex_getDepositProof", txid, 0)
    bridge.mine(1)
    with pytest.raises(Refused, match="0 of 2 blocks upon it") as caught:
        await bridge.ask("ioex_getDepositProof", txid, 0)
    assert caught.value.code == -32002
    bridge.mine(3)
    found = await bridge.ask("ioex_getDeposit", txid, 0)
    assert (found["state"], "ioex bridge prove" in found["note"]) == ("provable", True)
    proof = await bridge.ask("ioex_getDepositProof", txid, 0)
    assert bytes.fromhex(proof["raw"][2:]) == paid.encode_stripped()
    assert checked(bridge).not_credited.unproven == WEI // 1_000
    data = bytes.fromhex(proof["data"][2:])
    bridge.world.calls.send(OWNER, bytes.fromhex(proof["to"][2:]), data)
    bridge.pass_blocks(2)
    assert (await bridge.ask("ioex_getDeposit", txid, 0))["state"] == "paid"
    with pytest.raises(Refused, match="credited already"):
        await bridge.ask("ioex_getDepositProof", txid, 0)


async def test_what_is_no_deposit(bridge: ViewWorld) -> None:
    bridge.mine(1)
    head = bridge.world.pow.head
    coinbase = await bridge.ask("ioex_getDeposit", display(head.transactions[0].txid), 0)
    assert (coinbase["state"], "counted by height" in coinbase["note"]) == ("never", True)
    genesis = bridge.world.pow.chain.genesis.transactions[0]
    vout = next(at for at, row in enumerate(genesis.outputs) if row.script == deposit_script(ALICE))
    backing = await bridge.ask("ioex_getDeposit", display(genesis.txid), vout)
    assert (backing["state"], "genesis" in backing["note"]) == ("never", True)
    with pytest.raises(Refused, match="never credited"):
        await bridge.ask("ioex_getDepositProof", display(genesis.txid), vout)
    assert await bridge.ask("ioex_getDeposit", display(genesis.txid), 0) is None  # pays a key
    assert await bridge.ask("ioex_getDeposit", display(genesis.txid), 10**6) is None
    assert await bridge.ask("ioex_getDeposit", "77" * 32, 0) is None
    assert await bridge.ask("ioex_getDeposits", "77" * 32) == []
    assert await bridge.ask("ioex_getDepositProof", "77" * 32, 0) is None


async def test_a_deposit_that_only_the_other_chain_knows(bridge: ViewWorld) -> None:
    paid = bridge.world.deposit((5 * COIN, ALICE))
    assert paid is not None
    bridge.mine(bridge.k + 1)
    bridge.pass_blocks(3)
    without = bridge.over(pow_service(ViewWorld().world.pow.ledger, {}))
    found = without.deposit(paid.txid, 0)
    assert found is not None
    assert (found.state, found.amount, found.account) == (DepositState.PAID, 5 * WEI, ALICE)
    assert "does not have its transaction" in found.note
    assert without.deposit(paid.txid, 1) is None


async def test_a_withdrawal_step_by_step(bridge: ViewWorld) -> None:
    assert await bridge.ask("ioex_getWithdrawal", 1) is None
    call = bridge.world.withdraw(ALICE, 3 * COIN, SCRIPT)
    assert await bridge.ask("ioex_getWithdrawalsByTransaction", "0x" + call.hash.hex()) is None
    seen = []
    for _ in range(8):
        bridge.world.produce()
        (found,) = await bridge.ask("ioex_getWithdrawalsByTransaction", "0x" + call.hash.hex())
        seen.append(found["state"])
        is_final = bridge.world.dpos.ledger.floor.height >= int(found["drained"]["blockNumber"], 16)
        assert found["drained"]["finalized"] is (found["state"] == "finalized") is is_final
        assert checked(bridge).unsettled == 3 * WEI
        if found["state"] == "finalized":
            break
    assert list(dict.fromkeys(seen)) == ["drained", "finalized"]
    bridge.world.produce()  # carries the certificate that proves the block final
    assert bridge.world.settle()
    bridge.world.mine()
    assert checked(bridge).unsettled == 0
    bridge.world.mine()
    found = await bridge.ask("ioex_getWithdrawal", 1)
    assert (found["number"], found["kind"], found["state"]) == ("0x1", "withdrawal", "settled")
    assert (int(found["amount"], 16), int(found["fee"], 16)) == (3 * WEI, 10_000 * 10**10)
    assert found["address"] == script_to_address(bridge.world.spec.pow.address_prefix, SCRIPT)
    assert found["requested"]["transactionHash"] == "0x" + call.hash.hex()
    assert found["requested"]["blockNumber"] == found["drained"]["blockNumber"] == hex(bridge.start + 1)
    assert found["settlement"]["confirmations"] == "0x2"
    settlement = bridge.world.pow.block_at(bridge.start + 1).transactions[1]
    assert found["settlement"]["txid"] == display(settlement.txid)
    assert settlement.outputs[0] == (3 * COIN - 10_000, SCRIPT)
    assert await bridge.ask("ioex_getWithdrawals", 1) == [found]
    assert await bridge.ask("ioex_getWithdrawals", 2, 5) == []


def test_more_withdrawals_than_a_block_drains() -> None:
    bridge = ViewWorld(max_requests=2)
    calls = [bridge.world.withdraw(ALICE, COIN // 100, SCRIPT) for _ in range(5)]
    bridge.world.produce()
    made = bridge.start + 1
    for blocks, drained in ((1, [made] * 2), (2, [made] * 2 + [made + 1] * 2)):
        found = [bridge.view.request(number) for number in range(1, 6)]
        assert [one.drained.block.height for one in found if one and one.drained] == drained, blocks
        states = [one.state for one in found if one]
        assert states[len(drained) :] == [RequestState.REQUESTED] * (5 - len(drained))
        for number, (one, call) in enumerate(zip(found, calls, strict=True), 1):
            assert one is not None
            assert one.requested is not None
            assert (one.requested.block.height, one.requested.transaction) == (made, call.hash), number
        bridge.world.produce()
    failing = bridge.world.withdraw(ALICE, COIN, SCRIPT, spare=1)
    bridge.pass_blocks(1)
    assert bridge.view.requests_of(failing.hash) == []
    assert bridge.view.request(6) is None


async def test_handovers_stand_in_the_same_stream(bridge: ViewWorld) -> None:
    spec = bridge.world.spec
    bridge.world.call(OPERATORS[0], "ArbitratorRegistry", "setStandby(bool)", True)
    for _ in range(6 * spec.dpos.seats * spec.dpos.term_rounds):
        bridge.pass_blocks(1)
        found = bridge.view.request(1)
        if found is not None:
            break
    assert found is not None, "the chain changed no set"
    shown = await bridge.ask("ioex_getWithdrawal", 1)
    assert (shown["kind"], shown["set"], "amount" in shown) == ("handover", "0x1", False)
    bridge.pass_blocks(4)
    bridge.mine(1)
    later = bridge.view.request(1)
    assert later is not None
    assert later.state is RequestState.SETTLED
    status = await bridge.ask("ioex_getBridge")
    sets = status["settlement"]
    assert "0x1" in [sets["current"]["set"], *(one["set"] for one in sets["handedOver"])]


async def test_blocks_that_the_other_chain_does_not_know_are_no_hole(bridge: ViewWorld) -> None:
    bridge.mine(4)
    assert checked(bridge).not_credited.unseen == 0
    bridge.world.mine()
    bridge.world.mine()
    found = checked(bridge)
    assert found.not_credited.unseen == 2 * 20 * WEI
    light = await bridge.ask("ioex_getLightClient")
    assert (light["bestHeight"], light["behind"], light["onBestChain"]) == (
        hex(bridge.start + 4),
        "0x2",
        True,
    )
    bridge.pass_blocks(1)
    assert (await bridge.ask("ioex_getLightClient"))["behind"] == "0x0"


def test_a_quick_look_opens_no_past_state_and_agrees_on_the_sum() -> None:
    bridge = ViewWorld()
    bridge.mine(bridge.k + 3)
    bridge.world.mine()
    quick, whole = (bridge.view.solvency(quick=wanted).result for wanted in (True, False))
    assert quick == whole  # every head was remembered
    assert quick.not_credited.unseen == 20 * WEI
    fresh = bridge.over(bridge.pow_service)
    blind = fresh.solvency(quick=True).result
    assert (blind.verdict, blind.difference) == (Verdict.SOUND, 0)
    assert blind.not_credited.unburied == whole.not_credited.total
    assert "credited deposits are buried" not in blind.checks
    assert fresh.solvency().result == whole


async def test_short_reorganisations_leave_the_figures_sound(bridge: ViewWorld) -> None:
    paid = bridge.world.deposit((5 * COIN, ALICE))
    assert paid is not None
    bridge.mine(3)
    bridge.world.fork_pow(bridge.k)
    light = await bridge.ask("ioex_getLightClient")
    assert (light["onBestChain"], light["behind"]) == (False, hex(bridge.k + 1))
    checked(bridge)
    bridge.pass_blocks(1)
    checked(bridge)
    assert (await bridge.ask("ioex_getLightClient"))["deepestReorg"] == hex(bridge.k)
    bridge.world.fork_dpos(1)
    checked(bridge)


async def test_a_deep_reorganisation_shuts_the_doors_and_is_said(bridge: ViewWorld) -> None:
    bridge.mine(bridge.k + 4)
    bridge.world.fork_pow(bridge.k + 2)
    assert bridge.view.solvency().result.verdict is Verdict.FORKED
    bridge.pass_blocks(2)
    status = await bridge.ask("ioex_getBridge")
    assert status["lightClient"]["deepReorgs"] == "0x1"
    assert not status["in"]["open"]
    assert not status["out"]["open"]
    assert "deeper than k" in status["in"]["reasons"][0]


async def test_a_node_that_is_behind_says_so_and_claims_nothing(bridge: ViewWorld) -> None:
    bridge.mine(4)
    empty = ViewWorld()
    behind = bridge.over(empty.pow_service).solvency().result
    assert behind.verdict is Verdict.POW_BEHIND
    bridge.world.withdraw(ALICE, COIN, SCRIPT)
    bridge.pass_blocks(4)
    bridge.world.mine()
    stale = empty.over(bridge.pow_service).solvency().result
    assert (stale.verdict, stale.unsettled) == (Verdict.DPOS_BEHIND, -WEI)


async def test_donations_and_retirement_have_their_places(bridge: ViewWorld) -> None:
    world = bridge.world
    gift = world.pow.pay(world.pow.spendable(world.chance), [(7 * COIN, reserve_change_script())])
    assert world.pow.offer(gift)
    world.call(ALICE, "Bridge", "retire()", value=2 * WEI)
    bridge.mine(1)
    found = checked(bridge)
    assert (found.uncreditable, found.retired) == (7 * WEI, 2 * WEI)
    answer = await bridge.ask("ioex_getSolvency")
    assert (answer["verdict"], answer["difference"], answer["broken"]) == ("sound", "0x0", [])
    assert answer["parts"]["retired"] == hex(2 * WEI)
    assert all(answer["checks"].values())


async def test_every_coin_and_every_account_is_counted(bridge: ViewWorld) -> None:
    world = bridge.world
    world.deposit((5 * COIN, ALICE))
    world.withdraw(ALICE, 3 * COIN, SCRIPT)
    world.call(ALICE, "Bridge", "retire()", value=2 * WEI)
    bridge.mine(4)
    world.mine(modest=True)
    found = await bridge.ask("ioex_countSupply")
    assert (found["sound"], found["reserveDifference"], found["balancesDifference"]) == (True, "0x0", "0x0")
    supply = {name: int(value, 16) for name, value in found["supply"].items()}
    assert supply["mined"] == 24 * WEI * world.pow.height
    assert supply["unclaimed"] == 4 * WEI  # what the modest miner left
    assert supply["total"] == int(found["unspent"], 16) == world.pow.unspent() * 10**10
    assert int(found["reserve"], 16) == int((await bridge.ask("ioex_getSolvency"))["reserve"], 16)


async def test_one_counts_at_a_time(bridge: ViewWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a few askers would take every thread of the port for minutes."""
    refused: list[str] = []

    def count() -> object:
        with pytest.raises(LimitExceeded, match="being counted"):
            api.count_supply()
        refused.append("once")
        raise StoreError("the disk failed")

    api = BridgeApi(bridge.world.spec, bridge.view)
    with monkeypatch.context() as patched:
        patched.setattr(bridge.view, "count", count)
        with pytest.raises(StoreError):
            api.count_supply()
    assert refused == ["once"]
    assert api.count_supply()["sound"]


def test_balances_that_nobody_credited_are_found(bridge: ViewWorld) -> None:
    bridge.mine(1)
    before = bridge.view.count().result
    assert before.is_sound
    assert replace(before, balances=before.balances - 1).is_sound  # a contract destroyed it
    assert not replace(before, balances=before.balances + 1).is_sound
    assert not replace(before, reserve=before.reserve - 1).is_sound
    assert not replace(before, reserve=before.reserve + 1).is_sound


def test_a_solo_chain_is_void() -> None:
    assert ViewWorld(solo=True).view.solvency().result.verdict is Verdict.VOID


async def test_a_day_has_its_cap_and_stalled_finality_shuts_one_door(bridge: ViewWorld) -> None:
    bridge.world.withdraw(ALICE, 100 * COIN, SCRIPT)
    bridge.pass_blocks(1)
    status = await bridge.ask("ioex_getBridge")
    assert int(status["usedToday"], 16) == 100 * WEI
    assert int(status["dailyCap"], 16) == bridge.world.spec.bridge.daily_outflow_cap * 10**10
    assert (status["requests"]["made"], status["withdrawals"]) == ("0x1", "0x1")
    bridge.world.is_voting = False
    bridge.pass_blocks(bridge.world.spec.dpos.stall_slots + 2)
    status = await bridge.ask("ioex_getBridge")
    assert (status["in"]["open"], status["out"]["open"]) == (True, False)
    assert "finality stalls" in status["out"]["reasons"][0]


async def test_rewards_of_a_key(bridge: ViewWorld) -> None:
    bridge.mine(8)
    pool = await bridge.ask("ioex_getRewardPool")
    assert int(pool["accrued"], 16) == int(pool["unclaimed"], 16) == (bridge.start + 8) * 5 * WEI
    balance = bridge.world.dpos.state.get_balance(bridge.world.contracts["RewardPool"])
    assert int(pool["balance"], 16) == int(pool["income"], 16) == balance
    assert int(pool["debt"], 16) == max(0, (bridge.start + 8) * 5 * WEI - balance)
    bridge.pass_blocks(4)
    earned = 0
    for member in bridge.world.spec.dpos.members:
        found = await bridge.ask("ioex_getRewards", "0x" + member.key.hex())
        earned += sum(int(row["earned"], 16) for row in found["terms"])
        for row in found["terms"]:
            state = bridge.world.dpos.state
            assert int(row["claimable"], 16) <= int(row["earned"], 16)
            assert state.get_balance(bridge.world.contracts["RewardPool"]) >= int(row["claimable"], 16)
    assert earned == (bridge.start + 12) * 5 * WEI
    none = await bridge.ask("ioex_getRewards", "0x" + "99" * 20)
    assert none["terms"] == []


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("ioex_getDeposit", ["0x" + "11" * 32, 0], "no 0x"),
        ("ioex_getDeposit", ["11" * 31, 0], "64 hex digits"),
        ("ioex_getDeposit", [5, 0], "64 hex digits"),
        ("ioex_getDeposit", ["11" * 32], "vout: missing"),
        ("ioex_getDeposit", ["11" * 32, -1], "vout"),
        ("ioex_getDeposit", ["11" * 32, 2**32], "vout"),
        ("ioex_getDeposits", [None], "txid"),
        ("ioex_getWithdrawal", ["1"], "number"),
        ("ioex_getWithdrawal", [hex(2**64)], "number"),
        ("ioex_getWithdrawals", [1, 257], "at most 256"),
        ("ioex_getWithdrawalsByTransaction", ["11" * 32], "0x"),
        ("ioex_getDepositAddress", ["riox1"], "account"),
        ("ioex_getRewards", ["0x" + "11" * 20, 0, 10**6], "at most 4096"),
        ("ioex_getBridge", [1], "0 taken"),
    ],
)
async def test_bad_input_has_typed_answers(
    bridge: ViewWorld, method: str, params: list[Any], words: str
) -> None:
    with pytest.raises(Refused, match=words) as caught:
        await bridge.ask(method, *params)
    assert caught.value.code in (-32602, -32005)


async def test_the_deposit_address_is_that_of_the_wallet(bridge: ViewWorld) -> None:
    found = await bridge.ask("ioex_getDepositAddress", "0x" + ALICE.hex())
    prefix = bridge.world.spec.pow.address_prefix
    assert found["address"] == script_to_address(prefix, deposit_script(ALICE))
    assert bytes.fromhex(found["script"][2:]) == deposit_script(ALICE)


def test_without_the_index_an_unspent_deposit_is_found_too(bridge: ViewWorld) -> None:
    paid = bridge.world.deposit((5 * COIN, ALICE), (6 * COIN, OWNER))
    assert paid is not None
    bare = bridge.over(pow_service(bridge.world.pow.ledger, bridge.world.pow.pool, indexes=False))
    first = bare.deposit(paid.txid, 1)
    assert first is not None
    assert first.state is DepositState.MEMPOOL
    bridge.mine(1)
    found = bare.deposit(paid.txid, 1)
    assert found is not None
    assert (found.state, found.amount) == (DepositState.CONFIRMING, 6 * WEI)
    assert [one.vout for one in bare.deposits_of(paid.txid)] == [0, 1]
