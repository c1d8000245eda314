"""The format of a bias that is added where its layer sums up.

It has no window of its own until the layer's input and weight have theirs: `AccumulatorFormat.at` gives it then.
"""

import dataclasses
from typing import ClassVar

from qwidgets.errors import FormatError
from qwidgets.fixed_point import FixedPoint
from qwidgets.per_channel import PerChannel


@dataclasses.dataclass(frozen=True)
class AccumulatorFormat:
    """32 bits at the step of the sums that the bias is added to: the input's step times the weight's.

    Where the weight has a format per channel, so has the bias. `ACCUMULATOR` is the one instance that is needed.

    Examples
    --------
    >>> ACCUMULATOR.at(-4, FixedPoint(8, 7))
    FixedPoint(word_length=32, fraction_length=11, signed=True, rounding='half_away', overflow='saturate')
    """

    word_length: ClassVar[int] = 32
    signed: ClassVar[bool] = True
    window: ClassVar[str] = "accumulator"

    def at(self, input_lsb: int, weight: FixedPoint | PerChannel) -> FixedPoint | PerChannel:
        """Give the format for an input whose step is ``2**input_lsb``, and a weight.

        Raises
        ------
        FormatError
            No format has such a step.
        """
        try:
            if isinstance(weight, PerChannel):
                lengths = tuple(length - input_lsb for length in weight.fraction_lengths)
                return PerChannel(self.word_length, lengths)
            return FixedPoint(self.word_length, weight.fraction_length - input_lsb)
        except FormatError as error:
            raise FormatError(f"no bias has the step of this accumulator: {error}") from None

    def __str__(self) -> str:
        return self.window


ACCUMULATOR = AccumulatorFormat()
"""What ``plan["layer.bias"] = "accumulator"`` stands for."""
