"""Jobs in Stratum's form: what a miner puts together from mining.notify is the header that the node means."""

from dataclasses import replace

import orjson
import pytest
from chaingen.pool_world import PoolWorld
from chaingen.specs import key
from e2e.stratum_client import Job as MinerJob
from e2e.stratum_client import sha256d
from unit.stratum_world import TAG, StratumWorld

from ioex_chain.pow.coinbase import WITNESS_RESERVED, commitment_of, find_commitment
from ioex_chain.pow.stratum_jobs import MAX_WORKS, JobBook, Share, StratumWork, swap_words
from ioex_chain.pow.template import Template
from ioex_chain.primitives.types import COIN

PAYOUT = key("alice").script
XN1, XN2 = bytes.fromhex("a1b2c3d4"), bytes.fromhex("01020304")


def told(work: StratumWork, payout: bytes = PAYOUT) -> list[object]:
    line = work.notify("7", payout, work.time, clean=True)
    assert line.endswith(b"\n")
    message = orjson.loads(line)
    assert (message["id"], message["method"]) == (None, "mining.notify")
    params: list[object] = message["params"]
    return params


@pytest.fixture
def world() -> PoolWorld:
    return PoolWorld()


def full_template(world: PoolWorld, count: int) -> Template:
    for fee in range(count):
        world.add(world.pay(fee=1_000 + fee))
    template = world.builder.build()
    assert len(template.entries) == count
    return template


@pytest.mark.parametrize("count", [0, 1, 2, 3, 6])
def test_a_miner_builds_the_header_that_the_job_has(world, count):
    template = full_template(world, count)
    work = StratumWork(1, template, TAG)
    mine = MinerJob.read(told(work), 4.6565e-10)
    header = mine.header(XN1 + XN2, nonce=0x11223344)
    job = template.job(PAYOUT, TAG)
    extra = int.from_bytes(XN1 + XN2, "little")
    assert header == job.header(extra, nonce=0x11223344).core
    assert header == work.core(PAYOUT, Share(XN1 + XN2, template.time, 0x11223344))


def test_the_bytes_of_a_known_template(world):
    work = StratumWork(1, full_template(world, 1), TAG)
    name, previous, front, back, branch, version, bits, time, clean = told(work)
    assert (name, version, bits, clean) == ("7", "20000000", "207fffff", True)
    assert int(time, 16) == work.template.time
    first_word = work.template.parent_hash[:4][::-1].hex()
    assert previous[:8] == first_word
    # version 2, one null input, a script of OP_n, the tag and a push of 8, whose bytes are the miner's
    assert (
        front == "0200000001" + "00" * 32 + "ffffffff" + f"{1 + len(TAG) + 9:02x}" + "54" + TAG.hex() + "08"
    )
    assert work.template.height == 4
    assert back.startswith("ffffffff" + "03" + (20 * COIN).to_bytes(8, "little").hex())
    assert back.endswith("00000000")
    assert branch == [work.template.transactions[0].txid.hex()]


def test_the_block_of_a_share_is_taken_by_the_chain(world):
    template = full_template(world, 3)
    work = StratumWork(1, template, TAG)
    share = next(
        share
        for share in (Share(XN1 + XN2, template.time, nonce) for nonce in range(64))
        if int.from_bytes(sha256d(work.core(PAYOUT, share)), "little") <= template.target
    )
    block = work.block(PAYOUT, share)
    assert block.header.core == work.core(PAYOUT, share)
    assert block.transactions[0].inputs[0].witness == (WITNESS_RESERVED,)
    assert block.transactions[0].inputs[0].script.endswith(b"\x08" + XN1 + XN2)
    world.ledger.accept_block(block)
    assert world.ledger.head.hash == block.hash
    assert block.transactions[0].outputs[1].script == PAYOUT


def test_the_commitment_is_made_once_per_template(world, monkeypatch):
    template, made = replace(full_template(world, 3)), []
    monkeypatch.setattr(
        "ioex_chain.pow.template.commitment_of", lambda txs: made.append(1) or commitment_of(txs)
    )
    work = StratumWork(1, template, TAG)
    fronts = {work.parts(key(name).script) for name in range(50)}
    assert len(fronts) == 50
    assert len(made) == 1
    assert find_commitment(template.coinbase(PAYOUT)) == commitment_of(template.transactions)


def test_words_are_swapped():
    assert swap_words(bytes(range(8))).hex() == "0302010007060504"


def test_the_book_keeps_a_few_works_of_one_head():
    world = StratumWorld()
    book = JobBook(TAG)
    assert book.latest is None
    made = [book.add(world.world.builder.build()) for _ in range(MAX_WORKS + 2)]
    assert [clean for _, clean in made] == [True] + [False] * (MAX_WORKS + 1)
    assert [book.holds(work) for work, _ in made] == [False] * 2 + [True] * MAX_WORKS
    assert book.first_number == 3
    world.world.mine()
    new, clean = book.add(world.world.builder.build())
    assert clean
    assert not any(book.holds(work) for work, _ in made)
    book.retire(made[0][0].template.parent_hash)
    assert book.holds(new)
    book.retire(new.template.parent_hash)
    assert book.latest is None
    assert book.first_number == new.number + 1


def test_a_template_at_a_later_time_keeps_what_was_worked_out(world, monkeypatch):
    template = full_template(world, 3)
    later = template.at_time(template.time + 30, template.max_time + 30)
    monkeypatch.setattr("ioex_chain.pow.template.commitment_of", lambda _: pytest.fail("made again"))
    monkeypatch.setattr("ioex_chain.pow.template.merkle_branch", lambda *_: pytest.fail("made again"))
    assert later.job(PAYOUT).base == template.job(PAYOUT).base
    assert later.branch == template.branch
    assert (later.time, later.fees) == (template.time + 30, template.fees)
    assert later.transactions is template.transactions
