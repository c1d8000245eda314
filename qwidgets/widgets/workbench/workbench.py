"""The workbench: a network's tensors, their bits and their formats on one page."""

from collections.abc import Iterable
from typing import Any

import ipywidgets
import pandas as pd
import traitlets
from torch import nn

from qwidgets.plan import Plan
from qwidgets.session import Evaluate, Listener, Pace, Session, Throttle, Tuning
from qwidgets.widgets.controls import DRAWING, View, close_tree, drawing, known_names, plan_page
from qwidgets.widgets.workbench import steps_menu
from qwidgets.widgets.workbench.bit_heat_map import BitHeatMap
from qwidgets.widgets.workbench.export_menu import ExportMenu
from qwidgets.widgets.workbench.footer import Footer
from qwidgets.widgets.workbench.header import Header
from qwidgets.widgets.workbench.layer_table import LayerTable
from qwidgets.widgets.workbench.log_panel import LogPanel
from qwidgets.widgets.workbench.result_strip import ResultStrip
from qwidgets.widgets.workbench.sensitivity_chart import SensitivityChart
from qwidgets.widgets.workbench.steps_menu import StepsMenu
from qwidgets.widgets.workbench.target_picker import TargetPicker
from qwidgets.widgets.workbench.window_editor import WindowEditor

SECONDS_BETWEEN_COUNTS = 0.4


