"""A TFLite model while it is written: tensors, operators, and the flatbuffer that they make.

It knows the file format and nothing of plans. The schema is the one that LiteRT ships; it is handed over as a module,
since only this export needs it.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from qwidgets.files import replacing

Array = npt.NDArray[Any]

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Quantization:
    """How codes stand for values: ``(code - zero_point) * scale``, a scale for each place along ``axis``."""

    scales: tuple[float, ...]
    zero_point: int = 0
    axis: int = 0


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph: its number there, its shape, its element type and what its codes stand for."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    quantization: Quantization | None


class Graph:
    """Collects what a model is made of.

    Parameters
    ----------
    schema, flatbuffers
        The modules ``ai_edge_litert.schema_py_generated``, and what it is built on.
    """

    def __init__(self, schema: ModuleType, flatbuffers: ModuleType) -> None:
        self._schema: Any = schema
        self._flatbuffers: Any = flatbuffers
        self._names: set[str] = set()
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]  # buffer 0 is that of tensors without values
        self._codes: dict[tuple[int, int], int] = {}
        self._operators: list[Any] = []
        self._inputs: list[Tensor] = []
        self._outputs: list[Tensor] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: npt.DTypeLike,
        quantization: Quantization | None = None,
        values: Array | None = None,
    ) -> Tensor:
        """Add a tensor; one with values is a constant. A name that is taken gets a number."""
        made = Tensor(len(self._tensors), self._free(name), tuple(shape), np.dtype(dtype), quantization)
        described = self._schema.TensorT()
        described.name, described.shape = made.name, list(made.shape)
        described.type = getattr(self._schema.TensorType, made.dtype.name.upper())
        if values is not None:
            described.buffer = len(self._buffers)
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values, made.dtype).tobytes(), np.uint8)
            self._buffers.append(buffer)
        if quantization is not None:
            described.quantization = self._schema.QuantizationParametersT()
            described.quantization.scale = list(quantization.scales)
            described.quantization.zeroPoint = [quantization.zero_point] * len(quantization.scales)
            described.quantization.quantizedDimension = quantization.axis
        self._tensors.append(described)
        return made

    def constant(self, name: str, values: Array, quantization: Quantization | None = None) -> Tensor:
        """Add a constant tensor."""
        return self.tensor(name, values.shape, values.dtype, quantization, values)

    def input(self, tensor: Tensor) -> None:
        """Make a tensor an input."""
        self._inputs.append(tensor)

    def output(self, tensor: Tensor) -> None:
        """Make a tensor an output."""
        self._outputs.append(tensor)

    def add(
        self, operator: str, inputs: Sequence[Tensor | None], output: Tensor, version: int = 1, **options: Any
    ) -> Tensor:
        """Add an operator that gives ``output``, and give that.

        Parameters
        ----------
        operator
            Its name in the schema: "CONV_2D". None among the inputs stands for one that is left out.
        version
            The first version of the operator that has what is asked of it.
        options
            The fields of its options, by their names in the schema. ``options`` itself is the name of their table.
        """
        made = self._schema.OperatorT()
        made.opcodeIndex = self._code(operator, version)
        made.inputs = [-1 if tensor is None else tensor.index for tensor in inputs]
        made.outputs = [output.index]
        table = options.pop("table", None)
        if table is not None:
            made.builtinOptionsType = getattr(self._schema.BuiltinOptions, table)
            made.builtinOptions = getattr(self._schema, f"{table}T")()
            for field, value in options.items():
                assert hasattr(made.builtinOptions, field), (table, field)
                setattr(made.builtinOptions, field, value)
        self._operators.append(made)
        return output

    def write(self, path: str | os.PathLike[str], name: str, properties: Mapping[str, str]) -> int:
        """Write the model and give its bytes; an existing file stays whole until the new one is.

        Raises
        ------
        FileError
            The file cannot be written.
        """
        content = self._packed(name, properties)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        return len(content)

    def _packed(self, name: str, properties: Mapping[str, str]) -> bytes:
        subgraph = self._schema.SubGraphT()
        subgraph.name, subgraph.tensors, subgraph.operators = name, self._tensors, self._operators
        subgraph.inputs = [tensor.index for tensor in self._inputs]
        subgraph.outputs = [tensor.index for tensor in self._outputs]
        model = self._schema.ModelT()
        model.version, model.description, model.subgraphs = SCHEMA_VERSION, "qwidgets", [subgraph]
        model.operatorCodes = [self._operator_code(*code) for code in self._codes]
        model.signatureDefs = [self._signature()]
        model.metadata = []
        for key, text in properties.items():
            entry, buffer = self._schema.MetadataT(), self._schema.BufferT()
            buffer.data = np.frombuffer(text.encode(), np.uint8)
            entry.name, entry.buffer = key, len(self._buffers)
            self._buffers.append(buffer)
            model.metadata.append(entry)
        model.buffers = self._buffers
        builder = self._flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _code(self, operator: str, version: int) -> int:
        return self._codes.setdefault((getattr(self._schema.BuiltinOperator, operator), version), len(self._codes))

    def _operator_code(self, number: int, version: int) -> Any:
        made = self._schema.OperatorCodeT()
        made.builtinCode, made.version = number, version
        # What older runtimes read; 127 there stands for an operator that came later.
        made.deprecatedBuiltinCode = min(number, self._schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
        return made

    def _signature(self) -> Any:
        made = self._schema.SignatureDefT()
        made.signatureKey = SIGNATURE
        made.inputs, made.outputs = self._named(self._inputs), self._named(self._outputs)
        return made

    def _named(self, tensors: Sequence[Tensor]) -> list[Any]:
        found = []
        for tensor in tensors:
            entry = self._schema.TensorMapT()
            entry.name, entry.tensorIndex = tensor.name, tensor.index
            found.append(entry)
        return found

    def _free(self, name: str) -> str:
        found, number = name, 1
        while found in self._names:
            number += 1
            found = f"{name}@{number}"
        self._names.add(found)
        return found
