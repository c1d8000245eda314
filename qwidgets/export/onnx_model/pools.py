"""Pooling and means as ONNX nodes."""

import math
from typing import Any

import numpy as np
import torch

from qwidgets.export import exactness
from qwidgets.export.onnx_model.step import Step, per_dimension, translates


@translates("max_pool1d", "max_pool2d", "max_pool3d")
def _max_pool(step: Step) -> str:
    kernel, attributes = _window(step, dilation=step.given["dilation"])
    return step.add("MaxPool", [step.tensor("self")], kernel_shape=kernel, **attributes)


@translates("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices")
def _max_pool_with_places(step: Step) -> tuple[str, str]:
    """Also where each was found: ONNX counts the places through all planes, torch within each."""
    kernel, attributes = _window(step, dilation=step.given["dilation"])
    names = (f"{step.name}.values", f"{step.name}.places")
    values, places = step.graph.add_several("MaxPool", [step.tensor("self")], names, kernel_shape=kernel, **attributes)
    plane = step.shape("self")[-len(kernel) :]
    if any(size is None for size in plane):
        step.refuse("positions in planes whose sizes differ from batch to batch are not written")
    size = step.scalar(math.prod(size or 0 for size in plane), torch.int64)
    return values, step.add("Mod", [places, size], "indices")


