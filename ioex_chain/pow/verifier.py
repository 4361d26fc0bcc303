"""Verifies a block's signatures on other cores while the block is being applied on this one.

Worker processes and not threads: Python code on the main thread gives a thread its turn every 5 ms only,
which is a hundred signatures' time.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future

from ioex_chain.crypto.secp256k1 import SignatureCheck, verify_batch
from ioex_chain.pow.script import Check, run_checks

CHECKS_PER_JOB = 250
"""Enough to make sending a job cheap, few enough to keep all cores busy to the end."""


class Verifier:
    """One block's signature checks, in the order in which they were added."""

    def __init__(self, workers: Executor | None) -> None:
        """Without `workers` everything is verified here, in `first_failure`."""
        self._workers = workers
        self._waiting: list[Check] = []
        self._jobs: list[tuple[Sequence[Check], Future[int | None]]] = []

    def add(self, checks: Sequence[Check]) -> None:
        """Add checks; a full job leaves for the workers at once."""
        waiting = self._waiting
        waiting += checks
        if len(waiting) >= CHECKS_PER_JOB and self._workers is not None:
            self._send(self._workers)

    def _send(self, workers: Executor) -> None:
        try:
            self._jobs.append((self._waiting, _submit(workers, self._waiting)))
        except (BrokenExecutor, RuntimeError):  # the workers died or are shutting down: we do it ourselves
            self._workers = None
            return
        self._waiting = []

    def first_failure(self) -> int | None:
        """Give the number (in order of adding) of the first check that fails, or None."""
        here = {len(self._jobs): run_checks(self._waiting)}
        # The workers go on from the front; from the back we take what nobody has begun.
        for number in reversed(range(len(self._jobs))):
            checks, job = self._jobs[number]
            if job.cancel():
                here[number] = run_checks(checks)
        done = 0
        for number, (checks, job) in enumerate(self._jobs):
            failed = here[number] if number in here else _result(checks, job)
            if failed is not None:
                return done + failed
            done += len(checks)
        failed = here[len(self._jobs)]
        return None if failed is None else done + failed


def _submit(workers: Executor, checks: Sequence[Check]) -> "Future[int | None]":
    """Send checks; single signatures go as bare byte strings, ten times cheaper to pickle than as objects."""
    singles = [check for check in checks if isinstance(check, SignatureCheck)]
    if len(singles) < len(checks):
        return workers.submit(run_checks, checks)
    return workers.submit(run_flat, [part for single in singles for part in single])


def run_flat(parts: Sequence[bytes]) -> int | None:
    """Verify (key, digest, signature) triples that stand one after the other; give the first that fails."""
    return verify_batch([SignatureCheck(*triple) for triple in _triples(parts)])


def _triples(parts: Sequence[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
    return zip(parts[::3], parts[1::3], parts[2::3], strict=True)


def _result(checks: Sequence[Check], job: "Future[int | None]") -> int | None:
    try:
        return job.result()
    except BrokenExecutor:
        return run_checks(checks)
