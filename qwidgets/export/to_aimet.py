"""A plan for AIMET, Qualcomm's model efficiency toolkit: the file of encodings that its simulation loads.

An encoding is the scale, the offset and the width of one tensor, by the tensor's name in an ONNX file. The file is of
version 1.0.0, the one that AIMET 2 writes unless it is told otherwise. Nothing here imports AIMET.
"""

import json
import os
from typing import Any

from torch import nn

from qwidgets.errors import ExportError
from qwidgets.export.export_input import committed_network
from qwidgets.export.onnx_names import onnx_names
from qwidgets.export.registry import Export, register_export
from qwidgets.files import replacing
from qwidgets.formats import CHANNELS_FIRST, MAX_WORD_LENGTH, FixedPoint, PerChannel
from qwidgets.tuning import PlanState

VERSION = "1.0.0"


def to_aimet(plan: PlanState, path: str | os.PathLike[str], model: nn.Module | None = None) -> None:
    """Write the encodings that AIMET's ``load_encodings_to_sim`` (``aimet_onnx.quantsim``) reads.

    A code of AIMET is ``round(x / scale) - offset`` between 0 and ``2**bw - 1``. Here the scale is the step of the
    format, the offset 0 for an unsigned format and ``-2**(bw - 1)`` for a signed one: codes differ by that from those
    of :func:`qwidgets.quantize`. How ties are rounded is not in the file, and AIMET computes sums in float.

    Parameters
    ----------
    plan
        Its committed formats count; there must be no drafts. Tensors that it keeps in float have no encoding.
    path
        A JSON file; AIMET's own end in ``.encodings``.
    model
        The network that the plan is of, where the plan came from a file and does not know it.

    Raises
    ------
    PlanError
        There are drafts, or the plan does not know its network, or is of another one.
    ExportError
        A format wraps around, where AIMET has none that does; the plan adjusts weights, which the file does not carry;
        or the network cannot be an ONNX file. The text names what it is.
    ExtraError
        The package ``onnx`` is not installed.
    FileError
        The file cannot be written.

    Examples
    --------
    The names are those of PyTorch's TorchScript-based exporter::

        export.to_aimet(plan, "model.encodings")

        torch.onnx.export(model, images, "model.onnx", opset_version=18, dynamo=False)
        simulation = QuantizationSimModel(onnx.load("model.onnx"))
        load_encodings_to_sim(simulation, "model.encodings", strict=False)
    """
    quantized = committed_network(plan, model)
    if plan.adjustments:
        raise ExportError(
            "the plan adjusts weights, and encodings carry no weights; undo() the equalization, bias correction or "
            "adaptive rounding"
        )
    network = quantized.network
    names = onnx_names(plan.network_of(model), network, "onnx")
    encodings: dict[str, list[dict[str, Any]]] = {"activation_encodings": [], "param_encodings": []}
    for row in network.rows:
        fmt = quantized.program.formats[row.name]
        if fmt is None:
            continue
        if fmt.overflow != "saturate":
            raise ExportError(f"{row.name!r} wraps around, and AIMET saturates")
        if fmt.word_length > MAX_WORD_LENGTH:
            raise ExportError(
                f"{row.name!r} needs {fmt.word_length} bits at the step of its layer's sums, and AIMET has "
                f"{MAX_WORD_LENGTH}; plan.propose() and plan.commit() give its layer's weight a window in which it fits"
            )
        if isinstance(fmt, PerChannel) and row.operation not in CHANNELS_FIRST:
            raise ExportError(f"{row.name!r} has channels along another axis than AIMET takes them to lie")
        kind = "param_encodings" if row.kind in ("weight", "bias") else "activation_encodings"
        encodings[kind].append(_encoding(names.tensors[row.name], fmt))
    content = {"version": VERSION, **encodings}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _encoding(name: str, fmt: FixedPoint | PerChannel) -> dict[str, Any]:
    scales = [fmt.step] if isinstance(fmt, FixedPoint) else fmt.steps.tolist()
    offset = -(1 << (fmt.word_length - 1)) if fmt.signed else 0
    return {
        "name": name,
        "dtype": "INT",
        "bw": fmt.word_length,
        "is_sym": fmt.signed,
        "enc_type": "PER_TENSOR" if isinstance(fmt, FixedPoint) else "PER_CHANNEL",
        "scale": scales,
        "offset": [offset] * len(scales),
    }


register_export(
    Export(
        name="aimet",
        title="AIMET",
        suffix=".encodings",
        about="The encodings that AIMET loads into its simulation.",
        write=lambda plan, path, model, _: to_aimet(plan, path, model),
        extra="onnx",
    )
)
