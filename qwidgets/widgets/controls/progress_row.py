"""A bar, how far a job is in words, and a button that ends it. It knows of no job."""

from collections.abc import Callable

import ipywidgets

from qwidgets.session import Pace, Throttle
from qwidgets.widgets.controls.callbacks import DRAWING
from qwidgets.widgets.controls.style import escaped

SECONDS_BETWEEN_PACES = 0.2


class ProgressRow(ipywidgets.HBox):  # type: ignore[misc]  # ipywidgets has no types
    """How far the job at hand is; nothing is seen of it where there is none.

    Parameters
    ----------
    on_stop
        Called when the person presses Stop.
    tooltip
        What stopping means.
    """

    def __init__(self, on_stop: Callable[[], None], tooltip: str) -> None:
        super().__init__()
        self._on_stop = on_stop
        self._pace: Pace | None = None
        self._draw = Throttle(self._show, SECONDS_BETWEEN_PACES)
        self.bar = ipywidgets.IntProgress(layout=ipywidgets.Layout(width="120px"))
        self.words = ipywidgets.HTML()
        self.words.add_class("qw-quiet")
        self.stop = ipywidgets.Button(
            description="Stop", icon="stop", tooltip=tooltip, layout=ipywidgets.Layout(width="84px")
        )
        self.stop.on_click(self._clicked)
        self.children = (self.bar, self.words, self.stop)
        self.layout.display = "none"

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
            if pace is None:
                self.layout.display = "none"
                self.stop.disabled = False
                return
            self.layout.display = None
            self.words.value = "stopping …" if self.stop.disabled else escaped(pace)
            # Without a total the bar is full and striped, which says no more than that it is at work.
            self.bar.max, self.bar.value = (pace.total or 1), (pace.done if pace.total else 1)
            self.bar.bar_style = "" if pace.total else "info"

    def _clicked(self, _: object) -> None:
        with DRAWING:
            self.stop.disabled = True
            self.words.value = "stopping …"
        self._on_stop()
