"""The operations that are written in C, each as calls of functions of ``layers.h`` with the fields of their structs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from qwidgets.errors import ExportError
from qwidgets.export.c_code import views
from qwidgets.export.c_code.finishing import Named, OutputStage
from qwidgets.export.c_code.parts import Constants, Raw, Value
from qwidgets.export.c_code.weighted import Constant, WeightedLayer
from qwidgets.network import Operation
from qwidgets.simulation import Parameter, constant, is_number

if TYPE_CHECKING:
    from qwidgets.export.c_code.lowering import Lowering


@dataclass(frozen=True)
class FunctionCall:
    """A function of ``layers.h``, its struct with fields, and the arrays that it reads."""

    function: str
    struct: str
    fields: Mapping[str, Value]
    reads: tuple[str, ...]


class LayerSpec:
    """What a layer's function is told: the operation, its arguments, how it ends.

    Attributes
    ----------
    node, row, given
        The operation, the row that it gives, and its arguments by name.
    shape
        Of the output, for one example.
    ending
        What comes after the sums.
    """

    def __init__(
        self, lowering: "Lowering", node: Operation, row: str, shape: tuple[int, ...], ending: OutputStage
    ) -> None:
        self.lowering = lowering
        self.node, self.row, self.shape, self.ending = node, row, shape, ending
        self.given: Mapping[str, Any] = lowering.program.arguments[node]
        self.named = Named(lowering.names.of, row)
        self._weighted: WeightedLayer | None = None

    def shape_of(self, value: Operation) -> tuple[int, ...]:
        """The shape of an operand, for one example."""
        return self.lowering.run.shapes[value]

    def lsb_of(self, value: Operation) -> int:
        """Where the step of an operand is; that of integers is one."""
        operand = self.lowering.program.operands.get(value)
        return 0 if operand is None else operand.codes.lsb

    def constant(self, value: Operation | Parameter) -> Constant:
        """Give a weight or a bias."""
        program = self.lowering.program
        row = value.source.constant if isinstance(value, Operation) else value.row
        assert row is not None
        fmt, operand = program.formats[row], program.operand(value)
        assert fmt is not None
        assert operand is not None
        return Constant(row, fmt, operand)

    def weighted(self, channels_at: int) -> WeightedLayer:
        """Give the constants of a layer with a weight, whose channels are the output's dimension ``channels_at``."""
        weight, bias = self.constant(self.given["weight"]), self.given.get("bias")
        ending = replace(self.ending, shifts=weight.operand.shifts)
        self.check_bounds(channels_at)
        self._weighted = WeightedLayer(
            row=self.row,
            name_of=self.lowering.names.of,
            shared=self.lowering.shared,
            input_fraction=-self.lsb_of(self.given["input"]),
            weight=weight,
            bias=None if bias is None else self.constant(bias),
            ending=ending,
        )
        return self._weighted

    def output(self, ending: OutputStage | None = None) -> Mapping[str, Value]:
        """Give how a layer without weights ends."""
        return (ending or self.ending).fields(self.named)

    def bounds_at(self) -> int | None:
        """The dimension of the output whose channels have bounds or slopes of their own, or None."""
        tensors = [bound for bound in (self.ending.arguments or {}).values() if isinstance(bound, Tensor)]
        at = {
            len(self.shape) - bound.ndim + axis
            for bound in tensors
            for axis, size in enumerate(bound.shape)
            if size > 1
        }
        slopes = self.ending.slopes
        if slopes is not None and slopes.integers is not None and slopes.integers.numel() > 1:
            at.add(1)
        if len(at) > 1:
            raise ExportError("has bounds that differ along several dimensions")
        return next(iter(at), None)

    def check_bounds(self, channels_at: int) -> None:
        """Refuse bounds or slopes along another dimension than that of the channels."""
        if self.bounds_at() not in (None, channels_at % len(self.shape)):
            raise ExportError("has bounds or slopes that differ along another dimension than the channels")

    def channels(self) -> dict[str, Value]:
        """Tell a function of single values which of them are a channel."""
        at = self.bounds_at()
        size = 1 if at is None else self.shape[at]
        return {"channels": size, "inner": 1 if at is None else math.prod(self.shape[at + 1 :])}

    def constants(self) -> Constants | None:
        """Give what the header of weights says of the layer."""
        title = f"{self.row}: {self.node.name}"
        if self._weighted is not None:
            return self._weighted.constants(title)
        return Constants(title, {}, tuple(self.named.arrays)) if self.named.arrays else None


