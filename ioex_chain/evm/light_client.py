"""PowLightClient as nodes see it: genesis storage, what its storage says, calldata of `submit`.

The contract is `contracts/PowLightClient.vy`, its rules are docs/protocol.md section 5.6. Hashes are 32 bytes
as they are hashed, work is the expected number of hashes. Readers take any state with `get_storage`.
"""

from typing import Final

from ioex_chain.evm.bridge import StorageReader
from ioex_chain.evm.system import artefact, mapping_slot, selector
from ioex_chain.spec.model import NetworkSpec, PowSpec

NAME: Final = "PowLightClient"
MAX_HEADER: Final = 80 + 4_096
"""Bytes of a header with its AuxPoW record."""

_PARENT, _INFO, _TIMES, _JUMP = range(4)
_WORD, _HALF = (1 << 32) - 1, (1 << 128) - 1
_NO_TIME = _WORD
_SUBMIT = selector("submit(bytes)")


def packed_rules(spec: PowSpec) -> int:
    """Give the slot that holds the chain's parameters. Raises ValueError when one does not fit its field."""
    fields = (
        (spec.spacing, 32),
        (spec.half_life, 32),
        (spec.genesis_time, 32),
        (spec.genesis_bits, 32),
        (spec.pow_limit_bits, 32),
        (spec.auxpow_chain_id, 16),
        (spec.max_future, 16),
        (spec.burial_depth, 24),
        (spec.max_reorg_depth, 24),
        (int(spec.fixed_difficulty), 1),
    )
    packed, at = 0, 0
    for value, bits in fields:
        if not 0 <= value < 1 << bits:
            raise ValueError(f"the light client keeps {bits} bits for a parameter that is {value}")
        packed |= value << at
        at += bits
    return packed


def genesis_storage(spec: NetworkSpec, pow_genesis: bytes) -> dict[int, int]:
    """Give the storage that genesis writes, no slot that is zero: the chain that begins at `pow_genesis`."""
    slots = artefact(NAME).slots
    record = mapping_slot(slots["records"], pow_genesis)
    storage = {
        slots["rules"]: packed_rules(spec.pow),
        slots["best"]: int.from_bytes(pow_genesis, "big"),
        slots["owner"]: int.from_bytes(spec.dpos.owner, "big"),
        slots["bridge"]: int.from_bytes(spec.contracts.addresses.get("Bridge", b""), "big"),
        slots["ownerDelay"]: spec.bridge.owner_delay,
        record + _INFO: spec.pow.genesis_time << 64 | _NO_TIME << 32 | _NO_TIME,
        record + _TIMES: (1 << 256) - 1,
    }
    return {slot: value for slot, value in storage.items() if value}


def submit(header: bytes) -> bytes:
    """Encode the call that takes a header: 80 bytes and perhaps its AuxPoW record.

    Whatever is wrong with the header, its length too, the contract refuses: the call reverts.
    """
    padded = header + bytes(-len(header) % 32)
    return _SUBMIT + (32).to_bytes(32, "big") + len(header).to_bytes(32, "big") + padded


class LightClientReader:
    """The light client's storage under one state."""

    def __init__(self, spec: NetworkSpec, state: StorageReader) -> None:
        self._address = spec.contracts.addresses[NAME]
        self._burial_depth = spec.pow.burial_depth
        self._slots = artefact(NAME).slots
        self._state = state

    def _get(self, slot: int) -> int:
        return self._state.get_storage(self._address, slot)

    def _field(self, hash_: bytes, field: int) -> int:
        return self._get(mapping_slot(self._slots["records"], hash_) + field)

    def best(self) -> tuple[bytes, int, int]:
        """Give hash, height and work of the best chain's tip."""
        hash_ = self._get(self._slots["best"]).to_bytes(32, "big")
        info = self._field(hash_, _INFO)
        return hash_, info >> 224, info >> 96 & _HALF

    def knows(self, hash_: bytes) -> bool:
        """Whether the header is there, on any branch."""
        return self._field(hash_, _INFO) != 0

    def time_of(self, hash_: bytes) -> int | None:
        """Give a known header's time, None for others."""
        return (self._field(hash_, _INFO) >> 64 & _WORD) or None

    def hash_at(self, height: int) -> bytes | None:
        """Give the best chain's hash at a height, None above its tip."""
        hash_, top, _ = self.best()
        return self._ancestor(hash_, top, height) if 0 <= height <= top else None

    def height_of(self, hash_: bytes) -> int | None:
        """Give the height of a block of the best chain, None for any other."""
        info = self._field(hash_, _INFO)
        return info >> 224 if info and self.hash_at(info >> 224) == hash_ else None

    def buried_height(self) -> int:
        """Give the height that has burial depth blocks above it, 0 while there is none."""
        return max(0, self.best()[1] - self._burial_depth)

    def buried_hash(self) -> bytes:
        """Give the hash there: that of the PoW genesis block in the beginning."""
        hash_, top, _ = self.best()
        return self._ancestor(hash_, top, max(0, top - self._burial_depth))

    def deepest_reorg(self) -> int:
        """Give how many blocks the deepest change of branch took back."""
        return self._get(self._slots["reorganisations"]) & _WORD

    def deep_reorgs(self) -> int:
        """Give how many changes of branch took back a block that had been buried."""
        return self._get(self._slots["reorganisations"]) >> 32 & _WORD

    def _ancestor(self, hash_: bytes, height: int, target: int) -> bytes:
        """Go down as the contract does: by a jump where it does not lead too far, else to the parent."""
        while height > target:
            span = jump_span(height)
            if span > 1 and height - span >= target:
                link, height = _JUMP, height - span
            else:
                link, height = _PARENT, height - 1
            hash_ = self._field(hash_, link).to_bytes(32, "big")
        return hash_


def jump_span(height: int) -> int:
    """Give how far down the jump of a record at `height` (at least 1) leads.

    It is the least number of the height in skew binary: a sum of 2**k - 1, greatest first (Myers, An
    applicative random-access stack, 1983).
    """
    while height:
        span = (1 << (height + 1).bit_length() - 1) - 1
        height -= span
    return span
