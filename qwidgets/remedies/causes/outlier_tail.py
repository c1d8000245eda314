"""A few values far above all others, for which the window lies so high that the others lose their low bits."""

from qwidgets.formats import moved
from qwidgets.remedies.cause import Cause, Evidence, bits_text, register_cause

FEW = 1e-3
"""A tail is this share of the nonzero values at most."""

FAR = 2
"""It reaches so many bits beyond the others at least."""

MOST_TRIED = 3


@register_cause
def outlier_tail(evidence: Evidence) -> Cause | None:
    """Tell it by the bits at the top of the window that hold next to no values."""
    fmt = evidence.window
    if fmt is None:
        return None
    counts = evidence.histogram.msb_counts().sort_index(ascending=False)
    counts = counts[counts > 0]
    if counts.empty:
        return None
    above = counts.cumsum()
    few = above[above <= FEW * counts.sum()]
    bulk = counts.index[len(few)]
    top = min(int(counts.index[0]), fmt.msb)
    gap = int(top - bulk)
    if gap < FAR:
        return None
    share = 100 * float(few.iloc[-1]) / float(counts.sum())
    text = (
        f"an outlier tail widens the window: {share:.2g} % of the values lie beyond 2^{bulk + 1}, up to 2^{top + 1}; "
        f"without them the others would have {bits_text(gap)} more"
    )
    lower = (
        evidence.trial(
            f"window {bits_text(bits)} lower, the tail cut off",
            other,
        )
        for bits in range(1, min(gap, MOST_TRIED) + 1)
        if (other := moved(fmt, -bits)) is not None
    )
    return Cause("outlier_tail", text, tuple(lower))
