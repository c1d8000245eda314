"""The bounds of a clamp, as its integer form uses them: on the grid of the codes that it bounds."""

import math
from typing import Any

import numpy as np
from torch import Tensor

from qwidgets.formats import MAX_WORD_LENGTH, FixedPoint
from qwidgets.simulation import Codes

Bound = float | Tensor | None
"""A number, one for each channel, or none. One that the network computes is a node of its graph."""


def on_grid(bound: Bound, codes: Codes) -> Bound:
    """Round a bound to the step of what it bounds, ties away from zero."""
    step = math.ldexp(1.0, codes.lsb)
    if isinstance(bound, Tensor):
        nearest = FixedPoint(MAX_WORD_LENGTH, -codes.lsb).quantize(bound.double())
        return nearest.clamp(codes.low * step, codes.high * step)
    if not isinstance(bound, int | float) or math.isinf(bound):
        return bound
    steps = abs(bound) / step
    whole = math.floor(steps)
    return math.copysign((whole + (steps - whole >= 0.5)) * step, bound)


def in_float32(bound: Bound) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Give a bound as a runtime compares with it."""
    return np.asarray(bound, np.float32)
