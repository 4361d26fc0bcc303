"""A network's folder in the data directory: what lies where, what it belongs to, who has it open."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from ioex_chain.ledger.errors import StoreCorrupt, StoreFull, StoreLocked, WrongFormat, WrongNetwork
from ioex_chain.primitives.errors import IoexError
from ioex_chain.spec.load import Options

FORMAT = 1
"""Version of the folder's layout; a newer one is refused."""


class NotInitialised(IoexError):
    """There is no data directory yet."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a folder belongs to, fixed at its first start.

    All but network and indexes are a devnet's own options, None elsewhere.
    """

    network: str
    genesis_time: int | None = None
    spacing: int | None = None
    indexes: bool = True
    """Whether the address and transaction indexes are kept; only a reindex changes it."""
    block_time: int | None = None
    arbitrators: int | None = None
    solo: bool = False
    """Whether the state of the DPoS chain may have been edited by hand."""

    def options(self) -> Options:
        """Give a devnet's options as `spec.load` takes them."""
        return {
            "genesis_time": self.genesis_time,
            "spacing": self.spacing,
            "block_time": self.block_time,
            "arbitrators": self.arbitrators,
        }


@dataclass(frozen=True, slots=True)
class PeerFiles:
    """What is kept of a chain's peers: the address book, who is banned, who to dial first."""

    peers: Path
    bans: Path
    anchors: Path


