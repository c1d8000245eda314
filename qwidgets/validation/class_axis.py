"""Which dimension of a network's output holds its classes: the channels of the layer that it comes from.

The shape alone does not tell: (batch, classes, length) and (batch, length, classes) look alike. Here only the graph is
asked; labels are asked in `qwidgets.validation.metrics`.
"""

from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from qwidgets.network import Network, Operation

_LAST = frozenset(["linear", "addmm", "baddbmm", "matmul", "mm", "bmm", "embedding", "layer_norm", "rms_norm"])
_NORMALIZING = frozenset(["softmax", "log_softmax", "_softmax", "_log_softmax"])


def class_axis(network: Network) -> int | None:
    """Give the dimension, counted from 0, along which the channels of the last layer lie in a network's only output.

    Returns
    -------
    None where the network has several outputs, or where something on the way may have put channels elsewhere.

    Examples
    --------
    >>> import torch
    >>> from qwidgets.network import capture
    >>> class_axis(capture(torch.nn.Linear(4, 3), (torch.randn(2, 7, 4),)))
    2
    """
    leaves = pytree.tree_leaves(network.output.args[0])
    nodes = [leaf for leaf in leaves if isinstance(leaf, Operation) and _ndim(leaf)]
    return _axis_of(nodes[0]) if len(nodes) == 1 else None


def _axis_of(node: Operation) -> int | None:
    moved: list[Operation] = []
    while node.kind == "call" and _ndim(node):
        found = _begins_at(node)
        if found is not None:
            for later in reversed(moved):
                found = _after(later, found)
            return found
        before = next((given for given in node.operands if _ndim(given) == _ndim(node)), None)
        if before is None or not (_shape(before) == _shape(node) or _moves_axes(node) or _resizes(node)):
            return None
        if _moves_axes(node):
            moved.append(node)
        node = before
    return None


def _begins_at(node: Operation) -> int | None:
    """Give the dimension of the channels that a layer gives; None where the node is no such layer."""
    name = node.name
    if name in _NORMALIZING:
        return int(_argument(node, 1)) % _ndim(node)
    if name in _LAST:
        return _ndim(node) - 1
    return 1 if node.is_convolution or node.is_batch_norm else None


def _moves_axes(node: Operation) -> bool:
    return node.name in ("permute", "transpose", "swapaxes", "swapdims")


def _resizes(node: Operation) -> bool:
    """Whether the node changes the size of an image or a sequence, and not that of its channels."""
    return node.name.startswith(("upsample_", "avg_pool", "max_pool", "adaptive_avg_pool"))


def _after(node: Operation, axis: int) -> int:
    """Give where a dimension is after a node that exchanges dimensions."""
    ndim = _ndim(node)
    if node.name == "permute":
        return [int(place) % ndim for place in _argument(node, 1)].index(axis)
    first, second = (int(_argument(node, place)) % ndim for place in (1, 2))
    return {first: second, second: first}.get(axis, axis)


def _argument(node: Operation, place: int) -> Any:
    return node.args[place] if len(node.args) > place else next(iter(node.kwargs.values()))


def _shape(node: Operation) -> tuple[Any, ...]:
    value = node.value
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _ndim(node: Operation) -> int:
    return len(_shape(node)) if node.is_float else 0
