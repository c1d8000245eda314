"""The operations of a network as layers that hls4ml converts, each with the types that make it exact.

One function an operation, in one registry. hls4ml knows fewer layers than PyTorch: a grouped convolution becomes one
whose other weights are zero, a clamp becomes ReLUs between shifts, averages over a whole image become pooling. Nothing
here imports hls4ml or knows how a network is put together.
"""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from qwidgets.errors import FormatError
from qwidgets.export.hls4ml_operation import HlsOperation, Piece, holding, type_text
from qwidgets.formats import MAX_WORD_LENGTH, FixedPoint, in_steps
from qwidgets.network import CLAMPS, Operation, clamp_bounds
from qwidgets.simulation import Codes

Translation = Callable[[HlsOperation], list[Piece]]

TRANSLATIONS: dict[str, Translation] = {}


def _translates(*names: str) -> Callable[[Translation], Translation]:
    def register(function: Translation) -> Translation:
        TRANSLATIONS.update(dict.fromkeys(names, function))
        return function

    return register


@_translates("conv1d", "conv2d")
def _convolution(operation: HlsOperation) -> list[Piece]:
    weight, fmt = operation.parameter("weight")
    dimensions = weight.ndim - 2
    kernel = tuple(weight.shape[2:])
    if any(dilation != 1 for dilation in _sizes(operation["dilation"], dimensions)):
        raise operation.refused("hls4ml has no dilation")
    groups = operation["groups"]
    dense = weight.new_zeros(weight.shape[0], weight.shape[1] * groups, *kernel)
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        dense[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    kind = nn.Conv1d if dimensions == 1 else nn.Conv2d
    layer: nn.Module = kind(
        dense.shape[1],
        dense.shape[0],
        kernel,  # type: ignore[arg-type]
        stride=tuple(_sizes(operation["stride"], dimensions)),  # type: ignore[arg-type]
        padding=tuple(_padding(operation, kernel)),  # type: ignore[arg-type]
        bias=operation["bias"] is not None,
    )
    return _weighted(operation, layer, dense, fmt)


@_translates("linear")
def _linear(operation: HlsOperation) -> list[Piece]:
    weight, fmt = operation.parameter("weight")
    if len(operation.shape()) != 2:
        raise operation.refused("a linear layer must have inputs of shape (batch, features) there")
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=operation["bias"] is not None)
    return _weighted(operation, layer, weight, fmt)


def _weighted(operation: HlsOperation, layer: nn.Module, weight: Tensor, fmt: FixedPoint) -> list[Piece]:
    sums = _sums(operation)
    types = {"weight": _constant_type(fmt), "accum": holding(sums), "result": operation.result}
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if operation["bias"] is not None:
        values, types["bias"] = _bias(operation, operation.codes("input").lsb - fmt.fraction_length)
        layer.bias = nn.Parameter(values, requires_grad=False)
    return [Piece(operation.name, layer, types)]


def _bias(operation: HlsOperation, lsb: int) -> tuple[Tensor, str]:
    """Give a bias in the steps of the sums that it is added to, and its type."""
    values, fmt = operation.parameter("bias")
    if -fmt.fraction_length >= lsb:
        return values, _constant_type(fmt)
    steps = in_steps(values, lsb, fmt.rounding)
    codes = Codes(lsb, min(int(steps.min()), 0), max(int(steps.max()), 0))
    return steps * 2.0**lsb, holding(codes)


def _constant_type(fmt: FixedPoint) -> str:
    """Constants are rounded already: where ap_fixed has no such rounding, any other leaves them as they are."""
    try:
        return type_text(fmt)
    except FormatError:
        return holding(Codes.of(fmt))


@_translates("batch_norm")
def _scale_and_shift(operation: HlsOperation) -> list[Piece]:
    scale, fmt = operation.parameter("weight")
    shift, shift_type = _bias(operation, operation.codes("input").lsb - fmt.fraction_length)
    types = {"scale": _constant_type(fmt), "bias": shift_type, "result": operation.result}
    if bool((scale == 1).all()) and not bool(shift.any()):
        return _twice_negated(operation, operation.codes("input"))
    return [Piece(operation.name, _norm(operation.shape(), scale, shift), types)]


