"""Every byte of every proof altered, and roots that are zero, empty or doubled. No forgery is believed.

The suite flips one bit of each byte, the soak all eight.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from chaingen.builder import ChainBuilder, auxpow

from ioex_chain.bridge import deposits
from ioex_chain.bridge.settlement import settlement_rule
from ioex_chain.crypto.hashes import keccak256, sha256d
from ioex_chain.evm.bridge import DepositProof, decode_proof, encode_proof, prove_deposit
from ioex_chain.evm.light_client import LightClientReader, submit
from ioex_chain.ledger.errors import InvalidHeader, NotYetValid
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.pow import reserve_errors as refused
from ioex_chain.pow.consensus import PowEngine
from ioex_chain.pow.errors import TransactionError
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import get_coin
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.merkle import merkle_root
from ioex_chain.primitives.types import COIN

from .bridge_dpos import DposSide
from .bridge_history import FORMS
from .bridge_invariants import attempt, refusal_of
from .bridge_relay import output_proof
from .bridge_spec import GENESIS_TIME, bridge_network
from .test_bridge_world import ALICE, BOB, Story

HARD_BITS = 0x1F00FFFF
"""One hash in 65,536 meets this: no altered header does by chance."""


def flips(data: bytes, all_bits: bool = False) -> Iterator[tuple[int, bytes]]:
    """Give every place with the data altered there: one bit, another one at each place, or all eight."""
    for at in range(len(data)):
        for bit in range(8) if all_bits else (at % 8,):
            yield at, data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]


class Buried(Story):
    """A deposit among others in one block, buried, and left unproven by relayers because it is small."""

    def __init__(self) -> None:
        super().__init__()
        self.round(3)
        waiting = []
        for number in range(6):
            tx = self.world.deposit((500 + number, ALICE), direct=True)
            assert tx is not None
            waiting.append(tx)
        block = self.world.mine(waiting)
        self.round(4)
        self.height = self.world.pow.chain.height(block)
        self.names = [(tx.txid, 0) for tx in waiting]
        self.proof = self.world.relayers[0].proof_of(self.names[2])

    def verdict(self, proof: DepositProof) -> str:
        """Give what the contract says of a proof; empty when it credits it."""
        return refusal_of(attempt(self.world.dpos, "Bridge", prove_deposit(proof)))

    @property
    def light(self) -> "Believed":
        return Believed(self)


class Believed:
    """What the Bridge knows, for its rule in Python."""

    def __init__(self, story: Story) -> None:
        self._light, self._bridge = story.invariants.light, story.invariants.bridge

    def height_of(self, hash_: bytes) -> int | None:
        return self._light.height_of(hash_)

    def buried_height(self) -> int:
        return self._light.buried_height()

    def is_credited(self, txid: bytes, vout: int) -> bool:
        return self._bridge.is_credited(txid, vout)


def forged_deposits(all_bits: bool) -> int:
    """Alter every byte of a sound proof; give how many of them were tried."""
    story = Buried()
    sound, light = encode_proof(story.proof), story.light
    assert len(story.proof.branch) == 3
    tried = 0
    for at, data in flips(sound, all_bits):
        tried += 1
        try:
            proof = decode_proof(data)
        except DecodeError:
            continue
        assert story.verdict(proof), f"byte {at} may be another"
        with pytest.raises(deposits.DepositRefused):
            deposits.check_proof(proof, light)
    assert story.verdict(story.proof) == ""
    return tried


def test_no_byte_of_a_deposit_proof_can_be_another() -> None:
    assert forged_deposits(all_bits=False) > 300


@pytest.mark.soak
def test_no_bit_of_a_deposit_proof_can_be_another() -> None:
    print(f"{forged_deposits(all_bits=True)} altered deposit proofs, none credited")


def test_bytes_left_out_and_put_in_make_no_deposit_proof() -> None:
    story = Buried()
    raw, branch = story.proof.raw, story.proof.branch
    for at in range(0, len(raw), 7):
        assert story.verdict(replace(story.proof, raw=raw[:at] + raw[at + 1 :]))
        assert story.verdict(replace(story.proof, raw=raw[:at] + b"\0" + raw[at:]))
    for at in range(len(branch)):
        assert story.verdict(replace(story.proof, branch=branch[:at] + branch[at + 1 :]))
        assert story.verdict(replace(story.proof, branch=(*branch[:at], bytes(32), *branch[at:])))


def test_zero_empty_and_doubled_roots_prove_no_deposit() -> None:
    story = Buried()
    proof, world = story.proof, story.world
    leaves = [tx.txid for tx in world.pow.block_at(story.height).transactions]
    assert len(leaves) == 7
    filler = output_proof(world.pow, story.height, 6, 0)
    zero_root = replace(proof, header=proof.header[:36] + bytes(32) + proof.header[68:])
    hollow = sha256d(bytes(64))
    cases = {
        "an empty branch": replace(proof, branch=()),
        "an empty branch at place 0": replace(proof, branch=(), index=0),
        "zero siblings": replace(proof, branch=(bytes(32),) * 3),
        "a zero root": zero_root,
        "a zero header": replace(proof, header=bytes(80)),
        "a root over nothing": replace(proof, header=proof.header[:36] + hollow + proof.header[68:]),
        "the filling leaf": replace(filler, index=7),
        "a level of filling": replace(filler, index=6 + 8, branch=(*filler.branch, leaves[0])),
        "a doubled level": replace(proof, branch=(*proof.branch, merkle_root(leaves)[0]), index=3),
        "no transaction": replace(proof, raw=b""),
        "64 bytes": replace(proof, raw=leaves[2] + leaves[3], branch=proof.branch[1:], index=1),
    }
    for name, wrong in cases.items():
        assert story.verdict(wrong), name
    assert filler.branch[0] == leaves[6]
    assert story.verdict(filler) == "", "the last leaf, beside its own copy, is a sound left child"
    assert story.invariants.bridge.credited_deposits == 0


# --- settlements -------------------------------------------------------------------------------------------


class Unsettled(Story):
    """Three withdrawals and a handover that wait for their settlement."""

    def __init__(self) -> None:
        super().__init__()
        self.round(4)
        for number in range(3):
            self.world.withdraw(BOB, 2 * COIN + number, FORMS[number])
        for _ in range(5):
            self.world.produce()
        tx = self.world.relayers[0].settlement()
        assert tx is not None
        self.tx = tx
        self.rule = settlement_rule(self.world.spec)

    def check(self, tx: Transaction) -> None:
        """Ask the consensus rule. Raises what it breaks."""
        view = self.world.pow.ledger.view()
        coins = [get_coin(view, item.outpoint) for item in tx.inputs]
        self.rule.check(tx, [coin for coin in coins if coin is not None], self.invariants.reserve)

    def with_word(self, at: int, data: bytes) -> Transaction:
        """Give the settlement with another item in its witness."""
        words = list(self.tx.inputs[0].witness)
        words[at] = data
        first = self.tx.inputs[0]._replace(witness=tuple(words))
        return Transaction.build(2, [first, *self.tx.inputs[1:]], self.tx.outputs)


def forged_settlements(all_bits: bool) -> int:
    """Alter every byte of a settlement's witness; give how many were tried."""
    story, tried = Unsettled(), 0
    for item, words in enumerate(story.tx.inputs[0].witness):
        for at, data in flips(words, all_bits):
            tried += 1
            try:
                story.check(story.with_word(item, data))
            except refused.SettlementError:
                continue
            raise AssertionError(f"byte {at} of witness item {item} may be another")
    story.check(story.tx)
    return tried


