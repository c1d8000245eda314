"""What might help a network as a whole: another scheme, windows per channel, longer words, the steps that look at data.

It says, too, which side costs more, the weights or the activations.
"""

from collections.abc import Iterator

from qwidgets import schemes
from qwidgets.calibration import Calibration
from qwidgets.formats import ACCUMULATOR, FixedPoint, PerChannel, longer
from qwidgets.remedies.cause import Cause, Trial
from qwidgets.remedies.channel_windows import may_accumulate, windows_per_channel
from qwidgets.tuning import Format, PlanState, leave_as_before

LONGER = 2
"""Longer words have so many bits more."""

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

    weights = [name for name, (_, fmt) in free.items() if isinstance(fmt, FixedPoint)]
    per_channel = windows_per_channel(plan, calibration, weights, free)
    if per_channel:
        yield Trial("windows per channel, biases at their accumulators", fitting(per_channel))
    biases = {name: ACCUMULATOR for name, (row, _) in free.items() if may_accumulate(calibration, row)}
    if biases:
        yield Trial("biases at their accumulators", {**biases})
    for scheme in filter(_keeps_signs, schemes.SCHEMES):
        chosen: dict[str, Format] = {
            name: schemes.anew(calibration, row, fmt, isinstance(fmt, PerChannel), scheme)
            for name, (row, fmt) in free.items()
        }
        yield Trial(f"the scheme {scheme}", fitting(chosen))
    for what, kinds in (("weights", ("weight",)), ("activations", ("input", "activation"))):
        finer = {name: longer(fmt, LONGER) or fmt for name, (row, fmt) in free.items() if row.kind in kinds}
        yield Trial(f"{LONGER} bits more for all {what}", fitting({**finer}))


def _keeps_signs(scheme: str) -> bool:
    """Whether a scheme can be asked for another window of the same sign."""
    return schemes.takes(scheme, "signed")
