"""The sensitivity chart: what each tensor's format costs the output, the dearest first; a bar selects its row.

It draws what `qwidgets.sensitivity` gave and measures nothing. bqplot takes no keys, so beside the bars stands a slider
over the same rows in the same order: JupyterLab takes the arrow keys from a box to choose from, but not from a slider.
"""

import math
from typing import Any

import bqplot
import ipywidgets
import pandas as pd

from qwidgets.plan import Plan
from qwidgets.widgets.controls import (
    ACCENT,
    DRAWING,
    OVERFLOW,
    UNDERFLOW,
    PlanView,
    Severity,
    Silence,
    bar,
    choice,
    close_tree,
    drawing,
    escaped,
    guarded,
    heard_whole,
    label_ticks,
    labelled_axis,
    number_text,
    quiet,
    severity_of,
    shortened,
)

MOST_BARS = 24
ROW_HEIGHT = 17
MARGIN = {"top": 4, "bottom": 24, "right": 52}
NAME_LENGTH = 38
"""Characters of a name beside its bar: tensors of one kind in different blocks must not look alike."""
CHARACTER_WIDTH = 6.6
GAIN = "dB gained if left in float"
ALONE = "output SQNR, this one alone"
NOTABLE_GAIN, SEVERE_GAIN = 1.0, 3.0
"""dB of the output's SQNR that one tensor may cost. At 3 dB it makes as much error as all the others together."""
COLOURS = {"": ACCENT, "notable": UNDERFLOW, "severe": OVERFLOW}


