"""BIP-174's own test vectors (version 0), kept in data/bip174.json."""

import json
from pathlib import Path

import pytest

from ioex_chain.wallet.errors import InvalidPsbt
from ioex_chain.wallet.psbt import Psbt, combine

VECTORS = json.loads((Path(__file__).parent / "data" / "bip174.json").read_text())


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda case: case["case"][:60])
def test_invalid_psbts_are_refused(case: dict[str, str]) -> None:
    with pytest.raises(InvalidPsbt):
        Psbt.parse(case["psbt"])


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["case"][:60])
def test_valid_psbts_come_back_byte_for_byte(case: dict[str, str]) -> None:
    assert Psbt.parse(case["psbt"]).to_base64() == case["psbt"]


def test_the_creator_and_the_combiner_make_the_psbts_of_the_bip() -> None:
    created, _updated, _with_sighash, first, second, combined, *_ = VECTORS["workflow"]
    assert Psbt.create(Psbt.parse(created).transaction).to_base64() == created
    ours, theirs = combine([Psbt.parse(first), Psbt.parse(second)]), Psbt.parse(combined)
    assert [item.pairs for item in ours.inputs] == [item.pairs for item in theirs.inputs]
    assert [item.pairs for item in ours.outputs] == [item.pairs for item in theirs.outputs]


def test_unknown_pairs_survive_combining() -> None:
    first, second, combined = VECTORS["workflow"][-3:]
    ours, theirs = combine([Psbt.parse(first), Psbt.parse(second)]), Psbt.parse(combined)
    assert ours.inputs[0].pairs == theirs.inputs[0].pairs
    assert ours.outputs[0].pairs == theirs.outputs[0].pairs
