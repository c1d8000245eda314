"""The numbers that a format has, on a line, and where it sends the numbers that it does not have."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qwidgets.formats import FixedPoint
from qwidgets.teaching.bits import OUTCOMES, outcomes

Floats = npt.NDArray[np.float64]

MOST_NUMBERS = 257
"""How many numbers can be told apart on a line across the screen."""


@dataclass(frozen=True, eq=False)
class Line:
    """What is drawn on a number line.

    Attributes
    ----------
    numbers : array
        Numbers of the format, in order; where there are too many, every ``every``-th of them, counted from zero.
    every : int
        A power of two.
    values, quantized : array
        The finite values, and where each goes.
    outcomes : tuple of str
        What happens to each of them.
    low, high : float
        The ends of the line: it holds the range of the format and all values.
    """

    numbers: Floats
    every: int
    values: Floats
    quantized: Floats
    outcomes: tuple[str, ...]
    low: float
    high: float


def number_line(fmt: FixedPoint, values: Floats) -> Line:
    """Lay a format and some values on a line.

    Examples
    --------
    >>> line = number_line(FixedPoint(3, 1), np.array([0.6, 9.0]))
    >>> line.numbers.tolist(), line.quantized.tolist(), line.outcomes
    ([-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5], [0.5, 1.5], ('precision loss', 'overflow'))
    """
    values = values[np.isfinite(values)]
    every = 1
    while (1 << fmt.word_length) // every >= MOST_NUMBERS:
        every *= 2
    least = int(fmt.min / fmt.step)
    numbers = np.arange(least, least + (1 << fmt.word_length), every, dtype=np.float64) * fmt.step
    found = outcomes(values, fmt)
    low, high = min([fmt.min, *values.tolist()]), max([fmt.max, *values.tolist()])
    return Line(numbers, every, values, fmt.quantize(values), tuple(OUTCOMES[index] for index in found), low, high)
