"""Operations of a captured graph that are another one in disguise, written as that one.

``addmm`` with a constant matrix is a linear layer, a slice of everything is the tensor itself, a batch norm that was
taken apart is a batch norm. What reads graphs then needs to know one spelling of each. Nothing here computes values.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.utils import _pytree as pytree

from qwidgets.network import operations

_ATEN = torch.ops.aten
_WHOLE = 2**63 - 1
"""Where ``x[:]`` ends, as torch writes it."""


def simplify(module: GraphModule) -> None:
    """Write each operation that is another in disguise as that one; the graph computes what it did."""
    for node in list(module.graph.nodes):
        plain = _PLAIN.get(operations.name_of(node)) if node.op == "call_function" else None
        if plain is None:
            continue
        with module.graph.inserting_before(node):
            instead = plain(node)
        if instead is not None and instead is not node:
            node.replace_all_uses_with(instead)
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()


def _batch_norm(node: Node) -> Node | None:
    """A batch norm in eval mode gives three tensors, two of them empty, once ``torch.export`` has taken it apart."""
    if any(user.args[1] != 0 for user in node.users):
        return None
    x, weight, bias, mean, variance, momentum, eps = node.args
    first = next(iter(node.users))
    norm = _call(first, _ATEN.batch_norm.default, x, weight, bias, mean, variance, False, momentum, eps, False)
    for user in list(node.users):
        user.replace_all_uses_with(norm)
        node.graph.erase_node(user)
    node.graph.erase_node(node)
    return None


def _slice(node: Node) -> Node | None:
    return node.all_input_nodes[0] if _takes_all(node.args[1:]) else None


def _slice_scatter(node: Node) -> Node | None:
    source = node.args[1]
    return source if isinstance(source, Node) and _takes_all(node.args[2:]) else None


def _takes_all(bounds: tuple[Any, ...]) -> bool:
    """Whether the dimension, start, end and step of a slice, those at the end left out, mean all of it."""
    given = dict(zip(("dim", "start", "end", "step"), bounds, strict=False))
    return given.get("start") in (0, None) and given.get("end") in (_WHOLE, None) and given.get("step", 1) == 1


def _copy(node: Node) -> Node | None:
    """``copy(x, source)`` gives the source in the shape and the type of ``x``."""
    x, source = node.args[:2]
    assert isinstance(x, Node)
    assert isinstance(source, Node)
    mine, its = operations.value_of(x), operations.value_of(source)
    if not isinstance(mine, Tensor) or not isinstance(its, Tensor) or mine.dtype != its.dtype:
        return None
    return source if _same_shape(mine, its) else _call(node, _ATEN.expand_as.default, source, x)


def _fill(node: Node) -> Node | None:
    x = node.args[0]
    value = node.args[1] if len(node.args) > 1 else 0
    if isinstance(value, Node):
        held = operations.trail_of(value)[-1]
        if held.op != "get_attr":
            return None
        value = attrgetter(str(held.target))(node.graph.owning_module).item()
    return _call(node, _ATEN.full_like.default, x, value)


def _addmm(node: Node) -> Node | None:
    """``addmm(bias, x, matrix)`` is a linear layer where the matrix is constant and the bias one row."""
    bias, x, matrix = node.args
    assert isinstance(bias, Node)
    assert isinstance(matrix, Node)
    value = operations.value_of(bias)
    if not _is_held(matrix) or not _is_held(bias) or not isinstance(value, Tensor) or value.ndim != 1:
        return None
    weight = _call(node, _ATEN.t.default, _scaled(node, matrix, "alpha"))
    return _call(node, _ATEN.linear.default, x, weight, _scaled(node, bias, "beta"))


def _scaled(node: Node, factor: Node, by: str) -> Node:
    """Multiply with one of the numbers that ``addmm`` takes, 1 where it is not given."""
    number = node.kwargs.get(by, 1)
    return factor if number == 1 else _call(node, _ATEN.mul.Tensor, factor, number)


def _is_held(node: Node) -> bool:
    """Whether a node is a parameter or buffer, moved or not."""
    return operations.trail_of(node)[-1].op == "get_attr"


def _same_shape(mine: Tensor, its: Tensor) -> bool:
    return mine.ndim == its.ndim and all(str(a) == str(b) for a, b in zip(mine.shape, its.shape, strict=True))


def _call(like: Node, operation: Any, *args: Any) -> Node:
    """Insert an operation that knows where it stands in the user's code as another one does."""
    graph: Graph = like.graph
    node = graph.call_function(operation, args)
    node.meta = {key: like.meta[key] for key in ("nn_module_stack", "stack_trace") if key in like.meta}
    with torch.no_grad():
        node.meta["val"] = operation(*pytree.tree_map_only(Node, operations.value_of, args))
    return node


_PLAIN: dict[str, Callable[[Node], Node | None]] = {
    "_native_batch_norm_legit_no_training": _batch_norm,
    "addmm": _addmm,
    "copy": _copy,
    "fill": _fill,
    "slice": _slice,
    "slice_scatter": _slice_scatter,
    "zero": _fill,
}
