"""The Bridge contract reads a transaction as the PoW chain's own decoder does, and refuses what that refuses.

Every case is proven under a tree that really has the bytes as a leaf, so that only their form decides.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit" / "contracts"))

from bridge_world import BridgeWorld, payment
from contract_world import Reverted

from ioex_chain.bridge.deposits import DepositRefused, check_proof
from ioex_chain.crypto.address import deposit_script, reserve_change_script
from ioex_chain.crypto.hashes import sha256d
from ioex_chain.evm import bridge
from ioex_chain.evm.bridge import DepositProof
from ioex_chain.evm.types import Withdrawal
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import NULL_OUTPOINT, Transaction, TxIn, TxOut
from ioex_chain.primitives.codec import compact
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import OutPoint

FORM = {"truncated", "trailing bytes", "size form", "too large"}
"""What the decoder says of bytes that are no transaction: the contract may have seen another fault before."""
PARSER = FORM | {
    "64 bytes",
    "no inputs",
    "coinbase",
    "no such output",
    "no deposit output",
    "no amount",
    "amount",
}
SIBLING = sha256d(b"sibling")


@dataclass
class Both:
    """The contract and its rule in Python, on one best chain."""

    world: BridgeWorld = field(default_factory=BridgeWorld)
    heights: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world.client("bury(uint256)", 9)

    def height_of(self, hash_: bytes) -> int | None:
        return self.heights.get(hash_)

    def buried_height(self) -> int:
        return 9

    def is_credited(self, txid: bytes, vout: int) -> bool:
        return self.world.reader.is_credited(txid, vout)

    def alone(self, raw: bytes, vout: int) -> DepositProof:
        """A proof that these bytes stand at place 1 of a block of two."""
        header = Header.build(0x20000000, bytes(32), sha256d(SIBLING + sha256d(raw)), 1, 0x207FFFFF, 0)
        self.heights[header.hash] = 7
        self.world.client("put(bytes32,uint256)", bytes(header.hash), 7)
        return DepositProof(header.core, 1, (SIBLING,), vout, raw)

    def agree(self, proof: DepositProof) -> str:
        """Give the common verdict: a reason, or nothing for a credit, which must be as Python says."""
        try:
            expected = check_proof(proof, self)
        except DepositRefused as error:
            return self._refused(proof, error.reason)
        place = self.world.prove(proof)
        assert self.world.reader.credit(place) == Withdrawal(place, 1, expected.account, 10 * expected.amount)
        assert self.world.reader.credit_of(expected.txid, expected.vout) == place
        return ""

    def _refused(self, proof: DepositProof, reason: str) -> str:
        tail = self.world.reader.credit_tail
        with pytest.raises(Reverted) as caught:
            self.world.prove(proof)
        assert self.world.reader.credit_tail == tail
        if reason in FORM:
            assert str(caught.value) in PARSER
        else:
            assert str(caught.value) == reason
        return reason

    def read(self, raw: bytes, vout: int = 1) -> str:
        return self.agree(self.alone(raw, vout))


@pytest.fixture(scope="module")
def both() -> Both:
    return Both()


ORDINARY = payment().encode_stripped()


def decodes(raw: bytes) -> bool:
    try:
        return Transaction.decode(raw).encode_stripped() == raw
    except DecodeError:
        return False


def test_an_ordinary_transaction_is_read(both):
    assert both.read(ORDINARY) == ""
    assert both.read(ORDINARY) == "credited before"


def test_every_truncation_is_refused(both):
    verdicts = {
        both.read(ORDINARY[:size], vout) for size in range(len(ORDINARY)) for vout in (0, 1)[size % 2 :]
    }
    assert verdicts == {"truncated", "64 bytes", "size form"}  # the last: more inputs or outputs than fit


def test_every_flipped_byte_is_read_alike(both):
    """Another id, sequence, version, value or account is another transaction; another size is none."""
    verdicts = {}
    for at in range(len(ORDINARY)):
        raw = ORDINARY[:at] + bytes((ORDINARY[at] ^ (1 << at % 8),)) + ORDINARY[at + 1 :]
        verdicts[at] = both.read(raw)
        assert decodes(raw) or verdicts[at]
    assert set(verdicts.values()) >= {"", "truncated", "trailing bytes", "no deposit output", "amount"}


@pytest.mark.parametrize("tail", [b"\0", b"\xff", bytes(4), bytes(32), ORDINARY])
def test_trailing_bytes_are_refused(both, tail):
    assert both.read(ORDINARY + tail) == "trailing bytes"


@pytest.mark.parametrize("wide", [3, 5, 9])
def test_sizes_that_could_be_shorter_are_refused(both, wide):
    places = [4, 4 + 1 + 36, 4 + 1 + 41 + 36, 4 + 1 + 82, 4 + 1 + 82 + 1 + 8, 4 + 1 + 82 + 1 + 8 + 23 + 8]
    head = {3: b"\xfd", 5: b"\xfe", 9: b"\xff"}[wide]
    for at in places:
        number = ORDINARY[at]
        raw = ORDINARY[:at] + head + number.to_bytes(wide - 1, "little") + ORDINARY[at + 1 :]
        assert number in (0, 2, 3, 22, 34)
        assert both.read(raw) == "size form"


def test_64_bytes_are_refused_whatever_they_are(both):
    least = Transaction.build(1, [TxIn(OutPoint(b"\x07" * 36), b"", 0)], [TxOut(5, b"\x51" * 4)])
    assert len(least.raw) == 64
    assert both.read(least.raw, 0) == "64 bytes"
    assert both.read(sha256d(b"left") + sha256d(b"right"), 0) == "64 bytes"


def test_the_form_with_witnesses_is_refused(both):
    assert payment().raw != ORDINARY
    assert both.read(payment().raw) == "no inputs"
    bare = ORDINARY[:4] + b"\0\x01" + ORDINARY[4:-4] + b"\0\0" + ORDINARY[-4:]
    assert both.read(bare) == "no inputs"


def sometimes(usual: st.SearchStrategy, odd: st.SearchStrategy) -> st.SearchStrategy:
    """One in ten is odd: with more, no transaction would be whole."""
    return st.integers(0, 9).flatmap(lambda number: odd if number == 9 else usual)


DEPOSITS = st.binary(min_size=20, max_size=20).map(deposit_script)
SCRIPTS = sometimes(
    DEPOSITS, st.binary(max_size=60) | st.just(reserve_change_script()) | st.integers(250, 260).map(bytes)
)
AMOUNTS = sometimes(
    st.integers(1, 20_000_000 * 10**8), st.sampled_from([0, 20_000_000 * 10**8 + 1, 2**64 - 1])
)
OUTPUTS = st.lists(st.builds(TxOut, AMOUNTS, SCRIPTS), min_size=1, max_size=6)
IDS = st.integers(0, 2**64).map(lambda number: sha256d(number.to_bytes(9, "big")))
OUTPOINTS = st.builds(
    lambda txid, index: OutPoint(txid + index.to_bytes(4, "little")), IDS, st.integers(0, 2**32 - 1)
)
SIGNATURES = sometimes(st.just(b""), st.binary(max_size=8) | st.integers(250, 260).map(bytes))
INPUTS = st.lists(
    st.builds(
        TxIn,
        st.integers(0, 39).flatmap(lambda number: OUTPOINTS if number < 39 else st.just(NULL_OUTPOINT)),
        SIGNATURES,
        st.integers(0, 2**32 - 1),
        st.just((b"\x30" * 71,)),
    ),
    min_size=1,
    max_size=4,
)


@st.composite
def mangled(draw: st.DrawFn) -> tuple[bytes, int]:
    """A transaction's bytes, perhaps damaged, and an output to ask for."""
    made = Transaction.build(
        draw(st.integers(0, 2**32 - 1)), draw(INPUTS), draw(OUTPUTS), draw(st.integers(0, 2**32 - 1))
    )
    raw = made.raw if draw(st.integers(0, 19)) == 19 else made.encode_stripped()
    vout = draw(sometimes(st.integers(0, len(made.outputs) - 1), st.just(len(made.outputs))))
    kind = draw(st.sampled_from(["whole", "flip", "whole", "flip", "cut", "insert", "size", "drop"]))
    at = draw(st.integers(0, len(raw) - 1))
    if kind == "cut":
        raw = raw[:at]
    elif kind == "flip":
        raw = raw[:at] + bytes((raw[at] ^ draw(st.integers(1, 255)),)) + raw[at + 1 :]
    elif kind == "insert":
        raw = raw[:at] + draw(st.binary(min_size=1, max_size=40)) + raw[at:]
    elif kind == "drop":
        raw = raw[:at] + raw[at + draw(st.integers(1, 40)) :]
    elif kind == "size":
        raw = raw[:at] + compact(draw(st.sampled_from([0, 1, 0xFD, 0xFFFF, 2**16, 2**33]))) + raw[at + 1 :]
    return raw, vout


@settings(max_examples=250)
@given(case=mangled())
def test_random_transactions_are_read_alike(both, case):
    raw, vout = case
    verdict = both.read(raw, vout)
    event(verdict or "credited")
    assert verdict or decodes(raw)


@pytest.mark.soak
@settings(max_examples=50_000)
@given(case=mangled())
def test_many_random_transactions_are_read_alike(both, case):
    both.read(*case)


@settings(max_examples=60)
@given(at=st.integers(0, 84 + 32 + 3), mask=st.integers(1, 255))
def test_no_proof_with_another_byte_before_the_transaction_credits(at, mask):
    """In place, branch, header and vout every bit counts; Python and the contract give the same reason."""
    both, raw = _fresh(), payment("another").encode_stripped()
    data = bridge.encode_proof(both.alone(raw, 1))
    forged = data[:at] + bytes((data[at] ^ mask,)) + data[at + 1 :]
    try:
        proof = bridge.decode_proof(forged)
    except DecodeError:
        return
    assert both.agree(proof) != ""


_WORLD: list[Both] = []


def _fresh() -> Both:
    """One world for all examples: nothing in it is ever credited."""
    if not _WORLD:
        _WORLD.append(Both())
    return _WORLD[0]
