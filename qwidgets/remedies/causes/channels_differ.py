"""Channels of a weight of very different sizes under one window, which lies where the largest are."""

import numpy as np

from qwidgets import schemes
from qwidgets.formats import ACCUMULATOR, FixedPoint
from qwidgets.remedies.cause import Cause, Evidence, Trial, register_cause
from qwidgets.tuning import (
    Format,
    channel_msb_counts,
    has_accumulator,
    has_one_accumulator,
    has_output_channels_first,
    leave_as_before,
    why_not_per_channel,
)

LOST = 2
"""A quarter of the channels has so many bits fewer than the largest at least."""


@register_cause
def channels_differ(evidence: Evidence) -> Cause | None:
    """Tell it by the leading bits of the channels."""
    row, fmt = evidence.row, evidence.window
    if row.kind != "weight" or fmt is None or row.name not in evidence.calibration.parameters:
        return None
    counts = channel_msb_counts(evidence.calibration.values(row.name))
    there = counts.to_numpy() > 0
    tops = counts.columns.to_numpy()[there.argmax(1)][there.any(1)]
    if len(tops) < 2:
        return None
    lost = tops.max() - tops
    if np.quantile(lost, 0.75) < LOST:
        return None
    bits = max(int(np.median(lost)), LOST)
    share = 100 * float((lost >= bits).mean())
    text = f"its channels differ: {share:.0f} % are smaller than the largest by 2^{bits} or more, and lose as many bits"
    return Cause("channels_differ", text, tuple(_per_channel(evidence)), ("equalize",))


def _per_channel(evidence: Evidence) -> list[Trial]:
    """Give windows per channel, with the bias at the accumulator, where the layer allows that."""
    row, fmt, calibration = evidence.row, evidence.window, evidence.calibration
    if fmt is None or why_not_per_channel(row) or not has_output_channels_first(calibration, row):
        return []
    chosen: dict[str, Format] = {row.name: schemes.anew(calibration, row, fmt, per_channel=True)}
    bias = evidence.sum.bias if evidence.sum else None
    if bias is not None and isinstance(evidence.plan.committed[bias], FixedPoint):
        about = evidence.plan.row(bias)
        if has_accumulator(about) and has_one_accumulator(calibration, about):
            chosen[bias] = ACCUMULATOR
    return [Trial("windows per channel", leave_as_before(calibration, evidence.plan.committed, chosen))]
