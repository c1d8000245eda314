"""What each operation of a captured network sums up: which tensors, how many terms.

The widest sum that formats can lead to follows from this and the formats alone, without the network. So a calibration
keeps it, also in its file. Nothing here knows of formats.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from qwidgets.network import operations
from qwidgets.network.rows import shape_of

if TYPE_CHECKING:
    from qwidgets.network.network import Layer, Network

PRODUCTS = {
    "matmul": ("self", "other"),
    "mm": ("self", "mat2"),
    "bmm": ("self", "mat2"),
    "mv": ("self", "vec"),
    "dot": ("self", "tensor"),
    "mul": ("self", "other"),
    "square": ("self", "self"),
    "outer": ("self", "vec2"),
    "inner": ("self", "other"),
    "vdot": ("self", "other"),
}
"""The products of two tensors, and what their factors are called."""

LAYERS = frozenset(f"conv{how}{dimensions}d" for how in ("", "_transpose") for dimensions in (1, 2, 3)) | {"linear"}
"""The layers whose sums over a weight are known; a batch norm by itself, which multiplies only, is one too."""

TOTALS = frozenset(
    ["sum", "mean", *(f"{how}avg_pool{dimensions}d" for how in ("", "adaptive_") for dimensions in (1, 2, 3))]
)
"""What sums values of one tensor up."""


@dataclass(frozen=True)
class Sum:
    """What an operation sums up for each value that it gives.

    Attributes
    ----------
    row
        The activation that it ends in.
    operation
        Its ATen name. One that sums nothing is listed where it reads a constant other than as a layer's weight or bias.
    reads
        The rows that it multiplies or adds, through what only moves values; not the weight and the bias of a layer.
    terms
        How many products, or values, come together in one sum; None where that is not known beforehand.
    weight, bias
        The rows of a layer's constants. A weight that it reads turned around is among ``reads`` instead.
    groups
        Of a convolution.
    """

    row: str
    operation: str
    reads: tuple[str, ...]
    terms: int | None
    weight: str | None = None
    bias: str | None = None
    groups: int = 1


def find(network: "Network") -> tuple[Sum, ...]:
    """Give the sums of a network, in the order in which they are computed."""
    return tuple(_Finder(network).find())


class _Finder:
    def __init__(self, network: "Network") -> None:
        self._nodes = network.graph.graph.nodes
        self._rows = {node: row for row, node in network.nodes.items()}
        self._layers = {layer.node: layer for layer in network.layers}
        self._folded = {layer.batch_norm_node for layer in network.layers}
        self._constants: dict[object, str] = {node: row for row, node in network.parameter_nodes.items()}
        self._constants |= {node.target: row for row, node in network.parameter_nodes.items() if node.op == "get_attr"}

    def find(self) -> Iterator[Sum]:
        for node in self._nodes:
            if node.op != "call_function" or node in self._folded:
                continue
            name, given = operations.name_of(node), operations.arguments(node)
            if name in PRODUCTS:
                factors = [given.get(argument) for argument in PRODUCTS[name]]
                if all(isinstance(factor, Node) for factor in factors):
                    terms = 1 if name in ("mul", "square", "outer") else _sizes(factors[0])[-1]
                    yield Sum(self._row_of(node), name, self._sources(factors), terms)
            elif node in self._layers:
                yield self._of_layer(node, self._layers[node])
            elif name in TOTALS:
                yield Sum(self._row_of(node), name, self._sources([given["self"]]), _terms(name, given))
            elif self._reads_constants(node):
                yield Sum(self._row_of(node), name, self._sources(node.all_input_nodes), None)

    def _of_layer(self, node: Node, layer: "Layer") -> Sum:
        name = operations.name_of(node)
        if operations.is_batch_norm(node):
            x = self._sources([node.all_input_nodes[0]])
            return Sum(self._row_of(node), name, x, 1, layer.weight_row, layer.bias_row)
        given = operations.arguments(node)
        weight = next((value for value in node.all_input_nodes if self._row_behind(value) == layer.weight_row), None)
        factors = [value for value in node.all_input_nodes if self._row_behind(value) != layer.bias_row]
        if name not in LAYERS or given["weight"] is not weight:
            return Sum(self._row_of(node), name, self._sources(factors), None, None, layer.bias_row)
        shape, groups = [size or 0 for size in _sizes(weight)], given.get("groups", 1)
        terms = math.prod(shape[1:]) if "transpose" not in name else math.prod(shape[:1] + shape[2:]) // groups
        straight = weight is not None and self._constant_of(weight) is not None
        return Sum(
            row=self._row_of(node),
            operation=name,
            reads=self._sources([given["input"]] if straight else factors),
            terms=terms,
            weight=layer.weight_row if straight else None,
            bias=layer.bias_row,
            groups=groups,
        )

    def _reads_constants(self, node: Node) -> bool:
        """Whether an operation reads a constant, or looks something up in one, that no layer multiplies with."""
        if operations.only_moves(node) and not operations.is_lookup(node):
            return False
        return any(self._constant_of(operations.trail_of(before)[-1]) for before in node.all_input_nodes)

    def _constant_of(self, node: object) -> str | None:
        return self._constants.get(node) or self._constants.get(getattr(node, "target", None))

    def _sources(self, values: list[Any]) -> tuple[str, ...]:
        """Name the rows that values come from; what comes from none is left out."""
        found = [self._row_behind(value) for value in values if isinstance(value, Node)]
        return tuple(row for row in found if row is not None)

    def _row_behind(self, value: Node) -> str | None:
        end = operations.trail_of(value)[-1]
        return self._rows.get(end) or self._constant_of(end)

    def _row_of(self, node: Node) -> str:
        """Name the row that a node's value ends up in."""
        reached = [node]
        for at in reached:
            if at in self._rows:
                return self._rows[at]
            reached.extend(user for user in at.users if user not in reached)
        return node.name


def _terms(name: str, given: Mapping[str, Any]) -> int | None:
    """Give how many values a sum or an average is made of."""
    shape = _sizes(given["self"])
    if name in ("sum", "mean"):
        dims = given.get("dim")
        sizes = [shape[dim] for dim in dims] if dims else list(shape)
    elif name.startswith("adaptive"):
        wanted = list(given["output_size"])
        spans = shape[-len(wanted) :]
        if None in spans or None in wanted:
            return None
        sizes = [-(-(span or 0) // size) for span, size in zip(spans, wanted, strict=True)]
    else:
        kernel = pytree.tree_leaves(given["kernel_size"])
        sizes = kernel * int(name[-2]) if len(kernel) == 1 else kernel
    return None if None in sizes else math.prod(size or 0 for size in sizes)


def _sizes(value: object) -> tuple[int | None, ...]:
    found = operations.value_of(value) if isinstance(value, Node) else None
    return shape_of(found) if isinstance(found, Tensor) else ()
