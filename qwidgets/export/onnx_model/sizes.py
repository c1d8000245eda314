"""Sizes that differ from batch to batch, computed in the ONNX graph from the shapes of its inputs.

A traced size is an integer or an expression over the free sizes of the inputs. Each symbol is read from the shape of an
input that has it, and the expression is written with integer operators.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qwidgets.export.onnx_model.graph import Graph
from qwidgets.network import Operation

_OPERATORS = {"Add": "Add", "Mul": "Mul", "FloorDiv": "Div", "CleanDiv": "Div", "Max": "Max", "Min": "Min"}
_OPERATORS |= {"Mod": "Mod", "PythonMod": "Mod"}
"""What computes sizes, by the names of the functions that sizes are traced as."""


class UnknownSizeError(Exception):
    """A size that only running the network tells."""


class Sizes:
    """Writes sizes as int64 tensors of one number.

    Parameters
    ----------
    graph
        Where nodes go.
    inputs
        The network's inputs.
    name_of
        Tells what an input is called in the graph.
    """

    def __init__(self, graph: Graph, inputs: Iterable[Operation], name_of: Callable[[Operation], str]) -> None:
        self._graph = graph
        self._name_of = name_of
        self._places: dict[Any, tuple[Operation, int]] = {}
        self._written: dict[Any, str] = {}
        for node in inputs:
            value = node.value
            sizes: tuple[Any, ...] = tuple(value.shape) if isinstance(value, Tensor) and node.users else ()
            for axis, size in enumerate(sizes):
                if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol:
                    self._places.setdefault(size.node.expr, (node, axis))

    def shape(self, sizes: Iterable[Any], name: str) -> str:
        """Name a tensor of these sizes: integers, traced sizes, or nodes that give such."""
        parts = [known if (known := known_size(size)) is not None else self.one(size) for size in sizes]
        if all(isinstance(part, int) for part in parts):
            return self._graph.constant(name, np.array(parts, np.int64))
        written = [self._number(part) if isinstance(part, int) else part for part in parts]
        return self._graph.add("Concat", written, name, axis=0) if len(written) > 1 else written[0]

    def one(self, size: Any) -> str:
        """Name the tensor of one size."""
        known = known_size(size)
        if known is not None:
            return self._number(known)
        value = size.value if isinstance(size, Operation) else size
        assert isinstance(value, torch.SymInt)
        return self._write(value.node.expr)

    def _number(self, value: int) -> str:
        if value not in self._written:
            self._written[value] = self._graph.constant(f"size:{value}", np.array([value], np.int64))
        return self._written[value]

    def _write(self, expression: Any) -> str:
        if expression.is_Integer:
            return self._number(int(expression))
        if expression not in self._written:
            self._written[expression] = self._compute(expression)
        return self._written[expression]

    def _compute(self, expression: Any) -> str:
        if expression in self._places:
            node, axis = self._places[expression]
            shape = self._graph.add("Shape", [self._name_of(node)], f"{self._name_of(node)}:shape")
            return self._graph.add("Gather", [shape, self._number(axis)], f"{self._name_of(node)}:size", axis=0)
        if expression.is_Pow and expression.exp.is_Integer and expression.exp > 0:
            factors = [self._write(expression.base)] * int(expression.exp)
            return reduce(lambda a, b: self._graph.add("Mul", [a, b], "size"), factors)
        operator_name = _OPERATORS.get(type(expression).__name__)
        if operator_name is None:
            raise UnknownSizeError("it reads a size that is none of the inputs'")
        terms = [self._write(term) for term in expression.args]
        return reduce(lambda a, b: self._graph.add(operator_name, [a, b], "size"), terms)


def known_size(size: Any) -> int | None:
    """Give a size as a number where it is the same for every batch."""
    value = size.value if isinstance(size, Operation) else size
    if isinstance(value, torch.SymInt):
        found: int | None = value.node.maybe_as_int()
        return found
    if not isinstance(value, int):
        raise UnknownSizeError("it reads a fraction that is computed of sizes")
    return value
