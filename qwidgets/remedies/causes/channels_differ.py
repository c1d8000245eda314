"""Channels of a weight of very different sizes under one window, which lies where the largest are."""

import numpy as np

from qwidgets.remedies.cause import Cause, Evidence, Trial, register_cause
from qwidgets.remedies.channel_windows import windows_per_channel
from qwidgets.tuning import channel_msb_counts, leave_as_before

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
    plan, calibration = evidence.plan, evidence.calibration
    chosen = windows_per_channel(plan, calibration, [evidence.row.name], plan.names)
    return [Trial("windows per channel", leave_as_before(calibration, plan.committed, chosen))] if chosen else []
