"""Where the signer's journal stands: an append-only file, and the marker that proves it is the newest.

The marker lies outside the data directory and names the boot of the machine, so that a copy of the data
directory that is put back, or a machine image that is booted again, does not fit it.
"""

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ioex_chain.dpos.signing_errors import MarkerLocked


class JournalFile(Protocol):
    """An append-only file."""

    def read(self) -> bytes | None:
        """Give everything, None if there is no file. Raises OSError."""
        ...

    def append(self, data: bytes) -> None:
        """Add to the end; on return it survives a power cut. Raises OSError."""
        ...

    def replace(self, data: bytes) -> None:
        """Put `data` in place of everything, or change nothing; survives a power cut. Raises OSError."""
        ...

    def keep_damaged(self, data: bytes) -> str:
        """Keep a copy of damaged content for people to look at; give its name. Raises OSError."""
        ...


class Marker(Protocol):
    """Remembers one digest while the machine runs."""

    def read(self) -> bytes | None:
        """Give the digest; None if there is none of this boot."""
        ...

    def write(self, digest: bytes) -> None:
        """Remember a digest. Raises OSError."""
        ...


class DiskFile:
    """A JournalFile at a path, mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def read(self) -> bytes | None:
        """Give everything, None if there is no file. Raises OSError."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def append(self, data: bytes) -> None:
        """Add to the end, synced. Raises OSError."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, data: bytes) -> None:
        """Write beside it, sync, rename, sync the folder. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def keep_damaged(self, data: bytes) -> str:
        """Keep a copy beside the journal. Raises OSError."""
        copy = DiskFile(self._path.with_name(self._path.name + ".damaged"))
        copy.replace(data)
        return str(copy)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class NoMarker:
    """For machines without a boot id: continuity is never proven."""

    def read(self) -> bytes | None:
        """Give None."""
        return None

    def write(self, digest: bytes) -> None:
        """Remember nothing."""


class BootMarker:
    """A Marker in a file outside the data directory, locked while this process runs.

    `boot` identifies the machine's boot (Linux: /proc/sys/kernel/random/boot_id). Raises MarkerLocked if
    another process holds it, OSError.
    """

    def __init__(self, path: Path, boot: bytes) -> None:
        self._boot = hashlib.sha256(boot).digest()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _require_ours(path.parent)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise MarkerLocked(
                "another process on this machine signs with the same arbitrator key; stop it first"
            ) from error

    def read(self) -> bytes | None:
        """Give the digest; None if there is none of this boot."""
        data = os.pread(self._descriptor, 4096, 0)
        digest, boot, check = data[:-64], data[-64:-32], data[-32:]
        sound = len(data) > 64 and boot == self._boot and hashlib.sha256(data[:-32]).digest() == check
        return digest if sound else None

    def write(self, digest: bytes) -> None:
        """Remember a digest; it need not survive a power cut, which ends the boot. Raises OSError."""
        data = digest + self._boot
        os.pwrite(self._descriptor, data + hashlib.sha256(data).digest(), 0)

    def close(self) -> None:
        """Give the marker back."""
        os.close(self._descriptor)


class KeyMarkers:
    """A Marker made of one BootMarker for each key, so that processes which share a key meet at it.

    Raises MarkerLocked, OSError.
    """

    def __init__(self, folder: Path, genesis: bytes, keys: Sequence[bytes], boot: bytes) -> None:
        self._markers: list[BootMarker] = []
        try:
            for key in sorted(keys):
                self._markers.append(BootMarker(folder / marker_name(genesis, [key]), boot))
        except (MarkerLocked, OSError):
            self.close()
            raise

    def read(self) -> bytes | None:
        """Give the digest; None unless all have the same."""
        digests = {marker.read() for marker in self._markers}
        return digests.pop() if len(digests) == 1 else None

    def write(self, digest: bytes) -> None:
        """Remember a digest. Raises OSError."""
        for marker in self._markers:
            marker.write(digest)

    def close(self) -> None:
        """Give the markers back."""
        for marker in self._markers:
            marker.close()


def _require_ours(folder: Path) -> None:
    """Refuse a folder that another user could have put there, with a marker of his in it."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(
            errno.EPERM, f"{folder} is not this user's alone; remove it or its write rights"
        )


def marker_name(genesis: bytes, keys: list[bytes]) -> str:
    """Give the file name of the marker for these keys on this chain."""
    return hashlib.sha256(genesis + b"".join(sorted(keys))).hexdigest()[:32] + ".signer"
