"""A network in float and the same network under its formats, run side by side, layer by layer.

Whoever walks along sees for each layer what goes into it on both sides, and may change its weight and bias before the
quantized side goes on: so what comes later sees what has been decided earlier. Activations are rounded as the plan
says; sums are computed in float, which is what a search or a correction needs of them, if not the last bit.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from qwidgets.adjusting.kept_aside import Divided
from qwidgets.feeding import fed
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.network import Layer, Network, operations
from qwidgets.simulation import Parameter, Program, device_of
from qwidgets.tuning import Adjustments, Format


class NetworkState:
    """One of the two: a program without the integers, and the values of all nodes that are still needed, by batch."""

    def __init__(self, network: Network, formats: Mapping[str, Format], leaves: list[list[Any]]) -> None:
        self.values: dict[Node, list[Any]] = {}
        self.parameters = dict(network.parameters)
        kept = {row.name: None if row.kind in ("weight", "bias") else formats[row.name] for row in network.rows}
        program = Program(network, kept, 32)
        self._steps, self._constants = program.steps, program.constants
        self._graph = network.graph
        self._leaves = [iter(batch) for batch in leaves]
        self.device = next((leaf.device for batch in leaves for leaf in batch if isinstance(leaf, Tensor)), _CPU)
        self._last = {given: node for node in network.graph.graph.nodes for given in node.all_input_nodes}

    def compute(self, node: Node) -> None:
        """Give a node its values, one for each batch."""
        if node.op == "placeholder" and node not in self.values:
            self.values[node] = [next(batch) for batch in self._leaves]
        elif node.op == "get_attr" and node not in self._steps:
            value = attrgetter(str(node.target))(self._graph).detach().to(self.device)
            self.values[node] = [value] * len(self._leaves)
        if node in self._steps and node not in self._constants:
            step = self._steps[node]
            self.values[node] = [step(self._looking(index)) for index in range(len(self._leaves))]

    def applied(self, node: Node, values: Tensor) -> Tensor:
        """Give what an operation on one tensor makes of other values than those that it reads."""
        look = self._looking(0)  # for constants beside the tensor: the slopes of a PReLU
        found: Tensor = self._steps[node](lambda value: values if value is node.args[0] else look(value))
        return found

    def forget(self, node: Node) -> None:
        """Drop what nothing after this node reads."""
        for given in node.all_input_nodes:
            if self._last[given] is node:
                self.values.pop(given, None)

    def _looking(self, batch: int) -> Callable[[Any], Any]:
        def look(value: Any) -> Any:
            # Parameters are looked up when they are used: until then they may be changed.
            row = value.row if isinstance(value, Parameter) else self._constants.get(value)
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
        source = self.layer.node.args[0]
        assert isinstance(source, Node)
        return list(zip(self.reference.values[source], self.quantized.values[source], strict=True))[: self.seen]

    def outputs(self) -> tuple[Pairs, Pairs]:
        """Compute what leaves the layer before its activation function, seen and aside."""
        self.quantized.compute(self.layer.node)
        node = self.layer.node
        pairs = list(zip(self.reference.values[node], self.quantized.values[node], strict=True))
        return pairs[: self.seen], pairs[self.seen :]

    def activated(self, values: Tensor) -> Tensor:
        """Give what the layer's activation function, if it has one, makes of values, in float."""
        node = self.layer.activation_node
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
    layers = {layer.node: layer for layer in network.layers}
    with torch.no_grad():
        for node in network.graph.graph.nodes:
            if node.op == "output":
                return
            reference.compute(node)
            if node in layers and _has_channels(node):
                yield LayerPair(layers[node], reference, quantized, network.parameters, len(divided.seen))
            quantized.compute(node)
            for side in (reference, quantized):
                side.forget(node)


def _has_channels(node: Node) -> bool:
    """Whether what a layer gives has a channel for each row of its weight and value of its bias, after the batch."""
    value, weight, bias = operations.value_of(node), operations.weight_of(node), operations.bias_of(node)
    if not (operations.is_convolution(node) or operations.name_of(node) == "linear"):
        return False
    whole = weight is not None and weight.op == "get_attr" and (bias is None or bias.op == "get_attr")
    return whole and isinstance(value, Tensor) and value.ndim > 1
