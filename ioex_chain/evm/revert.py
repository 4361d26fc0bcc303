"""What a revert says: the errors of Solidity and Vyper, `Error(string)` and `Panic(uint256)`."""

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

ERROR = bytes.fromhex("08c379a0")
"""Selector of Error(string)."""
PANIC = bytes.fromhex("4e487b71")
"""Selector of Panic(uint256)."""
MAX_REASON = 1_024
"""Letters of a reason that are passed on; the data is passed on whole."""
PANICS = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}
"""Solidity's panic codes in words."""


def revert_reason(output: bytes) -> str | None:
    """Give the text in a revert's data; None when it has neither of the two forms."""
    try:
        if output[:4] == ERROR:
            return str(decode(["string"], output[4:])[0])[:MAX_REASON]
        if output[:4] == PANIC:
            code = int(decode(["uint256"], output[4:])[0])
            return PANICS.get(code, f"unknown panic code: {code:#x}")
    except (DecodingError, OverflowError, UnicodeDecodeError):
        return None
    return None
