"""The number line: the numbers that a format has, the walls at their ends, and arrows from values to where they go."""

from collections.abc import Collection
from typing import Any

import bqplot
import ipywidgets
import numpy as np
import traitlets

from qwidgets.formats import FixedPoint
from qwidgets.teaching import Line, as_values, bit_table, number_line
from qwidgets.widgets.controls import ACCENT, BADGES, OVERFLOW, UNDERFLOW, NumberInput, guarded, labelled_axis
from qwidgets.widgets.teaching.teaching_view import TeachingView, in_words, row

COLOURS = {
    "exact": ACCENT,
    "precision loss": "#56b4e9",
    "underflow": UNDERFLOW,
    "overflow": OVERFLOW,
}
VALUES = (-4.6, -0.2, 0.2, 0.75, 1.3, 2.0, 5.0)
MOST_DRAWN = 500
"""Values of which each has its point and its arrow; of more, the first ones."""

MOST_TOLD = 8
ABOVE = 0.8
"""How far over the line the values stand, in the units of the figure."""


class NumberLine(TeachingView):
    """The numbers of a format on a line, and where it sends values.

    Parameters
    ----------
    fmt
        The format; a short one shows most.
    values
        Text with numbers in it, numbers, an array or a tensor.

    Attributes
    ----------
    format, values
        May be set.

    Examples
    --------
    >>> NumberLine(FixedPoint(3, 1), [0.6]).description
    'Window 2^0 … 2^-1, signed, 3 bits: 8 numbers from -2 to 1.5, 0.5 apart. 0.6 goes to 0.5, precision loss.'
    """

    values = traitlets.Any()

    _state = ("format", "values")

    def __init__(self, fmt: FixedPoint = FixedPoint(4, 1), values: Any = VALUES) -> None:  # noqa: B008
        super().__init__(fmt, values=values)

    @traitlets.validate("values")
    def _as_values(self, proposal: Any) -> Any:
        return as_values(proposal["value"])

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._values_box = NumberInput(self._on_numbers)
        self._key = ipywidgets.HTML()
        self._build_figure()
        return (
            row(self._values_box.text, tight=True),
            self._values_box.faults,
            self._figure,
            self._key,
            row(self._controls.boxes, self._controls.notation, tight=True),
            self._controls.choices,
        )

    def _build_figure(self) -> None:
        self._x, self._y = bqplot.LinearScale(), bqplot.LinearScale(min=-0.45, max=1.15)
        scales = {"x": self._x, "y": self._y}
        self._line = bqplot.Lines(x=[0, 1], y=[0, 0], scales=scales, colors=["gray"], stroke_width=1)
        self._numbers = bqplot.Scatter(
            x=[0], y=[0], scales=scales, colors=["gray"], marker="rectangle", default_size=40, default_skew=0.96
        )
        self._walls = bqplot.Lines(x=[0, 0], y=[0, 1], scales=scales, colors=[OVERFLOW], stroke_width=3)
        self._arrows = bqplot.Lines(x=[[0, 0]], y=[[0, 0]], scales=scales, stroke_width=1.5, opacities=[0.8])
        self._points = bqplot.Scatter(x=[0], y=[0], scales=scales, default_size=48, stroke="white")
        self._tips = bqplot.Scatter(x=[0], y=[0], scales=scales, marker="triangle-down", default_size=40)
        self._figure = bqplot.Figure(
            marks=[self._line, self._numbers, self._walls, self._arrows, self._tips, self._points],
            axes=[labelled_axis(self._x, "bottom")],
            fig_margin={"top": 6, "bottom": 26, "left": 20, "right": 20},
            padding_x=0.0,
            padding_y=0.0,
            animation_duration=400,
            display_toolbar=False,
            layout=ipywidgets.Layout(width="100%", height="190px", min_width="0"),
        )

    def _show(self) -> None:
        self._values_box.show(self.values)
        self._seen = line = number_line(self.format, self.values)
        self._show_line(line)
        colours = [COLOURS[outcome] for outcome in line.outcomes[:MOST_DRAWN]] or [ACCENT]
        starts, ends = line.values[:MOST_DRAWN], line.quantized[:MOST_DRAWN]
        with self._arrows.hold_sync():
            self._arrows.x = [[start, end] for start, end in zip(starts, ends, strict=True)] or [[0, 0]]
            self._arrows.y = [[ABOVE, 0.12]] * max(len(starts), 1)
            self._arrows.colors = colours
            self._arrows.visible = bool(len(starts))
        for mark, places, height in ((self._points, starts, ABOVE), (self._tips, ends, 0.12)):
            with mark.hold_sync():
                mark.x, mark.y = places, np.full(len(places), height)
                mark.colors = colours
        self._controls.show(self.format, max(8, self.format.msb), min(-12, self.format.lsb), enabled=True)
        hidden = line.values.size - len(starts)
        self._key.value = _key(set(line.outcomes), f"{hidden:,} more values are not drawn" if hidden else "")

    def _show_line(self, line: Line) -> None:
        room = 0.04 * (line.high - line.low)
        self._x.min, self._x.max = line.low - room, line.high + room
        self._line.x = [line.low - room, line.high + room]
        with self._numbers.hold_sync():
            self._numbers.x, self._numbers.y = line.numbers, np.zeros(len(line.numbers))
        ends = [self.format.min, self.format.max]
        with self._walls.hold_sync():
            self._walls.x, self._walls.y = [[end, end] for end in ends], [[-0.25, 1.05]] * 2
            self._walls.line_style = "solid" if self.format.overflow == "saturate" else "dashed"

    def _describe(self) -> str:
        fmt, line = self.format, self._seen
        drawn = f", every {line.every}th drawn" if line.every > 1 else ""
        told = [
            f"{value:.7g} goes to {end:.7g}, {outcome}"
            for value, end, outcome in zip(
                line.values[:MOST_TOLD], line.quantized[:MOST_TOLD], line.outcomes[:MOST_TOLD], strict=True
            )
        ]
        more = f"; and {line.values.size - MOST_TOLD} more" if line.values.size > MOST_TOLD else ""
        left_out = self.values.size - line.values.size
        odd = f" {left_out} that are infinite or not a number have no place." if left_out else ""
        where = f"{1 << fmt.word_length:,} numbers from {fmt.min:.7g} to {fmt.max:.7g}, {fmt.step:.7g} apart{drawn}."
        moves = f" {'; '.join(told)}{more}." if told else " There is no value yet."
        return f"{in_words(fmt)}: {where}{moves}{odd}"

    def _static_page(self) -> str:
        return f"<p>{self._describe()}</p>{bit_table(self.values[:100], self.format).to_html(index=False)}"

    @guarded
    def _on_numbers(self, values: Any) -> None:
        self.values = values


def _key(outcomes: Collection[str], more: str) -> str:
    parts = [
        f"<span><i class='qw-key' style='background:{COLOURS[name]}'></i>{BADGES[name][1]} {name}</span>"
        for name in COLOURS
        if name in outcomes
    ]
    walls = f"<span><i class='qw-key' style='background:{OVERFLOW};width:3px'></i>the ends of the range</span>"
    return f"<span class='qw-quiet'>{' &emsp; '.join(filter(None, (*parts, walls, more)))}</span>"
