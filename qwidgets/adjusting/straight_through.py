"""Rounding that gradients pass as if it were not there, and stop at where it saturates.

Source: Bengio, Léonard and Courville, "Estimating or Propagating Gradients Through Stochastic Neurons" (2013).
"""

import torch
from torch import Tensor

from qwidgets.formats import FixedPoint, PerChannel


def straight_through(values: Tensor, fmt: FixedPoint | PerChannel) -> Tensor:
    """Round values; the gradient is that of the values themselves, and zero where they saturate.

    Examples
    --------
    >>> values = torch.tensor([0.3, 9.0], requires_grad=True)
    >>> rounded = straight_through(values, FixedPoint(4, 1))
    >>> rounded.sum().backward()
    >>> rounded.tolist(), values.grad.tolist()
    ([0.5, 3.5], [1.0, 0.0])
    """
    rounded = fmt.quantize(values.detach())
    within = (rounded - values.detach()).abs() <= steps_of(fmt, values)  # rounding alone moves nothing further
    passing = torch.where(within, values, values.detach())
    return passing + (rounded - passing.detach())


def steps_of(fmt: FixedPoint | PerChannel, values: Tensor) -> Tensor:
    """Give the step of each value, in the shape of its channels."""
    if isinstance(fmt, PerChannel):
        return torch.from_numpy(fmt.steps).reshape(-1, *[1] * (values.ndim - 1)).to(values)
    return torch.tensor(fmt.step).to(values)
