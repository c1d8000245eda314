"""A network, its plan, and all that is done with them beside the caller: a workbench without a screen.

A :class:`Session` calibrates, measures what drafts and commits do, runs steps and exports, each on a thread of its own,
with progress and a way to stop. What it is at is one of the classes of `qwidgets.session.states`. Views listen to it; a
script waits for it.
"""

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

from torch import nn

from qwidgets.adjusting import find_step
from qwidgets.calibration import Calibration
from qwidgets.errors import CaptureError, ExportError, PlanError, QwidgetsError
from qwidgets.export import EXPORTS
from qwidgets.plan import Plan
from qwidgets.session.arguments import check_arguments
from qwidgets.session.background import CalibrationRun
from qwidgets.session.future_jobs import FutureJobs
from qwidgets.session.job_queue import Job
from qwidgets.session.listener import Listener
from qwidgets.session.live_validation import LiveValidation, Material
from qwidgets.session.log import Log
from qwidgets.session.paces import Paces
from qwidgets.session.remedy_search import RemedySearch
from qwidgets.session.results_cache import Evaluate
from qwidgets.session.samples import HeldBack, can_be_read_again
from qwidgets.session.states import Calibrating, Counting, Failed, State, Tuning
from qwidgets.session.step_result import StepResult, describe
from qwidgets.session.target_check import TargetCheck
from qwidgets.session.written import size_text

WORD_LENGTH = 8
SCHEME = "mse"

NO_DATA = "there is no data here to look at: Workbench(plan, data) has some, and in Python plan.equalize(data) does it"
NO_MODEL = "this plan came from a file and does not know its network; in Python plan.equalize(data, model) does it"
NOT_YET = "the network is still being calibrated"
READ_ONCE = "the data could be read only once; Workbench(model, data) with a DataLoader or a list can be read again"


