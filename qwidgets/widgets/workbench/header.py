"""The head of the workbench: the network, what its formats give, and how far the work at hand is."""

import time

import ipywidgets

from qwidgets.plan import Plan
from qwidgets.session import Counting, Listener, Pace, Session, Tuning
from qwidgets.widgets.controls import ProgressRow, View, button, drawing, escaped, guarded, set_traits
from qwidgets.widgets.workbench import scores

ABOUT = "Run float and quantized side by side on all data"


class Header(View, Listener):
    """The head of the workbench.

    Attributes
    ----------
    title, scores
        The network and the metric of float, commit and draft, in words.
    validate
        Measures drafts and commits on all samples.
    progress
        How far the work at hand is; its Stop ends all of it.
    """

    def __init__(self, session: Session, name: str) -> None:
        super().__init__()
        self.session = session
        self._began = time.monotonic()
        self.title, self.scores = ipywidgets.HTML(), ipywidgets.HTML()
        self.title.add_class("qw-one-line")
        self.progress = ProgressRow(session.stop, "End what is at work; what was counted and measured so far stays")
        self.validate = button("Validate", self._on_validate, ABOUT, icon="check-square-o")
        line = ipywidgets.HBox([self.title, self.scores, self.progress, self.validate, self.progress.stop])
        line.add_class("qw-head")
        self.fill(line)
        self.title.value = f"<b>{escaped(name)}</b>"
        self.refresh()

    @drawing
    def refresh(self) -> None:
        """Show what is known now."""
        state = self.session.state
        if isinstance(state, Counting | Tuning):
            self._show_title(state.plan, over=isinstance(state, Tuning))
        if isinstance(state, Tuning):
            self._show_scores(state)
        lack = self.session.why_not_measured
        set_traits(self.validate, disabled=bool(lack), tooltip=lack or ABOUT)

    def on_captured(self, plan: Plan) -> None:
        """Called when the network is known."""
        self.refresh()

    def begin(self) -> None:
        """Show that a calibration has begun."""
        self.progress.show(Pace("capturing the network", 0, None, "", 0.0))

    def on_counts(self) -> None:
        """Show how far the calibration is, how fast it goes and how long it will take."""
        state = self.session.state
        if not isinstance(state, Counting) or state.plan.calibration is None:
            return
        done, total = state.plan.calibration.batches, state.plan.calibration.total_batches
        if not done:
            self._began = time.monotonic()  # capturing takes seconds and says nothing about the batches
        self.progress.show(Pace("calibrating", done, total, "batches", time.monotonic() - self._began))

    def on_calibrated(self, problem: Exception | None) -> None:
        """Called when the calibration is over."""
        self.progress.show(None)
        self.refresh()

    def on_measured(self) -> None:
        """Called when more is known of what the formats do."""
        self.refresh()

    def on_pace(self, pace: Pace | None) -> None:
        """Show how far the work at hand is."""
        self.progress.show(pace)

    def _show_title(self, plan: Plan, *, over: bool) -> None:
        calibration, tensors = plan.calibration, f"{len(plan)} tensors"
        about = f"{tensors} · not calibrated"
        if calibration is not None:
            batches = f"{calibration.batches} batch{'' if calibration.batches == 1 else 'es'}"
            stopped = "stopped after " if over and not calibration.complete else ""
            about = f"{calibration.device} · {stopped}{batches} · {tensors}"
        name, about = escaped(plan.network), escaped(about)
        self.title.value = f"<span title='{name} {about}'><b>{name}</b> <span class='qw-quiet'>{about}</span></span>"

    def _show_scores(self, tuning: Tuning) -> None:
        live, plan, evaluate = tuning.live, tuning.plan, self.session.evaluate_name
        if live.material.lack and not evaluate:
            self.scores.value = ""
            return
        text = scores.line(scores.states(plan, live.measured), evaluate)
        if live.checked is not None:
            text += f" &ensp; {scores.word(live.checked, holds=live.checked.holds_for(plan))}"
        self.scores.value = f"<div role='status' aria-live='polite' class='qw-scores'>{text}</div>"

    def _attach(self) -> None:
        self.refresh()

    def _detach(self) -> None:
        pass

    def _static_page(self) -> str:
        return f"{self.title.value}{self.scores.value}"

    @guarded
    def _on_validate(self, _: object) -> None:
        self.session.validate()
