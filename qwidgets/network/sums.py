"""What each operation of a captured network sums up: which tensors, how many terms.

The widest sum that formats can lead to follows from this and the formats alone, without the network. So a calibration
keeps it, also in its file. Nothing here knows of formats.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.utils import _pytree as pytree

from qwidgets.network.operation import Layer, Operation

if TYPE_CHECKING:
    from qwidgets.network.network import Network

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
        self._operations = network.operations
        self._layers = {layer.head: layer for layer in network.layers}

    def find(self) -> Iterator[Sum]:
        for operation in self._operations:
            if not operation.is_call or operation.is_folded:
                continue
            name, given = operation.name, operation.arguments
            if name in PRODUCTS:
                factors = [given.get(argument) for argument in PRODUCTS[name]]
                if all(isinstance(factor, Operation) for factor in factors):
                    terms = 1 if name in ("mul", "square", "outer") else _sizes(factors[0])[-1]
                    yield Sum(operation.row, name, _sources(factors), terms)
            elif operation in self._layers:
                yield _of_layer(operation, self._layers[operation])
            elif name in TOTALS:
                yield Sum(operation.row, name, _sources([given["self"]]), _terms(name, given))
            elif _reads_constants(operation):
                yield Sum(operation.row, name, _sources(operation.operands), None)


def _of_layer(head: Operation, layer: Layer) -> Sum:
    if head.is_batch_norm:
        return Sum(head.row, head.name, _sources(head.operands[:1]), 1, layer.weight_row, layer.bias_row)
    given = head.arguments
    weight = next((value for value in head.operands if _row_behind(value) == layer.weight_row), None)
    factors = [value for value in head.operands if _row_behind(value) != layer.bias_row]
    if head.name not in LAYERS or given["weight"] is not weight:
        return Sum(head.row, head.name, _sources(factors), None, None, layer.bias_row)
    shape, groups = [size or 0 for size in _sizes(weight)], given.get("groups", 1)
    terms = math.prod(shape[1:]) if "transpose" not in head.name else math.prod(shape[:1] + shape[2:]) // groups
    straight = weight is not None and weight.constant is not None
    return Sum(
        row=head.row,
        operation=head.name,
        reads=_sources([given["input"]] if straight else factors),
        terms=terms,
        weight=layer.weight_row if straight else None,
        bias=layer.bias_row,
        groups=groups,
    )


def _reads_constants(operation: Operation) -> bool:
    """Whether an operation reads a constant, or looks something up in one, that no layer multiplies with."""
    if operation.only_moves and not operation.is_lookup:
        return False
    return any(before.source.constant for before in operation.operands)


def _sources(values: Iterable[Any]) -> tuple[str, ...]:
    """Name the rows that values come from; what comes from none is left out."""
    found = [_row_behind(value) for value in values if isinstance(value, Operation)]
    return tuple(row for row in found if row is not None)


def _row_behind(value: Operation) -> str | None:
    return value.source.slot or value.source.constant


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
    return value.shape if isinstance(value, Operation) else ()
