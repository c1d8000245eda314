"""Operations that only move codes, or choose the largest: they keep the format, and often nothing is to be done."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from qwidgets.errors import ExportError
from qwidgets.export.c_code import views
from qwidgets.export.c_code.finishing import Named
from qwidgets.export.c_code.layers import FunctionCall, plane, reduction_fields
from qwidgets.export.c_code.parts import Raw, Value
from qwidgets.export.c_code.pools import pool_fields
from qwidgets.export.example_run import ExampleRun, pads_with_a_constant
from qwidgets.formats import FixedPoint
from qwidgets.network import Operation


def move_of(
    node: Operation, source: Operation, run: ExampleRun, name: str, storage: Raw, fmt: FixedPoint, named: Named
) -> FunctionCall | None:
    """Give the call that moves codes, or None where they already lie as they are needed.

    ``named`` makes the arrays that it takes.

    Raises
    ------
    ExportError
        The move is not written in C.
    """
    operator = node.operands[0] if node.name == "getitem" else node
    operation = operator.name
    inputs, outputs = run.shapes[source], run.shapes[node]
    if "max_pool" in operation:
        return _max_pool(operator, inputs, outputs, name, storage)
    if operation in ("amax", "amin", "max", "min"):
        sign = 1 if "max" in operation else -1
        fields = reduction_fields(inputs, dict(operator.arguments).get("dim"))
        return FunctionCall("qw_extreme", "qw_extreme_layer", {**fields, "storage": storage, "sign": sign}, (name,))
    if operation == "constant_pad_nd" or (operation == "pad" and pads_with_a_constant(operator)):
        return _pad(operator, inputs, outputs, name, storage, fmt)
    if node not in run.places:
        raise ExportError(f"is moved by {operation}, which is not written in C")
    view, count = views.affine(run.places[node]), math.prod(outputs)
    if view is None:
        return _select(run.places[node], name, storage, named)
    if count == math.prod(inputs) and views.is_whole(view, count):
        return None
    return FunctionCall("qw_move", "qw_move_layer", {"count": count, "storage": storage, "view": view}, (name,))


def _select(places: torch.Tensor, name: str, storage: Raw, named: Named) -> FunctionCall:
    sizes, tables = views.tables(places)
    fields: dict[str, Value] = {
        "count": places.numel(),
        "storage": storage,
        "rank": len(sizes),
        "shape": sizes,
        "places": named.array("places", "int32_t", tables, "where values come from, along each dimension"),
    }
    return FunctionCall("qw_select", "qw_select_layer", fields, (name,))


def _max_pool(node: Operation, inputs: Sequence[int], outputs: Sequence[int], name: str, storage: Raw) -> FunctionCall:
    given, operation = dict(node.arguments), node.name
    dims = int(next(letter for letter in operation if letter.isdigit()))
    if operation.startswith("adaptive"):
        pairs = list(zip(inputs[-dims:], outputs[-dims:], strict=True))
        if any(span % size for span, size in pairs):
            raise ExportError(
                f"is pooled from {inputs[-dims:]} to {outputs[-dims:]} values, which do not divide them; that is not "
                "written in C"
            )
        kernel = plane([span // size for span, size in pairs], dims)
        fields = pool_fields(inputs, outputs, dims, kernel, kernel)
        return FunctionCall("qw_max_pool2d", "qw_pool2d_layer", fields | {"input_storage": storage}, (name,))
    kernel = plane(given["kernel_size"], dims)
    stride = plane(given["stride"] or given["kernel_size"], dims)
    dilation, padding = plane(given["dilation"], dims), plane(given["padding"], dims, 0)
    fields = pool_fields(inputs, outputs, dims, kernel, stride)
    fields |= {"dilation_y": dilation[0], "dilation_x": dilation[1], "pad_top": padding[0], "pad_left": padding[1]}
    return FunctionCall("qw_max_pool2d", "qw_pool2d_layer", fields | {"input_storage": storage}, (name,))


def _pad(
    node: Operation, inputs: tuple[int, ...], outputs: tuple[int, ...], name: str, storage: Raw, fmt: FixedPoint
) -> FunctionCall:
    given: dict[str, Any] = dict(node.arguments)
    if len(inputs) > views.MAX_RANK:
        raise ExportError(f"is padded in more than {views.MAX_RANK} dimensions")
    before = [0] * len(inputs)
    for axis, border in enumerate(given["pad"][::2]):
        before[-1 - axis] = border
    fields: dict[str, Value] = {
        "rank": len(inputs),
        "in_shape": list(inputs),
        "out_shape": list(outputs),
        "before": before,
        "storage": storage,
        "fill": fmt.to_integer(float(given.get("value") or 0)),
    }
    return FunctionCall("qw_pad", "qw_pad_layer", fields, (name,))
