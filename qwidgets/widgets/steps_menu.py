"""The steps that look at the network, as buttons: each runs in the background, can be stopped, and can be undone.

The steps themselves are methods of the plan. Here is what each does in a sentence, why it cannot be done just now, and
what it did.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import ipywidgets

from qwidgets.plan import Plan
from qwidgets.planning.adjustments import Adjustments
from qwidgets.planning.plan_state import Commit
from qwidgets.widgets.background import twin_of
from qwidgets.widgets.guarded import drawing, guarded
from qwidgets.widgets.lane import Job, Lane, Pace
from qwidgets.widgets.plan_view import PlanView
from qwidgets.widgets.progress_row import ProgressRow
from qwidgets.widgets.style import escaped

NO_DATA = "there is no data here to look at: Workbench(model, data) has some, and in Python plan.equalize(data) does it"
READ_ONCE = "the data could be read only once; Workbench(model, data) with a DataLoader or a list can be read again"
NO_MODEL = "this plan came from a file and does not know its network; in Python plan.equalize(data, model) does it"
NOT_YET = "the network is still being calibrated"


@dataclass(frozen=True)
class Step:
    """A step as a person is offered it.

    Attributes
    ----------
    name
        On its button.
    does
        What it does, in a sentence.
    run
        Does it; called with the plan, the data, the model, and by name ``progress`` and ``stop``.
    changes
        Which of the adjustments it makes.
    """

    name: str
    does: str
    run: Callable[..., Commit | None]
    changes: tuple[str, ...]


STEPS = (
    Step(
        "Equalize",
        "Scales the channels of activations so that each uses its tensor's whole window; weights and clamps are scaled "
        "to match, and the network computes what it did.",
        Plan.equalize,
        ("factors",),
    ),
    Step(
        "Correct bias",
        "Takes off each bias what quantization adds to its channel on the average over the data.",
        Plan.correct_bias,
        ("shifts",),
    ),
    Step(
        "Round adaptively",
        "Rounds each weight up or down so that its layer's output over the data is kept, and corrects the biases.",
        Plan.round_adaptively,
        ("roundings", "shifts"),
    ),
)


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
        What is adjusted. Each step is one commit, which undo takes back.
    told
        Called with a sentence about what was done.
    """

    def __init__(self, plan: Plan, told: Callable[[str], None]) -> None:
        self._told = told
        self._data: Iterable[Any] | None = None
        self._lack = NO_DATA
        self._done: tuple[Commit | None, str] = (None, "")
        self._lane = Lane("steps", self._on_pace, self._on_error)
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

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._buttons = [
            ipywidgets.Button(description=step.name, layout=ipywidgets.Layout(width=f"{36 + 8 * len(step.name)}px"))
            for step in STEPS
        ]
        for button, step in zip(self._buttons, STEPS, strict=True):
            button.on_click(lambda _, step=step: self._on_step(step))
        self._why = ipywidgets.HTML()
        self._why.add_class("qw-quiet")
        self._progress = ProgressRow(self._lane.stop, "End the step; the plan stays as it was")
        title = ipywidgets.HTML("<b>steps</b>")
        line = ipywidgets.HBox([title, *self._buttons, self._progress, self._why])
        line.add_class("qw-bar")
        self.add_class("qw-steps")
        return (line,)

    def _show(self, changed: frozenset[str]) -> None:
        reason = self._reason()
        for button, step in zip(self._buttons, STEPS, strict=True):
            button.disabled = bool(reason)
            button.tooltip = f"{step.does} Not now: {reason}." if reason else step.does
        entry, done = self._done
        still = entry is None or any(entry is commit for commit in self.plan.history)
        self._why.value = "" if self._lane.busy else escaped(done if done and still else reason)

    def _show_selection(self) -> None:
        pass

    def _reason(self) -> str:
        """Why no step can be taken just now; "" if one can."""
        drafts = len(self.plan.drafts)
        if self._lane.busy:
            return "a step is at work"
        if self.plan.model is None:
            return NO_MODEL
        if self._lack:
            return self._lack
        if drafts:
            return f"{drafts} draft{' is' if drafts == 1 else 's are'} open: commit or revert first"
        return ""

    @guarded
    def _on_step(self, step: Step) -> None:
        if not self._reason():
            self._done = (None, "")
            self._lane.ask(step.name, lambda job: self._do(step, job))
            self.refresh()

    def _do(self, step: Step, job: Job) -> None:
        job.advance(0, None, "")
        before = self.plan.adjustments
        entry = step.run(
            self.plan,
            self._data,
            twin_of(self.plan.network_of()),
            progress=lambda _, done, total: job.advance(done, total, "steps"),
            stop=lambda: job.stopped,
        )
        told = (
            "stopped, the plan is as it was" if entry is None else summary(step, before, self.plan.adjustments, entry)
        )
        self._finish(entry, f"{step.name}: {told}")

    @drawing
    def _finish(self, entry: Commit | None, done: str) -> None:
        self.clear_report()
        self._done = (entry, done)
        self._told(done)

    def _on_pace(self, pace: Pace | None) -> None:
        self._progress.show(pace)
        if pace is None:
            self.refresh()

    @drawing
    def _on_error(self, error: Exception) -> None:
        self.report(error)


def summary(step: Step, before: Adjustments, after: Adjustments, entry: Commit) -> str:
    """What a step did, in a sentence.

    Examples
    --------
    >>> after = Adjustments(shifts={"conv.bias": np.array([0.1])})
    >>> summary(STEPS[1], Adjustments(), after, Commit.now("biases corrected", {}))
    '1 bias corrected'
    """
    told = [
        _told(sum(1 for row, new in getattr(after, part).items() if getattr(before, part).get(row) is not new), *words)
        for part, words in WORDS.items()
        if part in step.changes
    ]
    told.append(_told(len(entry.changes), "window", "windows", "chosen anew"))
    return ", ".join(filter(None, told)) or "there was nothing to do"


def _told(count: int, one: str, many: str, done: str) -> str:
    return f"{count} {one if count == 1 else many} {done}" if count else ""
