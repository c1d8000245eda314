"""A plan as QONNX: the ONNX graph with a ``Quant`` node for each tensor, for FINN, hls4ml and what else reads it."""

import os
from collections.abc import Iterable
from typing import Any

from torch import nn

from qwidgets.export.onnx_model.dialects import Quant
from qwidgets.export.registry import Export, register_export
from qwidgets.export.to_onnx import OnnxExport, write_onnx
from qwidgets.tuning import PlanState


def to_qonnx(
    plan: PlanState,
    path: str | os.PathLike[str],
    model: nn.Module | None = None,
    *,
    count_ties_over: Iterable[Any] | None = None,
) -> OnnxExport:
    """Write the committed formats and the network as an ONNX model with QONNX ``Quant`` nodes.

    As :func:`qwidgets.export.to_onnx`, but any word length up to 24 bits is carried as it is, and so is every rounding
    but ``half_up`` (QONNX's HALF_UP goes away from zero). Weights and biases are float constants, multiples of their
    steps, each with a ``Quant`` node behind it.

    Parameters, errors: see :func:`qwidgets.export.to_onnx`.

    Examples
    --------
    >>> import tempfile
    >>> from qwidgets import calibrate
    >>> from qwidgets.examples import digits
    >>> example = digits()
    >>> plan = calibrate(example.model, example.calibration, progress=False).propose(6)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_qonnx(plan, f"{folder}/digits.onnx").opset
    13
    """
    return write_onnx(plan, path, model, Quant(), "qonnx", count_ties_over)


register_export(
    Export(
        name="qonnx",
        title="QONNX",
        suffix="-qonnx.onnx",
        about="A model with Quant nodes.",
        write=lambda plan, path, model, _: to_qonnx(plan, path, model),
        extra="qonnx",
    )
)
