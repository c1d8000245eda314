"""Waiting for what other threads and processes do: for as long as it takes on a busy machine, but not for ever."""

import time
from collections.abc import Callable

LONG = 120.0
"""Seconds that are never reached, unless what is waited for does not come at all."""


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, f"it did not come in {LONG} s"
        time.sleep(0.01)
