"""Tensors that only say what a softmax is not to see: additive masks, and the sums that they enter.

A mask is 0 where scores stay and so low elsewhere (-inf, -1e9, the lowest float) that ``exp`` makes nothing of the sum.
No integer format has both the scores and that: a window of the scores makes the mask small enough to be seen, one of
the mask makes all scores 0. What masks keeps masking in float, before a softmax that is computed in float anyway.
Masks are found by their values, so that statistics from a file are enough.
"""

from typing import Literal

from qwidgets.calibration import Calibration
from qwidgets.histograms import BitHistogram
from qwidgets.network import Row

FAR = 10
"""Masking values have their leading one here or above: -1024 and lower. ``exp`` of that is 0 in every float type."""

GAP = 5
"""Positions without any value between what masks and everything else."""

_SUMS = frozenset(["add", "sub", "rsub", "where"])


def masks(calibration: Calibration, row: Row) -> bool:
    """Whether a tensor is a mask that is added to scores, or scores with such a mask on them."""
    histogram = calibration[row.name]
    if row.kind == "activation" and row.operation in _SUMS and hides(histogram):
        return any(_is_added(calibration[other], calibration.row(other)) for other in calibration)
    return _is_added(histogram, row)


def _is_added(histogram: BitHistogram, row: Row) -> bool:
    if row.kind == "weight" and row.operation in _SUMS:  # with a slope of positions beside it, say, or one number
        return _far(histogram, "positive" if row.operation == "sub" else "negative") > 0
    return row.kind in ("input", "activation") and is_mask(histogram)


def is_mask(histogram: BitHistogram) -> bool:
    """Whether all values are 0 or far below.

    Examples
    --------
    >>> import numpy as np
    >>> is_mask(BitHistogram().update(np.array([0.0, -1e9, -np.inf])))
    True
    >>> is_mask(BitHistogram().update(np.array([0.0, -3.0])))
    False
    """
    far, near = _far(histogram), histogram.count - histogram.zeros
    return 0 < far == near and histogram.zeros > 0


def hides(histogram: BitHistogram) -> bool:
    """Whether some values lie far below all others, with nothing between.

    Examples
    --------
    >>> import numpy as np
    >>> hides(BitHistogram().update(np.array([2.5, -7.0, -1e4])))
    True
    >>> hides(BitHistogram().update(np.array([2.5, -700.0, -1e4])))
    False
    """
    return 0 < _far(histogram) < histogram.count - histogram.nan


def _far(histogram: BitHistogram, sign: Literal["negative", "positive"] = "negative") -> int:
    """Count the values that lie far off on one side, if all others are at least `GAP` positions nearer to zero."""
    finite = histogram.msb_counts(sign)
    found = finite[finite.index >= FAR]
    infinite = histogram.negative - int(histogram.msb_counts("negative").sum())
    if sign == "positive":
        infinite = histogram.infinite - infinite
    if histogram.infinite > infinite:
        return 0
    lowest = min(found.index[found > 0], default=None)
    others = histogram.msb_counts().sub(found, fill_value=0)
    highest = max(others.index[others > 0], default=None)
    if highest is not None and lowest is not None and highest > lowest - GAP:
        return 0
    return int(found.sum()) + infinite
