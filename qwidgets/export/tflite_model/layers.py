"""Layers with constant weights, and averages."""

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from qwidgets.errors import ExportError
from qwidgets.export.aligned_bias import aligned_bias, row_of_constant, sum_lsbs, weight_of
from qwidgets.export.c_code.finishing import OutputStage
from qwidgets.export.tflite_model.graph import Quantization, Tensor
from qwidgets.export.tflite_model.layer import LayerSpec
from qwidgets.export.tflite_model.mean_ties import straying_sums
from qwidgets.export.tflite_model.places import BITS, Place, as_they_are, channels_last, planar, zero_point

if TYPE_CHECKING:
    from qwidgets.export.tflite_model.translation import Translation

LEAST = -(1 << (BITS - 1))
Pair = tuple[int, int]
"""Of height and width."""

VALID, SAME = 1, 0
NONE, RELU, RELU6 = 0, 1, 3


def _conv(spec: LayerSpec) -> Place:
    given = spec.given
    codes, lsbs = _weight(spec)
    dims = codes.ndim - 2
    kernel, strides, dilation = (
        (1, *codes.shape[2:])[-2:],
        *(pair(given[name], dims) for name in ("stride", "dilation")),
    )
    x = _ordered_last(spec, given["input"])
    inputs = planar(x.lying)
    padded, padding = _padded(
        spec, x, _pair_of_padding(given["padding"], dims, kernel, dilation), inputs, kernel, strides, dilation
    )
    groups, channels = given["groups"], inputs[-1]
    weight = codes.reshape(*codes.shape[:2], *kernel)
    outputs = planar(tuple(spec.shape[axis] for axis in channels_last(len(spec.shape))))
    result = spec.output(channels_last(len(spec.shape)), outputs)
    fused, limits = _fused(spec.ending)
    options: dict[str, Any] = {
        "padding": padding,
        "strideH": strides[0],
        "strideW": strides[1],
        "dilationHFactor": dilation[0],
        "dilationWFactor": dilation[1],
        "fusedActivationFunction": fused,
    }
    if groups == channels and groups > 1:
        stored = weight[:, 0].transpose(1, 2, 0)[None]  # (1, height, width, channels out)
        options["depthMultiplier"] = len(weight) // groups
        operator, table, axis = "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", 3
    else:
        stored = weight.transpose(0, 2, 3, 1)
        operator, table, axis = "CONV_2D", "Conv2DOptions", 0
    reads = [padded, *_constants(spec, stored, lsbs, axis, spec.shape[1 - (dims + 2)])]
    spec.graph.add(operator, reads, result.tensor, 3, table=table, **options)
    return spec.to.limited(result, *limits)


def _linear(spec: LayerSpec) -> Place:
    codes, lsbs = _weight(spec)
    x = spec.to.place(spec.given["input"])
    x = spec.to.ordered(x, as_they_are(len(x.shape)))
    result = spec.output(as_they_are(len(spec.shape)))
    fused, limits = _fused(spec.ending)
    reads = [x.tensor, *_constants(spec, codes, lsbs, 0, spec.shape[-1])]
    version = 12 if len(lsbs) > 1 else 5 if len(spec.shape) > 2 else 4
    spec.graph.add(
        "FULLY_CONNECTED",
        reads,
        result.tensor,
        version,
        table="FullyConnectedOptions",
        fusedActivationFunction=fused,
        keepNumDims=len(spec.shape) > 2,
    )
    return spec.to.limited(result, *limits)


