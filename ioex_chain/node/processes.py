"""Worker processes for signature checks, which end with this one whatever happens to it."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor

from ioex_chain.pow.script import run_checks


def verify_pool(processes: int | None) -> ProcessPoolExecutor | None:
    """Give a pool of `processes`, by default all cores but one; None for 0: verify in the main process."""
    count = max(1, (os.cpu_count() or 2) - 1) if processes is None else processes
    if count == 0:
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ioex_chain.pow.script"])
    return ProcessPoolExecutor(count, mp_context=context, initializer=end_with_parent)


def warm(pool: ProcessPoolExecutor | None) -> None:
    """Start the processes now, so that the first full block does not wait for them."""
    if pool is not None:
        pool.submit(run_checks, [])


def end_with_parent() -> None:
    """Leave Ctrl-C to the main process, and exit when that process is gone, killed or not."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
