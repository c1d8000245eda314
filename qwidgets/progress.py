"""Progress of work that takes a while: a bar for a person, and a way to stop for a program."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from tqdm.auto import tqdm

OnProgress = Callable[[str, int, int], None]
"""Called with what is done, how many steps of it are over, and how many there are, 0 where nobody knows."""


class Stopped(Exception):
    """The work was stopped on request."""


class Progress:
    """Shows how far some work is, and ends it where that is asked for.

    Parameters
    ----------
    shown
        Whether to show a bar; or a function that is called instead.
    stop
        Asked after each step; the work ends where it gives True.
    """

    def __init__(self, shown: bool | OnProgress, stop: Callable[[], bool] | None = None) -> None:
        self._shown = shown is True
        self._on_progress = shown if callable(shown) else None
        self._stop = stop
        self._bar: tqdm[Any] | None = None
        self._what, self._done, self._total = "", 0, 0

    @contextlib.contextmanager
    def over(self, total: int, what: str) -> Iterator[None]:
        """Show the progress of so many steps."""
        with tqdm(total=total, desc=what, disable=not self._shown) as bar:
            self._bar = bar
            self._what, self._done, self._total = what, 0, total
            self._report()
            yield

    def step(self) -> None:
        """Count one; raise `Stopped` where a stop is asked for."""
        if self._bar is not None:
            self._bar.update()
            self._done += 1
            self._report()
        self.go_on()

    def go_on(self) -> None:
        """Raise `Stopped` where a stop is asked for."""
        if self._stop is not None and self._stop():
            raise Stopped

    def until(self, deadline: float) -> "Progress":
        """Give progress that is shown as this one is, and ends the work at a time of the monotonic clock, too."""
        shown: bool | OnProgress = self._shown if self._on_progress is None else self._on_progress
        stop = self._stop
        return Progress(shown, lambda: time.monotonic() >= deadline or (stop is not None and stop()))

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._what, self._done, self._total)