@translates("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_max_pool(step: Step) -> tuple[str, ...]:
    return (_adaptive(step, "Max"),)


@translates("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(step: Step) -> str:
    divisor, counted = step.given.get("divisor_override"), bool(step.given["count_include_pad"])
    kernel, attributes = _window(step, dilation=1)
    pads = attributes["pads"]
    begins, ends = pads[: len(kernel)], pads[len(kernel) :]
    if begins != ends and not any(begins):
        counted = False  # what hangs over the end counts for nothing, and there is no other padding
    if divisor is not None or (counted and begins != ends):
        return _divided_sum(step, kernel, attributes)
    del attributes["dilations"]
    whole = list(step.shape("self")[-len(kernel) :]) == kernel and not any(pads)
    if whole and exactness.may_stray(step.values.program, step.node):
        return _global_mean(step, len(kernel))
    return step.add(
        "AveragePool", [step.tensor("self")], kernel_shape=kernel, count_include_pad=int(counted), **attributes
    )


def _divided_sum(step: Step, kernel: list[int], attributes: dict[str, Any]) -> str:
    """Sum each window by a convolution with ones, and divide by what torch divides by at each place."""
    channels = step.shape("self")[-len(kernel) - 1]
    if channels is None:
        step.refuse("a pool with a divisor of its own needs a number of channels that is known")
    ones = step.constant("ones", np.ones((channels, 1, *kernel), np.float32))
    sums = step.then("Conv", step.tensor("self"), ones, kernel_shape=kernel, group=channels, **attributes)
    divisor: Any = step.given.get("divisor_override")
    if divisor is None:
        sizes = step.shape("self")[-len(kernel) :]
        if any(size is None for size in sizes):
            step.refuse("with ceil_mode and padding a pool needs sizes that do not differ from batch to batch")
        target: Any = step.node.target
        given = {**step.given, "self": torch.ones(1, 1, *[size or 0 for size in sizes], dtype=torch.float64)}
        window = {**given, "count_include_pad": True, "divisor_override": 1}
        if len(kernel) == 1:  # the sum itself is to be had of the others only
            divisor = _counts_of_line(given, kernel)
        else:
            divisor = (target(**window) / target(**given)).round().numpy()
    return step.add("Div", [sums, step.constant("counts", np.asarray(divisor, np.float32))])


def _counts_of_line(given: dict[str, Any], kernel: list[int]) -> Any:
    """Give by how much each window of one dimension is divided: as a picture of one line."""
    how = {"kernel_size": [1, *kernel], "ceil_mode": given["ceil_mode"]}
    how["stride"] = [1, *(per_dimension(given["stride"] or kernel, 1))]
    how["padding"] = [0, *per_dimension(given["padding"], 1)]
    line = given["self"].unsqueeze(-2)
    sums, averages = (torch.nn.functional.avg_pool2d(line, **how, divisor_override=by) for by in (1, None))
    return (sums / averages).round().squeeze(-2).numpy()


def _window(step: Step, dilation: Any) -> tuple[list[int], dict[str, Any]]:
    """Give the kernel and where it goes; with ceil_mode the end is padded so far that the last windows are whole."""
    dimensions, given = int(next(filter(str.isdigit, step.operation))), step.given
    if len(step.shape("self")) != dimensions + 2:
        step.refuse(f"its input has no batch dimension, {step.shape('self')}; give {step.operation} batches")
    kernel = per_dimension(given["kernel_size"], dimensions)
    strides = per_dimension(given["stride"] or kernel, dimensions)
    padding, dilations = (per_dimension(size, dimensions) for size in (given["padding"], dilation))
    ends = list(padding)
    if given["ceil_mode"]:
        sizes = zip(step.shape("self")[-dimensions:], step.output_shape[-dimensions:], strict=True)
        for axis, (size, windows) in enumerate(sizes):
            if size is None or windows is None:
                step.refuse("ceil_mode needs sizes that do not differ from batch to batch")
            reach = (windows - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1
            ends[axis] = max(padding[axis], reach - size - padding[axis])
    return kernel, {"strides": strides, "pads": padding + ends, "dilations": dilations}


@translates("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def _adaptive_avg_pool(step: Step) -> str:
    return _adaptive(step, "Average")


def _adaptive(step: Step, kind: str) -> str:
    """Pool to given sizes: over all there is, over windows that divide it, or along one dimension after another."""
    asked = step.given["output_size"]
    sizes = [asked] if isinstance(asked, int) else list(asked)
    spans = step.shape("self")[-len(sizes) :]
    if any(span is None and size != 1 for span, size in zip(spans, sizes, strict=True)):
        step.refuse("adaptive pooling needs sizes that do not differ from batch to batch")
    if all(size == 1 for size in sizes):
        if kind == "Average" and exactness.may_stray(step.values.program, step.node):
            return _global_mean(step, len(sizes))
        if len(step.shape("self")) == len(sizes) + 2:
            return step.add(f"Global{kind}Pool", [step.tensor("self")])
        return step.reduce(f"Reduce{_REDUCED[kind]}", step.tensor("self"), list(range(-len(sizes), 0)), True)
    sized = [(span or 0, size) for span, size in zip(spans, sizes, strict=True)]
    if all(span % size == 0 for span, size in sized) and len(step.shape("self")) == len(sizes) + 2:
        kernel = [span // size for span, size in sized]
        return step.add(f"{kind}Pool", [step.tensor("self")], kernel_shape=kernel, strides=kernel)
    x = step.tensor("self")
    for place, (span, size) in enumerate(sized):
        axis = len(step.shape("self")) - len(sized) + place
        x = step.then("Concat", *_windows(step, kind, x, axis, span, size), axis=axis)
    return x


_REDUCED = {"Max": "Max", "Average": "Mean"}


def _windows(step: Step, kind: str, x: str, axis: int, span: int, size: int) -> list[str]:
    """Reduce each of the windows of one dimension, which may overlap and differ in length."""
    parts = []
    for place in range(size):
        edges = (place * span // size, -((place + 1) * span // -size), axis)
        window = step.then("Slice", x, *(step.integers("edge", [edge]) for edge in edges))
        parts.append(step.reduce(f"Reduce{_REDUCED[kind]}", window, [axis], True, "window"))
    return parts


def _global_mean(step: Step, dimensions: int) -> str:
    """Average over all there is by an operation that divides, whatever optimizes the graph."""
    return step.reduce("ReduceMean", step.tensor("self"), list(range(-dimensions, 0)), True)
