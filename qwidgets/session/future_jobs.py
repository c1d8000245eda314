"""Jobs whose results are waited for: what a job gives, or raises, is in its future. It knows of no plan."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from qwidgets.session.job_queue import Job, JobQueue, Pace

Found = TypeVar("Found")


class FutureJobs:
    """Jobs on one thread, one after another; what is dropped before it began is cancelled.

    Parameters
    ----------
    on_pace
        Called with how far the job at hand is; None when there is none.
    """

    def __init__(self, on_pace: Callable[[Pace | None], None]) -> None:
        self._queue = JobQueue("work", on_pace, lambda _: None)
        self._asked: dict[str, Future[Any]] = {}

    @property
    def busy(self) -> bool:
        """Whether there is a job that waits or runs."""
        return self._queue.busy

    def begin(self, what: str, work: Callable[[Job], Found]) -> "Future[Found]":
        """Ask for a job."""
        done: Future[Found] = Future()

        def run(job: Job) -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                found = work(job)
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(found)

        self._cancel(what)
        self._asked[what] = done
        self._queue.ask(what, run)
        return done

    def stop(self) -> None:
        """Drop what waits, and ask what runs to stop."""
        self._queue.stop()
        self._cancel(*self._asked)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is asked any more; say whether that is so."""
        return self._queue.wait(seconds)

    def _cancel(self, *asked: str) -> None:
        for what in asked:
            if what in self._asked:
                self._asked.pop(what).cancel()