def _twice_negated(operation: HlsOperation, codes: Codes) -> list[Piece]:
    """Give values another type: hls4ml removes a batch norm that does nothing, and the type of its result with it."""
    shape = operation.shape()
    channels = shape[1]
    assert channels is not None
    between = Codes(codes.lsb, min(-codes.high, 0), max(-codes.low, 0))
    pieces = []
    for name, result in ((f"{operation.name}_1", holding(between)), (operation.name, operation.result)):
        negation = _norm(shape, -torch.ones(channels), torch.zeros(channels))
        pieces.append(Piece(name, negation, {"scale": "ap_fixed<2,2>", "bias": "ap_fixed<2,2>", "result": result}))
    return pieces


def identity(name: str, shape: tuple[int | None, ...], result: str) -> Piece:
    """Give a layer that leaves a tensor as it is, whose type is already the result's."""
    channels = shape[1]
    assert channels is not None
    norm = _norm(shape, torch.ones(channels), torch.zeros(channels))
    return Piece(name, norm, {"scale": "ap_fixed<2,2>", "bias": "ap_fixed<2,2>", "result": result})


def _norm(shape: tuple[int | None, ...], scale: Tensor, shift: Tensor) -> nn.Module:
    """A batch norm that is exactly ``x * scale + shift``: of data with mean 0 and variance 1, and no epsilon."""
    kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    layer = kind(len(scale), eps=0.0).double()
    layer.weight = nn.Parameter(scale.double(), requires_grad=False)
    layer.bias = nn.Parameter(shift.double(), requires_grad=False)
    return layer.eval()


@_translates("relu")
def _relu(operation: HlsOperation) -> list[Piece]:
    return [Piece(operation.name, nn.ReLU(), {"result": operation.result})]


@_translates(*CLAMPS - {"relu"})
def _clamp(operation: HlsOperation) -> list[Piece]:
    """A clamp: ``max(x, a)`` as ``a + relu(x - a)``, then ``min(x, b)`` as ``b - relu(b - x)``, shifts put together."""
    codes = operation.codes("self")
    low, high = (
        _bound(operation, codes, bound) for bound in clamp_bounds(operation.captured.name, operation.arguments)
    )
    steps: list[tuple[int, Tensor] | None] = []  # a sign and a shift in codes, or a ReLU
    if low is not None:
        steps += [(1, -low), None] if bool(low.any()) else [None]
    base = torch.zeros(1, dtype=torch.int64) if low is None else low
    if high is not None:
        steps += [(-1, high - base), None, (-1, high)]
    elif bool(base.any()):
        steps.append((1, base))
    pieces: list[Piece] = []
    for number, step in enumerate(steps, 1):
        last = number == len(steps)
        name = operation.name if last else f"{operation.name}_{number}"
        if step is None:
            codes = Codes(codes.lsb, max(codes.low, 0), max(codes.high, 0))
            pieces.append(Piece(name, nn.ReLU(), {"result": operation.result if last else holding(codes)}))
            continue
        sign, shift = step
        ends = sorted((sign * codes.low, sign * codes.high))
        codes = Codes(codes.lsb, ends[0] + int(shift.min()), ends[1] + int(shift.max()))
        types = {
            "scale": "ap_fixed<2,2>",
            "bias": holding(Codes(codes.lsb, min(int(shift.min()), 0), max(int(shift.max()), 0))),
            "result": operation.result if last else holding(codes),
        }
        channels = operation.shape()[1]
        assert channels is not None
        scale = torch.full((channels,), sign, dtype=torch.float64)
        values = shift.double().flatten().expand(channels) * 2.0**codes.lsb
        pieces.append(Piece(name, _norm(operation.shape(), scale, values), types))
    return pieces


