"""What was found: the rows that cost most, why, and what was tried against it with its effect."""

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import pandas as pd

from qwidgets.adjusting import Adjusted
from qwidgets.remedies.cause import Cause
from qwidgets.shown_table import ShownTable
from qwidgets.tuning import Format, PlanState
from qwidgets.validation import SHARES

PRICE_DB = 1.0
"""What costs something beside has to gain so much more than what does not, to stand before it."""


@dataclass(frozen=True)
class Remedy:
    """A change that was tried, with what it did to the network's output.

    Attributes
    ----------
    title
        What it is, in words.
    formats, before
        Of the rows that it changes: with it, and as they were when it was tried.
    figures
        Of the output with it: ``sqnr_db``, of the worst one, in dB, and the numbers of the metric.
    gain_db
        How much higher the SQNR is with it.
    more_bytes
        How much more memory weights and biases take, packed at their word lengths; negative where it is less.
    more_bits
        How many bits more, or fewer, the values of activations take that it changes, at most.
    kept_float
        Whether it leaves a row in float.
    losses
        What the target cannot have any more, in words; empty where no target was named.
    step
        The name of the step that it is; "" where it is formats alone.
    found
        What that step found; None where it is formats alone.
    tried_on
        The plan that it was tried on, which nobody changes.
    """

    title: str
    formats: Mapping[str, Format]
    before: Mapping[str, Format]
    figures: Mapping[str, float]
    gain_db: float
    more_bytes: int = 0
    more_bits: int = 0
    kept_float: bool = False
    losses: tuple[str, ...] = ()
    step: str = ""
    found: Adjusted | None = None
    tried_on: PlanState | None = field(default=None, repr=False, compare=False)

    def holds_for(self, plan: PlanState) -> bool:
        """Whether a plan still has committed what it was tried on."""
        return _same(self.tried_on, plan)

    def is_taken_in(self, plan: PlanState) -> bool:
        """Whether a plan, its drafts counted, has what it changes."""
        if self.found is not None:
            return plan.adjustments is self.found.adjustments
        return all(plan[name] == fmt for name, fmt in self.formats.items())

    @property
    def price(self) -> str:
        """What it costs beside, in words; "" where nothing.

        Examples
        --------
        >>> Remedy("a longer word", {}, {}, {}, 3.0, more_bytes=1152).price
        '1,152 bytes more'
        >>> Remedy("a longer word", {}, {}, {}, 3.0, more_bits=2, losses=("esp_dl takes 8 or 16 bits",)).price
        '2 bits more a value; esp_dl takes 8 or 16 bits'
        """
        parts = []
        if self.more_bytes and not self.kept_float:
            parts.append(f"{abs(self.more_bytes):,} bytes {'more' if self.more_bytes > 0 else 'fewer'}")
        if self.more_bits:
            unit = "bit" if abs(self.more_bits) == 1 else "bits"
            parts.append(f"{abs(self.more_bits)} {unit} {'more' if self.more_bits > 0 else 'fewer'} a value")
        if self.kept_float:
            parts.append("computed in float")
        return "; ".join([*parts, *self.losses])


def _same(one: PlanState | None, other: PlanState) -> bool:
    """Whether two plans have committed the same, and adjusted the same."""
    return one is not None and one.committed == other.committed and one.adjustments is other.adjustments


def in_order(remedies: Iterable[Remedy]) -> tuple[Remedy, ...]:
    """Give remedies in the order of what they gain, those that leave something in float behind the others.

    Examples
    --------
    >>> longer, higher = Remedy("longer", {}, {}, {}, 9.5, more_bytes=36), Remedy("higher", {}, {}, {}, 9.0)
    >>> [remedy.title for remedy in in_order([longer, higher])]
    ['higher', 'longer']
    """

    def order(remedy: Remedy) -> tuple[bool, float]:
        return remedy.kept_float, (PRICE_DB if remedy.price else 0.0) - remedy.gain_db

    return tuple(sorted(remedies, key=order))


@dataclass(frozen=True)
class Finding:
    """A row that costs much, or the network as a whole, with what might mend it.

    Attributes
    ----------
    row
        Its name; "" for the network as a whole.
    alone_db
        SQNR of the output, in dB, with this row quantized and all others in float; NaN for the whole.
    cost_db
        How much higher the SQNR of the output is with this row in float; NaN for the whole. Where several rows break a
        network, leaving one of them out hardly shows: ``alone_db`` does.
    metric_costs
        The same for each number of the metric, by its name.
    causes
        Why, the most telling first: that of the remedy which helps most.
    remedies
        What helps, the most first, what is in float last: what takes off error by more than chance would have it, or
        memory at no loss.
    tried
        How many remedies were tried.
    """

    row: str
    alone_db: float
    cost_db: float
    metric_costs: Mapping[str, float]
    causes: tuple[Cause, ...]
    remedies: tuple[Remedy, ...]
    tried: int

    @property
    def why(self) -> str:
        """The causes in a sentence."""
        return "; ".join(cause.text for cause in self.causes) or "nothing about it stands out"


