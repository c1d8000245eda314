"""Sweeping several shares of a tensor at once, in the threads that torch computes with where that is possible.

After an operation torch's OpenMP threads spin for some milliseconds, waiting for the next one. Threads of our own
would have to share the cores with them, which makes two threads as slow as one just when the data is still in cache.
So where torch runs on GNU OpenMP the shares go to that same pool, through its ``GOMP_parallel``; elsewhere to a pool
of Python threads. Numba's own ``prange`` is not used: its fallback pool ends the process when two Python threads
count at once.
"""

import ctypes
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import llvmlite.binding
import numba
import numpy as np
import numpy.typing as npt
from numba.core.types import ExternalFunction

from qwidgets.histograms.kernels import cpu_loops as loops

SWEEPS = {2: loops.sweep16, 4: loops.sweep32, 8: loops.sweep64}


class Share:
    """A run of words and the private counters of the thread that sweeps it. Counters are all zero between uses."""

    def __init__(self) -> None:
        self.words: npt.NDArray[Any] = np.empty(0, np.uint32)
        self.private = np.zeros(loops.PRIVATE, np.uint32)
        self.notes = np.zeros(loops.NOTES, np.int64)
        self.odd = np.empty(0, np.int64)

    def assign(self, words: npt.NDArray[Any]) -> None:
        """Take a run of words to sweep."""
        self.words = words
        blocks = words.size // loops.BLOCK + 1
        if self.odd.size < blocks:
            self.odd = np.empty(blocks, np.int64)

    def sweep(self) -> None:
        """Count the words into the private counters."""
        SWEEPS[self.words.itemsize](self.words, self.private, self.notes, self.odd)


def sweep_together(shares: Sequence[Share]) -> None:
    """Sweep the shares, one in each thread. They hold words of one size."""
    openmp = _openmp() if len(shares) > 1 else None
    if openmp is None:
        others = [_pool().submit(share.sweep) for share in shares[1:]]
        shares[0].sweep()
        for other in others:
            other.result()
        return
    parallel, region = openmp
    # These two arrays must live until the call returns.
    sizes = np.array([len(shares), shares[0].words.itemsize, *(share.words.size for share in shares)])
    addresses = [sizes.ctypes.data]
    for share in shares:
        addresses += [array.ctypes.data for array in (share.words, share.private, share.notes, share.odd)]
    table = np.array(addresses)
    parallel(region.address, table.ctypes.data, len(shares), 0)


@cache
def _openmp() -> tuple[Any, Any] | None:
    """Give GNU OpenMP's entry point and our parallel region, compiled, or None where torch does not run on it."""
    try:
        library = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
    except (OSError, AttributeError):
        return None
    for name in ("omp_get_thread_num", "omp_get_num_threads"):
        llvmlite.binding.add_symbol(f"qwidgets_{name}", ctypes.cast(getattr(library, name), ctypes.c_void_p).value)
    library.GOMP_parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    library.GOMP_parallel.restype = None
    signature = numba.types.void(numba.types.CPointer(numba.types.voidptr))
    return library.GOMP_parallel, numba.cfunc(signature, cache=True)(_region)


_thread_number = ExternalFunction("qwidgets_omp_get_thread_num", numba.types.int32())
_thread_count = ExternalFunction("qwidgets_omp_get_num_threads", numba.types.int32())


def _region(addresses: Any) -> None:
    """Sweep the shares of one thread: every n-th of them, since OpenMP may give fewer threads than were asked for."""
    head = numba.carray(addresses[0], (2,), np.int64)
    sizes = numba.carray(addresses[0], (2 + head[0],), np.int64)
    for share in range(_thread_number(), head[0], _thread_count()):
        size = sizes[2 + share]
        first = 1 + 4 * share
        private = numba.carray(addresses[first + 1], (loops.PRIVATE,), np.uint32)
        notes = numba.carray(addresses[first + 2], (loops.NOTES,), np.int64)
        odd = numba.carray(addresses[first + 3], (size // loops.BLOCK + 1,), np.int64)
        if head[1] == 4:
            loops.sweep32(numba.carray(addresses[first], (size,), np.uint32), private, notes, odd)
        elif head[1] == 2:
            loops.sweep16(numba.carray(addresses[first], (size,), np.uint16), private, notes, odd)
        else:
            loops.sweep64(numba.carray(addresses[first], (size,), np.uint64), private, notes, odd)


_threads: ThreadPoolExecutor | None = None
_lock = threading.Lock()


def _pool() -> ThreadPoolExecutor:
    global _threads
    with _lock:
        if _threads is None:
            _threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="qwidgets-count")
        return _threads


def _forget_pool() -> None:
    """Start anew in a forked process, which has none of its parent's threads."""
    global _threads, _lock
    _threads = None
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
