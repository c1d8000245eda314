"""Letting a step come to its end before an interrupt is heard."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

Handler = Callable[[int, FrameType | None], object]


@contextlib.contextmanager
def finished_first() -> Iterator[None]:
    """Raise KeyboardInterrupt after the block rather than within it, so that the block is done whole or not at all.

    A second interrupt is heard at once. Where Python's own handler is not the one that is set, or outside the main
    thread, which hears no signals, nothing changes.
    """
    default = signal.default_int_handler
    if _handler() is not default:
        yield
        return
    heard, over = 0, False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard += 1
        if heard > 1 and not over:
            default(number, frame)

    try:
        signal.signal(signal.SIGINT, note)
        yield
    finally:
        over = True
        signal.signal(signal.SIGINT, default)
    if heard:
        raise KeyboardInterrupt


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Hear interrupts after the block, however many there are and whoever hears them. For what takes no time."""
    handler = _handler()
    if handler is None:
        yield
        return
    heard: list[FrameType | None] = []
    try:
        signal.signal(signal.SIGINT, lambda _, frame: heard.append(frame))
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        for frame in heard:
            handler(signal.SIGINT, frame)


def _handler() -> Handler | None:
    """Give the function that hears interrupts; None where there is none, or not in this thread."""
    handler = signal.getsignal(signal.SIGINT)
    return handler if callable(handler) and threading.current_thread() is threading.main_thread() else None
