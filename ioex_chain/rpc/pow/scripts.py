"""Scripts as Bitcoin Core shows them: words, type, address, descriptor."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NotRequired

from embit.descriptor.checksum import add_checksum
from typing_extensions import TypedDict

from ioex_chain.crypto.address import (
    DEPOSIT_TAG,
    checksum_account,
    script_to_address,
    witness_program,
)
from ioex_chain.pow.errors import ScriptError
from ioex_chain.pow.script import Form, classify, parse_spend_script

_PUSH_SIZES = {0x4C: 1, 0x4D: 2, 0x4E: 4}
_WORDS_FROM_0X61 = (
    "NOP VER IF NOTIF VERIF VERNOTIF ELSE ENDIF VERIFY RETURN TOALTSTACK FROMALTSTACK 2DROP 2DUP 3DUP 2OVER "
    "2ROT 2SWAP IFDUP DEPTH DROP DUP NIP OVER PICK ROLL ROT SWAP TUCK CAT SUBSTR LEFT RIGHT SIZE INVERT AND "
    "OR XOR EQUAL EQUALVERIFY RESERVED1 RESERVED2 1ADD 1SUB 2MUL 2DIV NEGATE ABS NOT 0NOTEQUAL ADD SUB MUL "
    "DIV MOD LSHIFT RSHIFT BOOLAND BOOLOR NUMEQUAL NUMEQUALVERIFY NUMNOTEQUAL LESSTHAN GREATERTHAN "
    "LESSTHANOREQUAL GREATERTHANOREQUAL MIN MAX WITHIN RIPEMD160 SHA1 SHA256 HASH160 HASH256 CODESEPARATOR "
    "CHECKSIG CHECKSIGVERIFY CHECKMULTISIG CHECKMULTISIGVERIFY NOP1 CHECKLOCKTIMEVERIFY CHECKSEQUENCEVERIFY "
    "NOP4 NOP5 NOP6 NOP7 NOP8 NOP9 NOP10 CHECKSIGADD"
)
_NAMES = {0x61 + place: f"OP_{name}" for place, name in enumerate(_WORDS_FROM_0X61.split())} | {
    0x4F: "-1",
    0x50: "OP_RESERVED",
    **{0x50 + number: str(number) for number in range(1, 17)},
}


class ScriptPubKey(TypedDict):
    """An output script. `dpos_address`: whom a deposit credits on the DPoS chain."""

    asm: str
    desc: str
    hex: str
    address: NotRequired[str]
    type: str
    dpos_address: NotRequired[str]


def _operations(script: bytes) -> Iterator[tuple[int, bytes | None]]:
    """Give (opcode, pushed data or None); a push that runs over the end gives opcode -1, and is the last."""
    at = 0
    while at < len(script):
        opcode = script[at]
        at += 1
        if opcode > 0x4E:
            yield opcode, None
            continue
        size = opcode
        if opcode in _PUSH_SIZES:
            width = _PUSH_SIZES[opcode]
            size = int.from_bytes(script[at : at + width], "little")
            at += width
        if at + size > len(script):
            yield -1, None
            return
        yield opcode, script[at : at + size]
        at += size


def _number(data: bytes) -> int:
    """Read a script number of at most 4 bytes."""
    if not data:
        return 0
    value = int.from_bytes(data, "little")
    if data[-1] & 0x80:
        return -(value ^ 0x80 << 8 * (len(data) - 1))
    return value


def disassemble(script: bytes) -> str:
    """Write a script in words as Core does: pushes of up to 4 bytes are numbers, longer ones hex."""
    words = []
    for opcode, data in _operations(script):
        if opcode == -1:
            words.append("[error]")
        elif data is None:
            words.append(_NAMES.get(opcode, "OP_UNKNOWN"))
        else:
            words.append(data.hex() if len(data) > 4 else str(_number(data)))
    return " ".join(words)


def type_of(script: bytes) -> str:
    """Give Core's name for the kind of script; the two reserve programs have names of their own."""
    form = classify(script)
    if form is not None:
        return form.value
    if witness_program(script) is not None:
        return "witness_unknown"
    if len(script) in (35, 67) and script[0] == len(script) - 2 and script[-1] == 0xAC:
        return "pubkey"
    if len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return "pubkeyhash"
    if len(script) == 23 and script[:2] == b"\xa9\x14" and script[22] == 0x87:
        return "scripthash"
    return "multisig" if _is_plain_multisig(script) else "nonstandard"


def _is_plain_multisig(script: bytes) -> bool:
    try:
        spend = parse_spend_script(script)
    except (ScriptError, IndexError):
        return False
    return spend.is_multisig and spend.lock_time is None and spend.sequence is None


def dpos_address(script: bytes) -> str | None:
    """Give the DPoS address that a deposit program credits, or None."""
    if classify(script) is not Form.DEPOSIT:
        return None
    return checksum_account(script[2 + len(DEPOSIT_TAG) :])


def _descriptor(script: bytes, address: str | None, kind: str) -> str:
    if kind == Form.P2TR.value:
        return str(add_checksum(f"rawtr({script[2:].hex()})"))
    return str(add_checksum(f"addr({address})" if address else f"raw({script.hex()})"))


@lru_cache(maxsize=8192)
def script_json(prefix: str, script: bytes) -> ScriptPubKey:
    """Show an output script; `prefix` is the network's address prefix. Treat the result as immutable."""
    kind = type_of(script)
    address = script_to_address(prefix, script)
    shown: ScriptPubKey = {
        "asm": disassemble(script),
        "desc": _descriptor(script, address, kind),
        "hex": script.hex(),
        "type": kind,
    }
    if address is not None:
        shown["address"] = address
    account = dpos_address(script)
    if account is not None:
        shown["dpos_address"] = account
    return shown
