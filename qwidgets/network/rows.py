"""Which tensors of a captured graph a number format can be given to: its rows.

`find_rows` walks the graph in the order in which it runs, and gives rows to the inputs, to the constants that enter
what integers can compute, and to what leaves each group of operations that hardware computes as one.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor
from torch.fx import GraphModule, Node

from qwidgets.network import fusion, operations
from qwidgets.network.constants import Constants
from qwidgets.network.folding import MADE_OF, MOVED, parameters_behind
from qwidgets.network.fusion import Group
from qwidgets.network.names import Names

Kind = Literal["input", "weight", "bias", "activation"]


@dataclass(frozen=True)
class Row:
    """A tensor of a network that a number format can be given to.

    Attributes
    ----------
    name
        ``layer1.0.conv1.weight``, ``layer1.0.conv1.bias``, ``layer1.0.conv1`` (what leaves it), ``layer1.0.add``,
        ``input``.
    layer
        The layer or operation that it belongs to: the name without ``.weight`` or ``.bias``.
    fused
        The layers and operations of the network that are in the row: a convolution, its batch norm, its activation
        function. For a weight, every layer that uses it.
    kind
        "input", "weight", "bias" or "activation".
    operation
        What the layer does: "conv2d", "linear", "add", ...
    shape
        The tensor's sizes; None for a size that may differ from batch to batch.
    """

    name: str
    layer: str
    fused: tuple[str, ...]
    kind: Kind
    operation: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class FoundLayer:
    """A group of nodes that multiplies with a weight, and the rows that its tensors have."""

    group: Group
    weight_row: str
    bias_row: str | None
    output_row: str


def digest_of(rows: Iterable[Row]) -> str:
    """Give a short text that two networks share only if their rows agree in names, kinds, operations and shapes."""
    lines = (repr((row.name, row.kind, row.operation, row.shape)) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def difference(rows: Iterable[Row], others: Iterable[Row]) -> str:
    """Say in what the rows of two networks first differ; an empty text if in nothing that matters to their figures.

    A size that may differ from batch to batch agrees with every size.
    """
    theirs = {row.name: row for row in others}
    for row in rows:
        other = theirs.pop(row.name, None)
        if other is None:
            return f"only the first has {row.name}"
        for what in ("kind", "operation", "shape"):
            mine, its = getattr(row, what), getattr(other, what)
            if mine != its and not (what == "shape" and _agree(mine, its)):
                return f"the {what} of {row.name} is {mine} in the first, {its} in the second"
    return f"only the second has {next(iter(theirs))}" if theirs else ""


def widened(rows: Iterable[Row], others: Iterable[Row]) -> tuple[Row, ...]:
    """Give rows in which a size is free where it is so in either of two networks, or differs."""
    theirs = {row.name: row.shape for row in others}
    return tuple(
        replace(
            row,
            shape=tuple(mine if mine == its else None for mine, its in zip(row.shape, theirs[row.name], strict=True)),
        )
        for row in rows
    )


def _agree(mine: tuple[int | None, ...], its: tuple[int | None, ...]) -> bool:
    return len(mine) == len(its) and all(a == b or None in (a, b) for a, b in zip(mine, its, strict=True))


def shape_of(value: object) -> tuple[int | None, ...]:
    """Give the sizes of a traced tensor, None for each that is free."""
    assert isinstance(value, Tensor)
    sizes: tuple[Any, ...] = tuple(value.shape)
    return tuple(size if isinstance(size, int) else size.node.maybe_as_int() for size in sizes)


def find_rows(graph: GraphModule, aliases: Mapping[str, tuple[str, ...]], leaves: frozenset[str]) -> "Rows":
    """Find the rows of a graph.

    Parameters
    ----------
    graph
        What `qwidgets.network.tracing.graph_of` gave.
    aliases
        For each parameter or buffer of the model, all the names that it has for the same tensor.
    leaves
        The paths of the model's modules that have no submodules.
    """
    constants = Constants(graph, aliases)
    heads = [node for node in graph.graph.nodes if operations.makes_values(node) and node not in constants]
    groups = fusion.fuse(heads, constants.identity)
    rows = Rows(constants, Names(leaves, aliases, groups))
    rows.add_inputs(graph.graph.find_nodes(op="placeholder"))
    for group in groups:
        rows.add(group)
    rows.add_tables(graph.graph.output_node().all_input_nodes)
    return rows


class Rows:
    """Collects the rows of a graph, group after group."""

    def __init__(self, constants: Constants, names: Names) -> None:
        self.rows: dict[str, Row] = {}
        self.layers: list[FoundLayer] = []
        self.nodes: dict[str, Node] = {}
        self.parameters: dict[str, Tensor] = {}
        self.parameter_nodes: dict[str, Node] = {}
        self._constants = constants
        self._names = names
        self._row_of: dict[object, str] = {}

    def add_inputs(self, given: Iterable[Node]) -> None:
        """Give a row to each float input that is used."""
        used = [node for node in given if operations.is_float(node) and node.users]
        for node in used:
            name = self._names.free("input" if len(used) == 1 else f"input.{node.target}")
            self.rows[name] = Row(name, name, (), "input", "input", shape_of(operations.value_of(node)))
            self.nodes[name] = node

    def add(self, group: Group) -> None:
        """Give rows to the weight and bias of a group, to other constants that enter it, and to what leaves it."""
        is_norm = operations.is_batch_norm(group.head)
        weight_row, bias_row = self._add_scale_and_shift(group.head) if is_norm else self._add_constants(group)
        if weight_row is not None and group.batch_norm is not None:
            bias_row = self._fold(group, weight_row, bias_row)
        if group.activation is not None:
            self._add_slopes(group.activation)
        output_row = self._add_outputs(group)
        if weight_row is not None:
            self.layers.append(FoundLayer(group, weight_row, bias_row, output_row))

    def add_tables(self, given: Iterable[Node]) -> None:
        """Give a row to each table of which looked up values are given to the caller as they are."""
        for node in given:
            *way, source = operations.trail_of(node)
            user = next((step for step in way if operations.is_lookup(step)), None)
            if user is not None and source.op == "get_attr" and operations.is_float(source):
                name = self._names.of_parameter(parameters_behind(source)[0], user)
                value = self._constants.value(source)
                row = self._add_parameter(self._constants.identity(source), name, "weight", user, value)
                self.parameter_nodes.setdefault(row, source)

    def _add_constants(self, group: Group) -> tuple[str | None, str | None]:
        """Give rows to the constants that enter a group, and give which is its weight and which its bias."""
        head = group.head
        weight, bias = operations.weight_of(head), operations.bias_of(head)
        weight_row: str | None = None
        bias_row: str | None = None
        for node in head.all_input_nodes:
            *way, source = operations.trail_of(node)
            if source not in self._constants or not operations.is_float(source) or operations.only_fills(source):
                continue
            if node in self._constants and not operations.takes_integer_constants(head):
                continue
            user = next((step for step in way if operations.is_lookup(step)), head)
            kind: Kind = "bias" if node is bias else "weight"
            name = f"{self._names.of_operation(user)}.{kind}"
            if source.op == "get_attr" and (MADE_OF not in source.meta or MOVED in source.meta):
                name = self._names.of_parameter(parameters_behind(source)[0], user)
                kind = "bias" if name.rpartition(".")[2].startswith("bias") else kind
            identity = self._constants.identity(source)
            row = self._add_parameter(identity, name, kind, user, self._constants.value(source))
            self.parameter_nodes.setdefault(row, source)
            if node is bias:
                bias_row = row
            elif node is weight or (operations.multiplies(head) and weight is None and kind == "weight"):
                weight_row = weight_row or row
        return weight_row, bias_row

    def _add_slopes(self, activation: Node) -> None:
        """Give a row to the slopes of a PReLU that works on a layer's sums."""
        slopes = operations.slopes_of(activation)
        if slopes is not None:
            name = self._names.of_parameter(str(slopes.target), activation)
            identity = self._constants.identity(slopes)
            row = self._add_parameter(identity, name, "weight", activation, self._constants.value(slopes))
            self.parameter_nodes.setdefault(row, slopes)

    def _add_scale_and_shift(self, norm: Node) -> tuple[str | None, str | None]:
        """Give rows to what a batch norm multiplies with and adds, where no layer before it can do that."""
        scale, shift = fusion.scale_and_shift(norm, self._constants.value)
        name = self._names.of_operation(norm)
        identity = tuple(map(self._constants.identity, norm.all_input_nodes[1:]))
        weight_row = self._add_parameter((identity, "weight"), f"{name}.weight", "weight", norm, scale.float())
        bias_row = self._add_parameter((identity, "bias"), f"{name}.bias", "bias", norm, shift.float())
        return weight_row, bias_row

    def _add_parameter(self, identity: object, name: str, kind: Kind, user: Node, value: Tensor) -> str:
        """Give a tensor a row, or list its user in the row that it has."""
        layer = self._names.of_operation(user)
        if identity in self._row_of:
            row = self.rows[self._row_of[identity]]
            self.rows[row.name] = replace(row, fused=tuple(dict.fromkeys((*row.fused, layer))))
            return row.name
        name = self._names.free(name)
        self._row_of[identity] = name
        stem, _, leaf = name.rpartition(".")
        owner = stem if stem and leaf.startswith(("weight", "bias")) else layer
        self.rows[name] = Row(name, owner, (layer,), kind, operations.name_of(user), tuple(value.shape))
        self.parameters[name] = value.clone() if value.dtype.itemsize >= 4 else value.float()
        return name

    def _fold(self, group: Group, weight_row: str, bias_row: str | None) -> str:
        """Scale a layer's weight and bias as the batch norm after it does; give the bias a row if it had none."""
        assert group.batch_norm is not None
        bias = operations.bias_of(group.head)
        weight = self._constants.value(self.parameter_nodes[weight_row])
        before = None if bias is None else self._constants.value(bias)
        folded, shift = fusion.fold(group, weight, before, self._constants.value)
        if bias_row is None:
            name = f"{self._names.of_operation(group.head)}.bias"
            bias_row = self._add_parameter((weight_row, "bias"), name, "bias", group.head, shift)
        norm = self._names.of_operation(group.batch_norm)
        for name, value in ((weight_row, folded), (bias_row, shift)):
            self.parameters[name] = value
            row = self.rows[name]
            self.rows[name] = replace(row, fused=tuple(dict.fromkeys((*row.fused, norm))))
        return bias_row

    def _add_outputs(self, group: Group) -> str:
        """Give a row to what leaves a group, or to each tensor that does, and give the first one's name."""
        outputs = [group.end]
        if not isinstance(operations.value_of(group.end), Tensor):
            outputs = [user for user in group.end.users if operations.is_float(user) and user.users]
        first = ""
        for output in outputs:
            index = 0 if output is group.end else output.args[1]
            base = self._names.of_operation(group.head)
            name = self._names.free(f"{base}.{index}") if index else self._names.of_activation(group.head)
            self.rows[name] = Row(
                name=name,
                layer=name.partition("@")[0],
                fused=tuple(map(self._names.of_operation, group.nodes)),
                kind="activation",
                operation=operations.name_of(group.head),
                shape=shape_of(operations.value_of(output)),
            )
            self.nodes[name] = output
            first = first or name
        return first
