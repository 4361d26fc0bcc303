"""Addresses of both chains (docs/protocol.md section 2).

BIP-173/BIP-350 witness addresses on the PoW chain, EIP-55 on the DPoS chain, and the witness v16 deposit
programs that join the two.
"""

from collections.abc import Iterable

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.primitives.errors import IoexError

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {letter: value for value, letter in enumerate(_CHARSET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32, _BECH32M = 1, 0x2BC830A3

DEPOSIT_TAG = b"ioeX:deposit"
RESERVE_CHANGE_PROGRAM = b"ioeX:reserve" + bytes(20)


class InvalidAddress(IoexError, ValueError):
    """Not an address of this network; the message says what is wrong with it."""


def _polymod(values: Iterable[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                checksum ^= generator
    return checksum


def _expand(prefix: str) -> list[int]:
    return [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]


def _regroup(data: Iterable[int], from_bits: int, to_bits: int, pad: bool) -> list[int]:
    accumulator = bits = 0
    out = []
    for value in data:
        accumulator = accumulator << from_bits | value
        bits += from_bits
        while bits >= to_bits:
            bits -= to_bits
            out.append(accumulator >> bits & (1 << to_bits) - 1)
        accumulator &= (1 << bits) - 1
    if pad and bits:
        out.append(accumulator << to_bits - bits & (1 << to_bits) - 1)
    elif not pad and (bits >= from_bits or accumulator):
        raise InvalidAddress("the address has padding that is not zero")
    return out


def encode_witness(prefix: str, version: int, program: bytes) -> str:
    """Write a witness program (version 0 to 16, 2 to 40 bytes) as an address."""
    data = [version, *_regroup(program, 8, 5, pad=True)]
    constant = _BECH32 if version == 0 else _BECH32M
    check = _polymod([*_expand(prefix), *data, 0, 0, 0, 0, 0, 0]) ^ constant
    data += [check >> 5 * (5 - position) & 31 for position in range(6)]
    return prefix + "1" + "".join(_CHARSET[value] for value in data)


def decode_witness(prefix: str, address: str) -> tuple[int, bytes]:
    """Read an address of the network whose prefix this is: (witness version, program)."""
    if not address.isascii():  # lower() would turn the Kelvin sign into a k
        raise InvalidAddress("the address has a letter that bech32 does not use")
    if address.lower() != address and address.upper() != address:
        raise InvalidAddress("an address is written in one case")
    address = address.lower()
    split = address.rfind("1")
    if split < 1 or split + 7 > len(address) or len(address) > 90:
        raise InvalidAddress("this is not a bech32 address")
    if address[:split] != prefix:
        raise InvalidAddress(f"the address begins with {address[:split]!r}, this network's with {prefix!r}")
    if not all(letter in _VALUES for letter in address[split + 1 :]):
        raise InvalidAddress("the address has a letter that bech32 does not use")
    data = [_VALUES[letter] for letter in address[split + 1 :]]
    constant = _polymod(_expand(prefix) + data)
    if constant not in (_BECH32, _BECH32M):
        raise InvalidAddress("the address has a typing error (its checksum is wrong)")
    if len(data) < 7:
        raise InvalidAddress("the address holds no witness version")
    version, program = data[0], bytes(_regroup(data[1:-6], 5, 8, pad=False))
    if version > 16 or not 2 <= len(program) <= 40 or (version == 0 and len(program) not in (20, 32)):
        raise InvalidAddress("the address holds no witness program that BIP-141 knows")
    if constant != (_BECH32 if version == 0 else _BECH32M):
        raise InvalidAddress("the address uses the checksum of another witness version (BIP-350)")
    return version, program


def witness_script(version: int, program: bytes) -> bytes:
    """Give the output script of a witness program: OP_n, then a push of the program."""
    return bytes((version + 0x50 if version else 0, len(program))) + program


def witness_program(script: bytes) -> tuple[int, bytes] | None:
    """Give (version, program) if an output script is a witness program (BIP-141), else None."""
    if not 4 <= len(script) <= 42 or script[1] != len(script) - 2:
        return None
    opcode = script[0]
    if opcode == 0:
        return 0, script[2:]
    return (opcode - 0x50, script[2:]) if 0x51 <= opcode <= 0x60 else None


def address_to_script(prefix: str, address: str) -> bytes:
    """Give the output script that pays `address`. Raises InvalidAddress."""
    return witness_script(*decode_witness(prefix, address))


def script_to_address(prefix: str, script: bytes) -> str | None:
    """Give the address that an output script pays, or None if it has none."""
    found = witness_program(script)
    return encode_witness(prefix, *found) if found else None


def deposit_script(account: bytes) -> bytes:
    """Give the output script that credits a 20-byte DPoS address (docs/protocol.md section 2)."""
    return witness_script(16, DEPOSIT_TAG + account)


def reserve_change_script() -> bytes:
    """Give the output script of reserve change (docs/protocol.md section 2)."""
    return witness_script(16, RESERVE_CHANGE_PROGRAM)


def checksum_account(account: bytes) -> str:
    """Write a 20-byte DPoS address with EIP-55's mixed-case checksum."""
    plain = account.hex()
    digest = keccak256(plain.encode()).hex()
    return "0x" + "".join(
        letter.upper() if int(nibble, 16) >= 8 else letter
        for letter, nibble in zip(plain, digest, strict=False)
    )


def parse_account(text: str) -> bytes:
    """Read a DPoS address; a mixed-case one must carry a right EIP-55 checksum."""
    body = text[2:]
    if len(text) != 42 or text[:2].lower() != "0x":
        raise InvalidAddress("a DPoS address is 0x and 40 hex digits")
    try:
        account = bytes.fromhex(body)
    except ValueError as error:
        raise InvalidAddress("a DPoS address is 0x and 40 hex digits") from error
    if body not in (body.lower(), body.upper()) and checksum_account(account)[2:] != body:
        raise InvalidAddress("the address has a typing error (its EIP-55 checksum is wrong)")
    return account


def account_of(public_uncompressed: bytes) -> bytes:
    """Give the DPoS address of a 65-byte uncompressed public key."""
    return keccak256(public_uncompressed[1:])[-20:]