def _bound(operation: HlsOperation, codes: Codes, bound: Any) -> Tensor | None:
    """Give a bound, or one for each channel, as the codes that a program takes for it."""
    if bound is None:
        return None
    values = torch.as_tensor(bound, dtype=torch.float64).flatten()
    channels = operation.shape()[1]
    if len(operation.shape()) < 2 or values.numel() not in (1, channels):
        raise operation.refused("its bounds differ from value to value")
    nearest = FixedPoint(MAX_WORD_LENGTH, -codes.lsb).to_integer(values)
    return nearest.clamp(codes.low, codes.high)


@_translates("max_pool1d", "max_pool2d")
def _max_pool(operation: HlsOperation) -> list[Piece]:
    dimensions = int(operation.captured.name[-2])
    if any(dilation != 1 for dilation in _sizes(operation["dilation"], dimensions)):
        raise operation.refused("hls4ml has no dilation")
    codes = operation.codes("self")
    if codes.low >= 0 and any(_sizes(operation["padding"], dimensions)):
        raise operation.refused(
            "it pads, and hls4ml would pad an unsigned tensor with its largest number; give the tensor a signed format"
        )
    pool = (nn.MaxPool1d, nn.MaxPool2d)[dimensions - 1](**_pooling(operation, dimensions))
    return [Piece(operation.name, pool, {"accum": operation.result, "result": operation.result})]


@_translates("avg_pool1d", "avg_pool2d")
def _avg_pool(operation: HlsOperation) -> list[Piece]:
    dimensions = int(operation.captured.name[-2])
    how = _pooling(operation, dimensions)
    if operation.arguments.get("divisor_override") is not None:
        raise operation.refused("hls4ml divides by the size of the kernel only")
    if not operation["count_include_pad"] and any(how["padding"]):
        raise operation.refused("at its edges it divides by the number of values that are there, no power of two")
    return _average(operation, how)


@_translates("adaptive_avg_pool1d", "adaptive_avg_pool2d")
def _adaptive_avg_pool(operation: HlsOperation) -> list[Piece]:
    spans = operation.input_shape()[2:]
    kernel = tuple(int(span or 0) // size for span, size in zip(spans, operation["output_size"], strict=True))
    return _average(operation, {"kernel_size": kernel, "stride": kernel, "padding": (0,) * len(kernel)})


@_translates("mean")
def _mean(operation: HlsOperation) -> list[Piece]:
    shape = operation.input_shape()
    axes = sorted(axis % len(shape) for axis in operation.arguments.get("dim") or range(len(shape)))
    if len(shape) not in (3, 4) or axes != list(range(2, len(shape))):
        raise operation.refused("an average must be over all places of an image or a sequence there")
    kernel = tuple(int(span or 0) for span in shape[2:])
    pooled = _average(operation, {"kernel_size": kernel, "stride": kernel, "padding": (0,) * len(kernel)})
    if operation.arguments.get("keepdim"):
        return pooled
    return [*pooled, Piece(f"{operation.name}_flat", nn.Flatten(), {"result": operation.result})]


def _average(operation: HlsOperation, how: Mapping[str, Any]) -> list[Piece]:
    count = math.prod(how["kernel_size"])
    if count & (count - 1):
        raise operation.refused(f"it divides by {count}, and hls4ml cuts quotients off before they can be rounded")
    shift = count.bit_length() - 1
    sums = operation.program.sums[operation.captured]
    fine = holding(Codes(sums.lsb - shift, sums.low << shift, sums.high << shift))
    pool = (nn.AvgPool1d, nn.AvgPool2d)[len(how["kernel_size"]) - 1](**how)
    return [Piece(operation.name, pool, {"accum": fine, "result": operation.result})]


def _pooling(operation: HlsOperation, dimensions: int) -> dict[str, Any]:
    if operation["ceil_mode"]:
        raise operation.refused("hls4ml has no ceil_mode")
    kernel = _sizes(operation["kernel_size"], dimensions)
    return {
        "kernel_size": kernel,
        "stride": _sizes(operation["stride"] or kernel, dimensions),
        "padding": _sizes(operation["padding"], dimensions),
    }


@_translates("add", "sub", "mul")
def _merge(operation: HlsOperation) -> list[Piece]:
    name = operation.captured.name
    operands = [operation["self"], operation["other"]]
    if not all(isinstance(operand, Operation) and operand in operation.program.operands for operand in operands):
        raise operation.refused("one of its operands is a constant")
    shapes = {operation.program.operands[operand].shape for operand in operands}
    if len(shapes) > 1 or operands[0] is operands[1]:
        raise operation.refused("its operands must be two tensors of the same shape there")
    if operation.arguments.get("alpha", 1) != 1:
        raise operation.refused("hls4ml has no alpha")
    if name != "mul" and min(operation.codes("self").lsb, operation.codes("other").lsb) < _sums(operation).lsb:
        raise operation.refused(
            "its operands' steps lie so far apart that the finer one is rounded to what a sum of 32 bits holds, and "
            "hls4ml adds them as they are; raise the window of the finer one"
        )
    needed = operation.program.accumulators[operation.captured.row].needed_bits
    if needed > MAX_WORD_LENGTH:
        raise operation.refused(
            f"what it computes may need {needed} bits, of which quantize() keeps 32 and hls4ml all; give what it reads "
            "shorter words"
        )
    function = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}[name]
    return [Piece(operation.name, function, {"result": operation.result})]