class SensitivityChart(PlanView):
    """A bar for each tensor: what the output would gain if it stayed in float, or what it does to the output alone.

    Parameters
    ----------
    plan
        The plan that was measured.
    report
        What :func:`qwidgets.sensitivity` gave; more can be shown later.
    over
        What it was measured on, in words.
    """

    def __init__(self, plan: Plan, report: pd.DataFrame | None = None, over: str = "") -> None:
        super().__init__(plan)
        if report is not None:
            self.show(report, over)

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self.add_class("qw-sensitivity")
        self._report: pd.DataFrame | None = None
        self._over = ""
        self._shown: list[str] = []
        self._costs: dict[str, float] = {}
        self._ranked: list[str] = []
        self._silence = Silence()
        self._which = choice("bars", [GAIN, ALONE], self._draw_report, width=280)
        self._steps = ipywidgets.Box()
        self._named = ipywidgets.HTML()
        self._about = quiet()
        self._x, self._y = bqplot.LinearScale(min=0.0, max=1.0), bqplot.LinearScale(min=-0.5, max=0.5)
        self._bars = bqplot.Bars(
            x=[],
            y=[],
            scales={"x": self._y, "y": self._x},
            orientation="horizontal",
            padding=0.2,
            stroke_width=0,
            label_display=True,
            label_display_format=".1f",
            label_font_style={"font-size": "11px", "fill": "var(--qw-text)"},
        )
        self._bars.on_element_click(self._on_click)
        self._values, self._names = labelled_axis(self._x, "bottom"), labelled_axis(self._y, "left")
        self._figure = bqplot.Figure(
            marks=[self._bars],
            axes=[self._values, self._names],
            fig_margin={**MARGIN, "left": 160},
            padding_x=0.0,
            padding_y=0.0,
            animation_duration=0,
            display_toolbar=False,
            layout=ipywidgets.Layout(width="100%", min_width="0"),
        )
        controls = bar(self._which, self._steps, self._named, self._about)
        self._empty = ipywidgets.HTML("<span class='qw-quiet'>Sensitivity measures what each tensor costs.</span>")
        self._place = ipywidgets.VBox([self._empty])
        self._content = (controls, self._figure)
        return (self._place,)

    def show(self, report: pd.DataFrame, over: str = "") -> None:
        """Draw another report."""
        with DRAWING:
            self._report, self._over = report, over
            self._draw_report(None)

    def _show(self, changed: frozenset[str]) -> None:
        self._show_about()

    def _show_selection(self) -> None:
        chosen = [name in self.selection for name in self._shown]
        opacities = [1.0 if mine or not any(chosen) else 0.55 for mine in chosen]
        if opacities != list(self._bars.opacities):
            self._bars.opacities = opacities
        first = next((name for name in self.selection if name in self._ranked), None)
        self._named.value = escaped(f"{first} · {number_text(self._costs[first], 'dB')}") if first else ""
        if first is not None:
            with self._silence:
                self._row.value = first

    @drawing
    def _draw_report(self, _: object) -> None:
        if self._report is None:
            return
        costs = cost_of(self._report, self._which.value)
        measured = costs.dropna().sort_values(ascending=self._which.value == ALONE, kind="stable")
        self._costs = {str(name): float(cost) for name, cost in measured.items()}
        self._ranked = list(self._costs)
        self._shown = self._ranked[:MOST_BARS]
        if not self._shown:
            self._place.children = (self._empty,)
            self._empty.value = "<span class='qw-quiet'>No tensor has a format, so none costs anything.</span>"
            return
        self._draw_bars([self._costs[name] for name in self._shown])
        self._new_slider()
        if self._place.children != self._content:
            self._place.children = self._content  # a figure that is first shown hidden would stay blank
        self._show_selection()
        self._show_about()

    def _new_slider(self) -> None:
        """Make a slider over the rows; one that is given other options sends stale positions from the browser."""
        for old in self._steps.children:
            close_tree(old)
        self._row = heard_whole(ipywidgets.SelectionSlider)(options=self._ranked, description="tensor", readout=False)
        self._row.tooltip = "The arrow keys go from bar to bar, the dearest first"
        self._row.style.description_width = "46px"
        self._row.layout.width = "240px"
        self._row.observe(self._on_row, "value")
        self._steps.children = (self._row,)

    def _draw_bars(self, values: list[float]) -> None:
        finite = [value for value in values if math.isfinite(value)]
        most = max([*finite, 1.0])
        heights = [value if math.isfinite(value) else most * math.copysign(1, value) for value in values]
        count = len(values)
        names = [shortened(name, NAME_LENGTH) for name in self._shown]
        self._figure.fig_margin = {**MARGIN, "left": 16 + int(CHARACTER_WIDTH * max(map(len, names)))}
        self._figure.layout.height = f"{count * ROW_HEIGHT + MARGIN['top'] + MARGIN['bottom']}px"
        self._y.min, self._y.max = -0.5, count - 0.5
        self._x.min, self._x.max = min(0.0, *heights), max(0.0, *heights)
        label_ticks(self._values, {tick: f"{tick:g} dB" for tick in round_ticks(self._x.min, self._x.max)})
        # Bars count from below.
        label_ticks(self._names, {float(count - 1 - place): name for place, name in enumerate(names)})
        with self._bars.hold_sync():
            self._bars.x = list(range(count))[::-1]
            self._bars.y = heights
            self._bars.colors = [COLOURS[severity(value, self._which.value)] for value in values]

    def _show_about(self) -> None:
        if self._report is None:
            return
        more = f"the dearest {len(self._shown)} of {len(self._ranked)} bars" if len(self._ranked) > MOST_BARS else ""
        formats = self._report["format"]
        stale = any(str(self.plan[str(name)] or "float") != fmt for name, fmt in formats.items())
        words = [escaped(self._over), more, "<b>formats have changed since</b>" if stale else ""]
        self._about.value = " · ".join(filter(None, words))

    @guarded
    def _on_click(self, _: Any, event: dict[str, Any]) -> None:
        self.selection = (self._shown[int(event["data"]["index"])],)

    @guarded
    def _on_row(self, event: Any) -> None:
        if not self._silence:
            self.selection = (event.new,)


def cost_of(report: pd.DataFrame, which: str) -> "pd.Series[float]":
    """What is drawn of a report: one number for each tensor, NaN where none was measured."""
    if which == ALONE:
        return report["alone_sqnr_db"].astype(float)
    whole = float(report.attrs.get("sqnr_db", math.nan))
    return report["without_sqnr_db"].astype(float) - whole


def round_ticks(low: float, high: float) -> list[float]:
    """Give round numbers between two, some four of them.

    Examples
    --------
    >>> round_ticks(-0.42, 1.5), round_ticks(0.0, 43.0)
    ([0.0, 0.5, 1.0, 1.5], [0.0, 10.0, 20.0, 30.0, 40.0])
    """
    least = (high - low) / 5
    decade = 10.0 ** math.floor(math.log10(least))
    step = next(decade * part for part in (1, 2, 5, 10) if decade * part >= least)
    return [round(place * step, 9) for place in range(math.ceil(low / step), math.floor(high / step) + 1)]


def severity(value: float, which: str) -> Severity:
    """How much attention a bar deserves."""
    if which == ALONE:
        return severity_of("sqnr_db", value)
    return "severe" if value >= SEVERE_GAIN else "notable" if value >= NOTABLE_GAIN else ""
