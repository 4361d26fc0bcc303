"""The hashing processes as the miner sees them: start, give orders, read reports, stop."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from ioex_chain.pow.hash_worker import Order, Report, run_worker
from ioex_chain.primitives.errors import IoexError

STOP_SECONDS = 1.0


class WorkerDied(IoexError):
    """A hashing process ended by itself."""


def default_workers() -> int:
    """Give all cores but one, at least one."""
    return max(1, (os.cpu_count() or 2) - 1)


class HashPool:
    """`count` processes, each with a pipe. Not asynchronous: `fileno` tells an event loop what to watch."""

    def __init__(self, count: int | None = None) -> None:
        self.count = default_workers() if count is None else count
        self._workers: list[tuple[BaseProcess, Connection[bytes, bytes]]] = []

    def start(self) -> None:
        """Start the processes; each takes orders as soon as it is up."""
        # Clean processes on every system: no lock, thread or file of the node comes along.
        context = multiprocessing.get_context("spawn")
        for number in range(self.count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=run_worker, args=(theirs,), name=f"ioex-hash-{number}", daemon=True
            )
            # Ctrl-C goes to every process of the terminal, also to one that is only just starting.
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            theirs.close()  # so that a process that dies breaks the pipe
            self._workers.append((process, ours))

    def fileno(self, worker: int) -> int:
        """Give the descriptor that becomes readable when a worker reports."""
        return self._workers[worker][1].fileno()

    def order(self, worker: int, order: Order | None) -> None:
        """Give a worker another order, None for rest. Raises WorkerDied."""
        try:
            self._workers[worker][1].send_bytes(order.encode() if order else b"")
        except OSError as error:
            raise self._died(worker) from error

    def reports(self, worker: int) -> list[Report]:
        """Give what a worker has reported, without waiting. Raises WorkerDied."""
        pipe = self._workers[worker][1]
        found = []
        try:
            while pipe.poll():
                found.append(Report.decode(pipe.recv_bytes()))
        except (EOFError, OSError) as error:
            if not found:
                raise self._died(worker) from error
        return found

    def stop(self) -> None:
        """Close the pipes and wait, at most STOP_SECONDS; kill what is left then."""
        for _, pipe in self._workers:
            pipe.close()
        wait = STOP_SECONDS
        for process, _ in self._workers:
            process.join(wait)
            if process.exitcode is None:
                wait = 0
                process.kill()
        for process, _ in self._workers:
            process.join()
            process.close()
        self._workers.clear()

    def pids(self) -> list[int]:
        """Give the process ids."""
        return [process.pid for process, _ in self._workers if process.pid is not None]

    def _died(self, worker: int) -> WorkerDied:
        process = self._workers[worker][0]
        process.join(STOP_SECONDS)
        return WorkerDied(
            f"hashing process {worker} ended (exit code {process.exitcode}); start the miner again, "
            "with fewer workers if memory is short"
        )