def _sums(operation: HlsOperation) -> Codes:
    return operation.program.sums[operation.captured]


@_translates("cat", "concat", "concatenate")
def _join(operation: HlsOperation) -> list[Piece]:
    operands = list(operation["tensors"])
    known = [operand for operand in operands if operand in operation.program.operands]
    if len(set(operands)) != 2 or len(known) != 2 or len(operands) != 2:
        raise operation.refused("hls4ml joins two tensors that layers gave; join more of them two by two")
    if operation["dim"] % len(operation.shape()) != 1 or len(operation.shape()) > 4:
        raise operation.refused("hls4ml joins channels, or features, only here: dim=1")
    return [Piece(operation.name, torch.cat, {"result": operation.result})]


@_translates("flatten", "view", "reshape", "_unsafe_view", "squeeze")
def _flatten(operation: HlsOperation) -> list[Piece]:
    before, after = operation.input_shape(), operation.shape()
    if before == after:
        return []
    if len(after) != 2 or before[0] != after[0] or after[1] != math.prod(size or 0 for size in before[1:]):
        raise operation.refused("of all changes of shape hls4ml takes (batch, ...) to (batch, features) only")
    return [Piece(operation.name, nn.Flatten(), {"result": operation.result})]


@_translates("pad", "constant_pad_nd")
def _pad(operation: HlsOperation) -> list[Piece]:
    sides, mode, value = operation["pad"], operation.arguments.get("mode"), operation.arguments.get("value")
    dimensions = len(operation.input_shape()) - 2
    if mode not in (None, "constant") or value not in (None, 0) or len(sides) != 2 * dimensions or dimensions > 2:
        raise operation.refused("hls4ml pads the sides of images and sequences only, and with zeros")
    if min(sides) < 0:
        raise operation.refused("it cuts values off, and hls4ml only adds some; leave it to the caller")
    layer = (nn.ConstantPad1d, nn.ConstantPad2d)[dimensions - 1](tuple(sides), 0.0)
    return [Piece(operation.name, layer, {"result": operation.result})]


@_translates("alias", "clone", "contiguous", "detach", "to", "_to_copy")
def _nothing(operation: HlsOperation) -> list[Piece]:
    return []


def _padding(operation: HlsOperation, kernel: tuple[int, ...]) -> list[int]:
    padding = operation["padding"]
    if padding == "valid":
        return [0] * len(kernel)
    if padding == "same":
        if any(size % 2 == 0 for size in kernel):
            raise operation.refused("it pads one side more than the other")
        return [size // 2 for size in kernel]
    return list(_sizes(padding, len(kernel)))


def _sizes(size: Any, dimensions: int) -> tuple[int, ...]:
    sizes = (size,) if isinstance(size, int) else tuple(size)
    return sizes * dimensions if len(sizes) == 1 else sizes
