"""eth_simulateV1's blocks before they are executed: each with its number and time, none left out."""

from collections.abc import Sequence
from dataclasses import replace

from ioex_chain.dpos.header import Header
from ioex_chain.rpc.eth.evm_port import BlockOverride, MessageRefused, SimulatedStep

MAX_BLOCKS = 256
NUMBER_NOT_RISING, TIME_NOT_RISING, OVER_LIMIT = -38020, -38021, -38026


def filled_steps(base: Header, steps: Sequence[SimulatedStep], block_time: int) -> list[SimulatedStep]:
    """Give every block of the simulation: heights that the asker leaves out become empty blocks.

    Raises MessageRefused with the specification's code when numbers or times do not rise, or blocks are
    too many.
    """
    number, time = base.number, base.timestamp
    filled: list[SimulatedStep] = []
    for step in steps:
        wanted = number + 1 if step.block.number is None else step.block.number
        if wanted <= number:
            raise MessageRefused(f"block numbers must be in order: {wanted} <= {number}", NUMBER_NOT_RISING)
        if len(filled) + wanted - number > MAX_BLOCKS:
            raise MessageRefused(f"too many blocks: at most {MAX_BLOCKS}", OVER_LIMIT)
        for between in range(number + 1, wanted):
            time += block_time
            filled.append(SimulatedStep(block=BlockOverride(number=between, time=time)))
        chosen = time + block_time if step.block.time is None else step.block.time
        if chosen <= time:
            raise MessageRefused(f"block timestamps must be in order: {chosen} <= {time}", TIME_NOT_RISING)
        number, time = wanted, chosen
        filled.append(replace(step, block=replace(step.block, number=number, time=time)))
    return filled
