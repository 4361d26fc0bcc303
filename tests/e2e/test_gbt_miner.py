"""Miners over getblocktemplate on a real node process, as a stock program does it.

`GbtClient` works a template as pooler's cpuminer does: the node's coinbase as it is given, without witness
data, Merkle root over the `txid`s, the whole block back in hex. IOEX_MINERD names the program itself, where
there is one.
"""

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from chaingen.specs import key
from e2e.devnet_chain import dev_chain
from e2e.node_process import ADDRESS, NodeProcess

from ioex_chain.primitives.types import COIN

pytestmark = pytest.mark.e2e
MINERD = os.environ.get("IOEX_MINERD", "")
REQUEST = {
    "rules": ["segwit"],
    "capabilities": ["coinbasetxn", "coinbasevalue", "longpoll", "workid"],
}


def sha256d(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


def merkle_root(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        if len(hashes) % 2:
            hashes.append(hashes[-1])
        hashes = [sha256d(hashes[at] + hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def compact_size(number: int) -> bytes:
    return bytes((number,)) if number < 0xFD else b"\xfd" + number.to_bytes(2, "little")


class GbtClient:
    """Asks for work, hashes, submits."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node

    def template(self, **more: Any) -> dict[str, Any]:
        return dict(self.node.rpc("getblocktemplate", {**REQUEST, **more}, timeout=90))

    def solve(self, template: dict[str, Any]) -> bytes:
        """Give a block whose header meets the template's target."""
        coinbase = bytes.fromhex(template["coinbasetxn"]["data"])
        txids = [bytes.fromhex(tx["txid"])[::-1] for tx in template["transactions"]]
        head = b"".join(
            (
                int(template["version"]).to_bytes(4, "little"),
                bytes.fromhex(template["previousblockhash"])[::-1],
                merkle_root([sha256d(coinbase), *txids]),
                int(template["curtime"]).to_bytes(4, "little"),
                bytes.fromhex(template["bits"])[::-1],
            )
        )
        target = int(template["target"], 16)
        for nonce in range(1 << 32):
            header = head + nonce.to_bytes(4, "little")
            if int.from_bytes(sha256d(header), "little") <= target:
                break
        others = [bytes.fromhex(tx["data"]) for tx in template["transactions"]]
        return b"".join((header, compact_size(1 + len(others)), coinbase, *others))

    def submit(self, block: bytes, template: dict[str, Any]) -> str | None:
        params: list[Any] = [block.hex()]
        if "workid" in template:
            params.append({"workid": template["workid"]})
        answer: str | None = self.node.rpc("submitblock", *params)
        return answer


def test_blocks_are_mined_as_a_stock_program_does(node: NodeProcess) -> None:
    chain, coins = dev_chain()
    with node.running("--mine-to", ADDRESS):
        client = GbtClient(node)
        for height in range(1, 6):
            template = client.template()
            assert template["height"] == height
            assert client.submit(client.solve(template), template) is None
        payment = chain.spend(coins[0], [(5 * COIN, key("ann"))], fee=5_000)
        txid = node.rpc("sendrawtransaction", payment.raw.hex())
        template = client.template()
        assert [tx["txid"] for tx in template["transactions"]] == [txid]
        block = client.solve(template)
        assert client.submit(block, template) is None
        assert client.submit(block, template) == "duplicate"
        found = node.rpc("getblock", node.rpc("getbestblockhash"), 2)
        assert found["tx"][1]["txid"] == txid
        paid = {out["scriptPubKey"]["address"]: out["value"] for out in found["tx"][0]["vout"][:2]}
        assert paid[ADDRESS] == 4.00005
        assert 20 in paid.values()


def test_stale_wrong_and_unsolved_work_gets_its_word(node: NodeProcess) -> None:
    with node.running("--mine-to", ADDRESS):
        client = GbtClient(node)
        first = client.template()
        old = client.solve(first)
        assert client.submit(client.solve({**first, "curtime": first["curtime"] + 1}), first) is None
        assert client.submit(old, first) == "inconclusive"
        fresh = client.template()
        block = bytearray(client.solve(fresh))
        while int.from_bytes(sha256d(bytes(block[:80])), "little") <= int(fresh["target"], 16):
            block[76] = (block[76] + 1) % 256
        assert client.submit(bytes(block), fresh) == "high-hash"
        orphan = {**fresh, "previousblockhash": "11" * 32}
        assert client.submit(client.solve(orphan), orphan) == "prev-blk-not-found"


def test_long_polling_tells_of_a_new_head(node: NodeProcess) -> None:
    with node.running("--mine-to", ADDRESS):
        client = GbtClient(node)
        template = client.template()
        block = client.solve(template)
        with ThreadPoolExecutor(1) as other:
            waiting = other.submit(client.template, longpollid=template["longpollid"])
            with pytest.raises(TimeoutError):
                waiting.result(0.5)
            assert client.submit(block, template) is None
            assert waiting.result(10)["height"] == template["height"] + 1


@pytest.mark.skipif(not MINERD, reason="IOEX_MINERD names no minerd (pooler's cpuminer)")
def test_stock_cpuminer(node: NodeProcess, tmp_path: Path) -> None:
    with node.running("--mine-to", ADDRESS):
        cookie = node.datadir.cookie.read_text().strip()
        words = [MINERD, "-a", "sha256d", "-o", f"http://127.0.0.1:{node.port}", "-O", cookie, "-t", "1"]
        with (tmp_path / "minerd.txt").open("w") as log:
            miner = subprocess.Popen([*words, "--no-stratum"], stdout=log, stderr=subprocess.STDOUT)
            try:
                until = time.monotonic() + 60
                while node.rpc("getblockcount") < 10 and time.monotonic() < until:
                    time.sleep(0.1)
            finally:
                miner.kill()
                miner.wait()
        assert node.rpc("getblockcount") >= 10, (tmp_path / "minerd.txt").read_text()[-3000:]
        assert "(yay!!!)" in (tmp_path / "minerd.txt").read_text()
