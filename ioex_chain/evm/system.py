"""The system contracts as the protocol itself uses them: artefacts, storage slots, calldata of its calls.

Sources stand in `contracts/*.vy`; `scripts/compile_contracts.py` makes the artefacts beside them, and a test
compiles again and compares. What a wallet or a command calls it encodes by the artefact's ABI; the few
calls that every block makes are encoded here by hand, without an ABI library.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from ioex_chain.crypto.hashes import keccak256

HISTORY_ADDRESS: Final = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
"""EIP-2935: block hashes in state."""
HISTORY_CODE: Final = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311"
    "604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)
BEACON_ROOTS_ADDRESS: Final = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
"""EIP-4788: here it keeps the payload hashes that stand in the headers' parentBeaconBlockRoot."""
BEACON_ROOTS_CODE: Final = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff810690"
    "815414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
)
CREATE2_DEPLOYER: Final = bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")
"""Deployment tools put contracts at addresses that are the same on all chains through this one."""
CREATE2_DEPLOYER_CODE: Final = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f5801515"
    "6039578182fd5b8082525050506014600cf3"
)
OWNER_MULTISIG: Final = bytes.fromhex("000000000000000000000000000000000010e000")
"""Where genesis puts OwnerMultisig unless the network's file names another address."""

MAX_MISSED: Final = 64
"""Missed slots that one `onBlock` call takes."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """A compiled contract: ABI entries, runtime byte code, first storage slot of each variable."""

    name: str
    abi: tuple[dict[str, Any], ...]
    runtime: bytes
    slots: dict[str, int]
    compiler: str
    source_sha256: str


@cache
def artefact(name: str) -> Artefact:
    """Give a system contract's artefact: ArbitratorRegistry, RewardPool or OwnerMultisig."""
    data = json.loads((files("ioex_chain.evm") / "contracts" / f"{name}.json").read_bytes())
    return Artefact(
        data["name"],
        tuple(data["abi"]),
        bytes.fromhex(data["bytecode_runtime"].removeprefix("0x")),
        data["storage_layout"],
        data["compiler"],
        data["source_sha256"],
    )


def mapping_slot(slot: int, *keys: int | bytes) -> int:
    """Give the slot of `variable[key][key]...` for a Vyper HashMap at `slot`; addresses are 20-byte keys.

    Vyper hashes the slot first and then the key, the other way round than Solidity.
    """
    for key in keys:
        number = key if isinstance(key, int) else int.from_bytes(key, "big")
        slot = int.from_bytes(keccak256(slot.to_bytes(32, "big") + number.to_bytes(32, "big")), "big")
    return slot


class Registry:
    """Storage of ArbitratorRegistry: slots, and a partner's fields relative to its first."""

    NAME: Final = "ArbitratorRegistry"
    MAX_PARTNERS: Final = 512
    OPERATOR, KEY, PAYOUT, VOTES, STATUS, COUNTERS, RELEASE_TIME, PARTNER_NAME = range(8)
    PARTNER_SIZE: Final = 8
    ADMITTED, STANDBY, JAILED, NODE = 1, 2, 4, 8
    """Bits of STATUS."""

    @staticmethod
    def slot(variable: str) -> int:
        """Give the first slot of a variable."""
        return artefact(Registry.NAME).slots[variable]

    @staticmethod
    def partner_slot(partner: int, field: int) -> int:
        """Give the slot of a field of partner 1, 2, ... in the order of admission."""
        return Registry.slot("partners") + partner * Registry.PARTNER_SIZE + field


def selector(signature: str) -> bytes:
    """Give the 4 bytes that begin a call of a function, from its signature: `f(address,uint256)`."""
    return keccak256(signature.encode())[:4]


_ON_BLOCK = selector("onBlock(address,address[])")
_ON_EVIDENCE = selector("onEvidence(address,uint256,uint256)")
_ACCRUE = selector("accrue(address,uint256,uint256)")


def _word(value: int | bytes) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def on_block(key: bytes, missed: Sequence[bytes] = ()) -> bytes:
    """Encode ArbitratorRegistry.onBlock: the producer's key and the keys whose slots before it stayed empty.

    `missed` has at most MAX_MISSED keys, oldest slot first; a key stands once a slot.
    """
    if len(missed) > MAX_MISSED:
        raise ValueError(f"at most {MAX_MISSED} missed slots are counted in one call, not {len(missed)}")
    words = [_word(key), _word(64), _word(len(missed)), *map(_word, missed)]
    return _ON_BLOCK + b"".join(words)


def on_evidence(key: bytes, kind: int, height: int) -> bytes:
    """Encode ArbitratorRegistry.onEvidence; it reverts for an unknown key and for one burned before."""
    return _ON_EVIDENCE + _word(key) + _word(kind) + _word(height)


def accrue(key: bytes, term: int, amount: int) -> bytes:
    """Encode RewardPool.accrue: `amount` wei for a block of `key` in `term`."""
    return _ACCRUE + _word(key) + _word(term) + _word(amount)
