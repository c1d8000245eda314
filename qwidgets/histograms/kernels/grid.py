"""The grid on which every value is counted: sign, octave, and the eight mantissa bits after the leading one.

The grid is fixed and does not depend on the data, so that counts add. A bin is a half-open run of magnitudes
[2^octave (1 + step/256), 2^octave (1 + (step+1)/256)) of one sign, with octave from -149 to 127, so that subnormal
float32 values have octaves of their own. Zeros, NaN and the two infinities have cells after the bins. Nothing here
counts.
"""

import math

import numpy as np
import numpy.typing as npt

LOWEST_OCTAVE = -149
HIGHEST_OCTAVE = 127
STEPS = 256
OCTAVES = HIGHEST_OCTAVE - LOWEST_OCTAVE + 1
MAGNITUDES = OCTAVES * STEPS
BINS = 2 * MAGNITUDES

ZEROS = BINS
NAN = BINS + 1
POSITIVE_INFINITY = BINS + 2
NEGATIVE_INFINITY = BINS + 3
CELLS = BINS + 4

# Extremes are kept as integers that sort like the float64 values they stand for, so that an atomic integer maximum
# finds a floating-point one.
NO_LOWEST = np.iinfo(np.int64).max
NO_HIGHEST = np.iinfo(np.int64).min


def key_to_value(key: int) -> float:
    """Give the float64 value that a sortable integer key stands for; NaN where there is none."""
    if key in (NO_LOWEST, NO_HIGHEST):
        return float("nan")
    bits = key if key >= 0 else key ^ 0x7FFFFFFFFFFFFFFF
    return float(np.int64(bits).view(np.float64))


def value_to_key(value: float) -> int:
    """Give the sortable integer key of a float64 value that is not NaN."""
    bits = int(np.float64(value).view(np.int64))
    return bits if bits >= 0 else bits ^ 0x7FFFFFFFFFFFFFFF


def cell_of(value: float) -> int:
    """Give the cell that a finite value is counted in.

    Examples
    --------
    >>> cell_of(0.0) == ZEROS, cell_of(-1.5) - MAGNITUDES == cell_of(1.5) == -LOWEST_OCTAVE * STEPS + 128
    (True, True)
    """
    if not value:
        return ZEROS
    mantissa, exponent = math.frexp(abs(value))
    place = (exponent - 1 - LOWEST_OCTAVE) * STEPS + int((2 * mantissa - 1) * STEPS)
    return min(max(place, 0), MAGNITUDES - 1) + (MAGNITUDES if value < 0 else 0)


def octave_of(bins: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Give the position of the leading one of the values in each bin."""
    return bins.astype(np.int64) % MAGNITUDES // STEPS + LOWEST_OCTAVE


def edges_of(bins: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give the smallest and the largest float64 magnitude of each bin."""
    # Shifted into place, octave and step are the leading bits of a float64.
    first = (bins.astype(np.int64) % MAGNITUDES + (LOWEST_OCTAVE + 1023) * STEPS) << 44
    return first.view(np.float64), (first + ((1 << 44) - 1)).view(np.float64)
