"""Which ATen operations are written, and what is said of those that are not; each module registers its own."""

from qwidgets.export.onnx_model import (  # noqa: F401
    attention,
    comparing,
    filling,
    functions,
    indexing,
    layers,
    moves,
    normalizing,
    padding,
    pointwise,
    pools,
    recurrent,
    reducing,
    resizing,
)
from qwidgets.export.onnx_model.step import TRANSLATORS, Names, Step


def translate(step: Step) -> Names:
    """Write the nodes of an operation.

    Raises
    ------
    ExportError
        It has no translator, or cannot be written with these arguments.
    """
    if step.operation not in TRANSLATORS:
        step.refuse(
            f"ONNX has no operator for {step.operation}; calibrate and export the part of the network without it"
        )
    return TRANSLATORS[step.operation](step)
