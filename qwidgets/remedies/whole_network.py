"""What might help a network as a whole: another scheme, windows per channel, longer words, the steps that look at data.

It says, too, which side costs more, the weights or the activations.
"""

import dataclasses
from collections.abc import Iterator

from qwidgets import schemes
from qwidgets.calibration import Calibration
from qwidgets.formats import ACCUMULATOR, FixedPoint, PerChannel, moved
from qwidgets.network import Row
from qwidgets.remedies.cause import Cause, Trial
from qwidgets.tuning import (
    Format,
    PlanState,
    has_accumulator,
    has_one_accumulator,
    has_output_channels_first,
    leave_as_before,
    why_not_per_channel,
)

LONGER = 2
"""Longer words have so many bits more."""

LONGEST = 32
"""No word is longer."""

STEPS = ("correct_bias", "equalize", "round_adaptively", "fine_tune")
"""The steps that are tried, the quickest first; mending does them one after the other."""


def in_float(plan: PlanState) -> dict[str, dict[str, Format]]:
    """Give the formats with all weights and biases in float, and with all else in float, by what is."""
    weights = {row.name for row in plan.rows if row.kind in ("weight", "bias")}
    sides = {"weights and biases": weights, "activations": set(plan) - weights}
    return {what: dict.fromkeys(names) for what, names in sides.items()}


def cause(sqnr_db: dict[str, float]) -> Cause:
    """Say which side costs more.

    Parameters
    ----------
    sqnr_db
        Of the output, by what is in float.

    Examples
    --------
    >>> cause({"weights and biases": 17.2, "activations": 6.3}).text
    'weights and biases cost most: 17.2 dB with all of them in float, 6.3 dB with all activations in float'
    """
    dear, other = sorted(sqnr_db, key=sqnr_db.__getitem__, reverse=True)
    text = (
        f"{dear} cost most: {sqnr_db[dear]:.1f} dB with all of them in float, {sqnr_db[other]:.1f} dB with all "
        f"{other} in float"
    )
    return Cause("sides", text, steps=STEPS, is_general=True)


def trials(plan: PlanState, calibration: Calibration) -> Iterator[Trial]:
    """Give what can be tried with many rows at once; what is locked stays as it is."""
    free = {
        row.name: (row, fmt)
        for row in plan.rows
        if isinstance(fmt := plan.committed[row.name], FixedPoint | PerChannel) and row.name not in plan.locked
    }

    def fitting(formats: dict[str, Format]) -> dict[str, Format]:
        return leave_as_before(calibration, plan.committed, formats)

    per_channel = _per_channel(plan, calibration, free)
    if per_channel:
        yield Trial("windows per channel, biases at their accumulators", fitting(per_channel))
    biases = {name: ACCUMULATOR for name, (row, _) in free.items() if _may_accumulate(calibration, row)}
    if biases:
        yield Trial("biases at their accumulators", {**biases})
    for scheme in filter(_keeps_signs, schemes.SCHEMES):
        chosen: dict[str, Format] = {
            name: schemes.anew(calibration, row, fmt, isinstance(fmt, PerChannel), scheme)
            for name, (row, fmt) in free.items()
        }
        yield Trial(f"the scheme {scheme}", fitting(chosen))
    for what, kinds in (("weights", ("weight",)), ("activations", ("input", "activation"))):
        longer = {name: _longer(fmt) for name, (row, fmt) in free.items() if row.kind in kinds}
        yield Trial(f"{LONGER} bits more for all {what}", fitting({**longer}))


def _per_channel(
    plan: PlanState, calibration: Calibration, free: dict[str, tuple[Row, FixedPoint | PerChannel]]
) -> dict[str, Format]:
    """Give windows per channel to each weight that may have them and has not, and their biases the accumulator's."""
    found: dict[str, Format] = {}
    for name, (row, fmt) in free.items():
        whole = why_not_per_channel(row) or not has_output_channels_first(calibration, row)
        if row.kind == "weight" and isinstance(fmt, FixedPoint) and not whole and name in calibration.parameters:
            found[name] = schemes.anew(calibration, row, fmt, per_channel=True)
    biases = {each.bias for each in calibration.sums if each.weight in found}
    for name, (row, _) in free.items():
        if name in biases and _may_accumulate(calibration, row):
            found[name] = ACCUMULATOR
    return found


def _keeps_signs(scheme: str) -> bool:
    """Whether a scheme can be asked for another window of the same sign."""
    return schemes.takes(scheme, "signed")


def _may_accumulate(calibration: Calibration, row: Row) -> bool:
    return row.kind == "bias" and has_accumulator(row) and has_one_accumulator(calibration, row)


def _longer(fmt: FixedPoint | PerChannel) -> FixedPoint | PerChannel:
    finer = moved(fmt, -LONGER)
    if finer is None or fmt.word_length + LONGER > LONGEST:
        return fmt
    return dataclasses.replace(finer, word_length=fmt.word_length + LONGER)
