"""Proposals: what a scheme shall choose, for which consumer, and what of the plan does not fit that one."""

import ipywidgets

from qwidgets import targets
from qwidgets.formats import MAX_WORD_LENGTH
from qwidgets.schemes import SCHEMES
from qwidgets.session import Tuning
from qwidgets.widgets.controls import bar, button, checkbox, choice, drawing, escaped, guarded, number_box, quiet
from qwidgets.widgets.workbench.panel import register_panel
from qwidgets.widgets.workbench.session_view import SessionView

ANY = "any"
ABOUT = "Pick what the plan is for: Propose keeps to what it can take, and what does not fit is marked in the table."


@register_panel("Propose")
class ProposePanel(SessionView):
    """Asks for proposals, and tells how much of the plan does not fit its target, and why.

    Attributes
    ----------
    word_length, scheme, per_channel, target
        What to propose, and for whom.
    propose
        The button that does.
    """

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self.word_length = number_box(
            "word length", 2, MAX_WORD_LENGTH, width=136, tooltip="In bits, the sign bit counted"
        )
        self.word_length.value = 8
        self.scheme = choice("scheme", SCHEMES, width=156, tooltip="How windows are chosen")
        self.scheme.value = "mse"
        self.per_channel = checkbox(
            "per channel", tooltip="A window for each output channel of a weight; biases at their layer's accumulator"
        )
        self.target = choice(
            "target",
            [(ANY, ANY), *((target.title, name) for name, target in targets.TARGETS.items())],
            self._on_target,
            width=230,
            tooltip="What the plan is made for",
        )
        self.propose = button(
            "Propose", self._on_propose, "Draft what the scheme chooses for every tensor that is not locked"
        )
        self._words = ipywidgets.HTML()
        self._reasons = quiet()
        self.add_class("qw-propose")
        asked = bar(self.word_length, self.scheme, self.per_channel, self.target, self.propose)
        return asked, self._words, self._reasons

    def on_calibrated(self, problem: Exception | None) -> None:
        """Called when proposals can be made."""
        self.refresh()

    @drawing
    def on_checked(self) -> None:
        """Called when more is known of what does not fit, or could not be found out."""
        problem = self.session.tuning.check.problem
        if problem is None:
            self.clear_report()
        elif problem is not self.problem:
            self.report(problem)
        self.refresh()

    def _show(self, changed: frozenset[str]) -> None:
        state = self.session.state
        able = isinstance(state, Tuning) and self.plan.calibration is not None
        for control in (self.word_length, self.scheme, self.per_channel, self.propose):
            control.disabled = not able
        self.target.disabled = not isinstance(state, Tuning)
        self._words.value = f"<div role='status' aria-live='polite'>{self._fit()}</div>"
        self._show_selection()

    def _fit(self) -> str:
        """How much fits, as HTML."""
        state = self.session.state
        if not isinstance(state, Tuning) or state.check.target is None:
            return f"<span class='qw-quiet'>{ABOUT}</span>"
        count = len(state.check.misfits)
        told = f"<b>{count}</b> of {len(self.plan)} tensors do not fit" if count else "every tensor fits"
        soon = " <span class='qw-quiet'>· looking at the network …</span>" if state.check.looking else ""
        return f"{escaped(targets.find(state.check.target).title)}: {told}{soon}"

    def _show_selection(self) -> None:
        state = self.session.state
        found = state.check.found if isinstance(state, Tuning) else None
        lines = [
            f"<b>{escaped(name)}</b> {escaped(row['reason'])}: <i>{escaped(row['remedy'])}</i>"
            for name, row in (found.iterrows() if found is not None else ())
            if name in self.selection[:1] or name not in self.plan
        ]
        self._reasons.value = "<br>".join(lines)

    @guarded
    def _on_target(self, _: object) -> None:
        self.session.pick_target(None if self.target.value == ANY else str(self.target.value))

    @guarded
    def _on_propose(self, _: object) -> None:
        self.session.propose(self.word_length.value, self.scheme.value, per_channel=self.per_channel.value)