def _conv(spec: LayerSpec) -> list[FunctionCall]:
    x = spec.given["input"]
    weight = spec.constant(spec.given["weight"])
    inputs, outputs = (_two_dimensional(shape, weight.codes.ndim) for shape in (spec.shape_of(x), spec.shape))
    dims = weight.codes.ndim - 2
    kernel = plane(weight.codes.shape[2:], dims)
    dilation = plane(spec.given["dilation"], dims)
    padding = _padding(spec.given["padding"], dims, kernel, dilation)
    name, storage = spec.lowering.source(x)
    layer = spec.weighted(-(weight.codes.ndim - 1))
    fields: dict[str, Value] = {
        "batch": inputs[0],
        "in_channels": inputs[1],
        "in_height": inputs[2],
        "in_width": inputs[3],
        "out_channels": outputs[1],
        "out_height": outputs[2],
        "out_width": outputs[3],
        "groups": spec.given["groups"],
        **window(kernel, plane(spec.given["stride"], dims), dilation, padding),
        "input_storage": storage,
    }
    if "transpose" in spec.node.name:
        fields["transposed"] = 1
    return [FunctionCall("qw_conv2d", "qw_conv2d_layer", fields | layer.fields, (name,))]


def _batch_norm(spec: LayerSpec) -> list[FunctionCall]:
    x = spec.given["input"]
    name, storage = spec.lowering.source(x)
    batch, channels, *spatial = spec.shape
    fields: dict[str, Value] = {
        "batch": batch,
        "in_channels": channels,
        "in_height": 1,
        "in_width": math.prod(spatial),
        "out_channels": channels,
        "out_height": 1,
        "out_width": math.prod(spatial),
        "groups": channels,
        **window((1, 1), (1, 1), (1, 1), (0, 0)),
        "input_storage": storage,
    }
    return [FunctionCall("qw_conv2d", "qw_conv2d_layer", fields | spec.weighted(1).fields, (name,))]


def _linear(spec: LayerSpec) -> list[FunctionCall]:
    x = spec.given["input"]
    name, storage = spec.lowering.source(x)
    features = spec.shape_of(x)[-1]
    fields: dict[str, Value] = {
        "batch": math.prod(spec.shape[:-1]),
        "in_features": features,
        "out_features": spec.shape[-1],
        "input_storage": storage,
    }
    return [FunctionCall("qw_linear", "qw_linear_layer", fields | spec.weighted(-1).fields, (name,))]


def _add(spec: LayerSpec) -> list[FunctionCall]:
    signs = {"add": (1, 1), "sub": (1, -1), "rsub": (-1, 1)}[spec.node.name]
    return _pair(spec, "qw_add", {**_left_shifts(spec), "a_sign": signs[0], "b_sign": signs[1]})


def _left_shifts(spec: LayerSpec) -> dict[str, Value]:
    """By how many bits each of two operands is shifted to the step of the result."""
    lefts: dict[str, Value] = {}
    for letter, name in (("a", "self"), ("b", "other")):
        value = spec.given[name]
        lsb = constant(value)[1] if is_number(value) else spec.lsb_of(value)
        lefts[f"{letter}_left_shift"] = lsb - spec.ending.sums.lsb
    return lefts


def _extreme(spec: LayerSpec) -> list[FunctionCall]:
    sign = 1 if spec.node.name == "maximum" else -1
    return _pair(spec, "qw_maximum", {**_left_shifts(spec), "a_sign": sign})


def _mul(spec: LayerSpec) -> list[FunctionCall]:
    a, b = spec.given["self"], spec.given["other"]
    if spec.node.name == "div":
        b = 1 / b
    if is_number(a) or is_number(b):
        return _map(spec, a if is_number(b) else b, constant(b if is_number(b) else a)[0])
    return _pair(spec, "qw_multiply", {})


def _pair(spec: LayerSpec, function: str, more: Mapping[str, Value]) -> list[FunctionCall]:
    fields: dict[str, Value] = {"count": math.prod(spec.shape), **spec.channels()}
    reads = []
    for letter, argument in (("a", "self"), ("b", "other")):
        value = spec.given[argument]
        if is_number(value):
            raw = spec.named.array("constant", "int16_t", [constant(value)[0]], f"{value} as an integer")
            name, storage, read = raw.text, Raw("QW_INT16"), views.broadcast((), spec.shape)
        else:
            name, storage = spec.lowering.source(value)
            read = views.broadcast(spec.shape_of(value), spec.shape)
        fields |= {f"{letter}_storage": storage, letter: described(read)}
        reads.append(name)
    return [FunctionCall(function, "qw_pair_layer", fields | {**more, "output": spec.output()}, tuple(reads))]


def _map(spec: LayerSpec, value: Operation, factor: int) -> list[FunctionCall]:
    name, storage = spec.lowering.source(value)
    fields: dict[str, Value] = {"count": math.prod(spec.shape), **spec.channels(), "input_storage": storage}
    return [FunctionCall("qw_map", "qw_map_layer", fields | {"factor": factor, "output": spec.output()}, (name,))]


