"""The five steps from numbers to a data type, and numbers to take them with."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qwidgets.formats import FixedPoint
from qwidgets.teaching.ties import TIES


class Step(NamedTuple):
    """One step: its name, and what there is to see."""

    title: str
    sentence: str


STEPS = (
    Step("Bits", "Each value as an ideal binary number: as many bits as it needs, aligned at the binary point."),
    Step("MSBs", "The most significant bit of each value, its leading one, in yellow: it says how large the value is."),
    Step("Sum", "The leading ones of each column are counted: how many values are that large."),
    Step("Heat map", "The same counts as colours, darker where more leading ones are: one row for a whole tensor."),
    Step(
        "Data type",
        "A window of bits is what a format keeps. Gray bits are outside: above them is overflow, below is loss.",
    ),
)


class Preset(NamedTuple):
    """Numbers that show something, and the format to begin with."""

    values: npt.NDArray[np.float64]
    format: FixedPoint


WINDOW = FixedPoint.from_window(3, -3)

PRESETS = {
    "worked example": Preset(np.array([0.03125, 0.25, 0.25, 0.5, 1, 2.1, -2.125, 8.25, 16.25]), WINDOW),
    "ties of both signs": Preset(np.array(TIES), FixedPoint(8, 0)),
    "edges of the window": Preset(np.array([-16, -16.0625, -15.875, 15.875, 15.9375, 0.0625, -0.0625, 0.0624]), WINDOW),
    "not only numbers": Preset(np.array([np.nan, np.inf, -np.inf, 0.0, 5e-324, 1.5]), WINDOW),
    "ten thousand weights": Preset(np.random.default_rng(7).laplace(0, 0.4, 10_000), WINDOW),
}
"""By name; the first is the one that the documentation works through."""
