"""Values beyond the window: they saturate, or wrap around."""

import dataclasses

from qwidgets import schemes
from qwidgets.formats import MAX_WORD_LENGTH, FixedPoint, moved
from qwidgets.remedies.cause import Cause, Evidence, bits_text, register_cause

MOST = 0.75
"""This share of the squared error comes from values that are cut off, at least. Steps twice as large make the rest four
times as large: so from here on a window one bit higher has less error in all, if it cuts nothing off."""

WIDER = 4


@register_cause
def cut_off(evidence: Evidence) -> Cause | None:
    """Tell it by the error that is left under the same step with a window that reaches further up."""
    fmt, now = evidence.window, evidence.preview
    if fmt is None or now is None or not now.overflow or not now.mse:
        return None
    wider = dataclasses.replace(fmt, word_length=min(fmt.word_length + WIDER, MAX_WORD_LENGTH))
    then = evidence.histogram.preview(wider)
    share = 1 - then.mse / now.mse
    if share < MOST and fmt.overflow != "wrap":
        return None
    values = f"{now.overflow:,} values" if now.overflow != 1 else "1 value"
    how = "wrap around" if fmt.overflow == "wrap" else "are cut off"
    text = f"{values} beyond {fmt.max:g} {how}: {100 * share:.0f} % of its error{_network_clamps(evidence, fmt)}"
    trials = []
    if fmt.overflow == "wrap":
        trials.append(evidence.trial("saturating", dataclasses.replace(fmt, overflow="saturate")))
    best = schemes.anew(evidence.calibration, evidence.row, fmt, per_channel=False, name="minmax")
    reach = max(best.msb - fmt.msb, 1)
    higher = {bits: moved(fmt, bits) for bits in sorted({1, reach})}
    trials += [evidence.trial(f"window {bits_text(bits)} higher", window) for bits, window in higher.items() if window]
    return Cause("cut_off", text, tuple(trials))


def _network_clamps(evidence: Evidence, fmt: FixedPoint) -> str:
    """Say where the network itself cuts its values off."""
    if evidence.operation is None:
        return ""
    _, most = evidence.operation.clamp_bounds
    return f"; the network itself clamps them at {most:g}" if isinstance(most, int | float) and most > fmt.max else ""
