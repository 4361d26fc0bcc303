"""Sessions without I/O: every method, every error code, garbage, version rolling, statistics."""

import random
import struct
from dataclasses import replace
from typing import Any

import orjson
import pytest
from chaingen.pool_world import PoolWorld
from e2e.stratum_client import Job, sha256d
from unit.stratum_world import Miner, StratumWorld, address_of

from ioex_chain.pow.stratum import MAX_LINE
from ioex_chain.pow.stratum_session import MAX_BAD_SHARES, MAX_GARBAGE, MAX_WORKERS, SessionRules
from ioex_chain.pow.stratum_shares import MAX_SEEN
from ioex_chain.pow.vardiff import VardiffRules, difficulty_at

HARD_BITS = 0x1F00FFFF
"""Of a network where a share is not a block: difficulty 2**-16."""
EASY_SHARES = SessionRules(vardiff=VardiffRules(start=1e-9, minimum=1e-9))


@pytest.fixture
def world() -> StratumWorld:
    made = StratumWorld()
    made.hand_out()
    return made


def hard_world(rules: SessionRules = EASY_SHARES) -> StratumWorld:
    """Give templates of a network whose blocks are 30,000 times as hard as these shares."""
    made = StratumWorld(rules)
    made.hand_out(replace(made.world.builder.build(), bits=HARD_BITS))
    return made


def solve(miner: Miner, *, misses: bool = False, start: int = 0, time: int | None = None) -> list[str]:
    """Give the parameters of a share; `misses` looks for a hash that is none."""
    job = Job.read(miner.last("mining.notify"), miner.last("mining.set_difficulty")[0])
    extranonce2 = bytes.fromhex("00000001")
    for nonce in range(start, start + 100_000):
        header = job.header(miner.session.extranonce1 + extranonce2, nonce, time)
        if (int.from_bytes(sha256d(header), "little") > job.target) == misses:
            at = job.time if time is None else time
            return [user(miner), job.id, extranonce2.hex(), f"{at:08x}", f"{nonce:08x}"]
    raise AssertionError("no such nonce")


def user(miner: Miner) -> str:
    return next(iter(miner.session.workers))


# --- getting in -------------------------------------------------------------------------------------------


def test_a_miner_gets_in_and_finds_a_block(world):
    miner = world.connect()
    names, extranonce1, size = miner.result("mining.subscribe", "cpuminer/2.5.1", "an old session")
    assert names == [["mining.set_difficulty", extranonce1], ["mining.notify", extranonce1]]
    assert (bytes.fromhex(extranonce1), size) == (miner.session.extranonce1, 4)
    assert miner.count("mining.notify") == 0
    name = address_of("alice") + ".rig"
    assert miner.result("mining.authorize", name, "x") is True
    methods = [got.get("method") for got in miner.told[2:]]
    assert methods == ["mining.set_difficulty", "mining.notify"]
    assert miner.result("mining.submit", *solve(miner)) is True
    (found,) = world.found
    block = found.work.block(found.payout_script, found.share)
    world.world.ledger.accept_block(block)
    assert world.world.ledger.head.hash == block.hash
    assert found.owners[0].name == name


def test_work_comes_when_there_is_some():
    world = StratumWorld()
    miner = world.join()
    assert miner.count("mining.notify") == 0
    world.hand_out()
    assert [got.get("method") for got in miner.told[-2:]] == ["mining.set_difficulty", "mining.notify"]


def test_two_connections_never_hash_the_same(world):
    one, other = world.join(), world.join()
    assert one.session.extranonce1 != other.session.extranonce1
    assert one.last("mining.notify") == other.last("mining.notify")


def test_each_address_is_paid_by_its_own_coinbase(world):
    jobs = [world.join(name).last("mining.notify") for name in ("alice", "bob")]
    assert jobs[0][2] == jobs[1][2]
    assert jobs[0][3] != jobs[1][3]


