"""A quantized network as a TFLite graph: the walk along its program.

Each row becomes one operator, with the activation function that TFLite fuses, or a few where it has none that does the
whole. What has no form in TFLite is collected, row by row, so that one error names it all. Nothing is written to a file
here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor as Values
from torch.utils import _pytree as pytree

from qwidgets.errors import ExportError
from qwidgets.export import exactness
from qwidgets.export.c_code.finishing import ACTIVATIONS, OutputStage
from qwidgets.export.example_run import ExampleRun
from qwidgets.export.row_operations import operations_of
from qwidgets.export.tflite_model import joins, layers, moves
from qwidgets.export.tflite_model.graph import Graph, Tensor
from qwidgets.export.tflite_model.kernels import Kernels
from qwidgets.export.tflite_model.layer import LayerSpec
from qwidgets.export.tflite_model.places import (
    BITS,
    Order,
    Place,
    as_they_are,
    channels_last,
    quantization,
    zero_point,
)
from qwidgets.formats import FixedPoint
from qwidgets.network import Operation
from qwidgets.simulation import QuantizedNetwork

HEADS: Mapping[str, Callable[[LayerSpec], Place]] = {**layers.LAYERS, **joins.JOINS}
"""What writes the operation that a row begins with."""

_LISTED = 5
_PICTURES = frozenset(["conv1d", "conv2d", "avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d"])
_ONE_TO_ONE = frozenset(["add", "sub", "mul", "clamp", "relu", "relu6", "hardtanh", "batch_norm"])


class _LostError(ExportError):
    """What is read was not written, for a reason that was noted already."""


class Translation:
    """Writes a network's graph.

    Attributes
    ----------
    graph
        What was written.
    inputs, outputs
        What enters and what leaves, in the order of the network.
    differences
        For each row whose codes may differ, the reason.
    full_range
        The weights that have the least code of a byte.
    """

    def __init__(self, quantized: QuantizedNetwork, graph: Graph, kernels: Kernels) -> None:
        self.program = quantized.program
        self.kernels = kernels
        self.graph = graph
        self.run = ExampleRun(quantized.network, quantized.device, "TFLite, here one example at a time")
        self.inputs: list[Place] = []
        self.outputs: list[Place] = []
        self.differences: dict[str, str] = {}
        self.full_range: list[str] = []
        self.problems: dict[str, str] = {}
        self._places: dict[Operation, Place] = {}
        self._lost: set[Operation] = set()
        for node in quantized.network.operations:
            self._add(node)
        if self.problems:
            listed = "; ".join(f"{row!r} {why}" for row, why in list(self.problems.items())[:_LISTED])
            more = len(self.problems) - _LISTED
            raise ExportError(
                f"this network cannot be written for {kernels.title}: {listed}{f'; and {more} more' * (more > 0)}; "
                "export the part of it without what is named, or give it a format if it is in float"
            )

    # What writers ask for

    def place(self, value: Operation) -> Place:
        """Give where the codes of a node lie.

        Raises
        ------
        ExportError
            It has none.
        """
        if value in self._lost:
            raise _LostError
        if value not in self._places and (operand := self.program.operands.get(value)) is not None:
            row = value.source.constant
            if operand.integers is None or operand.shifts is not None or row is None:
                raise ExportError(f"reads {value.label}, a constant with steps of its channels' own")
            fmt = self.program.formats[row]
            assert isinstance(fmt, FixedPoint)
            self._places[value] = self.constant(row, operand.integers.cpu().numpy(), fmt)
        if value not in self._places:
            raise ExportError(f"reads {value.label}, which is no tensor of codes")
        return self._places[value]

    def constant(self, name: str, codes: Any, fmt: FixedPoint) -> Place:
        """Add a constant that enters an operation."""
        if fmt.word_length > BITS:
            raise ExportError(f"reads a constant of {fmt.word_length} bits, and TFLite has bytes there")
        stored = np.asarray(codes + zero_point(fmt), np.int8)
        tensor = self.graph.constant(name, stored, quantization(fmt))
        return Place(tensor, stored.shape, as_they_are(stored.ndim), fmt)

    def tensor(self, name: str, shape: Sequence[int], fmt: FixedPoint) -> Tensor:
        """Add a tensor of bytes that something writes."""
        return self.graph.tensor(name, shape, np.int8, quantization(fmt))

    def ordered(self, place: Place, order: Order) -> Place:
        """Give the same codes in another order, and in the dimensions that it names."""
        wanted = tuple(place.shape[axis] for axis in order)
        if place.order == order:
            return self.reshaped(place, wanted)
        real = [axis for axis in order if place.shape[axis] > 1]
        if real == [axis for axis in place.order if place.shape[axis] > 1]:  # only ones change their places
            return replace(self.reshaped(place, wanted), order=order)
        turned = [place.order.index(axis) for axis in order]
        flat = self.reshaped(place, place.lying)
        tensor = self.tensor(f"{place.tensor.name}:turned", wanted, place.fmt)
        by = self.graph.constant(f"{place.tensor.name}:order", np.array(turned, np.int32))
        self.graph.add("TRANSPOSE", [flat.tensor, by], tensor, 2, table="TransposeOptions")
        return replace(place, tensor=tensor, order=order)

    def reshaped(self, place: Place, shape: Sequence[int]) -> Place:
        """Give the same codes, as they lie, in a tensor of other dimensions."""
        shape = tuple(shape)
        if place.tensor.shape == shape:
            return place
        tensor = self.tensor(f"{place.tensor.name}:shape", shape, place.fmt)
        sizes = self.graph.constant(f"{place.tensor.name}:sizes", np.array(shape, np.int32))
        self.graph.add("RESHAPE", [place.tensor, sizes], tensor, table="ReshapeOptions", newShape=list(shape))
        return replace(place, tensor=tensor)

    def requantized(self, place: Place, fmt: FixedPoint, row: str) -> Place:
        """Give the same values in another window."""
        if (place.fmt.lsb, place.fmt.signed) == (fmt.lsb, fmt.signed):
            return replace(place, fmt=fmt)
        tensor = self.tensor(f"{row}:rescaled", place.tensor.shape, fmt)
        self.graph.add("QUANTIZE", [place.tensor], tensor, 2)
        return replace(place, tensor=tensor, fmt=fmt)

    def limited(self, place: Place, least: int, most: int) -> Place:
        """Limit codes, counted in the steps of their format."""
        lowest, zero = -(1 << (BITS - 1)), zero_point(place.fmt)
        for operator, code, is_end in (
            ("MAXIMUM", least, least + zero <= lowest),
            ("MINIMUM", most, most + zero >= -1 - lowest),
        ):
            if is_end:
                continue
            tensor = self.tensor(f"{place.tensor.name}:{operator.lower()}", place.tensor.shape, place.fmt)
            bound = np.array([code + zero], np.int8)
            end = self.graph.constant(f"{tensor.name}:bound", bound, quantization(place.fmt))
            self.graph.add(operator, [place.tensor, end], tensor, 2, table="MaximumMinimumOptions")
            place = replace(place, tensor=tensor)
        return place

    def differs(self, row: str, reason: str) -> None:
        """Note that a row may differ from what the plan computes."""
        self.differences.setdefault(row, reason)

    # The walk

    def _add(self, node: Operation) -> None:
        if node.kind == "output":
            self._end(node)
        elif node.kind == "input" and node.users:
            self._add_input(node)
        elif node.slot is not None:
            self._row(node, node.slot)
        elif node in self.run.shapes and node in self.program.operands and node.only_moves:
            self._try(node, node.source.row, lambda: moves.move(self, node))

    def _try(self, node: Operation, row: str, write: Callable[[], Place | None]) -> None:
        try:
            place = write()
        except _LostError:
            self._lost.add(node)
        except ExportError as error:
            self._lost.add(node)
            self.problems.setdefault(row, str(error))
        else:
            if place is not None:
                self._places[node] = place

    def _add_input(self, node: Operation) -> None:
        row, value = node.slot, node.value
        fmt = None if row is None else self.program.formats[row]
        if not isinstance(value, Values) or not isinstance(fmt, FixedPoint) or row is None:
            self._lost.add(node)
            self.problems[row or str(node.target)] = "is an input that is no tensor of codes"
            return
        shape = self.run.shapes[node]
        pictures = bool(node.users) and len(shape) > 2 and all(_reads_pictures(user) for user in node.users)
        order = channels_last(len(shape)) if pictures else as_they_are(len(shape))
        place = Place(self.tensor(row, [shape[axis] for axis in order], fmt), shape, order, fmt)
        self.graph.input(place.tensor)
        self.inputs.append(place)
        self._places[node] = place

    def _row(self, node: Operation, row: str) -> None:
        fmt = self.program.formats[row]
        if row in self.program.float_islands:
            self._lost.add(node)
            self.problems[row] = f"is computed in float: {self.program.float_islands[row]}"
        elif not isinstance(fmt, FixedPoint):
            self._lost.add(node)
            self.problems[row] = "is kept in float"
        else:
            self._try(node, row, lambda: self._written(node, row, fmt))

    def _written(self, node: Operation, row: str, fmt: FixedPoint) -> Place:
        head, activation = operations_of(self.program, node)
        if not {head, activation or head} <= self.program.sums.keys():
            raise ExportError(f"is computed by {head.name} of what is no tensor of codes")
        if activation is None and head.name in ACTIVATIONS:
            return self._clamped(head, row, fmt)
        if head.name not in HEADS:
            raise ExportError(f"is computed by {head.name}, which is not written for TFLite")
        reason = exactness.why_inexact(self.program, head) if self.kernels.sums_in_float else ""
        if reason:
            self.differs(row, reason)
        return HEADS[head.name](LayerSpec(self, head, row, self.run.shapes[node], self._ending(head, activation, fmt)))

    def _ending(self, head: Operation, activation: Operation | None, fmt: FixedPoint) -> OutputStage:
        sums = self.program.sums[head]
        if activation is None:
            return OutputStage(sums, sums, fmt)
        if activation.name not in ACTIVATIONS - {"leaky_relu", "prelu", "hardswish", "hardsigmoid", "abs"}:
            raise ExportError(f"applies {activation.name}, which no TFLite kernel does before it rounds")
        given = self.program.arguments[activation]
        if any(isinstance(bound, Operation) for name, bound in given.items() if name not in ("self", "input")):
            raise ExportError("is clamped between tensors, which is not written for TFLite")
        return OutputStage(sums, self.program.sums[activation], fmt, activation.name, given)

    def _clamped(self, node: Operation, row: str, fmt: FixedPoint) -> Place:
        """A clamp by itself: in the window of what it reads, and from there to its own."""
        before = self.place(node.operands[0])
        ending = replace(self._ending(node, node, before.fmt), sums=self.program.operands[node.operands[0]].codes)
        least, most = layers.uniform_bounds(ending)
        return layers.within_word(self, self.requantized(self.limited(before, least, most), fmt, row))

    def _end(self, node: Operation) -> None:
        for number, value in enumerate(pytree.tree_leaves(node.args[0])):
            place = self._places.get(value) if isinstance(value, Operation) else None
            if place is None:
                if not self.problems:
                    self.problems[f"output {number}"] = "is no tensor of codes that the network computes"
                continue
            place = self.ordered(place, place.order)
            if any(place.tensor in (other.tensor for other in taken) for taken in (self.inputs, self.outputs)):
                copied = self.tensor(f"{place.tensor.name}:output", place.tensor.shape, place.fmt)
                sizes = self.graph.constant(f"{copied.name}:sizes", np.array(copied.shape, np.int32))
                self.graph.add(
                    "RESHAPE", [place.tensor, sizes], copied, table="ReshapeOptions", newShape=list(copied.shape)
                )
                place = replace(place, tensor=copied)
            self.graph.output(place.tensor)
            self.outputs.append(place)


def _reads_pictures(node: Operation) -> bool:
    """Whether an operation, or what reads it in turn, is a layer that has its channels last."""
    if node.name in _PICTURES:
        return True
    return node.name in _ONE_TO_ONE and bool(node.users) and all(map(_reads_pictures, node.users))
