"""The tensors of a graph that do not depend on its inputs: parameters, buffers, what is computed from them alone."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from qwidgets.network import operations
from qwidgets.network.folding import evaluate


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
                value: Any = attrgetter(str(node.target))(self._graph)
            else:
                value = evaluate(node, self._evaluate)
            self._values[node] = value
        return self._values[node]
