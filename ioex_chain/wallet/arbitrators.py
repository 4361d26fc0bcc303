"""An arbitrator's dealings with ArbitratorRegistry: the key's consent, where a partner stands, and its words.

Source of the rules: docs/protocol.md section 5 and evm/contracts/ArbitratorRegistry.vy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ioex_chain.crypto.address import checksum_account
from ioex_chain.crypto.hashes import keccak256
from ioex_chain.crypto.secp256k1 import sign_recoverable
from ioex_chain.evm.system import Registry, artefact
from ioex_chain.wallet.account_wallet import Node
from ioex_chain.wallet.contract_errors import ContractError
from ioex_chain.wallet.contracts import Target, call
from ioex_chain.wallet.hd import dpos_address

KEY_DOMAIN = keccak256(b"ioeX/key/v1")
_ZERO = checksum_account(bytes(20))
_COUNTER = (1 << 64) - 1
"""`counters` of a partner: produced, missed << 64, missed in a row << 128."""
_STATUS = ((Registry.ADMITTED, "admitted"), (Registry.STANDBY, "standby"), (Registry.JAILED, "jailed"))


class NotAPartner(ContractError):
    """The registry knows no partner by this address or number."""


def registry(address: bytes) -> Target:
    """Give the registry at its fixed address."""
    return Target(checksum_account(address), artefact(Registry.NAME).abi)


def key_digest(chain_id: int, registry_address: bytes, operator: bytes) -> bytes:
    """Give what a signing key signs to show that it agrees to serve an operator."""
    words = [
        KEY_DOMAIN,
        chain_id.to_bytes(32, "big"),
        registry_address.rjust(32, b"\0"),
        operator.rjust(32, b"\0"),
    ]
    return keccak256(b"".join(words))


@dataclass(frozen=True, slots=True)
class Consent:
    """A signing key's agreement, as `register` and `setKey` take it."""

    key: str
    v: int
    r: int
    s: int

    def arguments(self) -> list[str]:
        """Give the signature's three arguments."""
        return [str(self.v), str(self.r), str(self.s)]

    def plain(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        return {"key": self.key, "v": self.v, "r": hex(self.r), "s": hex(self.s)}


def consent(private: bytes, chain_id: int, registry_address: bytes, operator: bytes) -> Consent:
    """Sign the agreement with the signing key."""
    signature = sign_recoverable(private, key_digest(chain_id, registry_address, operator))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return Consent(checksum_account(dpos_address(private)), 27 + signature[64], r, s)


@dataclass(frozen=True, slots=True)
class Partner:
    """A partner as the registry has it in one block."""

    number: int
    name: str
    operator: str
    key: str | None
    payout: str | None
    votes: int
    admitted: bool
    standby: bool
    jailed: bool
    eligible: bool
    produced: int
    missed: int
    missed_in_a_row: int
    release_time: int | None
    """Unix seconds from which the owner may let it out of jail."""

    def plain(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        value = {name: getattr(self, name) for name in self.__slots__}
        return {**value, "votes": str(self.votes)}

    def advice(self, now: int) -> str:
        """Say what keeps it from a seat and what to do."""
        if self.jailed:
            when = datetime.fromtimestamp(self.release_time or 0, UTC).strftime("%Y-%m-%d %H:%M UTC")
            if now < (self.release_time or 0):
                return f"in jail until {when}; then the owner may release it, and it needs a new key"
            return "in jail, its time is over: ask the owner to release it, then register a new key"
        if not self.admitted:
            return "not admitted: the owner admits partners"
        if self.key is None or self.payout is None:
            return "no key or payout yet: 'ioex arbitrator register'"
        if self.standby:
            return (
                "on standby, by its operator or after too many misses: 'ioex arbitrator standby off' ends it"
            )
        if not self.eligible:
            return (
                "not in the ranking: its operator has no bootstrap node, or 'refreshNode' was not called yet"
            )
        return "in the ranking; seats go to the most votes at the end of a term"


def partner_number(node: Node, place: Target, who: str, block: str = "latest") -> int:
    """Find a partner by number, signing key (present or former) or operator. Raises NotAPartner."""
    if who.isdigit():
        return int(who)
    for function in ("partnerOf", "partnerByOperator"):
        number = int(call(node, place, function, [who], block=block)[0])
        if number:
            return number
    raise NotAPartner(
        f"the registry knows no partner with the key or operator {who}; the owner admits operators first"
    )


def partner(node: Node, place: Target, who: str, block: str = "latest") -> Partner:
    """Read where a partner stands. Raises NotAPartner, NodeError."""
    number = partner_number(node, place, who, block)
    count = int(call(node, place, "partnerCount", block=block)[0])
    if not 1 <= number <= count:
        raise NotAPartner(f"the registry has {count} partners, none with the number {number}")
    return read_partner(node, place, number, block)


def partners(node: Node, place: Target, block: str = "latest") -> list[Partner]:
    """Read all partners, most votes first."""
    count = int(call(node, place, "partnerCount", block=block)[0])
    found = [read_partner(node, place, number, block) for number in range(1, count + 1)]
    return sorted(found, key=lambda one: (not one.eligible, -one.votes, one.number))


def read_partner(node: Node, place: Target, number: int, block: str = "latest") -> Partner:
    """Read a partner by its number."""
    fields = _fields(call(node, place, "partners", [str(number)], block=block))
    counters = int(fields["counters"])
    status = int(fields["status"])
    flags = {word: bool(status & bit) for bit, word in _STATUS}
    release = int(fields["releaseTime"])
    return Partner(
        number=number,
        name=bytes.fromhex(fields["name"][2:]).rstrip(b"\0").decode("utf-8", "replace"),
        operator=fields["operator"],
        key=_known(fields["key"]),
        payout=_known(fields["payout"]),
        votes=int(fields["votes"]),
        eligible=bool(call(node, place, "isEligible", [str(number)], block=block)[0]),
        produced=counters & _COUNTER,
        missed=counters >> 64 & _COUNTER,
        missed_in_a_row=counters >> 128,
        release_time=release if flags["jailed"] else None,
        **flags,
    )


def _fields(answer: Sequence[Any]) -> Mapping[str, Any]:
    """Name the members of the struct that `partners` returns, by the ABI."""
    (item,) = [one for one in artefact(Registry.NAME).abi if one.get("name") == "partners"]
    outputs = item["outputs"]
    if len(outputs) == 1:  # one tuple
        return dict(zip([part["name"] for part in outputs[0]["components"]], answer[0], strict=True))
    return dict(zip([part["name"] for part in outputs], answer, strict=True))


def _known(address: str) -> str | None:
    return None if address == _ZERO else address
