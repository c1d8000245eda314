"""The log: what went wrong and what was done, newest first, for the person who wants to know more than a line."""

import traceback

import ipywidgets

from qwidgets.errors import QwidgetsError
from qwidgets.session import Entry
from qwidgets.widgets.controls import drawing, escaped, in_plain_words
from qwidgets.widgets.workbench.page_panel import PagePanel
from qwidgets.widgets.workbench.panel import register_panel

EMPTY = "<span class='qw-quiet'>What is done, and what goes wrong, is listed here.</span>"


@register_panel("Log")
class LogPanel(PagePanel):
    """What happened in a session."""

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self.add_class("qw-log")
        return super()._build()

    @drawing
    def on_log(self) -> None:
        """Show one entry more."""
        if self.is_open:
            self._show(frozenset())

    def _text(self) -> str:
        entries = self.session.log.entries
        return "".join(map(_line, entries)) or EMPTY


def _line(entry: Entry) -> str:
    """An error that is not of the package's own kind comes with the way it came about."""
    text, error = escaped(entry.text), entry.error
    if error is not None:
        text = f"<b class='qw-wrong'>{escaped(in_plain_words(error))}</b>"
        if not isinstance(error, QwidgetsError):
            text += f"<pre>{escaped(''.join(traceback.format_exception(error)))}</pre>"
    return f"<div><span class='qw-quiet'>{entry.when:%H:%M:%S}</span> {text}</div>"
