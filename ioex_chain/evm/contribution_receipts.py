"""What devices sign for the contribution contracts (EIP-712): digests, and the form that wallets show.

Domains, types and who signs: docs/protocol.md section 5.7. A signature is 65 bytes r || s || v, v 27 or 28.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from ioex_chain.crypto.address import checksum_account
from ioex_chain.crypto.hashes import keccak256
from ioex_chain.crypto.secp256k1 import sign_recoverable
from ioex_chain.evm.contribution import NODE_REGISTRY, SERVICE_LEDGER, WORKLOAD
from ioex_chain.spec.model import NetworkSpec

VERSION: Final = "1"
_DOMAIN_FIELDS: Final = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A counterparty's word that a node worked for it: nodes by number, `amount` in bytes."""

    node: int
    counterparty: int
    epoch: int
    kind: int
    amount: int
    nonce: int


@dataclass(frozen=True, slots=True)
class Denial:
    """A counterparty's word that a receipt under this nonce is not its own."""

    node: int
    counterparty: int
    epoch: int
    kind: int
    nonce: int


@dataclass(frozen=True, slots=True)
class Downloads:
    """A reader's word that it has read the content of an entry of ServiceLedger `count` times in all."""

    entry: int
    count: int


@dataclass(frozen=True, slots=True)
class Device:
    """A device account's word that it belongs to a node: its owner's account (20 bytes), its key (32)."""

    owner: bytes
    uid: bytes


Signed = Receipt | Denial | Downloads | Device

_CONTRACT: Final[dict[type[Signed], str]] = {
    Receipt: WORKLOAD,
    Denial: WORKLOAD,
    Downloads: SERVICE_LEDGER,
    Device: NODE_REGISTRY,
}
_FIELD_TYPE: Final = {"owner": "address", "uid": "bytes32"}


def _fields(kind: type[Signed]) -> list[tuple[str, str]]:
    return [(field.name, _FIELD_TYPE.get(field.name, "uint256")) for field in fields(kind)]


def _type_hash(name: str, fields: Sequence[tuple[str, str]]) -> bytes:
    inner = ",".join(f"{solidity} {field}" for field, solidity in fields)
    return keccak256(f"{name}({inner})".encode())


def _word(value: int | bytes) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def domain_separator(spec: NetworkSpec, contract: str) -> bytes:
    """Give EIP-712's domain separator of a contract: name `ioeX <contract>`, version 1, chain id, address."""
    return keccak256(
        _type_hash("EIP712Domain", _DOMAIN_FIELDS)
        + keccak256(f"ioeX {contract}".encode())
        + keccak256(VERSION.encode())
        + _word(spec.dpos.chain_id)
        + _word(spec.contracts.addresses[contract])
    )


def digest(spec: NetworkSpec, message: Signed) -> bytes:
    """Give the 32 bytes that are signed for a message."""
    kind = type(message)
    values = [getattr(message, name) for name, _ in _fields(kind)]
    body = keccak256(_type_hash(kind.__name__, _fields(kind)) + b"".join(map(_word, values)))
    return keccak256(b"\x19\x01" + domain_separator(spec, _CONTRACT[kind]) + body)


def sign(spec: NetworkSpec, message: Signed, private_key: bytes) -> bytes:
    """Sign a message with a 32-byte private key; the 65 bytes r || s || v that the contracts take."""
    signature = sign_recoverable(private_key, digest(spec, message))
    return signature[:64] + bytes((signature[64] + 27,))


def typed_data(spec: NetworkSpec, message: Signed) -> dict[str, Any]:
    """Give what `eth_signTypedData_v4` takes: integers as such, addresses in EIP-55, bytes as 0x."""
    kind = type(message)
    contract = _CONTRACT[kind]
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": solidity} for name, solidity in _DOMAIN_FIELDS],
            kind.__name__: [{"name": name, "type": solidity} for name, solidity in _fields(kind)],
        },
        "primaryType": kind.__name__,
        "domain": {
            "name": f"ioeX {contract}",
            "version": VERSION,
            "chainId": spec.dpos.chain_id,
            "verifyingContract": checksum_account(spec.contracts.addresses[contract]),
        },
        "message": {name: _json(value) for name, value in asdict(message).items()},
    }


def _json(value: int | bytes) -> int | str:
    if isinstance(value, int):
        return value
    return checksum_account(value) if len(value) == 20 else "0x" + value.hex()
