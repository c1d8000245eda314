"""What each operation of a captured graph does to values: moves them, multiplies, or computes something else.

Capturing asks these questions of the nodes of a ``torch.fx`` graph of ATen operations. Nothing here knows of rows,
names or formats.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import Node

# fmt: off
_MOVING = frozenset([
    "alias", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_to", "chunk", "clone", "constant_pad_nd",
    "contiguous", "copy", "detach", "diagonal", "expand", "expand_as", "flatten", "flip", "gather",
    "getitem", "im2col", "index", "index_select", "lift_fresh_copy", "masked_fill", "masked_select", "mT",
    "movedim", "narrow", "numpy_T", "pad", "permute", "pin_memory", "pixel_shuffle", "pixel_unshuffle",
    "channel_shuffle", "ravel", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "repeat",
    "repeat_interleave", "replication_pad1d", "replication_pad2d", "replication_pad3d", "reshape", "resize_as",
    "roll", "rot90", "select", "slice", "sort", "split", "split_with_sizes", "squeeze", "swapaxes", "swapdims", "t",
    "take", "take_along_dim", "tensor_split", "tile", "to", "topk", "transpose", "tril", "triu", "type_as",
    "unbind", "unflatten", "unfold", "unsafe_chunk", "unsafe_split", "unsqueeze", "upsample_nearest1d",
    "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d",
    "_upsample_nearest_exact3d", "positive", "view", "view_as", "_to_copy", "_unsafe_view", "embedding",
    "max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices", "max_pool2d_with_indices",
    "max_pool3d_with_indices", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "amax", "amin",
    "max", "min",
])
_SPELLINGS = {
    "absolute": "abs", "clip": "clamp", "divide": "div", "fmax": "maximum", "fmin": "minimum", "ger": "outer",
    "max.other": "maximum", "min.other": "minimum", "multiply": "mul", "negative": "neg", "subtract": "sub",
    "true_divide": "div",
}
_FILLING = frozenset([
    "empty", "empty_like", "empty_permuted", "empty_strided", "fill", "full", "full_like", "new_empty", "new_full",
    "new_ones", "new_zeros", "ones", "ones_like", "scalar_tensor", "zero", "zeros", "zeros_like",
])
_DROPOUT = frozenset(["dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"])
_CONVOLUTIONS = frozenset(["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"])
_PRODUCTS = frozenset(["linear", "matmul", "mm", "bmm", "mv", "dot", "addmm", "baddbmm", "einsum"])
_SUMS = frozenset(["add", "sub", "mul", "batch_norm"])
_ACTIVATIONS = frozenset([
    "celu", "clamp", "clamp_max", "clamp_min", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu",
    "log_sigmoid", "mish", "prelu", "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "tanh", "threshold",
])
_NORMALIZING = frozenset([
    "layer_norm", "native_layer_norm", "group_norm", "native_group_norm", "instance_norm", "rms_norm",
    "_fused_rms_norm",
])
_ATTENTION = frozenset(["scaled_dot_product_attention"])
# fmt: on

CLAMPS = frozenset(["relu", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max"])
"""The functions that let values through between two bounds; see :func:`clamp_bounds`."""

FILLED_WITH = "qwidgets_filled_with"
"""In a node's ``meta``: the number that a folded constant is full of."""


def name_of(node: Node) -> str:
    """The operation's name without its overload or the underscore of an in-place one: ``conv2d``, ``add``, ``relu``.

    Of those that have several names, the one that is usual: ``mul`` for ``multiply``, ``maximum`` for ``max(x, y)``.
    """
    if node.op != "call_function":
        return node.op
    packet = getattr(node.target, "overloadpacket", None)
    name = packet.__name__ if packet is not None else getattr(node.target, "__name__", str(node.target))
    name = name.rstrip("_") or name
    overload = f"{name}.{getattr(node.target, '_overloadname', '')}"
    return _SPELLINGS.get(overload) or _SPELLINGS.get(name, name)


def arguments(node: Node) -> dict[str, Any]:
    """Give the arguments of an operation by name, those that were left out too."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {}
    passed = dict(zip((item.name for item in schema.arguments), node.args, strict=False)) | node.kwargs
    return {
        item.name: passed.get(item.name, item.default_value)
        for item in schema.arguments
        if item.name in passed or item.has_default_value()
    }


def value_of(node: Node) -> object:
    """What the node gave when the network was traced: a tensor without values, a list of such, a number."""
    return node.meta.get("val")


def is_float(node: Node) -> bool:
    """Whether the node gives one tensor of real floating-point numbers."""
    value = value_of(node)
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def trail_of(node: Node) -> list[Node]:
    """Follow a moved value back, node by node, to the one that made it."""
    trail = [node]
    while only_moves(trail[-1]):
        trail.append(_moved_through(trail[-1]))
    return trail


def makes_values(node: Node) -> bool:
    """Whether floats leave the node that did not come in as they are: it computes."""
    if node.op != "call_function" or name_of(node) == "getitem":
        return False
    return _carries_floats(node) and not only_moves(node) and not only_fills(node)


def only_moves(node: Node) -> bool:
    """Whether every value that leaves the node came in through one tensor, so that it can share that one's format."""
    if node.op != "call_function" or name_of(node) not in _MOVING or not _carries_floats(node):
        return False
    if name_of(node) == "getitem":
        return only_moves(node.all_input_nodes[0])
    carrying = [before for before in node.all_input_nodes if _carries_floats(before)]
    if name_of(node) in {"max", "min"} and len(carrying) > 1:
        return False
    return bool(carrying) and _carries_floats(_moved_through(node))


