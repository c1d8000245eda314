"""Low bits that are zero in every value: the window reaches further down than the values do."""

import dataclasses

from qwidgets.formats import FixedPoint, moved
from qwidgets.remedies.cause import Cause, Evidence, bits_text, register_cause

SHORTEST = 2


@register_cause
def dead_low_bits(evidence: Evidence) -> Cause | None:
    """Tell it by the codes."""
    fmt, dead = evidence.window, evidence.dead_bits
    if fmt is None or not dead:
        return None
    higher = moved(fmt, dead)
    if not isinstance(higher, FixedPoint):
        return None
    are = "is" if dead == 1 else "are"
    text = f"dead low bits: the lowest {bits_text(dead)} of its window {are} zero in every value"
    trials = [evidence.trial(f"window {bits_text(dead)} higher", higher)]
    if fmt.word_length - dead >= SHORTEST:
        shorter = dataclasses.replace(higher, word_length=fmt.word_length - dead)
        trials.append(evidence.trial(f"a word of {bits_text(fmt.word_length - dead)}", shorter))
    return Cause("dead_low_bits", text, tuple(trials))
