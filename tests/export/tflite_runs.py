"""Runs of a ``.tflite`` file in LiteRT's kernels and in TFLite Micro's, one example at a time."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qwidgets.export import TfliteExport

Bytes = npt.NDArray[np.int8]


def codes(path: Path, kernels: str, inputs: list[Bytes], outputs: list[str]) -> list[Bytes]:
    """The bytes that a model gives for one example, by the names of its outputs."""
    return _Runtime(path, kernels, outputs).run(inputs)


def values(export: TfliteExport, kernels: str, *batches: Tensor) -> list[Tensor]:
    """The values of each output for a batch of examples."""
    runtime = _Runtime(export.path, kernels, [tensor.name for tensor in export.outputs])
    found = []
    for example in zip(*(batch.split(1) for batch in batches), strict=True):
        given = [tensor.encode(values) for tensor, values in zip(export.inputs, example, strict=True)]
        found.append([tensor.decode(made) for tensor, made in zip(export.outputs, runtime.run(given), strict=True)])
    return [torch.cat(each) for each in zip(*found, strict=True)]


class _Runtime:
    def __init__(self, path: Path, kernels: str, outputs: list[str]) -> None:
        self._interpreter: Any
        self._outputs = outputs
        if kernels == "litert":
            from ai_edge_litert.interpreter import Interpreter

            self._interpreter = Interpreter(str(path))
            self._interpreter.allocate_tensors()
        else:
            from tflite_micro.python.tflite_micro import runtime

            self._interpreter = runtime.Interpreter.from_file(str(path), arena_size=1 << 25)
        self._is_litert = kernels == "litert"

    def run(self, inputs: list[Bytes]) -> list[Bytes]:
        interpreter = self._interpreter
        if self._is_litert:
            for detail, given in zip(interpreter.get_input_details(), inputs, strict=True):
                interpreter.set_tensor(detail["index"], given)
            interpreter.invoke()
            by_name = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
            if not by_name.keys() >= set(self._outputs):  # it may call them as the signature's outputs are called
                by_name = dict(zip(self._outputs, by_name.values(), strict=True))
            return [interpreter.get_tensor(by_name[name]) for name in self._outputs]
        for place, given in enumerate(inputs):
            interpreter.set_input(given, place)
        interpreter.invoke()
        return [interpreter.get_output(place).copy() for place in range(len(self._outputs))]
