"""Work beyond gas: what is much slower here than its price says.

Execution gas counts each call of a slow precompiled contract `WEIGHTS` times its price, and the code of each
call and creation by its length, because finding its jump targets takes time for which nobody pays
(docs/protocol.md section 4). What a transaction adds so is bounded, so that each fits into an empty block and
pays there. So one limit bounds a block's time whatever it runs. Users pay Ethereum's
prices: gas is not touched.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from eth.exceptions import OutOfGas

from ioex_chain.evm.errors import ExecutionGasReached, HeavierThanPaid
from ioex_chain.evm.vm_frame import Frame
from ioex_chain.evm.vm_rules import Rules


def _address(number: int) -> bytes:
    return number.to_bytes(20, "big")


WEIGHTS = {
    _address(0x06): 2,  # bn256 add
    _address(0x07): 12,  # bn256 mul
    _address(0x08): 24,  # bn256 pairing
    _address(0x09): 40,  # blake2f
    _address(0x0A): 64,  # point evaluation
    _address(0x0B): 2,  # BLS12-381 G1 add
    _address(0x0C): 16,  # BLS12-381 G1 msm
    _address(0x0D): 8,  # BLS12-381 G2 add
    _address(0x0E): 40,  # BLS12-381 G2 msm
    _address(0x0F): 64,  # BLS12-381 pairing
    _address(0x10): 4,  # BLS12-381 map to G1
    _address(0x11): 32,  # BLS12-381 map to G2
}
"""How many times its price a slow contract counts, as measured by `python -m benchmarks dpos_worst`."""

MAX_WEIGHT = 64
"""Times its gas that a transaction can count at most: a call costs 100, the longest code counts 6,144."""
CODE_BYTES = 4
"""Bytes of code that count one gas each time the code is run."""

FREE_WORK = 16_384
"""Execution gas beyond its gas that any transaction may add while it is tried: a few calls of long code."""

Precompile = Callable[[Any], object]


class WorkMeter:
    """Counts the execution gas that slow contracts and long code add to one transaction after the other."""

    def __init__(self, rules: Rules) -> None:
        self.extra = 0
        """Execution gas beyond gas in the present transaction, reverted calls included."""
        self._left: int | None = None
        self._most: int | None = None
        self._gas = self._intrinsic = 0
        self._times: int | None = None
        self._frames: list[Frame] = []  # the calls that run code, by depth
        precompiles = {
            address: self._metered(run, WEIGHTS[address] - 1) if address in WEIGHTS else run
            for address, run in rules.precompiles.items()
        }
        self.rules = replace(rules, precompiles=precompiles, code_run=self._code_run)
        """The rules under which calls are counted here."""

    def begin(
        self,
        left: int | None,
        most: int | None = None,
        *,
        gas: int = 0,
        intrinsic: int = 0,
        times: int | None = None,
    ) -> None:
        """Begin a transaction that may add `most`, in a block with room for `left`; None for any amount.

        With `times`, its execution gas may never be more than so many times what it has used of its `gas`.
        """
        self.extra, self._left, self._most = 0, left, most
        self._gas, self._intrinsic, self._times = gas, intrinsic, times

    def add(self, amount: int, frame: Frame) -> None:
        """Count work before it is done.

        Raises OutOfGas, which ends the call only, beyond what the transaction may add; ExecutionGasReached
        when the block has no room for it, HeavierThanPaid when it pays too little for it.
        """
        total = self.extra + amount
        if self._most is not None and total > self._most:
            raise OutOfGas("more slow contracts and long code than a transaction may run")
        if self._times is not None:
            above = sum(caller.gas for caller in self._frames[: frame.msg.depth])
            paid = self._gas - frame.gas - above
            self.check_pace(paid, total - self._intrinsic, self.extra)
        self.extra = total
        if self._left is not None and total > self._left:
            raise ExecutionGasReached(
                f"its calls of slow contracts and long code need more than {self._left}"
            )

    def check_pace(self, paid: int, extra: int, done: int) -> None:
        """Raise HeavierThanPaid if execution gas of `paid` + `extra` is too much for `paid` gas."""
        if self._times is not None and extra > max(FREE_WORK, (self._times - 1) * paid):
            raise HeavierThanPaid(paid, extra, done)

    def _code_run(self, frame: Frame) -> None:
        if self._times is not None:
            self._frames[frame.msg.depth :] = [frame]
        self.add(len(frame.msg.code) // CODE_BYTES, frame)

    def _metered(self, run: Precompile, times: int) -> Precompile:
        return lambda frame: run(_Metered(frame, lambda gas: self.add(gas * times, frame)))


class _Metered:
    """A frame whose gas is counted when it is paid."""

    def __init__(self, frame: Any, paid: Callable[[int], None]) -> None:
        object.__setattr__(self, "_frame", frame)
        object.__setattr__(self, "_paid", paid)

    def consume_gas(self, amount: int, reason: str = "") -> None:
        """Pay, and count."""
        self._frame.consume_gas(amount, reason)
        self._paid(amount)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._frame, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._frame, name, value)
