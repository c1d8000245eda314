"""The bit heat map beside a list of tensors: each line of the one is a line of the other, wherever it is scrolled to.

The figure is bqplot's. Which lines are seen, and where, the list says in the browser; the kernel paints what changed.
"""

from collections.abc import Iterable
from typing import Any

import bqplot
import ipywidgets
import numpy as np

from qwidgets.pictures import palette
from qwidgets.plan import Plan
from qwidgets.widgets.controls import PlanView, drawing, guarded, label_ticks, labelled_axis, quiet
from qwidgets.widgets.workbench.bit_lines import NOT_CALIBRATED, BitLines, cell_at
from qwidgets.widgets.workbench.row_list import RowList

HEADER = 28
MARGIN = {"top": HEADER, "bottom": 0, "left": 8, "right": 8}
MOST_TICKS = 8
ABOUT = "Point at a bit to read it out; a click selects its tensor."


class AlignedHeatMap(PlanView):
    """Every tensor a line, every power of two a column; what is pointed at is read out, a click selects the tensor.

    On the list, the arrow keys to the left and right read out the bits of a row.

    Parameters
    ----------
    plan
        What is shown.
    rows
        The list that it follows.
    selection
        Names of the tensors that are selected to begin with.

    Attributes
    ----------
    figure, image
        bqplot's.
    readout
        What a bit says that is pointed at, or whatever there is to say.
    """

    def __init__(self, plan: Plan, rows: RowList, selection: Iterable[str] = ()) -> None:
        self._rows = rows
        super().__init__(plan, selection)

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._lines: BitLines | None = None if self.plan.calibration is None else BitLines(self.plan, 1)
        self._x = bqplot.LinearScale(min=0, max=1)
        self._y = bqplot.LinearScale(min=-1, max=0)
        picture = ipywidgets.Image(value=b"", format="png")
        self.image = bqplot.Image(
            image=picture, scales={"x": self._x, "y": self._y}, x=[0, 1], y=[-1, 0], pixelated=True
        )
        self.image.on_element_click(self._on_click)
        self._rows.observe(self._on_asked, "asked")
        self._bit_axis = labelled_axis(self._x, "top")
        self.figure = bqplot.Figure(
            marks=[self.image],
            axes=[self._bit_axis],
            fig_margin=MARGIN,
            padding_y=0.0,
            animation_duration=0,
            display_toolbar=False,
            min_aspect_ratio=0.01,
            max_aspect_ratio=100,
            layout=ipywidgets.Layout(width="100%", min_width="0", height=f"{self._rows.height}px"),
        )
        self._rows.palette = [int(part) for part in palette().ravel()]
        self._rows.picture, self._rows.mark, self._rows.scale = picture, self.image, self._y
        self._at_rest = ABOUT
        self.readout = quiet(ABOUT)
        self.readout.add_class("qw-one-line")
        self.readout.add_class("qw-readout")
        frame = ipywidgets.Box([self.figure])
        frame.add_class("qw-heat")
        self.add_class("qw-aligned")
        return self.readout, frame

    def _show(self, changed: frozenset[str]) -> None:
        if self._lines is None:
            self.readout.value = NOT_CALIBRATED
            return
        if not self.plan.names:
            return
        if self._lines.paint(changed):
            width = len(self._lines.bits)
            self._x.max = width
            self.image.x = [0, width]
            label_ticks(self._bit_axis, self._lines.ticks(MOST_TICKS))
            self._rows.show_strips(np.concatenate([self._lines.lines[name] for name in self.plan.names]))
        else:
            self._rows.change([], {name: self._lines.lines[name][0] for name in changed})

    def tell(self, words: str) -> None:
        """Say something, as HTML, while no bit is pointed at, and until another tensor is selected."""
        self._at_rest = self.readout.value = words

    def _show_selection(self) -> None:
        several = len(self.selection) > 1
        self._at_rest = f"{len(self.selection)} tensors selected" if several else ABOUT
        self._read_out()

    @drawing
    def _on_asked(self, _: Any) -> None:
        self._read_out()

    def _read_out(self) -> None:
        """Say what the bit says that is pointed at."""
        if self._lines is None:
            return
        words = self._at_rest
        if asked := self._rows.asked:
            name, column = asked
            if name in self._lines.lines and 0 <= column < len(self._lines.bits):
                words = self._lines.describe(name, column)
                self._rows.said = self._lines.in_words(name, column)
        self.readout.value = words

    @guarded
    def _on_click(self, _: Any, event: dict[str, Any]) -> None:
        if self._lines is None or not self._rows.order:
            return
        name = self._rows.order[cell_at(-event["data"]["click_y"], len(self._rows.order))]
        if name:
            self.selection = (name,)
