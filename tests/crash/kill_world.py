"""What a node is busy with when it is killed, and what must be true of it afterwards."""

import random
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Any

from chaingen.builder import Funds
from chaingen.harness import DictView, replay
from chaingen.specs import key
from e2e.devnet_chain import dev_chain
from e2e.node_process import NodeProcess, RpcFailed

from ioex_chain.crypto.address import script_to_address
from ioex_chain.pow.block import Block
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import scan_coins

Gone = (OSError, HTTPException, ValueError)
"""What a call to a node raises that dies meanwhile: no connection, no answer, half an answer."""


class World:
    """A devnet that the test knows as well as the node: every block is built here or read back."""

    def __init__(self, seed: object) -> None:
        self.random = random.Random(str(seed))
        self.chain, coins = dev_chain()
        self.blocks: dict[str, Block] = {name(self.chain.genesis): self.chain.genesis}
        self.acknowledged: set[str] = set()
        self.marked: set[str] = set()
        self._fresh: set[str] = set()
        self._coins: list[Funds] = coins
        self._deeds: list[Callable[[NodeProcess], None]] = [
            self._extend,
            self._extend,
            self._fork,
            self._pay,
            self._pay,
            self._generate,
            self._mark,
        ]

    # --- work --------------------------------------------------------------------------------------------

    def warm_up(self, node: NodeProcess) -> None:
        """Bring the genesis coins to maturity, and split one into many."""
        for block in self.chain.warm_up():
            self._submit(node, block)
        first = self._coins.pop(0)
        split = self.chain.fan_out(first, 300, first.owner, fee=100_000)
        self._submit(node, self.chain.block(self.best(node), [split]))
        self._coins = self.chain.all_funds(split)

    def work(self, node: NodeProcess, count: int) -> None:
        """Do `count` things."""
        for _ in range(count):
            self.random.choice(self._deeds)(node)

    def work_until_it_dies(self, node: NodeProcess) -> None:
        """Do one thing after the other until nobody answers."""
        with suppress(*Gone):
            self.work(node, 10_000)

    def best(self, node: NodeProcess) -> Block:
        return self.blocks[self._learn(node, node.rpc("getbestblockhash"))]

    def _learn(self, node: NodeProcess, hash_: str) -> str:
        """Read blocks that the node made itself, back to one that is known."""
        missing: list[Block] = []
        while hash_ not in self.blocks:
            block = Block.decode(bytes.fromhex(node.rpc("getblock", hash_, 0)))
            missing.append(block)
            hash_ = block.header.parent_hash[::-1].hex()
        for block in reversed(missing):
            self.blocks[name(block)] = self.chain.adopt(block)
        return name(missing[0]) if missing else hash_

    def _submit(self, node: NodeProcess, block: Block) -> None:
        self.blocks[name(block)] = block
        answer = node.rpc("submitblock", block.encode().hex())
        assert answer in (None, "inconclusive"), answer
        self._acknowledge(name(block))

    def _acknowledge(self, hash_: str) -> None:
        self.acknowledged.add(hash_)
        self._fresh.add(hash_)

    def _extend(self, node: NodeProcess) -> None:
        self._submit(node, self._block(self.best(node)))

    def _fork(self, node: NodeProcess) -> None:
        tip = self.best(node)
        depth = min(self.random.randint(1, 6), self.chain.height(tip) - 5)
        for _ in range(max(0, depth)):
            tip = self.chain.parent(tip)
        for _ in range(max(0, depth) + 1):
            tip = self._block(tip)
            self._submit(node, tip)

    def _block(self, parent: Block) -> Block:
        """Make a block as early as it may be, so that thousands in a row are not ahead of the clock."""
        return self.chain.block(parent, time=self.chain.median_time(parent) + 1)

    def _pay(self, node: NodeProcess) -> None:
        coin = self.random.choice(self._coins)
        tx: Transaction = self.chain.spend(coin, [], fee=self.random.randrange(2_000, 900_000))
        with suppress(RpcFailed):  # spent by another of these, or replaced for too little
            node.rpc("sendrawtransaction", tx.encode().hex())

    def _generate(self, node: NodeProcess) -> None:
        # to somebody new each time: the very block that was marked invalid a moment ago would be refused
        payee = script_to_address("riox", key(self.random.getrandbits(64)).script)
        for hash_ in node.rpc("generatetoaddress", self.random.randint(1, 3), payee):
            self._acknowledge(self._learn(node, hash_))

    def _mark(self, node: NodeProcess) -> None:
        tip = node.rpc("getbestblockhash")
        if node.rpc("getblockcount") < 8:
            return
        self.marked.add(tip)
        node.rpc("invalidateblock", tip)
        if self.random.random() < 0.7:
            node.rpc("reconsiderblock", tip)
            self.marked.discard(tip)

    # --- afterwards --------------------------------------------------------------------------------------

    def check(self, node: NodeProcess) -> dict[str, Any]:
        """See that nothing acknowledged is lost, and that the state is what a replay gives."""
        for mark in sorted(self.marked):
            with suppress(RpcFailed):  # its body may never have arrived
                node.rpc("reconsiderblock", mark)
        self.marked.clear()
        facts = node.facts()  # all of it at one moment: the node may be mining
        tip = self.blocks[self._learn(node, facts["bestblock"])]
        older = sorted(self.acknowledged - self._fresh)
        for hash_ in [*self._fresh, *self.random.sample(older, min(30, len(older)))]:
            assert node.rpc("getblock", hash_, 0) == self.blocks[hash_].encode().hex()
        self._fresh.clear()
        highest = max((self.chain.height(self.blocks[hash_]) for hash_ in self.acknowledged), default=0)
        assert self.chain.height(tip) >= highest, "an acknowledged block is not counted"
        assert facts["height"] == self.chain.height(tip)
        assert facts["hash_serialized_3"] == core_hash(replay(self.chain, tip)), "not what a replay gives"
        return facts


def name(block: Block) -> str:
    return block.hash[::-1].hex()


def core_hash(view: DictView) -> str:
    """Give Bitcoin Core's hash_serialized_3 of all unspent outputs."""
    coins = sorted(
        (outpoint[:32], int.from_bytes(outpoint[32:], "little"), coin) for outpoint, coin in scan_coins(view)
    )
    digest = sha256()
    for txid, index, coin in coins:
        digest.update(txid + index.to_bytes(4, "little"))
        digest.update((coin.height * 2 + coin.is_coinbase).to_bytes(4, "little"))
        digest.update(coin.value.to_bytes(8, "little") + bytes([len(coin.script)]) + coin.script)
    return sha256(digest.digest()).digest()[::-1].hex()


def import_control(node: NodeProcess, control: NodeProcess, file: Path) -> None:
    """Export a stopped node's blocks, import them elsewhere; both must end with the same state."""
    assert node.cli("export", str(file)).code == 0
    assert control.cli("import", str(file)).code == 0
    digests = [one.json("db", "check") for one in (node, control)]
    assert digests[0]["ok"]
    assert digests[1]["ok"]
    assert digests[0]["state_digest"] == digests[1]["state_digest"]
