"""Who signed: one transaction, a block's worth on threads, an EIP-7702 authorisation."""

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.crypto.recovery import Recovery, recover_address, recover_addresses
from ioex_chain.crypto.secp256k1 import HALF_ORDER, ORDER
from ioex_chain.evm.errors import InvalidSignature
from ioex_chain.evm.strict_rlp import encode_uint
from ioex_chain.evm.types import Authorization, Transaction
from ioex_chain.primitives.rlp import encode_string, wrap_list

AUTHORIZATION_MAGIC = b"\x05"
PER_JOB = 500
"""Recoveries that a thread takes at a time."""
DEFAULT_REMEMBERED = 100_000


def sender(tx: Transaction) -> bytes:
    """Give the 20-byte address that signed. Raises InvalidSignature."""
    found = recover_address(*_recovery(tx))
    if found is None:
        raise InvalidSignature("no key can have made this signature")
    return found


def authority(authorization: Authorization) -> bytes | None:
    """Give the address that signed an EIP-7702 authorisation; None when the signature is unsound."""
    auth = authorization
    if auth.y_parity > 1 or not 0 < auth.r < ORDER or not 0 < auth.s <= HALF_ORDER:
        return None
    fields = encode_uint(auth.chain_id) + encode_string(auth.address) + encode_uint(auth.nonce)
    digest = keccak256(AUTHORIZATION_MAGIC + wrap_list(fields))
    signature = auth.r.to_bytes(32, "big") + auth.s.to_bytes(32, "big")
    return recover_address(digest, signature, auth.y_parity)


def _recovery(tx: Transaction) -> Recovery:
    return Recovery(tx.signing_hash, tx.r.to_bytes(32, "big") + tx.s.to_bytes(32, "big"), tx.y_parity)


class Senders:
    """Remembers the senders of transactions seen lately (pool and imports share one), oldest forgotten first.

    `threads` is an executor of threads of this process, None to recover here. It may be used from several
    threads.
    """

    def __init__(self, threads: Executor | None = None, remembered: int = DEFAULT_REMEMBERED) -> None:
        self._threads = threads
        self._limit = remembered
        self._known: dict[bytes, bytes] = {}

    def sender(self, tx: Transaction) -> bytes:
        """Give the address that signed, and remember it. Raises InvalidSignature."""
        found = self._known.get(tx.hash)
        if found is None:
            found = sender(tx)
            self._remember(tx.hash, found)
        return found

    def of(self, txs: Sequence[Transaction]) -> list[bytes]:
        """Give all senders in order. Raises InvalidSignature naming the first that has none."""
        known = self._known.get
        found = [known(tx.hash) for tx in txs]
        missing = [at for at, address in enumerate(found) if address is None]
        for at, address in zip(missing, self._recover([txs[at] for at in missing]), strict=True):
            if address is None:
                raise InvalidSignature(f"no key can have made the signature of transaction {at}")
            found[at] = address
            self._remember(txs[at].hash, address)
        return found  # type: ignore[return-value]  # none is None by now

    def _recover(self, txs: list[Transaction]) -> list[bytes | None]:
        jobs = [list(map(_recovery, txs[at : at + PER_JOB])) for at in range(0, len(txs), PER_JOB)]
        if self._threads is None or len(jobs) < 2:
            batches = list(map(recover_addresses, jobs))
        else:
            batches = list(self._threads.map(recover_addresses, jobs))
        return [address for batch in batches for address in batch]

    def _remember(self, hash_: bytes, address: bytes) -> None:
        if len(self._known) >= self._limit:
            with suppress(RuntimeError):  # another thread does the same just now
                self._known.pop(next(iter(self._known)), None)
        self._known[hash_] = address
