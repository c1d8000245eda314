"""What the formats do to the network's result: the figures, the short check of a proposal, what each tensor costs.

It shows what was measured and asks for more; it measures nothing itself.
"""

from typing import Any

import ipywidgets
import pandas as pd

from qwidgets.session import Checked, Tuning
from qwidgets.widgets.controls import (
    bar,
    button,
    close_tree,
    drawing,
    escaped,
    guarded,
    quiet,
    set_traits,
    share,
    shortened,
)
from qwidgets.widgets.workbench import scores
from qwidgets.widgets.workbench.panel import register_panel
from qwidgets.widgets.workbench.sensitivity_chart import SensitivityChart
from qwidgets.widgets.workbench.session_view import SessionView

NAME_LENGTH = 44
ABOUT = "Quantizes each tensor alone, and leaves each out alone: which cost most?"


@register_panel("Result")
class ResultPanel(SessionView):
    """What was measured of a plan.

    Attributes
    ----------
    figures
        The results as a table.
    costly
        A button for each tensor that the short check found to cost most.
    sense
        Measures what each tensor costs.
    chart
        What that gave; None before.
    """

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._checked: Checked | None = None
        self._sensitivity: tuple[pd.DataFrame, str] | None = None
        self.chart: SensitivityChart | None = None
        self.figures = ipywidgets.HTML()
        self.sense = button("Sensitivity", self._on_sense, ABOUT, icon="bar-chart")
        self.costly = ipywidgets.HBox()
        self.costly.layout.flex_flow = "row wrap"
        self._verdict = ipywidgets.HTML()
        self._about = quiet(ABOUT)
        check = ipywidgets.VBox([self._verdict, self.costly])
        found = ipywidgets.HBox([self.figures, check])
        found.layout.flex_flow = "row wrap"
        for part, basis in ((self.figures, "520px"), (check, "300px")):
            part.layout.flex, part.layout.min_width = f"1 1 {basis}", "0"
        self._place = ipywidgets.VBox()
        self.add_class("qw-results")
        return found, bar(self.sense, self._about), self._place

    def on_calibrated(self, problem: Exception | None) -> None:
        """Called when there is something to measure."""
        self.refresh()

    def on_measured(self) -> None:
        """Called when more is known."""
        self.refresh()

    @drawing
    def on_problem(self, problem: Exception) -> None:
        """Show what a measurement raised."""
        self.report(problem)

    @drawing
    def _on_plan_change(self, event: Any) -> None:
        self.clear_report()  # it was about other formats
        super()._on_plan_change(event)

    def _show(self, changed: frozenset[str]) -> None:
        state = self.session.state
        lack = self.session.why_not_measured
        set_traits(self.sense, disabled=bool(lack), tooltip=lack or ABOUT)
        if not isinstance(state, Tuning):
            self.figures.value = "<span class='qw-quiet'>Results come when the network has been calibrated.</span>"
            return
        live, evaluate = state.live, self.session.evaluate_name
        if live.material.lack and not evaluate:
            self.figures.value = f"<span class='qw-quiet'>{escaped(live.material.lack)}.</span>"
        else:
            self.figures.value = scores.figures(scores.states(self.plan, live.measured), evaluate)
        self._show_check(live.checked)
        if live.sensitivity is not None and live.sensitivity is not self._sensitivity:
            self._sensitivity = live.sensitivity
            self._show_sensitivity(*live.sensitivity)

    def _show_check(self, checked: Checked | None) -> None:
        """Show what the short check of the last proposal said, and the tensors that cost most, to be clicked."""
        if checked is None:
            return
        self._verdict.value = scores.verdict(checked, holds=checked.holds_for(self.plan))
        if checked is self._checked:
            return
        self._checked = checked
        for old in self.costly.children:
            close_tree(old)
        costly = [(str(name), float(db)) for name, db in checked.health.rows.head(scores.MOST_COSTLY).items()]
        self.costly.children = [self._row_button(name, alone_db) for name, alone_db in costly]

    def _show_sensitivity(self, report: pd.DataFrame, over: str) -> None:
        if self.chart is None:
            self.chart = SensitivityChart(self.plan)
            share(self, self.chart, self._on_chart_problem)
            self._about.layout.display = "none"
            self._place.children = (self.chart,)
        self.chart.show(report, over)

    def _row_button(self, name: str, alone_db: float) -> ipywidgets.Button:
        return button(
            f"{shortened(name, NAME_LENGTH)} · {alone_db:.1f} dB",
            lambda _: self._select(name),
            f"Select {name}: with its format alone, the output has an SQNR of {alone_db:.1f} dB",
        )

    @drawing
    def _on_chart_problem(self, event: Any) -> None:
        self.set_trait("problem", event.new)  # which the chart itself shows

    @guarded
    def _on_sense(self, _: object) -> None:
        self.session.sense()

    @guarded
    def _select(self, name: str) -> None:
        self.selection = (name,)
