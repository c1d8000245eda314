"""Tensors of one number or of a series, whose sizes differ from batch to batch, as ONNX nodes.

Those of fixed sizes are constants, and come from :mod:`qwidgets.export.onnx_model.made`.
"""

import numpy as np

from qwidgets.export.onnx_model.step import Step, numpy_type, translates

_NUMBERS = {"zeros": 0, "new_zeros": 0, "zeros_like": 0, "ones": 1, "new_ones": 1, "ones_like": 1}


@translates(*_NUMBERS, "full", "new_full", "full_like", "fill")
@translates("empty", "new_empty", "empty_like")
def _fill(step: Step) -> str:
    """Spread a number over the sizes; what is made empty is made zero, since whoever asks for it overwrites it."""
    value = _NUMBERS.get(step.operation, step.given.get("fill_value", step.given.get("value", 0)))
    shape = step.sizes("shape", step.traced_sizes(step.node))
    return step.add("Expand", [step.term(value, step.output_dtype, "value"), shape])


@translates("arange")
def _arange(step: Step) -> str:
    dtype = step.output_dtype
    edges = [step.given.get("start", 0), step.given["end"], step.given.get("step", 1)]
    numbers = []
    for edge in edges:
        if isinstance(edge, int | float):
            numbers.append(step.constant("edge", np.array(edge, numpy_type(dtype))))
        else:
            whole = step.then("Squeeze", step.values.sizes.one(edge))
            numbers.append(step.add("Cast", [whole], "edge", to=step.graph.number_of(numpy_type(dtype))))
    return step.add("Range", numbers)
