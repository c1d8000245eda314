"""Jobs beside the notebook: in order, the newest wish first, stopped when asked, errors told and survived."""

import threading
from collections.abc import Callable

import pytest

from qwidgets.progress import Stopped
from qwidgets.session import Job, JobQueue, Pace
from tests.waiting import LONG


class Listener:
    def __init__(self) -> None:
        self.paces: list[Pace | None] = []
        self.errors: list[Exception] = []
        self.lane = JobQueue("test", self.paces.append, self.errors.append)
        self.done: list[str] = []

    def job(self, name: str) -> Callable[[Job], None]:
        return lambda _: self.done.append(name)

    def hold(self) -> threading.Event:
        """Let the lane stand still until the event that is given is set."""
        go, began = threading.Event(), threading.Event()

        def wait(job: Job) -> None:
            began.set()
            while not go.wait(0.01):
                job.go_on()
            self.done.append("held")

        self.lane.ask("hold", wait)
        assert began.wait(LONG)
        return go


@pytest.fixture
def told() -> Listener:
    return Listener()


def test_jobs_run_one_after_another_in_their_order(told: Listener) -> None:
    go = told.hold()
    for name in ("a", "b", "c"):
        told.lane.ask(name, told.job(name))
    go.set()
    assert told.lane.wait(LONG)
    assert told.done == ["held", "a", "b", "c"]
    assert not told.lane.busy
    assert told.paces[-1] is None


def test_a_job_asked_for_again_takes_the_place_of_the_one_that_waits(told: Listener) -> None:
    go = told.hold()
    for word in ("old", "new"):
        told.lane.ask("draft", told.job(word))
    assert told.lane.has("draft")
    go.set()
    assert told.lane.wait(LONG)
    assert told.done == ["held", "new"]


def test_a_job_asked_for_again_stops_the_one_that_runs(told: Listener) -> None:
    told.hold()
    told.lane.ask("hold", told.job("new"))
    assert told.lane.wait(LONG)
    assert told.done == ["new"]


def test_stopping_ends_what_runs_and_drops_what_waits(told: Listener) -> None:
    told.hold()
    told.lane.ask("later", told.job("later"))
    told.lane.stop()
    assert told.lane.wait(LONG)
    assert told.done == []
    assert told.errors == []
    told.lane.ask("after", told.job("after"))
    assert told.lane.wait(LONG)
    assert told.done == ["after"]


def test_an_error_is_told_and_the_next_job_runs(told: Listener) -> None:
    go = told.hold()

    def fail(_: Job) -> None:
        raise ValueError("broken")

    told.lane.ask("broken", fail)
    told.lane.ask("next", told.job("next"))
    go.set()
    assert told.lane.wait(LONG)
    assert [str(error) for error in told.errors] == ["broken"]
    assert told.done == ["held", "next"]


def test_waiting_has_an_end(told: Listener) -> None:
    go = told.hold()
    assert not told.lane.wait(0.05)
    go.set()
    assert told.lane.wait(LONG)


def test_how_far_a_job_is_has_a_rate_and_a_time_left() -> None:
    paces: list[Pace | None] = []
    job = Job("validating", lambda job: job.advance(64, 448, "images"), paces.append)
    job.run()
    began, later = paces
    assert str(began) == "validating …"
    assert later is not None
    assert (later.done, later.total) == (64, 448)
    assert str(Pace("validating", 64, 448, "images", 0.5)) == "validating: 64 of 448 images · 128/s · 3 s left"
    assert str(Pace("sensitivity", 2, 100, "tensors", 20.0)) == "sensitivity: 2 of 100 tensors · 0.1/s · 16 min left"


def test_a_job_that_was_stopped_raises_where_it_can_end() -> None:
    job = Job("any", lambda _: None, lambda _: None)
    job.go_on()
    job.stop()
    with pytest.raises(Stopped):
        job.go_on()