class Workbench(View, Listener):
    """A network's tensors, their bits and their formats: look, move a window, see what it costs, commit.

    ``Workbench(model, data)`` calibrates in the background, so that the notebook stays alive, and then commits what the
    scheme "mse" proposes for 8 bits. ``Workbench(plan)`` shows a plan that is there. Where there is data to measure on,
    what the formats do to the network's result is measured whenever they change, on the first samples, and on all when
    somebody presses Validate.

    Parameters
    ----------
    model
        A network, or a plan.
    data
        Batches to calibrate with; see :func:`qwidgets.calibrate`. Of four or more the last is held back: it is not
        calibrated with, and what a scheme proposes is checked on it.
    evaluate
        ``evaluate(network) -> number``, such as the accuracy. It is asked once for the model in float, for every commit
        and for a draft that stands still, in the background, and takes the place of the metric that
        :func:`qwidgets.validate` chooses.
    validation
        Batches to validate with, that can be read again and again. Without them it is ``data``, or what was held back
        where ``data`` can be read only once.

    Attributes
    ----------
    plan
        The formats; None until the network has been captured. What Python does to it shows at once.
    selection
        Names of the tensors that are selected in all views; may be set.
    problem
        The last error that a callback raised; the log has them all.

    Raises
    ------
    PlanError
        ``model`` is neither a network nor a plan, or what comes with it does not belong to it.

    Examples
    --------
    >>> import torch
    >>> layer = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU())
    >>> workbench = Workbench(layer, [torch.randn(8, 4) for _ in range(3)])
    >>> plan = workbench.wait()
    >>> workbench.selection = ("0.weight",)
    >>> plan["0.weight"] = "2^3 … 2^-3"
    """

    plan = traitlets.Instance(Plan, allow_none=True, default_value=None, read_only=True)
    selection = traitlets.Tuple()

    def __init__(
        self,
        model: nn.Module | Plan,
        data: Iterable[Any] | None = None,
        evaluate: Evaluate | None = None,
        validation: Iterable[Any] | None = None,
    ) -> None:
        self.session = Session(model, data, evaluate, validation, self)
        super().__init__()
        self._displays: list[Any] = []
        self._header = Header(self._on_stop, self._on_propose)
        self._log = LogPanel()
        self._history = ipywidgets.HTML()
        self._results, self._chart_place = ipywidgets.VBox(), ipywidgets.VBox()
        self._sensitivity: tuple[pd.DataFrame, str] | None = None
        self._body = ipywidgets.VBox([_quiet("The tensors appear as soon as the network has been captured.")])
        self._more = ipywidgets.Accordion([self._history, self._log], titles=("history", "log"), selected_index=None)
        self._count = Throttle(self._show_counts, SECONDS_BETWEEN_COUNTS)
        self._header.observe(self._on_problem, "problem")
        self.add_class("qw-workbench")
        self.fill(self._header, self._results, self._body, self._more)
        with DRAWING:  # another thread may change the plan before all is there that shows it
            if isinstance(self.session.state, Tuning):
                self._show_plan(self.session.state.plan)
                self._show_tuning(self.session.state)
            else:
                self._header.name(type(model).__name__, "")
                self._header.begin()
            self.session.start()

    def wait(self, seconds: float | None = None) -> Plan:
        """Wait until the calibration, and what is to be measured after it, is over, and give the plan.

        Raises
        ------
        PlanError
            It is not over after so many seconds.
        QwidgetsError
            The calibration failed before anything was counted.
        """
        return self.session.wait(seconds)

    def _show_plan(self, plan: Plan) -> None:
        self.set_trait("plan", plan)
        self._table, self._map, self._editor = LayerTable(plan), BitHeatMap(plan), WindowEditor(plan)
        self._footer = Footer(plan, self._log.add)
        self._steps = StepsMenu(plan, self._log.add)
        self._steps.give(None, steps_menu.NOT_YET)
        self._target = TargetPicker(plan, self._table.show_misfits)
        self._export = ExportMenu(plan, self._log.add)
        if self.session.validation is not None:
            self._export.give(self.session.validation)
        linked = (self._table, self._map, self._editor, self._target)
        self._views = (*linked, self._footer, self._steps, self._export)
        traitlets.link((self._footer.history, "value"), (self._history, "value"))
        for view in self._views:
            view.observe(self._on_problem, "problem")
        for view in linked:
            traitlets.link((self, "selection"), (view, "selection"))
        upper = ipywidgets.HBox([self._table, self._map])
        upper.add_class("qw-upper")
        lower = (self._editor, self._chart_place, self._footer, self._steps, self._export)
        self._put(self._body, self._target, upper, *lower)
        if self.is_open:
            plan.observe(self._on_change, "change")
        if not self.selection and plan.names:
            self.selection = plan.names[:1]

    def _about(self, plan: Plan) -> None:
        calibration, tensors = plan.calibration, f"{len(plan)} tensors"
        if calibration is None:
            self._header.name(plan.network, f"{tensors} · not calibrated")
            return
        batches = f"{calibration.batches} batch{'' if calibration.batches == 1 else 'es'}"
        if not calibration.complete:
            batches = f"stopped after {batches}"
        self._header.name(plan.network, f"{calibration.device} · {batches} · {tensors}")
        self._header.can_propose(True)

    def _show_tuning(self, tuning: Tuning) -> None:
        """Show what can be done once the calibration is over."""
        self._about(tuning.plan)
        self._steps.give(tuning.data, tuning.lack)
        live = tuning.live
        self._strip = ResultStrip(live.validate, live.sense, live.stop, self._select, live.material.lack)
        self._strip.observe(self._on_problem, "problem")
        self._put(self._results, self._strip)
        self._show_measured(tuning)

    # What the person does

    def _on_stop(self) -> None:
        self.session.stop()

    def _on_propose(self, word_length: int, scheme: str, per_channel: bool) -> None:
        tuning = self.session.tuning
        plan = tuning.plan
        left_out = plan.propose(word_length, scheme, per_channel=per_channel, target=self._target.target)
        where = ", weights per channel" if per_channel else ""
        where += f", for {self._target.target}" if self._target.target else ""
        self._log.add(f"{scheme} proposed formats of {word_length} bits{where}: {len(plan.drafts)} drafts")
        if plan.room.formats:
            self._log.add(str(plan.room))
        for name, reason in left_out.items():
            self._log.add(f"{name} was left out: {reason}")
        tuning.live.check()

    def _select(self, name: str) -> None:
        self.selection = (name,)

    # What happens in the background

    @drawing
    def on_captured(self, plan: Plan) -> None:
        """Show the tensors."""
        self._header.name(plan.network, plan.calibration.device if plan.calibration else "")
        self._show_plan(plan)

    @drawing
    def on_counts(self) -> None:
        """Show the counts before long."""
        if self.is_open:
            self._count()

    @drawing
    def _show_counts(self) -> None:
        if self.session.plan.calibration is not None:
            self._header.advance(self.session.plan.calibration)
        for view in self._views:
            view.refresh()

    @drawing
    def on_calibrated(self, problem: Exception | None) -> None:
        """Show what was proposed, and what went wrong before."""
        self._header.end()
        if problem is not None:
            self.report(problem)
            self._log_error(problem)
        if not isinstance(self.session.state, Tuning):
            self._put(self._body, _quiet("There is nothing to show: the network could not be captured."))
            return
        self._count.flush()
        if self.session.state.data is not None and self.session.validation is None:
            self._export.give(self.session.state.live.material.validation)
        self._show_tuning(self.session.state)
        self._update_static_page()

    @drawing
    def on_measured(self) -> None:
        """Show what is known now of what the formats do to the network."""
        if isinstance(self.session.state, Tuning) and self.is_open:
            self._show_measured(self.session.state)

    def _show_measured(self, tuning: Tuning) -> None:
        live, evaluate = tuning.live, self.session.evaluate
        self._strip.show(tuning.plan, live.measured, getattr(evaluate, "__name__", "evaluate") if evaluate else "")
        result = live.measured.best(tuning.plan, drafted=True)
        self._table.show_measured(result.rows if result else {})
        self._strip.show_check(live.checked, tuning.plan)
        if live.sensitivity is not None and live.sensitivity is not self._sensitivity:
            self._sensitivity = live.sensitivity
            self._show_sensitivity(tuning.plan, *live.sensitivity)

    def _show_sensitivity(self, plan: Plan, report: pd.DataFrame, over: str) -> None:
        if not self._chart_place.children:  # a figure that is first shown hidden would stay blank
            self._chart = SensitivityChart(plan)
            self._chart.observe(self._on_problem, "problem")
            traitlets.link((self, "selection"), (self._chart, "selection"))
            self._put(self._chart_place, self._chart)
        self._chart.show(report, over)

    @drawing
    def on_pace(self, pace: Pace | None) -> None:
        """Show how far a measurement is."""
        self._strip.show_pace(pace)

    @drawing
    def on_problem(self, problem: Exception) -> None:
        """Show a measurement that failed."""
        self._strip.report(problem)

    @drawing
    def _on_change(self, event: Any) -> None:
        if isinstance(self.session.state, Tuning) and self.is_open:
            self._strip.clear_report()
            self._show_measured(self.session.state)

    @drawing
    def _on_problem(self, event: Any) -> None:
        if event.new is not None:
            self._log_error(event.new)
            self.set_trait("problem", event.new)

    def _log_error(self, error: Exception) -> None:
        self._log.add_error(error)
        self._more.titles = ("history", f"log · {self._log.errors} error{'' if self._log.errors == 1 else 's'}")

    # Being shown

    def _attach(self) -> None:
        if self.plan is not None:
            self.plan.observe(self._on_change, "change")
        self.session.watch(True)
        self.session.measure()
        if isinstance(self.session.state, Tuning):
            self._show_measured(self.session.state)

    def _detach(self) -> None:
        self.session.stop()
        self.session.watch(False)
        self._count.cancel()
        if self.plan is not None:
            self.plan.unobserve(self._on_change, "change")

    def _put(self, place: ipywidgets.Box, *content: ipywidgets.Widget) -> None:
        """Put something in the place of what was there; what comes after the workbench was closed is closed, too."""
        replaced = [old for old in place.children if old not in content]
        place.children = content
        for each in replaced if self.is_open else (*replaced, *content):
            close_tree(each)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        handle = display(  # type: ignore[no-untyped-call]
            self._repr_mimebundle_(), raw=True, display_id=True
        )
        with DRAWING:
            self._displays.append(handle)

    def _update_static_page(self) -> None:
        """Put the page for readers without a kernel into the cells' outputs, now that there is something to see."""
        for handle in self._displays:
            handle.update(self._repr_mimebundle_(), raw=True)

    def _static_page(self) -> str:
        if self.plan is None:
            return "<p>The network was still being calibrated when this was saved.</p>"
        return plan_page(self.plan)

    @traitlets.validate("selection")
    def _known_names(self, proposal: Any) -> tuple[str, ...]:
        return known_names(self.plan, proposal["value"])


def _quiet(text: str) -> ipywidgets.HTML:
    widget = ipywidgets.HTML(text)
    widget.add_class("qw-quiet")
    return widget
