"""A window that lies beside where its values are."""

import math

from qwidgets import schemes
from qwidgets.formats import PerChannel
from qwidgets.remedies.cause import Cause, Evidence, bits_text, register_cause

WORTH_DB = 1.0
"""Another window has to fit the values better by so much, in dB."""


@register_cause
def wrong_window(evidence: Evidence) -> Cause | None:
    """Tell it by the window of the same word whose squared error is least."""
    fmt, now = evidence.windows, evidence.preview
    if fmt is None or now is None:
        return None
    several = isinstance(fmt, PerChannel)
    best = schemes.anew(evidence.calibration, evidence.row, fmt, several)
    then = evidence.plan.preview(evidence.row.name, best)
    if then is None or not then.mse < now.mse:
        return None
    less = 10 * math.log10(now.mse / then.mse) if then.mse else math.inf
    if less < WORTH_DB:
        return None
    by = best.msb - fmt.msb
    where = f"{bits_text(abs(by))} too {'low' if by > 0 else 'high'}" if by and not several else "beside its values"
    lies = "the windows of its channels lie" if several else "the window lies"
    text = f"{lies} {where}: at {best.window} its own error is {less:.1f} dB less"
    title = "windows where the values are" if several else f"window {best.window}"
    return Cause("wrong_window", text, (evidence.trial(title, best),))
