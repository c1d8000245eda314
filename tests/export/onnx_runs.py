"""ONNX files run by ONNX Runtime, and the integers of every row: those of the file, and those of ``quantize``."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from torch import Tensor

from qwidgets.formats import FixedPoint
from qwidgets.simulation import QuantizedNetwork

Codes = dict[str, NDArray[Any]]


def integers_of(quantized: QuantizedNetwork, *inputs: Tensor) -> Codes:
    """The codes of each input and activation that has a format."""
    seen: Codes = {}

    def observe(row: str, values: Tensor) -> None:
        fmt = quantized.program.formats[row]
        if isinstance(fmt, FixedPoint):
            seen[row] = fmt.to_integer(values).numpy()

    quantized.run(inputs, {}, observe)
    return seen


def integers_in(path: Path, *inputs: Tensor, optimized: bool) -> Codes:
    """What ONNX Runtime quantizes each row to, read from outputs that are added to the graph."""
    model = checked(path)
    rows = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            row = node.output[0].removesuffix(":codes").removesuffix(":values")
            if ":" not in row:  # else a tensor that was moved, whose codes are those of its row
                rows[node.output[0]] = row
    shapes = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    model.graph.output.extend(value for value in shapes.graph.value_info if value.name in rows)
    session = session_of(model, optimized)
    fed = {given.name: values.numpy() for given, values in zip(session.get_inputs(), inputs, strict=True)}
    return {rows[name]: codes.astype(np.int64) for name, codes in zip(rows, session.run(list(rows), fed), strict=True)}


def checked(path: Path) -> onnx.ModelProto:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    return model


def options_of(optimized: bool = True) -> onnxruntime.SessionOptions:
    """Options under which results do not hang on the processor or the number of threads."""
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    # Without it 8-bit layers saturate sums of two products at 16 bits where the processor has no VNNI instructions.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def session_of(model: onnx.ModelProto, optimized: bool = True) -> onnxruntime.InferenceSession:
    options = options_of(optimized)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def differing_rows(path: Path, quantized: QuantizedNetwork, *inputs: Tensor) -> dict[str, int]:
    """How many codes of each row differ, with graph optimizations off or on, where any do."""
    expected, counts = integers_of(quantized, *inputs), dict[str, int]()
    for optimized in (False, True):
        found = integers_in(path, *inputs, optimized=optimized)
        assert set(found) == set(expected)
        for row, codes in expected.items():
            different = int((codes != found[row]).sum())
            if different:
                counts[row] = max(counts.get(row, 0), different)
    return counts
