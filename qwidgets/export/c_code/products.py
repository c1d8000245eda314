"""Products of two tensors that both may be computed: of matrices and vectors, any einsum of two, with what is added.

Each dimension has a label. What both tensors share and the output does not have is summed; where each tensor is read is
a matter of strides.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qwidgets.errors import ExportError
from qwidgets.export.c_code import views
from qwidgets.export.c_code.finishing import rounded_once
from qwidgets.export.c_code.layers import FunctionCall, LayerSpec, described
from qwidgets.export.c_code.parts import Raw, Value
from qwidgets.network import Operation
from qwidgets.simulation import labels_of

_DIGITS = "0123456789"


def _product(
    spec: LayerSpec, tensors: Sequence[Operation], labels: tuple[str, str], kept: str, added: Any = None
) -> list[FunctionCall]:
    """Call the function that sums products; ``labels`` name the dimensions of both tensors, ``kept`` the output's."""
    shapes = [spec.shape_of(tensor) for tensor in tensors]
    sizes = dict(zip(kept, spec.shape, strict=True))
    for axes, shape in zip(labels, shapes, strict=True):
        for label, size in zip(axes, shape, strict=True):
            sizes[label] = max(sizes.get(label, 1), size)
    summed = [label for label in sizes if label not in kept]
    fields: dict[str, Value] = {
        "count": math.prod(spec.shape),
        "terms": math.prod(sizes[label] for label in summed),
        **spec.channels(),
    }
    reads = []
    for letter, axes, shape, tensor in zip("ab", labels, shapes, tensors, strict=True):
        name, storage = spec.lowering.source(tensor)
        reads.append(name)
        fields[f"{letter}_storage"] = storage
        for field, chosen in ((letter, kept), (f"{letter}_summed", summed)):
            strides = [_stride(label, axes, shape) for label in chosen]
            fields[field] = described(views.view([sizes[label] for label in chosen], strides))
    if isinstance(added, Operation):
        name, storage = spec.lowering.source(added)
        operand = spec.lowering.program.operands[added]
        fields |= {
            "added_storage": storage,
            "added": described(views.broadcast(spec.shape_of(added), spec.shape)),
            "added_left_shift": operand.codes.lsb - spec.ending.sums.lsb,
            "added_rounding": Raw(f"QW_{rounded_once(operand.rounding).upper()}"),
        }
    reads.append(name if isinstance(added, Operation) else "NULL")
    return [FunctionCall("qw_product", "qw_product_layer", {**fields, "output": spec.output()}, tuple(reads))]


def _stride(label: str, axes: str, shape: Sequence[int]) -> int:
    """How far apart neighbours along a label lie; along several dimensions where they share it, for a diagonal."""
    strides = views.strides_of(shape)
    return sum(stride for own, size, stride in zip(axes, shape, strides, strict=True) if own == label and size > 1)


def _matmul(a: str, b: str) -> Callable[[LayerSpec], list[FunctionCall]]:
    def write(spec: LayerSpec) -> list[FunctionCall]:
        tensors = [spec.given[a], spec.given[b]]
        ranks = [len(spec.shape_of(tensor)) for tensor in tensors]
        batch = _DIGITS[: max(*ranks, 2) - 2]
        rows, columns = "i" * (ranks[0] > 1), "j" * (ranks[1] > 1)
        left = batch[len(batch) - max(ranks[0] - 2, 0) :] + rows + "k"
        right = batch[len(batch) - max(ranks[1] - 2, 0) :] + "k" + columns
        return _product(spec, tensors, (left, right), batch + rows + columns, _added(spec))

    return write


def _labelled(a: str, b: str, left: str, right: str, kept: str) -> Callable[[LayerSpec], list[FunctionCall]]:
    return lambda spec: _product(spec, [spec.given[a], spec.given[b]], (left, right), kept, _added(spec))


def _value_by_value(a: str, b: str) -> Callable[[LayerSpec], list[FunctionCall]]:
    def write(spec: LayerSpec) -> list[FunctionCall]:
        if spec.given.get("value", 1) != 1:
            raise ExportError("subtracts a product, which is not written in C; write it as a product and a difference")
        tensors = [spec.given[a], spec.given[b]]
        whole = _DIGITS[: len(spec.shape)]
        left, right = (whole[len(whole) - len(spec.shape_of(tensor)) :] for tensor in tensors)
        return _product(spec, tensors, (left, right), whole, _added(spec))

    return write


def _added(spec: LayerSpec) -> Any:
    adds = spec.node.name.startswith(("add", "badd"))
    return spec.given["self"] if adds and spec.given.get("beta", 1) else None


def _inner(spec: LayerSpec) -> list[FunctionCall]:
    tensors = [spec.given["self"], spec.given["other"]]
    left, right = (_DIGITS[: len(spec.shape_of(tensor)) - 1] for tensor in tensors)
    others = "abcdefgh"[: len(right)]
    return _product(spec, tensors, (f"{left}k", f"{others}k"), left + others)


def _tensordot(spec: LayerSpec) -> list[FunctionCall]:
    tensors = [spec.given["self"], spec.given["other"]]
    ranks = [len(spec.shape_of(tensor)) for tensor in tensors]
    left, right = list("abcdefghij"[: ranks[0]]), list("klmnopqrst"[: ranks[1]])
    for own, other in zip(spec.given["dims_self"], spec.given["dims_other"], strict=True):
        right[other] = left[own]
    kept = [label for label in left + right if (label in left) != (label in right)]
    return _product(spec, tensors, ("".join(left), "".join(right)), "".join(kept))


def _einsum(spec: LayerSpec) -> list[FunctionCall]:
    tensors = spec.given["tensors"]
    if len(tensors) != 2:
        raise ExportError("is computed by einsum of one tensor, which is not written in C; write it as a sum")
    labels = labels_of(spec.given["equation"], [len(spec.shape_of(tensor)) for tensor in tensors])
    assert labels is not None  # else it has no integer form
    left, right, kept = labels
    return _product(spec, tensors, (left, right), kept)


PRODUCTS: Mapping[str, Callable[[LayerSpec], list[FunctionCall]]] = {
    "addbmm": _labelled("batch1", "batch2", "bik", "bkj", "ij"),
    "addcmul": _value_by_value("tensor1", "tensor2"),
    "addmm": _matmul("mat1", "mat2"),
    "addmv": _matmul("mat", "vec"),
    "addr": _labelled("vec1", "vec2", "i", "j", "ij"),
    "baddbmm": _matmul("batch1", "batch2"),
    "bmm": _matmul("self", "mat2"),
    "dot": _matmul("self", "tensor"),
    "einsum": _einsum,
    "inner": _inner,
    "matmul": _matmul("self", "other"),
    "mm": _matmul("self", "mat2"),
    "mv": _matmul("self", "vec"),
    "outer": _labelled("self", "vec2", "i", "j", "ij"),
    "pow": _value_by_value("self", "self"),
    "tensordot": _tensordot,
    "square": _value_by_value("self", "self"),
    "vdot": _matmul("self", "other"),
}
