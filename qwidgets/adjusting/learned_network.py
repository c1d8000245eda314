"""A network under its formats whose weights and biases can be learned: rounding lets gradients pass.

What is rounded is rounded by the very `quantize` of its format. Sums are computed in float; whoever learns with it
judges what was learned in integers.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from qwidgets.adjusting.learned_windows import LearnedWindow
from qwidgets.adjusting.straight_through import steps_of, straight_through
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.network import AutocastScope, Network, Operation
from qwidgets.simulation import Parameter, Program

FINEST = 8
"""What has more bits, as a bias at its accumulator, is learned in steps as large as if its values filled so many."""


Compute = Callable[[Callable[[Any], Any]], Any]
"""Computes what an operation gives, given a function that finds what it reads."""

Settle = Callable[[str, Tensor], Tensor]
"""Called with a row and its values; gives others in their place."""


class LearnedNetwork:
    """A network in float that rounds as its formats say, with weights and biases of its own.

    Parameters
    ----------
    network
        What it computes.
    formats
        Of each row; what is None is not rounded. Of a bias at its accumulator it is the format that it has there.
    parameters
        The weights and biases to begin with, by row; gradients pass to those that are not learned.
    learned
        The rows that are learned; the others stay.
    device
        Where it computes.
    moving
        The rows whose windows are learned, too.
    settle
        Called with the name of each input and activation row and what it is after rounding; gives what is gone on with.

    Attributes
    ----------
    latent
        What is learned: each value counted in steps of its format, or of one of 8 bits where it has more.
    windows
        Those that are learned, by row.
    """

    def __init__(
        self,
        network: Network,
        formats: Mapping[str, FixedPoint | PerChannel | None],
        parameters: Mapping[str, Tensor],
        learned: frozenset[str],
        device: torch.device,
        moving: frozenset[str] = frozenset(),
        settle: Settle | None = None,
    ) -> None:
        self.device = device
        self._network = network
        self._formats = formats
        self.windows = {row: LearnedWindow(fmt, device) for row in moving if (fmt := formats[row]) is not None}
        self._program = Program(network, dict.fromkeys(formats), 32)
        for node in network.operations:
            if node.slot is not None and (formats[node.slot] is not None or settle is not None):
                self._program.steps[node] = self._settling(self._program.steps.get(node), node, node.slot, settle)
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
        values = self._fixed[row]
        if row in self.latent:
            values = (self.latent[row] * self._units[row]).to(values.dtype)
        return self._rounded(row, values).to(self._network.parameters[row].dtype)

    def run(self, leaves: list[Any], observe: Callable[[str, Tensor], object]) -> Any:
        """Compute the outputs from the flat arguments of a call."""
        with AutocastScope.switched_off():
            return self._program.run(self, leaves, observe)

    def _settling(self, compute: Compute | None, node: Operation, row: str, settle: Settle | None) -> Compute:
        """Compute what a node gives, round it, and settle on what is gone on with."""

        def settled(look: Callable[[Any], Any]) -> Any:
            rounded = self._rounded(row, look(node) if compute is None else compute(look))
            return rounded if settle is None else settle(row, rounded)

        return settled

    def _rounded(self, row: str, values: Tensor) -> Tensor:
        """Round the values of a row, where it has a format."""
        if row in self.windows:
            return self.windows[row](values)
        fmt = self._formats[row]
        return values if fmt is None else straight_through(values, fmt)
