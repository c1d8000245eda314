"""Letting a step come to its end before an interrupt is heard."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def finished_first() -> Iterator[None]:
    """Raise KeyboardInterrupt after the block rather than within it, so that the block is done whole or not at all.

    A second interrupt is heard at once. Where Python's own handler is not the one that is set, or outside the main
    thread, which hears no signals, nothing changes.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    heard = 0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard += 1
        if heard > 1:
            signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if heard:
        raise KeyboardInterrupt
