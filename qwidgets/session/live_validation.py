"""Measures what a plan's formats do to its network, beside the notebook, whenever they change or somebody asks.

It decides what is measured when, and on which data; `measured` remembers, `lane` runs it, and whoever is interested is
called. It draws nothing, and changes neither the plan nor the model.
"""

import copy
import dataclasses
import math
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
from torch import nn

from qwidgets.plan import Plan
from qwidgets.session.job_queue import Job, JobQueue, Pace
from qwidgets.session.results_cache import (
    Captured,
    Evaluate,
    ResultsCache,
    as_committed,
    as_if_committed,
    evaluated,
    has_same_formats,
    measure,
)
from qwidgets.session.samples import Count, can_be_read_again, first, size_of, total_of
from qwidgets.session.throttle import Debounce
from qwidgets.simulation import quantize
from qwidgets.validation import Health, health, sensitivity

FEW = 128
"""Samples that are looked at whenever a draft changes."""

PAUSE = 0.15
"""Seconds without another change after which a draft is measured."""


@dataclasses.dataclass(frozen=True)
class Checked:
    """What the short check of a proposal said.

    Attributes
    ----------
    health
        What it found.
    over
        What it was made on, in words.
    """

    health: Health
    over: str
    state: Plan

    def holds_for(self, plan: Plan) -> bool:
        """Whether a plan, its drafts counted, still has the formats that were checked."""
        return has_same_formats(plan, self.state)


DRAFTING = ("draft", "revert")


@dataclasses.dataclass(frozen=True)
class Material:
    """What there is to measure with.

    Attributes
    ----------
    model
        The network; None where nobody knows it.
    validation
        Batches, labelled or not, that can be read again and again; None where there are none.
    held_back
        Batches that the calibration has not seen; empty where none could be spared.
    evaluate
        The user's measure of a network.
    """

    model: nn.Module | None
    validation: Iterable[Any] | None
    held_back: tuple[Any, ...] = ()
    evaluate: Evaluate | None = None

    @classmethod
    def of(
        cls,
        model: nn.Module | None,
        validation: Iterable[Any] | None,
        calibration: Iterable[Any] | None,
        held_back: Iterable[Any],
        evaluate: Evaluate | None,
    ) -> "Material":
        """Choose: the data to validate with if there is any, else that for the calibration, else what was held back."""
        kept = tuple(held_back)
        again = calibration if can_be_read_again(calibration) else None
        chosen = validation if validation is not None else again
        return cls(model, chosen if chosen is not None else kept or None, kept, evaluate)

    @property
    def lack(self) -> str:
        """What is missing to measure anything; "" if nothing is."""
        if self.model is None:
            return "This plan came from a file and does not know its network: calibrate it, or Workbench(model, data)"
        if self.validation is None:
            return "There is no data to measure on: Workbench(…, validation=batches) gives some"
        return ""