@dataclass(frozen=True)
class Findings(Sequence[Finding]):
    """The rows that cost a network most, the dearest first, and the network as a whole behind them.

    Attributes
    ----------
    network
        Its name.
    figures
        Of the output as it is: ``sqnr_db``, of the worst one, in dB, and the numbers of the metric.
    samples
        How many samples all of this was measured on.
    found
        What a sequence of them gives.
    complete
        Whether nothing is left to be looked at.
    tried_on
        The plan that they are of, which nobody changes.
    """

    network: str
    figures: Mapping[str, float]
    samples: int
    found: tuple[Finding, ...] = ()
    complete: bool = False
    tried_on: PlanState | None = field(default=None, repr=False, compare=False)

    @overload
    def __getitem__(self, place: int) -> Finding: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Finding, ...]: ...
    def __getitem__(self, place: int | slice) -> Finding | tuple[Finding, ...]:
        return self.found[place]

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.found)

    def hold_for(self, plan: PlanState) -> bool:
        """Whether a plan still has committed what they are of."""
        return _same(self.tried_on, plan)

    def of(self, row: str) -> Finding | None:
        """Give what was found of a row; None where it was not looked at."""
        return next((finding for finding in self.found if finding.row == row), None)

    def table(self) -> ShownTable:
        """A line for each remedy, or one without where nothing helps.

        Indexed by ``row``, the network's name for the whole: ``alone_db``, ``cost_db``, ``why``, ``remedy``,
        ``sqnr_db`` with it, ``gain_db``, the numbers of the metric with it, ``price``.
        """
        metrics = [name for name in self.figures if not name.endswith("sqnr_db")]
        records: list[list[object]] = []
        rows: list[str] = []
        for finding in self.found:
            about = [finding.alone_db, finding.cost_db, finding.why]
            rows += [finding.row or self.network] * max(len(finding.remedies), 1)
            for remedy in finding.remedies:
                numbers = [remedy.figures[name] for name in metrics]
                records.append(
                    [*about, remedy.title, remedy.figures["sqnr_db"], remedy.gain_db, *numbers, remedy.price]
                )
            if not finding.remedies:
                records.append([*about, "", math.nan, math.nan, *[math.nan] * len(metrics), ""])
        columns = ["alone_db", "cost_db", "why", "remedy", "sqnr_db", "gain_db", *metrics, "price"]
        return ShownTable(records, index=pd.Index(rows, name="row"), columns=columns)

    def effect(self, remedy: Remedy) -> str:
        """What a remedy does, in words: to the SQNR and to the numbers of the metric that it changes.

        Examples
        --------
        >>> findings = Findings("Net", {"sqnr_db": 6.0, "agreement": 0.5}, 32)
        >>> findings.effect(Remedy("windows per channel", {}, {}, {"sqnr_db": 15.0, "agreement": 0.9}, 9.0))
        '6.0 → 15.0 dB, agreement 0.500 → 0.900'
        """
        parts = [f"{self.figures['sqnr_db']:.1f} → {remedy.figures['sqnr_db']:.1f} dB"]
        for name, number in self.figures.items():
            before, after = f"{number:.3f}", f"{remedy.figures[name]:.3f}"
            if not name.endswith("sqnr_db") and before != after:
                parts.append(f"{SHARES.get(name, name)} {before} → {after}")
        return ", ".join(parts)

    def __str__(self) -> str:
        if not self.figures:
            return f"{self.network}: stopped before anything was measured"
        lines = [f"{self.network}: {self.figures['sqnr_db']:.1f} dB on {self.samples} samples"]
        for finding in self.found:
            alone = "" if math.isnan(finding.alone_db) else f", alone {finding.alone_db:.1f} dB"
            lines.append(f"{finding.row or 'the network as a whole'}{alone}: {finding.why}")
            for remedy in finding.remedies:
                price = f" ({remedy.price})" if remedy.price else ""
                lines.append(f"    {remedy.title}: {self.effect(remedy)}{price}")
            if not finding.remedies:
                lines.append(f"    nothing helps by itself; {finding.tried} changes were tried")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self).partition(chr(10))[0])}</p>{self.table()._repr_html_()}"
