"""`ChainBuilder`: blocks and spends for tests, in a few words.

    chain = ChainBuilder(story_spec())
    base = chain.warm_up()                                 # the blocks until genesis outputs have matured
    b1 = chain.block(base[-1])                             # a valid, solved block
    pay = chain.spend(chain.take(), [(5 * COIN, key("bob"))], fee=1_000)  # genesis coin -> bob, change back
    b2 = chain.block(b1, [pay])                            # its coinbase claims the fee
    b2x = chain.block(b1, [pay], time=b1.header.time - 99) # the same with one field wrong
    chain.extend(b2, 10)                                   # ten empty blocks

Nothing here decides what is valid: a builder makes whatever it is told, and solves it. It remembers every
output that it made, on all branches, so that fees and signatures can be worked out. Same calls, same bytes:
there is no chance and no clock in it. A ledger that takes the blocks needs a clock at or after
`chain.time_of(block)`; `chain.clock` is one that follows the newest block made.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ioex_chain.pow.auxpow import MERGED_MINING_HEADER, AuxPow, expected_index
from ioex_chain.pow.block import Block
from ioex_chain.pow.coinbase import build_coinbase
from ioex_chain.pow.difficulty import next_bits, target_of
from ioex_chain.pow.genesis import genesis_block
from ioex_chain.pow.header import AUXPOW_BIT, Header
from ioex_chain.pow.script import SighashContext
from ioex_chain.pow.transaction import NULL_OUTPOINT, SEQUENCE_FINAL, Transaction, TxIn, TxOut
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.primitives.merkle import branch_root, merkle_root
from ioex_chain.primitives.types import BlockHash, OutPoint
from ioex_chain.spec.model import NetworkSpec

from .owners import Owner
from .specs import GENESIS_OWNERS, key

NATIVE_VERSION = 0x2000_0000
SEQUENCE_NO_LOCK = 0xFFFF_FFFE
"""Not final, so that lock times count; no relative lock."""

Pay = tuple[int, Owner | bytes]
"""Value, and an owner or an output script."""


@dataclass(frozen=True)
class Funds:
    """An output that can be spent. `owner` may be replaced to sign wrongly on purpose."""

    outpoint: OutPoint
    value: int
    owner: Owner
    script: bytes = b""
    """Output script; the owner's when empty."""
    sequence: int = SEQUENCE_NO_LOCK

    def output(self) -> TxOut:
        """Give the output that is spent."""
        return TxOut(self.value, self.script or self.owner.script)


