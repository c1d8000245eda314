"""What a translator of one operation is given, and the registry of all translators.

A translator writes the nodes for one ATen operation and names the tensor that leaves. Numbers in the program are those
of the integer form where the operation has one, so that the nodes compute on multiples of a step.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import numpy as np
from torch import Tensor
from torch.fx import Node

from qwidgets.capturing import operations
from qwidgets.capturing.rows import shape_of
from qwidgets.errors import ExportError
from qwidgets.export.onnx_model.graph import Array, Graph
from qwidgets.integers.accumulation import Codes
from qwidgets.integers.program import Program
from qwidgets.integers.rules.rule import constant

Shape = tuple[int | None, ...]


class Values(Protocol):
    """Where a translator finds the tensors that an operation reads."""

    program: Program
    graph: Graph

    def tensor(self, value: Any) -> str:
        """Name the tensor of a node, a weight or a bias."""
        ...

    def bias(self, value: Any, given: Mapping[str, Any], exact: bool) -> str:
        """Name the tensor of a layer's bias, in the steps of its sums where they are exact."""
        ...


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes
    ----------
    node
        It, in the network's graph.
    given
        Its arguments by name.
    name
        What its tensors are named after: the row that it computes, and the operation.
    row
        That row.
    values
        The tensors that there are so far.
    """

    node: Node
    given: Mapping[str, Any]
    name: str
    row: str
    values: Values

    @property
    def operation(self) -> str:
        """Its ATen name."""
        return operations.name_of(self.node)

    @property
    def exact(self) -> bool:
        """Whether it has an integer form."""
        return self.node in self.values.program.arguments

    @property
    def graph(self) -> Graph:
        """Where nodes go."""
        return self.values.graph

    def tensor(self, argument: str) -> str:
        """Name the tensor of an argument."""
        return self.values.tensor(self.given[argument])

    def codes(self, argument: str) -> Codes | None:
        """Tell what is known of an argument's codes; None where it is in float."""
        operand = self.values.program.operands.get(self.given[argument]) if self.exact else None
        return None if operand is None else operand.codes

    def shape(self, argument: str) -> Shape:
        """Give the sizes of an argument, None for one that is free."""
        value = operations.value_of(self.given[argument])
        return shape_of(value) if isinstance(value, Tensor) else ()

    @property
    def output_shape(self) -> Shape:
        """Give the sizes of what leaves."""
        return shape_of(operations.value_of(self.node))

    def number(self, value: float) -> float:
        """Give a number in the program as the operation uses it: of 15 bits where it computes on integers."""
        return math.ldexp(*constant(value)) if self.exact else value

    def add(self, operation: str, inputs: list[str], part: str = "", **attributes: Any) -> str:
        """Add a node."""
        name = f"{self.name}.{part}" if part else self.name
        return self.graph.add(operation, inputs, name, **attributes)

    def constant(self, part: str, values: Any) -> str:
        """Add a constant, float32 unless it is an array of another type."""
        array: Array = values if isinstance(values, np.ndarray) else np.asarray(values, np.float32)
        return self.graph.constant(f"{self.name}.{part}", array)

    def integers(self, part: str, values: list[int]) -> str:
        """Add a list of positions or sizes."""
        return self.graph.constant(f"{self.name}.{part}", np.array(values, np.int64))

    def refuse(self, reason: str) -> NoReturn:
        """Raise the error that says what cannot be written."""
        raise ExportError(f"{self.row!r} cannot be exported to ONNX: {reason}")


Translator = Callable[[Step], str]

TRANSLATORS: dict[str, Translator] = {}


def translates(*names: str) -> Callable[[Translator], Translator]:
    """Register the translator of some operations, by their ATen names."""

    def register(function: Translator) -> Translator:
        TRANSLATORS.update(dict.fromkeys(names, function))
        return function

    return register


def per_dimension(size: Any, dimensions: int) -> list[int]:
    """Give a size, a stride or a padding for each dimension."""
    sizes = [size] if isinstance(size, int) else list(size)
    return sizes * dimensions if len(sizes) == 1 else sizes
