"""Ethereum's state tests of Cancun and Prague through our executor, our state and our trie, all of them.

Refused by rule are transactions of type 3 (blobs, EIP-4844): this chain has none. They are counted and
checked to be refused for that reason. Our own rules (execution gas, base fees to a pool) are off here.
"""

import os
from pathlib import Path

import pytest
from state_cases import Case, cases_of, run

from ioex_chain.evm import errors
from ioex_chain.evm.errors import BlobsNotSupported

FOLDER = Path(os.environ.get("IOEX_VECTORS", "")) / "state"
FILES = sorted(FOLDER.rglob("*.json")) if os.environ.get("IOEX_VECTORS") else []
NAMES = [str(path.relative_to(FOLDER)) for path in FILES]
TOTAL = 1235
BLOBS = 29
"""Cases of type 3."""
HOURS = "cancun/stTimeConsuming/CALLBlake2f_MaxRounds.json"
"""2^32 rounds of Blake2: minutes with the compiled library, hours without."""
LONG = ("cancun/VMTests.vmPerformance/loopExp.json", "cancun/VMTests.vmPerformance/loopMul.json")
"""A minute and several minutes of plain looping: run by the soak only."""
EXPECTED = {
    "SENDER_NOT_EOA": errors.SenderNotExternal,
    "INSUFFICIENT_ACCOUNT_FUNDS": errors.InsufficientFunds,
    "INTRINSIC_GAS_TOO_LOW": errors.IntrinsicGasTooLow,
    "INSUFFICIENT_MAX_FEE_PER_GAS": errors.FeeCapTooLow,
    "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS": errors.TipAboveFeeCap,
    "GASLIMIT_PRICE_PRODUCT_OVERFLOW": errors.GasPriceOverflow,
}

pytestmark = pytest.mark.skipif(not FILES, reason="IOEX_VECTORS names no folder of public test vectors")


def check(case: Case) -> None:
    if case.raw[0] == 3:
        with pytest.raises(BlobsNotSupported):
            run(case)
        return
    root, logs, error = run(case)
    if case.exception is None:
        assert error is None, case.label
        assert logs == case.logs, case.label
    else:
        kinds = tuple(EXPECTED[part.split(".")[1]] for part in case.exception.split("|"))
        assert isinstance(error, kinds), case.label
    assert root == case.root, case.label


def _parameter(name: str, path: Path):
    marks = [pytest.mark.soak, pytest.mark.timeout(3600)] if name == HOURS or name in LONG else []
    return pytest.param(path, id=name, marks=marks)


@pytest.mark.parametrize("path", [_parameter(*pair) for pair in zip(NAMES, FILES, strict=True)])
def test_state_tests(path: Path):
    if str(path).endswith(HOURS):
        pytest.importorskip("blake2b", reason="2^32 rounds of Blake2 need the compiled library")
    for case in cases_of(path):
        check(case)


def test_all_cases_are_there_and_blobs_are_counted():
    cases = [case for path in FILES for case in cases_of(path)]
    assert len(cases) == TOTAL
    assert sum(case.raw[0] == 3 for case in cases) == BLOBS
