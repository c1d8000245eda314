"""The window editor in a workbench: with why the selected tensor costs what it costs, and what helps, beside it."""

from typing import Any

import ipywidgets

from qwidgets.remedies import Remedy
from qwidgets.session import Listener, Pace, Session, Tuning
from qwidgets.widgets.controls import button, guarded, set_traits
from qwidgets.widgets.workbench.panel import register_panel
from qwidgets.widgets.workbench.remedy_lines import RemedyLines, take_or_put_back
from qwidgets.widgets.workbench.window_editor import WindowEditor

LINES = 2
ABOUT = "What does this tensor cost, why, and what would mend it? It is measured, by trying"


@register_panel("Window")
class WindowPanel(WindowEditor, Listener):
    """The editor of a session's plan.

    Attributes
    ----------
    session
        Its network must have been captured.
    why
        Looks for what would mend the selected tensor.
    remedies
        What was found of it.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        super().__init__(session.plan)

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        built = super()._build()
        self.why = button("What would help?", self._on_why, ABOUT, icon="search")
        self.remedies = RemedyLines(self.plan, LINES, self._on_remedy)
        title, *controls = self._head.children
        self._head.children = (title, self.why, *controls)
        self._beside.children = (*self._beside.children, self.remedies.widget)
        return built

    def on_remedies(self) -> None:
        """Called when more is known."""
        self.refresh()

    def on_calibrated(self, problem: Exception | None) -> None:
        """Called when there is something to look at."""
        self.refresh()

    def on_pace(self, pace: Pace | None) -> None:
        """Called as a search begins and when it is over."""
        self.refresh()

    def _show_edited(self) -> None:
        super()._show_edited()
        state, name = self.session.state, self.selection[0]
        search = state.remedies if isinstance(state, Tuning) else None
        found = search.findings.of(name) if search is not None and search.findings is not None else None
        lack = self.session.why_not_measured or ("it is in float" if self.plan[name] is None else "")
        set_traits(self.why, disabled=bool(lack), tooltip=lack or ABOUT)
        if search is None or search.findings is None or found is None:
            self.remedies.clear()
        else:
            self.remedies.show(found, search.findings, holds=search.holds)

    @guarded
    def _on_why(self, _: Any) -> None:
        self.session.look_for_remedies([self.selection[0]])

    @guarded
    def _on_remedy(self, remedy: Remedy) -> None:
        take_or_put_back(self.plan, remedy)
