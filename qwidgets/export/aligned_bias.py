"""The codes of a layer's weight and bias in the steps of the sums that they enter, channel by channel.

The rules of :mod:`qwidgets.simulation.rules` align a bias while they run; here it is done once, before anything is
written.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qwidgets.errors import ExportError
from qwidgets.formats import MAX_WORD_LENGTH, PerChannel, in_steps
from qwidgets.network import Operation
from qwidgets.simulation import Parameter, Program


@dataclass(frozen=True)
class Constant:
    """The codes of a weight or a bias.

    Attributes
    ----------
    codes
        int64.
    lsbs
        The position of the step; of each channel along ``axis``, or one of all.
    """

    codes: npt.NDArray[Any]
    lsbs: tuple[int, ...]
    per_channel: bool
    word_length: int
    signed: bool
    axis: int = 0

    @property
    def scale(self) -> npt.NDArray[Any]:
        """The steps: a scalar, or one for each channel."""
        scale = np.exp2(np.array(self.lsbs, np.float64)).astype(np.float32)
        return scale if self.per_channel else scale.reshape(())

    @property
    def spread_scale(self) -> npt.NDArray[Any]:
        """The steps in a shape that the codes can be multiplied by."""
        trailing = [1] * (self.codes.ndim - 1 - self.axis)
        return self.scale.reshape(-1, *trailing) if self.per_channel else self.scale


def row_of_constant(program: Program, value: Any) -> str | None:
    """Name the row of a weight, a bias or another constant."""
    if isinstance(value, Parameter):
        return value.row
    return value.constant if isinstance(value, Operation) else None


def weight_of(program: Program, value: Any) -> tuple[Tensor, int | tuple[int, ...]]:
    """Give the codes of a constant factor, and the position of its step or of each channel's."""
    row = row_of_constant(program, value)
    if row is not None:
        fmt = program.formats[row]
        assert fmt is not None
        if isinstance(fmt, PerChannel):
            return program.codes[row], tuple(-length for length in fmt.fraction_lengths)
        return program.codes[row], fmt.lsb
    operand = program.operands[value]
    assert operand.integers is not None
    return operand.integers, operand.codes.lsb


def sum_lsbs(program: Program, given: Mapping[str, Any]) -> int | tuple[int, ...]:
    """Give the position of the step in which a layer sums, or of each output channel's."""
    x, (_, lsb) = program.operands[given["input"]].codes.lsb, weight_of(program, given["weight"])
    return tuple(x + each for each in lsb) if isinstance(lsb, tuple) else x + lsb


def aligned_bias(program: Program, given: Mapping[str, Any], row: str) -> Constant:
    """Give a layer's bias in the steps of its sums.

    Raises
    ------
    ExportError
        It does not fit 32 bits there.
    """
    fmt, lsbs = program.formats[row], sum_lsbs(program, given)
    assert fmt is not None
    per_channel = isinstance(lsbs, tuple)
    positions = lsbs if isinstance(lsbs, tuple) else (lsbs,)
    values = fmt.from_integer(program.codes[row]) / torch.exp2(torch.tensor(positions, dtype=torch.float64))
    steps = in_steps(values, 0, fmt.rounding)
    needed = 1 + max(math.frexp(max(float(end), 0.0))[1] for end in (steps.max(), -1 - steps.min()))
    if needed > MAX_WORD_LENGTH:
        raise ExportError(
            f"{row!r} needs {needed} bits at the step of its layer's sums and is stored in {MAX_WORD_LENGTH}; "
            + _coarser_weight(program, row_of_constant(program, given["weight"]))
        )
    return Constant(np.asarray(steps.numpy(), np.int64), positions, per_channel, MAX_WORD_LENGTH, True)


def _coarser_weight(program: Program, weight: str | None) -> str:
    """Say how its layer's steps become coarser."""
    fmt = None if weight is None else program.formats[weight]
    if fmt is None:
        return "raise the window of what its layer multiplies"
    per_channel = ", per_channel=True" if isinstance(fmt, PerChannel) else ""
    return (
        f"plan.propose({fmt.word_length}, names=[{weight!r}]{per_channel}) and plan.commit() give {weight!r} a window "
        "in which it fits"
    )
