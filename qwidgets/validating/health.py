"""A short check of a whole network under its plan, in a word: formats can break a network without any row saying so."""

import collections
import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Literal

import pandas as pd
from torch import nn

from qwidgets.plan import Plan
from qwidgets.validating.feeding import read
from qwidgets.validating.one_at_a_time import OneAtATime

FINE_DB = 18.0
"""From this SQNR of the output on, in dB, a network is fine. With EfficientNet-Lite0 and photographs, formats that gave
18 to 19 dB left 0.90 to 0.92 of its first choices among 1000 classes as they were in float."""

BROKEN_DB = 10.0
"""Below this it is broken: with 11 dB 0.78 of them stayed, with 6 dB 0.6, with 3 dB 0.4."""

SUSPECTS = 8
"""So many rows are looked at more closely."""


@dataclasses.dataclass(frozen=True)
class Health:
    """How a network is under a plan.

    Attributes
    ----------
    word
        "fine", "look" or "broken": from `FINE_DB` on, between, and below `BROKEN_DB`. It is a rule of thumb, from a
        network that tells 1000 classes apart; `qwidgets.validation.validate` measures what matters to you.
    sqnr_db
        SQNR of the network's outputs, in dB.
    rows
        Empty where the network is fine. Else the rows that cost most, the worst first, by name: the SQNR of the
        outputs, in dB, with that row quantized alone. They are the `SUSPECTS` whose formats fit their own tensors
        worst. Where several rows break a network, leaving one of them out would not show it; quantizing it alone does.
    """

    word: Literal["fine", "look", "broken"]
    sqnr_db: float
    rows: "pd.Series[float]"

    def __str__(self) -> str:
        costly = ", ".join(f"{row} {sqnr_db:.1f} dB" for row, sqnr_db in self.rows.head(3).items())
        return f"{self.word}: {self.sqnr_db:.1f} dB" + (f"; alone: {costly}" if costly else "")


def health(model: nn.Module, plan: Plan, data: Iterable[Any]) -> Health:
    """Check what the plan's committed formats do to the network's output, on the last batch of the data.

    That batch should be held back: let :func:`qwidgets.calibrate` see the others only, or give a list of one batch that
    it has not seen. It takes a run of the network in float and one under the plan; where the network is not fine, at
    most one more for each row that is looked at more closely.

    Raises
    ------
    PlanError
        The plan is of another network.
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
    study = OneAtATime(model, plan, last, _nothing)
    sqnr_db = study.whole()["sqnr_db"]
    if sqnr_db >= FINE_DB:
        return Health("fine", sqnr_db, pd.Series(dtype=float, name="alone_sqnr_db"))
    alone = {row: study.alone(row)["sqnr_db"] for row in study.sorted(_suspects(plan))}
    word: Literal["look", "broken"] = "look" if sqnr_db >= BROKEN_DB else "broken"  # also where it is NaN
    return Health(word, sqnr_db, pd.Series(alone, dtype=float, name="alone_sqnr_db").sort_values())


def _nothing(outputs: Any, targets: Any) -> dict[str, float]:
    """Judge by the SQNR alone."""
    return {}


def _suspects(plan: Plan) -> list[str]:
    """Name the rows whose formats fit their own tensors worst, by their histograms."""
    previews = {name: plan.committed_preview(name) for name in plan.names}
    fits = {name: preview.sqnr_db for name, preview in previews.items() if preview and not math.isnan(preview.sqnr_db)}
    return sorted(fits, key=fits.__getitem__)[:SUSPECTS]
