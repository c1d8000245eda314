"""The bits of one tensor as bars, with its window as a brush over them.

Positive values stand above the line and negative ones below it, on a logarithmic scale. Colour, and a key beside the
figure, tell what lies in the window, above it and below it. It knows of series and windows, and of no plan.
"""

from collections.abc import Callable
from typing import Any

import bqplot
import ipywidgets
import numpy as np
import pandas as pd

from qwidgets.formats import FixedPoint
from qwidgets.pictures import superscript
from qwidgets.widgets.controls import style
from qwidgets.widgets.controls.axes import label_ticks, labelled_axis, tick_spacing
from qwidgets.widgets.controls.hearing import heard_whole
from qwidgets.widgets.controls.lifetime import Holder
from qwidgets.widgets.controls.silence import Silence

SIDE = 40
FREE = 13
HEIGHT = 140
BESIDE = 3
MOST_BITS = 60
MOST_TICKS = 6


class BitBars(Holder):
    """A figure of one tensor's bits.

    Parameters
    ----------
    on_brush
        Called with the highest and the lowest bit when the person drags the brush.

    Attributes
    ----------
    widget
        To be put on the screen.
    top, bottom
        The highest and the lowest bit that have a place.
    rail
        The CSS margin that brings something below to the bits' places. bqplot keeps some pixels free at the ends of
        bars, and stands in the margin that each widget has.
    """

    rail = f"0 {SIDE + FREE - style.WIDGET_MARGIN}px 0 {SIDE + FREE + style.WIDGET_MARGIN}px"

    def __init__(self, on_brush: Callable[[int, int], None]) -> None:
        self._on_brush = on_brush
        self._silence = Silence()
        self.top, self.bottom = 0, -7
        self._name = ""
        self._drawn: object = None
        self._x, self._y = bqplot.LinearScale(min=-0.5, max=7.5), bqplot.LinearScale(min=0.0, max=1.0)
        scales = {"x": self._x, "y": self._y}
        self._up = bqplot.Bars(x=[], y=[], scales=scales, padding=0.15, stroke_width=0)
        self._down = bqplot.Bars(x=[], y=[], scales=scales, padding=0.15, stroke_width=0)
        self._edges = bqplot.Lines(
            x=[], y=[], scales=scales, colors=["gray"], line_style="dashed", stroke_width=1.5, labels=["committed"]
        )
        self._brush = heard_whole(bqplot.interacts.BrushIntervalSelector)(scale=self._x, color=style.ACCENT)
        self._brush.observe(self._on_brushed, ["selected", "brushing"])
        self._bit_axis, self._count_axis = labelled_axis(self._x, "bottom"), labelled_axis(self._y, "left")
        self._figure = bqplot.Figure(
            marks=[self._up, self._down, self._edges],
            axes=[self._bit_axis, self._count_axis],
            interaction=self._brush,
            fig_margin={"top": 8, "bottom": 24, "left": SIDE, "right": SIDE},
            padding_y=0.0,
            display_toolbar=False,
            layout=ipywidgets.Layout(width="100%", height=f"{HEIGHT}px", min_width="0"),
        )
        self._key = ipywidgets.HTML()
        self._key.add_class("qw-one-line")
        self.widget = ipywidgets.VBox([self._figure, self._key])
        self.widget.add_class("qw-bars")

    def show(
        self,
        name: str,
        positive: "pd.Series[int]",
        negative: "pd.Series[int]",
        fmt: FixedPoint | None,
        committed: FixedPoint | None,
    ) -> None:
        """Draw a tensor's bits under its window and the committed one; None is float, which keeps every bit."""
        self._fit(name, positive, [window for window in (fmt, committed) if window])
        bits = np.arange(self.top, self.bottom - 1, -1)
        # What lies lower than there is room for is counted in the last bar.
        up, down = (_binned(series, self.top, self.bottom) for series in (positive, negative))
        zones = [_zones(bits, fmt, negative=sign) for sign in (False, True)]
        drawn = (self.top, self.bottom, up.tobytes(), down.tobytes(), fmt, committed)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        for mark, counts, zone, sign in ((self._up, up, zones[0], 1), (self._down, down, zones[1], -1)):
            with mark.hold_sync():
                mark.x = np.arange(len(bits))
                mark.y = sign * np.log10(1.0 + counts)
                mark.colors = [COLOURS[name] for name in zone]
        self._show_edges(fmt, committed)
        self._show_brush(fmt)
        self._key.value = _key(up, down, zones)

    def _fit(self, name: str, counts: "pd.Series[int]", windows: list[FixedPoint]) -> None:
        """Make room for all bits of a tensor; then leave it so while it does, that nothing moves under the mouse."""
        positions = [bit for window in windows for bit in (window.msb, window.lsb)]
        positions += [int(counts.index[0]), int(counts.index[-1])] if len(counts) else []
        top = max(positions, default=0)
        bottom = max(min(positions, default=-7), top - MOST_BITS)
        if name != self._name or top > self.top or bottom < self.bottom:
            self.top, self.bottom = top + BESIDE, bottom - BESIDE
        self._name = name
        self._x.max = self.top - self.bottom + 0.5
        spacing = tick_spacing(self.top - self.bottom, MOST_TICKS, least=2)
        ticks = [bit for bit in range(self.top, self.bottom - 1, -1) if bit % spacing == 0]
        label_ticks(self._bit_axis, {self.top - bit: superscript(f"2^{bit}") for bit in ticks})

    def _show_edges(self, fmt: FixedPoint | None, committed: FixedPoint | None) -> None:
        high = max(float(np.max(self._up.y, initial=0.0)), 0.5) * 1.08
        low = min(float(np.min(self._down.y, initial=0.0)), 0.0) * 1.08
        self._y.max, self._y.min = high, low
        decades = [decade for decade in range(1, 16) if decade <= max(high, -low)]
        decades = decades[:: 1 + len(decades) // 4]
        values = [0, *decades, *(-decade for decade in decades if decade <= -low)]
        label_ticks(self._count_axis, {value: _decade(abs(value)) for value in values})
        outlined = committed if committed and committed != fmt else None
        places = [self.top - outlined.msb - 0.5, self.top - outlined.lsb + 0.5] if outlined else []
        with self._edges.hold_sync():
            self._edges.x = [[place, place] for place in places]
            self._edges.y = [[low, high] for _ in places]

    def _show_brush(self, fmt: FixedPoint | None) -> None:
        if self._brush.brushing:
            return
        selected = None if fmt is None else [self.top - fmt.msb - 0.5, self.top - fmt.lsb + 0.5]
        if selected is None or self._brush.selected is None or list(self._brush.selected) != selected:
            with self._silence:
                self._brush.selected = None if selected is None else np.array(selected)

    def _on_brushed(self, event: Any) -> None:
        # The brush also tells where it lands when the scale under it changes; that is nobody's wish.
        ended = event.name == "brushing" and not event.new
        selected = self._brush.selected
        if self._silence or selected is None or len(selected) != 2 or not (ended or self._brush.brushing):
            return
        left, right = sorted(float(edge) for edge in selected)
        msb = self.top - round(left + 0.5)
        self._on_brush(msb, min(self.top - round(right - 0.5), msb))


COLOURS = {"above": style.OVERFLOW, "in": style.ACCENT, "below": style.UNDERFLOW}
KEY = {"above": "above", "in": "within", "below": "below"}


def _zones(bits: "np.ndarray[Any, Any]", fmt: FixedPoint | None, *, negative: bool) -> list[str]:
    """Where each bit lies; an unsigned format has no place for a negative value at all."""
    if fmt is None:
        return ["in"] * len(bits)
    if negative and not fmt.signed:
        return ["above"] * len(bits)
    return ["above" if bit > fmt.msb else "below" if bit < fmt.lsb else "in" for bit in bits]


def _binned(series: "pd.Series[int]", top: int, bottom: int) -> "np.ndarray[Any, Any]":
    totals = np.zeros(top - bottom + 1, np.int64)
    np.add.at(totals, np.clip(top - series.index.to_numpy(), 0, len(totals) - 1), series.to_numpy())
    return totals


def _key(up: "np.ndarray[Any, Any]", down: "np.ndarray[Any, Any]", zones: list[list[str]]) -> str:
    """What the colours mean, with the number of leading ones in each."""
    parts = []
    for name, label in KEY.items():
        values = sum(int(counts[np.array(zone) == name].sum()) for counts, zone in zip((up, down), zones, strict=True))
        parts.append(
            f"<span style='white-space:nowrap'><i class='qw-key' style='background:{COLOURS[name]}'></i>"
            f"{label} {values:,}</span>"
        )
    return f"<span class='qw-quiet'>{' &ensp; '.join(parts)}</span>"


def _decade(exponent: int) -> str:
    return {0: "0", 1: "10", 2: "100"}.get(exponent) or f"{10 ** (exponent % 3)}{'kMGTP'[exponent // 3 - 1]}"