class Session:
    """A network's tensors and their formats, calibrated, measured and mended beside the caller.

    Parameters
    ----------
    model
        A network, or a plan.
    data
        Batches to calibrate with; see :func:`qwidgets.calibrate`. Of four or more the last is held back: it is not
        calibrated with, and what a scheme proposes is checked on it. With a plan, what its steps look at.
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
    log
        What was done and what went wrong.

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
        check_arguments(model, data, evaluate, validation)
        self.evaluate, self.validation = evaluate, validation
        self._listener = Listener() if listener is None else listener
        self._data = data
        self._watching, self._proposes = True, not isinstance(model, Plan)
        self.log = Log(self._listener.on_log)
        self._paces = Paces(self._listener.on_pace)
        self._jobs = FutureJobs(self._paces.of("work"))
        self._settled = threading.Event()
        """That a plan is there to be tuned, or never will be, and the listener knows."""
        if isinstance(model, Plan):
            self._settled.set()
            self.state: State = self._tuning(model, (), data, NO_DATA)
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

    @property
    def evaluate_name(self) -> str:
        """The name of the user's function; "" where there is none."""
        return "" if self.evaluate is None else getattr(self.evaluate, "__name__", "evaluate")

    @property
    def data(self) -> Iterable[Any] | None:
        """Batches that can be read again: those to validate with, if any, else those that were calibrated with."""
        if self.validation is not None:
            return self.validation
        return self.state.live.material.validation if isinstance(self.state, Tuning) else None

    @property
    def why_not_measured(self) -> str:
        """Why nothing can be measured just now; "" if it can."""
        if isinstance(self.state, Tuning):
            return self.state.live.material.lack
        return str(self.state.problem) if isinstance(self.state, Failed) else NOT_YET

    @property
    def working(self) -> bool:
        """Whether a step or an export is at work."""
        return self._jobs.busy

    @property
    def why_no_step(self) -> str:
        """Why no step can be taken just now; "" if one can."""
        if not isinstance(self.state, Tuning):
            return NOT_YET
        if self.working:
            return "a step or an export is at work"
        if self.plan.model is None:
            return NO_MODEL
        if self.state.data is None:
            return self.state.lack
        return "commit or revert what is drafted first" if self.plan.drafts else ""

    # What can be asked

    def propose(self, word_length: int, scheme: str, *, per_channel: bool = False) -> None:
        """Draft what a scheme chooses, keeping to the target, and check it in a word.

        Raises
        ------
        PlanError
            The network is still being calibrated.
        QwidgetsError
            As :meth:`qwidgets.Plan.propose`.
        """
        tuning = self.tuning
        plan, target = tuning.plan, tuning.check.target
        left_out = plan.propose(word_length, scheme, per_channel=per_channel, target=target)
        where = ", weights per channel" if per_channel else ""
        where += f", for {target}" if target else ""
        self.log.add(f"{scheme} proposed formats of {word_length} bits{where}: {len(plan.drafts)} drafts")
        if plan.room.formats:
            self.log.add(str(plan.room))
        for name, reason in left_out.items():
            self.log.add(f"{name} was left out: {reason}")
        tuning.live.check()

    def pick_target(self, target: str | None) -> None:
        """Check the plan against a target from now on, and keep proposals to it; None for any.

        Raises
        ------
        PlanError
            The network is still being calibrated, or there is no such target.
        """
        self.tuning.check.pick(target)

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
            tuning = self.state  # what a job changes is measured after it
            over = all(each.wait(seconds) for each in (self._jobs, tuning.live, tuning.check, tuning.remedies))
        if not over:
            raise PlanError(f"the session is still at work after {seconds} s; wait longer, or stop it")
        return self.plan

    def stop(self) -> None:
        """End what is at work; what was counted and measured so far stays."""
        if isinstance(self.state, Calibrating | Counting):
            self.state.run.stop()
        elif isinstance(self.state, Tuning):
            for each in (self.state.live, self.state.check, self.state.remedies):
                each.stop()
        self._jobs.stop()

    def watch(self, watching: bool) -> None:
        """Measure what changes of the plan do, or leave it."""
        if watching is not self._watching and isinstance(self.state, Tuning):
            (self.state.plan.observe if watching else self.state.plan.unobserve)(self._on_change, "change")
        self._watching = watching

    def measure(self) -> None:
        """Measure what is not known yet of the formats, on the first samples; check what was proposed here."""
        if isinstance(self.state, Tuning):
            self.state.check.follow()
            self.state.live.follow("open")
            if self._proposes and self.state.live.checked is None:
                self.state.live.check()

    def validate(self) -> None:
        """Measure what is drafted and what is committed on all samples."""
        self.tuning.live.validate()

    def sense(self) -> None:
        """Measure what each tensor's format costs the output."""
        self.tuning.live.sense()

    def look_for_remedies(self, names: Iterable[str] | None = None, *, steps: bool = False) -> None:
        """Look for what costs most and what would mend it, drafts counted; with ``steps`` try the steps, too.

        See :meth:`qwidgets.Plan.remedies`; what is found is in ``tuning.remedies``.

        Raises
        ------
        PlanError
            The network is still being calibrated, or there is nothing to measure with.
        """
        if self.why_not_measured:
            raise PlanError(self.why_not_measured)
        self.tuning.remedies.look(names, steps=steps)

    def step(self, name: str, **options: Any) -> "Future[StepResult]":
        """Do a step of the plan beside the caller, on the data that it was calibrated with.

        Raises
        ------
        PlanError
            There is no such step, or none can be taken now; :attr:`why_no_step` says why. What the step raises is in
            the future; the plan is then as it was.
        """
        step, plan, data = find_step(name), self.tuning.plan, self.tuning.data
        if (why := self.why_no_step) or data is None:
            raise PlanError(why)

        def work(job: Job) -> StepResult:
            def on_progress(what: str, done: int, total: int) -> None:
                job.advance(done, total, f"in {what}")

            before, reasons = plan.adjustments, list[str]()
            found = plan.step(
                step.name,
                data,
                progress=on_progress,
                stop=lambda: job.stopped,
                on_unchanged=reasons.append,
                **options,
            )
            text = describe(step, found, before, plan.adjustments, reasons)
            self.log.add(text)
            return StepResult(found, text, plan.change)

        return self._jobs.begin(step.title, work)

    def export(self, name: str, path: str | Path) -> "Future[str]":
        """Write an export beside the caller; the future gives what was written, in words.

        Raises
        ------
        ExportError
            There is no such export. What it raises itself is in the future; what was at the path is then as it was.
        """
        if name not in EXPORTS:
            raise ExportError(f"there is no export {name!r}; known are {', '.join(EXPORTS)}")
        export, plan, data = EXPORTS[name], self.plan, self.data
        found = self.state.remedies.told(plan) if export.tells_remedies and isinstance(self.state, Tuning) else {}

        def work(_: Job) -> str:
            export.write(plan, Path(path), plan.model, data, **found)
            text = f"{export.title}: wrote {size_text(Path(path))}"
            self.log.add(text)
            return text

        return self._jobs.begin(f"export for {export.title}", work)

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
                changed = plan.commit(f"{SCHEME}, {WORD_LENGTH} bits").changes
                self.log.add(f"calibrated; {SCHEME} proposed formats of {WORD_LENGTH} bits for {len(changed)} tensors")
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
        on_problem, paces = self._listener.on_problem, self._paces
        live = LiveValidation(plan, material, self._listener.on_measured, paces.of("live"), on_problem)
        check = TargetCheck(plan, self._listener.on_checked)
        remedies = RemedySearch(
            plan, material, data, lambda: check.target, self._listener.on_remedies, paces.of("remedies"), on_problem
        )
        return Tuning(plan, live, data, lack, check, remedies)

    def _on_change(self, event: Any) -> None:
        self.tuning.live.follow(event.new.kind)
        self.tuning.check.follow()
