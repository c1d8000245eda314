"""Jobs beside the notebook: one after another on a thread, newest wish first served, stoppable, with their progress.

Nothing here draws or knows what a job does. Whatever is to be said goes through the functions that were given, which
look after locks themselves.
"""

import dataclasses
import threading
import time
from collections.abc import Callable

from qwidgets.progress import Stopped


@dataclasses.dataclass(frozen=True)
class Pace:
    """How far a job is: ``done`` of ``total`` (None: nobody knows), after so many seconds.

    Examples
    --------
    >>> str(Pace("validating", 128, 448, "images", 2.0))
    'validating: 128 of 448 images · 64/s · 5 s left'
    >>> str(Pace("sensitivity", 0, None, "tensors", 0.0))
    'sensitivity …'
    """

    what: str
    done: int
    total: int | None
    unit: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.what}: {self.figures}" if self.done else f"{self.what} …"

    @property
    def figures(self) -> str:
        """How far, how fast, how long to go."""
        parts = [f"{self.done:,} {self.unit}" if self.total is None else f"{self.done:,} of {self.total:,} {self.unit}"]
        if self.done and self.seconds > 0:
            rate = self.done / self.seconds
            parts.append(f"{rate:.2g}/s" if rate < 100 else f"{rate:,.0f}/s")
            if self.total is not None and self.total > self.done:
                left = (self.total - self.done) / rate
                parts.append(f"{left:.0f} s left" if left < 100 else f"{left / 60:.0f} min left")
        return " · ".join(parts)


class Job:
    """One piece of work, as it sees itself: whether it shall stop, and a way to say how far it is."""

    def __init__(self, what: str, work: Callable[["Job"], None], on_pace: Callable[[Pace | None], None]) -> None:
        self.what = what
        self._work, self._on_pace = work, on_pace
        self._stopping = threading.Event()
        self._began = time.monotonic()

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Ask it to stop as soon as it can."""
        self._stopping.set()

    def go_on(self) -> None:
        """Raise `Stopped` where the job was asked to stop."""
        if self.stopped:
            raise Stopped

    def advance(self, done: int, total: int | None, unit: str) -> None:
        """Tell how far it is."""
        now = time.monotonic()
        if not done:
            self._began = now  # what went before, such as capturing, says nothing about the pace
        self._on_pace(Pace(self.what, done, total, unit, now - self._began))

    def run(self) -> None:
        """Do the work on the thread that calls."""
        self.advance(0, None, "")
        self._work(self)


class JobQueue:
    """Jobs on one thread, one after another in the order in which they were asked for.

    Parameters
    ----------
    name
        Of the thread.
    on_pace
        Called with how far the job at hand is; None when the lane is empty.
    on_error
        Called with what a job raised; the others go on.
    """

    def __init__(
        self, name: str, on_pace: Callable[[Pace | None], None], on_error: Callable[[Exception], None]
    ) -> None:
        self._name = name
        self._on_pace, self._on_error = on_pace, on_error
        self._lock = threading.Lock()
        self._waiting: dict[str, Job] = {}
        self._running: Job | None = None
        self._thread: threading.Thread | None = None

    def ask(self, what: str, work: Callable[[Job], None]) -> None:
        """Ask for a job. One of that name that waits or runs is dropped: it would answer a question of yesterday."""
        with self._lock:
            if self._running is not None and self._running.what == what:
                self._running.stop()
            self._waiting.pop(what, None)
            self._waiting[what] = Job(what, work, self._on_pace)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"qwidgets-{self._name}", daemon=True)
                self._thread.start()

    def has(self, what: str) -> bool:
        """Whether a job of that name waits or runs."""
        with self._lock:
            return what in self._waiting or (self._running is not None and self._running.what == what)

    def stop(self) -> None:
        """Drop what waits, and ask what runs to stop."""
        with self._lock:
            self._waiting.clear()
            if self._running is not None:
                self._running.stop()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is asked any more; say whether that is so."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while (thread := self._thread) is not None:
            thread.join(None if deadline is None else max(deadline - time.monotonic(), 0))
            if thread.is_alive():
                return False
        return True

    @property
    def busy(self) -> bool:
        """Whether there is a job that waits or runs."""
        return self._thread is not None

    def _run(self) -> None:
        while True:
            with self._lock:
                self._running = None
                if not self._waiting:
                    self._thread = None
                    break
                what = next(iter(self._waiting))
                job = self._running = self._waiting.pop(what)
            try:
                job.run()
            except Stopped:
                continue
            except Exception as error:
                self._on_error(error)
        self._on_pace(None)
