"""What a translator of one operation is given, and the registry of all translators.

A translator writes the nodes for one ATen operation and names the tensor that leaves, or those that do. Numbers in the
program are those of the integer form where the operation has one, so that the nodes compute on multiples of a step.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from qwidgets.errors import ExportError
from qwidgets.export.onnx_model.graph import Array, Graph
from qwidgets.export.onnx_model.sizes import Sizes
from qwidgets.network import Operation, shape_of
from qwidgets.simulation import Codes, Parameter, Program, constant, is_number

Shape = tuple[int | None, ...]


class Values(Protocol):
    """Where a translator finds the tensors that an operation reads."""

    program: Program
    graph: Graph
    sizes: Sizes

    def tensor(self, value: Any) -> str:
        """Name the tensor of a node, a weight or a bias."""
        ...

    def factor(self, value: Any) -> str:
        """Name a tensor for a layer: a weight gets a dequantizer that nothing else reads."""
        ...

    def bias(self, value: Any, given: Mapping[str, Any], exact: bool) -> str:
        """Name the tensor of a layer's bias, in the steps of its sums where they are exact."""
        ...

    def known(self, value: Any) -> Tensor | None:
        """Give the values of a tensor that nothing is fed to, nor has a format; None of any other."""
        ...

    def differs(self, what: str, reason: str) -> None:
        """Note that a tensor may differ from what the plan computes."""
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
    place
        What a person knows it by: the row that it gives, or else its module and what it does.
    values
        The tensors that there are so far.
    """

    node: Operation
    given: Mapping[str, Any]
    name: str
    place: str
    values: Values

    @property
    def operation(self) -> str:
        """Its ATen name."""
        return self.node.name

    @property
    def exact(self) -> bool:
        """Whether it has an integer form."""
        return self.node in self.values.program.arguments

    @property
    def graph(self) -> Graph:
        """Where nodes go."""
        return self.values.graph

    # What it reads

    def tensor(self, argument: str) -> str:
        """Name the tensor of an argument."""
        return self.values.tensor(self.given[argument])

    def codes(self, argument: str) -> Codes | None:
        """Tell what is known of an argument's codes; None where it is in float."""
        operand = self.values.program.operands.get(self.given[argument]) if self.exact else None
        return None if operand is None else operand.codes

    def shape(self, argument: str) -> Shape:
        """Give the sizes of an argument, None for one that is free."""
        return self.shape_of(self.given[argument])

    def shape_of(self, value: Any) -> Shape:
        """Give the sizes of a tensor, a weight or a number, None for one that is free."""
        if isinstance(value, Parameter):
            return tuple(self.values.program.value(value.row).shape)
        traced = value.value if isinstance(value, Operation) else value
        return shape_of(traced) if isinstance(traced, Tensor) else ()

    def traced_sizes(self, value: Any) -> list[Any]:
        """Give the sizes of a tensor as they were traced, so that free ones can be computed."""
        traced = value.value
        assert isinstance(traced, Tensor)
        return list(traced.shape)

    def dtype_of(self, value: Any) -> torch.dtype:
        """Give the element type of a tensor or a weight."""
        traced = value.value if isinstance(value, Operation) else value
        return traced.dtype if isinstance(traced, Tensor) else torch.float32

    @property
    def output_shape(self) -> Shape:
        """Give the sizes of what leaves."""
        return shape_of(self._left)

    @property
    def output_dtype(self) -> torch.dtype:
        """Give the element type of what leaves."""
        return self._left.dtype

    @property
    def _left(self) -> Tensor:
        """What leaves, or the first tensor that does, as it was traced."""
        first = pytree.tree_leaves(self.node.value)[0]
        assert isinstance(first, Tensor)
        return first

    def axis(self, argument: str, of: str = "self") -> int:
        """Give a dimension counted from the first."""
        return int(self.given[argument]) % max(len(self.shape(of)), 1)

    def number(self, value: float) -> float:
        """Give a number in the program as the operation uses it: of 15 bits where it computes on integers."""
        return math.ldexp(*constant(value)) if self.exact else value

    # What it writes

    def add(self, operation: str, inputs: list[str], part: str = "", **attributes: Any) -> str:
        """Add a node."""
        name = f"{self.name}.{part}" if part else self.name
        return self.graph.add(operation, inputs, name, **attributes)

    def then(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add a node on the way, named after its operator."""
        return self.add(operation, list(inputs), operation.lower(), **attributes)

    def constant(self, part: str, values: Any) -> str:
        """Add a constant, float32 unless it is an array of another type."""
        array: Array = values if isinstance(values, np.ndarray) else np.asarray(values, np.float32)
        return self.graph.constant(f"{self.name}.{part}", array)

    def scalar(self, value: float, dtype: torch.dtype = torch.float32) -> str:
        """Add a number of an element type."""
        return self.constant("number", np.array(value, numpy_type(dtype)))

    def integers(self, part: str, values: list[int]) -> str:
        """Add a list of positions or sizes."""
        return self.graph.constant(f"{self.name}.{part}", np.array(values, np.int64))

    def sizes(self, part: str, sizes: Iterable[Any]) -> str:
        """Add a list of sizes, some of which may be free."""
        return self.values.sizes.shape(sizes, f"{self.name}.{part}")

    def cast(self, tensor: str, given: torch.dtype, wanted: torch.dtype, part: str = "cast") -> str:
        """Bring a tensor to another element type, as torch does."""
        if given == wanted:
            return tensor
        return self.add("Cast", [tensor], part, to=self.graph.number_of(numpy_type(wanted)))

    def term(self, value: Any, dtype: torch.dtype, part: str) -> str:
        """Name a tensor, or a number in the program, in the type that an operation computes in."""
        if isinstance(value, Operation) and not isinstance(value.value, Tensor):
            return self.cast(self.then("Squeeze", self.values.sizes.one(value)), torch.int64, dtype, part)
        if isinstance(value, Operation | Parameter):
            return self.cast(self.values.tensor(value), self.dtype_of(value), dtype, part)
        if isinstance(value, Tensor):
            return self.constant(part, value.to(dtype).cpu().numpy())
        exact = self.number(value) if is_number(value) else value
        return self.constant(part, np.array(exact, numpy_type(dtype)))

    def reduce(self, operation: str, tensor: str, axes: list[int], keep: bool, part: str = "") -> str:
        """Reduce dimensions to one number each."""
        if self.graph.opset < 18 and operation != "ReduceSum":
            return self.add(operation, [tensor], part, axes=axes, keepdims=int(keep))
        return self.add(operation, [tensor, self.integers("axes", axes)], part, keepdims=int(keep))

    def refuse(self, reason: str) -> NoReturn:
        """Raise the error that says what cannot be written."""
        raise ExportError(f"{self.place!r} cannot be exported to ONNX: {reason}")


def numpy_type(dtype: torch.dtype) -> np.dtype[Any]:
    """Give NumPy's name of an element type.

    Examples
    --------
    >>> numpy_type(torch.bool), numpy_type(torch.int64)
    (dtype('bool'), dtype('int64'))
    """
    return torch.empty((), dtype=dtype).numpy().dtype


Names = str | tuple[str, ...]
"""What a translator gives: the name of the tensor that leaves, or those of several; "" for one that nobody asks for."""

Translator = Callable[[Step], Names]

TRANSLATORS: dict[str, Translator] = {}


def translates(*names: str) -> Callable[[Translator], Translator]:
    """Register the translator of some operations, by their ATen names."""

    def register(function: Translator) -> Translator:
        TRANSLATORS.update(dict.fromkeys(names, function))
        return function

    return register


def promoted(values: Iterable[Any]) -> torch.dtype:
    """Give the type in which torch computes with some tensors and numbers.

    Examples
    --------
    >>> promoted([torch.zeros(2, dtype=torch.int64), 0.5])
    torch.float32
    """
    traced: list[Any] = [value.value if isinstance(value, Operation) else value for value in values]
    return torch.result_type(*traced)


def per_dimension(size: Any, dimensions: int) -> list[int]:
    """Give a size, a stride or a padding for each dimension."""
    sizes = [size] if isinstance(size, int) else list(size)
    return sizes * dimensions if len(sizes) == 1 else sizes
