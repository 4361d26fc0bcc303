"""Named blocks that break one rule of the bridge each, on the real EVM beside a real PoW chain.

Told as those of `dpos_stories`: the honest block of the place carries a header, a deposit proof, credits of
both kinds and a withdrawal; each story changes one thing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chaingen.builder import solve
from chaingen.dpos_bridge import ALICE, BOB, BridgeForge, bridge_spec, deposit, with_bridge
from chaingen.dpos_forge import ADDRESSES, KEYS, DictView
from chaingen.dpos_stories import Scene, Story
from ioex_chain.bridge.deposits import BlockProofs
from ioex_chain.dpos import errors, evidence
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.execution import EvmWorld
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.machine import Candidate, DposMachine
from ioex_chain.dpos.payload_trial import SYSTEM_RESERVE
from ioex_chain.dpos.pow_facts import Call, StatePowFacts, requests_hash
from ioex_chain.evm.bridge import DepositProof, encode_proof
from ioex_chain.evm.errors import SystemCallFailed
from ioex_chain.evm.types import Withdrawal
from ioex_chain.ledger.types import Readable
from ioex_chain.pow.block import Block as PowBlock
from ioex_chain.pow.header import Header
from ioex_chain.primitives.types import COIN

SPEC = with_bridge(bridge_spec(4, system_gas_limit=SYSTEM_RESERVE + 600_000), max_requests=2)
"""Few requests a block, so that some wait; less system gas than 64 headers need."""


@dataclass
class BridgeScene(Scene):
    """The light client has the PoW chain to height 6 at the tip; the honest block brings 7."""

    forge: BridgeForge

    @property
    def pow_tip(self) -> PowBlock:
        return self.forge.mined[7]

    def headers(self, *headers: Header | bytes) -> Block:
        """The honest block with other PoW headers."""
        raw = tuple(one if isinstance(one, bytes) else one.encode() for one in headers)
        return self.payload(pow_headers=raw)

    def proofs(self, *proofs: DepositProof | bytes) -> Block:
        """The honest block with other proofs."""
        raw = tuple(one if isinstance(one, bytes) else encode_proof(one) for one in proofs)
        return self.payload(deposit_proofs=raw)

    def header_with(self, **changes: Any) -> Header:
        """The header of height 8, solved, with other fields."""
        good = self.forge.mined[8].header
        fields = {
            "version": good.version,
            "parent_hash": good.parent_hash,
            "merkle_root": good.merkle_root,
            "time": good.time,
            "bits": good.bits,
            "nonce": 0,
        }
        return solve(Header.build(**(fields | changes)))

    def proof(self, height: int = 3, vout: int = 0, index: int = 1) -> DepositProof:
        return BlockProofs(self.forge.mined[height]).prove(index, vout)

    def many_headers(self, count: int) -> tuple[bytes, ...]:
        """Headers that the light client takes, as many as are wanted."""
        mined = self.forge.mined[:7]
        while len(mined) < 7 + count:
            mined.append(self.forge.pow.block(mined[-1]))
        return tuple(block.header.encode() for block in mined[7:])

    def most_headers(self) -> int:
        """How many headers the system gas suffices for, if nothing else were to be called."""
        machine, parent = self.forge.machine, self.forge.entry(self.tip)
        view = DictView(dict(self.forge.rows[parent.hash]))
        header = self.honest.header.header
        run = machine.world.run(view, machine._env(header, parent))
        run.begin(header.parent_hash, header.parent_beacon_root)
        for count, raw in enumerate(self.many_headers(64)):
            try:
                run.system_call(*machine.pow_facts.header_call(raw))
            except SystemCallFailed:
                return count
        raise LookupError("the system gas suffices for 64 headers")

    def due(self) -> tuple[Withdrawal, ...]:
        return self.honest.withdrawals

    def credit(self, place: int, **changes: Any) -> Block:
        """The honest block with one withdrawal changed."""
        due = list(self.due())
        due[place] = replace(due[place], **changes)
        return self.body(withdrawals=tuple(due))

    def requests(self, change: Callable[[list[bytes]], Sequence[bytes]]) -> Block:
        """The honest block with the hash of other requests."""
        view = DictView(dict(self.forge.rows[self.tip.header.hash]))
        self.forge.machine.connect(self.honest, self.forge.entry_of(self.honest), view)
        requests = list(self.forge.machine.pow_facts.requests(view))
        assert len(requests) == 3
        assert requests_hash(requests) == self.honest.header.header.requests_hash
        return self.header(requests_hash=requests_hash(change(requests)))

    def made_by(self, facts: StatePowFacts) -> Block:
        """The block that a producer with other rules makes of the honest block's parts."""
        forge = self.forge
        machine = DposMachine(forge.spec, forge.engine, EvmWorld(forge.spec), facts)
        honest = self.honest
        candidate = Candidate(
            self.slot,
            honest.transactions,
            honest.payload.certificate,
            pow_headers=honest.payload.pow_headers,
            deposit_proofs=honest.payload.deposit_proofs,
        )
        view = DictView(dict(forge.rows[self.tip.header.hash]))
        made = machine.assemble(view, forge.entry(self.tip), candidate)
        return made.sealed(forge.seal(made.header, KEYS[made.producer.key]))


