"""The invariants can fail: each rule of the bridge broken on purpose shows in a random history.

Rules of contracts are broken in their source and compiled anew, which takes seconds each: the soak does that.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ioex_chain.bridge import settlement
from ioex_chain.dpos import system_steps
from ioex_chain.dpos.pow_facts import Call, StatePowFacts
from ioex_chain.evm import genesis
from ioex_chain.evm.system import Artefact, artefact
from ioex_chain.pow import reserve

from .bridge_history import History
from .bridge_invariants import NOBODY

CONTRACTS = Path(genesis.__file__).parent / "contracts"
STEPS = 300
SEEDS = (11, 12, 13)


@pytest.fixture(autouse=True)
def _fresh_hashes() -> Iterator[None]:
    """Forget the genesis hashes of other tests, and have others forget those of these."""
    genesis._hash_of.cache_clear()
    yield
    genesis._hash_of.cache_clear()


def what_fails(steps: int = STEPS, seeds: tuple[int, ...] = SEEDS) -> str:
    """Run histories until an invariant breaks; give what it says, empty when none does."""
    for seed in seeds:
        history = History(seed)
        try:
            history.run(steps)
        except (AssertionError, LookupError) as error:  # the latter: of a proof that is none
            return str(error) or "an invariant"
    return ""


def test_a_settlement_rule_that_forgets_the_fee_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = settlement.effect_of

    def generous(requests: Any, state: Any, fee: int) -> Any:
        effect = sound(requests, state, fee)
        payouts = tuple(out._replace(value=out.value + fee) for out in effect.payouts)
        return replace(effect, payouts=payouts, fee=0)

    monkeypatch.setattr(settlement, "effect_of", generous)
    assert what_fails()


def test_a_machine_that_leaves_paid_credits_in_the_queue_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound = StatePowFacts.end_call
    monkeypatch.setattr(StatePowFacts, "end_call", lambda self, _, slot, final: sound(self, 0, slot, final))
    assert what_fails()


def test_a_machine_that_hands_no_set_over_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StatePowFacts, "handover_call", lambda *_: Call(NOBODY, b""))
    assert "requestsHash is not the model's" in what_fails()


def test_a_machine_that_takes_proofs_in_without_the_bridge_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_steps.SystemSteps, "prove", lambda *_: None)
    assert what_fails()


def test_a_reserve_that_counts_gifts_as_deposits_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserve, "_RESERVE_CHANGE", b"")
    assert what_fails()


# --- rules of contracts ------------------------------------------------------------------------------------

BROKEN = {
    "an outpoint may be credited again": (
        "Bridge",
        'assert self.creditOf[outpoint] == 0, "credited before"',
        "pass",
        "credited twice",
    ),
    "deposits need not be buried": (
        "Bridge",
        'assert height <= staticcall PowLightClient(client).buriedHeight(), "not buried"',
        "pass",
        "a deposit was credited before it was buried",
    ),
    "the tip is buried": (
        "PowLightClient",
        "return top - depth if top > depth else 0",
        "return top",
        "before it was buried",
    ),
    "heights are counted again": (
        "Bridge",
        "self.counted = counted + heights",
        "self.counted = max(counted, 1)",
        "",
    ),
    "credits are a unit too large": (
        "Bridge",
        "place: uint256 = self._credit(account, units * GWEI_PER_UNIT, DEPOSIT)",
        "place: uint256 = self._credit(account, (units + 1) * GWEI_PER_UNIT, DEPOSIT)",
        "",
    ),
    "parts of a unit are taken": (
        "Bridge",
        'assert msg.value % WEI_PER_UNIT == 0, "not a multiple of 1e10 wei"',
        "pass",
        "a part of a unit was taken",
    ),
    "any script is taken": (
        "Bridge",
        'assert head == 0x5120, "script form"',
        "pass",
        "a wrong script was taken",
    ),
    "the cap of a day is not kept": (
        "Bridge",
        'assert used <= self.dailyCap, "over the daily cap"',
        "pass",
        "",
    ),
    "one request is not accumulated": (
        "Bridge",
        "self.accumulators[number] = keccak256(concat(self.accumulators[number - 1], request))",
        "self.accumulators[number] = keccak256(request)",
        "requestsHash is not the model's",
    ),
    "points can be moved": (
        "GasPoints",
        'raise "GAS cannot be transferred"',
        "return True",
        "a call of GAS by a user has succeeded",
    ),
    "numbers have gaps": (
        "Bridge",
        "self.requestQueue = queue + 1 + (1 << 192)",
        "self.requestQueue = queue + 2 + (1 << 192)",
        "",
    ),
}


def compiled(name: str, old: str, new: str) -> Artefact:
    """Give a contract's artefact with a piece of its source replaced."""
    vyper = pytest.importorskip("vyper", reason="vyper is not installed")
    source = (CONTRACTS / f"{name}.vy").read_text()
    assert old in source, f"{name} does not say {old!r} any more"
    made = vyper.compile_code(source.replace(old, new), output_formats=["bytecode_runtime"])
    return replace(artefact(name), runtime=bytes.fromhex(made["bytecode_runtime"].removeprefix("0x")))


def breaking(name: str, broken: Artefact) -> Callable[[str], Artefact]:
    return lambda wanted: broken if wanted == name else artefact(wanted)


@pytest.mark.soak
@pytest.mark.parametrize("rule", BROKEN)
def test_a_contract_that_forgets_a_rule_shows(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, old, new, says = BROKEN[rule]
    monkeypatch.setattr(genesis, "artefact", breaking(name, compiled(name, old, new)))
    found = what_fails()
    print(f"{rule}: {found.splitlines()[:1]}")
    assert found, "no invariant has noticed"
    assert says in found
