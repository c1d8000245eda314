"""Operations that only move values, as ONNX nodes."""

import operator

import numpy as np
import torch
from torch import Tensor

from qwidgets.capturing import operations
from qwidgets.capturing.rows import shape_of
from qwidgets.export.onnx_model.step import Step, translates
from qwidgets.integers.program import arguments

SAME = frozenset(["alias", "clone", "contiguous", "copy", "detach", "lift_fresh_copy", "pin_memory", "to", "_to_copy"])
"""These change nothing that an ONNX graph could show."""

LISTS = frozenset(["chunk", "split", "split_with_sizes", "tensor_split", "unbind", "unsafe_chunk", "unsafe_split"])
"""These give a list, of which each part is cut out where it is taken."""


@translates(
    "view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "ravel", "view_as", "atleast_2d"
)
def _reshape(step: Step) -> str:
    sizes = step.output_shape
    if sizes.count(None) > 1:
        step.refuse(f"more than one size of what {step.operation} gives, {sizes}, differs from batch to batch")
    target = step.integers("shape", [-1 if size is None else size for size in sizes])
    return step.add("Reshape", [step.tensor(_moved(step)), target])


@translates("permute", "transpose", "t", "movedim", "swapaxes", "swapdims", "numpy_T", "mT")
def _transpose(step: Step) -> str:
    shape = step.shape(_moved(step))
    # Where each dimension went shows in a tensor whose sizes are all different.
    numbered = torch.empty([axis + 1 for axis in range(len(shape))], device="meta")
    given = {**step.given, _moved(step): numbered}
    target: object = step.node.target
    assert callable(target)
    return step.add("Transpose", [step.tensor(_moved(step))], perm=[size - 1 for size in target(**given).shape])


@translates("constant_pad_nd", "pad")
def _pad(step: Step) -> str:
    mode = step.given.get("mode", "constant")
    if mode not in ("constant", "reflect", "replicate"):
        step.refuse(f"Pad has no mode {mode!r}")
    ends: list[int] = list(step.given["pad"])
    before, after = ends[0::2][::-1], ends[1::2][::-1]
    untouched = [0] * (len(step.output_shape) - len(before))
    inputs = [step.tensor("self"), step.integers("pads", [*untouched, *before, *untouched, *after])]
    if mode == "constant":
        inputs.append(step.constant("fill", float(step.given.get("value") or 0.0)))
    return step.add("Pad", inputs, mode={"replicate": "edge"}.get(mode, mode))


@translates("slice", "narrow")
def _slice(step: Step) -> str:
    axis, shape = step.given["dim"], step.shape("self")
    start = step.given["start"] or 0
    if step.operation == "narrow":
        return _cut(step, "self", axis, start, start + step.given["length"], 1)
    end = step.given["end"]
    if not all(isinstance(edge, int | None) for edge in (start, end)):
        step.refuse("a slice has ends that differ from batch to batch")
    size = shape[axis]
    last = np.iinfo(np.int64).max if end is None or (size is not None and end >= size) else end
    return _cut(step, "self", axis, start, last, step.given["step"])


@translates("select")
def _select(step: Step) -> str:
    index = step.graph.constant(f"{step.name}.index", np.array(step.given["index"], np.int64))
    return step.add("Gather", [step.tensor("self"), index], axis=step.given["dim"])


@translates("getitem")
def _part(step: Step) -> str:
    """One of the parts that a tensor was split into."""
    split, index = step.node.args
    assert isinstance(split, torch.fx.Node)
    assert isinstance(index, int)
    name, given = operations.name_of(split), arguments(split)
    if name not in LISTS:
        step.refuse(f"what {name} gives has no ONNX operator")
    parts = operations.value_of(split)
    assert isinstance(parts, list | tuple)
    axis, index = given.get("dim", 0), index % len(parts)
    whole = Step(split, given, step.name, step.row, step.values)
    if name == "unbind":
        at = step.graph.constant(f"{step.name}.index", np.array(index, np.int64))
        return step.add("Gather", [whole.tensor("self"), at], axis=axis)
    sizes = [shape_of(part)[axis] for part in parts]
    if any(size is None for size in sizes):
        step.refuse(f"{name} cuts a dimension that differs from batch to batch")
    start = sum(size or 0 for size in sizes[:index])
    return _cut(whole, "self", axis, start, start + (sizes[index] or 0), 1)


def _cut(step: Step, argument: str, axis: int, start: int, end: int, stride: int) -> str:
    edges = [
        step.integers(part, [value])
        for part, value in (("start", start), ("end", end), ("axis", axis), ("step", stride))
    ]
    return step.add("Slice", [step.tensor(argument), *edges])


@translates("upsample_nearest2d")
def _upsample(step: Step) -> str:
    before, after = (shape[-2:] for shape in (step.shape(_moved(step)), step.output_shape))
    scales = [1.0, 1.0]
    for small, large in zip(before, after, strict=True):
        if small is None or large is None or large % small:
            step.refuse(f"nearest neighbours are repeated a whole number of times only, not {before} to {after}")
        scales.append(large // small)
    inputs = [step.tensor(_moved(step)), "", step.constant("scales", scales)]
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return step.add("Resize", inputs, **how)


@translates("pixel_shuffle")
def _pixel_shuffle(step: Step) -> str:
    return step.add("DepthToSpace", [step.tensor("self")], blocksize=step.given["upscale_factor"], mode="CRD")


def _moved(step: Step) -> str:
    """The argument that holds what is moved."""
    return "self" if "self" in step.given else next(iter(step.given))


def same(node: torch.fx.Node) -> bool:
    """Whether a moving operation gives its input as it is, in the same type."""
    before, after = operations.value_of(node.all_input_nodes[0]), operations.value_of(node)
    alike = isinstance(before, Tensor) and isinstance(after, Tensor) and before.dtype == after.dtype
    return alike and operations.name_of(node) in SAME and len(node.all_input_nodes) == 1


def gives_list(node: torch.fx.Node) -> bool:
    """Whether a node splits a tensor."""
    return node.target is not operator.getitem and operations.name_of(node) in LISTS
