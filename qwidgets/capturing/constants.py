"""The tensors of a graph that do not depend on its inputs: parameters, buffers, what is computed from them alone."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from qwidgets.capturing import operations


class Constants:
    """The constant nodes of a graph: which they are, what they hold, and which hold the same tensor.

    Parameters
    ----------
    graph
        The graph, with its parameters.
    aliases
        For each parameter or buffer, all the names that the model has for that tensor.
    """

    def __init__(self, graph: GraphModule, aliases: Mapping[str, tuple[str, ...]]) -> None:
        self.aliases = aliases
        self._graph = graph
        self._nodes: set[Node] = set()
        for node in graph.graph.nodes:
            if self._is_held(node) or self._is_computed(node):
                self._nodes.add(node)
        self._values: dict[Node, Any] = {}

    def __contains__(self, node: Node) -> bool:
        return node in self._nodes

    def identity(self, node: Node) -> object:
        """Something that two nodes share only if they hold the same tensor."""
        if node.op != "get_attr":
            return node
        assert isinstance(node.target, str)
        return self.aliases.get(node.target, (node.target,))[0]

    def value(self, node: Node) -> Tensor:
        """The tensor that a constant node holds."""
        value = self._evaluate(node)
        assert isinstance(value, Tensor)
        return value.detach()

    def _is_held(self, node: Node) -> bool:
        return node.op == "get_attr" and isinstance(operations.value_of(node), Tensor)

    def _is_computed(self, node: Node) -> bool:
        if node.op != "call_function" or operations.value_of(node) is None:
            return False
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            return False
        return all(before in self._nodes for before in node.all_input_nodes)

    def _evaluate(self, node: Node) -> Any:
        if node not in self._values:
            if node.op == "get_attr":
                assert isinstance(node.target, str)
                value: Any = self._graph
                for part in node.target.split("."):
                    value = getattr(value, part)
            else:
                args: Any = map_arg(node.args, self._evaluate)
                kwargs: Any = map_arg(node.kwargs, self._evaluate)
                if getattr(getattr(node.target, "_schema", None), "is_mutable", False):
                    args = (args[0].clone(), *args[1:])  # what it would change may be the model's own
                assert callable(node.target)
                with torch.no_grad():
                    value = node.target(*args, **kwargs)
            self._values[node] = value
        return self._values[node]
