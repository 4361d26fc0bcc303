"""Scripts that genesis pays, all inside the closed set of docs/protocol.md section 3.

A beneficiary is written as an address of the network (P2WPKH, P2WSH, P2TR), as `pk(<key>)` or as
`multi(<m>,<key>,...)` with 33-byte keys in hex (the names are those of output descriptors). A lock is
`<unlock time> OP_CHECKLOCKTIMEVERIFY OP_DROP` in front of the beneficiary's own script, behind P2WSH.
"""

import re
from hashlib import sha256

from ioex_chain.crypto.address import DEPOSIT_TAG, InvalidAddress, decode_witness, witness_script
from ioex_chain.crypto.secp256k1 import is_public_key
from ioex_chain.spec.errors import BadBeneficiary

_CLTV_DROP = b"\xb1\x75"
_CHECKSIG, _CHECKMULTISIG = b"\xac", b"\xae"
_MAX_KEYS = 20
_EXPRESSION = re.compile(r"(pk|multi)\(([0-9a-f,]+)\)")


def push_number(value: int) -> bytes:
    """Give the minimal push of a script number of 0 or more: OP_0, OP_1 to OP_16, else little-endian."""
    if value <= 16:
        return bytes((0x50 + value if value else 0,))
    number = value.to_bytes((value.bit_length() + 8) // 8, "little")
    return bytes((len(number),)) + number


def pay_to(prefix: str, beneficiary: str, unlock_time: int, field: str) -> tuple[bytes, bytes]:
    """Give (output script, witness script) that pays `beneficiary` from `unlock_time` on; 0 is free.

    The witness script is empty when the output pays an address as it is. A free output may pay a deposit
    address: it backs a balance of the DPoS genesis. Raises BadBeneficiary, among
    others for a locked P2WSH or P2TR address: its script is hidden, so no lock can be put in front of it.
    """
    match = _EXPRESSION.fullmatch(beneficiary)
    if match:
        core = _expression_script(match[1], match[2].split(","), field)
    else:
        version, program = _address_program(prefix, beneficiary, field)
        if not unlock_time:
            return witness_script(version, program), b""
        if version or len(program) != 20:
            raise BadBeneficiary(
                field, "a locked output needs a P2WPKH address, pk(<key>) or multi(<m>,<key>,...)"
            )
        core = b"\x76\xa9\x14" + program + b"\x88\xac"
    locked = push_number(unlock_time) + _CLTV_DROP + core if unlock_time else core
    return witness_script(0, sha256(locked).digest()), locked


def _address_program(prefix: str, address: str, field: str) -> tuple[int, bytes]:
    try:
        version, program = decode_witness(prefix, address)
    except InvalidAddress as error:
        raise BadBeneficiary(field, f"{address!r}: {error}") from error
    deposit = version == 16 and len(program) == 32 and program.startswith(DEPOSIT_TAG)
    if not deposit and (version, len(program)) not in ((0, 20), (0, 32), (1, 32)):
        raise BadBeneficiary(field, f"{address!r} is not P2WPKH, P2WSH, P2TR or a deposit address")
    return version, program


def _expression_script(kind: str, items: list[str], field: str) -> bytes:
    if kind == "pk":
        keys = _keys(items, field)
        if len(keys) != 1:
            raise BadBeneficiary(field, "pk() takes one key")
        return b"\x21" + keys[0] + _CHECKSIG
    keys = _keys(items[1:], field)
    required = int(items[0]) if items[0].isdecimal() and len(items[0]) <= 2 else 0
    if not 1 <= required <= len(keys) <= _MAX_KEYS:
        raise BadBeneficiary(field, f"multi() needs 1 <= m <= keys <= {_MAX_KEYS}")
    pushes = b"".join(b"\x21" + key for key in keys)
    return push_number(required) + pushes + push_number(len(keys)) + _CHECKMULTISIG


def _keys(items: list[str], field: str) -> list[bytes]:
    keys = [bytes.fromhex(item) if len(item) == 66 else b"" for item in items]
    for item, key in zip(items, keys, strict=True):
        if not is_public_key(key):
            raise BadBeneficiary(field, f"{item!r} is not a compressed public key in hex")
    return keys
