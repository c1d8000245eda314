"""Tensors that a network makes of nothing it is fed: of numbers, of buffers, of what is computed from such alone.

They are evaluated once, as :func:`qwidgets.quantize` would, and written as constants. Weights and biases that have rows
are not among them: those have codes.
"""

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from qwidgets.network import operations
from qwidgets.simulation import QuantizedNetwork


class MadeTensors:
    """Finds the nodes that hold such tensors, and gives their values."""

    def __init__(self, quantized: QuantizedNetwork) -> None:
        self._quantized = quantized
        self._rows = quantized.program.constants
        self._known: dict[Node, bool] = {}
        self._values: dict[Node, Any] = {}

    def __contains__(self, node: Node) -> bool:
        if node not in self._known:
            self._known[node] = self._is_made(node)
        return self._known[node]

    def value(self, node: Node) -> Any:
        """Evaluate a node."""
        if node not in self._values:
            if node.op == "get_attr":
                self._values[node] = self._quantized.tensor(str(node.target))
            else:
                target: Any = node.target
                args, kwargs = pytree.tree_map_only(Node, self.value, (node.args, node.kwargs))
                with torch.no_grad():
                    self._values[node] = target(*args, **kwargs)
        return self._values[node]

    def _is_made(self, node: Node) -> bool:
        if node in self._rows:
            return False
        if node.op == "get_attr":
            return isinstance(operations.value_of(node), Tensor)
        if getattr(getattr(node.target, "_schema", None), "is_mutable", False):
            return False
        if node.op != "call_function" or torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            return False
        return not _holds_sizes(operations.value_of(node)) and all(before in self for before in node.all_input_nodes)


def _holds_sizes(value: Any) -> bool:
    """Whether a value is no tensor, or one of which a size is not known."""
    leaves = pytree.tree_leaves(value)
    if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        return True
    return any(isinstance(size, torch.SymInt) for leaf in leaves for size in leaf.shape)
