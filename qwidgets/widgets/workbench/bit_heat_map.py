"""The bit heat map: where the values of every tensor lie, and what its window cannot represent."""

from typing import Any

import bqplot
import ipywidgets
import numpy as np

from qwidgets.pictures import stacked, to_png
from qwidgets.widgets.controls import (
    ACCENT,
    PlanView,
    close_tree,
    guarded,
    label_ticks,
    labelled_axis,
    outline_around,
    quiet,
    shortened,
)
from qwidgets.widgets.workbench.bit_lines import NOT_CALIBRATED, BitLines, cell_at

MARGIN = {"top": 26, "bottom": 6, "left": 150, "right": 16}
TALLEST = 400
ROW_HEIGHTS = (4, 18)
NAME_HEIGHT = 12
MOST_TICKS = 12


class BitHeatMap(PlanView):
    """Every tensor a row, every power of two a column; a click selects the tensor and reads out the bit.

    Darker blue is more values (by the logarithm of the share), gray lies over the bits that the window cannot
    represent, and under a draft the edges of the committed window stay visible.

    Parameters
    ----------
    plan
        What is shown.
    selection
        Names of the tensors that are selected to begin with.
    """

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._names = self.plan.names
        self._position = {name: row for row, name in enumerate(self._names)}
        count = max(len(self._names), 1)
        self._row_height = int(np.clip(TALLEST / count, *ROW_HEIGHTS))
        self._lines = None if self.plan.calibration is None else BitLines(self.plan, self._row_height)
        self._x, self._y = bqplot.LinearScale(min=0, max=1), bqplot.LinearScale(min=0, max=count)
        scales = {"x": self._x, "y": self._y}
        self._image = bqplot.Image(image=_packed(b""), scales=scales, x=[0, 1], y=[0, count])
        self._image.on_element_click(self._on_click)
        self._marks = bqplot.Lines(
            x=[], y=[], scales=scales, colors=[ACCENT], stroke_width=2, preserve_domain={"x": True, "y": True}
        )
        self._bit_axis, name_axis = labelled_axis(self._x, "top"), labelled_axis(self._y, "left")
        label_ticks(name_axis, self._name_ticks())
        self._figure = bqplot.Figure(
            marks=[self._image, self._marks],
            axes=[self._bit_axis, name_axis],
            fig_margin=MARGIN,
            padding_y=0.0,
            animation_duration=0,
            display_toolbar=False,
            layout=ipywidgets.Layout(
                width="100%", height=f"{count * self._row_height + MARGIN['top'] + MARGIN['bottom']}px"
            ),
        )
        frame = ipywidgets.Box([self._figure], layout=ipywidgets.Layout(max_height="448px", overflow="hidden auto"))
        frame.add_class("qw-heat")
        self._readout = quiet()
        return frame, self._readout

    def _show(self, changed: frozenset[str]) -> None:
        if self._lines is None:
            self._readout.value = NOT_CALIBRATED
            return
        if not self._names:
            self._readout.value = "This network has no tensor that a format can be given to."
            return
        if self._lines.paint(changed):
            label_ticks(self._bit_axis, self._lines.ticks(MOST_TICKS))
            self._x.max = len(self._lines.bits)
            self._image.x = [0, len(self._lines.bits)]
            self._show_selection()
        old = self._image.image
        self._image.image = _packed(to_png(stacked([self._lines.lines[name] for name in self._names])))
        close_tree(old)

    def _show_selection(self) -> None:
        rows = sorted(self._position[name] for name in self.selection)
        corners = outline_around(rows, len(self._names), len(self._lines.bits) if self._lines else 1)
        with self._marks.hold_sync():
            self._marks.x, self._marks.y = corners
        if len(self.selection) != 1:
            self._readout.value = _selected(len(self.selection))

    def _name_ticks(self) -> dict[float, str]:
        every = -(-NAME_HEIGHT // self._row_height)
        return {
            len(self._names) - row - 0.5: shortened(name) for row, name in enumerate(self._names) if row % every == 0
        }

    @guarded
    def _on_click(self, _: Any, event: dict[str, Any]) -> None:
        if self._lines is None:
            return
        name = self._names[cell_at(len(self._names) - event["data"]["click_y"], len(self._names))]
        self.selection = (name,)
        self._readout.value = self._lines.describe(name, cell_at(event["data"]["click_x"], len(self._lines.bits)))


def _packed(png: bytes) -> ipywidgets.Image:
    return ipywidgets.Image(value=png, format="png")


def _selected(count: int) -> str:
    return f"{count} tensors selected" if count else "Click a row to select its tensor and read out a bit."
