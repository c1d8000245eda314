"""What a plan changes of a network's numbers beside their formats: factors of channels, shifts of biases, roundings.

`Adjustments` is one immutable value, a part of a plan's state; `Adjustments.applied` gives the network with them. All
are relative to the model's own weights, so that they stay small, and other weights can be loaded under them.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qwidgets.calibration import Calibration
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.network import Network, Operation
from qwidgets.tuning import channel_groups

Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Rounding:
    """How many codes above the nearest one each value of a weight is rounded to, under one format.

    Attributes
    ----------
    fmt
        For any other format the weight is rounded to nearest.
    offsets
        Integers in the shape of the weight.
    """

    fmt: FixedPoint | PerChannel
    offsets: npt.NDArray[np.int16]


@dataclasses.dataclass(frozen=True, eq=False)
class Adjustments:
    """Changes to a network's numbers.

    Attributes
    ----------
    factors
        For a row the arrays, broadcast to its shape, that its values are multiplied by. An activation has one, of a
        factor for each channel.
    shifts
        For a bias row what is added to it, after that.
    roundings
        For a weight row how it is rounded.
    calibration
        The statistics of the tensors as they are then; None where the plan has none.
    """

    factors: Mapping[str, tuple[Array, ...]] = dataclasses.field(default_factory=dict)
    shifts: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    roundings: Mapping[str, Rounding] = dataclasses.field(default_factory=dict)
    calibration: Calibration | None = None

    def __bool__(self) -> bool:
        return bool(self.factors or self.shifts or self.roundings)

    def scaled(self, row: str, values: Tensor) -> Tensor:
        """Give the values of a tensor with its channels multiplied."""
        if row not in self.factors:
            return values
        result = values.double()
        for factor in self.factors[row]:
            aligned = torch.from_numpy(factor).to(values.device)
            if aligned.ndim == 1 and values.ndim > 1:  # an activation, whose channels come after the batch
                aligned = aligned.reshape(-1, *[1] * (values.ndim - 2))
            result = result * aligned
        return result.to(values.dtype)

    def parameters(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give the values of the weight and bias rows as adjusted, before any rounding."""
        found = {row: self.scaled(row, values) for row, values in parameters.items()}
        for row, shift in self.shifts.items():
            if row in found:
                total = found[row].double() + torch.from_numpy(shift).to(found[row].device)
                found[row] = total.to(found[row].dtype)
        return found

    def describe(self, row: str, fmt: object) -> tuple[str, ...]:
        """Say what is changed of a tensor that has a format: equalized, bias corrected, rounded.

        Examples
        --------
        >>> Adjustments(shifts={"conv.bias": np.array([0.1])}).describe("conv.bias", FixedPoint())
        ('bias corrected',)
        """
        rounding = self.roundings.get(row)
        words = {
            "equalized": row in self.factors,
            "bias corrected": row in self.shifts,
            "rounded": rounding is not None and rounding.fmt == fmt,
        }
        return tuple(word for word, holds in words.items() if holds)

    def codes(self, row: str, fmt: FixedPoint | PerChannel, values: Tensor) -> Tensor:
        """Give the integer codes of a weight or bias row."""
        nearest = fmt.to_integer(values)
        rounding = self.roundings.get(row)
        if rounding is None or rounding.fmt != fmt:
            return nearest
        least = -(1 << (fmt.word_length - 1)) if fmt.signed else 0
        moved = nearest + torch.from_numpy(rounding.offsets).to(nearest)
        return moved.clamp(least, least + (1 << fmt.word_length) - 1)

    def applied(self, network: Network) -> Network:
        """Give a network with these adjustments; the one that is given, and its module, are not changed.

        The bounds of clamps are scaled with the channels that they clamp, so the network computes what it did before,
        but for roundings and shifts, and but for the scaled tensors on the way.
        """
        if not self:
            return network
        bounds: dict[Operation, tuple[Tensor | None, Tensor | None]] = {}
        if self.factors:
            for group in channel_groups.find(network):
                factors = next((self.factors[row][0] for row in group.rows if row in self.factors), None)
                if factors is not None:
                    bounds |= _scaled_clamps(group, torch.from_numpy(factors))
        return network.adjusted(self.parameters(network.parameters), bounds)


def _scaled_clamps(
    group: channel_groups.ChannelGroup, factors: Tensor
) -> dict[Operation, tuple[Tensor | None, Tensor | None]]:
    """Give the bounds of the clamps of a group, one for each channel."""
    found: dict[Operation, tuple[Tensor | None, Tensor | None]] = {}
    for clamp in group.operations:
        if not any(clamp.clamp_bounds):  # none, or zero, which stays zero
            continue
        shaped = factors.to(clamp.dtype).reshape(-1, *[1] * (len(clamp.shape) - 2))
        least, most = (None if bound is None else shaped * bound for bound in clamp.clamp_bounds)
        found[clamp] = least, most
    return found


NONE = Adjustments()
"""No adjustment at all."""
