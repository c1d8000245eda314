"""A network under its formats whose weights and biases can be learned: rounding lets gradients pass.

What is rounded is rounded by the very `quantize` of its format. Backwards the rounding is taken for the identity, and
what saturates passes nothing: the straight-through estimator of Bengio, Léonard and Courville, "Estimating or
Propagating Gradients Through Stochastic Neurons" (2013). Sums are computed in float; whoever learns with it judges
what was learned in integers.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.network import AutocastScope, Network, Operation
from qwidgets.simulation import Parameter, Program

FINEST = 8
"""What has more bits, as a bias at its accumulator, is learned in steps as large as if its values filled so many."""


class LearnedNetwork:
    """A network in float that rounds as its formats say, with weights and biases of its own.

    Parameters
    ----------
    network
        What it computes.
    formats
        Of each row; what is None is not rounded. Of a bias at its accumulator it is the format that it has there.
    parameters
        The weights and biases to begin with, by row.
    learned
        The rows that are learned; the others stay.
    device
        Where it computes.

    Attributes
    ----------
    latent
        What is learned: each value counted in steps of its format, or of one of 8 bits where it has more.
    """

    def __init__(
        self,
        network: Network,
        formats: Mapping[str, FixedPoint | PerChannel | None],
        parameters: Mapping[str, Tensor],
        learned: frozenset[str],
        device: torch.device,
    ) -> None:
        self.device = device
        self._network = network
        self._formats = formats
        self._program = Program(network, dict.fromkeys(formats), 32)
        for node in network.operations:
            if node.slot is not None and isinstance(fmt := self._formats[node.slot], FixedPoint):
                self._program.steps[node] = _rounding(self._program.steps.get(node), node, fmt)
        self._fixed = {row: values.clone().to(device) for row, values in parameters.items()}
        self._units = {row: self._unit(row) for row in learned}
        self.latent = {row: (self._fixed[row].double() / unit).float() for row, unit in self._units.items()}

    def _unit(self, row: str) -> Tensor:
        """Give the step of each value of a row, in the shape of its channels."""
        fmt, values = self._formats[row], self._fixed[row]
        assert fmt is not None  # what is learned has one
        steps = steps_of(fmt, values.double())
        if fmt.word_length <= FINEST:
            return steps
        largest = values.abs().max().double().clamp_min(torch.finfo(torch.float32).tiny)
        return steps.maximum(torch.exp2(torch.ceil(torch.log2(largest)) - FINEST + 1))

    def learned(self, row: str) -> Tensor:
        """Give the values of a row as learned, before any rounding, float64."""
        return self.latent[row].detach().double() * self._units[row]

    def tensor(self, target: str) -> Tensor:
        """Give a parameter or buffer of the network, for what no row holds."""
        return self._network.tensor(target).to(self.device)

    def values(self, parameter: Parameter) -> Tensor:
        """Give the values of a weight or bias as they are computed with."""
        row = parameter.row
        fmt, values = self._formats[row], self._fixed[row]
        if row in self.latent:
            values = (self.latent[row] * self._units[row]).to(values.dtype)
        return values if fmt is None else straight_through(values, fmt)

    def run(self, leaves: list[Any], observe: Callable[[str, Tensor], object]) -> Any:
        """Compute the outputs from the flat arguments of a call."""
        with AutocastScope():
            return self._program.run(self, leaves, observe)


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


Compute = Callable[[Callable[[Any], Any]], Any]
"""Computes what an operation gives, given a function that finds what it reads."""


def _rounding(compute: Compute | None, node: Operation, fmt: FixedPoint) -> Compute:
    """Compute what a node gives, and round it."""

    def rounded(look: Callable[[Any], Any]) -> Any:
        return straight_through(look(node) if compute is None else compute(look), fmt)

    return rounded
