"""Operations that only move codes, or choose the largest: they keep the format, and often nothing is to be done."""

import math
from typing import Any

from torch.fx import Node

from qwidgets.capturing import operations
from qwidgets.errors import ExportError
from qwidgets.export.c_code import views
from qwidgets.export.c_code.example_run import ExampleRun
from qwidgets.export.c_code.layers import FunctionCall, plane, pool_fields
from qwidgets.export.c_code.parts import Raw, Value
from qwidgets.fixed_point import FixedPoint
from qwidgets.integers.program import arguments


def move_of(node: Node, source: Node, run: ExampleRun, name: str, storage: Raw, fmt: FixedPoint) -> FunctionCall | None:
    """Give the call that moves codes, or None where they already lie as they are needed.

    Raises
    ------
    ExportError
        The move is not written in C.
    """
    operation = operations.name_of(node)
    if operation == "getitem":
        operation = operations.name_of(node.all_input_nodes[0])
    if operation in ("max_pool1d", "max_pool2d"):
        return _max_pool(node, run.shapes[source], run.shapes[node], name, storage)
    if operation in ("constant_pad_nd", "pad"):
        return _pad(node, run.shapes[source], run.shapes[node], name, storage, fmt)
    if node not in run.places:
        raise ExportError(f"is moved by {operation}, which is not written in C")
    view, count = views.affine(run.places[node]), math.prod(run.shapes[node])
    if view is None:
        raise ExportError(f"is moved by {operation} in a way that is not written in C")
    if count == math.prod(run.shapes[source]) and views.is_whole(view, count):
        return None
    return FunctionCall("qw_move", "qw_move_layer", {"count": count, "storage": storage, "view": view}, (name,))


def _max_pool(node: Node, inputs: tuple[int, ...], outputs: tuple[int, ...], name: str, storage: Raw) -> FunctionCall:
    given = arguments(node)
    dims = int(operations.name_of(node)[-2])
    kernel = plane(given["kernel_size"], dims)
    stride = plane(given["stride"] or given["kernel_size"], dims)
    dilation, padding = plane(given["dilation"], dims), plane(given["padding"], dims, 0)
    fields: dict[str, Value] = pool_fields(inputs, outputs, dims, kernel, stride)
    fields |= {"dilation_y": dilation[0], "dilation_x": dilation[1], "pad_top": padding[0], "pad_left": padding[1]}
    return FunctionCall("qw_max_pool2d", "qw_pool2d_layer", fields | {"input_storage": storage}, (name,))


def _pad(
    node: Node, inputs: tuple[int, ...], outputs: tuple[int, ...], name: str, storage: Raw, fmt: FixedPoint
) -> FunctionCall:
    given: dict[str, Any] = arguments(node)
    if given.get("mode", "constant") != "constant":
        raise ExportError(f"is padded by {given['mode']}, which is not written in C")
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
