"""The head of the workbench: the network, the progress of its calibration, and proposals."""

import time
from collections.abc import Callable

import ipywidgets

from qwidgets.calibration import Calibration
from qwidgets.formats import MAX_WORD_LENGTH
from qwidgets.schemes import SCHEMES
from qwidgets.session import Pace
from qwidgets.widgets.controls import View, escaped, guarded


class Header(View):
    """The head of the workbench.

    Parameters
    ----------
    on_stop
        Called when the person stops the calibration.
    on_propose
        Called with the word length and the scheme that the person asks for, and whether for a window per channel.
    """

    def __init__(self, on_stop: Callable[[], None], on_propose: Callable[[int, str, bool], None]) -> None:
        super().__init__()
        self._on_stop, self._on_propose = on_stop, on_propose
        self._began = 0.0
        self._title = ipywidgets.HTML()
        self._progress = ipywidgets.IntProgress(layout=ipywidgets.Layout(width="150px"))
        self._pace = ipywidgets.HTML()
        self._pace.add_class("qw-quiet")
        self._stop = ipywidgets.Button(
            description="Stop", icon="stop", tooltip="Stop calibrating and keep what was counted", layout=_width("84px")
        )
        self._stop.on_click(self._stop_clicked)
        self._scheme = ipywidgets.Dropdown(
            options=list(SCHEMES), value="mse", description="scheme", layout=_width("170px")
        )
        self._scheme.style.description_width = "56px"
        self._word_length = ipywidgets.BoundedIntText(
            value=8, min=2, max=MAX_WORD_LENGTH, description="word length", layout=_width("140px")
        )
        self._word_length.style.description_width = "82px"
        self._per_channel = ipywidgets.Checkbox(description="per channel", indent=False, layout=_width("104px"))
        self._per_channel.tooltip = "A window for each output channel of a weight; biases at their layer's accumulator"
        self._propose = ipywidgets.Button(
            description="Propose",
            tooltip="Draft what the scheme chooses for every tensor that is not locked",
            layout=_width("92px"),
        )
        self._propose.on_click(self._propose_clicked)
        running = ipywidgets.HBox([self._progress, self._pace, self._stop])
        proposing = ipywidgets.HBox([self._scheme, self._word_length, self._per_channel, self._propose])
        self._running = running
        line = ipywidgets.HBox([self._title, running, proposing])
        line.add_class("qw-bar")
        self.fill(line)
        self._running.layout.display = "none"
        self.can_propose(False)

    def name(self, network: str, about: str) -> None:
        """Show which network it is, and what is to be known of it."""
        self._title.value = f"<b>{escaped(network)}</b> <span class='qw-quiet'>{escaped(about)}</span>"

    def can_propose(self, can: bool) -> None:
        """Allow proposals or not."""
        for control in (self._scheme, self._word_length, self._per_channel, self._propose):
            control.disabled = not can

    def begin(self) -> None:
        """Show that a calibration began."""
        self._began = time.monotonic()
        self._running.layout.display = None
        self._stop.disabled = False
        self._progress.value, self._progress.max = 0, 1
        self._pace.value = "capturing the network …"

    def advance(self, calibration: Calibration) -> None:
        """Show how far it is, how fast it goes and how long it will take."""
        done, total = calibration.batches, calibration.total_batches
        if not done:
            self._began = time.monotonic()  # capturing takes seconds and says nothing about the batches
        self._progress.max = total or max(done, 1)
        self._progress.value = done
        self._pace.value = Pace("", done, total, "batches", time.monotonic() - self._began).figures

    def end(self) -> None:
        """Take the progress away: it is over."""
        self._running.layout.display = "none"

    def _attach(self) -> None:
        pass

    def _detach(self) -> None:
        pass

    def _static_page(self) -> str:
        return str(self._title.value)

    @guarded
    def _stop_clicked(self, _: object) -> None:
        self._stop.disabled = True
        self._pace.value = "stopping after this batch …"
        self._on_stop()

    @guarded
    def _propose_clicked(self, _: object) -> None:
        self._on_propose(self._word_length.value, self._scheme.value, self._per_channel.value)


def _width(width: str) -> ipywidgets.Layout:
    return ipywidgets.Layout(width=width)
