"""Errors that do not cancel: quantization moves the means of a layer's channels."""

import dataclasses

from qwidgets.remedies.cause import Cause, Evidence, Trial, register_cause

MOST = 0.3
"""This share of the squared error is a shift of means, at least: half of it where half of the values are zero."""

ONE_SIDED = ("floor", "ceil", "zero", "half_up")


@register_cause
def shifted_mean(evidence: Evidence) -> Cause | None:
    """Tell it by the means of the channels, in float and quantized."""
    if evidence.mean_share < MOST or evidence.row.kind == "bias":  # whose error is nothing else
        return None
    text = f"quantization shifts the means of its channels: {100 * evidence.mean_share:.0f} % of its layer's error"
    trials: tuple[Trial, ...] = ()
    fmt = evidence.windows
    if fmt is not None and fmt.rounding in ONE_SIDED:
        text += f"; {fmt.rounding} rounds to one side"
        trials = (evidence.trial("rounded to the nearest", dataclasses.replace(fmt, rounding="half_away")),)
    return Cause("shifted_mean", text, trials, ("correct_bias",))
