"""Which tensors of a network can have their channels scaled together, without any change of what it computes.

A layer with a weight gives a channel that is s times larger if its weights and bias are; and the layer that reads it
takes that back if its weights are s times smaller. In between there may be what scales along: ReLU, pooling, padding
with zeros, sums of tensors that are scaled alike, and clamps whose bounds are scaled too. Anything else ends it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from qwidgets.formats import CHANNELS_FIRST
from qwidgets.network import CLAMPS, Layer, Network, Operation

POINTWISE = {"leaky_relu", "prelu", "dropout", "neg", "clone", "contiguous", "detach", "alias"}
POOLS = {"max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool"}
RESHAPES = {"flatten", "view", "reshape", "squeeze"}


@dataclass(frozen=True)
class ChannelGroup:
    """Tensors whose channels are scaled by the same factors.

    Attributes
    ----------
    rows
        The activation rows among them.
    operations
        Every operation that gives one.
    channels
        How many channels they have.
    """

    rows: tuple[str, ...]
    operations: frozenset[Operation]
    channels: int


def find(network: Network) -> list[ChannelGroup]:
    """Find the groups of a network that can be scaled; inputs and outputs of the network cannot."""
    sets = _Sets()
    layers = {layer.head: layer for layer in network.layers}
    folded = {layer.batch_norm for layer in network.layers if layer.batch_norm is not None}
    shared = _shared(network)
    for node in network.operations:
        if node.kind == "constant" or (node.kind == "call" and not node.is_float):
            continue
        before = [given for given in node.operands if given.kind != "constant" and given.is_float]
        if node in layers and node not in shared and _scales(layers[node]):
            sets.add(node)
        elif node.kind == "call" and before and (node in folded or _passes(node, before)):
            sets.join(node, *(before[:1] if node in folded else before))
        else:
            sets.fix(node, *before)
    rows: dict[Operation, list[str]] = {}
    for row, node in network.producers.items():
        rows.setdefault(sets.of(node), []).append(row)
    return [
        ChannelGroup(tuple(rows[head]), frozenset(nodes), channels)
        for head, nodes in sets.free()
        if head in rows and (channels := _channels(head)) is not None
    ]


def _shared(network: Network) -> set[Operation]:
    """The layers that share a weight or a bias with another one."""
    users: dict[str, list[Operation]] = {}
    for layer in network.layers:
        for row in (layer.weight_row, layer.bias_row):
            if row is not None:
                users.setdefault(row, []).append(layer.head)
    return {node for nodes in users.values() if len(nodes) > 1 for node in nodes}


def _scales(layer: Layer) -> bool:
    value = layer.head.value
    if not isinstance(value, Tensor) or layer.operation not in CHANNELS_FIRST:
        return False
    return layer.operation != "linear" or value.ndim == 2


def _channels(node: Operation) -> int | None:
    shape = node.shape
    return shape[1] if len(shape) > 1 else None


def _passes(node: Operation, before: list[Operation]) -> bool:
    """Whether an operation gives scaled channels where it is given such."""
    name, shape = node.name, node.shape
    given = before[0].shape
    if len(shape) < 2 or len(given) < 2 or shape[1] != given[1]:
        return False
    if name == "add":
        return len(before) == 2 and before[1].shape == shape == given and bool(node.kwargs.get("alpha", 1) == 1)
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
        self._above: dict[Operation, Operation] = {}
        self._fixed: set[Operation] = set()

    def add(self, node: Operation) -> None:
        self._above.setdefault(node, node)

    def of(self, node: Operation) -> Operation:
        self.add(node)
        while self._above[node] is not node:
            node = self._above[node]
        return node

    def join(self, *nodes: Operation) -> None:
        first = self.of(nodes[0])
        for node in nodes[1:]:
            self._above[self.of(node)] = first

    def fix(self, *nodes: Operation) -> None:
        for node in nodes:
            self.add(node)
        self._fixed.update(nodes)

    def free(self) -> Iterator[tuple[Operation, list[Operation]]]:
        members: dict[Operation, list[Operation]] = {}
        for node in self._above:
            members.setdefault(self.of(node), []).append(node)
        fixed = {self.of(node) for node in self._fixed}
        return ((head, nodes) for head, nodes in members.items() if head not in fixed)


def weight_factors(
    layer: Layer, given: Mapping[Operation, Tensor], shape: tuple[int, ...], groups: int
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
    if layer.head in given:
        found.append(given[layer.head].reshape(-1, 1, *trailing))
    source = layer.head.args[0]
    if isinstance(source, Operation) and source in given:
        inverse = 1 / given[source]
        if groups > 1:
            per_group = inverse.reshape(groups, 1, -1).expand(groups, shape[0] // groups, -1)
            found.append(per_group.reshape(shape[0], -1, *trailing))
        else:
            found.append(inverse.reshape(1, -1, *trailing))
    return tuple(found)
