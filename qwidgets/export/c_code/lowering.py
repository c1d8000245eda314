"""From the program of a quantized network to the parts that its C consists of.

The graph is walked once. A row's operations, the one that sums and the activation function on its sums, become one
layer; operations that only move codes become one where codes really move. What has no form in C is collected, row by
row, so that one error names it all.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from qwidgets.errors import ExportError
from qwidgets.export.c_code import moves
from qwidgets.export.c_code.finishing import ACTIVATIONS, Named, OutputStage
from qwidgets.export.c_code.layers import HEADS, FunctionCall, LayerSpec
from qwidgets.export.c_code.names import Names
from qwidgets.export.c_code.parts import (
    Array,
    Buffer,
    Constants,
    Layer,
    Parts,
    Raw,
    Value,
    ctype,
    storage,
    storage_of,
)
from qwidgets.export.c_code.pools import POOLS
from qwidgets.export.c_code.products import PRODUCTS
from qwidgets.export.example_run import ExampleRun
from qwidgets.export.row_operations import operations_of
from qwidgets.formats import FixedPoint
from qwidgets.network import Operation
from qwidgets.simulation import Codes, QuantizedNetwork

_LISTED = 5
_AS_THEY_LIE = frozenset(
    ["to", "_to_copy", "alias", "clone", "contiguous", "detach", "flatten", "reshape", "squeeze", "unsqueeze", "view"]
)
"""What indices may go through and stay as they are in memory."""
OPERATIONS = {**HEADS, **POOLS, **PRODUCTS}


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
            f"{f'; and {more} more' * (more > 0)}; {_advice(lowering.problems.values())}"
        )
    return lowering.parts


def _why_not(node: Operation) -> str:
    """Say why an operation gives no codes although no row that it reads is in float."""
    if any(getattr(given.value, "dtype", None) == torch.int64 for given in node.operands):
        return "reads integers of 64 bits, which are no codes; give it integers of 32 bits or fewer, or floats"
    return "makes it of what is no tensor of codes"


def _advice(reasons: Iterable[str]) -> str:
    """Say what can be done: a format helps what is in float for want of one, and no operation that is not written."""
    unformatted = [reason.endswith(" in float") for reason in reasons]
    ways = []
    if any(unformatted):
        ways.append("give what is kept in float a format, plan[name] = ..., and commit it")
    if not all(unformatted):
        ways.append(
            "export a network without the operations that are not written, which ends before them or begins after "
            "them, and leave them to the caller"
        )
    return "; ".join(ways)


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
        self.run = ExampleRun(quantized.network, quantized.device, "C, which computes one example at a time")
        self.shared: dict[tuple[str, str], Array] = {}
        self._rows = {row.name: row for row in quantized.network.rows}
        self._places: dict[Operation, Buffer | Array] = {}
        for node in quantized.network.operations:
            self._add(node)

    def source(self, value: Operation) -> tuple[str, Raw]:
        """Give the name of the array that holds the codes of a node, and its storage.

        Raises
        ------
        ExportError
            There is none.
        """
        if value not in self._places and (operand := self.program.operands.get(value)) is not None:
            if operand.integers is None or operand.shifts is not None:
                raise ExportError(f"reads {value.label}, a constant that is moved, or has steps of its channels' own")
            row = value.source.constant
            assert row is not None
            fmt = self.program.formats[row]
            assert fmt is not None
            array = Array(
                self.names.of(row), ctype(fmt), operand.integers.cpu(), f"{row}, {fmt.word_length} bits, {fmt}"
            )
            self.parts.constants.append(Constants(f"{row}: a constant that enters an operation", {}, (array,)))
            self._places[value] = array
        place = self._places.get(value)
        if place is None:
            raise ExportError(f"reads {value.label}, which is no tensor of codes")
        return place.name, storage_of(place.ctype) if isinstance(place, Array) else storage(place.fmt)

    def _add(self, node: Operation) -> None:
        if node.kind == "output":
            self._end(node)
        elif node.slot is not None:
            self._row(node, node.slot)
        elif node.kind == "input" and node.users:
            self._add_integers(node)
        elif node in self.run.shapes and node in self.program.operands and node.only_moves:
            self._move(node)

    def _add_integers(self, node: Operation) -> None:
        """Make a buffer of an input of integers, such as bytes of an image or numbers of tokens."""
        value = node.value
        if isinstance(value, Tensor) and not value.is_floating_point() and not value.is_complex():
            signed, bits = value.dtype.is_signed, min(8 * value.dtype.itemsize, 32)
            name = f"input.{node.target}"
            fmt = FixedPoint(bits, 0, signed)
            about = "input, integers" + " that fit 32 bits" * (value.dtype.itemsize > 4)
            buffer = Buffer(self.names.of(name), name, about, self.run.shapes[node], fmt, is_input=True)
            self._places[node] = buffer
            self.parts.buffers.append(buffer)

    def _row(self, node: Operation, row: str) -> None:
        fmt = self.program.formats[row]
        shape = self.run.shapes[node]
        if row in self.program.float_islands:
            self.problems[row] = f"is computed in float: {self.program.float_islands[row]}"
        elif fmt is None:
            self.problems[row] = "is kept in float"
        if not isinstance(fmt, FixedPoint):
            return
        about = "input" if node.kind == "input" else ", ".join(self._rows[row].fused)
        if 0 in shape:
            self.problems[row] = "is empty"
        buffer = Buffer(self.names.of(row), row, about, shape, fmt, node.kind == "input")
        self._places[node] = buffer
        self.parts.buffers.append(buffer)
        if node.kind == "input" or row in self.problems:
            return
        try:
            self._layer(node, row, buffer)
        except ExportError as error:
            self.problems[row] = str(error)

    def _layer(self, node: Operation, row: str, buffer: Buffer) -> None:
        """Write the operations of a row."""
        head, activation = operations_of(self.program, node)
        name = head.name
        if not {head, activation or head} <= self.program.sums.keys():
            raise ExportError(f"is computed in float: {name} {_why_not(head)}")
        if activation is None and name in ACTIVATIONS:
            ending = self._ending(head, self.program.operands[head.operands[0]].codes, buffer)
            name = "identity"
        elif activation is None:
            sums = self.program.sums[head]
            ending = OutputStage(sums, sums, buffer.fmt)
        else:
            ending = self._ending(activation, self.program.sums[head], buffer)
            if ending.activation not in ACTIVATIONS:
                raise ExportError(f"applies {ending.activation}, which is not written in C")
        if name not in OPERATIONS:
            raise ExportError(f"is computed by {name}, which is not written in C")
        made = LayerSpec(self, head, row, buffer.shape, ending)
        calls = OPERATIONS[name](made)
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

    def _ending(self, activation: Operation, sums: Codes, buffer: Buffer) -> OutputStage:
        """Give what is done to sums by an activation function."""
        given = self.program.arguments[activation]
        if activation.slopes is None and sum(isinstance(value, Operation) for value in given.values()) > 1:
            raise ExportError("is clamped between tensors, which is not written in C; torch.maximum and minimum are")
        slopes = self.program.operand(given["weight"]) if activation.slopes is not None else None
        name = activation.name
        return OutputStage(sums, self.program.sums[activation], buffer.fmt, name, given, slopes)

    def _move(self, node: Operation) -> None:
        """Write what moves codes, or note that they lie where they are needed."""
        origin = node.trail
        source = origin[2] if node.name == "getitem" else origin[1]
        row = next(row for step in origin if (row := step.slot or step.constant))
        fmt = self.program.formats[row]
        if self.program.operands[node].integers is not None or not isinstance(fmt, FixedPoint):
            return  # a constant: written in its new places where it is used
        named = Named(self.names.of, f"{row}.{node.name}")
        try:
            name, stored = self.source(source)
            looks_up = node.is_lookup and node not in self.run.places
            move = (
                self._lookup(node, name, stored)
                if looks_up
                else moves.move_of(node, source, self.run, name, stored, fmt, named)
            )
        except ExportError as error:
            self.problems.setdefault(row, str(error))
            move = None
        if move is None:
            self._places[node] = self._places[source]
            return
        if 0 in self.run.shapes[node]:
            self.problems.setdefault(row, f"is empty after {node.name}")
        operation = node.name
        if named.arrays:
            self.parts.constants.append(Constants(f"{row}: {operation}", {}, tuple(named.arrays)))
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

    def _lookup(self, node: Operation, table: str, storage: Raw) -> FunctionCall:
        """Call the function that looks rows of a table up, at places that an input tells."""
        indices = node.args[1]
        assert isinstance(indices, Operation)
        while indices.name in _AS_THEY_LIE:
            indices = indices.operands[0]
        place = self._places.get(indices)
        if not isinstance(place, Buffer) or place.row in self.program.formats:
            raise ExportError(
                f"is looked up at what {indices.name} gives, and not at an input of integers, which is not written in C"
            )
        shape = self.run.shapes[node]
        fields: dict[str, Value] = {
            "count": math.prod(shape[:-1]),
            "row": shape[-1],
            "storage": storage,
            "index_storage": storage_of(ctype(place.fmt)),
        }
        return FunctionCall("qw_lookup", "qw_lookup_layer", fields, (table, place.name))

    def _end(self, node: Operation) -> None:
        for number, value in enumerate(pytree.tree_leaves(node.args[0])):
            place: Any = self._places.get(value) if isinstance(value, Operation) else None
            if isinstance(place, Buffer):
                self.parts.outputs.append(place)
            elif not self.problems:
                self.problems[f"output {number}"] = "is no tensor of codes that the network computes"
