"""Which tensors of a network can have their channels scaled together, without any change of what it computes.

A layer with a weight gives a channel that is s times larger if its weights and bias are; and the layer that reads it
takes that back if its weights are s times smaller. In between there may be what scales along: ReLU, pooling, padding
with zeros, sums of tensors that are scaled alike, and clamps whose bounds are scaled too. Anything else ends it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.fx import Node

from qwidgets.formats import CHANNELS_FIRST
from qwidgets.network import Layer, Network, operations, shape_of

CLAMPS = {"relu6", "hardtanh", "clamp", "clamp_min", "clamp_max"}
POINTWISE = CLAMPS | {"relu", "leaky_relu", "prelu", "dropout", "neg", "clone", "contiguous", "detach", "alias"}
POOLS = {"max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool"}
RESHAPES = {"flatten", "view", "reshape", "squeeze"}


@dataclass(frozen=True)
class ChannelGroup:
    """Tensors whose channels are scaled by the same factors.

    Attributes
    ----------
    rows
        The activation rows among them.
    nodes
        Every node of the graph that gives one.
    channels
        How many channels they have.
    """

    rows: tuple[str, ...]
    nodes: frozenset[Node]
    channels: int


def find(network: Network) -> list[ChannelGroup]:
    """Find the groups of a network that can be scaled; inputs and outputs of the network cannot."""
    sets = _Sets()
    layers = {layer.node: layer for layer in network.layers}
    folded = {layer.batch_norm_node for layer in network.layers if layer.batch_norm_node is not None}
    shared = _shared(network)
    for node in network.graph.graph.nodes:
        if node.op == "get_attr" or (node.op == "call_function" and not operations.is_float(node)):
            continue
        before = [given for given in node.all_input_nodes if given.op != "get_attr" and operations.is_float(given)]
        if node in layers and node not in shared and _scales(layers[node]):
            sets.add(node)
        elif node.op == "call_function" and before and (node in folded or _passes(node, before)):
            sets.join(node, *(before[:1] if node in folded else before))
        else:
            sets.fix(node, *before)
    rows: dict[Node, list[str]] = {}
    for row, node in network.nodes.items():
        rows.setdefault(sets.of(node), []).append(row)
    return [
        ChannelGroup(tuple(rows[head]), frozenset(nodes), channels)
        for head, nodes in sets.free()
        if head in rows and (channels := _channels(head)) is not None
    ]


def _shared(network: Network) -> set[Node]:
    """The layers that share a weight or a bias with another one."""
    users: dict[str, list[Node]] = {}
    for layer in network.layers:
        for row in (layer.weight_row, layer.bias_row):
            if row is not None:
                users.setdefault(row, []).append(layer.node)
    return {node for nodes in users.values() if len(nodes) > 1 for node in nodes}


def _scales(layer: Layer) -> bool:
    value = operations.value_of(layer.node)
    if not isinstance(value, Tensor) or layer.operation not in CHANNELS_FIRST:
        return False
    return layer.operation != "linear" or value.ndim == 2


def _channels(node: Node) -> int | None:
    shape = _shape(node)
    return shape[1] if len(shape) > 1 else None


def _shape(node: Node) -> tuple[int | None, ...]:
    value = operations.value_of(node)
    return shape_of(value) if isinstance(value, Tensor) else ()


def _passes(node: Node, before: list[Node]) -> bool:
    """Whether an operation gives scaled channels where it is given such."""
    name, shape = operations.name_of(node), _shape(node)
    given = _shape(before[0])
    if len(shape) < 2 or len(given) < 2 or shape[1] != given[1]:
        return False
    if name == "add":
        return len(before) == 2 and _shape(before[1]) == shape == given and bool(node.kwargs.get("alpha", 1) == 1)
    if name in ("pad", "constant_pad_nd"):
        sizes = node.args[1]
        filled = node.args[-1] if name == "constant_pad_nd" or len(node.args) > 3 else 0
        spatial = isinstance(sizes, list | tuple) and len(sizes) <= 2 * (len(shape) - 2)
        return spatial and (len(node.args) < 3 or not isinstance(filled, int | float) or filled == 0)
    if name in RESHAPES:
        return all(size == 1 for size in given[2:]) and all(size == 1 for size in shape[2:])
    if name in CLAMPS:
        return all(isinstance(bound, int | float | None) for bound in node.args[1:]) and not node.kwargs
    return name in POINTWISE or any(name.startswith(pool) for pool in POOLS)


class _Sets:
    """Sets of nodes that grow together, some of which are fixed."""

    def __init__(self) -> None:
        self._above: dict[Node, Node] = {}
        self._fixed: set[Node] = set()

    def add(self, node: Node) -> None:
        self._above.setdefault(node, node)

    def of(self, node: Node) -> Node:
        self.add(node)
        while self._above[node] is not node:
            node = self._above[node]
        return node

    def join(self, *nodes: Node) -> None:
        first = self.of(nodes[0])
        for node in nodes[1:]:
            self._above[self.of(node)] = first

    def fix(self, *nodes: Node) -> None:
        for node in nodes:
            self.add(node)
        self._fixed.update(nodes)

    def free(self) -> Iterator[tuple[Node, list[Node]]]:
        members: dict[Node, list[Node]] = {}
        for node in self._above:
            members.setdefault(self.of(node), []).append(node)
        fixed = {self.of(node) for node in self._fixed}
        return ((head, nodes) for head, nodes in members.items() if head not in fixed)


def weight_factors(
    layer: Layer, given: Mapping[Node, Tensor], shape: tuple[int, ...], groups: int
) -> tuple[Tensor, ...]:
    """Give what a layer's weight is multiplied by: tensors that broadcast to its shape.

    Parameters
    ----------
    given
        For each node whose channels are scaled, the factors.
    shape, groups
        Of the weight, and how many groups the layer has.
    """
    found: list[Tensor] = []
    trailing = [1] * (len(shape) - 2)
    if layer.node in given:
        found.append(given[layer.node].reshape(-1, 1, *trailing))
    source = layer.node.args[0]
    if isinstance(source, Node) and source in given:
        inverse = 1 / given[source]
        if groups > 1:
            per_group = inverse.reshape(groups, 1, -1).expand(groups, shape[0] // groups, -1)
            found.append(per_group.reshape(shape[0], -1, *trailing))
        else:
            found.append(inverse.reshape(1, -1, *trailing))
    return tuple(found)
