"""Number formats: fixed point, fixed point by channel, a bias at its accumulator; their arithmetic and notations.

Values only: nothing here knows of networks, data or histograms.
"""

from qwidgets.formats.accumulator_format import ACCUMULATOR, AccumulatorFormat, in_steps, stored
from qwidgets.formats.arithmetic import as_array, round_in_place, scale_floats
from qwidgets.formats.double_rounding import before_double_rounding
from qwidgets.formats.fixed_point import MAX_FRACTION_LENGTH, MAX_WORD_LENGTH, OVERFLOWS, ROUNDINGS, FixedPoint
from qwidgets.formats.moving import longer, moved
from qwidgets.formats.per_channel import CHANNELS_FIRST, PerChannel

__all__ = [
    "ACCUMULATOR",
    "CHANNELS_FIRST",
    "MAX_FRACTION_LENGTH",
    "MAX_WORD_LENGTH",
    "OVERFLOWS",
    "ROUNDINGS",
    "AccumulatorFormat",
    "FixedPoint",
    "PerChannel",
    "as_array",
    "before_double_rounding",
    "in_steps",
    "longer",
    "moved",
    "round_in_place",
    "scale_floats",
    "stored",
]