def _cat(spec: LayerSpec) -> list[FunctionCall]:
    shape, parts = spec.shape, spec.given["tensors"]
    axis = spec.given.get("dim", 0) % len(shape)
    calls, offset = [], 0
    for part in parts:
        name, storage = spec.lowering.source(part)
        sizes = spec.shape_of(part)
        block = math.prod(sizes[axis:])
        lsb = replace(spec.ending.sums, lsb=spec.lsb_of(part))
        fields: dict[str, Value] = {
            "outer": math.prod(sizes[:axis]),
            "block": block,
            "offset": offset,
            "stride": math.prod(shape[axis:]),
            "input_storage": storage,
            "output": spec.output(replace(spec.ending, sums=lsb)),
        }
        calls.append(FunctionCall("qw_place", "qw_part_layer", fields, (name,)))
        offset += block
    return calls


def _sum(spec: LayerSpec) -> list[FunctionCall]:
    x = spec.given["self"]
    name, storage = spec.lowering.source(x)
    shape = spec.shape_of(x)
    reduced = reduction_fields(shape, spec.given.get("dim"))
    fields: dict[str, Value] = {
        **reduced,
        "input_storage": storage,
        "divisor": reduced["terms"] if spec.node.name == "mean" else 1,
        "output": spec.output(),
    }
    return [FunctionCall("qw_sum", "qw_sum_layer", fields, (name,))]


def reduction_fields(shape: Sequence[int], dims: Any) -> dict[str, Value]:
    """Give which values of a tensor are put together, over some dimensions or over all."""
    given = [dims] if isinstance(dims, int) else dims or range(len(shape))
    axes = {axis % len(shape) for axis in given}
    strides = views.strides_of(shape)
    kept, summed = (
        views.view([shape[axis] for axis in chosen], [strides[axis] for axis in chosen])
        for chosen in ([axis for axis in range(len(shape)) if (axis in axes) == inside] for inside in (False, True))
    )
    terms = math.prod(shape[axis] for axis in axes)
    return {
        "count": math.prod(shape) // terms,
        "terms": terms,
        "kept": described(kept),
        "summed": described(summed),
    }


def described(view: views.View | None) -> Mapping[str, Value]:
    """Give a view that there is.

    Raises
    ------
    ExportError
        It has too many dimensions.
    """
    if view is None:
        raise ExportError(f"reads a tensor in more than {views.MAX_RANK} dimensions")
    return view


def _two_dimensional(shape: Sequence[int], dims: int) -> list[int]:
    """Give batch, channels, height and width of what a convolution with a weight of ``dims`` dimensions reads."""
    batched = list(shape) if len(shape) == dims else [1, *shape]
    return [*batched[:2], *plane(batched[2:], dims - 2)]


def plane(sizes: Any, dims: int, across: int = 1) -> tuple[int, int]:
    """Give a size of height and width; of one dimension it is the width, and the height is ``across``."""
    given = [sizes] if isinstance(sizes, int) else list(sizes)
    given = given * dims if len(given) == 1 else given
    return (across, given[0]) if dims == 1 else (given[0], given[1])


def _padding(padding: Any, dims: int, kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    if padding == "valid":
        return 0, 0
    if padding == "same":
        top, left = (step * (size - 1) // 2 for step, size in zip(dilation, kernel, strict=True))
        return top, left
    return plane(padding, dims, 0)


def window(
    kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], padding: tuple[int, int]
) -> dict[str, Value]:
    """Give the fields of how a kernel goes over a plane."""
    fields: dict[str, Value] = {"kernel_height": kernel[0], "kernel_width": kernel[1]}
    fields |= {"stride_y": stride[0], "stride_x": stride[1], "dilation_y": dilation[0], "dilation_x": dilation[1]}
    return fields | {"pad_top": padding[0], "pad_left": padding[1]}


HEADS: Mapping[str, Callable[[LayerSpec], list[FunctionCall]]] = {
    "conv1d": _conv,
    "conv2d": _conv,
    "conv_transpose1d": _conv,
    "conv_transpose2d": _conv,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "add": _add,
    "sub": _add,
    "rsub": _add,
    "maximum": _extreme,
    "minimum": _extreme,
    "mul": _mul,
    "div": _mul,
    "to": lambda spec: _map(spec, spec.given["self"], 1),
    "_to_copy": lambda spec: _map(spec, spec.given["self"], 1),
    "neg": lambda spec: _map(spec, spec.given["self"], -1),
    "identity": lambda spec: _map(spec, spec.given["self"], 1),
    "cat": _cat,
    "concat": _cat,
    "concatenate": _cat,
    "stack": _cat,
    "sum": _sum,
    "mean": _sum,
}
