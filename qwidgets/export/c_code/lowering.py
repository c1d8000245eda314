"""From the program of a quantized network to the parts that its C consists of.

The graph is walked once. A row's operations, the one that sums and the activation function on its sums, become one
layer; operations that only move codes become one where codes really move. What has no form in C is collected, row by
row, so that one error names it all.
"""

from typing import Any

from torch.fx import Node
from torch.utils import _pytree as pytree

from qwidgets.capturing import operations
from qwidgets.errors import ExportError
from qwidgets.export.c_code import moves
from qwidgets.export.c_code.example_run import ExampleRun
from qwidgets.export.c_code.finishing import ACTIVATIONS, Ending
from qwidgets.export.c_code.layers import HEADS, Head
from qwidgets.export.c_code.names import Names
from qwidgets.export.c_code.parts import Array, Buffer, Constants, Layer, Parts, Raw, ctype, storage, storage_of
from qwidgets.fixed_point import FixedPoint
from qwidgets.integers.accumulation import Codes
from qwidgets.simulation import QuantizedNetwork

_LISTED = 5


def lower(quantized: QuantizedNetwork) -> Parts:
    """Give the parts of a network in C.

    Raises
    ------
    ExportError
        Something is computed in float, or by an operation that is not written in C; the text names the rows.
    """
    lowering = Lowering(quantized)
    if lowering.problems:
        listed = "; ".join(f"{row!r} {why}" for row, why in list(lowering.problems.items())[:_LISTED])
        more = len(lowering.problems) - _LISTED
        raise ExportError(
            f"this network cannot be written in C, which has integers only: {listed}"
            f"{f'; and {more} more' * (more > 0)}; give those rows another format, or leave the operation to the caller"
        )
    return lowering.parts