@pytest.mark.parametrize(
    "name", ["", ".rig", "x", "riox1qqqqqq", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"]
)
def test_a_wrong_address(world, name):
    miner = world.connect()
    miner.result("mining.subscribe")
    code, text = miner.error("mining.authorize", name, "x")
    assert code == 24
    assert "devnet address" in text


def test_an_address_of_another_network(world):
    miner = world.connect()
    miner.result("mining.subscribe")
    code, text = miner.error("mining.authorize", address_of("alice", "ioex"), "x")
    assert code == 24
    assert "'riox'" in text


def test_workers_of_one_connection(world):
    miner, address = world.join(), address_of("alice")
    assert miner.result("mining.authorize", address + ".rig", "x") is True
    for number in range(MAX_WORKERS - 1):
        assert miner.result("mining.authorize", f"{address}.{number}", "x") is True
    assert miner.error("mining.authorize", address + ".more", "x")[0] == 24
    other = world.join()
    assert other.error("mining.authorize", address_of("bob"), "x")[0] == 24
    assert other.error("mining.authorize", address + "." + "x" * 65, "x")[0] == 24
    assert other.error("mining.authorize", address + ".a\nb", "x")[0] == 24
    assert set(world.stats.addresses) == {address}
    assert world.stats.addresses[address].connections == MAX_WORKERS + 1
    miner.session.leave()
    other.session.leave()
    assert world.stats.addresses[address].connections == world.stats.authorized == 0


def test_order_of_calls(world):
    miner = world.connect()
    assert miner.error("mining.authorize", address_of("alice"), "x")[0] == 25
    assert miner.error("mining.submit", "x", "1", "00000000", "00000000", "00000000")[0] == 25
    miner.result("mining.subscribe")
    assert miner.error("mining.submit", "x", "1", "00000000", "00000000", "00000000")[0] == 24


def test_a_miner_that_does_not_name_itself_is_asked(world):
    miner = world.connect()
    miner.result("mining.subscribe")
    miner.result("mining.authorize", address_of("alice"), "x")
    (asked,) = [got for got in miner.told if got.get("method") == "client.get_version"]
    miner.send(orjson.dumps({"id": asked["id"], "result": "bfgminer/5.5", "error": None}) + b"\n")
    assert miner.session.agent == "bfgminer/5.5"


# --- extensions -------------------------------------------------------------------------------------------


def test_configure(world):
    miner = world.connect()
    options = {"version-rolling.mask": "ffffffff", "version-rolling.min-bit-count": 2}
    answer = miner.result("mining.configure", ["version-rolling", "subscribe-extranonce", "other"], options)
    assert answer == {
        "version-rolling": True,
        "version-rolling.mask": "1fffe000",
        "subscribe-extranonce": True,
        "other": False,
    }
    options = {"version-rolling.mask": "0000e100", "minimum-difficulty.value": 2048}
    answer = miner.result("mining.configure", ["version-rolling", "minimum-difficulty"], options)
    assert answer == {"version-rolling": True, "version-rolling.mask": "0000e000", "minimum-difficulty": True}
    assert miner.session.vardiff.difficulty == 2048
    options = {"version-rolling.mask": "00000100", "version-rolling.min-bit-count": 1}
    assert miner.result("mining.configure", ["version-rolling"], options)["version-rolling"] != True  # noqa: E712
    assert miner.result("mining.extranonce.subscribe") is True
    assert miner.result("mining.ping") == "pong"


@pytest.mark.parametrize(
    "params",
    [
        [],
        ["version-rolling"],
        [[1]],
        [["version-rolling"], {"version-rolling.mask": "xyz"}],
        [["version-rolling"], {"version-rolling.mask": "-1"}],
        [["minimum-difficulty"], {}],
        [["a"] * 33, {}],
        [[], []],
    ],
)
def test_configure_refuses_nonsense(world, params):
    assert world.connect().error("mining.configure", *params)[0] == 20


def test_version_rolling():
    world = hard_world()
    miner = world.connect()
    miner.result("mining.subscribe")
    miner.result("mining.authorize", address_of("alice"), "x")
    share = solve(miner)
    assert miner.error("mining.submit", *share, "00002000")[0] == 20
    miner.result("mining.configure", ["version-rolling"], {"version-rolling.mask": "00ffe000"})
    assert miner.error("mining.submit", *share, "10000000")[0] == 20
    assert miner.error("mining.submit", *share, "00000100")[0] == 20  # merged mining's bit
    job = Job.read(miner.last("mining.notify"), miner.last("mining.set_difficulty")[0])
    for bits in range(0x2000, 0x800000, 0x2000):
        job.version = 0x20000000 & ~0x00FFE000 | bits
        header = job.header(miner.session.extranonce1 + bytes(4), 0)
        assert header[:4] == struct.pack("<I", job.version)
        if int.from_bytes(sha256d(header), "little") <= job.target:
            break
    rolled = [user(miner), job.id, "00000000", f"{job.time:08x}", "00000000", f"{bits:08x}"]
    assert miner.result("mining.submit", *rolled) is True
    assert miner.error("mining.submit", *rolled)[0] == 22
    assert miner.result("mining.submit", *share) is True


def test_wishes_for_a_difficulty():
    world = hard_world(SessionRules(vardiff=VardiffRules(start=1e-9, minimum=1e-9)))
    miner = world.join(password="x,d=1e-6")
    assert miner.last("mining.set_difficulty") == [1e-6]
    assert miner.result("mining.suggest_difficulty", 1e-7) is True
    assert miner.count("mining.notify") == 1  # the same second: nothing to tell it apart by
    world.advance(1)
    miner.take(miner.session.tick())
    assert miner.last("mining.set_difficulty") == [1e-7]
    assert miner.last("mining.notify")[0] == "1.1"
    assert int(miner.last("mining.notify")[7], 16) == world.book.latest.time + 1
    assert miner.result("mining.submit", *solve(miner)) is True
    world.advance(1)
    miner.result("mining.suggest_target", f"{1 << 245:064x}")
    assert miner.last("mining.set_difficulty")[0] == pytest.approx(difficulty_at(1 << 245))
    for wrong in ([], ["1"], [0], [-1], [True], [None]):
        assert miner.error("mining.suggest_difficulty", *wrong)[0] == 20
    for wrong in ([], [1], ["x"], ["0"], ["f" * 65]):
        assert miner.error("mining.suggest_target", *wrong)[0] == 20


def test_difficulty_never_above_the_networks(world):
    miner = world.join(password="d=1000000")
    (difficulty,) = miner.last("mining.set_difficulty")
    assert difficulty <= difficulty_at(world.book.latest.template.target)
    assert miner.result("mining.submit", *solve(miner)) is True


# --- shares -----------------------------------------------------------------------------------------------


def test_share_errors():
    world = hard_world()
    miner = world.join()
    good = solve(miner)
    name, _, extranonce2, time, nonce = good
    assert miner.error("mining.submit", name, "99", extranonce2, time, nonce)[0] == 21
    assert miner.error("mining.submit", name, "no job", extranonce2, time, nonce)[0] == 21
    assert miner.error("mining.submit", *solve(miner, misses=True))[0] == 23
    assert miner.error("mining.submit", "another", *good[1:])[0] == 24
    for at, wrong in (
        (2, "01"),
        (2, "0g000000"),
        (2, "11 22 33"),
        (3, "1"),
        (4, ""),
        (4, 7),
        (2, None),
        (1, 1),
    ):
        assert miner.error("mining.submit", *[*good[:at], wrong, *good[at + 1 :]])[0] == 20
    assert miner.error("mining.submit", *good[:4])[0] == 20
    assert miner.error("mining.submit", *good, "0", "0")[0] == 20
    assert miner.result("mining.submit", *good) is True
    code, text = miner.error("mining.submit", *good)
    assert (code, text) == (22, "this share was counted already")
    total = world.stats.total
    assert (total.accepted, total.rejected["duplicate"], total.rejected["low-difficulty"]) == (1, 1, 1)
    assert total.rejected["job-not-found"] == 2
    assert world.found == []


def test_stale_shares(world):
    miner = world.join()
    share = solve(miner)
    world.world.mine()
    world.hand_out()
    assert miner.last("mining.notify")[8] is True
    code, text = miner.error("mining.submit", *share)
    assert code == 21
    assert "stale" in text
    assert miner.session.stats.stale == world.stats.total.stale == 1
    assert world.stats.workers[user(miner)].stale == 1


def test_a_retired_head_is_stale_at_once(world):
    miner = world.join()
    world.book.retire(world.book.latest.template.parent_hash)
    assert miner.error("mining.submit", *solve(miner))[0] == 21


def test_earlier_work_on_the_same_head_is_good(world):
    miner = world.join()
    share = solve(miner)
    world.advance(30)
    world.hand_out()
    assert miner.last("mining.notify")[8] is False
    assert miner.result("mining.submit", *share) is True
    assert miner.error("mining.submit", *share)[0] == 22


def test_share_times():
    world = hard_world()
    miner = world.join()
    work = world.book.latest
    first = work.template.min_time
    for time in (first - 1, work.time + 601, 0, 0xFFFFFFFF):
        code, text = miner.error("mining.submit", *solve(miner, time=time))
        assert code == 20
        assert f"{first} to {work.time + 600}" in text
    for time in (first, work.time + 600):
        assert miner.result("mining.submit", *solve(miner, time=time)) is True


def test_a_block_is_handed_in_although_the_share_target_is_missed():
    """A miner whose difficulty was raised by mistake must still find blocks."""
    world = StratumWorld()
    world.hand_out()
    miner = world.join()
    shares = miner.session._shares
    shares._told_target = 1
    shares._sent = {name: sent._replace(target=1) for name, sent in shares._sent.items()}
    assert miner.result("mining.submit", *solve(miner)) is True
    assert len(world.found) == 1


def test_what_is_remembered_is_bounded():
    world = hard_world()
    miner = world.join()
    start = 0
    for _ in range(MAX_SEEN + 20):
        share = solve(miner, start=start)
        start = int(share[4], 16) + 1
        assert miner.result("mining.submit", *share) is True
        miner.told = miner.told[:4]
    assert len(miner.session._shares._seen) == MAX_SEEN


def test_wrong_shares_without_end_are_not_suffered():
    world = hard_world()
    miner = world.join()
    bad = solve(miner, misses=True)
    for _ in range(MAX_BAD_SHARES):
        assert not miner.session.closing
        miner.call("mining.submit", *bad)
    assert miner.session.closing == "bad-shares"


def test_statistics():
    world = hard_world()
    miner = world.join()
    name, address = address_of("alice") + ".rig", address_of("alice")
    nonce = 0
    for _ in range(30):
        world.advance(10)
        share = solve(miner, start=nonce)
        nonce = int(share[4], 16) + 1
        assert miner.result("mining.submit", *share) is True
    for stats in (world.stats.workers[name], world.stats.addresses[address], miner.session.stats):
        assert stats.accepted == 30
        assert stats.last_share == world.time
        assert stats.hash_rate(world.time) == pytest.approx(1e-9 * 2**32 * 30 / 300, rel=0.25)
        assert stats.hash_rate(world.time, 3600.0) == pytest.approx(1e-9 * 2**32 * 30 / 300, rel=0.25)
        assert stats.best_difficulty > 1e-9
    world.advance(7200)
    assert world.stats.workers[name].hash_rate(world.time) == 0
    assert world.stats.workers[name].address == address


# --- time -------------------------------------------------------------------------------------------------


def test_who_does_not_authorize_is_sent_away(world):
    silent, miner = world.connect(), world.join()
    world.advance(61)
    for one in (silent, miner):
        one.take(one.session.tick())
    assert (silent.session.closing, miner.session.closing) == ("not-authorized", "")
    world.advance(600)
    miner.session.tick()
    assert miner.session.closing == "silent"


def test_a_slow_miner_gets_easier_work():
    world = hard_world(SessionRules(vardiff=VardiffRules(start=1e-6, minimum=1e-9)))
    miner = world.join()
    world.advance(61)
    miner.take(miner.session.tick())
    assert miner.last("mining.set_difficulty") == [1.25e-7]
    assert [got["method"] for got in miner.told[-2:]] == ["mining.set_difficulty", "mining.notify"]
    assert miner.last("mining.notify")[8] is False


def test_a_flood_raises_the_difficulty_to_what_it_is_worth():
    world = hard_world(SessionRules(vardiff=VardiffRules(start=1e-9, minimum=1e-9)))
    miner, nonce = world.join(), 0
    for _ in range(300):
        share = solve(miner, start=nonce)
        nonce = int(share[4], 16) + 1
        miner.result("mining.submit", *share)
    assert miner.count("mining.notify") == 1
    assert 6.4e-8 <= miner.session.vardiff.difficulty <= 1e-6 * 4.1
    late = solve(miner, start=nonce)
    world.advance(1)
    miner.take(miner.session.tick())
    assert miner.last("mining.set_difficulty") == [miner.session.vardiff.difficulty]
    assert miner.result("mining.submit", *late) is True  # the earlier job keeps its difficulty
    assert miner.session.stats.difficulty_sum == pytest.approx(301e-9)
    assert miner.error("mining.submit", *solve(miner, misses=True))[0] == 23


def test_messages_are_not_shown_too_often(world):
    miner = world.join()
    assert b"client.show_message" in miner.session.show_message("you found a block")
    assert miner.session.show_message("again") == b""
    world.advance(11)
    assert miner.session.show_message("again")


# --- garbage ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [1, 0, -7, "abc", "", 2.5, None, 2**53, True])
def test_ids_come_back(world, given):
    miner = world.connect()
    for method in ("mining.subscribe", "nonsense"):
        line = orjson.dumps({"id": given, "method": method, "params": []}) + b"\n"
        (answer,) = miner.send(line)
        assert answer["id"] == given
        assert type(answer["id"]) is type(given)


def test_parameters_may_be_null(world):
    line = b'{"id":1,"method":"mining.subscribe","params":null}\n{"id":2,"method":"mining.ping"}\n'
    assert [answer["error"] for answer in world.connect().send(line)] == [None, None]


def test_unknown_methods(world):
    miner = world.connect()
    code, text = miner.error("mining.nonsense" + "x" * 200)
    assert code == 20
    assert len(text) < 100


@pytest.mark.parametrize(
    "line",
    [
        b"x",
        b"{}",
        b"[]",
        b"1",
        b'"a"',
        b'{"id":1}',
        b'{"method":1}',
        b'{"method":"a","params":{}}',
        b"\xff\xfe",
        b"GET / HTTP/1.1\r",
        b"[" * 2000,
        b'{"id":"\\ud800","method":"a"}',
        b'{"id":1e999,"method":1}',
    ],
)
def test_garbage_is_answered_then_cut_off(world, line):
    miner = world.connect()
    for _ in range(MAX_GARBAGE):
        (answer,) = miner.send(line + b"\n")
        assert answer["error"][0] == 20
        assert not miner.session.closing
    miner.send(line + b"\n")
    assert miner.session.closing == "garbage"


def test_lines_in_pieces_and_many_at_once(world):
    miner = world.connect()
    line = b'{"id":5,"method":"mining.subscribe","params":[]}\n'
    got = [answer for byte in line for answer in miner.send(bytes((byte,)))]
    assert [answer["id"] for answer in got] == [5]
    assert len(miner.send(line * 50)) == 50
    assert miner.send(b"\n\r\n  \n") == []
    assert len(miner.send(line.replace(b"\n", b"\r\n"))) == 1


def test_a_long_line_ends_it(world):
    miner = world.connect()
    for _ in range(4):
        miner.send(b"x" * (MAX_LINE // 4))
        assert not miner.session.closing
    (answer,) = miner.send(b"x")
    assert answer["error"][0] == 20
    assert miner.session.closing == "line-too-long"


def test_a_long_line_in_one_piece(world):
    miner = world.connect()
    miner.send(b'{"id":1,"method":"' + b"x" * MAX_LINE + b'"}\n')
    assert miner.session.closing == "line-too-long"


SEEDS: list[dict[str, Any]] = [
    {"id": 1, "method": "mining.subscribe", "params": ["a/1", "b"]},
    {"id": 2, "method": "mining.authorize", "params": [address_of("alice") + ".w", "x"]},
    {"id": 3, "method": "mining.configure", "params": [["version-rolling"], {"version-rolling.mask": "ff"}]},
    {
        "id": 4,
        "method": "mining.submit",
        "params": [address_of("alice") + ".w", "1", "0" * 8, "0" * 8, "0" * 8],
    },
    {"id": 5, "method": "mining.suggest_difficulty", "params": [0.5]},
    {"id": 6, "method": "mining.suggest_target", "params": ["f" * 64]},
    {"id": 7, "method": "mining.extranonce.subscribe", "params": []},
    {"id": "ioex-version", "result": "x", "error": None},
]
ODD: list[Any] = [None, True, 0, -1, 2**63, 1e300, "", "\x00", "f" * 300, [], [[]], {}, {"a": []}, "é😀", 0.1]


def _mutate(chance: random.Random) -> bytes:
    message = orjson.loads(orjson.dumps(chance.choice(SEEDS)))
    kind = chance.randrange(4)
    if kind == 0:
        message[chance.choice(list(message))] = chance.choice(ODD)
    elif kind == 1 and message.get("params"):
        message["params"][chance.randrange(len(message["params"]))] = chance.choice(ODD)
    elif kind == 2:
        message["params"] = [chance.choice(ODD) for _ in range(chance.randrange(8))]
    line = bytearray(orjson.dumps(message))
    if kind == 3:
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(line))
            choice = chance.randrange(3)
            if choice == 0:
                line[at] = chance.randrange(256)
            elif choice == 1:
                del line[at : at + chance.randrange(1, 20)]
                line += b" "
            else:
                line[at:at] = bytes(chance.randrange(256) for _ in range(3))
    return bytes(line) + b"\n"


@pytest.mark.parametrize("count", [6_000, pytest.param(300_000, marks=pytest.mark.soak)])
def test_mutations_never_break_a_session(count):
    chance = random.Random(7)
    world = StratumWorld(world=PoolWorld())
    world.hand_out()
    miner, refused = world.join(), 0
    for number in range(count):
        if miner.session.closing or number % 50 == 0:
            miner.session.leave()
            world.miners.clear()
            miner = world.join() if number % 100 else world.connect()
        got = miner.session.receive(_mutate(chance))
        for line in got.splitlines():
            answer = orjson.loads(line)
            if "method" in answer:
                continue
            assert set(answer) == {"id", "result", "error"}
            if answer["error"] is not None:
                refused += 1
                code, text, none = answer["error"]
                assert code in range(20, 26)
                assert isinstance(text, str)
                assert none is None
    assert refused > count / 2
    assert len(world.stats.workers) < 4097
    assert set(world.stats.protocol_errors) <= {
        "bad-request",
        "unknown-method",
        "unauthorized",
        "not-subscribed",
        "other",
    }
