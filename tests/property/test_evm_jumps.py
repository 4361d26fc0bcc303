"""The places that may be jumped to: against the plain definition, and what they cost."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.evm.vm_loop import Program, prepare

JUMPDEST, PUSH0, PUSH32 = 0x5B, 0x5F, 0x7F
OPERATIONS = st.sampled_from([0x00, JUMPDEST, JUMPDEST, 0x60, 0x61, 0x70, PUSH32, 0x80])
CODES = st.lists(OPERATIONS, max_size=900).map(bytes) | st.binary(max_size=900)


def _plain(code: bytes) -> set[int]:
    """Yellow paper, section 9.4.3."""
    found, at = set(), 0
    while at < len(code):
        if code[at] == JUMPDEST:
            found.add(at)
        at += code[at] - PUSH0 + 1 if PUSH0 < code[at] <= PUSH32 else 1
    return found


@given(CODES, st.randoms(use_true_random=False))
def test_targets_are_those_of_the_definition_in_whatever_order_they_are_asked(code, random):
    program, allowed = Program(code), _plain(code)
    targets = list(range(len(code) + 40))
    random.shuffle(targets)
    assert {target for target in targets if program.leads(target)} == allowed
    assert {target for target, is_known in enumerate(program.found) if is_known} == allowed


def test_no_code_makes_its_analysis_large():
    tracemalloc.start()
    program = Program(bytes((JUMPDEST,)) * 49_152)
    assert all(map(program.leads, range(49_152)))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 3 * 49_152


def test_what_is_longer_than_a_contract_is_not_kept():
    contract, longer = bytes(24_576), bytes(24_577)
    assert prepare(contract) is prepare(contract)
    assert prepare(longer) is not prepare(longer)
