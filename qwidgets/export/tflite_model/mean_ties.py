"""Whether LiteRT's averages are those of the plan: it multiplies a sum by the float32 that is next to 1 / count.

Where the count is no power of two, that product may miss a tie by the rounding of a float32, and the tie then goes to
the nearer side instead of the even one. The sums that can occur are few enough to try them all.
"""

import numpy as np

from qwidgets.formats import FixedPoint
from qwidgets.simulation import Codes

_MOST = 1 << 24


def straying_sums(values: Codes, count: int, fmt: FixedPoint) -> int:
    """Count the sums whose average LiteRT gives another code; -1 where a float32 does not hold all of them.

    Parameters
    ----------
    values
        What is known of what is averaged.
    count
        How many values an average has.
    fmt
        Of the average.

    Examples
    --------
    >>> byte = Codes(0, -128, 127)
    >>> [straying_sums(byte, count, FixedPoint(8, 0, rounding="half_even")) for count in (12, 16, 28, 49)]
    [0, 0, 78, 0]
    """
    if values.largest * count > _MOST:
        return -1
    sums = np.arange(values.low * count, values.high * count + 1)
    scale = np.float32(2.0 ** (values.lsb - fmt.lsb)) / np.float32(count)
    theirs = np.rint(sums.astype(np.float32) * scale)
    ours = np.rint(sums / (count * 2.0 ** (fmt.lsb - values.lsb)))
    least = -(1 << (fmt.word_length - 1)) if fmt.signed else 0
    ends = least, least + (1 << fmt.word_length) - 1
    return int((np.clip(theirs, *ends) != np.clip(ours, *ends)).sum())
