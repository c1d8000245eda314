"""A network, its plan, and all that is done with them beside the caller: a workbench without a screen.

A :class:`Session` calibrates, measures what drafts and commits do, runs steps and exports, each on a thread of its own,
with progress and a way to stop. What it is at is one of the classes of `qwidgets.session.states`. Views listen to it; a
script waits for it.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

from torch import nn

from qwidgets.adjusting import find_step
from qwidgets.calibration import Calibration
from qwidgets.errors import CaptureError, ExportError, PlanError, QwidgetsError
from qwidgets.export import EXPORTS
from qwidgets.plan import Plan
from qwidgets.session.background import CalibrationRun
from qwidgets.session.job_queue import Job, JobQueue, Pace
from qwidgets.session.listener import Listener
from qwidgets.session.live_validation import LiveValidation, Material
from qwidgets.session.results_cache import Evaluate
from qwidgets.session.samples import HeldBack, can_be_read_again
from qwidgets.session.states import Calibrating, Counting, Failed, State, Tuning

WORD_LENGTH = 8
SCHEME = "mse"

NO_DATA = "there is no data here to look at: Workbench(model, data) has some, and in Python plan.equalize(data) does it"
READ_ONCE = "the data could be read only once; Workbench(model, data) with a DataLoader or a list can be read again"


class Session:
    """A network's tensors and their formats, calibrated, measured and mended beside the caller.

    Parameters
    ----------
    model
        A network, or a plan.
    data
        Batches to calibrate with; see :func:`qwidgets.calibrate`. Of four or more the last is held back: it is not
        calibrated with, and what a scheme proposes is checked on it.
    evaluate
        ``evaluate(network) -> number``, such as the accuracy; takes the place of the metric that
        :func:`qwidgets.validate` chooses.
    validation
        Batches to validate with, that can be read again and again. Without them it is ``data``, or what was held back.
    listener
        What is called as things happen, from other threads.

    Attributes
    ----------
    state
        What it is at: `Calibrating`, `Counting`, `Tuning` or `Failed`.

    Raises
    ------
    PlanError
        ``model`` is neither a network nor a plan, or what comes with it does not belong to it.

    Examples
    --------
    >>> import torch
    >>> layer = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU())
    >>> with Session(layer, [torch.randn(8, 4) for _ in range(3)]) as session:
    ...     plan = session.wait()
    ...     plan["0.weight"] = "2^3 … 2^-3"
    ...     session.validate()
    ...     plan = session.wait()
    ...     result = session.tuning.live.measured.best(plan, drafted=True)
    >>> result.over.samples
    24
    """

    def __init__(
        self,
        model: nn.Module | Plan,
        data: Iterable[Any] | None = None,
        evaluate: Evaluate | None = None,
        validation: Iterable[Any] | None = None,
        listener: Listener | None = None,
    ) -> None:
        _check(model, data, evaluate, validation)
        self.evaluate, self.validation = evaluate, validation
        self._listener = Listener() if listener is None else listener
        self._data = data
        self._watching = True
        self._proposes = not isinstance(model, Plan)
        self._jobs = JobQueue("work", self._on_pace, self._on_problem)
        self._settled = threading.Event()
        """That a plan is there to be tuned, or never will be, and the listener knows."""
        if isinstance(model, Plan):
            self._settled.set()
            self.state: State = self._tuning(model, (), None, NO_DATA)
            model.observe(self._on_change, "change")
        else:
            assert data is not None  # `_check` asks for some
            held_back = HeldBack(data)
            self.state = Calibrating(CalibrationRun(model, held_back, self._on_step, self._on_end), held_back)

    def start(self) -> None:
        """Begin to calibrate; of a plan, to measure. Called by the ``with`` statement."""
        if isinstance(self.state, Calibrating):
            self.state.run.start()
        else:
            self.measure()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.watch(False)

    # What there is

    @property
    def plan(self) -> Plan:
        """The formats.

        Raises
        ------
        PlanError
            The network has not been captured yet, or could not be.
        """
        if isinstance(self.state, Counting | Tuning):
            return self.state.plan
        if isinstance(self.state, Failed):
            raise self.state.problem
        raise PlanError("the network is still being captured; wait() until it is")

    @property
    def tuning(self) -> Tuning:
        """What is measured, once the calibration is over.

        Raises
        ------
        PlanError
            The network is still being calibrated.
        """
        if isinstance(self.state, Tuning):
            return self.state
        raise PlanError("the network is still being calibrated; wait() until it is")

    # What can be asked

    def wait(self, seconds: float | None = None) -> Plan:
        """Wait until nothing is at work any more, and give the plan.

        Raises
        ------
        PlanError
            Something still is after so many seconds.
        QwidgetsError
            The calibration failed before anything was counted.
        """
        over = self._settled.wait(seconds)
        if over and isinstance(self.state, Tuning):
            over = self.state.live.wait(seconds) and self._jobs.wait(seconds)
        if not over:
            raise PlanError(f"the session is still at work after {seconds} s; wait longer, or stop it")
        return self.plan

    def stop(self) -> None:
        """End what is at work; what was counted and measured so far stays."""
        if isinstance(self.state, Calibrating | Counting):
            self.state.run.stop()
        elif isinstance(self.state, Tuning):
            self.state.live.stop()
        self._jobs.stop()

    def watch(self, watching: bool) -> None:
        """Measure what changes of the plan do, or leave it."""
        if watching is not self._watching and isinstance(self.state, Tuning):
            (self.state.plan.observe if watching else self.state.plan.unobserve)(self._on_change, "change")
        self._watching = watching

    def measure(self) -> None:
        """Measure what is not known yet of the formats, on the first samples; check what was proposed here."""
        if isinstance(self.state, Tuning):
            self.state.live.follow("open")
            if self._proposes and self.state.live.checked is None:
                self.state.live.check()

    def validate(self) -> None:
        """Measure what is drafted and what is committed on all samples."""
        self.tuning.live.validate()

    def sense(self) -> None:
        """Measure what each tensor's format costs the output."""
        self.tuning.live.sense()

    def step(self, name: str, **options: Any) -> "Future[Any]":
        """Do a step of the plan beside the caller, on the data that it was calibrated with.

        Raises
        ------
        PlanError
            There is no such step, or no data that can be read again. What the step raises is in the future.
        """
        step, tuning = find_step(name), self.tuning
        if tuning.data is None:
            raise PlanError(tuning.lack)
        data = tuning.data

        def work(job: Job) -> Any:
            def on_progress(what: str, done: int, total: int) -> None:
                job.advance(done, total, f"in {what}")

            reasons: list[str] = []
            return tuning.plan.step(
                step.name,
                data,
                progress=on_progress,
                stop=lambda: job.stopped,
                on_unchanged=reasons.append,
                **options,
            )

        return self._begin(step.title, work)

    def export(self, name: str, path: str | Path) -> "Future[Any]":
        """Write an export beside the caller.

        Raises
        ------
        ExportError
            There is no such export. What it raises itself is in the future.
        """
        if name not in EXPORTS:
            raise ExportError(f"there is no export {name!r}; known are {', '.join(EXPORTS)}")
        plan, data = self.plan, self.validation if self.validation is not None else self.tuning.data
        return self._begin("export", lambda job: EXPORTS[name].write(plan, Path(path), plan.model, data))

    def _begin(self, what: str, work: Callable[[Job], Any]) -> "Future[Any]":
        done: Future[Any] = Future()

        def run(job: Job) -> None:
            try:
                done.set_result(work(job))
            except Exception as error:
                done.set_exception(error)
                raise

        self._jobs.ask(what, run)
        return done

    # What happens

    def _on_step(self, calibration: Calibration) -> None:
        if isinstance(self.state, Calibrating):
            self.state = Counting(self.state.run, self.state.held_back, Plan(calibration))
            self._listener.on_captured(self.state.plan)
        self._listener.on_counts()

    def _on_end(self, problem: Exception | None) -> None:
        try:
            self._settle(problem)
        finally:
            self._settled.set()

    def _settle(self, problem: Exception | None) -> None:
        """Propose formats for what was counted, and begin to measure them."""
        if not isinstance(self.state, Counting):
            self.state = Failed(problem or CaptureError("the calibration ended before the network was captured"))
            self._listener.on_calibrated(problem)
            return
        plan, held_back = self.state.plan, self.state.held_back
        try:
            untouched = [name for name in plan if plan[name] is None and name not in plan.drafts]
            plan.propose(WORD_LENGTH, SCHEME, names=untouched)
            if plan.drafts:
                plan.commit(f"{SCHEME}, {WORD_LENGTH} bits")
        except QwidgetsError as error:
            problem = problem or error
        if problem is not None:
            self._data = None  # what could not be read or fed once cannot be measured on either
        # What is held back is kept from the steps too: they must not be judged on what they looked at.
        again = self._data is not None and can_be_read_again(self._data)
        self.state = self._tuning(plan, held_back.batches, held_back if again else None, READ_ONCE)
        if self._watching:
            plan.observe(self._on_change, "change")
        self._listener.on_calibrated(problem)
        if self._watching:
            self.measure()

    def _tuning(self, plan: Plan, held_back: Iterable[Any], data: Iterable[Any] | None, lack: str) -> Tuning:
        material = Material.of(plan.model, self.validation, self._data, held_back, self.evaluate)
        live = LiveValidation(plan, material, self._on_measured, self._on_pace, self._on_problem)
        return Tuning(plan, live, data, lack)

    def _on_change(self, event: Any) -> None:
        self.tuning.live.follow(event.new.kind)

    def _on_measured(self) -> None:
        self._listener.on_measured()

    def _on_pace(self, pace: Pace | None) -> None:
        self._listener.on_pace(pace)

    def _on_problem(self, problem: Exception) -> None:
        self._listener.on_problem(problem)


def _check(model: object, data: object, evaluate: object, validation: object) -> None:
    if isinstance(model, Plan):
        if data is not None:
            raise PlanError("Workbench(plan) takes no data to calibrate with; Workbench(plan, validation=batches) does")
    elif not isinstance(model, nn.Module):
        raise PlanError(f"Workbench shows a Plan or a torch.nn.Module, not {model!r:.80}")
    elif data is None:
        raise PlanError("Workbench(model, data) needs batches to calibrate with, such as a DataLoader")
    if evaluate is not None and not callable(evaluate):
        raise PlanError(f"evaluate must be a function of a network that gives a number, not {evaluate!r:.80}")
    if validation is not None and not can_be_read_again(validation):
        raise PlanError(
            f"validation must be batches that can be read again and again, such as a DataLoader or a list, not "
            f"{validation!r:.80}"
        )
