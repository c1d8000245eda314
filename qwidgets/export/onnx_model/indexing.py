"""Values taken by position or put at one, and the positions of the largest, as ONNX nodes."""

from typing import Any

import numpy as np
import torch

from qwidgets.export.onnx_model.step import Step, translates
from qwidgets.network import Operation


@translates("embedding")
def _embedding(step: Step) -> str:
    return step.add("Gather", [step.tensor("weight"), step.tensor("indices")], axis=0)


@translates("select")
def _select(step: Step) -> str:
    return step.add("Gather", [step.tensor("self"), _position(step, step.given["index"])], axis=step.axis("dim"))


def _position(step: Step, index: object) -> str:
    if isinstance(index, int):
        return step.graph.constant(f"{step.name}.index", np.array(index, np.int64))
    return step.then("Squeeze", step.values.sizes.one(index))


@translates("index_select")
def _index_select(step: Step) -> str:
    return step.add("Gather", [step.tensor("self"), step.tensor("index")], axis=step.axis("dim"))


@translates("gather", "take_along_dim")
def _gather(step: Step) -> str:
    x, index = step.tensor("self"), step.tensor("index" if step.operation == "gather" else "indices")
    if step.given["dim"] is None:
        step.refuse("take_along_dim of a flattened tensor has no ONNX operator; give it a dimension")
    axis = step.axis("dim")
    if step.operation == "take_along_dim":
        # The rest of the sizes are brought together, those along the dimension stay.
        sizes = step.traced_sizes(step.node)
        of_x = [*sizes[:axis], step.traced_sizes(step.given["self"])[axis], *sizes[axis + 1 :]]
        x = step.then("Expand", x, step.sizes("sizes", of_x))
        index = step.then("Expand", index, step.sizes("sizes", sizes))
    return step.add("GatherElements", [x, index], axis=axis)


@translates("index")
def _index(step: Step) -> str:
    """Take by tensors of positions, one for each dimension that is not left as it is."""
    given = [(axis, index) for axis, index in enumerate(step.given["indices"]) if index is not None]
    if any(step.dtype_of(index) in (torch.bool, torch.uint8) for _, index in given):
        step.refuse("a mask takes as many values as it finds; use torch.where, or positions")
    axes, rank = [axis for axis, _ in given], len(step.shape("self"))
    positions = [step.term(index, torch.int64, "positions") for _, index in given]
    if len(axes) == 1:
        return step.add("Gather", [step.tensor("self"), positions[0]], axis=axes[0])
    rest = [axis for axis in range(rank) if axis not in axes]
    x = step.then("Transpose", step.tensor("self"), perm=[*axes, *rest])
    taken = step.then("GatherND", x, _together(step, positions, [index for _, index in given]))
    width = max(len(step.shape_of(index)) for _, index in given)
    if axes != list(range(axes[0], axes[-1] + 1)) or axes[0] == 0:
        return taken
    # Dimensions that lie side by side are replaced where they were.
    before = axes[0]
    back = [*range(width, width + before), *range(width), *range(width + before, width + len(rest))]
    return step.add("Transpose", [taken], perm=back)


def _together(step: Step, positions: list[str], indices: list[Operation]) -> str:
    """Stack tensors of positions along a new last dimension, brought to one shape."""
    if len({step.shape_of(index) for index in indices}) > 1:
        zero = step.scalar(0, torch.int64)
        common = positions[0]
        for position in positions[1:]:
            common = step.then("Add", common, position)
        common = step.then("Mul", common, zero)
        positions = [step.then("Add", position, common) for position in positions]
    last = step.integers("last", [-1])
    return step.add("Concat", [step.then("Unsqueeze", position, last) for position in positions], "positions", axis=-1)


# The largest and where they are


@translates("topk", "sort", "argsort", "msort")
def _topk(step: Step) -> tuple[str, str] | str:
    axis, descending = step.axis("dim"), bool(step.given.get("largest", step.given.get("descending", False)))
    count = step.given["k"] if step.operation == "topk" else step.traced_sizes(step.given["self"])[axis]
    how: dict[str, Any] = {"axis": axis, "largest": int(descending), "sorted": 1}
    names = (f"{step.name}.values", f"{step.name}.indices")
    inputs = [step.tensor("self"), step.values.sizes.one(count)]
    values, indices = step.graph.add_several("TopK", inputs, names, **how)
    stable = step.given.get("stable") or step.operation == "sort"
    if not stable and any(_asked_for(step, index) for index in (1,)):
        step.values.differs(
            indices, f"of equal values {step.operation} gives any, and ONNX Runtime those that come first"
        )
    return indices if step.operation == "argsort" else (values, indices)


