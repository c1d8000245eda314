"""Computing once, when a model is captured, what depends on its parameters and buffers alone.

A weight that is made of others (spectral norm, weight standardization, a pruning mask, a low-rank adapter) is a
constant, and so is ``torch.ones(4)``: the operations that make it become one tensor of the graph. How it was made is
kept, so that it can be made anew of other weights.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from qwidgets.network import operations

MADE_OF = "qwidgets_made_of"
"""In a node's ``meta``: the parameters and buffers of which a folded constant was made."""

MOVED = "qwidgets_moved"
"""In a node's ``meta``: that a folded constant has the values of one parameter, in another order or shape."""

_UNFILLED = frozenset(["empty", "empty_like", "empty_permuted", "empty_strided", "new_empty"])


def fold(module: GraphModule, aliases: Mapping[str, tuple[str, ...]]) -> Mapping[str, Node]:
    """Replace what depends on constants alone by tensors of the graph.

    What only moves the values of a parameter stays, so that the parameter is one row wherever it is read; it is folded
    too where a layer multiplies with it and nothing else reads the parameter.

    Returns
    -------
    For each tensor that was made, the node of another graph that computes it; `evaluate` does.
    """
    graph = module.graph
    autocast = _within_autocast(graph)
    constant = {node for node in graph.nodes if node.op == "get_attr" and isinstance(operations.value_of(node), Tensor)}
    roots: dict[Node, None] = {}
    for node in graph.nodes:
        if node.op == "call_function" and _is_computed(node, constant) and node not in autocast:
            constant.add(node)
            roots[node] = None
    own = _moved_for_one_layer(graph, constant, aliases)
    folded = {node for node in roots if node in own or not _moves_a_parameter(node)}
    values: dict[Node, Any] = {}
    recipes = Graph()
    copied: dict[Node, Node] = {}
    made: dict[str, Node] = {}
    named: dict[str, str] = {}
    for node in graph.find_nodes(op="get_attr"):
        if MADE_OF in node.meta:  # a parameter that has another name here
            made[str(node.target)] = recipes.get_attr(node.meta[MADE_OF][0])

    def look(before: Node) -> Any:
        if before not in values:
            values[before] = (
                attrgetter(str(before.target))(module) if before.op == "get_attr" else evaluate(before, look)
            )
        return values[before]

    for node in [node for node in roots if node in folded]:
        readers = [user for user in node.users if user not in folded]
        if not readers or not isinstance(operations.value_of(node), Tensor):
            continue
        name = named.setdefault(_spelling(node, aliases), f"_folded_{len(named)}")
        if name not in made:
            module.register_buffer(name, look(node).detach().clone(), persistent=False)
            made[name] = _copy(node, recipes, copied)
        with graph.inserting_before(node):
            held = graph.get_attr(name)
        held.meta = {**node.meta, MADE_OF: parameters_behind(node)}
        if operations.only_fills(node) and operations.is_exact_number(number := float(look(node).flatten()[0])):
            held.meta[operations.FILLED_WITH] = number
        if node in own:
            held.meta[MOVED] = True
        node.replace_all_uses_with(held, delete_user_cb=lambda user: user not in folded)
    graph.eliminate_dead_code()
    return MappingProxyType(made)


def evaluate(node: Node, look: Callable[[Node], Any]) -> Any:
    """Compute a constant of those that it is made of."""
    target: Any = node.target
    with torch.no_grad():
        return target(*map_arg(node.args, look), **map_arg(node.kwargs, look))


def compute(node: Node, tensor_of: Callable[[str], Tensor]) -> Tensor:
    """Make a constant anew, given a function that finds a parameter or buffer by its name."""
    values: dict[Node, Any] = {}

    def look(before: Node) -> Any:
        if before not in values:
            values[before] = tensor_of(str(before.target)) if before.op == "get_attr" else evaluate(before, look)
        return values[before]

    made: Tensor = look(node)
    return made


def parameters_behind(node: Node) -> tuple[str, ...]:
    """Give the names of the parameters and buffers from which a constant is made."""
    if node.op == "get_attr":
        return tuple(node.meta.get(MADE_OF, (str(node.target),)))
    return tuple(dict.fromkeys(name for before in node.all_input_nodes for name in parameters_behind(before)))


def _is_computed(node: Node, constant: set[Node]) -> bool:
    if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) or operations.value_of(node) is None:
        return False
    if operations.name_of(node) in _UNFILLED or (operations.only_fills(node) and not _has_values(node)):
        return False
    return all(before in constant for before in node.all_input_nodes)


def _has_values(node: Node) -> bool:
    value = operations.value_of(node)
    return isinstance(value, Tensor) and bool(value.numel())


def _moves_a_parameter(node: Node) -> bool:
    return operations.only_moves(node) and operations.trail_of(node)[-1].op == "get_attr"


def _moved_for_one_layer(graph: Graph, constant: set[Node], aliases: Mapping[str, tuple[str, ...]]) -> set[Node]:
    """The operations that turn a parameter into the weight of the one layer that reads it."""
    readers: dict[str, int] = {}
    for node in graph.find_nodes(op="get_attr"):
        tensor = aliases.get(str(node.target), (str(node.target),))[0]
        readers[tensor] = readers.get(tensor, 0) + len(node.users)
    found: set[Node] = set()
    for node in graph.nodes:
        for given in (operations.weight_of(node), operations.bias_of(node)):
            if given is None or given.op == "get_attr" or given not in constant or not _moves_a_parameter(given):
                continue
            trail = operations.trail_of(given)
            source = str(trail[-1].target)
            alone = readers[aliases.get(source, (source,))[0]] == 1 and all(len(step.users) == 1 for step in trail)
            found.update(trail[:-1] if alone else ())
    return found


def _within_autocast(graph: Graph) -> set[Node]:
    """The operations of sections in which torch chooses the float type by itself."""
    found: set[Node] = set()
    depth = 0
    for node in graph.nodes:
        depth += {"_enter_autocast": 1, "_exit_autocast": -1}.get(operations.name_of(node), 0)
        if depth:
            found.add(node)
    return found


def _copy(node: Node, graph: Graph, copied: dict[Node, Node]) -> Node:
    if node not in copied:
        for before in node.all_input_nodes:
            _copy(before, graph, copied)
        copied[node] = graph.node_copy(node, copied.__getitem__)
    return copied[node]


def _spelling(node: Node, aliases: Mapping[str, tuple[str, ...]]) -> str:
    """Write out how a constant is made, the same for two that are made alike."""
    if node.op == "get_attr":
        return aliases.get(str(node.target), (str(node.target),))[0]
    given = map_arg((node.args, node.kwargs), lambda before: _Spelled(_spelling(before, aliases)))
    return f"{node.target}{given}"


class _Spelled(str):
    """Text that stands in the place of an argument."""