class ChainBuilder:
    """Makes blocks and transactions on any parent that it knows."""

    def __init__(self, spec: NetworkSpec, genesis: Block | None = None, miner: Owner | None = None) -> None:
        """Take a network and its genesis block (by default the one that its spec describes).

        `miner` is paid by coinbases. Genesis outputs to owners in `GENESIS_OWNERS` can be spent at once by
        `take`; teach it others with `know`.
        """
        self.spec = spec
        self.genesis = genesis or genesis_block(spec)
        self.miner = miner or key("miner")
        self.clock = FixedClock(self.genesis.header.time)
        self.owners: dict[bytes, Owner] = {}
        self._outputs: dict[OutPoint, TxOut] = {}
        self._blocks: dict[BlockHash, tuple[int, Block]] = {}
        self._made = 0
        self._taken: set[OutPoint] = set()
        self.know(self.miner, *GENESIS_OWNERS.values())
        self._remember(self.genesis, 0)

    # --- what is known -----------------------------------------------------------------------------------

    def know(self, *owners: Owner) -> None:
        """Learn owners, so that `funds` finds who signs for an output that pays one."""
        self.owners.update({owner.script: owner for owner in owners})

    def height(self, block: Block) -> int:
        """Give the height of a block that was made here."""
        return self._blocks[block.hash][0]

    def parent(self, block: Block) -> Block:
        """Give the block before one that was made here."""
        return self._blocks[block.header.parent_hash][1]

    def ancestors(self, block: Block) -> Iterator[Block]:
        """Give the block and those before it, down to genesis."""
        while True:
            yield block
            if block is self.genesis:
                return
            block = self.parent(block)

    def branch(self, block: Block) -> list[Block]:
        """Give the chain from the block after genesis up to this one."""
        return list(self.ancestors(block))[-2::-1]

    def median_time(self, block: Block) -> int:
        """Give the median time of a block and the 10 before it."""
        times = [item.header.time for item, _ in zip(self.ancestors(block), range(11), strict=False)]
        return sorted(times)[len(times) // 2]

    def funds(self, tx: Transaction, index: int = 0) -> Funds:
        """Give an output of a transaction as something to spend; its owner must be known."""
        output = tx.outputs[index]
        return Funds(tx.outpoint(index), output.value, self.owners[output.script])

    def coinbase_funds(self, block: Block) -> Funds:
        """Give what a block paid its miner (4 IOEX and fees); mind maturity."""
        return self.funds(block.transactions[0], 1)

    def take(self, form: str = "p2wpkh") -> Funds:
        """Give the next unused genesis output of a form in `GENESIS_OWNERS` (20 of 10,000 IOEX each)."""
        owner = GENESIS_OWNERS[form]
        coinbase = self.genesis.transactions[0]
        for index, output in enumerate(coinbase.outputs):
            outpoint = coinbase.outpoint(index)
            if output.script == owner.script and outpoint not in self._taken:
                self._taken.add(outpoint)
                return Funds(outpoint, output.value, owner)
        raise LookupError(f"no genesis output of form {form} is left")

    # --- transactions ------------------------------------------------------------------------------------

    def spend(
        self,
        funds: Funds | Sequence[Funds],
        pays: Sequence[Pay],
        *,
        fee: int | None = None,
        version: int = 2,
        lock_time: int = 0,
        hash_type: int = 1,
    ) -> Transaction:
        """Make and sign a transaction. With `fee` the rest goes back to the first owner, else no change."""
        sources = [funds] if isinstance(funds, Funds) else list(funds)
        outputs = [TxOut(value, to if isinstance(to, bytes) else to.script) for value, to in pays]
        self.know(*(to for _, to in pays if not isinstance(to, bytes)))
        if fee is not None:
            rest = sum(item.value for item in sources) - sum(output.value for output in outputs) - fee
            outputs.append(TxOut(rest, sources[0].owner.script))
            self.know(sources[0].owner)
        bare = [TxIn(item.outpoint, b"", item.sequence) for item in sources]
        tx = self.sign(Transaction.build(version, bare, outputs, lock_time), sources, hash_type)
        self._remember_outputs(tx)
        return tx

    def sign(self, tx: Transaction, sources: Sequence[Funds], hash_type: int = 1) -> Transaction:
        """Sign every input; `sources` are what they spend, in input order."""
        context = SighashContext(tx, [item.output() for item in sources])
        stacks = [item.owner.witness(context, index, hash_type) for index, item in enumerate(sources)]
        return tx.with_witnesses(stacks)

    def fan_out(self, funds: Funds, count: int, owner: Owner, fee: int = 0) -> Transaction:
        """Split an output into `count` equal ones: the way to many coins for a full block."""
        share = (funds.value - fee) // count
        rest = funds.value - fee - share * count
        return self.spend(funds, [(share + (rest if index == 0 else 0), owner) for index in range(count)])

    def all_funds(self, tx: Transaction) -> list[Funds]:
        """Give every output of a transaction that a known owner can spend."""
        return [self.funds(tx, index) for index, item in enumerate(tx.outputs) if item.script in self.owners]

    def spent_by(self, tx: Transaction) -> list[TxOut]:
        """Give the outputs that a transaction spends, in input order; all of them made here."""
        return [self._outputs[item.outpoint] for item in tx.inputs]

    def fee_of(self, tx: Transaction) -> int:
        """Give inputs less outputs; inputs that this builder does not know count nothing."""
        known = [self._outputs[item.outpoint].value for item in tx.inputs if item.outpoint in self._outputs]
        return sum(known) - sum(output.value for output in tx.outputs)

    # --- blocks ------------------------------------------------------------------------------------------

    def block(
        self,
        parent: Block,
        transactions: Sequence[Transaction] = (),
        *,
        time: int | None = None,
        bits: int | None = None,
        version: int = NATIVE_VERSION,
        fees: int | None = None,
        height: int | None = None,
        payout: Owner | bytes | None = None,
        coinbase: Callable[[Transaction], Transaction] | None = None,
        merkle: bytes | None = None,
        solved: bool = True,
    ) -> Block:
        """Make a block; everything that is not given is as the rules want it.

        `coinbase` receives the right coinbase and gives the one to use (see `edit_coinbase`); `fees` is what
        it claims; `merkle` replaces the header's Merkle root; `solved=False` gives a header that misses its
        target.
        """
        at = self.height(parent) + 1
        claimed = max(0, sum(map(self.fee_of, transactions))) if fees is None else fees
        pay_to = payout or self.miner
        first = build_coinbase(
            self.spec,
            at if height is None else height,
            pay_to if isinstance(pay_to, bytes) else pay_to.script,
            claimed,
            transactions,
            self._unique(),
        )
        body = [coinbase(first) if coinbase else first, *transactions]
        header = Header.build(
            version,
            parent.hash,
            merkle or merkle_root([tx.txid for tx in body])[0],
            self.next_time(parent) if time is None else time,
            next_bits(self.spec.pow, at - 1, parent.header.time) if bits is None else bits,
            0,
        )
        return self.adopt(Block.build(solve(header, solved), body), at)

    def adopt(self, block: Block, height: int | None = None) -> Block:
        """Remember a block that was made by other means (edited, merged-mined, by a template)."""
        known = self.height(self.parent(block)) + 1 if height is None else height
        self._remember(block, known)
        self.clock.time = max(self.clock.time, block.header.time)
        return block

    def extend(self, parent: Block, count: int) -> list[Block]:
        """Make `count` empty blocks, each on the one before."""
        made: list[Block] = []
        for _ in range(count):
            made.append(self.block(made[-1] if made else parent))
        return made

    def warm_up(self) -> list[Block]:
        """Make the empty blocks on genesis after which its outputs (a coinbase's) can be spent."""
        return self.extend(self.genesis, self.spec.pow.coinbase_maturity - 1)

    def next_time(self, parent: Block) -> int:
        """Give the time of a block that comes exactly one spacing after its parent."""
        return max(parent.header.time + self.spec.pow.spacing, self.median_time(parent) + 1)

    def merged(self, block: Block, **changes: object) -> Block:
        """Give the block again, merged-mined: version bit 8, our chain id and a sound AuxPoW record.

        `changes` are those of `auxpow`.
        """
        version = self.spec.pow.auxpow_chain_id << 16 | AUXPOW_BIT
        core = block.header.core
        header = Header(version.to_bytes(4, "little") + core[4:])
        record = auxpow(self.spec, header, **changes)  # type: ignore[arg-type]
        return self.adopt(Block.build(Header(header.core, record), block.transactions))

    def _unique(self) -> bytes:
        self._made += 1
        return b"\x08" + self._made.to_bytes(8, "little")

    def _remember(self, block: Block, height: int) -> None:
        self._blocks[block.hash] = (height, block)
        for tx in block.transactions:
            self._remember_outputs(tx)

    def _remember_outputs(self, tx: Transaction) -> None:
        self._outputs.update({tx.outpoint(index): output for index, output in enumerate(tx.outputs)})


def solve(header: Header, met: bool = True) -> Header:
    """Give the header with the first nonce whose hash meets its target (or misses it)."""
    target = target_of(header.bits)
    for nonce in range(1 << 32):
        tried = header.with_nonce(nonce)
        if (int.from_bytes(tried.hash, "little") <= target) is met:
            return tried
    raise LookupError("no nonce solves this header")


def edit_coinbase(
    *,
    outputs: Callable[[list[TxOut]], Iterable[TxOut]] | None = None,
    script: bytes | None = None,
    witness: tuple[bytes, ...] | None = None,
    sequence: int | None = None,
    lock_time: int | None = None,
) -> Callable[[Transaction], Transaction]:
    """Make a function for `ChainBuilder.block(coinbase=...)` that changes parts of the right coinbase."""

    def edit(tx: Transaction) -> Transaction:
        item = tx.inputs[0]
        item = item._replace(
            script=item.script if script is None else script,
            witness=item.witness if witness is None else witness,
            sequence=item.sequence if sequence is None else sequence,
        )
        paid = tx.outputs if outputs is None else tuple(outputs(list(tx.outputs)))
        return Transaction.build(tx.version, [item], paid, tx.lock_time if lock_time is None else lock_time)

    return edit


def auxpow(
    spec: NetworkSpec,
    header: Header,
    *,
    depth: int = 2,
    nonce: int = 7,
    parent_version: int = 0x2000_0000,
    script: Callable[[bytes], bytes] | None = None,
    edit: Callable[[AuxPow], AuxPow] | None = None,
    met: bool = True,
) -> AuxPow:
    """Give an AuxPoW record whose parent block commits to `header`.

    `script` makes the parent coinbase script from the right commitment (44 bytes: magic, root, size, nonce);
    `edit` changes the record before the parent header, which commits to the edited coinbase, is solved (or
    not, with `met=False`).
    """
    index = expected_index(nonce, spec.pow.auxpow_chain_id, depth)
    branch = tuple(bytes((level + 1,)) * 32 for level in range(depth))
    root = branch_root(header.hash, branch, index)[::-1]
    commitment = (
        MERGED_MINING_HEADER + root + (1 << depth).to_bytes(4, "little") + nonce.to_bytes(4, "little")
    )
    text = script(commitment) if script else b"\x03abc" + commitment
    inputs = [TxIn(NULL_OUTPOINT, text, SEQUENCE_FINAL)]
    coinbase = Transaction.build(1, inputs, [TxOut(50, b"\x51")])
    record = AuxPow(coinbase, bytes(32), (b"\x55" * 32,), 0, branch, index, b"")
    record = edit(record) if edit else record
    merkle = branch_root(record.coinbase.txid, record.coinbase_branch, record.coinbase_index)
    parent = Header.build(parent_version, bytes(32), merkle, header.time, header.bits, 0)
    return replace(record, parent=solve(parent, met).core)