def _asked_for(step: Step, index: int) -> bool:
    """Whether anyone reads one of the tensors that an operation gives."""
    taken = [user for user in step.node.users if user.name == "getitem"]
    return not taken or any(user.args[1] == index for user in taken)


@translates("argmax", "argmin")
def _argmax(step: Step) -> str:
    operator = "ArgMax" if step.operation == "argmax" else "ArgMin"
    x, axis = step.tensor("self"), step.given.get("dim")
    keep = bool(step.given.get("keepdim", False))
    if axis is None:
        if keep:
            step.refuse(f"{step.operation} over all dimensions that keeps them has no ONNX operator; give it one")
        flat = step.then("Reshape", x, step.integers("flat", [-1]))
        return step.add(operator, [flat], axis=0, keepdims=0)
    return step.add(operator, [x], axis=step.axis("dim"), keepdims=int(keep))


# Values put at positions


@translates("slice_scatter", "select_scatter")
def _scatter(step: Step) -> str:
    """A tensor of which a slice is replaced by another."""
    axis, size = step.axis("dim"), step.shape("self")[step.axis("dim")]
    if size is None:
        step.refuse("a slice of a dimension that differs from batch to batch is replaced")
    source, positions = step.tensor("src"), list(range(size))
    if step.operation == "select_scatter":
        source = step.then("Unsqueeze", source, step.integers("axis", [axis]))
        replaced = [positions[step.given["index"]]]
    else:
        replaced = positions[slice(step.given["start"], step.given["end"], step.given["step"])]
    # Where each place is filled from: what was there comes first, the new values behind it.
    table = positions.copy()
    for place, position in enumerate(replaced):
        table[position] = size + place
    dtype = step.output_dtype
    joined = step.then(
        "Concat", step.tensor("self"), step.cast(source, step.dtype_of(step.given["src"]), dtype), axis=axis
    )
    return step.add("Gather", [joined, step.integers("places", table)], axis=axis)


@translates("scatter")
def _scatter_elements(step: Step) -> str:
    if step.given.get("reduce"):
        step.refuse("scatter that reduces is not written; add what it gives in another way")
    x, index, value = step.tensor("self"), step.tensor("index"), step.given.get("src", step.given.get("value"))
    source = step.term(value, step.output_dtype, "source")
    sizes = step.sizes("sizes", step.traced_sizes(step.given["index"]))
    if isinstance(value, int | float):
        source = step.then("Expand", source, sizes)
    elif step.shape_of(value) != step.shape("index"):
        step.refuse("scatter from a larger tensor than that of its positions is not written; cut it to their size")
    return step.add("ScatterElements", [x, index, source], axis=step.axis("dim"))


@translates("index_put")
def _index_put(step: Step) -> str:
    """Put values at positions along the first dimensions, or where a mask of them says so."""
    indices, value = step.given["indices"], step.given["values"]
    if step.given.get("accumulate"):
        step.refuse("index_put that adds up is not written; use positions that occur once")
    dtype, x = step.output_dtype, step.tensor("self")
    first = [index for index in indices if index is not None]
    if any(index is None for index in indices[: len(first)]):
        step.refuse("values are put at positions of the first dimensions only")
    if step.dtype_of(first[0]) == torch.bool:
        if len(first) > 1 or step.shape_of(value):
            step.refuse("where a mask says so one number is put; use torch.where for a tensor")
        mask = step.values.tensor(first[0])
        behind = len(step.shape("self")) - len(step.shape_of(first[0]))
        if behind:
            rank = len(step.shape_of(first[0]))
            mask = step.then("Unsqueeze", mask, step.integers("axes", list(range(rank, rank + behind))))
        return step.add("Where", [mask, step.term(value, dtype, "value"), x])
    positions = [step.term(index, torch.int64, "positions") for index in first]
    places = _together(step, positions, first)
    sizes = [*_broadcast(step, first), *step.traced_sizes(step.given["self"])[len(first) :]]
    values = step.then("Expand", step.term(value, dtype, "values"), step.sizes("sizes", sizes))
    return step.add("ScatterND", [x, places, values])


def _broadcast(step: Step, indices: list[Operation]) -> list[object]:
    """Give the sizes that tensors of positions come to together."""
    return list(torch.broadcast_shapes(*(index.value.shape for index in indices)))  # type: ignore[attr-defined]
