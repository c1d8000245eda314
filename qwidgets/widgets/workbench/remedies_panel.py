"""What to do next: the tensors that cost most, why, and what was tried against it, with a button that drafts it."""

from functools import partial
from typing import Any

import ipywidgets

from qwidgets.remedies import Finding, Findings, Remedy
from qwidgets.session import Pace, RemedySearch, Tuning
from qwidgets.widgets.controls import bar, button, checkbox, escaped, guarded, number_text, quiet, set_traits, shortened
from qwidgets.widgets.workbench.panel import register_panel
from qwidgets.widgets.workbench.remedy_lines import RemedyLines, take_or_put_back
from qwidgets.widgets.workbench.session_view import SessionView

ABOUT = "What costs most, why, and what would mend it? Each answer is measured, by trying it."
STEPS_ABOUT = "Try equalizing, correcting, rounding adaptively and fine-tuning, too: it takes as long as they take"
NAME_LENGTH = 36
MOST_FOUND, MOST_REMEDIES = 12, 10


@register_panel("Remedies")
class RemediesPanel(SessionView):
    """What was found of a plan.

    Attributes
    ----------
    look
        Begins to look.
    steps
        Whether the steps are tried, too.
    rows
        A button for each tensor that was looked at, the dearest first, and for the network as a whole.
    remedies
        What helps the one that is chosen.
    """

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._chosen: str | None = None
        self.look = button("Look for remedies", self._on_look, ABOUT, icon="search")
        self.steps = checkbox("try the steps, too", tooltip=STEPS_ABOUT)
        self._about = quiet(ABOUT)
        self.rows = [button("", partial(self._on_row, place)) for place in range(MOST_FOUND)]
        for each in self.rows:
            each.layout.width = "auto"
        listed = ipywidgets.VBox(self.rows)
        listed.add_class("qw-found")
        self.remedies = RemedyLines(self.plan, MOST_REMEDIES, self._on_remedy)
        self.remedies.widget.layout.flex = "1 1 0"
        self._place = ipywidgets.HBox([listed, self.remedies.widget])
        self._place.add_class("qw-next")
        return bar(self.look, self.steps, self._about), self._place

    def on_remedies(self) -> None:
        """Called when more is known."""
        self.refresh()

    def on_calibrated(self, problem: Exception | None) -> None:
        """Called when there is something to look at."""
        self.refresh()

    def on_pace(self, pace: Pace | None) -> None:
        """Called as the search begins and when it is over."""
        self.refresh()

    @property
    def _search(self) -> RemedySearch | None:
        state = self.session.state
        return state.remedies if isinstance(state, Tuning) else None

    def _show(self, changed: frozenset[str]) -> None:
        search, lack = self._search, self.session.why_not_measured
        set_traits(self.look, disabled=bool(lack), tooltip=lack or ABOUT)
        findings = search.findings if search is not None else None
        set_traits(self._place.layout, display="none" if findings is None or not len(findings) else None)
        set_traits(self._about, value=escaped(lack) if lack else _words(findings, search))
        if search is not None and findings is not None:
            self._show_findings(findings, holds=search.holds)

    def _show_selection(self) -> None:
        self._chosen = self.selection[0] if self.selection else None
        self.refresh()

    def _show_findings(self, findings: Findings, *, holds: bool) -> None:
        shown = findings.found[:MOST_FOUND]
        chosen = findings.of(self._chosen) if self._chosen is not None else None
        chosen = chosen or (shown[0] if shown else None)
        for place, each in enumerate(self.rows):
            set_traits(each.layout, display=None if place < len(shown) else "none")
        for each, finding in zip(self.rows, shown, strict=False):
            set_traits(each, description=_row_text(finding), tooltip=finding.why)
            set_traits(each, button_style="primary" if finding is chosen else "")
        if chosen is not None:
            self.remedies.show(chosen, findings, holds=holds)

    @guarded
    def _on_look(self, _: object) -> None:
        self._chosen = None
        self.session.look_for_remedies(steps=self.steps.value)

    @guarded
    def _on_row(self, place: int, _: Any) -> None:
        findings = self._search.findings if self._search is not None else None
        if findings is not None and place < len(findings):
            self._chosen = findings[place].row
            if self._chosen:
                self.selection = (self._chosen,)
            self.refresh()

    @guarded
    def _on_remedy(self, remedy: Remedy) -> None:
        take_or_put_back(self.plan, remedy)


def _row_text(finding: Finding) -> str:
    if not finding.row:
        return "the network as a whole"
    return f"{shortened(finding.row, NAME_LENGTH)} · {number_text(finding.alone_db, 'dB')} alone"


def _words(findings: Findings | None, search: RemedySearch | None) -> str:
    """Say what there is to be seen, and what it was measured on."""
    if findings is None:
        return ABOUT
    ended = "" if findings.complete or search is None or search.busy else ", stopped before its end"
    return escaped(f"the output has {findings.figures['sqnr_db']:.1f} dB; tried on {findings.samples} samples{ended}")
