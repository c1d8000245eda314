"""A network in float and the same network under its formats, run side by side, layer by layer.

Whoever walks along sees for each layer what goes into it on both sides, and may change its weight and bias before the
quantized side goes on: so what comes later sees what has been decided earlier. Activations are rounded as the plan
says; sums are computed in float, which is what a search or a correction needs of them, if not the last bit.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qwidgets.adjusting.kept_aside import Divided
from qwidgets.feeding import fed
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.network import AutocastScope, Layer, Network, Operation
from qwidgets.simulation import Parameter, Program, device_of
from qwidgets.tuning import Adjustments, Format


class NetworkState:
    """One of the two: a program without the integers, and the values of all nodes that are still needed, by batch."""

    def __init__(self, network: Network, formats: Mapping[str, Format], leaves: list[list[Any]]) -> None:
        self.values: dict[Operation, list[Any]] = {}
        self.parameters = dict(network.parameters)
        kept = {row.name: None if row.kind in ("weight", "bias") else formats[row.name] for row in network.rows}
        program = Program(network, kept, 32)
        self._steps = program.steps
        self._network = network
        self._leaves = [iter(batch) for batch in leaves]
        self._scopes = [AutocastScope() for _ in leaves]
        self.device = next((leaf.device for batch in leaves for leaf in batch if isinstance(leaf, Tensor)), _CPU)

    def compute(self, node: Operation) -> None:
        """Give a node its values, one for each batch."""
        if node.kind == "input" and node not in self.values:
            self.values[node] = [next(batch) for batch in self._leaves]
        elif node.kind == "constant" and node not in self._steps:
            value = self._network.tensor(node.target).to(self.device)
            self.values[node] = [value] * len(self._leaves)
        if node in self._steps and node.constant is None:
            step = self._steps[node]
            found = []
            for index, scope in enumerate(self._scopes):
                with scope:
                    found.append(step(self._looking(index)))
            self.values[node] = found

    def applied(self, node: Operation, values: Tensor) -> Tensor:
        """Give what an operation on one tensor makes of other values than those that it reads."""
        look = self._looking(0)  # for constants beside the tensor: the slopes of a PReLU
        found: Tensor = self._steps[node](lambda value: values if value is node.args[0] else look(value))
        return found

    def forget(self, node: Operation) -> None:
        """Drop what nothing after this node reads."""
        for read in node.last_reads:
            self.values.pop(read, None)

    def _looking(self, batch: int) -> Callable[[Any], Any]:
        def look(value: Any) -> Any:
            # Parameters are looked up when they are used: until then they may be changed.
            row = value.row if isinstance(value, Parameter) else getattr(value, "constant", None)
            if row is not None:
                return self.parameters[row].to(self.device)
            return self.device if isinstance(value, torch.device) else self.values[value][batch]

        return look


_CPU = torch.device("cpu")


def leaves_of(network: Network, model: nn.Module, data: Any) -> list[list[Any]]:
    """Read all batches, as the flat arguments of the network, on the model's device.

    Raises
    ------
    DataError
        There is no batch, or one cannot be read or fed: its number is named.
    """
    return [batch.leaves for batch in fed(network, model, data, device_of(model))]


Pairs = list[tuple[Tensor, Tensor]]
"""A tensor in float and quantized, batch by batch."""


@dataclass(frozen=True)
class LayerPair:
    """Both sides at a layer, before the quantized one has computed it.

    Attributes
    ----------
    adjusted
        The weights and biases as adjusted, before any rounding.
    seen
        So many batches are seen; the others are kept aside.
    """

    layer: Layer
    reference: NetworkState
    quantized: NetworkState
    adjusted: Mapping[str, Tensor]
    seen: int

    @property
    def inputs(self) -> Pairs:
        """What goes into the layer, of the batches that are seen."""
        source = self.layer.head.args[0]
        assert isinstance(source, Operation)
        return list(zip(self.reference.values[source], self.quantized.values[source], strict=True))[: self.seen]

    def outputs(self) -> tuple[Pairs, Pairs]:
        """Compute what leaves the layer before its activation function, seen and aside."""
        self.quantized.compute(self.layer.head)
        node = self.layer.head
        pairs = list(zip(self.reference.values[node], self.quantized.values[node], strict=True))
        return pairs[: self.seen], pairs[self.seen :]

    def activated(self, values: Tensor) -> Tensor:
        """Give what the layer's activation function, if it has one, makes of values, in float."""
        node = self.layer.activation
        return values if node is None else self.reference.applied(node, values)


def layer_pairs(
    network: Network,
    formats: Mapping[str, Format],
    adjustments: Adjustments,
    bare: Mapping[str, Tensor],
    divided: Divided,
) -> Iterator[LayerPair]:
    """Walk through a network; what is done to `LayerPair.quantized` before the next step counts from there on.

    The two sides meet at convolutions and linear layers that have their weight and bias for themselves.

    Parameters
    ----------
    network
        As adjusted.
    formats
        Of all rows.
    bare
        The weights and biases that compute what the network does in float: scaled, but not corrected.
    divided
        The batches.
    """
    reference = NetworkState(network, dict.fromkeys(formats), divided.leaves)
    reference.parameters.update(bare)
    quantized = NetworkState(network, formats, divided.leaves)
    for row, values in network.parameters.items():
        fmt = formats[row]
        if isinstance(fmt, FixedPoint | PerChannel):
            codes = adjustments.codes(row, fmt, values)
            quantized.parameters[row] = fmt.from_integer(codes).to(values.dtype)
    layers = {layer.head: layer for layer in network.layers}
    with torch.no_grad():
        for node in network.operations:
            if node.kind == "output":
                return
            reference.compute(node)
            if node in layers and _has_channels(node):
                yield LayerPair(layers[node], reference, quantized, network.parameters, len(divided.seen))
            quantized.compute(node)
            for side in (reference, quantized):
                side.forget(node)


def _has_channels(node: Operation) -> bool:
    """Whether what a layer gives has a channel for each row of its weight and value of its bias, after the batch."""
    if not (node.is_convolution or node.name == "linear"):
        return False
    whole = node.weight is not None and node.weight.kind == "constant"
    return whole and (node.bias is None or node.bias.kind == "constant") and len(node.shape) > 1
