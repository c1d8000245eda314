"""What a number format would do to the values of a tensor, read from their histogram alone.

Every rounding is monotone, and so is being too large. So along the bins of one sign, in order of magnitude, those that
become zero come first and those that overflow come last, and both borders are found by bisection. Errors between the
borders are summed over the bins there; beyond them they come from running sums. Nothing here sees a value.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from qwidgets.formats import FixedPoint
from qwidgets.histograms.kernels import grid
from qwidgets.histograms.kernels.table import Counts
from qwidgets.histograms.magnitude_rounding import ON_MAGNITUDES

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Preview:
    """What a format does to the values of a tensor.

    Attributes
    ----------
    count : int
        Values that were counted, NaN and infinities among them.
    underflow : int
        Nonzero values whose rounded value is zero.
    overflow : int
        Values whose rounded value lies outside the range, infinities among them. An overflowing value that becomes zero
        (by wrapping, or because the format is unsigned) is an overflow, not an underflow; NaN is neither.
    mse, sqnr_db, max_error : float
        Mean squared error, its ratio to the mean square of the values in dB, and the largest absolute error, over the
        finite values. These are estimates that take values as evenly spread within their bin. A value that the format
        holds exactly is not told from its neighbours in the bin, so the SQNR of tensors that consist of such values
        ends near 60 dB. ``sqnr_db`` is infinite where there is no error, NaN where there is no signal, or where its
        square is too large for a float64.
    exact : bool
        Whether ``underflow`` and ``overflow`` are exact counts; otherwise they are upper bounds. They are exact for
        every format of up to 8 bits with ``half_away`` rounding, unless a float64 value lies below 2**-149 or from
        2**128 up, off the grid, and an end of the format there, too.
    """

    count: int
    underflow: int
    overflow: int
    mse: float
    sqnr_db: float
    max_error: float
    exact: bool


class Edges(NamedTuple):
    """The occupied bins as magnitudes, in order, positive ones before negative ones, with running sums for each sign.

    ``near`` and ``far`` are the least and the greatest magnitude that a value of the bin can have. The running sums, of
    counts, of magnitudes and of their squares, have one place more than there are bins of a sign: they start at zero.
    """

    near: Floats
    far: Floats
    counts: npt.NDArray[np.int64]
    running_counts: npt.NDArray[np.int64]
    running_sums: Floats
    running_squares: Floats
    positive: int  # how many bins are positive
    special: npt.NDArray[np.int64]

    @classmethod
    def of(cls, counts: Counts) -> "Edges":
        """Prepare the counts of a histogram."""
        near, far = grid.edges_of(counts.bins)
        positive = int(np.searchsorted(counts.bins, grid.MAGNITUDES))
        low, high = grid.key_to_value(counts.lowest), grid.key_to_value(counts.highest)
        # Below the grid and above it, the outermost bins hold more than lies between their edges.
        for place, bin_of_all in ((0, 0), (positive, grid.MAGNITUDES)):
            if place < near.size and counts.bins[place] == bin_of_all:
                near[place] = min(near[place], counts.least)
        # The extremes are known exactly, which narrows the outermost bins, or widens them.
        if positive:
            far[positive - 1] = high
            near[0] = low if low > 0 else near[0]
        if positive < near.size:
            far[-1] = -low
            near[positive] = -high if high < 0 else near[positive]
        amounts, sums, squares = _loops().run(near, far, counts.counts, positive)
        return cls(near, far, counts.counts, amounts, sums, squares, positive, counts.special)

    @property
    def signal(self) -> float:
        """The sum of the squares of all finite values."""
        return float(self.running_squares[self.positive] + self.running_squares[-1])


def preview(edges: Edges, fmt: FixedPoint) -> Preview:
    """Tell what ``fmt`` does to the values behind ``edges``."""
    counted, errors = _assess_windows(edges, fmt, np.array([fmt.lsb]))
    count, finite = _sizes(edges)
    mse, sqnr_db = _quality(errors[:, 0], edges.signal, finite)
    return Preview(
        count=count,
        underflow=int(counted[0, 0]),
        overflow=int(counted[0, 1]),
        mse=float(mse[0]),
        sqnr_db=float(sqnr_db[0]),
        max_error=float(errors[0, 1]) if finite else float("nan"),
        exact=bool(counted[0, 2]),
    )


def previews(edges: Edges, word_length: int, signed: bool) -> pd.DataFrame:
    """Preview the windows of a word length over the bits that occur, and one more above and below."""
    fmt = FixedPoint(word_length, signed=signed)
    # Windows beyond the grid tell no values apart.
    ends = (edges.far.max(), edges.near.min()) if edges.near.size else (1.0, 1.0)
    highest, lowest = np.clip(ends, 2.0**grid.LOWEST_OCTAVE, np.nextafter(2.0 ** (grid.HIGHEST_OCTAVE + 1), 0))
    top = int(np.frexp(highest)[1])
    msb = np.arange(top, int(np.frexp(lowest)[1]) - 3, -1)
    counted, errors = _assess_windows(edges, fmt, msb - fmt.msb)
    count, finite = _sizes(edges)
    mse, sqnr_db = _quality(errors[:, 0], edges.signal, finite)
    return pd.DataFrame(
        {
            "count": np.full(msb.size, count),
            "underflow": counted[:, 0],
            "overflow": counted[:, 1],
            "mse": mse,
            "sqnr_db": sqnr_db,
            "max_error": errors[:, 1] if finite else np.full(msb.size, np.nan),
            "exact": counted[:, 2].astype(bool),
        },
        index=pd.Index(msb, name="msb"),
    )


def _sizes(edges: Edges) -> tuple[int, int]:
    """Give how many values there are, and how many finite ones."""
    zeros, nan, *infinite = (int(times) for times in edges.special)
    finite = zeros + int(edges.counts.sum())
    return finite + nan + sum(infinite), finite


def _quality(squares: Floats, signal: float, finite: int) -> tuple[Floats, Floats]:
    """Give the mean squared error and the SQNR in dB of each window."""
    if not finite:
        return np.full(squares.size, np.nan), np.full(squares.size, np.nan)
    if not signal:
        return squares / finite, np.full(squares.size, np.nan)
    squares = np.where(np.isnan(squares), np.inf, squares)  # differences of squares too large for a float64
    with np.errstate(divide="ignore", invalid="ignore"):
        return squares / finite, 10 * (np.log10(signal) - np.log10(squares))


def _assess_windows(edges: Edges, fmt: FixedPoint, lsb: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Floats]:
    """Give underflow, overflow, exactness; summed squared and largest error; for ``fmt`` moved to each ``lsb``."""
    counted = np.zeros((lsb.size, 3), np.int64)
    errors = np.zeros((lsb.size, 2))
    infinite = int(edges.special[2:].sum())
    bits = fmt.word_length - fmt.signed
    roundings = ON_MAGNITUDES[fmt.rounding]
    _loops().assess(*edges[:7], lsb, bits, fmt.signed, fmt.overflow == "wrap", *roundings, infinite, counted, errors)
    return counted, errors


def _loops() -> ModuleType:
    """Import the compiled loops when they are first needed: Numba takes half a second."""
    from qwidgets.histograms import preview_loops

    return preview_loops