def only_fills(node: Node) -> bool:
    """Whether the node makes a tensor that says nothing: of zeros, of ones, of one number."""
    return (node.op == "call_function" and name_of(node) in _FILLING) or FILLED_WITH in node.meta


def filled_with(node: Node) -> float | None:
    """Give the number that a node makes a tensor of, where one is known."""
    if FILLED_WITH in node.meta:
        return float(node.meta[FILLED_WITH])
    name = name_of(node)
    if name.removeprefix("new_").removesuffix("_like") in {"zeros", "ones"}:
        return float("ones" in name)
    position = {"full": 1, "full_like": 1, "new_full": 2, "scalar_tensor": 0}.get(name)
    number = None if position is None else node.args[position]
    return float(number) if isinstance(number, bool | int | float) else None


def is_exact_number(number: float) -> bool:
    """Whether integer hardware has a number as it is: a significand of at most 15 bits, and a power of two."""
    return math.isfinite(number) and math.ldexp(math.frexp(number)[0], 15).is_integer()


def is_lookup(node: Node) -> bool:
    """Whether the node looks values up in a table."""
    return name_of(node) == "embedding"


def is_idle_dropout(node: Node) -> bool:
    """Whether the node is a dropout that lets everything through, as in eval mode."""
    return node.op == "call_function" and name_of(node) in _DROPOUT and not node.args[2]


def is_convolution(node: Node) -> bool:
    """Whether the node is a convolution of one to three dimensions, transposed or not."""
    return name_of(node) in _CONVOLUTIONS


def is_batch_norm(node: Node) -> bool:
    """Whether the node is a batch norm that uses its running statistics: a fixed scale and shift of each channel."""
    return name_of(node) == "batch_norm" and not node.args[5] and isinstance(node.args[3], Node)


def is_activation(node: Node) -> bool:
    """Whether the node is a function of one tensor, value by value, as hardware computes on an accumulator.

    The slopes of a PReLU are no second tensor as long as the network holds them: they are constants.
    """
    slopes = slopes_of(node)
    held = slopes is not None and slopes.op == "get_attr"
    tensors = [before for before in node.all_input_nodes if _carries_floats(before) and not (held and before is slopes)]
    return name_of(node) in _ACTIVATIONS and len(tensors) == 1


def slopes_of(node: Node) -> Node | None:
    """The node of what a PReLU multiplies negative values with, or None."""
    slopes = node.args[1] if name_of(node) == "prelu" else None
    return slopes if isinstance(slopes, Node) else None


def accumulates(node: Node) -> bool:
    """Whether the node sums or multiplies, so that an activation right after it works on its accumulator."""
    name = name_of(node)
    return name in _CONVOLUTIONS or name in _PRODUCTS or name in _SUMS


def takes_integer_constants(node: Node) -> bool:
    """Whether a constant that enters this node needs a format: not where all of it is computed in float."""
    return name_of(node) not in _NORMALIZING | _ATTENTION | {"batch_norm"}


def weight_of(node: Node) -> Node | None:
    """The node of the weight that a multiplying layer multiplies with, or None."""
    name = name_of(node)
    if name in _CONVOLUTIONS or name in {"linear", "embedding_bag"}:
        found = node.args[0 if name == "embedding_bag" else 1]
        return found if isinstance(found, Node) else None
    return None


def multiplies(node: Node) -> bool:
    """Whether the node is a matrix product or a convolution."""
    return name_of(node) in _CONVOLUTIONS | _PRODUCTS


def bias_of(node: Node) -> Node | None:
    """The node of what a convolution, a linear layer or ``addmm`` adds to its products, or None."""
    name = name_of(node)
    if name in {"addmm", "baddbmm"}:
        bias = node.args[0]
    elif name in _CONVOLUTIONS or name == "linear":
        bias = node.args[2] if len(node.args) > 2 else node.kwargs.get("bias")
    else:
        return None
    return bias if isinstance(bias, Node) else None


def clamp_bounds(name: str, arguments: Mapping[str, Any]) -> tuple[Any, Any]:
    """Give the least and the most that an operation lets through, None where there is no such bound.

    Examples
    --------
    >>> clamp_bounds("relu6", {}), clamp_bounds("clamp", {"min": -1.0}), clamp_bounds("add", {})
    ((0.0, 6.0), (-1.0, None), (None, None))
    """
    if name in ("relu", "relu6"):
        return 0.0, 6.0 if name == "relu6" else None
    if name == "hardtanh":
        return arguments["min_val"], arguments["max_val"]
    return (arguments.get("min"), arguments.get("max")) if name in CLAMPS else (None, None)


def _moved_through(node: Node) -> Node:
    if name_of(node) == "copy" and len(node.all_input_nodes) > 1:  # the second argument's values go into the first
        return node.all_input_nodes[1]
    return next(before for before in node.all_input_nodes if _carries_floats(before))


def _carries_floats(node: Node) -> bool:
    value = value_of(node)
    if isinstance(value, (list, tuple)):
        return any(isinstance(item, torch.Tensor) and item.is_floating_point() for item in value)
    return is_float(node)
