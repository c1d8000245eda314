"""A short check of a whole network under its plan, in a word: formats can break a network without any row saying so."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pandas as pd
from torch import nn

from qwidgets.feeding import read
from qwidgets.tuning import ACCUMULATOR_BITS, PlanState
from qwidgets.validation.comparison import validate
from qwidgets.validation.row_ablation import RowAblation
from qwidgets.validation.weak_rows import suspects

FINE_DB = 18.0
"""From this SQNR of the output on, in dB, a network is fine. With EfficientNet-Lite0 and photographs, formats that gave
18 to 19 dB left 0.90 to 0.92 of its first choices among 1000 classes as they were in float."""

BROKEN_DB = 10.0
"""Below this it is broken: with 11 dB 0.78 of them stayed, with 6 dB 0.6, with 3 dB 0.4."""


@dataclasses.dataclass(frozen=True)
class Health:
    """How a network is under a plan.

    Attributes
    ----------
    word
        "fine", "look" or "broken": from `FINE_DB` on, between, and below `BROKEN_DB`. It is a rule of thumb, from a
        network that tells 1000 classes apart; `qwidgets.validation.validate` measures what matters to you.
    sqnr_db
        SQNR of the network's output, in dB; of the worst one, where there are several.
    rows
        Empty where the network is fine. Else the rows that cost most, the worst first, by name: the SQNR of the worst
        output, in dB, with that row quantized alone. They are those of the few
        layers at which the SQNR of the activations falls most, and of the few weights that fit their formats worst.
        Where several rows break a network, leaving one of them out would not show it; quantizing it alone does.
    outputs
        Where there are several outputs of floats, the SQNR of each, in dB, by its place: ``output[1]``.
    overflows
        How many sums did not fit their accumulators, by the row that they end in, the most first; no format of one row
        shows that. ``plan.propose`` chooses formats whose sums fit.
    needed_bits
        The width of accumulators that would hold these rows' sums, whatever the data; 0 where all fit.
    """

    word: Literal["fine", "look", "broken"]
    sqnr_db: float
    rows: "pd.Series[float]"
    outputs: "pd.Series[float]" = dataclasses.field(default_factory=lambda: _series({}, "sqnr_db"))
    overflows: "pd.Series[int]" = dataclasses.field(default_factory=lambda: _counts({}))
    needed_bits: int = 0

    def __str__(self) -> str:
        each = ", ".join(f"{name} {sqnr_db:.1f} dB" for name, sqnr_db in self.outputs.items())
        costly = ", ".join(f"{row} {sqnr_db:.1f} dB" for row, sqnr_db in self.rows.head(3).items())
        full = ", ".join(f"{row} ({count})" for row, count in self.overflows.head(3).items())
        parts = [f"{self.word}: {self.sqnr_db:.1f} dB"]
        if each:
            parts.append(f"of the outputs: {each}")
        if full:
            parts.append(f"sums that do not fit their accumulators: {full}, which would need {self.needed_bits} bits")
        if costly:
            parts.append(f"alone: {costly}")
        return "; ".join(parts)


def health(model: nn.Module, plan: PlanState, data: Iterable[Any], accumulator_bits: int = ACCUMULATOR_BITS) -> Health:
    """Check what the plan's committed formats do to the network's output, on the last batch of the data.

    That batch should be held back: let :func:`qwidgets.calibrate` see the others only, or give a list of one batch that
    it has not seen. It takes a run of the network in float and one under the plan; where the network is not fine, the
    same once more and at most one for each row that is looked at more closely.

    Parameters
    ----------
    model, plan, data
        As for :func:`qwidgets.validate`.
    accumulator_bits
        As for :func:`qwidgets.quantize`.

    Raises
    ------
    PlanError
        The plan is of another network, or no accumulator has that width.
    DataError
        There is no batch, or it cannot be read or fed.

    Examples
    --------
    >>> from qwidgets.calibration import calibrate
    >>> from qwidgets.examples import digits
    >>> example = digits()
    >>> *seen, held_back = example.calibration
    >>> plan = calibrate(example.model, seen, progress=False).propose(word_length=8)
    >>> health(example.model, plan, [held_back]).word
    'fine'
    """
    last = collections.deque(read(data), maxlen=1)
    study = RowAblation(model, plan, last, _nothing, accumulator_bits)
    figures = study.whole().figures
    sqnr_db = figures.pop("sqnr_db")
    outputs = _series({name.removesuffix("_sqnr_db"): figure for name, figure in figures.items()}, "sqnr_db")
    accumulators = study.accumulators
    counts = {row: accumulator.overflows for row, accumulator in accumulators.items() if accumulator.overflows}
    overflows = _counts(counts).sort_values(ascending=False, kind="stable")
    needed = max((accumulators[row].needed_bits for row in counts), default=0)
    if sqnr_db >= FINE_DB:
        return Health("fine", sqnr_db, _series({}, "alone_sqnr_db"), outputs, overflows, needed)
    report = validate(model, plan, last, _nothing, accumulator_bits)
    alone = {row: study.alone(row).figures["sqnr_db"] for row in study.sorted(suspects(plan, report["sqnr_db"]))}
    word: Literal["look", "broken"] = "look" if sqnr_db >= BROKEN_DB else "broken"  # also where it is NaN
    return Health(word, sqnr_db, _series(alone, "alone_sqnr_db").sort_values(), outputs, overflows, needed)


def _counts(counts: Mapping[str, int]) -> "pd.Series[int]":
    return pd.Series(counts, dtype="int64", name="overflows")


def _series(figures: Mapping[str, float], name: str) -> "pd.Series[float]":
    return pd.Series(figures, dtype=float, name=name)


def _nothing(outputs: Any, targets: Any) -> dict[str, float]:
    """Judge by the SQNR alone."""
    return {}