class DataDir:
    """The folder of one network."""

    def __init__(self, base: Path, network: str) -> None:
        self.base = base
        self.network = network
        self.path = base / network
        self._lock: IO[str] | None = None
        self.is_new = False
        """Whether this process set it up."""

    @property
    def marker(self) -> Path:
        """Names the layout's version and the network; its presence means that the folder was set up."""
        return self.path / "datadir.json"

    @property
    def database(self) -> Path:
        """The PoW chain's database."""
        return self.path / "pow"

    @property
    def rebuilt(self) -> Path:
        """Where a reindex makes the new database."""
        return self.path / "pow.reindex"

    @property
    def cookie(self) -> Path:
        """The RPC password of this run."""
        return self.path / ".cookie"

    @property
    def mempool(self) -> Path:
        """The mempool, kept over a restart."""
        return self.path / "mempool.dat"

    @property
    def fees(self) -> Path:
        """The fee estimator's counts."""
        return self.path / "fees.dat"

    @property
    def node_key(self) -> Path:
        """The key that names this node to its peers."""
        return self.path / "node.key"

    @property
    def pow_peers(self) -> PeerFiles:
        """The peers of the PoW chain."""
        return PeerFiles(self.path / "peers.dat", self.path / "bans.dat", self.path / "anchors.dat")

    @property
    def dpos(self) -> Path:
        """The DPoS chain's folder."""
        return self.path / "dpos"

    @property
    def dpos_database(self) -> Path:
        """The DPoS chain's database."""
        return self.dpos / "chain"

    @property
    def dpos_rebuilt(self) -> Path:
        """Where a reindex makes the DPoS chain's new database."""
        return self.dpos / "chain.reindex"

    @property
    def dpos_cookie(self) -> Path:
        """The password of the Ethereum RPC port in this run."""
        return self.dpos / ".cookie"

    @property
    def dpos_pool(self) -> Path:
        """The DPoS chain's transaction pool, kept over a restart."""
        return self.dpos / "txpool.dat"

    @property
    def dpos_evidence(self) -> Path:
        """Who signed twice, until a final block says so."""
        return self.dpos / "evidence.dat"

    @property
    def bridge_read(self) -> Path:
        """How far the relayer has read the PoW chain for deposits; without it, it reads again."""
        return self.dpos / "bridge.json"

    @property
    def dpos_peers(self) -> PeerFiles:
        """The peers of the DPoS chain."""
        return PeerFiles(self.dpos / "peers.dat", self.dpos / "bans.dat", self.dpos / "anchors.dat")

    @property
    def solo_notes(self) -> Path:
        """Edits and clock of a solo devnet."""
        return self.dpos / "solo.json"

    @property
    def signers(self) -> Path:
        """The journals of this node's arbitrator keys: what each has signed."""
        return self.dpos / "signers"

    @property
    def wallets(self) -> Path:
        """Wallet files."""
        return self.path / "wallets"

    def exists(self) -> bool:
        """Whether the folder was set up."""
        return self.marker.exists()

    def create(self, identity: Identity) -> None:
        """Set the folder up; one that exists is left as it is. Raises StoreFull."""
        if self.exists():
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._refuse_orphan()
            self.write_identity(identity)
        except OSError as error:
            raise StoreFull(f"cannot write {self.path}: {error.strerror}") from error
        self.is_new = True

    def _refuse_orphan(self) -> None:
        if any(self.database.glob("*")):
            raise StoreCorrupt(
                f"{self.marker} is missing beside a database; put it back, or move {self.path} away"
            )

    def write_identity(self, identity: Identity) -> None:
        """Write the marker. Raises OSError."""
        content = {"format": FORMAT, "network": identity.network, "indexes": identity.indexes}
        content.update({name: value for name, value in identity.options().items() if value is not None})
        if identity.solo:
            content["solo"] = True
        content["checksum"] = checksum(content)
        write_atomically(self.marker, (json.dumps(content, indent=2) + "\n").encode())

    def identity(self) -> Identity:
        """Read the marker. Raises NotInitialised, WrongFormat, WrongNetwork, StoreCorrupt."""
        try:
            identity = self._read(json.loads(self.marker.read_bytes()))
        except FileNotFoundError as error:
            self._refuse_orphan()
            raise NotInitialised(
                f"there is no {self.network} data in {self.base}; run `ioex init`"
            ) from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreCorrupt(
                f"{self.marker} is damaged; restore it, or move {self.path} away and start anew"
            ) from error
        if identity.network != self.network:
            raise WrongNetwork(
                f"{self.path} holds {identity.network} data, not {self.network}; "
                "choose that --network, or another --datadir"
            )
        return identity

    def _read(self, content: Any) -> Identity:
        """Check what the marker says. Raises ValueError, TypeError, KeyError for damage, and WrongFormat."""
        version, found = content["format"], content.pop("checksum", None)
        if type(version) is not int or version < 1 or found not in (checksum(content), None):
            raise ValueError
        if version > FORMAT:
            raise WrongFormat(
                f"{self.path} was written by a newer ioex (format {version}, this one knows {FORMAT}); "
                "update this program, or choose another --datadir"
            )
        if found is None:
            raise ValueError
        names = ("network", "genesis_time", "spacing", "indexes", "block_time", "arbitrators")
        fields = {name: content.get(name) for name in names}
        identity = Identity(**fields, solo=content.get("solo", False))
        if not _is_sound(identity):
            raise ValueError
        return identity

    def take_rebuilt(self, identity: Identity) -> None:
        """Put a complete new database in the old one's place; `lock` ends what a crash interrupts here.

        Raises StoreFull.
        """
        self._swap(self.database, self.rebuilt, lambda: self.write_identity(identity))

    def take_rebuilt_dpos(self) -> None:
        """Do the same for the DPoS chain. Raises StoreFull."""
        self._swap(self.dpos_database, self.dpos_rebuilt, lambda: None)

    def _swap(self, database: Path, rebuilt: Path, between: Callable[[], None]) -> None:
        aside = _aside(database)
        try:
            shutil.rmtree(aside, ignore_errors=True)
            database.rename(aside)
            between()
            rebuilt.rename(database)
            shutil.rmtree(aside)
        except OSError as error:
            raise StoreFull(
                f"cannot put the new database in place in {self.path}: {error.strerror}; run it again"
            ) from error

    def _end_interrupted_swap(self) -> None:
        for database, rebuilt in (
            (self.database, self.rebuilt),
            (self.dpos_database, self.dpos_rebuilt),
        ):
            if _aside(database).exists() and rebuilt.exists() and not database.exists():
                rebuilt.rename(database)
                shutil.rmtree(_aside(database), ignore_errors=True)

    def lock(self) -> None:
        """Take the folder for this process. Raises StoreLocked, StoreFull."""
        try:
            handle = (self.path / "lock").open("a+")
        except OSError as error:
            raise StoreFull(f"cannot write {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            owner = handle.read().strip() or "unknown"
            handle.close()
            raise StoreLocked(
                f"another ioex (process {owner}) is using {self.path}; stop it, or choose another --datadir"
            ) from error
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        self._lock = handle
        self._end_interrupted_swap()

    def unlock(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _aside(database: Path) -> Path:
    return database.with_name(database.name + ".old")


def _is_sound(identity: Identity) -> bool:
    return (
        isinstance(identity.network, str)
        and type(identity.indexes) is bool
        and type(identity.solo) is bool
        and all(
            option is None or (type(option) is int and option > 0) for option in identity.options().values()
        )
    )


def checksum(content: dict[str, Any]) -> str:
    """Tell a damaged marker from another network's: one wrong digit in it would be another genesis block."""
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file so that a crash leaves the old or the new one; mode 0600. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
