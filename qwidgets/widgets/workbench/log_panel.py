"""The log: what went wrong and what was done, newest first, for the person who wants to know more than a line."""

import datetime
import traceback

import ipywidgets

from qwidgets.errors import QwidgetsError
from qwidgets.widgets.controls import escaped, in_plain_words

MOST_ENTRIES = 200


class LogPanel(ipywidgets.HTML):  # type: ignore[misc]  # ipywidgets has no types
    """A list of messages.

    Attributes
    ----------
    errors
        How many of them were errors.
    """

    def __init__(self) -> None:
        super().__init__()
        self.errors = 0
        self._entries: list[str] = []
        self.add_class("qw-log")
        self._show()

    def add(self, text: str) -> None:
        """Add something that was done."""
        self._add(escaped(text))

    def add_error(self, error: Exception) -> None:
        """Add an error; one that is not of the package's own kind with the way it came about."""
        self.errors += 1
        text = f"<b class='qw-wrong'>{escaped(in_plain_words(error))}</b>"
        if not isinstance(error, QwidgetsError):
            text += f"<pre>{escaped(''.join(traceback.format_exception(error)))}</pre>"
        self._add(text)

    def _add(self, entry: str) -> None:
        now = datetime.datetime.now().strftime("%H:%M:%S")
        self._entries = [f"<div><span class='qw-quiet'>{now}</span> {entry}</div>", *self._entries[: MOST_ENTRIES - 1]]
        self._show()

    def _show(self) -> None:
        self.value = "".join(self._entries) or "<span class='qw-quiet'>Nothing happened yet.</span>"
