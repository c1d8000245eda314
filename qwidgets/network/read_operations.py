"""The operations of a network, read out of the traced graph once; and copies of them with other bounds of clamps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from qwidgets.network import operations
from qwidgets.network.operation import Facts, Layer, Operation, OperationKind
from qwidgets.network.rows import Rows

_KINDS: Mapping[str, OperationKind] = {"placeholder": "input", "get_attr": "constant", "output": "output"}


@dataclass(frozen=True)
class Operations:
    """The operations of a network in the order of execution, and which of them have a name of their own.

    Attributes
    ----------
    all
        In the order of execution.
    layers
        Those that multiply with one weight.
    producers
        For each input and activation row the operation that gives it.
    """

    all: tuple[Operation, ...]
    layers: tuple[Layer, ...]
    producers: Mapping[str, Operation]

    def with_clamps(self, bounds: Mapping[Operation, tuple[Tensor | None, Tensor | None]]) -> "Operations":
        """Give new ones in which some clamps have other bounds, such as one for each channel."""
        made: dict[Operation, Operation] = {}
        for operation in self.all:
            made[operation] = _again(operation, made, bounds.get(operation))
        layers = tuple(
            replace(
                layer,
                head=made[layer.head],
                batch_norm=layer.batch_norm and made[layer.batch_norm],
                activation=layer.activation and made[layer.activation],
            )
            for layer in self.layers
        )
        producers = {row: made[operation] for row, operation in self.producers.items()}
        return Operations(tuple(made.values()), layers, MappingProxyType(producers))


def read_operations(nodes: Iterable[Node], found: Rows) -> Operations:
    """Make the operations of a graph whose rows are found."""
    slots = {node: row for row, node in found.nodes.items()}
    constants: dict[object, str] = {node: row for row, node in found.parameter_nodes.items()}
    constants |= {node.target: row for row, node in found.parameter_nodes.items() if node.op == "get_attr"}
    folded = {layer.group.batch_norm for layer in found.layers}
    made: dict[Node, Operation] = {}
    for index, node in enumerate(nodes):
        constant = constants.get(node) or (constants.get(node.target) if node.op == "get_attr" else None)
        made[node] = _read(index, node, made, slots.get(node), constant, node in folded)
    layers = tuple(
        Layer(
            name=layer.output_row,
            head=made[layer.group.head],
            batch_norm=None if layer.group.batch_norm is None else made[layer.group.batch_norm],
            activation=None if layer.group.activation is None else made[layer.group.activation],
            weight_row=layer.weight_row,
            bias_row=layer.bias_row,
            output_row=layer.output_row,
        )
        for layer in found.layers
    )
    producers = {row: made[node] for row, node in found.nodes.items()}
    return Operations(tuple(made.values()), layers, MappingProxyType(producers))


def _read(
    index: int, node: Node, made: Mapping[Node, Operation], slot: str | None, constant: str | None, is_folded: bool
) -> Operation:

    def mapped(given: Any) -> Any:
        return map_arg(given, made.__getitem__)  # type: ignore[arg-type]  # whatever the function gives

    def place_of(operand: Node | None) -> int | None:
        return None if operand is None else node.all_input_nodes.index(operand)

    stack: list[tuple[str, Any]] = list(node.meta.get("nn_module_stack", {}).values())
    paths = [path for path, _ in stack if path]
    through = operations.trail_of(node)[1] if operations.only_moves(node) else None
    operation = Operation(
        index=index,
        kind=_KINDS.get(node.op, "call"),
        name=operations.name_of(node) if node.op == "call_function" else _KINDS[node.op],
        target=node.target,
        args=tuple(mapped(node.args)),
        kwargs=MappingProxyType(dict(mapped(node.kwargs))),
        arguments=MappingProxyType(dict(mapped(operations.arguments(node))) if node.op == "call_function" else {}),
        operands=tuple(made[given] for given in node.all_input_nodes),
        value=operations.value_of(node),
        label=node.name,
        module=paths[-1] if paths else "",
        is_torch_layer=bool(stack) and bool(stack[-1][0]) and str(stack[-1][1]).startswith("torch.nn."),
        slot=slot,
        constant=constant,
        is_folded=is_folded,
        facts=Facts(
            moves_through=place_of(through),
            only_fills=operations.only_fills(node),
            filled_with=operations.filled_with(node) if operations.only_fills(node) else None,
            makes_values=operations.makes_values(node),
            is_batch_norm=node.op == "call_function" and operations.is_batch_norm(node),
            is_activation=node.op == "call_function" and operations.is_activation(node),
            is_convolution=operations.is_convolution(node),
            weight=place_of(operations.weight_of(node)),
            bias=place_of(operations.bias_of(node)),
            slopes=place_of(operations.slopes_of(node)),
        ),
    )
    return _known_to_operands(operation)


def _again(
    operation: Operation, made: Mapping[Operation, Operation], bounds: tuple[Tensor | None, Tensor | None] | None
) -> Operation:
    """Copy an operation to read what those before it became, with other bounds where they are given."""

    def mapped(given: Any) -> Any:
        return pytree.tree_map_only(Operation, made.__getitem__, given)

    copy = replace(
        operation,
        args=mapped(operation.args),
        kwargs=MappingProxyType(mapped(dict(operation.kwargs))),
        arguments=MappingProxyType(mapped(dict(operation.arguments))),
        operands=tuple(map(made.__getitem__, operation.operands)),
        _users=[],
    )
    if bounds is not None:
        arguments = {"self": copy.args[0], "min": bounds[0], "max": bounds[1]}
        copy = replace(
            copy,
            name="clamp",
            target=torch.ops.aten.clamp.Tensor,
            args=tuple(arguments.values()),
            kwargs=MappingProxyType({}),
            arguments=MappingProxyType(arguments),
        )
    return _known_to_operands(copy)


def _known_to_operands(operation: Operation) -> Operation:
    for given in operation.operands:
        given._users.append(operation)
    return operation
