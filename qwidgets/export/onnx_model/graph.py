"""An ONNX graph while it is written: nodes, constants, unique names, and the model that they make.

It knows the file format and nothing of plans. The ``onnx`` package is handed to it, since only some exports need it.
"""

import os
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from qwidgets.files import replacing

Array = npt.NDArray[Any]

# The newest file version that runtimes of the age of an operator set read.
IR_VERSIONS = {13: 8, 21: 10}


class Graph:
    """Collects what a model is made of.

    Parameters
    ----------
    onnx
        The package.
    opset
        The version of the standard operators: 13, or 21 where tensors of 16 bits are quantized.
    """

    def __init__(self, onnx: ModuleType, opset: int) -> None:
        self.opset = opset
        self._onnx: Any = onnx
        self._names: set[str] = set()
        self._nodes: list[Any] = []
        self._computed: set[str] = set()
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._domains: set[str] = set()

    def free(self, name: str) -> str:
        """Give a name that no tensor has yet, and take it."""
        found, number = name, 1
        while found in self._names:
            number += 1
            found = f"{name}@{number}"
        self._names.add(found)
        return found

    def input(self, name: str, shape: Sequence[int | str | None], dtype: npt.DTypeLike = np.float32) -> str:
        """Add an input; a free size has a name or None."""
        name = self.free(name)
        self._inputs.append(self._described(name, shape, dtype))
        return name

    def output(self, name: str, shape: Sequence[int | str | None], dtype: npt.DTypeLike = np.float32) -> None:
        """Make a tensor an output."""
        self._outputs.append(self._described(name, shape, dtype))

    def constant(self, name: str, values: Array) -> str:
        """Add a constant tensor."""
        name = self.free(name)
        self._constants.append(self._onnx.numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def add(self, operation: str, inputs: Sequence[str], name: str, domain: str = "", **attributes: Any) -> str:
        """Add a node, and give the name of what leaves it; "" stands for an input that is left out."""
        return self.add_several(operation, inputs, (name,), domain, **attributes)[0]

    def add_several(
        self, operation: str, inputs: Sequence[str], names: Sequence[str], domain: str = "", **attributes: Any
    ) -> tuple[str, ...]:
        """Add a node that gives several tensors, and give their names; "" stands for one that nobody asks for."""
        names = tuple(name and self.free(name) for name in names)
        called = next(filter(None, names))
        made = self._onnx.helper.make_node(operation, list(inputs), names, name=called, domain=domain, **attributes)
        self._nodes.append(made)
        self._computed.update(names)
        self._domains.add(domain)
        return names

    def computes(self, name: str) -> bool:
        """Whether a tensor leaves a node: it is no input and no constant."""
        return name in self._computed

    def number_of(self, dtype: npt.DTypeLike) -> int:
        """Give the number that the file format has for an element type."""
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def write(self, path: str | os.PathLike[str], name: str, version: str, properties: Mapping[str, str]) -> None:
        """Write the model; an existing file stays whole until the new one is.

        Raises
        ------
        FileError
            The file cannot be written.
        """
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._constants)
        model = helper.make_model(
            graph,
            producer_name="qwidgets",
            producer_version=version,
            ir_version=IR_VERSIONS[self.opset],
            opset_imports=[
                helper.make_opsetid(domain, 1 if domain else self.opset) for domain in sorted(self._domains | {""})
            ],
        )
        helper.set_model_props(model, dict(properties))
        with replacing(path) as temporary:
            temporary.write_bytes(model.SerializeToString())

    def _described(self, name: str, shape: Sequence[int | str | None], dtype: npt.DTypeLike) -> Any:
        return self._onnx.helper.make_tensor_value_info(name, self.number_of(dtype), list(shape))
