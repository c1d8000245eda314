"""A plan as a ``.tflite`` file of integers: for LiteRT, and for microcontrollers by way of TFLite Micro.

A TFLite file says scales and zero points, and nothing of rounding: that is the kernels' own, and each operation has
another. Under a plan that rounds as they do, the kernels give the integers of :func:`qwidgets.quantize`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from qwidgets.errors import DataError, ExportError
from qwidgets.export.export_input import network_of_fixed_sizes, required
from qwidgets.export.registry import Export, register_export
from qwidgets.export.tflite_model.graph import Graph
from qwidgets.export.tflite_model.kernels import KernelsName, kernels_of
from qwidgets.export.tflite_model.places import Place, zero_point
from qwidgets.export.tflite_model.translation import Translation
from qwidgets.formats import FixedPoint
from qwidgets.targets import check
from qwidgets.tuning import PlanState

_LISTED = 5


@dataclass(frozen=True)
class TfliteTensor:
    """A tensor that enters or leaves the model.

    Attributes
    ----------
    name
        Its row of the plan, and its name in the file.
    shape
        There: of one example, and of pictures and signals the channels last.
    torch_shape
        The same in torch's order.
    order
        The dimensions of ``torch_shape`` in the order in which they lie in the file.
    format
        What its integers stand for.
    zero_point
        The byte that stands for zero: -128 of unsigned formats, else 0.
    """

    name: str
    shape: tuple[int, ...]
    torch_shape: tuple[int, ...]
    order: tuple[int, ...]
    format: FixedPoint
    zero_point: int

    def encode(self, values: Tensor) -> npt.NDArray[np.int8]:
        """Give the bytes of one example, which torch has as a batch of one.

        Raises
        ------
        DataError
            They have another shape, or some are NaN.
        """
        if tuple(values.shape) != self.torch_shape:
            raise DataError(
                f"{self.name!r} takes one example of the shape {self.torch_shape}, not {tuple(values.shape)}; "
                "values[:1] is the first of a batch"
            )
        codes = self.format.to_integer(values.detach().cpu()).permute(self.order) + self.zero_point
        bytes_: npt.NDArray[np.int8] = codes.numpy().astype(np.int8).reshape(self.shape)
        return bytes_

    def decode(self, codes: npt.NDArray[np.int8]) -> Tensor:
        """Give the values of the bytes that the model gives, in torch's order."""
        lying = torch.from_numpy(np.asarray(codes, np.int64) - self.zero_point)
        turned = lying.reshape([self.torch_shape[axis] for axis in self.order])
        values: Tensor = self.format.from_integer(turned.permute(tuple(np.argsort(self.order))))
        return values


@dataclass(frozen=True)
class TfliteExport:
    """What was written, and in what it may differ from the plan.

    Attributes
    ----------
    path
        The file.
    size
        Its bytes.
    inputs, outputs
        What enters and leaves, in the order of the network: how to code it, and what it stands for.
    differences
        For each row whose codes may differ, the reason; what is computed from it may then differ, too. Where it is
        empty, the kernels give every code.
    full_range
        The weights that have the code -128, which TFLite's specification leaves out, so that kernels may add two
        products in 16 bits. The reference kernels of TFLite Micro do not, nor did LiteRT's on x86 where it was tried.
        A window that is one bit higher keeps such a weight off it.
    """

    path: Path
    size: int
    inputs: tuple[TfliteTensor, ...]
    outputs: tuple[TfliteTensor, ...]
    differences: Mapping[str, str]
    full_range: tuple[str, ...]


def to_tflite(
    plan: PlanState,
    path: str | os.PathLike[str],
    model: nn.Module | None = None,
    *,
    kernels: KernelsName = "litert",
) -> TfliteExport:
    """Write the committed formats and the network as a ``.tflite`` file of 8-bit integers.

    One example at a time. Weights are int8, with a scale for each output channel where the plan has windows per
    channel; biases are int32 in the steps of their layers' sums; clamps are fused where TFLite has them, else
    limited beside the layer. Unsigned formats are bytes whose zero point is -128. Pictures and signals enter with their
    channels last. The plan's digest is in the metadata.

    Parameters
    ----------
    plan
        What is committed is written.
    path
        The file; an existing one stays whole until the new one is.
    model
        The network, where the plan came from a file.
    kernels
        What it will run on: "litert", LiteRT's default kernels on a processor (XNNPACK's), or "micro", TFLite Micro's
        on a microcontroller. The file is the same but for averages; what they round differs, and with it what a plan
        must say: ``plan.propose(8, target="tflite")`` or ``target="tflite_micro"`` proposes such formats, and
        ``plan.check`` with the same names lists what does not fit.

    Raises
    ------
    PlanError
        There are drafts, or the network is not known.
    ExportError
        Rows that do not fit the target, with what to do, or that have no form in TFLite. Nothing is written then.
    ExtraError
        ``ai-edge-litert``, which brings the schema, is not installed.
    FileError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from qwidgets import calibrate
    >>> from qwidgets.examples import digits
    >>> example = digits()
    >>> plan = calibrate(example.model, example.calibration, progress=False).propose(8, target="tflite_micro")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export = to_tflite(plan, f"{folder}/digits.tflite", kernels="micro")
    >>> export.inputs[0].shape, export.outputs[0].shape, dict(export.differences)
    ((1, 8, 8, 1), (1, 10), {})
    """
    chosen = kernels_of(kernels)
    quantized = network_of_fixed_sizes(plan, model, chosen.title)
    misfits = check(plan, chosen.target, plan.network_of(model))
    if len(misfits):
        listed = "; ".join(f"{name!r} {row.reason} ({row.remedy})" for name, row in misfits.head(_LISTED).iterrows())
        more = len(misfits) - _LISTED
        raise ExportError(
            f"{chosen.title} does not take this plan: {listed}{f'; and {more} more' * (more > 0)}; "
            f"plan.check({chosen.target!r}) lists all, plan.propose(8, target={chosen.target!r}) gives formats that fit"
        )
    schema = required("ai_edge_litert.schema_py_generated", "tflite")
    translation = Translation(quantized, Graph(schema, required("flatbuffers", "tflite")), chosen)
    properties = {"qwidgets.digest": plan.digest, "qwidgets.kernels": kernels}
    size = translation.graph.write(path, plan.network, properties)
    return TfliteExport(
        Path(path),
        size,
        tuple(map(_described, translation.inputs)),
        tuple(map(_described, translation.outputs)),
        MappingProxyType(translation.differences),
        tuple(dict.fromkeys(translation.full_range)),
    )


def _described(place: Place) -> TfliteTensor:
    return TfliteTensor(
        place.tensor.name, place.tensor.shape, place.shape, place.order, place.fmt, zero_point(place.fmt)
    )


def _export(plan: PlanState, path: str | os.PathLike[str], model: nn.Module | None, _: Any) -> TfliteExport:
    return to_tflite(plan, path, model)


register_export(
    Export(
        name="tflite",
        title="TFLite (LiteRT)",
        suffix=".tflite",
        about="A file of 8-bit integers for LiteRT's kernels.",
        write=_export,
        extra="tflite",
    )
)
register_export(
    Export(
        name="tflite_micro",
        title="TFLite Micro",
        suffix="-micro.tflite",
        about="A file of 8-bit integers for the kernels of microcontrollers.",
        write=lambda plan, path, model, _: to_tflite(plan, path, model, kernels="micro"),
        extra="tflite",
    )
)
