"""Templates in Stratum's form, and the headers that shares stand for.

A miner puts together coinb1 + extranonce1 + extranonce2 + coinb2, hashes it twice, climbs the Merkle branch
and so has the header. The coinbase travels without its witness, as its id does not cover that; the script
ends in a push of both extra nonces, which is what `Job.coinbase` makes of one number of 8 bytes.
"""

import struct
from typing import NamedTuple

from ioex_chain.crypto.hashes import sha256d
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.pow.template import NATIVE_VERSION, Template
from ioex_chain.primitives.merkle import branch_root

EXTRANONCE1_SIZE = 4
EXTRANONCE2_SIZE = 4
MAX_WORKS = 6
"""Templates on the same head whose shares are still taken."""
_SCRIPT_AT = 4 + 1 + 36
"""Where the script's length stands in a coinbase without witness: after version, count and outpoint."""
_FRONT = struct.Struct("<I32s32sIII")


class CoinbaseParts(NamedTuple):
    """A coinbase without witness, around both extra nonces."""

    front: bytes
    back: bytes


class Share(NamedTuple):
    """What a miner chose freely in a header."""

    extranonce: bytes
    """Both extra nonces: 8 bytes."""
    time: int
    nonce: int
    version: int = NATIVE_VERSION


class StratumWork:
    """One template under one number, with the coinbases of all who mine it."""

    def __init__(self, number: int, template: Template, tag: bytes) -> None:
        """`tag` (at most 80 bytes) stands in every coinbase script, before the extra nonces."""
        self.number = number
        self.template = template
        self.time = template.time
        self._tag = tag
        self._parts: dict[bytes, CoinbaseParts] = {}
        self._head = f'","{swap_words(template.parent_hash).hex()}","'
        branch = ",".join(f'"{node.hex()}"' for node in template.branch)
        self._tail = f'",[{branch}],"{NATIVE_VERSION:08x}","{template.bits:08x}","'

    def parts(self, payout_script: bytes) -> CoinbaseParts:
        """Give the coinbase that pays `payout_script`."""
        found = self._parts.get(payout_script)
        if found is None:
            found = self._parts[payout_script] = self._make(payout_script)
        return found

    def _make(self, payout_script: bytes) -> CoinbaseParts:
        base = self.template.coinbase(payout_script, self._tag)
        script = base.inputs[0].script
        bare = base.encode_stripped()
        nonces = EXTRANONCE1_SIZE + EXTRANONCE2_SIZE
        size = bytes((len(script) + 1 + nonces,))
        front = bare[:_SCRIPT_AT] + size + script + bytes((nonces,))
        return CoinbaseParts(front, bare[_SCRIPT_AT + 1 + len(script) :])

    def notify(self, job_id: str, payout_script: bytes, time: int, *, clean: bool) -> bytes:
        """Write mining.notify with its nine fields and the line end."""
        parts = self.parts(payout_script)
        return (
            f'{{"id":null,"method":"mining.notify","params":["{job_id}{self._head}{parts.front.hex()}","'
            f'{parts.back.hex()}{self._tail}{time:08x}",{"true" if clean else "false"}]}}\n'
        ).encode()

    def core(self, payout_script: bytes, share: Share) -> bytes:
        """Give the 80 bytes of header that a share stands for."""
        template = self.template
        front, back = self.parts(payout_script)
        root = branch_root(sha256d(front + share.extranonce + back), template.branch, 0)
        return _FRONT.pack(share.version, template.parent_hash, root, share.time, template.bits, share.nonce)

    def block(self, payout_script: bytes, share: Share) -> Block:
        """Give the whole block of a share, the coinbase's witness put back."""
        job = self.template.job(payout_script, self._tag)
        extra = int.from_bytes(share.extranonce, "little")
        return job.block_with(Header(self.core(payout_script, share)), extra)


class JobBook:
    """The work that miners have: the newest, and earlier templates on the same head."""

    def __init__(self, tag: bytes) -> None:
        self._tag = tag
        self._number = 0
        self._works: list[StratumWork] = []

    @property
    def latest(self) -> StratumWork | None:
        """What to mine now; None before the first template, and while a new head has none yet."""
        return self._works[-1] if self._works else None

    @property
    def first_number(self) -> int:
        """The lowest number that is held, or the next one: what was below is stale."""
        return self._works[0].number if self._works else self._number + 1

    def add(self, template: Template) -> tuple[StratumWork, bool]:
        """Take a template; say whether all earlier work is worth nothing any more."""
        latest = self.latest
        clean = latest is None or latest.template.parent_hash != template.parent_hash
        if clean:
            self._works.clear()
        self._number += 1
        work = StratumWork(self._number, template, self._tag)
        self._works.append(work)
        del self._works[:-MAX_WORKS]
        return work, clean

    def holds(self, work: StratumWork) -> bool:
        """Whether shares of this work are still taken."""
        return bool(self._works) and self._works[0].number <= work.number

    def retire(self, parent_hash: bytes) -> None:
        """Drop all work on this head: a block on it was taken."""
        if self._works and self._works[-1].template.parent_hash == parent_hash:
            self._works.clear()


def swap_words(data: bytes) -> bytes:
    """Turn the bytes of every four-byte word around: how Stratum writes the previous hash."""
    return struct.pack(f">{len(data) // 4}I", *struct.unpack(f"<{len(data) // 4}I", data))
