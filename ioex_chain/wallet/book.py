"""The scripts that a wallet knows as its own, and the key behind each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ioex_chain.crypto.address import witness_script
from ioex_chain.crypto.hashes import hash160
from ioex_chain.pow.errors import ScriptError
from ioex_chain.pow.script import SpendScript, parse_spend_script
from ioex_chain.spec.model import NetworkSpec
from ioex_chain.wallet.hd import CHANGE, GAP_LIMIT, RECEIVE, Account, Purpose, output_script
from ioex_chain.wallet.psbt import KeyPath

_UINT32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A public key of this wallet and where its private half comes from (None: imported by itself)."""

    public: bytes
    """33 bytes."""
    origin: KeyPath | None = None


@dataclass(frozen=True, slots=True)
class OwnScript:
    """An output script that this wallet can spend, alone or with others."""

    script: bytes
    keys: tuple[OwnKey, ...]
    purpose: Purpose | None = None
    """P2WPKH or P2TR; None for P2WSH."""
    branch: int | None = None
    """0 receives, 1 is change; None outside an account."""
    index: int | None = None
    witness_script: bytes = b""
    spend: SpendScript | None = None
    label: str = ""
    """What it is, for people: "imported", or the token plan's line of a genesis output."""

    @property
    def is_shared(self) -> bool:
        """Whether it asks for more signatures than this wallet can make."""
        return self.spend is not None and self.spend.required > len(self.keys)


class ScriptBook:
    """Finds out which scripts are ours. Grows with the addresses that were handed out or used."""

    def __init__(
        self,
        spec: NetworkSpec,
        accounts: Sequence[Account],
        imported: Iterable[bytes] = (),
        locks: Iterable[bytes] = (),
    ) -> None:
        """Take accounts, the public keys of imported keys, and witness scripts that pay us behind a lock."""
        self.accounts = tuple(accounts)
        self._spec = spec
        self._scripts: dict[bytes, OwnScript] = {}
        self._by_hash: dict[bytes, OwnKey] = {}
        self._derived: dict[tuple[Purpose, int], int] = {}
        self._locks = tuple(locks)
        self._locked: dict[bytes, OwnScript] | None = None
        for public in imported:
            self._add_key(OwnKey(public), Purpose.P2WPKH, label="imported")
        for account in self.accounts:
            for branch in (RECEIVE, CHANGE):
                self.extend(account, branch, GAP_LIMIT)

    def __iter__(self) -> Iterator[OwnScript]:
        """Give every script that was derived so far, and the locked ones that our keys open."""
        yield from self._scripts.values()
        yield from self.locked().values()

    def get(self, script: bytes) -> OwnScript | None:
        """Give what is known of a script, None if it is not ours."""
        return self._scripts.get(script) or self.locked().get(script)

    def extend(self, account: Account, branch: int, count: int) -> None:
        """Derive an account's addresses 0 to count - 1 of a branch."""
        start = self._derived.get((account.purpose, branch), 0)
        for index in range(start, count):
            origin = KeyPath(account.fingerprint, (*account.path, branch, index))
            key = OwnKey(account.public_key(branch, index), origin)
            self._add_key(key, account.purpose, branch, index)
        self._derived[account.purpose, branch] = max(start, count)

    def at(self, account: Account, branch: int, index: int) -> OwnScript:
        """Give the script of one address, deriving as far as needed."""
        self.extend(account, branch, index + 1)
        return self._scripts[account.script(branch, index)]

    def locked(self) -> Mapping[bytes, OwnScript]:
        """Give the P2WSH outputs that our keys open: those told to us, and those of the token plan."""
        if self._locked is None:
            own = (self._own_lock(hidden, label) for label, hidden in self._known_locks())
            self._locked = {item.script: item for item in own if item}
        return self._locked

    def _known_locks(self) -> Iterator[tuple[str, bytes]]:
        for allocation in self._spec.token.allocations:
            if allocation.witness_script:
                yield f"token plan {allocation.plan}", allocation.witness_script
        for hidden in self._locks:
            yield "lock", hidden

    def _own_lock(self, hidden: bytes, label: str) -> OwnScript | None:
        try:
            spend = parse_spend_script(hidden)
        except ScriptError:
            return None
        if not 0 <= (spend.lock_time or 0) <= _UINT32 or not 0 <= (spend.sequence or 0) <= _UINT32:
            return None  # no transaction can ever satisfy it
        hashes = [spend.key_hash] if spend.key_hash else [hash160(key) for key in spend.keys]
        keys = tuple(self._by_hash[item] for item in hashes if item in self._by_hash)
        if not keys:
            return None
        script = witness_script(0, sha256(hidden).digest())
        return OwnScript(script, keys, witness_script=hidden, spend=spend, label=label)

    def _add_key(
        self,
        key: OwnKey,
        purpose: Purpose,
        branch: int | None = None,
        index: int | None = None,
        label: str = "",
    ) -> None:
        script = output_script(purpose, key.public)
        self._locked = None
        self._by_hash.setdefault(hash160(key.public), key)
        self._scripts[script] = OwnScript(script, (key,), purpose, branch, index, label=label)