class Lowering:
    """Turns the nodes of a graph into layers.

    Attributes
    ----------
    parts
        What was made.
    problems
        By row, what could not be.
    """

    def __init__(self, quantized: QuantizedNetwork) -> None:
        self.program = quantized.program
        self.names = Names(quantized.network.name)
        self.parts = Parts(self.names.prefix)
        self.problems: dict[str, str] = {}
        self.run = ExampleRun(quantized.network, quantized.device)
        self.shared: dict[tuple[str, str], Array] = {}
        self._folded = {layer.batch_norm_node for layer in quantized.network.layers}
        self._rows = {row.name: row for row in quantized.network.rows}
        self._places: dict[Node, Buffer | Array] = {}
        for node in quantized.network.graph.graph.nodes:
            self._add(node)

    def source(self, value: Node) -> tuple[str, Raw]:
        """Give the name of the array that holds the codes of a node, and its storage.

        Raises
        ------
        ExportError
            There is none.
        """
        if value not in self._places and (operand := self.program.operands.get(value)) is not None:
            assert operand.integers is not None
            row = self.program.constants[operations.trail_of(value)[-1]]
            fmt = self.program.formats[row]
            assert fmt is not None
            array = Array(
                self.names.of(row), ctype(fmt), operand.integers.cpu(), f"{row}, {fmt.word_length} bits, {fmt}"
            )
            self.parts.constants.append(Constants(f"{row}: a constant that enters an operation", {}, (array,)))
            self._places[value] = array
        place = self._places.get(value)
        if place is None:
            raise ExportError(f"reads {value.name}, which is no tensor of codes")
        return place.name, storage_of(place.ctype) if isinstance(place, Array) else storage(place.fmt)

    def _add(self, node: Node) -> None:
        if node.op == "output":
            self._end(node)
        elif node in self.program.rows:
            self._row(node, self.program.rows[node])
        elif node in self.run.shapes and node in self.program.operands and operations.only_moves(node):
            self._move(node)

    def _row(self, node: Node, row: str) -> None:
        fmt = self.program.formats[row]
        shape = self.run.shapes[node]
        if row in self.program.float_islands:
            self.problems[row] = f"is computed in float: {self.program.float_islands[row]}"
        elif fmt is None:
            self.problems[row] = "is kept in float"
        if not isinstance(fmt, FixedPoint):
            return
        about = "input" if node.op == "placeholder" else ", ".join(self._rows[row].fused)
        if 0 in shape:
            self.problems[row] = "is empty"
        buffer = Buffer(self.names.of(row), row, about, shape, fmt, node.op == "placeholder")
        self._places[node] = buffer
        self.parts.buffers.append(buffer)
        if node.op == "placeholder" or row in self.problems:
            return
        try:
            self._layer(node, row, buffer)
        except ExportError as error:
            self.problems[row] = str(error)

    def _layer(self, node: Node, row: str, buffer: Buffer) -> None:
        """Write the operations of a row."""
        head, activation = self._chain(node)
        name = operations.name_of(head)
        if activation is None and name in ACTIVATIONS:
            ending = self._ending(head, self.program.operands[head.all_input_nodes[0]].codes, buffer)
            name = "identity"
        elif activation is None:
            sums = self.program.sums[head]
            ending = Ending(sums, sums, buffer.fmt)
        else:
            ending = self._ending(activation, self.program.sums[head], buffer)
            if ending.activation not in ACTIVATIONS:
                raise ExportError(f"applies {ending.activation}, which is not written in C")
        if name not in HEADS:
            raise ExportError(f"is computed by {name}, which is not written in C")
        made = Head(self, head, row, buffer.shape, ending)
        calls = HEADS[name](made)
        constants = made.constants()
        if constants is not None:
            self.parts.constants.append(constants)
        operation = self._rows[row].operation
        also = f", {ending.activation}" if activation is not None else ""
        for call in calls:
            self.parts.layers.append(
                Layer(
                    name=self.names.of(f"{row}.layer"),
                    about=f"{row}: {operation}{also}",
                    function=call.function,
                    struct=call.struct,
                    fields=call.fields,
                    reads=call.reads,
                    writes=buffer.name,
                )
            )

    def _ending(self, activation: Node, sums: Codes, buffer: Buffer) -> Ending:
        """Give what is done to sums by an activation function."""
        given = self.program.arguments[activation]
        slopes = self.program.operand(given["weight"]) if operations.slopes_of(activation) is not None else None
        name = operations.name_of(activation)
        return Ending(sums, self.program.sums[activation], buffer.fmt, name, given, slopes)

    def _chain(self, node: Node) -> tuple[Node, Node | None]:
        """Give the operation that a row begins with, and the activation function on its sums."""
        activation = None
        if operations.is_activation(node):
            before = node.all_input_nodes[0]
            if before in self.program.sums or before in self._folded:
                activation = node if before not in self.program.rows else None
        head = node if activation is None else activation.all_input_nodes[0]
        if head in self._folded:
            head = head.all_input_nodes[0]
        return head, activation

    def _move(self, node: Node) -> None:
        """Write what moves codes, or note that they lie where they are needed."""
        known = {**self.program.rows, **self.program.constants}
        origin = operations.trail_of(node)
        source = origin[2] if operations.name_of(node) == "getitem" else origin[1]
        row = next(known[step] for step in origin if step in known)
        fmt = self.program.formats[row]
        if self.program.operands[node].integers is not None or not isinstance(fmt, FixedPoint):
            return  # a constant: written in its new places where it is used
        try:
            name, stored = self.source(source)
            move = moves.move_of(node, source, self.run, name, stored, fmt)
        except ExportError as error:
            self.problems.setdefault(row, str(error))
            move = None
        if move is None:
            self._places[node] = self._places[source]
            return
        operation = operations.name_of(node)
        moved = Buffer(self.names.of(f"{row}.{operation}"), "", f"{row}, {operation}", self.run.shapes[node], fmt)
        self._places[node] = moved
        self.parts.buffers.append(moved)
        self.parts.layers.append(
            Layer(
                name=self.names.of(f"{row}.{operation}.layer"),
                about=f"{operation} of {row}",
                function=move.function,
                struct=move.struct,
                fields=move.fields,
                reads=move.reads,
                writes=moved.name,
            )
        )

    def _end(self, node: Node) -> None:
        for number, value in enumerate(pytree.tree_leaves(node.args[0])):
            place: Any = self._places.get(value) if isinstance(value, Node) else None
            if isinstance(place, Buffer):
                self.parts.outputs.append(place)
            elif not self.problems:
                self.problems[f"output {number}"] = "is no tensor of codes that the network computes"
