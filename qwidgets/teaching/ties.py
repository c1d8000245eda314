"""The ways to round numbers, side by side, where they differ: on ties, and on either side of zero."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from qwidgets.formats import FixedPoint

TIES = (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)

RULES = {
    "half_away": "to the nearest; a tie goes away from zero",
    "half_even": "to the nearest; a tie goes to the even code",
    "half_up": "to the nearest; a tie goes up",
    "floor": "down, always",
    "ceil": "up, always",
    "zero": "toward zero, always: the digits behind are cut off",
}
"""What each rounding does to numbers. What ``double`` does beside them, it does to sums."""


Values = Sequence[float] | npt.NDArray[np.float64]


def rounding_table(values: Values = TIES, fmt: FixedPoint | None = None) -> pd.DataFrame:
    """What each rounding makes of each value.

    Parameters
    ----------
    values
        Values, by default the ties next to zero of a format with a step of one.
    fmt
        What is rounded to; its own rounding does not count. By default whole numbers of 8 bits.

    Examples
    --------
    >>> rounding_table([-2.5, 2.5]).astype(int)
          half_away  half_even  half_up  floor  ceil  zero
    -2.5         -3         -2       -2     -3    -2    -2
     2.5          3          2        3      2     3     2
    """
    array = np.asarray(values, np.float64)
    fmt = fmt or FixedPoint(8, 0)
    columns = {name: dataclasses.replace(fmt, rounding=name).quantize(array) for name in RULES}
    return pd.DataFrame(columns, index=array)


def mean_errors(values: Values = TIES, fmt: FixedPoint | None = None) -> "pd.Series[float]":
    """The mean error of each rounding over the finite values: its bias, in units of the values.

    Examples
    --------
    >>> mean_errors([0.5, 1.5, 2.5, 3.5])["half_even"], mean_errors([0.5, 1.5, 2.5, 3.5])["half_away"]
    (np.float64(0.0), np.float64(0.5))
    """
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return rounding_table(finite, fmt).sub(finite, axis=0).mean()
