"""The bit heat map: where the values of every tensor lie, and what its window cannot represent."""

from typing import Any

import bqplot
import ipywidgets
import numpy as np

from qwidgets.pictures import (
    MOST_COLUMNS,
    BitRange,
    Pixels,
    Window,
    levels,
    paint_row,
    stacked,
    to_png,
    window_of,
)
from qwidgets.widgets.controls import (
    ACCENT,
    PlanView,
    close_tree,
    escaped,
    guarded,
    label_ticks,
    labelled_axis,
    outline_around,
    percent_text,
    shortened,
)

MARGIN = {"top": 26, "bottom": 6, "left": 150, "right": 16}
TALLEST = 400
ROW_HEIGHTS = (4, 18)
NAME_HEIGHT = 12
TICK_SPACING = 4


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
        self._counted: dict[str, tuple[int, Any]] = {}
        self._bits: BitRange | None = None
        count = max(len(self._names), 1)
        self._row_height = int(np.clip(TALLEST / count, *ROW_HEIGHTS))
        self._pixels: list[Pixels] = []
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
        self._readout = ipywidgets.HTML()
        self._readout.add_class("qw-quiet")
        return frame, self._readout

    def _show(self, changed: frozenset[str]) -> None:
        if self.plan.calibration is None:
            self._readout.value = (
                "This plan has no calibration, so there is nothing to draw; Plan.load(path, calibration)."
            )
            return
        if not self._names:
            self._readout.value = "This network has no tensor that a format can be given to."
            return
        recounted = self._count(changed)
        windows = [window_of(self.plan[name]) for name in self._names]
        committed = [window_of(self.plan.committed[name]) for name in self._names]
        bits = self._enough_bits([*windows, *committed], recounted)
        if bits != self._bits:
            self._bits = bits
            self._fit_columns(bits)
            changed = frozenset(self._names)
        for name in changed:
            row = self._position[name]
            self._pixels[row] = paint_row(
                levels(bits.counts(self._counted[name][1])),
                bits,
                windows[row],
                committed[row],
                self._row_height,
            )
        old = self._image.image
        self._image.image = _packed(to_png(stacked(self._pixels)))
        close_tree(old)

    def _show_selection(self) -> None:
        rows = sorted(self._position[name] for name in self.selection)
        corners = outline_around(rows, len(self._names), len(self._bits) if self._bits else 1)
        with self._marks.hold_sync():
            self._marks.x, self._marks.y = corners
        if len(self.selection) != 1:
            self._readout.value = _selected(len(self.selection))

    def _count(self, names: frozenset[str]) -> bool:
        """Read the counts of tensors of which more values were counted, and say whether there are any."""
        recounted = False
        assert self.plan.calibration is not None
        for name in names:
            histogram = self.plan.calibration[name]
            total = histogram.count
            if name not in self._counted or self._counted[name][0] != total:
                self._counted[name] = (total, histogram.msb_counts())
                recounted = True
        return recounted

    def _enough_bits(self, windows: list[Window], recounted: bool) -> BitRange:
        """The bits that have a column. They only grow, so that nothing moves under the mouse while a window does."""
        needed = BitRange.over([series for _, series in self._counted.values()], windows)
        if self._bits is None or recounted:
            return needed
        top = max(needed.top, self._bits.top)
        bottom = max(min(needed.bottom, self._bits.bottom), top - MOST_COLUMNS + 1)
        return BitRange(top, bottom, needed.bottom_is_open or bottom > min(needed.bottom, self._bits.bottom))

    def _fit_columns(self, bits: BitRange) -> None:
        self._pixels = [np.zeros((0, 0), np.uint8)] * len(self._names)
        ticks = [bit for bit in range(bits.top, bits.bottom - 1, -1) if bit % TICK_SPACING == 0]
        label_ticks(self._bit_axis, {bits.column(bit) + 0.5: f"2^{bit}" for bit in ticks})
        self._x.max = len(bits)
        self._image.x = [0, len(bits)]
        self._show_selection()

    def _name_ticks(self) -> dict[float, str]:
        every = -(-NAME_HEIGHT // self._row_height)
        return {
            len(self._names) - row - 0.5: shortened(name) for row, name in enumerate(self._names) if row % every == 0
        }

    @guarded
    def _on_click(self, _: Any, event: dict[str, Any]) -> None:
        if self._bits is None:
            return
        data = event["data"]
        row = int(np.clip(len(self._names) - data["click_y"], 0, len(self._names) - 1))
        column = int(np.clip(data["click_x"], 0, len(self._bits) - 1))
        name = self._names[row]
        self.selection = (name,)
        self._readout.value = self._told(name, self._bits.top - column)

    def _told(self, name: str, bit: int) -> str:
        """What a cell says: tensor, bit and count."""
        assert self._bits is not None
        series = self._counted[name][1]
        below = self._bits.bottom_is_open and bit == self._bits.bottom
        values = int(self._bits.counts(series)[self._bits.column(bit)])
        place = f"2^{bit} and below" if below else f"2^{bit}"
        share = percent_text(values, self._counted[name][0])
        return f"<b>{escaped(name)}</b> · {place} · {values:,} values ({share})"


def _packed(png: bytes) -> ipywidgets.Image:
    return ipywidgets.Image(value=png, format="png")


def _selected(count: int) -> str:
    return f"{count} tensors selected" if count else "Click a row to select its tensor and read out a bit."
