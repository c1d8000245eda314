"""A bar, how far a job is in words, and a button that ends it. It knows of no job."""

from collections.abc import Callable

import ipywidgets

from qwidgets.session import Pace, Throttle
from qwidgets.widgets.controls.callbacks import DRAWING
from qwidgets.widgets.controls.inputs import button, quiet, set_traits
from qwidgets.widgets.controls.style import escaped

SECONDS_BETWEEN_PACES = 0.2
WORTH_A_BAR = 0.5
"""Seconds that a job takes before a bar is worth its place in the eye."""


class ProgressRow(ipywidgets.HBox):  # type: ignore[misc]  # ipywidgets has no types
    """How far the job at hand is. It has its place where there is none, too, so that nothing jumps.

    Parameters
    ----------
    on_stop
        Called when the person presses Stop.
    tooltip
        What stopping means.

    Attributes
    ----------
    bar, words
        What is seen of it.
    stop
        The button, to be put on the screen.
    """

    def __init__(self, on_stop: Callable[[], None], tooltip: str) -> None:
        super().__init__()
        self._on_stop = on_stop
        self._pace: Pace | None = None
        self._stopping = False
        self._draw = Throttle(self._show, SECONDS_BETWEEN_PACES)
        self.bar = ipywidgets.IntProgress(layout=ipywidgets.Layout(width="80px", flex="0 0 auto", visibility="hidden"))
        self.words = quiet()
        self.words.add_class("qw-one-line")
        self.words.layout.flex, self.words.layout.min_width = "1 1 60px", "0"
        self.stop = button("Stop", self._clicked, tooltip, icon="stop")
        self.stop.disabled = True
        self.children = (self.words, self.bar)
        self.layout.flex, self.layout.min_width = "1 1 0", "100px"

    def show(self, pace: Pace | None) -> None:
        """Show how far the job is; None when it is over."""
        self._pace = pace
        if self.comm is not None:
            self._draw()
        else:
            self._show()  # as it is closed, it costs nothing, and no timer keeps it in memory

    def close(self) -> None:
        """Take it off the screen; what was still to be shown is forgotten."""
        self._draw.cancel()
        super().close()

    def _show(self) -> None:
        with DRAWING:
            pace = self._pace
            self._stopping = self._stopping and pace is not None
            set_traits(self.stop, disabled=pace is None or self._stopping)
            self.words.value = "" if pace is None else "stopping …" if self._stopping else _line(pace)
            seen = pace is not None and (pace.seconds > WORTH_A_BAR or not pace.done)
            set_traits(self.bar.layout, visibility="visible" if seen else "hidden")
            if pace is not None:
                # Without a total the bar is full and striped, which says no more than that it is at work.
                set_traits(self.bar, max=pace.total or 1, value=pace.done if pace.total else 1)
                set_traits(self.bar, bar_style="" if pace.total else "info")

    def _clicked(self, _: object) -> None:
        with DRAWING:
            self._stopping = True
            self._show()
        self._on_stop()


def _line(pace: Pace) -> str:
    text = escaped(pace)
    return f"<span title='{text}'>{text}</span>"
