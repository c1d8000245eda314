"""Waiting for what threads, processes and browsers do: for as long as it takes on a busy machine, but not for ever.

A test passes on any machine, however busy it is and however many threads torch has. So it waits until something is so,
never for some seconds after which it should be; it asks for no speed; and it leaves it open who comes first.
"""

import contextlib
import time
from collections.abc import Callable, Iterator

import torch

LONG = 300.0
"""Seconds that are never reached, unless what is waited for does not come at all."""


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, f"it did not come in {LONG} s"
        time.sleep(0.01)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute as a process does that has one thread: with several, sums may be rounded otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
