"""A plan as a QDQ model: ONNX that runtimes and the tool chains of accelerators read.

Weights and biases are stored as integers; the graph computes on their values in float32, and every tensor is quantized
by a pair of QuantizeLinear and DequantizeLinear with a power-of-two scale and zero point 0. ONNX Runtime gives the
integers of :func:`qwidgets.quantize` (see :mod:`qwidgets.export.exactness` for why), or the export says in
which rows it may not.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from torch import nn

from qwidgets.errors import ExportError
from qwidgets.export import exactness
from qwidgets.export.export_input import committed_network, required
from qwidgets.export.onnx_model.dialects import QDQ, Dialect
from qwidgets.export.onnx_model.translation import Translation
from qwidgets.export.registry import Export, register_export
from qwidgets.export.tie_differences import COLUMNS, tie_differences
from qwidgets.formats import FixedPoint
from qwidgets.simulation import QuantizedNetwork
from qwidgets.tuning import PlanState

TO_NEAREST = frozenset({"half_away", "half_up", "half_even", "double"})


@dataclass(frozen=True)
class OnnxExport:
    """What was written, and in what it may differ from the plan.

    Attributes
    ----------
    path
        The file.
    opset
        The version of the standard operators in it.
    differences
        For each row whose codes may differ in a runtime that computes in float32, the reason; what is computed from it
        may then differ, too. A tensor of positions that a runtime may choose otherwise is among them by its name in the
        file. Where it is empty, ONNX Runtime gives every code, with the session option that is told of below.
    ties
        What rounding ties to even changed over the data that was given: see
        :func:`qwidgets.export.tie_differences.tie_differences`. Without data it has no row.

    Notes
    -----
    On x86 processors without VNNI instructions ONNX Runtime adds two products of 8 bits in 16 bits, and saturates, in
    convolutions, linear layers and products with a weight. The session option ``session.x64quantprecision`` = ``"1"``
    takes kernels that are exact everywhere: ``options.add_session_config_entry("session.x64quantprecision", "1")``.
    Where it cannot be set, ``plan.check("onnxruntime_avx2")`` names the layers that may saturate, and
    ``plan.propose(8, target="onnxruntime_avx2")`` gives formats under which none does.
    """

    path: Path
    opset: int
    differences: Mapping[str, str]
    ties: pd.DataFrame


def to_onnx(
    plan: PlanState,
    path: str | os.PathLike[str],
    model: nn.Module | None = None,
    *,
    count_ties_over: Iterable[Any] | None = None,
) -> OnnxExport:
    """Write the committed formats and the network as an ONNX model with QuantizeLinear and DequantizeLinear.

    Tensors of up to 8 bits are int8 or uint8, of up to 16 bits int16 or uint16 (operator set 21, else 13); a word
    that is shorter than that is clipped. Weights may have a scale for each output channel, biases are int32 in the
    steps of their layer's sums. The batch is free. Tensors are named after the plan's rows, ``<row>:codes`` are their
    integers. The plan's digest is in the metadata.

    An operation that has no integer form is written in float32 between the formats around it, and its row is among
    :attr:`OnnxExport.differences`. Integers and truth values enter and leave as what they are.

    Parameters
    ----------
    plan
        What is committed is written.
    path
        The file; an existing one stays whole until the new one is.
    model
        The network, where the plan came from a file.
    count_ties_over
        ONNX rounds ties to even. A plan that rounds them otherwise is refused, unless batches are given here: then it
        is written, and what that changes is counted over them in :attr:`OnnxExport.ties`.

    Raises
    ------
    PlanError
        There are drafts, or the network is not known.
    ExportError
        A row is rounded otherwise, wraps around, or cannot be written: it is named. Nothing is written then.
    ExtraError
        ``onnx`` is not installed.
    FileError
        The file cannot be written.
    DataError
        A batch cannot be fed to the network.

    Notes
    -----
    TensorRT takes int8 only: ``propose(signed=True)`` drafts such formats.

    On x86 processors without VNNI instructions 8-bit convolutions and linear layers saturate in ONNX Runtime unless its
    session option ``session.x64quantprecision`` is ``"1"``: see :class:`OnnxExport`.

    Examples
    --------
    >>> import tempfile
    >>> from qwidgets import calibrate
    >>> from qwidgets.examples import digits
    >>> example = digits()
    >>> plan = calibrate(example.model, example.calibration, progress=False).propose(per_channel=True)
    >>> plan.set_rounding("half_even")[:2]
    ['input', 'stem.0']
    >>> entry = plan.commit("as ONNX rounds")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export = to_onnx(plan, f"{folder}/digits.onnx")
    >>> export.opset, dict(export.differences)
    (13, {})
    """
    return write_onnx(plan, path, model, QDQ(), "onnx", count_ties_over)


def write_onnx(
    plan: PlanState,
    path: str | os.PathLike[str],
    model: nn.Module | None,
    dialect: Dialect,
    extra: str,
    count_ties_over: Iterable[Any] | None,
) -> OnnxExport:
    """Write a model in a dialect; see :func:`to_onnx`."""
    quantized = committed_network(plan, model)
    onnx = required("onnx", extra)
    straying = _rounded_otherwise(quantized, dialect)
    if straying and count_ties_over is None:
        first = next(iter(straying))
        raise ExportError(
            f"ONNX rounds ties to even, and {len(straying)} rows of the plan do not, {first!r} "
            f"({straying[first].rounding}) among them; "
            'plan.set_rounding("half_even") and plan.commit() mend that, or give data as count_ties_over=... to '
            "export it nevertheless and count what that changes"
        )
    translation = Translation(quantized, onnx, dialect)
    ties = pd.DataFrame(columns=list(COLUMNS))
    if straying and count_ties_over is not None:
        ties = tie_differences(quantized, straying, plan.network_of(model), count_ties_over)
    properties = {"qwidgets.digest": plan.digest, "qwidgets.network": plan.network}
    translation.graph.write(path, plan.network, version("qwidgets"), properties)
    return OnnxExport(Path(path), translation.graph.opset, MappingProxyType(translation.differences), ties)


def _rounded_otherwise(quantized: QuantizedNetwork, dialect: Dialect) -> dict[str, FixedPoint]:
    """Give the rows of which values may lie midway between codes, and are then rounded in another way.

    Raises
    ------
    ExportError
        A row is not rounded to nearest, or wraps around.
    """
    program, found = quantized.program, {}
    for row, node in quantized.network.producers.items():
        fmt = program.formats[row]
        if not isinstance(fmt, FixedPoint):
            continue
        before = exactness.before_rounding(program, node)
        if fmt.overflow != "saturate" and not exactness.never_leaves(before, fmt):
            raise ExportError(
                f"{row!r} wraps around where it overflows, and ONNX saturates; give it overflow='saturate'"
            )
        if fmt.rounding in dialect.roundings or exactness.never_rounds(before, fmt):
            continue
        if fmt.rounding not in TO_NEAREST:
            raise ExportError(
                f"{row!r} is rounded by {fmt.rounding!r}, and ONNX rounds to the nearest; "
                f'plan.set_rounding("half_even") and plan.commit() mend that'
            )
        if not exactness.never_ties(program, node, fmt):
            found[row] = fmt
    return found


register_export(
    Export(
        name="onnx",
        title="ONNX (QDQ)",
        suffix=".onnx",
        about="A model with QuantizeLinear and DequantizeLinear for ONNX Runtime and what reads the like.",
        write=lambda plan, path, model, _: to_onnx(plan, path, model),
        extra="onnx",
    )
)