def test_no_byte_of_a_settlements_witness_can_be_another() -> None:
    assert forged_settlements(all_bits=False) > 1_500


@pytest.mark.soak
def test_no_bit_of_a_settlements_witness_can_be_another() -> None:
    print(f"{forged_settlements(all_bits=True)} altered settlements, none paid")


def test_no_byte_of_what_a_settlement_pays_can_be_another() -> None:
    story, tried = Unsettled(), 0
    raw = story.tx.encode_stripped()
    for _, data in flips(raw):
        tried += 1
        try:
            bare = Transaction.decode(data)
        except DecodeError:
            continue
        stacks = [item.witness for item in story.tx.inputs]
        if len(bare.inputs) != len(stacks):
            continue
        with pytest.raises((TransactionError, IndexError)) as found:
            story.world.pow.pool.test_accept(bare.with_witnesses(stacks), story.world.pow.tip())
        assert isinstance(found.value, TransactionError)
    assert tried == len(raw) > 200
    assert story.world.pow.offer(story.tx)


def test_empty_zero_and_doubled_words_settle_nothing() -> None:
    story = Unsettled()
    words = story.tx.inputs[0].witness
    for item, word in enumerate(words):
        for data in (b"", b"\x80", b"\xc0", bytes(len(word)), word + b"\0", word + word, word[:-1]):
            with pytest.raises(refused.SettlementError):
                story.check(story.with_word(item, data))
        for other in words[:item] + words[item + 1 :]:
            with pytest.raises(refused.SettlementError):
                story.check(story.with_word(item, other))


