"""A quantized network as an ONNX graph: the walk along its program.

Each operation is written by its translator; where a row has a format, the dialect writes what quantizes. What is known
to differ in a float32 runtime is noted by row. Nothing is written to a file here.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from qwidgets.accumulator_format import stored
from qwidgets.capturing import operations
from qwidgets.capturing.rows import shape_of
from qwidgets.errors import ExportError
from qwidgets.export.onnx_model import exactness, layers, moves, pointwise, pools  # noqa: F401  each registers its own
from qwidgets.export.onnx_model.aligned_bias import aligned_bias, row_of_constant
from qwidgets.export.onnx_model.dialects import HIGHEST_STEP, LOWEST_STEP, Constant, Dialect
from qwidgets.export.onnx_model.graph import Graph
from qwidgets.export.onnx_model.step import TRANSLATORS, Step
from qwidgets.fixed_point import MAX_WORD_LENGTH, FixedPoint
from qwidgets.integers.program import Parameter, arguments
from qwidgets.per_channel import PerChannel
from qwidgets.simulation import QuantizedNetwork


class Translation:
    """Writes a network's graph.

    Attributes
    ----------
    graph
        What was written.
    differences
        For each row whose codes may differ in a runtime that computes in float32, the reason.
    """

    def __init__(self, quantized: QuantizedNetwork, onnx: ModuleType, dialect: Dialect) -> None:
        self.program = quantized.program
        self.differences: dict[str, str] = {}
        self._quantized = quantized
        self._network = quantized.network
        self._dialect = dialect
        self._kinds = {row.name: row.kind for row in self._network.rows}
        self._check_formats()
        formats = self.program.formats.items()
        lengths = [fmt.word_length for row, fmt in formats if fmt is not None and self._kinds[row] != "bias"]
        self.graph = Graph(onnx, dialect.opset(lengths))
        self._names: dict[Node, str] = {}
        self._constants: dict[tuple[str, Any], str] = {}
        self._layers = {layer.node: layer for layer in self._network.layers}
        self._folded = {layer.batch_norm_node for layer in self._network.layers}
        self._batch = next(iter(self._free_sizes()), None)
        for node in self._network.graph.graph.nodes:
            self._translate(node)

    # What translators ask for

    def tensor(self, value: Any) -> str:
        """Name the tensor of a node, a weight or a bias.

        Raises
        ------
        ExportError
            There is none.
        """
        row = row_of_constant(self.program, value)
        if row is not None:
            return self._constant(row)
        if value not in self._names:
            raise ExportError(f"{value} is no tensor that the ONNX graph has; only float32 tensors are exported")
        return self._names[value]

    def bias(self, value: Any, given: Mapping[str, Any], exact: bool) -> str:
        """Name the tensor of a layer's bias, in the steps of its sums where they are exact."""
        row = row_of_constant(self.program, value)
        if row is None or not exact:
            return self.tensor(value)
        constant = aligned_bias(self.program, given, row)
        key = (row, constant.lsbs)
        if key not in self._constants:
            self._check_steps(row, constant.lsbs)
            self._constants[key] = self._dialect.constant(self.graph, row, constant)
        return self._constants[key]

    # The walk

    def _translate(self, node: Node) -> None:
        if node.op == "placeholder":
            self._add_input(node)
        elif node.op == "output":
            self._add_outputs(node)
        elif node.op == "call_function" and node not in self.program.constants and operations.is_float(node):
            self._check_type(node)
            if moves.same(node):
                self._names[node] = self.tensor(node.all_input_nodes[0])
                return
            folded = node in self._folded
            self._names[node] = self.tensor(node.all_input_nodes[0]) if folded else self._operation(node)
            self._quantize(node)

    def _operation(self, node: Node) -> str:
        name, moving = operations.name_of(node), operations.only_moves(node)
        row = self._row_of(operations.trail_of(node)[-1] if moving else node)
        step = Step(node, self._given(node), f"{row}:{name}", row, self)
        if name not in TRANSLATORS:
            step.refuse(f"{name} is not among the operations that are written ({self.program.float_islands.get(row)})")
        if not moving:
            reason = self.program.float_islands.get(row) or f"{name} has a tensor in float"
            if node in self.program.arguments:
                reason = exactness.why_inexact(self.program, node)
            else:
                reason = f"computed in float32: {reason}"
            if reason:
                self.differences.setdefault(row, reason)
        return TRANSLATORS[name](step)

    def _given(self, node: Node) -> Mapping[str, Any]:
        """Give an operation's arguments by name, with the bias that folding a batch norm has made."""
        if node in self.program.arguments:
            return self.program.arguments[node]
        given, layer = arguments(node), self._layers.get(node)
        if layer is not None and operations.is_batch_norm(node):
            given = {"input": given["input"], "weight": Parameter(layer.weight_row)}
        if layer is not None and layer.bias_row is not None:
            given["bias"] = Parameter(layer.bias_row)
        return given

    def _quantize(self, node: Node) -> None:
        """Write what quantizes a row, and again what was moved: so every tensor that is read says its format."""
        raw = self._names[node]
        if node in self.program.rows:
            row, within = self.program.rows[node], False
            fmt, before = self.program.formats[row], exactness.before_rounding(self.program, node)
            if isinstance(fmt, FixedPoint):
                within = exactness.never_leaves(before, fmt)
                reason = self._dialect.why_inexact(before, fmt)
                if reason:
                    self.differences.setdefault(row, reason)
            name = f"{row}:values" if node.op == "placeholder" else row
        elif operations.only_moves(node) and node in self.program.operands:
            row = self._row_of(operations.trail_of(node)[-1])
            fmt, within, name = self.program.formats.get(row), True, f"{raw}:values"
        else:
            return
        if isinstance(fmt, FixedPoint):
            rounding = fmt.rounding if fmt.rounding in self._dialect.roundings else "half_even"
            self._names[node] = self._dialect.quantized(self.graph, raw, name, fmt, rounding, within)

    # Inputs, outputs, constants

    def _add_input(self, node: Node) -> None:
        if not node.users:
            return
        value = operations.value_of(node)
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            raise ExportError(f"the input {node.name!r} is no float32 tensor; only such are exported to ONNX")
        name = self.program.rows.get(node, node.name)
        self._names[node] = self.graph.input(name, self._shape(node))
        self._quantize(node)

    def _add_outputs(self, node: Node) -> None:
        taken: set[str] = set()
        for value in pytree.tree_leaves(node.args[0]):
            if value is None:
                continue
            if not isinstance(value, Node):
                raise ExportError(f"the network gives back {value!r}, which is no tensor; ONNX outputs are tensors")
            name = self.tensor(value)
            if name in taken or value.op == "placeholder":
                name = self.graph.add("Identity", [name], f"{name}:output")
            taken.add(name)
            self.graph.output(name, self._shape(value))

    def _constant(self, row: str) -> str:
        fmt = self.program.formats[row]
        key = (row, None)
        if key in self._constants:
            return self._constants[key]
        if fmt is None:
            values = self._network.parameters[row].detach().cpu().numpy()
            self._constants[key] = self.graph.constant(row, values.astype(np.float32))
            return self._constants[key]
        per_channel = isinstance(fmt, PerChannel)
        lsbs = tuple(-length for length in fmt.fraction_lengths) if isinstance(fmt, PerChannel) else (fmt.lsb,)
        codes = self.program.codes[row].cpu().numpy()
        # A bias is stored in 32 bits, whatever its format, as what adds it expects.
        bits, signed = (MAX_WORD_LENGTH, True) if self._kinds[row] == "bias" else (fmt.word_length, fmt.signed)
        if bits == MAX_WORD_LENGTH and codes.size and int(codes.max()) >= 1 << (MAX_WORD_LENGTH - 1):
            raise ExportError(f"{row!r} has codes of more than 31 bits, and a bias is stored as int32; make it signed")
        constant = Constant(codes, lsbs, per_channel, bits, signed)
        self._constants[key] = self._dialect.constant(self.graph, row, constant)
        return self._constants[key]

    # What can be written

    def _check_formats(self) -> None:
        for row, fmt in self.program.formats.items():
            if fmt is None:
                continue
            longest = self._dialect.longest(self._kinds[row])
            if stored(fmt).word_length > longest:
                raise ExportError(
                    f"{row!r} has words of {fmt.word_length} bits; ONNX quantizes this tensor to {longest} at most"
                )
            lsbs = {-length for length in fmt.fraction_lengths} if isinstance(fmt, PerChannel) else {fmt.lsb}
            self._check_steps(row, tuple(lsbs))

    def _check_steps(self, row: str, lsbs: tuple[int, ...]) -> None:
        for lsb in lsbs:
            if not LOWEST_STEP <= lsb <= HIGHEST_STEP:
                raise ExportError(f"{row!r} has steps of 2^{lsb}, which no float32 scale is; choose another window")

    def _check_type(self, node: Node) -> None:
        value = operations.value_of(node)
        if isinstance(value, Tensor) and value.dtype != torch.float32:
            raise ExportError(f"{self._row_of(node)!r} is of {value.dtype}; only float32 tensors are exported to ONNX")

    def _row_of(self, node: Node) -> str:
        """Name the row that a node's value ends up in."""
        reached = [node]
        for at in reached:
            row = self.program.rows.get(at) or self.program.constants.get(at)
            if row is not None:
                return row
            reached.extend(user for user in at.users if user not in reached)
        return node.name

    def _free_sizes(self) -> list[str]:
        given = self._network.graph.graph.find_nodes(op="placeholder")
        values = [value for node in given if isinstance(value := operations.value_of(node), Tensor) and value.ndim]
        return [str(value.shape[0]) for value in values if not isinstance(value.shape[0], int)]

    def _shape(self, node: Node) -> list[int | str | None]:
        """Give a tensor's sizes, with a name for the batch."""
        value = operations.value_of(node)
        assert isinstance(value, Tensor)
        sizes = zip(value.shape, shape_of(value), strict=True)
        return [known if known is not None else "batch" if str(size) == self._batch else None for size, known in sizes]
