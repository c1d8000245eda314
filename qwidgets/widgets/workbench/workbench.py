"""The workbench: a network's tensors, their bits and their formats on one page."""

from collections.abc import Iterable, Iterator
from typing import Any

import ipywidgets
import traitlets
from torch import nn

from qwidgets.errors import PlanError
from qwidgets.pictures import first_to_look_at
from qwidgets.plan import Plan
from qwidgets.session import Evaluate, Listener, Pace, Session, Throttle, Tuning
from qwidgets.widgets.controls import (
    DRAWING,
    PlanView,
    View,
    close_tree,
    drawing,
    escaped,
    known_names,
    plan_page,
    quiet,
    share,
)
from qwidgets.widgets.workbench.aligned_heat_map import AlignedHeatMap
from qwidgets.widgets.workbench.footer import Footer
from qwidgets.widgets.workbench.header import Header
from qwidgets.widgets.workbench.layer_table import LayerTable
from qwidgets.widgets.workbench.panel import PANELS

LOG = "Log"
SECONDS_BETWEEN_COUNTS = 0.4

HEIGHT, LEAST_HEIGHT = 632, 480
"""Of the whole, in pixels: what a laptop's notebook has room for, and what the controls need."""
REST = 383
"""Pixels that are not the list's."""


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
        calibrated with, and what a scheme proposes is checked on it. With a plan, what its steps look at.
    evaluate
        ``evaluate(network) -> number``, such as the accuracy. It is asked once for the model in float, for every commit
        and for a draft that stands still, in the background, and takes the place of the metric that
        :func:`qwidgets.validate` chooses.
    validation
        Batches to validate with, that can be read again and again. Without them it is ``data``, or what was held back
        where ``data`` can be read only once.
    height
        In pixels; a taller one shows more tensors.

    Attributes
    ----------
    session
        What is at work, without a screen.
    plan
        The formats; None until the network has been captured. What Python does to it shows at once.
    selection
        Names of the tensors that are selected in all views; may be set.
    header, table, heat_map, panels, tabs, footer
        The parts; all but the header are there once the network has been captured. Panels go by their titles.
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
        *,
        height: int = HEIGHT,
    ) -> None:
        if not isinstance(height, int) or height < LEAST_HEIGHT:
            raise PlanError(f"height must be a whole number of pixels, {LEAST_HEIGHT} or more, not {height!r:.80}")
        self._height = height
        self.session = Session(model, data, evaluate, validation, self)
        super().__init__()
        self._displays: list[Any] = []
        self.header = Header(self.session, "" if isinstance(model, Plan) else type(model).__name__)
        self.panels: dict[str, ipywidgets.Widget] = {}
        self._parts: tuple[ipywidgets.Widget, ...] = (self.header,)
        self._body = ipywidgets.VBox([quiet("The tensors appear as soon as the network has been captured.")])
        self._count = Throttle(self._show_counts, SECONDS_BETWEEN_COUNTS)
        self.header.observe(self._on_problem, "problem")
        self.add_class("qw-workbench")
        self.fill(self.header, self._body)
        with DRAWING:  # another thread may change the plan before all is there that shows it
            if isinstance(self.session.state, Tuning):
                self._show_plan(self.session.state.plan)
                self.on_measured()
            else:
                self.header.begin()
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
        self.table = LayerTable(plan)
        self.table.rows.height = self._height - REST
        self.heat_map = AlignedHeatMap(plan, self.table.rows)
        self.footer = Footer(self.session)
        self.panels = {title: make(self.session) for title, make in PANELS.items()}
        self.tabs = ipywidgets.Tab(list(self.panels.values()), titles=list(self.panels), selected_index=0)
        self.tabs.add_class("qw-tabs")
        parts = (self.table, self.heat_map, *self.panels.values(), self.footer)
        self._parts = (self.header, *parts)
        for part in parts:
            share(self, part, self._on_problem)
        upper = ipywidgets.HBox([self.table, self.heat_map])
        upper.add_class("qw-upper")
        self._put(self._body, upper, self.tabs, self.footer)
        if self.is_open:
            plan.observe(self._on_change, "change")
        if not self.selection and plan.names:
            self.selection = plan.names[:1]

    def _listeners(self) -> Iterator[Listener]:
        """The parts that want to know what happens."""
        return (part for part in self._parts if part.comm is not None and isinstance(part, Listener))

    # What happens in the background

    @drawing
    def on_captured(self, plan: Plan) -> None:
        """Show the tensors."""
        self._show_plan(plan)
        for part in self._listeners():
            part.on_captured(plan)

    @drawing
    def on_counts(self) -> None:
        """Show the counts before long."""
        if self.is_open:
            self._count()

    @drawing
    def _show_counts(self) -> None:
        for part in self._listeners():
            part.on_counts()
        for part in self._parts:
            if isinstance(part, PlanView):
                part.refresh()

    @drawing
    def on_calibrated(self, problem: Exception | None) -> None:
        """Show what was proposed, and what went wrong before."""
        for part in self._listeners():
            part.on_calibrated(problem)
        if problem is not None:
            self.report(problem)
            self.session.log.add_error(problem)
        if not isinstance(self.session.state, Tuning):
            self._put(self._body, quiet("There is nothing to show: the network could not be captured."))
            return
        self._count.flush()
        self._update_static_page()
        if problem is None:
            self._show_where_to_begin(self.session.state.plan)

    def _show_where_to_begin(self, plan: Plan) -> None:
        """Select what deserves attention first and say why, unless the person has begun already."""
        if plan.names and self.selection == plan.names[:1] and not plan.drafts:
            name, why = first_to_look_at(plan.table())
            self.selection = (name,)
            self.heat_map.tell(f"Look first at <b>{escaped(name)}</b>: as proposed, {escaped(why)}")

    @drawing
    def on_measured(self) -> None:
        """Show what is known now of what the formats do to the network."""
        if not isinstance(self.session.state, Tuning) or not self.is_open:
            return
        tuning = self.session.state
        result = tuning.live.measured.best(tuning.plan, drafted=True)
        self.table.show_measured(result.rows if result else {})
        for part in self._listeners():
            part.on_measured()

    @drawing
    def on_pace(self, pace: Pace | None) -> None:
        """Show how far the work at hand is."""
        for part in self._listeners():
            part.on_pace(pace)

    @drawing
    def on_problem(self, problem: Exception) -> None:
        """Show a measurement that failed."""
        for part in self._listeners():
            part.on_problem(problem)

    @drawing
    def on_checked(self) -> None:
        """Mark what does not fit the target."""
        if isinstance(self.session.state, Tuning):
            self.table.show_misfits(self.session.state.check.misfits)
        for part in self._listeners():
            part.on_checked()

    @drawing
    def on_remedies(self) -> None:
        """Show what costs most and what would mend it."""
        for part in self._listeners():
            part.on_remedies()

    @drawing
    def on_log(self) -> None:
        """Show one entry more, and how many errors there were."""
        for part in self._listeners():
            part.on_log()
        errors = self.session.log.errors
        if errors and LOG in self.panels:
            title = f"{LOG} · {errors} error{'' if errors == 1 else 's'}"
            self.tabs.titles = [title if name == LOG else name for name in self.panels]

    @drawing
    def _on_change(self, event: Any) -> None:
        self.on_measured()

    @drawing
    def _on_problem(self, event: Any) -> None:
        if event.new is not None:
            self.session.log.add_error(event.new)
            self.set_trait("problem", event.new)

    # Being shown

    def _attach(self) -> None:
        if self.plan is not None:
            self.plan.observe(self._on_change, "change")
        self.session.watch(True)
        self.session.measure()
        self.on_measured()

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
