"""The steps that mend a network, each a button with what it does beside it; and what the last one did.

The steps are those that are registered. Each runs beside the notebook, can be stopped, and can be undone.
"""

from concurrent.futures import Future
from typing import Any

import ipywidgets

from qwidgets.adjusting import STEPS
from qwidgets.errors import PlanError
from qwidgets.session import Pace, StepResult
from qwidgets.validation import parameter_bytes
from qwidgets.widgets.controls import bar, button, checkbox, drawing, escaped, guarded, quiet, set_traits, text_box
from qwidgets.widgets.workbench.panel import register_panel
from qwidgets.widgets.workbench.session_view import SessionView


@register_panel("Steps")
class StepsPanel(SessionView):
    """Buttons for the steps that look at the network.

    Attributes
    ----------
    buttons
        By the step's name.
    switches
        The options of each step that are on or off, by the step's name and theirs.
    budget
        Bytes for all weights and biases, for the steps that take a budget.
    """

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._result: StepResult | None = None
        self._reason = ""
        self.buttons = {
            name: button(step.title, lambda _, name=name: self._on_step(name))  # type: ignore[misc]
            for name, step in STEPS.items()
        }
        self.budget = text_box(
            "budget",
            layout=ipywidgets.Layout(width="230px", flex="0 0 auto"),
            tooltip="Bytes of all weights and biases, packed at their word lengths; empty, the word lengths stay",
        )
        self.switches = {
            name: {option: checkbox(words) for option, words in step.switches.items()} for name, step in STEPS.items()
        }
        self._why = ipywidgets.HTML()
        lines = []
        for name, step in STEPS.items():
            self.buttons[name].layout.width = "136px"
            extra = (*self.switches[name].values(), *((self.budget,) if step.takes_budget else ()))
            lines.append(bar(self.buttons[name], *extra, quiet(escaped(step.about))))
        self.add_class("qw-steps")
        return (*lines, self._why)

    def on_pace(self, pace: Pace | None) -> None:
        """Called as a job begins and when it is over: until then no step can be taken."""
        if self._reason != self.session.why_no_step:
            self.refresh()

    def on_calibrated(self, problem: Exception | None) -> None:
        """Called when steps can be taken."""
        self.refresh()

    def _show(self, changed: frozenset[str]) -> None:
        reason = self._reason = self.session.why_no_step
        for each in self.buttons.values():
            set_traits(each, disabled=bool(reason), tooltip=f"Not now: {reason}." if reason else "")
        done = self._result
        text = done.text if done is not None and done.after is self.plan.change and not self.session.working else reason
        self._why.value = f"<div role='status' aria-live='polite'>{escaped(text)}</div>" if text else ""
        taken = sum(parameter_bytes(row, self.plan.committed[row.name]) for row in self.plan.rows)
        self.budget.placeholder = f"now {taken:,} bytes"

    @guarded
    def _on_step(self, name: str) -> None:
        options: dict[str, Any] = {option: box.value for option, box in self.switches[name].items()}
        if STEPS[name].takes_budget:
            options["budget"] = _read_bytes(self.budget.value)
        self._result = None
        self.session.step(name, **options).add_done_callback(self._on_done)
        self.refresh()

    @drawing
    def _on_done(self, future: "Future[StepResult]") -> None:
        self._result = future.result()
        self.clear_report()


def _read_bytes(text: str) -> int | None:
    digits = text.strip().removesuffix("bytes").replace(",", "").strip()
    if not digits:
        return None
    if not digits.isdecimal():
        raise PlanError(f"cannot read the budget {text!r}; write a number of bytes, such as 12,000, or nothing")
    return int(digits)