class LiveValidation:
    """Measures a plan.

    Parameters
    ----------
    plan
        What is measured.
    material
        The network and the data.
    on_measured
        Called when more is known.
    on_pace
        Called with how far the job at hand is; None when there is none.
    on_error
        Called with what went wrong; the plan and the model are as they were.

    Attributes
    ----------
    measured
        What is known.
    unit
        What a sample is called.
    checked
        What the last check said.
    sensitivity
        What each tensor costs, and what that was measured on.
    """

    def __init__(
        self,
        plan: Plan,
        material: Material,
        on_measured: Callable[[], None],
        on_pace: Callable[[Pace | None], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self.measured = ResultsCache()
        self.material = material
        self._plan = plan
        self._on_measured, self._on_pace = on_measured, on_pace
        self._reading = threading.Lock()
        self._few: list[Any] | None = None
        self._total: int | None = None if material.validation is None else total_of(material.validation)
        self.unit = _unit(plan)
        self.checked: Checked | None = None
        self.sensitivity: tuple[pd.DataFrame, str] | None = None
        self._model = material.model
        self._captured = None if material.model is None else Captured(material.model)
        # The user's function may do what it likes with its model, and the notebook has that one in its hands.
        self._evaluated_model = (
            None if material.model is None or material.evaluate is None else _twin_of(material.model)
        )
        self._quick, self._long, self._user = (
            JobQueue(name, self._report_pace, on_error) for name in ("draft", "validation", "evaluation")
        )
        self._drafted = Debounce(self._measure_draft, PAUSE, math.inf)

    # What is asked

    def follow(self, kind: str) -> None:
        """Measure what a change of the plan made new, on the first samples."""
        if kind in DRAFTING:
            self._drafted()
        elif kind != "lock":
            self._measure_draft()
            self._evaluate_commit()

    def validate(self) -> None:
        """Measure what is drafted and what is committed on all samples."""
        self._long.ask("validating", self._validate)
        self._evaluate_missing()

    def check(self) -> None:
        """Check in a word what is drafted, on data that was held back where there is any."""
        if not self.material.lack:
            self._quick.ask("checking", self._check)

    def sense(self) -> None:
        """Measure what each tensor's format, drafts counted, costs the output, on the first samples."""
        self._long.ask("sensitivity", self._sense)

    def stop(self) -> None:
        """End what runs; what it has measured so far stays."""
        self._drafted.cancel()
        for lane in (self._quick, self._long, self._user):
            lane.stop()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is asked any more; say whether that is so."""
        self._drafted.flush()
        return all(lane.wait(seconds) for lane in (self._quick, self._user, self._long))

    @property
    def busy(self) -> bool:
        """Whether anything is being measured."""
        return any(lane.busy for lane in (self._quick, self._long, self._user))

    # What is done about it

    def _measure_draft(self) -> None:
        if not self.material.lack:
            self._quick.ask("measuring", self._look)
        self._evaluate_draft()

    def _first(self) -> list[Any]:
        """Read the first samples once; a loader may shuffle, and each look shall be at the same."""
        assert self.material.validation is not None
        with self._reading:
            if self._few is None:
                self._few = first(self.material.validation, FEW)
                found = sum(map(size_of, self._few))
                if self._total is None and found < FEW:
                    self._total = found
            return self._few

    def _look(self, job: Job) -> None:
        assert self._captured is not None
        few = self._first()
        for state in (as_if_committed(self._plan), as_committed(self._plan)):
            if self.measured.few(state, drafted=False) is None:
                result = measure(self._captured, state, few, self._total, self.unit, job)
                job.go_on()
                self.measured.add(state, result, few=True)
                self._on_measured()

    def _validate(self, job: Job) -> None:
        assert self._captured is not None
        assert self.material.validation is not None
        states = [as_if_committed(self._plan)]
        if self._plan.drafts:
            states.append(as_committed(self._plan))
        for index, state in enumerate(states):
            run = (index, len(states))
            result = measure(self._captured, state, self.material.validation, self._total, self.unit, job, run)
            if self._total is None and not job.stopped:
                self._total = result.over.samples
                result = dataclasses.replace(result, over=Count(self._total, self._total, self.unit))
            self.measured.add(state, result, few=False)
            self._on_measured()
            job.go_on()

    def _check(self, job: Job) -> None:
        assert self._model is not None
        data = list(self.material.held_back) or self._first()
        state = as_if_committed(self._plan)
        found = health(self._model, state, data)
        job.go_on()
        size = size_of(data[-1]) if data else 0
        over = f"{size:,} {'held-back ' if self.material.held_back else ''}{self.unit}"
        self.checked = Checked(found, over, state)
        self._on_measured()

    def _sense(self, job: Job) -> None:
        assert self._model is not None
        few = self._first()
        measured = 0

        def stop() -> bool:
            nonlocal measured
            measured += 1
            job.advance(measured, 1 + len(self._plan), "tensors")
            return job.stopped

        report = sensitivity(self._model, as_if_committed(self._plan), few, progress=False, stop=stop)
        if report["alone_sqnr_db"].isna().all():
            job.go_on()
        ended = f"stopped after {measured} of {1 + len(self._plan)} tensors, " if job.stopped else ""
        over = Count(sum(map(size_of, few)), self._total, self.unit)
        self.sensitivity = report, f"{ended}measured on {over}"
        self._on_measured()

    def _evaluate_commit(self) -> None:
        if self._evaluated_model is None:
            return
        if self.measured.in_float is None and not self._user.has("evaluating in float"):
            self._user.ask("evaluating in float", self._evaluate_float)
        self._user.ask("evaluating the commit", lambda job: self._evaluate(as_committed(self._plan), job))

    def _evaluate_draft(self) -> None:
        if self._evaluated_model is not None and self._plan.drafts:
            self._user.ask("evaluating the draft", lambda job: self._evaluate(as_if_committed(self._plan), job))

    def _evaluate_missing(self) -> None:
        if not self._user.busy:
            self._evaluate_commit()
            self._evaluate_draft()

    def _evaluate_float(self, job: Job) -> None:
        assert self._evaluated_model is not None
        assert self.material.evaluate is not None
        if self.measured.in_float is None:
            self.measured.in_float = evaluated(self._evaluated_model, self.material.evaluate, job)
            self._on_measured()

    def _evaluate(self, state: Plan, job: Job) -> None:
        assert self._model is not None
        assert self.material.evaluate is not None
        if self.measured.number(state, drafted=False) is None:
            number = evaluated(quantize(self._model, state), self.material.evaluate, job)
            self.measured.add_number(state, number)
            self._on_measured()

    def _report_pace(self, pace: Pace | None) -> None:
        if pace is not None or not self.busy:
            self._on_pace(pace)


def _unit(plan: Plan) -> str:
    """What a sample of the network's input is called."""
    inputs = [row for row in plan.rows if row.kind == "input"]
    is_image = len(inputs) == 1 and len(inputs[0].shape) == 4 and inputs[0].shape[1] in (1, 3, 4)
    return "images" if is_image else "samples"


def _twin_of(model: nn.Module) -> nn.Module:
    """Give a model of the same modules that shares the parameters and buffers of a model."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared)
