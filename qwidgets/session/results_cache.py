"""What was measured of a plan's formats, under the formats that it was measured for.

A figure belongs to the formats that it was measured with. Kept so, none is ever shown for others, and undoing a step
brings its figures back without measuring anew. This module does what
`qwidgets.validate` does and remembers; it draws nothing.
"""

import dataclasses
import math
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from torch import nn

from qwidgets.errors import DataError
from qwidgets.network import Network
from qwidgets.plan import Plan
from qwidgets.session.job_queue import Job
from qwidgets.session.samples import Count, Reading, total_of
from qwidgets.simulation import captured
from qwidgets.tuning import PlanState
from qwidgets.validation import compare

Evaluate = Callable[[nn.Module], float]
Run = tuple[int, int]

MOST_KEPT = 64
"""States of a plan that are remembered."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What `validate` found for one set of formats.

    Attributes
    ----------
    metric
        The name of its number; "" where it has none.
    in_float, quantized
        That number, for the network in float and under the formats.
    sqnr_db
        Of the network's output, the worst one where there are several.
    rows
        The SQNR of each tensor as it is computed, in dB.
    over
        The samples that it was measured on.
    """

    metric: str
    in_float: float
    quantized: float
    sqnr_db: float
    rows: Mapping[str, float]
    over: Count


@dataclasses.dataclass
class _Known:
    """All that is known of one set of formats."""

    kept_alive: object
    few: Result | None = None
    most: Result | None = None
    number: float | None = None


class Captured:
    """A network that is captured once for many looks; anew only where its weights have changed.

    Capturing takes longer than a look at some samples, and keeps the processor from what is drawn meanwhile.

    Attributes
    ----------
    model
        What is captured.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._lock = threading.Lock()
        self._versions: tuple[object, ...] = ()
        self._network: Network | None = None

    def of(self, plan: Plan) -> Network:
        """Give the network that a plan is of."""
        with self._lock:
            tensors = [*self.model.parameters(), *self.model.buffers()]
            versions = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
            if self._network is None or versions != self._versions:
                self._network, self._versions = captured(self.model, plan), versions
            return self._network


class ResultsCache:
    """The figures of each state of a plan.

    Attributes
    ----------
    in_float
        What the user's function gave for the network in float.
    """

    def __init__(self) -> None:
        self.in_float: float | None = None
        self._known: dict[Hashable, _Known] = {}

    def few(self, plan: Plan, *, drafted: bool) -> Result | None:
        """Give what was found over the first samples only; with the plan's drafts, or without."""
        known = self._known.get(_key(plan, drafted))
        return known.few if known else None

    def best(self, plan: Plan, *, drafted: bool) -> Result | None:
        """Give what was found over the most samples."""
        known = self._known.get(_key(plan, drafted))
        return (known.most or known.few) if known else None

    def number(self, plan: Plan, *, drafted: bool) -> float | None:
        """Give what the user's function gave."""
        known = self._known.get(_key(plan, drafted))
        return known.number if known else None

    def add(self, plan: Plan, result: Result, *, few: bool) -> None:
        """Remember a result for what a plan has committed."""
        known = self._of(plan)
        if few:
            known.few = result
        elif known.most is None or result.over.samples >= known.most.over.samples:
            known.most = result

    def add_number(self, plan: Plan, number: float) -> None:
        """Remember what the user's function gave for what a plan has committed."""
        self._of(plan).number = number

    def _of(self, plan: Plan) -> _Known:
        key = _key(plan, drafted=False)
        known = self._known.pop(key, None) or _Known(plan.adjustments)
        while len(self._known) >= MOST_KEPT:
            del self._known[next(iter(self._known))]
        self._known[key] = known
        return known


def as_if_committed(plan: Plan) -> Plan:
    """Give a plan of its own that has the drafts committed.

    It also holds still while the other is worked on.
    """
    trial = plan.copy()
    if trial.drafts:
        trial.commit()
    return trial


def has_same_formats(plan: Plan, state: PlanState) -> bool:
    """Whether a plan, its drafts counted, has what a state has committed, and its adjustments."""
    return all(plan[name] == state.committed[name] for name in plan) and plan.adjustments is state.adjustments


def as_committed(plan: Plan) -> Plan:
    """Give a plan of its own without the drafts."""
    trial = plan.copy()
    trial.unlock(*trial.locked)
    trial.revert()
    return trial


def measure(
    captured: Captured, trial: Plan, data: Iterable[Any], total: int | None, unit: str, job: Job, run: Run = (0, 1)
) -> Result:
    """Validate what a plan has committed, over as much of the data as there is until the job is stopped.

    Parameters
    ----------
    total
        How many samples there are in all; the data may hold fewer.
    run
        Which of how many times this is that the job reads the data.

    Raises
    ------
    Stopped
        Before anything was measured.
    QwidgetsError
        As `validate`.
    """
    each = total_of(data) or total
    whole = None if each is None else each * run[1]
    reading = Reading(data, lambda done: job.advance(done + (each or 0) * run[0], whole, unit), lambda: job.stopped)
    try:
        report = compare(captured.of(trial), captured.model, trial, reading)
    except DataError:
        if reading.ended_early:
            job.go_on()
        raise
    metric = report[report["kind"] == "metric"]
    rows = report[~report["kind"].isin(["metric", "network", "output"])]
    return Result(
        metric=str(metric.index[0]) if len(metric) else "",
        in_float=float(metric["float"].iloc[0]) if len(metric) else math.nan,
        quantized=float(metric["quantized"].iloc[0]) if len(metric) else math.nan,
        sqnr_db=float(report[report["kind"] == "network"]["sqnr_db"].iloc[0]),
        rows={str(name): float(value) for name, value in rows["sqnr_db"].items()},
        over=Count(reading.samples, total, unit),
    )


def evaluated(network: nn.Module, evaluate: Evaluate, job: Job) -> float:
    """Ask the user's function for its number; the job can be stopped whenever the network is called.

    Raises
    ------
    Stopped
        The job was stopped.
    DataError
        It gave no number.
    """
    calls = 0

    def before_call(*_: object) -> None:
        nonlocal calls
        job.go_on()
        job.advance(calls, None, "batches")
        calls += 1

    handle = network.register_forward_pre_hook(before_call)
    try:
        value: Any = evaluate(network)
    finally:
        handle.remove()
    job.go_on()
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(f"evaluate(model) gave {value!r:.80}; it must give a number, such as the accuracy") from None


def _key(plan: Plan, drafted: bool) -> Hashable:
    formats = tuple(plan.committed.items()) if not drafted else tuple((name, plan[name]) for name in plan)
    # Adjustments are frozen and compared by identity; the entry keeps them alive, so that no other gets their number.
    return formats, id(plan.adjustments)
