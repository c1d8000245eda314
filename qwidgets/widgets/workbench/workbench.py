"""The workbench: a network's tensors, their bits and their formats on one page."""

from collections.abc import Iterable
from typing import Any

import ipywidgets
import pandas as pd
import traitlets
from torch import nn

from qwidgets.calibration import Calibration
from qwidgets.errors import CaptureError, PlanError
from qwidgets.plan import Plan
from qwidgets.session import (
    CalibrationRun,
    Evaluate,
    HeldBack,
    LiveValidation,
    Material,
    Pace,
    Throttle,
    can_be_read_again,
)
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

WORD_LENGTH = 8
SCHEME = "mse"
SECONDS_BETWEEN_COUNTS = 0.4


class Workbench(View):
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
        _check(model, data, evaluate, validation)
        super().__init__()
        self._run: CalibrationRun | None = None
        self._measuring: LiveValidation | None = None
        self._evaluate, self._validation, self._data = evaluate, validation, data
        self._displays: list[Any] = []
        self._header = Header(self._on_stop, self._on_propose)
        self._log = LogPanel()
        self._history = ipywidgets.HTML()
        self._results, self._chart_place = ipywidgets.VBox(), ipywidgets.VBox()
        self._sensitivity: tuple[pd.DataFrame, str] | None = None
        self._body = ipywidgets.VBox([_quiet("The tensors appear as soon as the network has been captured.")])
        self._more = ipywidgets.Accordion([self._history, self._log], titles=("history", "log"), selected_index=None)
        self._header.observe(self._on_problem, "problem")
        self.add_class("qw-workbench")
        self.fill(self._header, self._results, self._body, self._more)
        if isinstance(model, Plan):
            with DRAWING:  # another thread may change the plan before all is there that shows it
                self._show_plan(model)
                self._about()
                self._begin_measuring(model.model, ())
            return
        assert data is not None
        self._held_back = HeldBack(data)
        self._count = Throttle(self._show_counts, SECONDS_BETWEEN_COUNTS)
        self._header.name(type(model).__name__, "")
        self._header.begin()
        self._run = CalibrationRun(model, self._held_back, self._on_step, self._on_end)
        self._run.start()

    def wait(self, seconds: float | None = None) -> Plan:
        """Wait until the calibration, and what is to be measured after it, is over, and give the plan.

        Raises
        ------
        PlanError
            It is not over after so many seconds.
        QwidgetsError
            The calibration failed before anything was counted.
        """
        over = (self._run is None or self._run.wait(seconds)) and (
            self._measuring is None or self._measuring.wait(seconds)
        )
        if not over:
            raise PlanError(f"the workbench is still at work after {seconds} s; wait longer, or press Stop")
        if self.plan is None:
            raise self.problem or CaptureError("the calibration ended before the network was captured")
        return self.plan

    def _show_plan(self, plan: Plan) -> None:
        self.set_trait("plan", plan)
        self._table, self._map, self._editor = LayerTable(plan), BitHeatMap(plan), WindowEditor(plan)
        self._footer = Footer(plan, self._log.add)
        self._steps = StepsMenu(plan, self._log.add)
        self._steps.give(None, steps_menu.NO_DATA if self._run is None else steps_menu.NOT_YET)
        self._target = TargetPicker(plan, self._table.show_misfits)
        self._export = ExportMenu(plan, self._log.add)
        if self._validation is not None:
            self._export.give(self._validation)
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

    def _about(self) -> None:
        assert self.plan is not None
        calibration, tensors = self.plan.calibration, f"{len(self.plan)} tensors"
        if calibration is None:
            self._header.name(self.plan.network, f"{tensors} · not calibrated")
            return
        batches = f"{calibration.batches} batch{'' if calibration.batches == 1 else 'es'}"
        if not calibration.complete:
            batches = f"stopped after {batches}"
        self._header.name(self.plan.network, f"{calibration.device} · {batches} · {tensors}")
        self._header.can_propose(True)

    def _begin_measuring(self, model: nn.Module | None, held_back: Iterable[Any]) -> None:
        assert self.plan is not None
        material = Material.of(model, self._validation, self._data, held_back, self._evaluate)
        self._measuring = LiveValidation(
            self.plan, material, self._on_measured, self._on_pace, self._on_measuring_error
        )
        measuring = self._measuring
        self._strip = ResultStrip(measuring.validate, measuring.sense, measuring.stop, self._select, material.lack)
        self._strip.observe(self._on_problem, "problem")
        self._put(self._results, self._strip)
        self._measure()

    def _measure(self) -> None:
        """Measure what is not known yet, and show what is."""
        if self._measuring is None or not self.is_open:
            return
        self._measuring.follow("open")
        if self._run is not None and self._measuring.checked is None:
            self._measuring.check()
        self._on_measured()

    # What the person does

    def _on_stop(self) -> None:
        assert self._run is not None
        self._run.stop()

    def _on_propose(self, word_length: int, scheme: str, per_channel: bool) -> None:
        assert self.plan is not None
        left_out = self.plan.propose(word_length, scheme, per_channel=per_channel, target=self._target.target)
        where = ", weights per channel" if per_channel else ""
        where += f", for {self._target.target}" if self._target.target else ""
        self._log.add(f"{scheme} proposed formats of {word_length} bits{where}: {len(self.plan.drafts)} drafts")
        if self.plan.room.formats:
            self._log.add(str(self.plan.room))
        for name, reason in left_out.items():
            self._log.add(f"{name} was left out: {reason}")
        if self._measuring is not None:
            self._measuring.check()

    def _select(self, name: str) -> None:
        self.selection = (name,)

    # What happens in the background

    @drawing
    def _on_step(self, calibration: Calibration) -> None:
        if self.plan is None:
            self._header.name(calibration.network, calibration.device)
            self._show_plan(Plan(calibration))
        if self.is_open:
            self._count()

    @drawing
    def _show_counts(self) -> None:
        assert self.plan is not None
        assert self.plan.calibration is not None
        self._header.advance(self.plan.calibration)
        for view in self._views:
            view.refresh()

    @drawing
    def _on_end(self, problem: Exception | None) -> None:
        self._header.end()
        if problem is not None:
            self.report(problem)
            self._log_error(problem)
        if self.plan is None:
            self._put(self._body, _quiet("There is nothing to show: the network could not be captured."))
            return
        self._count.flush()
        self._about()
        untouched = [name for name in self.plan if self.plan[name] is None and name not in self.plan.drafts]
        self.plan.propose(WORD_LENGTH, SCHEME, names=untouched)
        if self.plan.drafts:
            self.plan.commit(f"{SCHEME}, {WORD_LENGTH} bits")
        if problem is not None:
            self._data = None  # what could not be read or fed once cannot be measured on either
        # What is held back is kept from the steps too: they must not be judged on what they looked at.
        again = can_be_read_again(self._data) if self._data is not None else False
        self._steps.give(self._held_back if again else None, steps_menu.READ_ONCE)
        if again and self._validation is None:
            self._export.give(self._data)
        self._begin_measuring(self.plan.model, self._held_back.batches)
        self._update_static_page()

    @drawing
    def _on_measured(self) -> None:
        """Show what is known now of what the formats do to the network."""
        if self.plan is None or self._measuring is None or not self.is_open:
            return
        measured = self._measuring.measured
        self._strip.show(self.plan, measured, getattr(self._evaluate, "__name__", "evaluate") if self._evaluate else "")
        result = measured.best(self.plan, drafted=True)
        self._table.show_measured(result.rows if result else {})
        self._strip.show_check(self._measuring.checked, self.plan)
        if self._measuring.sensitivity is not self._sensitivity:
            self._show_sensitivity()

    def _show_sensitivity(self) -> None:
        assert self.plan is not None
        assert self._measuring is not None
        assert self._measuring.sensitivity is not None
        self._sensitivity = self._measuring.sensitivity
        if not self._chart_place.children:  # a figure that is first shown hidden would stay blank
            self._chart = SensitivityChart(self.plan)
            self._chart.observe(self._on_problem, "problem")
            traitlets.link((self, "selection"), (self._chart, "selection"))
            self._put(self._chart_place, self._chart)
        self._chart.show(*self._sensitivity)

    @drawing
    def _on_pace(self, pace: Pace | None) -> None:
        """Show how far a measurement is."""
        self._strip.show_pace(pace)

    @drawing
    def _on_measuring_error(self, error: Exception) -> None:
        """Tell of a measurement that failed."""
        self._strip.report(error)

    @drawing
    def _on_change(self, event: Any) -> None:
        if self._measuring is not None and self.is_open:
            self._strip.clear_report()
            self._measuring.follow(event.new.kind)
            self._on_measured()

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
        self._measure()

    def _detach(self) -> None:
        if self._run is not None:
            self._run.stop()
            self._count.cancel()
        if self._measuring is not None:
            self._measuring.stop()
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


def _check(model: object, data: object, evaluate: object, validation: object) -> None:
    if isinstance(model, Plan):
        if data is not None:
            raise PlanError("Workbench(plan) takes no data to calibrate with; Workbench(plan, validation=batches) does")
    elif not isinstance(model, nn.Module):
        raise PlanError(f"Workbench shows a Plan or a torch.nn.Module, not {model!r:.80}")
    elif data is None:
        raise PlanError("Workbench(model, data) needs batches to calibrate with, such as a DataLoader")
    if evaluate is not None and not callable(evaluate):
        raise PlanError(f"evaluate must be a function of a network that gives a number, not {evaluate!r:.80}")
    if validation is not None and not can_be_read_again(validation):
        raise PlanError(
            f"validation must be batches that can be read again and again, such as a DataLoader or a list, not "
            f"{validation!r:.80}"
        )


def _quiet(text: str) -> ipywidgets.HTML:
    widget = ipywidgets.HTML(text)
    widget.add_class("qw-quiet")
    return widget