# --- headers -----------------------------------------------------------------------------------------------


class Headers:
    """A light client at genesis under work that chance does not do, and its first sound headers."""

    def __init__(self) -> None:
        spec = bridge_network()
        hard = replace(spec.pow, genesis_bits=HARD_BITS, pow_limit_bits=HARD_BITS)
        self.spec = replace(spec, pow=hard)
        clock = FixedClock(GENESIS_TIME + 1_000)
        self.dpos = DposSide(self.spec, clock)
        self.chain = ChainBuilder(self.spec)
        self.plain = self.chain.block(self.chain.genesis).header
        bare = self.chain.block(self.chain.genesis, solved=False).header
        version = self.spec.pow.auxpow_chain_id << 16 | 1 << 8
        core = Header(version.to_bytes(4, "little") + bare.core[4:])
        self.merged = Header(core.core, auxpow(self.spec, core))
        self.engine = PowEngine(self.spec.pow)

    def verdict(self, header: bytes) -> str:
        """Give what the contract says; empty when it takes the header."""
        return refusal_of(attempt(self.dpos, "PowLightClient", submit(header)))

    def is_valid(self, raw: bytes) -> bool:
        """Whether the PoW chain takes it on genesis."""
        genesis = self.chain.genesis.header
        parent = Entry(genesis, 0, 0, Status.BODY, 0, None, lambda _: None)  # type: ignore[arg-type,return-value]
        try:
            header = Header.decode(raw)
            if header.parent_hash != genesis.hash:
                return False
            self.engine.check_header(header, parent, self.dpos.clock.time)
        except (DecodeError, InvalidHeader, NotYetValid):
            return False
        return True


def forged_headers(all_bits: bool) -> int:
    """Alter every byte of a plain and of a merged-mined header; give how many were tried."""
    world, tried = Headers(), 0
    for header in (world.plain, world.merged):
        sound = header.encode()
        assert world.verdict(sound) == ""
        assert world.is_valid(sound)
        for at, data in flips(sound, all_bits):
            tried += 1
            taken = world.verdict(data) == ""
            assert taken == world.is_valid(data), f"byte {at}: the two chains differ"
            # Namecoin's record has one field that means nothing. The header and its hash stay what they are.
            free = header.auxpow is not None and 0 <= at - 80 - header.auxpow.coinbase.size < 32
            assert taken == free, f"byte {at}"
            assert not taken or sha256d(data[:80]) == header.hash
    return tried


def test_no_byte_of_a_pow_header_can_be_another() -> None:
    assert forged_headers(all_bits=False) > 400


@pytest.mark.soak
def test_no_bit_of_a_pow_header_can_be_another() -> None:
    print(f"{forged_headers(all_bits=True)} altered headers, none makes another")


def test_zero_empty_and_cut_headers_are_refused() -> None:
    world = Headers()
    sound, merged = world.plain.encode(), world.merged.encode()
    for data in (
        b"",
        bytes(80),
        bytes(81),
        sound[:79],
        sound + b"\0",
        merged[:80],
        merged[:-1],
        merged + b"\0",
    ):
        assert world.verdict(data), data.hex()
    assert LightClientReader(world.spec, world.dpos.state).best()[1] == 0
    assert keccak256(sound) != keccak256(merged)