class Without(StatePowFacts):
    """A producer that leaves something out."""

    def __init__(self, *names: str) -> None:
        super().__init__(SPEC)
        self._names = names

    def handover_call(self, number: int, members: Sequence[bytes]) -> Call:
        if "handover" in self._names:
            return Call(b"\x01" * 20, b"")  # nobody's account
        if "order" in self._names:
            members = members[::-1]
        return super().handover_call(number, members)

    def end_call(self, taken: int, slot: int, final_slot: int) -> Call:
        if "finality" in self._names:
            final_slot -= 1
        if "taken" in self._names:
            taken = 0
        return super().end_call(taken, slot, final_slot)

    def due_withdrawals(self, view: Readable) -> tuple[Withdrawal, ...]:
        return () if "withdrawals" in self._names else super().due_withdrawals(view)


def make_bridge_scene() -> BridgeScene:
    """The honest block is the first of term 1, and the first to see a new set."""
    forge = BridgeForge(SPEC)
    forge.mine(count=2)
    forge.mine(deposit("one", (ALICE, 5_000), (BOB, 6_000), (ALICE, 7_000)))
    forge.mine(deposit("two", (BOB, 1)))
    forge.mine(deposit("late", (BOB, 2)))
    forge.mine(deposit("later", (BOB, 3)))
    forge.mine(count=2)
    first = forge.extend(forge.genesis)
    guilty = KEYS[ADDRESSES[2]]
    twice = [replace(first.header.header, extra_data=bytes((n,))) for n in range(2)]
    proof = evidence.of_seals(*(SealedHeader(one, forge.seal(one, guilty)) for one in twice))
    last_of_term = 3 * SPEC.dpos.seats - 1
    chain = [forge.genesis, first]
    chain += forge.final(first, last_of_term - 4, evidence=(proof,), pow_headers=forge.headers(1, 5))
    chain += forge.final(chain[-1], 1, transactions=tuple(forge.withdraw(n * COIN) for n in (1, 2, 3)))
    chain += forge.final(chain[-1], 1)
    parts: dict[str, Any] = {
        "pow_headers": forge.headers(6, 6),
        "deposit_proofs": (forge.proof(3, 0), forge.proof(3, 1)),
        "transactions": (forge.withdraw(4 * COIN),),
    }
    chain += forge.final(chain[-1], 1, **parts)
    assert forge.slot(chain[-1]) == last_of_term
    scene = BridgeScene(forge, chain, chain[-1], ADDRESSES[2])
    scene.honest = forge.make(
        scene.tip,
        certificate=forge.certificate(scene.tip),
        pow_headers=forge.headers(7, 7),
        deposit_proofs=(forge.proof(4),),
        transactions=(forge.withdraw(5 * COIN),),
    )
    assert len(scene.honest.payload.pow_headers) == len(scene.honest.payload.deposit_proofs) == 1
    assert [one.validator_index for one in scene.due()] == [1, 1, 0]
    return scene


