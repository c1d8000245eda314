"""The bounds of a clamp, as its integer form uses them: on the grid of the codes that it bounds."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from qwidgets.formats import MAX_WORD_LENGTH, FixedPoint
from qwidgets.simulation import Codes

Bound = float | Tensor | None
"""A number, one for each channel, or none. One that the network computes is a node of its graph."""

CLAMPS = frozenset({"relu", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max"})


def bounds_of(name: str, given: Mapping[str, Any]) -> tuple[Bound, Bound]:
    """Give the least and the most that a clamp lets through, as they are written in the program."""
    if name in ("relu", "relu6"):
        return 0.0, 6.0 if name == "relu6" else None
    if name == "hardtanh":
        return given["min_val"], given["max_val"]
    return given.get("min"), given.get("max")


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
