"""A tab that is one page of text."""

import ipywidgets

from qwidgets.widgets.workbench.session_view import SessionView


class PagePanel(SessionView):
    """A page that is written anew when something changes.

    Attributes
    ----------
    page
        What is shown.
    """

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self.page = ipywidgets.HTML()
        return (self.page,)

    def _show(self, changed: frozenset[str]) -> None:
        self.page.value = self._text()

    def _text(self) -> str:
        """The page, as HTML."""
        raise NotImplementedError
