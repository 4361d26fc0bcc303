"""Miners over Stratum on a real node process: blocks that pay each miner, a node that mines on beside them,
and a stock program where there is one (IOEX_MINERD names pooler's `minerd`)."""

import asyncio
import os
import subprocess
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from chaingen.specs import key
from e2e.node_process import NodeProcess
from e2e.stratum_client import Refused, StratumClient

from ioex_chain.crypto.address import script_to_address

pytestmark = pytest.mark.e2e
FLAGS = ("--stratum", "--stratum-port", "0")
MINERD = os.environ.get("IOEX_MINERD", "")


def address(name: str) -> str:
    found = script_to_address("riox", key(name).script)
    assert found is not None
    return found


def stratum_port(node: NodeProcess) -> int:
    info = node.rpc("getstratuminfo")
    assert info["enabled"]
    return int(info["port"])


def payees(node: NodeProcess, start: int, end: int) -> list[str]:
    """Give whom the blocks of these heights pay, beside the RewardPool."""
    found = []
    for height in range(start, end + 1):
        block: dict[str, Any] = node.rpc("getblock", node.rpc("getblockhash", height), 2)
        outputs = block["tx"][0]["vout"]
        found.append(outputs[1]["scriptPubKey"]["address"])
    return found


async def mine(miner: StratumClient, *others: StratumClient) -> None:
    """Find one block and wait until everybody has the work after it."""
    job, before = miner.jobs[-1], [len(one.jobs) for one in (miner, *others)]
    assert await miner.submit(job, 0, miner.solve(job, 0))
    for one, jobs in zip((miner, *others), before, strict=True):
        await one.next_job(jobs)


async def test_miners_share_a_node(node):
    with node.running(*FLAGS):
        port = stratum_port(node)
        async with AsyncExitStack() as stack:
            miners = [
                await stack.enter_async_context(StratumClient("127.0.0.1", port, f"{address(name)}.rig"))
                for name in ("alice", "bob")
            ]
            for miner in miners:
                await miner.enter()
                await miner.next_job()
            for number in range(10):
                await mine(miners[number % 2], miners[1 - number % 2])
            assert await asyncio.to_thread(node.rpc, "getblockcount") == 10
            old = miners[0].jobs[-1]
            await asyncio.to_thread(node.rpc, "generatetoaddress", 1, node.address)
            await miners[0].next_job(len(miners[0].jobs))
            assert miners[0].jobs[-1].clean
            assert not await miners[0].submit(old, 7, miners[0].solve(old, 7))
            assert miners[0].refused == {21: 1}
        assert payees(node, 1, 11) == [address("alice"), address("bob")] * 5 + [node.address]
        workers = {one["name"]: one for one in node.rpc("listworkers")["workers"]}
        assert workers[f"{address('alice')}.rig"]["shares"]["blocks"] == 5
        assert workers[f"{address('alice')}.rig"]["shares"]["stale"] == 1
        info = node.rpc("getstratuminfo")
        assert (info["blocksfound"], info["blocksrefused"], info["shares"]["accepted"]) == (10, 0, 10)
        assert node.stop()[0] == 0
    assert "Traceback" not in node.stderr


async def test_a_hostile_miner_does_not_disturb_the_others(node):
    with node.running(*FLAGS):
        port = stratum_port(node)
        async with StratumClient("127.0.0.1", port, address("alice")) as miner:
            await miner.enter()
            await miner.next_job()
            with pytest.raises(Refused, match="24"):
                async with StratumClient(
                    "127.0.0.1", port, "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"
                ) as wrong:
                    await wrong.enter()
            for junk in (
                b"\x00" * 5000,
                b"{}\n" * 500,
                os.urandom(4000),
                b'{"id":1,"method":"mining.submit"}\n' * 90,
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(junk)
                writer.write_eof()
                with suppress(ConnectionResetError):
                    await asyncio.wait_for(reader.read(), 10)
                writer.close()
            await mine(miner)
        assert node.rpc("getblockcount") == 1


async def test_miners_come_back_after_a_restart(node):
    for height in (1, 2):
        with node.running(*FLAGS):
            async with StratumClient("127.0.0.1", stratum_port(node), address("alice")) as miner:
                await miner.enter()
                await miner.next_job()
                await mine(miner)
            assert node.rpc("getblockcount") == height
            began = time.monotonic()
            assert node.stop()[0] == 0
            assert time.monotonic() - began < 5


def test_without_stratum_there_is_none(node):
    with node.running():
        assert node.rpc("getstratuminfo")["enabled"] is False


@pytest.mark.skipif(not MINERD, reason="IOEX_MINERD names no minerd (pooler's cpuminer)")
def test_stock_cpuminer(node, tmp_path: Path):
    with node.running(*FLAGS):
        url = f"stratum+tcp://127.0.0.1:{stratum_port(node)}"
        user = f"{address('alice')}.cpu"
        with (tmp_path / "minerd.txt").open("w") as log:
            miner = subprocess.Popen(
                [MINERD, "-a", "sha256d", "-o", url, "-u", user, "-p", "x", "-t", "1", "-P"],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                until = time.monotonic() + 60
                while node.rpc("getblockcount") < 10 and time.monotonic() < until:
                    time.sleep(0.1)
            finally:
                miner.kill()
                miner.wait()
        text = (tmp_path / "minerd.txt").read_text()
        height = node.rpc("getblockcount")
        assert height >= 10, text[-3000:]
        assert set(payees(node, 1, height)) == {address("alice")}
        assert "(yay!!!)" in text
        (worker,) = node.rpc("listworkers")["workers"]
        assert worker["shares"]["blocks"] == height
        assert set(worker["shares"]["rejected"]) <= {"job-not-found"}
