"""What all views of a plan have in common: a selection of its tensors, and drawing only what changed, only so often.

A view observes its plan and asks it to change; it never talks to another view. The workbench links their selections.
"""

from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets
import traitlets

from qwidgets.errors import PlanError
from qwidgets.plan import Plan
from qwidgets.session import Debounce, Throttle
from qwidgets.widgets.controls import static_page
from qwidgets.widgets.controls.callbacks import DRAWING, drawing
from qwidgets.widgets.controls.view import View

SECONDS_BETWEEN_DRAWINGS = 0.05


class PlanView(View):
    """A view of a plan, with a selection of its tensors.

    Attributes
    ----------
    plan
        The plan that is shown; it cannot be exchanged.
    selection
        Names of tensors; may be set.
    """

    plan = traitlets.Instance(Plan, read_only=True)
    selection = traitlets.Tuple()

    def __init__(self, plan: Plan, selection: Iterable[str] = ()) -> None:
        if not isinstance(plan, Plan):
            raise PlanError(
                f"{type(self).__name__} shows a Plan, not {plan!r:.80}; calibrate(model, data).propose() gives one"
            )
        super().__init__()
        self.set_trait("plan", plan)
        self._changed: set[str] = set()
        self._redraw = self._pace(self._draw)
        self.fill(*self._build())
        self.selection = tuple(selection)
        self._attach()

    def refresh(self) -> None:
        """Read every tensor's figures anew, as after more values were counted."""
        with DRAWING:
            self._changed.update(self.plan.names)
        if self.is_open:
            self._redraw()

    def draw_now(self) -> None:
        """Draw what waits for its turn."""
        self._redraw.flush()

    def _attach(self) -> None:
        self.plan.observe(self._on_plan_change, "change")
        self.observe(self._on_selection, "selection")
        self.refresh()
        self._on_selection(None)

    def _detach(self) -> None:
        self.plan.unobserve(self._on_plan_change, "change")
        self.unobserve(self._on_selection, "selection")
        self._redraw.cancel()

    def _static_page(self) -> str:
        return static_page.page(self.plan)

    @traitlets.validate("selection")
    def _known_names(self, proposal: Any) -> tuple[str, ...]:
        return known_names(self.plan, proposal["value"])

    def _on_plan_change(self, event: Any) -> None:
        with DRAWING:
            self._changed |= event.new.names
        if self.is_open:
            self._redraw()

    @drawing
    def _on_selection(self, _: Any) -> None:
        self._show_selection()

    @drawing
    def _draw(self) -> None:
        if not self.is_open:
            return  # closed while it waited for its turn
        changed, self._changed = frozenset(self._changed), set()
        self._show(changed)

    def _pace(self, draw: Callable[[], None]) -> Throttle | Debounce:
        """How often to draw while something is in motion."""
        return Throttle(draw, SECONDS_BETWEEN_DRAWINGS)

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        """Make the widgets, before there is anything to show."""
        raise NotImplementedError

    def _show(self, changed: frozenset[str]) -> None:
        """Draw what is new about these tensors, and nothing else."""
        raise NotImplementedError

    def _show_selection(self) -> None:
        """Draw which tensors are selected, and nothing else."""
        raise NotImplementedError


def share(view: ipywidgets.Widget, part: ipywidgets.Widget, on_problem: Callable[[Any], None]) -> None:
    """Give a view and a part of it one selection, and let the view know of the part's problems, where it has them."""
    if part.has_trait("selection"):
        traitlets.link((view, "selection"), (part, "selection"))
    if part.has_trait("problem"):
        part.observe(on_problem, "problem")


def known_names(plan: Plan | None, names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once.

    Raises
    ------
    PlanError
        The plan has no tensor of that name.
    """
    for name in names:
        if plan is None or name not in plan:
            network = f"the network {plan.network}" if plan else "the workbench, before its network was captured,"
            raise PlanError(f"{network} has no tensor {name!r} to select; plan.names lists all")
    return tuple(dict.fromkeys(names))
