"""Operations that only move codes, or choose the largest: the bytes stay what they are."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from qwidgets.errors import ExportError
from qwidgets.export.example_run import pads_with_a_constant
from qwidgets.export.tflite_model.layers import VALID, padding_scheme, pair
from qwidgets.export.tflite_model.places import Ints, Order, Place, as_they_are, channels_last, planar, zero_point
from qwidgets.network import Operation

if TYPE_CHECKING:
    from qwidgets.export.tflite_model.translation import Translation

LEAST = -128


def move(to: "Translation", node: Operation) -> Place | None:
    """Write what moves codes; None of a constant, which is written in its new places where it is used.

    Raises
    ------
    ExportError
        It is not written for TFLite.
    """
    operator = node.operands[0] if node.name == "getitem" else node
    source = node.trail[2] if node.name == "getitem" else node.trail[1]
    if to.program.operands[node].integers is not None:
        return None
    place, shape = to.place(source), to.run.shapes[node]
    if "max_pool" in operator.name:
        return _max_pool(to, operator, place, shape)
    if operator.name == "constant_pad_nd" or (operator.name == "pad" and pads_with_a_constant(operator)):
        return _pad(to, operator, place, shape)
    if node not in to.run.places:
        raise ExportError(f"is moved by {operator.name}, which is not written for TFLite")
    return _moved(to, place, to.run.places[node].cpu().numpy().astype(np.int64), shape)


def _moved(to: "Translation", place: Place, places: Ints, shape: tuple[int, ...]) -> Place:
    """Move codes to where they come from: by another shape, by turning, or one by one."""
    rank = len(shape)
    order = channels_last(rank) if place.is_last and rank == len(place.shape) else as_they_are(rank)
    wanted = place.positions().reshape(-1)[places].transpose(order)
    lying = tuple(wanted.shape)
    if wanted.size == np.prod(place.lying) and np.array_equal(wanted.reshape(-1), np.arange(wanted.size)):
        return replace(to.reshaped(place, lying), shape=shape, order=order)
    turned = _turned(place.lying, wanted.reshape(-1))
    name = place.tensor.name
    if turned is not None:
        flat = to.reshaped(place, place.lying)
        tensor = to.tensor(f"{name}:turned", [place.lying[axis] for axis in turned], place.fmt)
        by = to.graph.constant(f"{name}:order", np.array(turned, np.int32))
        to.graph.add("TRANSPOSE", [flat.tensor, by], tensor, 2, table="TransposeOptions")
    else:
        flat = to.reshaped(place, (int(np.prod(place.lying)),))
        tensor = to.tensor(f"{name}:chosen", (wanted.size,), place.fmt)
        indices = to.graph.constant(f"{name}:indices", wanted.reshape(-1).astype(np.int32))
        to.graph.add("GATHER", [flat.tensor, indices], tensor, 2, table="GatherOptions", axis=0)
    return to.reshaped(Place(tensor, shape, order, place.fmt), lying)


def _turned(sizes: Sequence[int], wanted: Ints) -> Order | None:
    """Find the permutation of dimensions that brings codes into an order, if one does."""
    numbers = np.arange(int(np.prod(sizes))).reshape(sizes)
    if wanted.size != numbers.size or len(sizes) > 5:
        return None
    return next(
        (
            axes
            for axes in permutations(range(len(sizes)))
            if np.array_equal(numbers.transpose(axes).reshape(-1), wanted)
        ),
        None,
    )


def _max_pool(to: "Translation", node: Operation, place: Place, shape: tuple[int, ...]) -> Place:
    given: dict[str, Any] = dict(node.arguments)
    dims = int(next(letter for letter in node.name if letter.isdigit()))
    sizes, outputs = place.shape[-dims:], shape[-dims:]
    if node.name.startswith("adaptive"):
        if any(size % output for size, output in zip(sizes, outputs, strict=True)):
            raise ExportError(f"is pooled from {sizes} to {outputs} values, which do not divide them")
        kernel = pair([size // output for size, output in zip(sizes, outputs, strict=True)], dims)
        strides, padding = kernel, (0, 0)
    else:
        kernel = pair(given["kernel_size"], dims)
        strides = pair(given["stride"] or given["kernel_size"], dims)
        padding = pair(given["padding"], dims, 0)
        if pair(given["dilation"], dims) != (1, 1):
            raise ExportError("is pooled with a dilation, which TFLite does not have")
    last = channels_last(len(shape))
    place = to.ordered(place, channels_last(len(place.shape)))
    inputs, result = planar(place.lying), planar(tuple(shape[axis] for axis in last))
    reads, how = to.reshaped(place, inputs), padding_scheme(inputs, result, kernel, strides, (1, 1), padding)
    if how is None or (how == VALID and given.get("ceil_mode")):
        reads, how = _bordered(to, reads, inputs, result, kernel, strides, padding), VALID
    tensor = to.tensor(f"{place.tensor.name}:pooled", result, place.fmt)
    to.graph.add(
        "MAX_POOL_2D",
        [reads.tensor],
        tensor,
        2,
        table="Pool2DOptions",
        padding=how,
        strideH=strides[0],
        strideW=strides[1],
        filterHeight=kernel[0],
        filterWidth=kernel[1],
    )
    return Place(tensor, shape, last, place.fmt)


def _bordered(
    to: "Translation",
    reads: Place,
    inputs: Sequence[int],
    outputs: Sequence[int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[int, int],
) -> Place:
    """Put a border of the least byte around a picture, as far as the windows of a pool reach."""
    sides = [[0, 0]]
    for axis in (0, 1):
        reach = (outputs[1 + axis] - 1) * strides[axis] + kernel[axis]
        sides.append([padding[axis], max(reach - inputs[1 + axis] - padding[axis], 0)])
    sides.append([0, 0])
    return _with_border(to, reads, inputs, sides, LEAST)


def _with_border(
    to: "Translation", reads: Place, sizes: Sequence[int], sides: Sequence[Sequence[int]], byte: int
) -> Place:
    shape = [size + before + after for size, (before, after) in zip(sizes, sides, strict=True)]
    tensor = to.tensor(f"{reads.tensor.name}:padded", shape, reads.fmt)
    border = to.graph.constant(f"{tensor.name}:border", np.array(sides, np.int32))
    fill = to.graph.constant(f"{tensor.name}:fill", np.array([byte], np.int8), reads.tensor.quantization)
    to.graph.add("PADV2", [reads.tensor, border, fill], tensor, 2, table="PadV2Options")
    return replace(reads, tensor=tensor)


def _pad(to: "Translation", node: Operation, place: Place, shape: tuple[int, ...]) -> Place:
    given: dict[str, Any] = dict(node.arguments)
    sides = [[0, 0] for _ in place.shape]
    for position in range(len(given["pad"]) // 2):
        sides[-1 - position] = list(given["pad"][2 * position : 2 * position + 2])
    if any(side < 0 for both in sides for side in both):
        raise ExportError("is padded by less than nothing, which is not written for TFLite")
    code = int(place.fmt.to_integer(float(given.get("value") or 0)))
    flat = to.reshaped(place, place.lying)
    wider = _with_border(to, flat, place.lying, [sides[axis] for axis in place.order], code + zero_point(place.fmt))
    return replace(wider, shape=shape)
