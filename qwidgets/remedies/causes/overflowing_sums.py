"""Sums that do not fit their accumulators, and wrap around."""

from qwidgets.remedies.cause import Cause, Evidence, Trial, register_cause
from qwidgets.tuning import leave_room


@register_cause
def overflowing_sums(evidence: Evidence) -> Cause | None:
    """Tell it by the sums that were counted."""
    if not evidence.overflows:
        return None
    text = (
        f"{evidence.overflows:,} of its sums do not fit the accumulator and wrap around; none would in one of "
        f"{evidence.needed_bits} bits"
    )
    plan = evidence.plan
    movable = [name for name in plan if name not in plan.locked]
    room = leave_room(evidence.calibration, plan.committed, movable)
    added = evidence.sum
    parts = {added.weight, added.bias, *added.reads} if added else set()
    own = {row: fmt for row, fmt in room.formats.items() if row in parts}
    trials = [Trial("formats coarser, so that these sums fit", own)]
    if set(room.formats) != set(own):
        trials.append(Trial("formats coarser, so that all sums fit", room.formats))
    return Cause("overflowing_sums", text, tuple(trials))
