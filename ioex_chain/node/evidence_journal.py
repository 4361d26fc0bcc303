"""Evidence on disk: what was found before a restart is offered to payloads and peers again after it.

Votes that are not final, and which blocks came late, are not kept: peers tell the former again, and the
latter is one node's own view.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from ioex_chain.dpos import evidence
from ioex_chain.dpos.evidence_kept import EvidenceUnreadable, decode_kept, encode_kept
from ioex_chain.dpos.finality_ports import Signatures
from ioex_chain.dpos.finality_types import Outcome
from ioex_chain.dpos.follower import Run
from ioex_chain.dpos.votes import Evidence
from ioex_chain.node import log
from ioex_chain.node.datadir import write_atomically
from ioex_chain.primitives.errors import IoexError

logger = log.get(__name__)


class Source(Protocol):
    """Who knows the evidence that no final block carries yet: `dpos.finality.Finality`."""

    def evidence(self) -> Sequence[Evidence]:
        """Give it."""
        ...


class EvidenceJournal:
    """Writes the whole of it whenever there is more: offences are rare. For the event loop."""

    def __init__(self, path: Path, source: Callable[[], Source], run: Run) -> None:
        """`run` is where files are written: on the worker, in order."""
        self._path = path
        self._source = source
        self._run = run
        self._failed = False

    def load(self) -> list[Evidence]:
        """Give what was kept; nothing if it cannot be read."""
        try:
            return decode_kept(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, EvidenceUnreadable) as error:
            logger.warning("the kept evidence cannot be read", file=str(self._path), reason=str(error))
            return []

    def on_outcome(self, outcome: Outcome) -> None:
        """Hear what finality found."""
        if outcome.evidence:
            self._run(self.write(), _done, self.lost)

    def write(self) -> Callable[[], None]:
        """Give what puts all that is known now into the file. Calling that raises OSError."""
        data = encode_kept(self._source().evidence())
        return lambda: write_atomically(self._path, data)

    def lost(self, error: Exception) -> None:
        """Say once that the file cannot be written; that stops nobody. Raises what is no OSError."""
        if not isinstance(error, OSError):
            raise error
        if not self._failed:
            self._failed = True
            logger.warning(
                "evidence cannot be kept over a restart", file=str(self._path), reason=error.strerror
            )


def _done(_: Any) -> None:
    """Nothing is waited for."""


def undone(
    items: Iterable[Evidence], signatures: Signatures, takes: Callable[[bytes], bool]
) -> list[Evidence]:
    """Give the items that prove something, against a key of which the registry still takes evidence."""
    found = []
    for item in items:
        with suppress(IoexError):  # what proves nothing is of no use
            if takes(evidence.offence(item, signatures).key):
                found.append(item)
    return found
