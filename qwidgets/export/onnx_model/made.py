"""Tensors that a network makes of nothing it is fed: of numbers, of buffers, of what is computed from such alone.

They are evaluated once, as :func:`qwidgets.quantize` would, and written as constants. Weights and biases that have rows
are not among them: those have codes.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from qwidgets.network import Operation
from qwidgets.simulation import QuantizedNetwork


class MadeTensors:
    """Finds the nodes that hold such tensors, and gives their values."""

    def __init__(self, quantized: QuantizedNetwork) -> None:
        self._quantized = quantized
        self._known: dict[Operation, bool] = {}
        self._values: dict[Operation, Any] = {}

    def __contains__(self, node: Operation) -> bool:
        if node not in self._known:
            self._known[node] = self._is_made(node)
        return self._known[node]

    def value(self, node: Operation) -> Any:
        """Evaluate a node."""
        if node not in self._values:
            if node.kind == "constant":
                self._values[node] = self._quantized.tensor(node.target)
            else:
                args, kwargs = pytree.tree_map_only(Operation, self.value, (node.args, dict(node.kwargs)))
                with torch.no_grad():
                    self._values[node] = node.target(*args, **kwargs)
        return self._values[node]

    def _is_made(self, node: Operation) -> bool:
        if node.constant is not None:
            return False
        if node.kind == "constant":
            return isinstance(node.value, Tensor)
        if getattr(getattr(node.target, "_schema", None), "is_mutable", False):
            return False
        if node.kind != "call" or torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            return False
        return not _holds_sizes(node.value) and all(before in self for before in node.operands)


def _holds_sizes(value: Any) -> bool:
    """Whether a value is no tensor, or one of which a size is not known."""
    leaves = pytree.tree_leaves(value)
    if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        return True
    return any(isinstance(size, torch.SymInt) for leaf in leaves for size in leaf.shape)
