"""Memory that is not needed any more goes back to the system."""

import ctypes
import gc


def release() -> None:
    """Give back what a long download left in the C library's heaps, where that can be asked for."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)
