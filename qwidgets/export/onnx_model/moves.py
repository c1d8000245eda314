"""Operations that only move values, as ONNX nodes."""

import math
import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qwidgets.export.onnx_model.comparing import chosen
from qwidgets.export.onnx_model.step import Step, translates
from qwidgets.network import Operation, shape_of

SAME = frozenset(["alias", "clone", "contiguous", "copy", "detach", "lift_fresh_copy", "pin_memory", "to", "_to_copy"])
"""These change nothing that an ONNX graph could show."""

LISTS = frozenset(["chunk", "split", "split_with_sizes", "tensor_split", "unbind", "unsafe_chunk", "unsafe_split"])
"""These give a list, of which each part is cut out where it is taken."""


@translates("view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "ravel", "view_as")
@translates("reshape_as", "atleast_1d", "atleast_2d", "atleast_3d")
def _reshape(step: Step) -> str:
    sizes: list[Any] = step.traced_sizes(step.node)
    if step.dtype_of(step.given[_moved(step)]) != step.output_dtype:
        step.refuse("a view of the bits of numbers as others has no ONNX operator; convert them with to()")
    known = [size if isinstance(size, int) else None for size in step.output_shape]
    if known.count(None) <= 1:  # the one that is free follows from the others
        return step.add(
            "Reshape",
            [step.tensor(_moved(step)), step.integers("shape", [-1 if size is None else size for size in known])],
        )
    return step.add("Reshape", [step.tensor(_moved(step)), step.sizes("shape", sizes)])


@translates("permute", "transpose", "t", "movedim", "swapaxes", "swapdims", "numpy_T", "mT", "adjoint")
def _transpose(step: Step) -> str:
    shape = step.shape(_moved(step))
    # Where each dimension went shows in a tensor whose sizes are all different.
    numbered = torch.empty([axis + 1 for axis in range(len(shape))], device="meta")
    given = {**step.given, _moved(step): numbered}
    target: object = step.node.target
    assert callable(target)
    return step.add("Transpose", [step.tensor(_moved(step))], perm=[size - 1 for size in target(**given).shape])


@translates("slice", "narrow")
def _slice(step: Step) -> str:
    axis, shape = step.given["dim"], step.shape("self")
    start = step.given["start"] or 0
    if step.operation == "narrow":
        given = (start, step.given["length"])
        sizes: list[Any] = [size.value if isinstance(size, Operation) else size for size in given]
        edges = [step.values.sizes.one(edge) for edge in (sizes[0], sum(sizes))]
        return step.add("Slice", [step.tensor("self"), *edges, step.integers("axis", [axis])])
    end, size = step.given["end"], shape[axis]
    if not all(isinstance(edge, int | None) for edge in (start, end)):
        edges = [step.values.sizes.one(np.iinfo(np.int64).max if edge is None else edge) for edge in (start, end)]
        places = [step.integers("axis", [axis]), step.integers("step", [step.given["step"]])]
        return step.add("Slice", [step.tensor("self"), *edges, *places])
    last = np.iinfo(np.int64).max if end is None or (size is not None and end >= size) else end
    return _cut(step, "self", axis, start, last, step.given["step"])


@translates("getitem")
def _part(step: Step) -> str:
    """One of the parts that a tensor was split into."""
    split, index = step.node.args
    assert isinstance(split, Operation)
    assert isinstance(index, int)
    name, given = split.name, dict(split.arguments)
    if name not in LISTS:
        step.refuse(f"what {name} gives has no ONNX operator")
    parts = split.value
    assert isinstance(parts, list | tuple)
    axis, index = given.get("dim", 0), index % len(parts)
    whole = Step(split, given, step.name, step.place, step.values)
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


@translates("expand", "expand_as", "broadcast_to")
def _expand(step: Step) -> str:
    return step.add("Expand", [step.tensor("self"), step.sizes("shape", step.traced_sizes(step.node))])


@translates("flip")
def _flip(step: Step) -> str:
    axes = [axis % len(step.output_shape) for axis in step.given["dims"]]
    backwards = [-1] * len(axes)
    ends = [
        step.integers("edge", edges) for edges in (backwards, [np.iinfo(np.int64).min + 1] * len(axes), axes, backwards)
    ]
    return step.add("Slice", [step.tensor("self"), *ends])


@translates("tril", "triu")
def _triangle(step: Step) -> str:
    """Keep what lies on one side of a diagonal; rows and columns are numbered in the graph, since sizes may be free."""
    rank, diagonal = len(step.output_shape), int(step.given["diagonal"])
    below = step.operation == "tril"
    lines = []
    for axis, first in ((rank - 2, diagonal), (rank - 1, 0)):
        size = step.then("Squeeze", step.values.sizes.one(step.traced_sizes(step.given["self"])[axis]))
        start, one = step.scalar(first, torch.int64), step.scalar(1, torch.int64)
        numbered = step.then("Range", start, step.then("Add", size, start), one)
        lines.append(step.then("Unsqueeze", numbered, step.integers("axis", [1 if axis == rank - 2 else 0])))
    kept = step.then("GreaterOrEqual" if below else "LessOrEqual", *lines)
    return chosen(step, kept, step.given["self"], 0)


@translates("repeat", "tile")
def _repeat(step: Step) -> str:
    """Repeat whole dimensions; those that come in front are new."""
    x, repeats = step.tensor("self"), list(step.given["repeats" if step.operation == "repeat" else "dims"])
    rank = len(step.shape("self"))
    repeats = [1] * (rank - len(repeats)) + repeats
    if len(repeats) > rank:
        x = step.then("Unsqueeze", x, step.integers("axes", list(range(len(repeats) - rank))))
    return step.add("Tile", [x, step.sizes("repeats", repeats)])


@translates("pixel_shuffle")
def _pixel_shuffle(step: Step) -> str:
    return step.add("DepthToSpace", [step.tensor("self")], blocksize=step.given["upscale_factor"], mode="CRD")


def _moved(step: Step) -> str:
    """The argument that holds what is moved."""
    return "self" if "self" in step.given else next(iter(step.given))


def same(node: Operation) -> bool:
    """Whether a moving operation gives its input as it is, in the same type."""
    if node.name not in SAME or len(node.operands) != 1:
        return False
    before, after = node.operands[0].value, node.value
    return isinstance(before, Tensor) and isinstance(after, Tensor) and before.dtype == after.dtype


def gives_list(node: Operation) -> bool:
    """Whether a node splits a tensor."""
    return node.target is not operator.getitem and node.name in LISTS


# Any other way to move values, by a table of where each comes from


@translates("channel_shuffle", "diagonal", "im2col", "pixel_unshuffle", "repeat_interleave", "roll", "rot90")
@translates("unfold")
def by_table(step: Step) -> str:
    """Take the values of each sample by their positions in it, and zeros where there are none.

    The table is what the operation makes of numbered places, so it is right for whatever moves values within a sample.
    """
    moved = _moved(step)
    value = step.given[moved].value
    assert isinstance(value, Tensor)
    shape, free = step.shape(moved), step.shape(moved)[:1] == (None,)
    if any(size is None for size in shape[free:]) or any(size is None for size in step.output_shape[free:]):
        step.refuse(f"{step.operation} of sizes that differ from batch to batch, {shape}, has no ONNX operator")
    inner: list[int] = [size or 0 for size in shape[free:]]
    count, samples = math.prod(inner), 3 if free else 1
    target: Any = step.node.target
    numbered = torch.arange(1.0, samples * count + 1, dtype=torch.float64).reshape([samples] * free + inner)
    table = target(**{**step.given, moved: numbered}).to(torch.int64).reshape(samples, -1)
    whole = table - count * torch.arange(samples)[:, None] * (table > 0)
    if not bool((whole == whole[0]).all()) or (free and step.output_shape[:1] != (None,)):
        step.refuse(f"{step.operation} moves values from one sample of a batch to another; leave the batch where it is")
    x = step.then("Reshape", step.tensor(moved), step.integers("flat", [-1, count]))
    positions = whole[0] - 1
    if bool((positions < 0).any()):  # a column of zeros behind the rest
        x = step.then("Pad", x, step.integers("pads", [0, 0, 0, 1]), step.scalar(0, value.dtype))
        positions = torch.where(positions < 0, count, positions)
    taken = step.then("Gather", x, step.integers("places", positions.tolist()), axis=1)
    sizes = [-1 if size is None else size for size in step.output_shape]
    return step.add("Reshape", [taken, step.integers("shape", sizes)])
