"""What a number format would do to the values of a tensor, read from their histogram alone.

Every rounding is monotone, and so is being too large. So along the bins of one sign, in order of magnitude, those that
become zero come first and those that overflow come last, and both borders are found by bisection. Errors between the
borders are summed over the bins there; beyond them they come from running sums. Nothing here sees a value.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from qwidgets.formats import ROUNDINGS, FixedPoint
from qwidgets.histograms.kernels import grid
from qwidgets.histograms.kernels.compiled import compiled
from qwidgets.histograms.kernels.table import Counts

Floats = npt.NDArray[np.float64]

SMALLEST = 5e-324

# Rounding of a magnitude; what a rounding means for it depends on the sign of the value.
TIE_UP, TIE_EVEN, TIE_DOWN, DOWN, UP = range(5)
ON_MAGNITUDES = {
    "half_away": (TIE_UP, TIE_UP),
    "half_even": (TIE_EVEN, TIE_EVEN),
    "half_up": (TIE_UP, TIE_DOWN),
    "floor": (DOWN, UP),
    "ceil": (UP, DOWN),
    "zero": (DOWN, DOWN),
}
assert set(ON_MAGNITUDES) == set(ROUNDINGS)


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
        return cls(near, far, counts.counts, *_run(near, far, counts.counts, positive), positive, counts.special)

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
    _assess(*edges[:7], lsb, bits, fmt.signed, fmt.overflow == "wrap", *roundings, infinite, counted, errors)
    return counted, errors


@compiled
def _assess(
    near: Floats,
    far: Floats,
    counts: npt.NDArray[np.int64],
    running_counts: npt.NDArray[np.int64],
    running_sums: Floats,
    running_squares: Floats,
    positive: int,
    windows: npt.NDArray[np.int64],
    bits: int,
    signed: bool,
    wrap: bool,
    rounding_up: int,
    rounding_down: int,
    infinite: int,
    counted: npt.NDArray[np.int64],
    errors: Floats,
) -> None:
    for window in range(windows.size):
        lsb = windows[window]
        step = np.ldexp(1.0, lsb)
        underflow = np.int64(0)
        overflow = np.int64(infinite)
        exact = True
        squares = 0.0
        largest = 0.0
        for sign in range(2):
            rounding = rounding_down if sign else rounding_up
            first = positive if sign else 0
            end = near.size if sign else positive
            sums = first + sign  # running sums have one place more for each sign
            # Magnitudes from the first code that is outside the range overflow.
            outside = 2.0**bits
            if sign:
                outside = outside + 1.0 if signed else 1.0
            # Bins before sure_zero become zero; those from nonzero on do not; any between may be split. Likewise above.
            sure_zero = _first_reaching(far, first, end, step, rounding, 1.0)
            nonzero = _first_reaching(near, sure_zero, end, step, rounding, 1.0)
            maybe_over = _first_reaching(far, sure_zero, end, step, rounding, outside)
            over = _first_reaching(near, max(maybe_over, nonzero), end, step, rounding, outside)
            shift = sums - first
            underflow += running_counts[nonzero + shift]
            overflow += running_counts[end + shift] - running_counts[maybe_over + shift]
            exact = exact and sure_zero == nonzero and maybe_over == over

            squares += running_squares[sure_zero + shift]
            if sure_zero > first:
                largest = max(largest, far[sure_zero - 1])
            limit = (outside - 1.0) * step
            # Far above the range, the error is the distance to its end, and running sums give its square.
            distant = end
            if not wrap:
                distant = max(sure_zero, first + np.searchsorted(near[first:end], max(4.0 * limit, step)))
                if distant < end:
                    squares += running_squares[end + shift] - running_squares[distant + shift]
                    squares -= 2.0 * limit * (running_sums[end + shift] - running_sums[distant + shift])
                    squares += limit * limit * (running_counts[end + shift] - running_counts[distant + shift])
                    largest = max(largest, far[end - 1] - limit)
            # Bins wider than a step hold every rounding error alike.
            wide = first + np.searchsorted(near[first:end], np.ldexp(256.0, lsb))
            wide = min(max(wide, sure_zero), distant)
            wide_end = max(wide, min(maybe_over, end - 1))
            spread = step * step / (12.0 if rounding <= TIE_DOWN else 3.0)
            if wide_end > wide:
                squares += spread * (running_counts[wide_end + shift] - running_counts[wide + shift])
                largest = max(largest, step * (0.5 if rounding <= TIE_DOWN else 1.0))
            for start, stop in ((sure_zero, wide), (wide_end, distant)):
                for place in range(start, stop):
                    square, error = _bin_error(
                        near[place], far[place], step, rounding, outside, bits, sign, signed, wrap
                    )
                    squares += counts[place] * square
                    largest = max(largest, error)
        counted[window, 0] = underflow
        counted[window, 1] = overflow
        counted[window, 2] = exact
        errors[window, 0] = squares
        errors[window, 1] = largest


@compiled
def _bin_error(
    near: float,
    far: float,
    step: float,
    rounding: int,
    outside: float,
    bits: int,
    sign: int,
    signed: bool,
    wrap: bool,
) -> tuple[float, float]:
    """Give the mean squared and the largest error of magnitudes evenly spread from ``near`` to ``far``."""
    width = far - near
    middle = near + 0.5 * width
    code = _steps(middle, step, rounding)
    if code < outside:
        if width >= step:
            half = rounding <= TIE_DOWN
            beyond = 0.0 if wrap else far - (outside - 1.0) * step
            return step * step / (12.0 if half else 3.0), max(step * (0.5 if half else 1.0), beyond)
    elif not wrap:
        code = outside - 1.0
    else:
        codes = 2.0 ** (bits + signed)
        least = -(2.0**bits) if signed else 0.0
        if width >= codes * step:  # every code is as likely
            mean = (least + 0.5 * (codes - 1.0)) * (-1.0 if sign else 1.0) * step
            return (middle - mean) ** 2 + (width**2 + (codes * step) ** 2) / 12.0, far + codes * step
        code = (-code if sign else code) - least
        code -= np.floor(code / codes) * codes
        code = -(code + least) if sign else code + least
    distance = middle - code * step
    return distance * distance + width * width / 12.0, abs(distance) + 0.5 * width


@compiled
def _steps(magnitude: float, step: float, rounding: int) -> float:
    """Give how many steps a magnitude is rounded to."""
    scaled = magnitude / step
    if scaled == 0.0 and magnitude > 0.0:
        scaled = SMALLEST  # less than a float64 can hold, and yet not zero: floor takes it to a whole step
    whole: float = np.floor(scaled)
    rest = scaled - whole  # exact
    if rounding == TIE_UP:
        up = rest >= 0.5
    elif rounding == TIE_EVEN:
        up = rest > 0.5 or (rest == 0.5 and whole % 2.0 == 1.0)
    elif rounding == TIE_DOWN:
        up = rest > 0.5
    else:
        up = rounding == UP and rest > 0.0
    return whole + 1.0 if up else whole


@compiled
def _first_reaching(magnitudes: Floats, first: int, end: int, step: float, rounding: int, code: float) -> int:
    """Find the first of ascending magnitudes whose rounded value is at least ``code`` steps."""
    while first < end:
        middle = (first + end) // 2
        if _steps(magnitudes[middle], step, rounding) >= code:
            end = middle
        else:
            first = middle + 1
    return first


@compiled
def _run(
    near: Floats, far: Floats, counts: npt.NDArray[np.int64], positive: int
) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """Give the running sums of counts, magnitudes and squares, anew for each sign."""
    running_counts = np.zeros(near.size + 2, np.int64)
    sums = np.zeros(near.size + 2)
    squares = np.zeros(near.size + 2)
    for place in range(near.size):
        after = place + 1 + (place >= positive)
        width = far[place] - near[place]
        middle = near[place] + 0.5 * width
        running_counts[after] = running_counts[after - 1] + counts[place]
        sums[after] = sums[after - 1] + counts[place] * middle
        squares[after] = squares[after - 1] + counts[place] * (middle * middle + width * width / 12.0)
    return running_counts, sums, squares
