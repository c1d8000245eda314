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
from torch.utils import _pytree as pytree

from qwidgets.errors import ExportError
from qwidgets.export import exactness
from qwidgets.export.aligned_bias import Constant, aligned_bias, row_of_constant
from qwidgets.export.onnx_model import moves, operators
from qwidgets.export.onnx_model.dialects import HIGHEST_STEP, LOWEST_STEP, Dialect
from qwidgets.export.onnx_model.graph import Array, Graph
from qwidgets.export.onnx_model.made import MadeTensors
from qwidgets.export.onnx_model.sizes import Sizes, UnknownSizeError
from qwidgets.export.onnx_model.step import Names, Step, numpy_type
from qwidgets.formats import MAX_WORD_LENGTH, FixedPoint, PerChannel, stored
from qwidgets.network import Operation, shape_of
from qwidgets.simulation import Parameter, QuantizedNetwork

INTEGERS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class Translation:
    """Writes a network's graph.

    Attributes
    ----------
    graph
        What was written.
    sizes
        Where sizes that differ from batch to batch are had from.
    differences
        For each row whose codes may differ in a runtime that computes in float32, the reason; and for each tensor of
        positions of which a runtime may choose others.
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
        self._names: dict[Operation, Names] = {}
        self._constants: dict[str, str] = {}
        self._made = MadeTensors(quantized)
        self.sizes = Sizes(self.graph, self._network.given, self.tensor)
        self._layers = {layer.head: layer for layer in self._network.layers}
        self._batch = next(iter(self._free_sizes()), None)
        for node in self._network.operations:
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
            if row not in self._constants:
                self._constants[row] = self._constant(row)
            return self._constants[row]
        if value not in self._names and value in self._made:
            self._names[value] = self.graph.constant(f"{self._place(value)}:made", _in_numpy(self._made.value(value)))
        name = self._names.get(value)
        if not isinstance(name, str):
            raise ExportError(f"{self._place(value)!r} reads what is no tensor; ONNX operators read tensors only")
        return name

    def factor(self, value: Any) -> str:
        """Name a tensor for a layer: a weight gets a dequantizer that nothing else reads.

        ONNX Runtime replaces the int8 weights of a layer, under a name made of theirs, where it is told to avoid
        saturating sums, and fails where two layers have one.
        """
        row = row_of_constant(self.program, value)
        return self.tensor(value) if row is None else self._constant(row)

    def bias(self, value: Any, given: Mapping[str, Any], exact: bool) -> str:
        """Name the tensor of a layer's bias, in the steps of its sums where they are exact."""
        row = row_of_constant(self.program, value)
        if row is None or not exact:
            return self.factor(value)
        constant = aligned_bias(self.program, given, row)
        self._check_steps(row, constant.lsbs)
        return self._dialect.constant(self.graph, row, constant)

    def known(self, value: Any) -> Tensor | None:
        """Give the values of a tensor that nothing is fed to, nor has a format; None of any other."""
        known = self._made.value(value) if isinstance(value, Operation) and value in self._made else value
        return known if isinstance(known, Tensor) else None

    def differs(self, what: str, reason: str) -> None:
        """Note that a tensor may differ from what the plan computes."""
        self.differences.setdefault(what, reason)

    # The walk

    def _translate(self, node: Operation) -> None:
        if node.kind == "input":
            self._add_input(node)
        elif node.kind == "output":
            self._add_outputs(node)
        elif node.kind == "call" and self._gives_tensors(node):
            self._check_type(node)
            if moves.same(node) or node.is_folded:
                self._names[node] = self.tensor(node.operands[0])
            else:
                self._names[node] = self._operation(node)
            if node.is_float and not moves.same(node):
                self._quantize(node)

    def _gives_tensors(self, node: Operation) -> bool:
        """Whether tensors leave a node that must be computed: no sizes, no constants, no list that is cut up later."""
        if node.constant is not None or node in self._made or moves.gives_list(node):
            return False
        return any(isinstance(value, Tensor) for value in pytree.tree_leaves(node.value))

    def _operation(self, node: Operation) -> Names:
        name, place = node.name, self._place(node)
        step = Step(node, self._given(node), f"{place}:{name}", self._module_of(node), self)
        if name == "getitem" and not moves.gives_list(node.operands[0]):
            return self._taken(node, step)
        self._note_difference(node, place)
        try:
            return operators.translate(step)
        except UnknownSizeError as error:
            step.refuse(f"{error}, and ONNX computes whole numbers from the sizes of inputs only")

    def _taken(self, node: Operation, step: Step) -> str:
        """One of the tensors that an operation gives."""
        source, index = node.args
        assert isinstance(source, Operation)
        assert isinstance(index, int)
        names = self._names[source]
        if isinstance(names, str) or index >= len(names) or not names[index]:
            step.refuse(f"ONNX has no operator that gives result {index} of {source.name}")
        return names[index]

    def _note_difference(self, node: Operation, place: str) -> None:
        """Note what float32 may change in the values that leave a node."""
        name = node.name
        values = pytree.tree_leaves(node.value)
        if node.only_moves or not any(_is_real(value) for value in values):
            return
        if node in self.program.arguments:
            reason = exactness.why_inexact(self.program, node)
        elif node.only_fills or name in exactness.EXACT_IN_FLOAT:
            reason = ""
        else:
            reason = f"computed in float32: {self.program.float_islands.get(place) or f'{name} has a tensor in float'}"
        rows = [at.slot for at in (node, *node.users) if at.slot is not None] if len(values) > 1 else []
        for row in (rows or [place]) if reason else []:
            self.differs(row, reason)

    def _given(self, node: Operation) -> Mapping[str, Any]:
        """Give an operation's arguments by name, with the bias that folding a batch norm has made."""
        if node in self.program.arguments:
            return self.program.arguments[node]
        given, layer = dict(node.arguments), self._layers.get(node)
        if layer is not None and node.is_batch_norm:
            given = {"input": given["input"], "weight": Parameter(layer.weight_row)}
        if layer is not None and layer.bias_row is not None:
            given["bias"] = Parameter(layer.bias_row)
        return given

    def _quantize(self, node: Operation) -> None:
        """Write what quantizes a row, and again what was moved: so every tensor that is read says its format."""
        raw = self._names[node]
        assert isinstance(raw, str)
        if node.slot is not None:
            row, within = node.slot, False
            fmt, before = self.program.formats[row], exactness.before_rounding(self.program, node)
            if isinstance(fmt, FixedPoint):
                within = exactness.never_leaves(before, fmt)
                reason = self._dialect.why_inexact(before, fmt)
                if reason:
                    self.differences.setdefault(row, reason)
            name = f"{row}:values" if node.kind == "input" else row
        elif node.only_moves and node in self.program.operands:
            row = self._place(node)
            fmt, within, name = self.program.formats.get(row), True, f"{raw}:values"
        else:
            return
        if isinstance(fmt, FixedPoint):
            rounding = fmt.rounding if fmt.rounding in self._dialect.roundings else "half_even"
            self._names[node] = self._dialect.quantized(self.graph, raw, name, fmt, rounding, within)

    # Inputs, outputs, constants

    def _add_input(self, node: Operation) -> None:
        value = node.value
        if not node.users or not isinstance(value, Tensor):
            return
        name = node.slot or node.target
        if value.is_floating_point() and value.dtype != torch.float32:
            raise ExportError(
                f"the input {name!r} is of {value.dtype}, and only float32 networks are exported to ONNX; calibrate "
                "model.float() on float32 batches, and export that plan"
            )
        self._names[node] = self.graph.input(name, self._shape(node), numpy_type(value.dtype))
        self._quantize(node)

    def _add_outputs(self, node: Operation) -> None:
        taken: set[str] = set()
        for value in pytree.tree_leaves(node.args[0]):
            if value is None:
                continue
            given = value.value if isinstance(value, Operation) else value
            if not isinstance(given, Tensor):
                what = "a size" if isinstance(value, Operation) else repr(given)
                raise ExportError(
                    f"the network gives back {what}, which is no tensor, and ONNX outputs are tensors; leave it out of "
                    "what forward() returns"
                )
            name = self.tensor(value)
            if name in taken or not self.graph.computes(name):
                name = self.graph.add("Identity", [name], f"{name}:output")
            taken.add(name)
            self.graph.output(name, self._shape(value), numpy_type(given.dtype))

    def _constant(self, row: str) -> str:
        """Write the constant of a row, with a dequantizer of its own where it has a format."""
        fmt = self.program.formats[row]
        if fmt is None:
            values = self._network.parameters[row].detach().cpu().numpy()
            return self.graph.constant(row, values.astype(np.float32))
        per_channel = isinstance(fmt, PerChannel)
        lsbs = tuple(-length for length in fmt.fraction_lengths) if isinstance(fmt, PerChannel) else (fmt.lsb,)
        codes = self.program.codes[row].cpu().numpy()
        # A bias is stored in 32 bits, whatever its format, as what adds it expects.
        bits, signed = (MAX_WORD_LENGTH, True) if self._kinds[row] == "bias" else (fmt.word_length, fmt.signed)
        if bits == MAX_WORD_LENGTH and codes.size and int(codes.max()) >= 1 << (MAX_WORD_LENGTH - 1):
            raise ExportError(f"{row!r} has codes of more than 31 bits, and a bias is stored as int32; make it signed")
        return self._dialect.constant(self.graph, row, Constant(codes, lsbs, per_channel, bits, signed))

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

    def _check_type(self, node: Operation) -> None:
        for value in pytree.tree_leaves(node.value):
            if isinstance(value, Tensor) and value.dtype not in (torch.float32, *INTEGERS):
                raise ExportError(
                    f"{self._module_of(node)!r} computes in {value.dtype}; only float32, integers and truth values are "
                    "exported to ONNX"
                )

    def _place(self, node: Operation) -> str:
        """Name what a person knows a node by: the row that its value ends up in, or else its module and operation."""
        return self._row_of(node.source if node.only_moves else node) or self._module_of(node)

    def _module_of(self, node: Operation) -> str:
        """Name the module and the operation that a node is; its row where it has one."""
        return node.slot or (f"{node.module}.{node.name}" if node.module else node.name)

    def _row_of(self, node: Operation) -> str | None:
        """Name the row that a node's value ends up in, if it does."""
        reached = [node]
        for at in reached:
            row = at.slot or at.constant
            if row is not None:
                return row
            reached.extend(user for user in at.users if user not in reached)
        return None

    def _free_sizes(self) -> list[str]:
        given = self._network.given
        values = [value for node in given if isinstance(value := node.value, Tensor) and value.ndim]
        return [str(value.shape[0]) for value in values if not isinstance(value.shape[0], int)]

    def _shape(self, node: Operation) -> list[int | str | None]:
        """Give a tensor's sizes, with a name for the batch."""
        value = node.value
        assert isinstance(value, Tensor)
        sizes = zip(value.shape, shape_of(value), strict=True)
        return [known if known is not None else "batch" if str(size) == self._batch else None for size, known in sizes]


def _is_real(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _in_numpy(values: Tensor) -> Array:
    return values.detach().cpu().numpy()
