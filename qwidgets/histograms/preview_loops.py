"""The compiled loops of a preview: over the windows, and over the bins between the borders of each."""

import numpy as np
import numpy.typing as npt

from qwidgets.histograms.kernels.compiled import compiled
from qwidgets.histograms.magnitude_rounding import TIE_DOWN, TIE_EVEN, TIE_UP, UP

Floats = npt.NDArray[np.float64]

SMALLEST = 5e-324


@compiled
def assess(
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
    """Put underflow, overflow and exactness of each window in ``counted``, squared and largest error in ``errors``."""
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
def run(
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
