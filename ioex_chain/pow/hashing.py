"""The search for a nonce: double SHA-256 over headers with a shared midstate.

The first 64 bytes of a header are the same for all nonces, so their SHA-256 state is made once and copied.
Nonces are tried in batches of 2**14; 2**18 batches are all 2**32 nonces. Imports nothing of this package:
every hashing process loads it.
"""

from hashlib import sha256

BATCH = 1 << 14
"""Nonces in a batch."""
BATCHES = (1 << 32) // BATCH
_TAILS = [
    [number.to_bytes(2, "little") for number in range(start, start + BATCH)]
    for start in range(0, 1 << 16, BATCH)
]
"""The nonce's last two bytes, ready made: the loop joins no more than two strings per hash."""


def search(core: bytes, target: int, batch: int, count: int = BATCH) -> int | None:
    """Try the first `count` nonces of a batch on a header (its 76 bytes before the nonce, or all 80).

    Gives the nonce whose hash, read little-endian, is at most `target`, or None.
    """
    hasher = sha256  # a local name costs less in the loop
    copy = hasher(core[:64]).copy
    prefix = core[64:76] + (batch >> 2).to_bytes(2, "little")
    top = target >> 248
    for tail in _TAILS[batch & 3][:count]:
        state = copy()
        state.update(prefix + tail)
        digest = hasher(state.digest()).digest()
        if digest[31] <= top and int.from_bytes(digest, "little") <= target:
            return int.from_bytes(prefix[12:] + tail, "little")
    return None
