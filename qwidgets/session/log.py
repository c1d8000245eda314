"""What was done in a session and what went wrong, the newest first."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

MOST_ENTRIES = 200


@dataclass(frozen=True)
class Entry:
    """Something that was done, or an error."""

    when: datetime
    text: str
    error: Exception | None = None


class Log:
    """A list of entries.

    Parameters
    ----------
    on_entry
        Called after there is one more.

    Attributes
    ----------
    entries
        The newest first; the oldest are forgotten.
    errors
        How many of all were errors.

    Examples
    --------
    >>> log = Log()
    >>> log.add("committed 3 tensors")
    >>> log.add_error(ValueError("no such file"))
    >>> [entry.text for entry in log.entries], log.errors
    (['no such file', 'committed 3 tensors'], 1)
    """

    def __init__(self, on_entry: Callable[[], None] = lambda: None) -> None:
        self.entries: tuple[Entry, ...] = ()
        self.errors = 0
        self._on_entry = on_entry
        self._lock = threading.Lock()

    def add(self, text: str) -> None:
        """Add something that was done."""
        self._add(Entry(datetime.now(), text))

    def add_error(self, error: Exception) -> None:
        """Add an error."""
        self._add(Entry(datetime.now(), str(error), error))

    def _add(self, entry: Entry) -> None:
        with self._lock:
            self.entries = (entry, *self.entries[: MOST_ENTRIES - 1])
            self.errors += entry.error is not None
        self._on_entry()
