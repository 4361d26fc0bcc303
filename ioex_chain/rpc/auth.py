"""Who may change the node: HTTP Basic with a cookie file that the node writes, or a configured password."""

import base64
import binascii
import hmac
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ioex_chain.primitives.errors import IoexError

COOKIE_USER = "__cookie__"
_HEADER_CAP = 1_024


class CookieError(IoexError):
    """The cookie file cannot be written or read; the message names the file."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and a password."""

    user: str
    password: str = field(repr=False)

    def header(self) -> str:
        """Give the value of the `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class CookieFile:
    """A file `__cookie__:<64 hex digits>`, mode 0600, new at every start and gone after a clean stop."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> Credential:
        """Write a new secret, replacing an older file in one step. Raises CookieError."""
        credential = Credential(COOKIE_USER, secrets.token_hex(32))
        fresh = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}.new")
        try:
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(f"{credential.user}:{credential.password}")
            fresh.replace(self.path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise CookieError(f"cannot write the cookie file {self.path}: {error.strerror}") from error
        return credential

    def read(self) -> Credential:
        """Read what `create` wrote. Raises CookieError."""
        try:
            user, separator, password = self.path.read_text("ascii").strip().partition(":")
        except (OSError, ValueError) as error:
            raise CookieError(
                f"cannot read the cookie file {self.path}: {getattr(error, 'strerror', error)}. "
                "It exists while the node runs; is it running, and is this its data directory?"
            ) from error
        if not separator:
            raise CookieError(
                f"{self.path} is not a cookie file; stop the node and start it again to renew it"
            )
        return Credential(user, password)

    def remove(self) -> None:
        """Remove the file if it is there."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


class Authenticator:
    """Decides whether an `Authorization` header is one of the known credentials."""

    def __init__(self, credentials: Sequence[Credential] = ()) -> None:
        self._known = [f"{c.user}:{c.password}".encode() for c in credentials]

    def accepts(self, header: str) -> bool:
        """Compare in constant time with every known credential."""
        given = _decode(header)
        if given is None:
            return False
        results = [hmac.compare_digest(given, known) for known in self._known]
        return any(results)


def _decode(header: str) -> bytes | None:
    scheme, _, payload = header.partition(" ")
    if scheme.lower() != "basic" or len(payload) > _HEADER_CAP:
        return None
    try:
        return base64.b64decode(payload.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
