"""What the error of a reverted execution says: the words of `evm.revert`, a panic with its code."""

from ioex_chain.evm.revert import PANIC, PANICS, revert_reason


def revert_message(output: bytes) -> str:
    """Give the error's message as clients look for it."""
    reason = revert_reason(output)
    if reason is None:
        return "execution reverted"
    if output[:4] == PANIC:
        code = int.from_bytes(output[4:36], "big")
        reason = f"panic: {PANICS.get(code, 'unknown panic code')} ({hex(code)})"
    return f"execution reverted: {reason}"
