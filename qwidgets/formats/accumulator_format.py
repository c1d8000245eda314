"""The format of a bias that is added where its layer sums up.

It has no window of its own until the layer's input and weight have theirs: `AccumulatorFormat.at` gives it then.
"""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from qwidgets.errors import FormatError
from qwidgets.formats import arithmetic
from qwidgets.formats.fixed_point import FixedPoint
from qwidgets.formats.per_channel import PerChannel


@dataclasses.dataclass(frozen=True)
class WideFixedPoint(FixedPoint):
    """The format of a number in an accumulator, whose word may be as long as float64 holds."""

    LONGEST: ClassVar[int] = 53


@dataclasses.dataclass(frozen=True)
class WidePerChannel(PerChannel):
    """The same for each output channel."""

    FORMAT: ClassVar[type[FixedPoint]] = WideFixedPoint


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

    def at(
        self, input_lsb: int, weight: FixedPoint | PerChannel, word_length: int = word_length
    ) -> FixedPoint | PerChannel:
        """Give the format for an input whose step is ``2**input_lsb``, and a weight.

        Raises
        ------
        FormatError
            No format has such a step.
        """
        wide = word_length > self.word_length
        try:
            if isinstance(weight, PerChannel):
                lengths = tuple(length - input_lsb for length in weight.fraction_lengths)
                return (WidePerChannel if wide else PerChannel)(word_length, lengths)
            return (WideFixedPoint if wide else FixedPoint)(word_length, weight.fraction_length - input_lsb)
        except FormatError as error:
            raise FormatError(f"no bias has the step of this accumulator: {error}") from None

    def holding(self, values: Tensor, input_lsb: int, weight: FixedPoint | PerChannel) -> FixedPoint | PerChannel:
        """Give the same, with a word of more than 32 bits, up to 53, where the values of a bias need it.

        Examples
        --------
        >>> ACCUMULATOR.holding(torch.tensor([2.0**21]), -4, FixedPoint(8, 7)).word_length
        34
        """
        widest = self.at(input_lsb, weight, WideFixedPoint.LONGEST)
        codes = widest.to_integer(values)
        ends = (int(codes.max()), -1 - int(codes.min())) if codes.numel() else (0,)
        return self.at(input_lsb, weight, max(self.word_length, 1 + max(ends).bit_length()))

    def __str__(self) -> str:
        return self.window


def stored(fmt: FixedPoint | PerChannel) -> FixedPoint | PerChannel:
    """Give the format in which a bias at its accumulator is stored: words that are wider are cut to 32 bits.

    Examples
    --------
    >>> stored(WideFixedPoint(40, 30)) == FixedPoint(32, 30)
    True
    """
    if isinstance(fmt, WideFixedPoint):
        return FixedPoint(ACCUMULATOR.word_length, fmt.fraction_length)
    if isinstance(fmt, WidePerChannel):
        return PerChannel(ACCUMULATOR.word_length, fmt.fraction_lengths)
    return fmt


def in_steps(values: Tensor, lsb: int, rounding: str) -> Tensor:
    """Count values in steps of ``2**lsb``, rounded to whole ones: as an adder takes them up, which has no range.

    Examples
    --------
    >>> in_steps(torch.tensor([0.375, -(2.0**40)]), -2, "half_away").tolist()
    [2.0, -4398046511104.0]
    """
    steps = values.double() * math.ldexp(1.0, -lsb)
    arithmetic.round_in_place(torch, steps, rounding)
    return steps + 0.0


ACCUMULATOR = AccumulatorFormat()
"""What ``plan["layer.bias"] = "accumulator"`` stands for."""
