"""Pooling and means as ONNX nodes."""

from typing import Any

from qwidgets.export.onnx_model import exactness
from qwidgets.export.onnx_model.step import Step, per_dimension, translates


@translates("max_pool1d", "max_pool2d", "max_pool3d")
def _max_pool(step: Step) -> str:
    kernel, attributes = _window(step, dilation=step.given["dilation"])
    return step.add("MaxPool", [step.tensor("self")], kernel_shape=kernel, **attributes)


@translates("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(step: Step) -> str:
    if step.given.get("divisor_override") is not None:
        step.refuse("AveragePool has no divisor of one's own")
    kernel, attributes = _window(step, dilation=1)
    counted, pads = bool(step.given["count_include_pad"]), attributes["pads"]
    if counted and pads[: len(kernel)] != pads[len(kernel) :]:
        step.refuse("with ceil_mode a pool at the edge is divided by fewer values; leave ceil_mode out")
    del attributes["dilations"]
    whole = list(step.shape("self")[-len(kernel) :]) == kernel and not any(pads)
    if whole and exactness.may_stray(step.values.program, step.node):
        return _global_mean(step, len(kernel))
    return step.add(
        "AveragePool", [step.tensor("self")], kernel_shape=kernel, count_include_pad=int(counted), **attributes
    )


def _window(step: Step, dilation: Any) -> tuple[list[int], dict[str, Any]]:
    """Give the kernel and where it goes; with ceil_mode the end is padded so far that the last windows are whole."""
    dimensions, given = int(step.operation[-2]), step.given
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
    sizes = list(step.given["output_size"])
    if all(size == 1 for size in sizes):
        if exactness.may_stray(step.values.program, step.node):
            return _global_mean(step, len(sizes))
        return step.add("GlobalAveragePool", [step.tensor("self")])
    spans = step.shape("self")[-len(sizes) :]
    kernel = []
    for span, size in zip(spans, sizes, strict=True):
        if span is None or span % size:
            step.refuse(f"adaptive pooling of {spans} to {sizes} has windows of different sizes")
        kernel.append(span // size)
    return step.add("AveragePool", [step.tensor("self")], kernel_shape=kernel, strides=kernel)


@translates("mean", "sum")
def _mean(step: Step) -> str:
    axes = step.given.get("dim")
    axes = list(range(len(step.shape("self")))) if not axes else [axes] if isinstance(axes, int) else list(axes)
    operation = "ReduceSum" if step.operation == "sum" else "ReduceMean"
    return _reduced(step, operation, axes, keep=bool(step.given.get("keepdim", False)))


def _global_mean(step: Step, dimensions: int) -> str:
    """Average over all there is by an operation that divides, whatever optimizes the graph."""
    return _reduced(step, "ReduceMean", list(range(-dimensions, 0)), keep=True)


def _reduced(step: Step, operation: str, axes: list[int], keep: bool) -> str:
    x = step.tensor("self")
    if operation == "ReduceMean" and step.graph.opset < 18:
        return step.add(operation, [x], axes=axes, keepdims=int(keep))
    return step.add(operation, [x, step.integers("axes", axes)], keepdims=int(keep))
