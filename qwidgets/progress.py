"""Progress of work that takes a while: a bar for a person, and a way to stop for a program."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tqdm.auto import tqdm


class Stopped(Exception):
    """The work was stopped on request."""


class Progress:
    """Shows how far some work is, and ends it where that is asked for.

    Parameters
    ----------
    shown
        Whether to show a bar.
    stop
        Asked after each step; the work ends where it gives True.
    """

    def __init__(self, shown: bool, stop: Callable[[], bool] | None = None) -> None:
        self._shown = shown
        self._stop = stop
        self._bar: tqdm[Any] | None = None

    @contextlib.contextmanager
    def over(self, total: int, what: str) -> Iterator[None]:
        """Show the progress of so many steps."""
        with tqdm(total=total, desc=what, disable=not self._shown) as bar:
            self._bar = bar
            yield

    def step(self) -> None:
        """Count one; raise `Stopped` where a stop is asked for."""
        if self._bar is not None:
            self._bar.update()
        if self._stop is not None and self._stop():
            raise Stopped
