"""Averages over windows and between values in C, and the sizes that pooling by the largest has, too."""

import math
from collections.abc import Callable, Mapping, Sequence

from qwidgets.errors import ExportError
from qwidgets.export.c_code.layers import FunctionCall, LayerSpec, plane, window
from qwidgets.export.c_code.parts import Value


def _avg_pool(spec: LayerSpec) -> list[FunctionCall]:
    given, dims = spec.given, int(spec.node.name[-2])
    kernel = plane(given["kernel_size"], dims)
    stride = plane(given["stride"] or given["kernel_size"], dims)
    fields = pool_fields(spec.shape_of(given["self"]), spec.shape, dims, kernel, stride)
    padding = plane(given["padding"], dims, 0)
    fields |= {"pad_top": padding[0], "pad_left": padding[1]}
    fields |= {"count_padding": int(given["count_include_pad"]), "divisor": given.get("divisor_override") or 0}
    return _pooled(spec, fields)


def _adaptive_avg_pool(spec: LayerSpec) -> list[FunctionCall]:
    x, dims = spec.given["self"], int(spec.node.name[-2])
    spans = (a // b for a, b in zip(spec.shape_of(x)[-dims:], spec.shape[-dims:], strict=True))
    kernel = plane(list(spans), dims)
    return _pooled(spec, pool_fields(spec.shape_of(x), spec.shape, dims, kernel, kernel))


def _pooled(spec: LayerSpec, fields: dict[str, Value]) -> list[FunctionCall]:
    name, storage = spec.lowering.source(spec.given["self"])
    fields |= {"input_storage": storage, "output": spec.output()}
    return [FunctionCall("qw_avg_pool2d", "qw_pool2d_layer", fields, (name,))]


def pool_fields(
    inputs: Sequence[int],
    outputs: Sequence[int],
    dims: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
) -> dict[str, Value]:
    """Give the sizes of a pooling layer of one or two dimensions."""
    if dims > 2:
        raise ExportError("pools over three dimensions, which is not written in C")
    (in_height, in_width), (out_height, out_width) = (plane(shape[-dims:], dims) for shape in (inputs, outputs))
    return {
        "channels": math.prod(inputs[:-dims]),
        "in_height": in_height,
        "in_width": in_width,
        "out_height": out_height,
        "out_width": out_width,
        **window(kernel, stride, (1, 1), (0, 0)),
    }


def _between(spec: LayerSpec) -> list[FunctionCall]:
    x, dims = spec.given["input"], int(spec.node.name[-2])
    name, storage = spec.lowering.source(x)
    sizes = pool_fields(spec.shape_of(x), spec.shape, dims, (1, 1), (1, 1))
    chosen = ("channels", "in_height", "in_width", "out_height", "out_width")
    fields: dict[str, Value] = {field: sizes[field] for field in chosen}
    fields |= {"input_storage": storage, "output": spec.output()}
    return [FunctionCall("qw_bilinear", "qw_resize_layer", fields, (name,))]


POOLS: Mapping[str, Callable[[LayerSpec], list[FunctionCall]]] = {
    "avg_pool1d": _avg_pool,
    "avg_pool2d": _avg_pool,
    "adaptive_avg_pool1d": _adaptive_avg_pool,
    "adaptive_avg_pool2d": _adaptive_avg_pool,
    "upsample_linear1d": _between,
    "upsample_bilinear2d": _between,
}
