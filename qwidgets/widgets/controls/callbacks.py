"""The edge between the browser and the package: whatever a callback raises is told to the person, and nothing is lost.

Jupyter shows an exception in a widget's callback nowhere. Every method of a view that the browser or a timer calls is
therefore wrapped here. The wrapper also holds the one lock of all views, since callbacks come on several threads.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

DRAWING = threading.RLock()
"""Held while a view reads its controls or draws. A plan tells its observers after it has let go of its own lock, so a
thread that holds this one may always wait for that one."""


class Reporting(Protocol):
    """What can tell a person of an error, and can take it back."""

    def report(self, error: Exception) -> None:
        """Show an error."""

    def clear_report(self) -> None:
        """Take away what :meth:`report` showed."""


P = ParamSpec("P")
V = TypeVar("V", bound=Reporting)


def guarded(method: Callable[Concatenate[V, P], Any]) -> Callable[Concatenate[V, P], None]:
    """Wrap a method that answers a person: an error shows in the view, and goes when the next thing works."""

    @functools.wraps(method)
    def call(view: V, /, *args: P.args, **kwargs: P.kwargs) -> None:
        with DRAWING:
            try:
                method(view, *args, **kwargs)
            except Exception as error:
                view.report(error)
            else:
                view.clear_report()

    return call


def drawing(method: Callable[Concatenate[V, P], Any]) -> Callable[Concatenate[V, P], None]:
    """Wrap a method that draws: as :func:`guarded`, but an error that is shown stays, since nobody asked."""

    @functools.wraps(method)
    def call(view: V, /, *args: P.args, **kwargs: P.kwargs) -> None:
        with DRAWING:
            try:
                method(view, *args, **kwargs)
            except Exception as error:
                view.report(error)

    return call
