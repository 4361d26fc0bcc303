"""Both real chains in one process, and what happens to them: slots, blocks, forks, crashes, relaying.

Time moves only when a slot passes. Nothing here is random: `bridge_history` draws what happens. Every block
on either chain is made and taken by production's code (`bridge_pow`, `bridge_dpos`).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from chaingen.builder import Funds
from eth_abi import encode

from ioex_chain.crypto.address import deposit_script
from ioex_chain.dpos.block import Block as DposBlock
from ioex_chain.evm.system import artefact, selector
from ioex_chain.evm.types import Transaction as Call
from ioex_chain.pow.block import Block
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.spec.model import NetworkSpec

from .bridge_dpos import DposPool, DposSide, crashed
from .bridge_pow import PowSide
from .bridge_relay import Relayer
from .bridge_spec import GENESIS_TIME, OWNER, SLOT_SECONDS, bridge_network


class BridgeWorld:
    """Two chains and two relayers. `seed` only orders coins and the like."""

    def __init__(self, seed: int = 0, spec: NetworkSpec | None = None) -> None:
        self.chance = Random(seed)
        self.spec = spec or bridge_network()
        self.clock = FixedClock(GENESIS_TIME)
        self.slot = 0
        self.pow = PowSide(self.spec, self.clock)
        self.dpos = DposSide(self.spec, self.clock)
        self.calls = DposPool(self.dpos)
        self.relayers = [Relayer(self.spec, self.pow, self.dpos) for _ in range(2)]
        self.contracts = self.spec.contracts.addresses
        self.is_voting = True
        self.happened: Counter[str] = Counter()
        """What had an effect."""

    # --- time and DPoS blocks ---

    def pass_slots(self, count: int = 1) -> None:
        """Let time pass; slots in which nobody produces are missed."""
        self.slot += count
        self.clock.time = max(self.clock.time, GENESIS_TIME + self.slot * SLOT_SECONDS)

    def produce(
        self,
        side: DposSide | None = None,
        *,
        relayers: Sequence[int] = (0,),
        rubbish: tuple[Sequence[bytes], Sequence[bytes]] = ((), ()),
    ) -> DposBlock:
        """Pass a slot and have its block made and taken, with all that waits and what relayers say.

        With several relayers the same items come several times; `rubbish` are headers and proofs that
        somebody added. A producer must leave out what would be refused.
        """
        side = side or self.dpos
        self.pass_slots()
        headers, proofs = list(rubbish[0]), list(rubbish[1])
        for relayer in relayers:
            found = self.relayers[relayer].items(side, self.slot_time)
            headers += found[0]
            proofs += found[1]
        block = side.produce(self.slot, self.calls.due(side), headers, proofs)
        side.take(block)
        if self.is_voting:
            side.vote()
        return block

    @property
    def slot_time(self) -> int:
        return GENESIS_TIME + self.slot * SLOT_SECONDS

    def fork_dpos(self, depth: int, longer: int = 1) -> bool:
        """Take back `depth` blocks by a branch of `depth + longer` that others made; whether that is allowed.

        Nothing below the justified block is taken back.
        """
        if self.dpos.head.height - depth < max(self.dpos.record.justified.height, self.anchor_height):
            return False
        self.happened["DPoS forks"] += 1
        other = self.dpos.twin()
        other.ledger.rollback(depth)
        before, voting = self.dpos.head.hash, self.is_voting
        self.is_voting = False
        made = [self.produce(other, relayers=(1,)) for _ in range(depth + longer)]
        self.is_voting = voting
        for block in made:
            self.dpos.take(block)
        assert self.dpos.head.hash == made[-1].header.hash != before
        return True

    @property
    def anchor_height(self) -> int:
        """Height of the highest block that a certificate justifies."""
        anchor = self.dpos.ledger.anchor
        return 0 if anchor is None else anchor.height

    # --- PoW blocks ---

    def mine(
        self,
        direct: Sequence[Transaction] = (),
        *,
        ahead: int = 0,
        modest: bool = False,
        merged: bool = False,
    ) -> Block:
        """Make and take a PoW block with `direct` and what the pool has; its clock may be `ahead`."""
        block = self.pow.mine(direct, time=self.clock.time + ahead, modest=modest, merged=merged)
        self.pow.take(block)
        return block

    def fork_pow(
        self, depth: int, longer: int = 1, keep: float = 0.5, instead: Sequence[Transaction] = ()
    ) -> list[Block]:
        """Take back `depth` blocks by a longer branch, into which a transaction comes with chance `keep`.

        `instead` stands in its first block.
        """
        left = [self.pow.block_at(self.pow.height - at) for at in range(depth)][::-1]
        tip = self.pow.chain.parent(left[0])
        carried = self._carried(left, keep)
        made = []
        for at in range(depth + longer):
            here = [*(() if at else instead), *(carried[at] if at < depth else ())]
            tip = self.pow.build(tip, here)
            made.append(tip)
        for block in made:
            self.pow.take(block)
        self.happened["PoW forks"] += 1
        assert self.pow.ledger.head.hash == tip.hash
        return made

    def _carried(self, left: Sequence[Block], keep: float) -> list[list[Transaction]]:
        """Choose transactions of abandoned blocks whose inputs the other branch has."""
        lost = {tx.txid for block in left for tx in block.transactions}
        carried = []
        for block in left:
            chosen = []
            for tx in block.transactions[1:]:
                if self.chance.random() < keep and all(item.outpoint[:32] not in lost for item in tx.inputs):
                    chosen.append(tx)
                    lost.discard(tx.txid)
            carried.append(chosen)
        return carried

    # --- relaying ---

    def settle(self, relayer: int = 0) -> bool:
        """Have a relayer offer the settlement that is due to the PoW pool; whether it was taken."""
        tx = self.relayers[relayer].settlement()
        return tx is not None and self.pow.offer(tx)

    # --- users ---

    def deposit(
        self, *pays: tuple[int, bytes], source: Funds | None = None, direct: bool = False
    ) -> Transaction | None:
        """Pay units to accounts' deposit addresses; None when no coin is free.

        With `direct` the transaction is not offered to the pool: a miner has it from elsewhere.
        """
        needed = sum(units for units, _ in pays) + 10_000
        sources = [source] if source else self.pow.spendable(self.chance, needed)
        if not sources:
            return None
        tx = self.pow.pay(sources, [(units, deposit_script(account)) for units, account in pays])
        if not direct:
            self.pow.offer(tx)
        return tx

    def call(self, account: bytes, contract: str, signature: str, *args: object, value: int = 0) -> Call:
        """Send a call of a system contract, such as `withdraw(bytes)`."""
        types = signature[signature.index("(") + 1 : -1]
        data = selector(signature) + encode(types.split(",") if types else [], args)
        return self.calls.send(account, self.contracts.get(contract, self.spec.dpos.owner), data, value)

    def withdraw(self, account: bytes, units: int, script: bytes, *, spare: int = 0) -> Call:
        """Ask for units on the PoW chain; `spare` wei on top make it invalid."""
        return self.call(account, "Bridge", "withdraw(bytes)", script, value=units * 10**10 + spare)

    def owner_call(self, contract: str, signature: str, *args: object) -> None:
        """Have the multisig of one owner make a call."""
        number = self._proposals() + 1
        types = signature[signature.index("(") + 1 : -1]
        data = selector(signature) + encode(types.split(","), args)
        submit = "submit(address,uint256,bytes)"
        self.call(OWNER, "OwnerMultisig", submit, self.contracts[contract], 0, data)
        self.call(OWNER, "OwnerMultisig", "execute(uint256)", number)

    def _proposals(self) -> int:
        """Count the multisig's proposals, those that wait in the pool too."""
        slot = artefact("OwnerMultisig").slots["proposalCount"]
        waiting = [tx for tx in self.calls.due(self.dpos) if tx.to == self.spec.dpos.owner]
        submit = selector("submit(address,uint256,bytes)")
        made = self.dpos.state.get_storage(self.spec.dpos.owner, slot)
        return made + sum(1 for tx in waiting if tx.data[:4] == submit)

    # --- crashes ---

    def crash_pow(self, work: Callable[[], object], writes: int, *, applied: bool) -> None:
        """Lose the PoW node at one of its next writes while it does `work`; start it again."""
        self.pow.store.arm(writes, applied=applied)
        self.happened["PoW crashes"] += crashed(work)
        self.pow.store.disarm()
        self.pow.reopen()
        self.restart_relayers()

    def crash_dpos(self, work: Callable[[], object], writes: int, *, applied: bool) -> None:
        """The same for the DPoS node."""
        self.dpos.store.arm(writes, applied=applied)
        self.happened["DPoS crashes"] += crashed(work)
        self.dpos.store.disarm()
        self.dpos.open()
        self.dpos.follow()
        self.restart_relayers()

    def restart_relayers(self) -> None:
        for relayer in self.relayers:
            relayer.restart()