def _unsolved(scene: BridgeScene) -> Block:
    return scene.headers(solve(scene.pow_tip.header, met=False))


def _merged(scene: BridgeScene, **changes: Any) -> bytes:
    block = scene.forge.pow.block(scene.forge.mined[6])
    return bytes(scene.forge.pow.merged(block, **changes).header.encode())


def _forged_account(scene: BridgeScene) -> Block:
    proof = scene.proof(4)
    assert BOB in proof.raw
    return scene.proofs(replace(proof, raw=proof.raw.replace(BOB, ALICE)))


def _swapped(scene: BridgeScene) -> Block:
    one, two, *rest = scene.due()
    return scene.body(withdrawals=(two, one, *rest))


BRIDGE_STORIES: tuple[Story[BridgeScene], ...] = (
    # headers of the PoW chain
    ("a PoW header without work", errors.PowHeaderRefused, _unsolved),
    ("a PoW header that is known", errors.PowHeaderRefused, lambda s: s.headers(s.forge.mined[6].header)),
    ("the PoW genesis header", errors.PowHeaderRefused, lambda s: s.headers(s.forge.mined[0].header)),
    ("an orphan", errors.PowHeaderRefused, lambda s: s.headers(s.forge.mined[8].header)),
    (
        "PoW headers out of order",
        errors.PowHeaderRefused,
        lambda s: s.headers(s.forge.mined[8].header, s.forge.mined[7].header),
    ),
    (
        "a PoW header twice",
        errors.PowHeaderRefused,
        lambda s: s.headers(s.forge.mined[7].header, s.forge.mined[7].header),
    ),
    (
        "a PoW header with another target",
        errors.PowHeaderRefused,
        lambda s: s.headers(s.forge.mined[7].header, s.header_with(bits=0x207FFFFE)),
    ),
    (
        "a PoW header not after the median time",
        errors.PowHeaderRefused,
        lambda s: s.headers(s.forge.mined[7].header, s.header_with(time=s.forge.mined[3].header.time)),
    ),
    (
        "a PoW header too late for the block",
        errors.PowHeaderRefused,
        lambda s: s.headers(
            s.forge.mined[7].header, s.header_with(time=s.honest.header.header.timestamp + 601)
        ),
    ),
    (
        "a merged-mined header whose parent has no work",
        errors.PowHeaderRefused,
        lambda s: s.headers(_merged(s, met=False)),
    ),
    (
        "a merged-mined header with a byte too many",
        errors.PowHeaderRefused,
        lambda s: s.headers(_merged(s) + b"\0"),
    ),
    (
        "a merged-mined header without the end of its record",
        errors.PowHeaderRefused,
        lambda s: s.headers(_merged(s)[:-1]),
    ),
    (
        "more headers than the system gas suffices for",
        errors.PowHeaderRefused,
        lambda s: s.payload(pow_headers=s.many_headers(64)),
    ),
    (
        "headers that leave no gas for the calls after them",
        errors.SystemCallReverted,
        lambda s: s.payload(pow_headers=s.many_headers(s.most_headers()), deposit_proofs=()),
    ),
    # deposit proofs
    ("a proof that is none", errors.DepositProofMalformed, lambda s: s.proofs(b"proof")),
    (
        "a proof without a transaction",
        errors.DepositProofMalformed,
        lambda s: s.proofs(replace(s.proof(4), raw=b"")),
    ),
    (
        "a proof with a branch that is too deep",
        errors.DepositProofMalformed,
        lambda s: s.proofs(replace(s.proof(4), branch=(bytes(32),) * 15)),
    ),
    ("a deposit proven before", errors.DepositProofRefused, lambda s: s.proofs(s.proof(3))),
    ("a deposit proven twice", errors.DepositProofRefused, lambda s: s.proofs(s.proof(4), s.proof(4))),
    (
        "a deposit that is not buried",
        errors.DepositProofRefused,
        lambda s: s.proofs(s.proof(6)),
    ),
    (
        "a deposit buried by headers that are not in the payload",
        errors.DepositProofRefused,
        lambda s: s.payload(pow_headers=(), deposit_proofs=(encode_proof(s.proof(5)),)),
    ),
    ("a deposit for another account", errors.DepositProofRefused, _forged_account),
    ("an output that is none", errors.DepositProofRefused, lambda s: s.proofs(s.proof(3, vout=3))),
    ("a coinbase's deposit", errors.DepositProofRefused, lambda s: s.proofs(s.proof(3, index=0))),
    (
        "another place in the block",
        errors.DepositProofRefused,
        lambda s: s.proofs(replace(s.proof(4), index=3)),
    ),
    (
        "a header that nobody mined",
        errors.DepositProofRefused,
        lambda s: s.proofs(replace(s.proof(4), header=b"\2" * 80)),
    ),
    # credits
    ("no credits", errors.WrongWithdrawals, lambda s: s.body(withdrawals=())),
    ("a credit left out", errors.WrongWithdrawals, lambda s: s.body(withdrawals=s.due()[:-1])),
    ("the first credit left out", errors.WrongWithdrawals, lambda s: s.body(withdrawals=s.due()[1:])),
    (
        "a credit too many",
        errors.WrongWithdrawals,
        lambda s: s.body(withdrawals=(*s.due(), Withdrawal(s.due()[-1].index + 1, 1, ALICE, 1))),
    ),
    ("a credit twice", errors.WrongWithdrawals, lambda s: s.body(withdrawals=(*s.due(), s.due()[-1]))),
    ("credits in another order", errors.WrongWithdrawals, _swapped),
    ("a gwei too many", errors.WrongWithdrawals, lambda s: s.credit(0, amount=s.due()[0].amount + 1)),
    ("a gwei too few", errors.WrongWithdrawals, lambda s: s.credit(2, amount=s.due()[2].amount - 1)),
    ("another index", errors.WrongWithdrawals, lambda s: s.credit(0, index=s.due()[0].index + 1)),
    ("a deposit as a reward", errors.WrongWithdrawals, lambda s: s.credit(0, validator_index=0)),
    ("another account", errors.WrongWithdrawals, lambda s: s.credit(1, address=ALICE)),
    ("a producer that pays no credits", errors.WrongWithdrawals, lambda s: s.made_by(Without("withdrawals"))),
    # requests
    ("a request left out", errors.WrongRequestsHash, lambda s: s.requests(lambda all_: all_[1:])),
    ("requests in another order", errors.WrongRequestsHash, lambda s: s.requests(lambda all_: all_[::-1])),
    ("no accumulator", errors.WrongRequestsHash, lambda s: s.requests(lambda all_: all_[:-1])),
    ("no requests", errors.WrongRequestsHash, lambda s: s.requests(lambda _: ())),
    (
        "a request for a unit more",
        errors.WrongRequestsHash,
        lambda s: s.requests(lambda all_: [_dearer(all_[0]), *all_[1:]]),
    ),
    ("a handover left out", errors.WrongRequestsHash, lambda s: s.made_by(Without("handover"))),
    ("members in another order", errors.WrongRequestsHash, lambda s: s.made_by(Without("order"))),
    ("finality told wrongly", errors.WrongStateRoot, lambda s: s.made_by(Without("finality"))),
    ("credits paid and kept", errors.WrongStateRoot, lambda s: s.made_by(Without("taken"))),
)


def _dearer(request: bytes) -> bytes:
    amount = int.from_bytes(request[9:17], "big") + 1
    return request[:9] + amount.to_bytes(8, "big") + request[17:]
