"""The steps that look at the network, as buttons: each runs in the background, can be stopped, and can be undone.

The steps are those that are registered; here is why none can be done just now, and what one did.
"""

from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets

from qwidgets.adjusting import STEPS, Step
from qwidgets.errors import PlanError
from qwidgets.plan import Plan
from qwidgets.session import NO_DATA, Job, JobQueue, Pace
from qwidgets.tuning import Adjustments, Change, Commit
from qwidgets.validation import parameter_bytes
from qwidgets.widgets.controls import PlanView, ProgressRow, drawing, escaped, guarded

NO_MODEL = "this plan came from a file and does not know its network; in Python plan.equalize(data, model) does it"
NOT_YET = "the network is still being calibrated"


WORDS = {
    "factors": ("tensor", "tensors", "scaled"),
    "roundings": ("weight", "weights", "rounded"),
    "shifts": ("bias", "biases", "corrected"),
}


class StepsMenu(PlanView):
    """Buttons for the steps that look at the network.

    Parameters
    ----------
    plan
        What is adjusted. Each step is one for undo, too.
    on_done
        Called with a sentence about what was done.
    """

    def __init__(self, plan: Plan, on_done: Callable[[str], None]) -> None:
        self._on_done = on_done
        self._data: Iterable[Any] | None = None
        self._lack = NO_DATA
        self._done: tuple[Change | None, str] = (None, "")
        self._lane = JobQueue("steps", self._on_pace, self._on_error)
        super().__init__(plan)

    def give(self, data: Iterable[Any] | None, lack: str = "") -> None:
        """Give the batches that the steps look at, which must be there to be read again; or say why there are none."""
        self._data, self._lack = data, "" if data is not None else lack
        self.refresh()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until no step is at work; say whether that is so."""
        return self._lane.wait(seconds)

    def stop(self) -> None:
        """End the step at work; the plan stays as it was."""
        self._lane.stop()

    def _detach(self) -> None:
        super()._detach()
        self.stop()

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._steps = tuple(STEPS.values())
        self._buttons = [
            ipywidgets.Button(description=step.title, layout=ipywidgets.Layout(width=f"{36 + 8 * len(step.title)}px"))
            for step in self._steps
        ]
        for button, step in zip(self._buttons, self._steps, strict=True):
            button.on_click(lambda _, step=step: self._on_step(step))
        self._why = ipywidgets.HTML()
        self._why.add_class("qw-quiet")
        self._progress = ProgressRow(self._lane.stop, "End the step; the plan stays as it was")
        self._budget = ipywidgets.Text(description="budget", layout=ipywidgets.Layout(width="236px"))
        self._budget.style.description_width = "54px"
        self._budget.tooltip = (
            "For Search: bytes of all weights and biases, packed at their word lengths; empty, the word lengths stay"
        )
        title = ipywidgets.HTML("<b>steps</b>")
        line = ipywidgets.HBox([title, *self._buttons, self._budget, self._progress, self._why])
        line.add_class("qw-bar")
        self.add_class("qw-steps")
        return (line,)

    def _show(self, changed: frozenset[str]) -> None:
        reason = self._reason()
        for button, step in zip(self._buttons, self._steps, strict=True):
            button.disabled = bool(reason)
            button.tooltip = f"{step.about} Not now: {reason}." if reason else step.about
        after, done = self._done
        self._why.value = "" if self._lane.busy else escaped(done if done and after is self.plan.change else reason)
        taken = sum(parameter_bytes(row, self.plan.committed[row.name]) for row in self.plan.rows)
        self._budget.placeholder = f"now {taken:,} bytes"

    def _show_selection(self) -> None:
        pass

    def _reason(self) -> str:
        """Why no step can be taken just now; "" if one can."""
        if self._lane.busy:
            return "a step is at work"
        if self.plan.model is None:
            return NO_MODEL
        if self._lack:
            return self._lack
        if self.plan.drafts:
            return "commit or revert what is drafted first"
        return ""

    @guarded
    def _on_step(self, step: Step) -> None:
        if not self._reason():
            budget = _read_bytes(self._budget.value)
            self._done = (None, "")
            self._lane.ask(step.title, lambda job: self._do(step, budget, job))
            self.refresh()

    def _do(self, step: Step, budget: int | None, job: Job) -> None:
        job.advance(0, None, "")
        assert self._data is not None

        def on_progress(what: str, done: int, total: int) -> None:
            job.advance(done, total, f"in {what}")

        before, reasons = self.plan.adjustments, list[str]()
        options: dict[str, Any] = {"budget": budget} if step.takes_budget else {}
        found = self.plan.step(
            step.name,
            self._data,
            progress=on_progress,
            stop=lambda: job.stopped,
            on_unchanged=reasons.append,
            **options,
        )
        if found is None:
            done = reasons[0] if reasons else "stopped, the plan is as it was"
        elif isinstance(found, Commit):
            done = f"{summary(step.changes, before, self.plan.adjustments, found)}; {found.note.partition(': ')[2]}"
        elif found:
            done = f"{len(found)} drafts; look at them, then commit or revert"
        else:
            done = "nothing was changed: no other format does better, on the data that were kept aside, too"
        self._finish(f"{step.title}: {done}")

    @drawing
    def _finish(self, done: str) -> None:
        self.clear_report()
        self._done = (self.plan.change, done)
        self._on_done(done)

    def _on_pace(self, pace: Pace | None) -> None:
        self._progress.show(pace)
        if pace is None:
            self.refresh()

    @drawing
    def _on_error(self, error: Exception) -> None:
        self.report(error)


def summary(changes: Iterable[str], before: Adjustments, after: Adjustments, entry: Commit) -> str:
    """What a step did, in a sentence.

    Examples
    --------
    >>> import numpy as np
    >>> after = Adjustments(shifts={"conv.bias": np.array([0.1])})
    >>> summary(["shifts"], Adjustments(), after, Commit.now("biases corrected", {}))
    '1 bias corrected'
    """
    parts = []
    for part in changes:
        old, new = getattr(before, part), getattr(after, part)
        parts.append(_counted(sum(1 for row, what in new.items() if old.get(row) is not what), *WORDS[part]))
    parts.append(_counted(len(entry.changes), "window", "windows", "chosen anew"))
    return ", ".join(filter(None, parts)) or "there was nothing to do"


def _counted(count: int, one: str, many: str, done: str) -> str:
    return f"{count} {one if count == 1 else many} {done}" if count else ""


def _read_bytes(text: str) -> int | None:
    digits = text.strip().removesuffix("bytes").replace(",", "").strip()
    if not digits:
        return None
    if not digits.isdecimal():
        raise PlanError(f"cannot read the budget {text!r}; write a number of bytes, such as 12,000, or nothing")
    return int(digits)
