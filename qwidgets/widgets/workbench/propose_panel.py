"""What the plan is made for: a target is picked here, and what does not fit it is told.

The formats by themselves are checked at once, whatever moves; what only the network can tell, in the background when
things stand still.
"""

from collections.abc import Callable, Mapping

import ipywidgets
import pandas as pd

from qwidgets import targets
from qwidgets.plan import Plan
from qwidgets.session import Debounce, Job, JobQueue
from qwidgets.widgets.controls import PlanView, drawing, escaped, guarded

ANY = "any"
ABOUT = "<span class='qw-quiet'>Pick what the plan is for, and what does not fit is marked.</span>"


class TargetPicker(PlanView):
    """Picks a target, and tells how much of the plan does not fit it, and why the selected tensor does not.

    Parameters
    ----------
    plan
        What is checked; its drafts count.
    on_misfits
        OnProgress, by the tensor's name, why it does not fit.
    """

    def __init__(self, plan: Plan, on_misfits: Callable[[Mapping[str, str]], None]) -> None:
        self._on_misfits = on_misfits
        self._found: pd.DataFrame | None = None
        self._of_network: pd.DataFrame | None = None  # what the network told last, beyond the formats by themselves
        self._lane = JobQueue("check", lambda _: None, self._on_error)
        self._look_closer = Debounce(self._ask, seconds=0.4, at_most=5.0)
        super().__init__(plan)

    @property
    def target(self) -> str | None:
        """The name of the target; None for any."""
        return None if self._choice.value == ANY else str(self._choice.value)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until what is checked in the background is known; say whether it is."""
        self._look_closer.flush()
        return self._lane.wait(seconds)

    def _detach(self) -> None:
        super()._detach()
        self._look_closer.cancel()
        self._lane.stop()

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        options = [(ANY, ANY), *((target.title, name) for name, target in targets.TARGETS.items())]
        self._choice = ipywidgets.Dropdown(
            options=options, description="target", tooltip="What the plan is made for; Propose keeps to it"
        )
        self._choice.style.description_width = "42px"
        self._choice.layout.width = "230px"
        self._choice.observe(self._on_pick, "value")
        self._words = ipywidgets.HTML()
        self._reasons = ipywidgets.HTML()
        self._reasons.add_class("qw-quiet")
        line = ipywidgets.HBox([self._choice, self._words])
        line.add_class("qw-bar")
        self.add_class("qw-target")
        return line, self._reasons

    def _show(self, changed: frozenset[str]) -> None:
        if self.target is None:
            self._found = None
            self._words.value, self._reasons.value = ABOUT, ""
            self._on_misfits({})
            return
        quick = targets.check_formats(self.plan, self.target)
        if self.plan.model is None:
            self._tell(quick, closer=False)
            return
        # Until the network is looked at again, what it told last stands: nothing is to flicker while a window moves.
        self._tell(quick if self._of_network is None else pd.concat([quick, self._of_network]), closer=True)
        self._look_closer()

    def _show_selection(self) -> None:
        if self._found is None:
            return
        lines = [
            f"<b>{escaped(name)}</b> {escaped(row['reason'])}: <i>{escaped(row['remedy'])}</i>"
            for name, row in self._found.iterrows()
            if name in self.selection[:1] or name not in self.plan
        ]
        self._reasons.value = "<br>".join(lines)

    def _tell(self, found: pd.DataFrame, *, closer: bool) -> None:
        """Show what does not fit; ``closer`` if more will be known soon."""
        self._found = found
        reasons = found[found.index.isin(self.plan.names)].groupby(level=0, sort=False)["reason"]
        misfits = {str(name): "; ".join(texts) for name, texts in reasons}
        count, title = len(misfits), targets.find(self._choice.value).title
        told = f"<b>{count}</b> of {len(self.plan)} tensors do not fit" if count else "every tensor fits"
        soon = " <span class='qw-quiet'>· looking at the network …</span>" if closer else ""
        self._words.value = f"{escaped(title)}: {told}{soon}"
        self._show_selection()
        self._on_misfits(misfits)

    @drawing
    def _ask(self) -> None:
        target = self.target
        if target is not None and self.is_open:
            self._lane.ask("check", lambda job: self._check(target, job))

    def _check(self, target: str, job: Job) -> None:
        now = self.plan.change
        found = self.plan.check(target)
        if not job.stopped and self.plan.change is now:
            self._finish(target, found)

    @drawing
    def _finish(self, target: str, found: pd.DataFrame) -> None:
        if target == self.target:
            self.clear_report()
            quick = targets.check_formats(self.plan, target)
            told = set(zip(quick.index, quick["reason"], strict=True))
            self._of_network = found[[one not in told for one in zip(found.index, found["reason"], strict=True)]]
            self._tell(found, closer=False)

    @drawing
    def _on_error(self, error: Exception) -> None:
        self.report(error)

    @guarded
    def _on_pick(self, _: object) -> None:
        self._of_network = None
        self._show(frozenset(self.plan.names))
