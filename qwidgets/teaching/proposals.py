"""Why a rule chose a window, in a sentence with the figures that decided it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from qwidgets import schemes
from qwidgets.formats import FixedPoint
from qwidgets.histograms import BitHistogram


class Proposal(NamedTuple):
    """The window that a rule chose, and why."""

    format: FixedPoint
    reason: str


def propose(scheme: str, histogram: BitHistogram, word_length: int, signed: bool | None = None) -> Proposal:
    """Let a rule choose a window, and say why it chose this one.

    Raises
    ------
    PlanError
        There is no such rule.

    Examples
    --------
    >>> logged = np.array([0.03125, 0.25, 0.25, 0.5, 1, 2.1, -2.125, 8.25, 16.25])
    >>> proposal = propose("histogram", BitHistogram().update(logged), 8)
    >>> proposal.format.window
    '2^3 … 2^-3'
    >>> print(proposal.reason)
    The mean position of the 9 MSBs is -0.11: a window of 7 bits with its centre there is 2^3 … 2^-3.
    """
    fmt = schemes.choose(scheme, histogram, word_length, signed=signed)
    if histogram.count == histogram.zeros + histogram.nonfinite:
        return Proposal(fmt, f"No value has a bit to go by, so {scheme} takes the window just below one, {fmt}.")
    explain = _REASONS.get(scheme)
    if explain is None:
        rule = (schemes.SCHEMES[scheme].__doc__ or "a rule of your own").strip().splitlines()[0].rstrip(".")
        return Proposal(fmt, f"{scheme} chose {fmt}: {rule[0].lower()}{rule[1:]}.")
    return Proposal(fmt, explain(histogram, fmt))


def _minmax(histogram: BitHistogram, fmt: FixedPoint) -> str:
    extremes = f"The values lie from {histogram.min:.6g} to {histogram.max:.6g}"
    return f"{extremes}: {fmt} is the finest window of {fmt.word_length} bits in which none of them overflows."


def _mse(histogram: BitHistogram, fmt: FixedPoint) -> str:
    errors = histogram.previews(fmt.word_length, fmt.signed)["mse"]
    chosen = f"{fmt} has the least mean squared error of all windows of {fmt.word_length} bits, {errors[fmt.msb]:.3g}"
    neighbours = [
        f"one bit {where} it is {errors[bit]:.3g}"
        for where, bit in (("higher", fmt.msb + 1), ("lower", fmt.msb - 1))
        if bit in errors.index
    ]
    return f"{chosen}; {' and '.join(neighbours)}." if neighbours else f"{chosen}."


def _percentile(histogram: BitHistogram, fmt: FixedPoint) -> str:
    overflow = histogram.previews(fmt.word_length, fmt.signed)["overflow"]
    lower = f", and one bit lower {overflow[fmt.msb - 1]:,} would" if fmt.msb - 1 in overflow.index else ""
    return (
        f"{fmt} is the finest window in which at most 0.01 % of the {histogram.count:,} values overflow: "
        f"{overflow[fmt.msb]:,} do{lower}."
    )


def _histogram(histogram: BitHistogram, fmt: FixedPoint) -> str:
    counts = histogram.msb_counts()
    mean = float(np.average(counts.index.to_numpy(), weights=counts.to_numpy()))
    return (
        f"The mean position of the {int(counts.sum()):,} MSBs is {mean:.2f}: a window of {len(fmt.bits)} bits "
        f"with its centre there is {fmt}."
    )


_REASONS: dict[str, Callable[[BitHistogram, FixedPoint], str]] = {
    "minmax": _minmax,
    "mse": _mse,
    "percentile": _percentile,
    "histogram": _histogram,
}
