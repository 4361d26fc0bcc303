"""Whether a signing key may be destroyed, and destroying it (docs/protocol.md section 6).

Whoever gets hold of enough old signing keys could sign a settlement that the PoW chain would believe as long
as it takes the word of their set. So keys are destroyed when both chains have left every set that has them,
and not before: without them the chains could not get past that set.
"""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ioex_chain.crypto.address import InvalidAddress, checksum_account, parse_account
from ioex_chain.wallet.account_wallet import Node
from ioex_chain.wallet.arbitrators import NotAPartner, Partner, partner
from ioex_chain.wallet.contract_errors import ContractError
from ioex_chain.wallet.contracts import Target
from ioex_chain.wallet.errors import KeystoreDamaged, KeystoreMissing, KeystoreUnreadable
from ioex_chain.wallet.keystore import read_foreign


class KeyInUse(ContractError):
    """A signing key that is still needed; the message says where and what ends it."""

    def __init__(self, key: str, reasons: Sequence[str]) -> None:
        super().__init__(f"the key {key} is still needed: " + "; ".join(reasons))
        self.reasons = tuple(reasons)


class KeyUnknown(ContractError):
    """A key that the registry of this network never had."""


def key_of(path: Path) -> str:
    """Give the address of the key in a keystore file. Raises KeystoreMissing, KeystoreDamaged."""
    document = read_foreign(path)
    try:
        return checksum_account(parse_account("0x" + str(document.get("address", "")).removeprefix("0x")))
    except InvalidAddress as error:
        raise KeystoreDamaged(path, "the file does not name the address of its key") from error


def check_retired(node: Node, registry: Target, key: str) -> Partner:
    """Check that no chain needs a key any more; give the partner that had it.

    Raises KeyInUse, KeyUnknown, NodeError.
    """
    try:
        found = partner(node, registry, key)
    except NotAPartner as error:
        raise KeyUnknown(
            f"the registry never had the key {key}: is this the right network and file?"
        ) from error
    reasons = [*_registered(found, key), *_in_dpos_sets(node, key), *_in_pow_sets(node, key)]
    if reasons:
        raise KeyInUse(key, reasons)
    return found


def _registered(found: Partner, key: str) -> list[str]:
    if found.key != key or found.standby or found.jailed or not found.admitted:
        return []
    words = "is registered with it: 'ioex arbitrator rotate-key' or 'standby on' comes first"
    return [f"partner {found.number} {words}"]


def _in_dpos_sets(node: Node, key: str) -> list[str]:
    """Look at the sets that vote or will, after the newest block and after the final one."""
    if node.call("eth_syncing") is not False:
        return ["the node is synchronising, and does not know the sets of today"]
    reasons = []
    for tag in ("latest", "finalized"):
        sets = node.call("ioex_getArbitrators", tag)
        for one in (sets["current"], *sets["waiting"]):
            if _has(one["members"], key):
                reasons.append(f"it is in set {int(one['set'], 16)} of the DPoS chain")
    return list(dict.fromkeys(reasons))


def _in_pow_sets(node: Node, key: str) -> list[str]:
    status = node.call("ioex_getBridge")
    if status["lightClient"]["forkHeight"] is None:
        return ["the node's PoW chain is behind the light client, so that its sets are not those of today"]
    sets = status["settlement"]
    reasons = []
    if key.lower() in sets["current"]["members"]:
        number = int(sets["current"]["set"], 16)
        reasons.append(f"the PoW chain takes the word of set {number} until a later set has settled")
    for one in sets["handedOver"]:
        if key.lower() in one["members"]:
            reasons.append(f"it is in set {int(one['set'], 16)}, which was handed over to the PoW chain")
    return reasons


def _has(members: Sequence[dict[str, Any]], key: str) -> bool:
    return any(member["key"].lower() == key.lower() for member in members)


def destroy_file(path: Path) -> None:
    """Write random bytes over a file, twice, and remove it. Raises KeystoreMissing, KeystoreUnreadable.

    What a disk or a backup has kept elsewhere is not reached.
    """
    try:
        size = path.stat().st_size
        with path.open("r+b", buffering=0) as file:
            for _ in range(2):
                file.seek(0)
                file.write(secrets.token_bytes(size))
                os.fsync(file.fileno())
        path.unlink()
        _sync(path.parent)
    except FileNotFoundError as error:
        raise KeystoreMissing(path, "there is no such file") from error
    except OSError as error:
        raise KeystoreUnreadable(path, f"cannot be destroyed: {error.strerror}") from error


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
