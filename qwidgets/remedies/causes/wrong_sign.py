"""A sign bit for values that have none, or none for values that need it."""

import dataclasses

from qwidgets import schemes
from qwidgets.remedies.cause import Cause, Evidence, register_cause

FEW = 1e-4
"""Fewer negative values than this share of all are not worth a bit."""


@register_cause
def wrong_sign(evidence: Evidence) -> Cause | None:
    """Tell it by the signs of the values."""
    fmt, histogram = evidence.window, evidence.histogram
    if fmt is None or not histogram.count or (not fmt.signed and fmt.word_length < 2):
        return None
    share = histogram.negative / histogram.count
    if fmt.signed and share <= FEW:
        text = "no value is negative" if not share else f"only {100 * share:.2g} % of the values are negative"
        text += ", and one of its bits is the sign"
    elif not fmt.signed and share > FEW:
        text = f"{100 * share:.2g} % of the values are negative, and without a sign they become zero"
    else:
        return None
    turned = dataclasses.replace(fmt, signed=not fmt.signed)
    best = schemes.anew(evidence.calibration, evidence.row, turned, per_channel=False)
    title = f"{'with a' if best.signed else 'without a'} sign, {best.window}"
    return Cause("wrong_sign", text, (evidence.trial(title, best),))