def _mean(spec: LayerSpec) -> Place:
    """An average over some dimensions."""
    x = spec.to.place(spec.given["self"])
    rank = len(x.shape)
    dims = spec.given.get("dim")
    dims = list(range(rank)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else list(dims)
    dims = [axis % rank for axis in dims]
    if not spec.to.kernels.averages_by_mean:
        if rank < 3 or sorted(dims) != list(range(2, rank)):
            raise ExportError(f"is an average over dimensions {dims}, and {spec.to.kernels.title} pools pictures only")
        return _pool_of_all(spec, x)
    x = spec.to.ordered(x, x.order)
    kept = [axis for axis in x.order if axis not in dims]
    names = [axis for axis in range(rank) if axis not in dims]  # torch's numbers of what is left, one after another
    if spec.given.get("keepdim"):
        order = x.order
        lying = tuple(1 if axis in dims else x.shape[axis] for axis in x.order)
    else:
        order = tuple(names.index(axis) for axis in kept)
        lying = tuple(x.shape[axis] for axis in kept)
    return _by_mean(spec, x, dims, lying, order)


def _by_mean(spec: LayerSpec, x: Place, dims: Sequence[int], lying: tuple[int, ...], order: tuple[int, ...]) -> Place:
    count = math.prod(x.shape[axis] for axis in dims)
    straying = straying_sums(spec.to.program.operands[spec.given["self"]].codes, count, spec.ending.fmt)
    if straying:
        many = "some" if straying < 0 else str(straying)
        spec.to.differs(
            spec.row,
            f"LiteRT multiplies a sum of {count} by a float32 instead of dividing it: {many} of the sums that can "
            "occur, which are ties, go to the other side",
        )
    result = spec.output(order, lying)
    axes = spec.graph.constant(f"{spec.row}:axes", np.array(sorted(x.order.index(axis) for axis in dims), np.int32))
    spec.graph.add(
        "MEAN", [x.tensor, axes], result.tensor, 2, table="ReducerOptions", keepDims=len(lying) == len(x.shape)
    )
    return spec.to.limited(result, *uniform_bounds(spec.ending))


def _adaptive_pool(spec: LayerSpec) -> Place:
    x, dims = spec.given["self"], int(spec.node.name[-2])
    sizes, outputs = spec.to.run.shapes[x][-dims:], spec.shape[-dims:]
    if any(size % output for size, output in zip(sizes, outputs, strict=True)):
        raise ExportError(
            f"averages {sizes} values to {outputs}, which do not divide them; that is not written for TFLite"
        )
    place = _ordered_last(spec, x)
    if math.prod(outputs) == 1:
        if not spec.to.kernels.averages_by_mean:
            return _pool_of_all(spec, place)
        rank = len(place.shape)
        lying = tuple(spec.shape[axis] for axis in channels_last(rank))
        return _by_mean(spec, spec.to.ordered(place, place.order), range(2, rank), lying, channels_last(rank))
    kernel = pair([size // output for size, output in zip(sizes, outputs, strict=True)], dims)
    return _pooled(spec, place, kernel, kernel, (0, 0))


def _avg_pool(spec: LayerSpec) -> Place:
    given, dims = spec.given, int(spec.node.name[-2])
    kernel = pair(given["kernel_size"], dims)
    strides = pair(given["stride"] or given["kernel_size"], dims)
    padding = pair(given["padding"], dims, 0)
    if given.get("ceil_mode") or given.get("divisor_override"):
        raise ExportError("is pooled with ceil_mode or divisor_override, which is not written for TFLite")
    if any(padding) and given["count_include_pad"]:
        raise ExportError("counts its padding in its averages, which TFLite does not; count_include_pad=False does not")
    return _pooled(spec, _ordered_last(spec, given["self"]), kernel, strides, padding)


def _pool_of_all(spec: LayerSpec, x: Place) -> Place:
    x = spec.to.ordered(x, channels_last(len(x.shape)))
    _, height, width, _ = planar(x.lying)
    kernel = height, width
    pooled = _pooled(spec, x, kernel, kernel, (0, 0))
    return spec.to.reshaped(pooled, tuple(spec.shape[axis] for axis in pooled.order))


def _pooled(spec: LayerSpec, x: Place, kernel: Pair, strides: Pair, padding: Pair) -> Place:
    """AVERAGE_POOL_2D, which rounds a half away from zero, in the window of what it reads and counted in its bytes."""
    fmt = spec.ending.fmt
    if (x.fmt.lsb, x.fmt.signed) != (fmt.lsb, fmt.signed):
        raise ExportError(
            f"has the window {fmt}, and what it averages has {x.fmt}; {spec.to.kernels.title} averages in one window: "
            f"plan[{spec.row!r}] = plan[...] of what enters it"
        )
    inputs = planar(x.lying)
    last = channels_last(len(spec.shape))
    outputs = planar(tuple(spec.shape[axis] for axis in last))
    how = padding_scheme(inputs, outputs, kernel, strides, (1, 1), padding)
    if how is None:
        raise ExportError("is pooled with a padding that TFLite does not have")
    result = spec.output(last, outputs)
    spec.graph.add(
        "AVERAGE_POOL_2D",
        [spec.to.reshaped(x, inputs).tensor],
        result.tensor,
        2,
        table="Pool2DOptions",
        padding=how,
        strideH=strides[0],
        strideW=strides[1],
        filterHeight=kernel[0],
        filterWidth=kernel[1],
    )
    return spec.to.limited(result, *uniform_bounds(spec.ending))


# Weights and biases


def _weight(spec: LayerSpec) -> tuple[Any, tuple[int, ...]]:
    """Give the codes of a weight as an array, and the position of its step or of each channel's."""
    program, value = spec.to.program, spec.given["weight"]
    operand = program.operand(value)
    if operand is None or operand.integers is None:
        raise ExportError("multiplies with a weight that the network computes, which is not written for TFLite")
    codes, lsb = weight_of(program, value)
    array = codes.cpu().numpy()
    if array.size and (array.min() < LEAST or array.max() > -1 - LEAST):
        raise ExportError(
            f"has a weight with codes from {array.min()} to {array.max()}, and TFLite has signed bytes there"
        )
    if array.size and array.min() == LEAST:
        spec.to.full_range.append(row_of_constant(program, value) or spec.row)
    return array, lsb if isinstance(lsb, tuple) else (lsb,)


def _constants(
    spec: LayerSpec, stored: Any, lsbs: tuple[int, ...], axis: int, channels: int
) -> tuple[Tensor, Tensor | None]:
    """Add the weight as it is stored, and the bias in the steps of the sums."""
    program, given = spec.to.program, spec.given
    row = row_of_constant(program, given["weight"]) or f"{spec.row}:weight"
    scales = tuple(math.ldexp(1.0, lsb) for lsb in lsbs)
    weight = spec.graph.constant(row, np.ascontiguousarray(stored, np.int8), Quantization(scales, 0, axis))
    steps = sum_lsbs(program, given)
    steps = steps if isinstance(steps, tuple) else (steps,)
    in_sums = Quantization(tuple(math.ldexp(1.0, lsb) for lsb in steps))
    bias_row = row_of_constant(program, given.get("bias"))
    if bias_row is None:
        return weight, spec.graph.constant(f"{spec.row}:no bias", np.zeros(channels, np.int32), in_sums)
    codes = aligned_bias(program, given, bias_row).codes.astype(np.int32)
    return weight, spec.graph.constant(bias_row, codes, in_sums)


# Sizes


def _ordered_last(spec: LayerSpec, value: Any) -> Place:
    x = spec.to.place(value)
    return spec.to.ordered(x, channels_last(len(x.shape)))


def pair(sizes: Any, dims: int, across: int = 1) -> Pair:
    """Give a size of height and width; of one dimension it is the width."""
    given = [sizes] if isinstance(sizes, int) else list(sizes)
    given = given * dims if len(given) == 1 else given
    return (across, given[0]) if dims == 1 else (given[0], given[1])


def _pair_of_padding(padding: Any, dims: int, kernel: Pair, dilation: Pair) -> Pair:
    if padding == "valid":
        return 0, 0
    if padding == "same":
        totals = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
        if any(total % 2 for total in totals):
            raise ExportError("is padded on one side more than on the other, which is not written for TFLite")
        return totals[0] // 2, totals[1] // 2
    return pair(padding, dims, 0)


def padding_scheme(
    inputs: Sequence[int],
    outputs: Sequence[int],
    kernel: Pair,
    strides: Pair,
    dilation: Pair,
    padding: Pair,
) -> int | None:
    """Give TFLite's word for a padding, where it has one that comes to the same."""
    if not any(padding):
        return VALID
    for axis in (0, 1):
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        size, steps = inputs[1 + axis], -(-inputs[1 + axis] // strides[axis])
        total = max((steps - 1) * strides[axis] + reach - size, 0)
        if steps != outputs[1 + axis] or total // 2 != padding[axis]:
            return None
    return SAME


def _padded(
    spec: LayerSpec,
    x: Place,
    padding: Pair,
    inputs: Sequence[int],
    kernel: Pair,
    strides: Pair,
    dilation: Pair,
) -> tuple[Tensor, int]:
    """Give what a convolution reads, and TFLite's word for its padding: an operator pads where it has none."""
    last = tuple(spec.shape[axis] for axis in channels_last(len(spec.shape)))
    plane = spec.to.reshaped(x, inputs).tensor
    how = padding_scheme(inputs, planar(last), kernel, strides, dilation, padding)
    if how is not None:
        return plane, how
    sides = np.array([[0, 0], [padding[0]] * 2, [padding[1]] * 2, [0, 0]], np.int32)
    shape = tuple(int(size + before + after) for size, (before, after) in zip(inputs, sides, strict=True))
    wider = spec.to.tensor(f"{spec.row}:padded", shape, x.fmt)
    border = spec.graph.constant(f"{spec.row}:border", sides)
    return spec.graph.add("PAD", [plane, border], wider, 2, table="PadOptions"), VALID


# Ends


def uniform_bounds(ending: OutputStage) -> Pair:
    """Give the least and the largest code that leaves.

    Raises
    ------
    ExportError
        Channels have bounds of their own.
    """
    fmt = ending.fmt
    least = -(1 << (fmt.word_length - 1)) if fmt.signed else 0
    ends = least, least + (1 << fmt.word_length) - 1
    ending.check()
    bounds = ending.bounds
    if bounds is None:
        return ends
    if any(len(set(codes)) > 1 for codes in bounds):
        raise ExportError("is clamped to bounds of each channel's own, which is not written for TFLite")
    return bounds[0][0], bounds[1][0]


def within_word(to: "Translation", place: Place) -> Place:
    """Limit codes to a word that is shorter than a byte."""
    fmt = place.fmt
    least = -(1 << (fmt.word_length - 1)) if fmt.signed else 0
    return to.limited(place, least, least + (1 << fmt.word_length) - 1)


def _fused(ending: OutputStage) -> tuple[int, tuple[int, int]]:
    """Give the activation function that TFLite fuses, and the codes that are still to be limited to."""
    least, most = uniform_bounds(ending)
    zero = zero_point(ending.fmt)
    byte = LEAST - zero, -1 - LEAST - zero
    six = Fraction(6) / Fraction(ending.fmt.step)
    rounded = math.floor(six + Fraction(1, 2))
    if (least, most) == byte:
        return NONE, byte
    if least == 0 and most == byte[1]:
        return RELU, byte
    if least == 0 and most == rounded and six % 1 != Fraction(1, 2):
        return RELU6, byte
    return NONE, (least, most)


LAYERS: Mapping[str, Callable[[LayerSpec], Place]] = {
    "conv1d": _conv,
    "conv2d": _conv,
    "linear": _linear,
    "mean": _mean,
    "avg_pool1d": _avg_pool,
    "avg_pool2d": _avg_pool,
    "adaptive_avg_pool1d": _adaptive_pool,
    "adaptive_avg_pool2d": _adaptive_pool,
}
