"""A committed plan as C99 for microcontrollers without a runtime: headers, readable layers, test vectors.

The folder that is written builds and tests itself with ``make`` and a C compiler; no package is needed to write it.
Every tensor's codes are those that :func:`qwidgets.quantize` computes.
"""

import os
from importlib import resources
from typing import Any

from torch import nn

from qwidgets.export.c_code import vectors, writing
from qwidgets.export.c_code.folder import check_folder, replace_folder
from qwidgets.export.c_code.lowering import lower
from qwidgets.export.c_code.names import SOURCES
from qwidgets.export.export_input import network_of_fixed_sizes
from qwidgets.export.registry import Export, register_export
from qwidgets.tuning import PlanState

PRODUCTS = ("self_test",)
"""What ``make`` adds to the folder."""


def to_c(plan: PlanState, folder: str | os.PathLike[str], model: nn.Module | None = None, *, data: Any = None) -> None:
    """Write a network with its committed formats as a folder of C99.

    ``weights.h`` has the codes of weights and biases, and for each layer fraction bits, bias left shift, output right
    shift and the multiplier and shift of CMSIS-NN; ``network.h`` has a buffer for each tensor and the function that
    computes them; ``layers.c`` has the layers, written to be read. ``make`` builds all of it with sanitizers and
    compares every tensor with the test vectors.

    Parameters
    ----------
    plan
        Every tensor on the way from the inputs to the outputs has a format. Sums are computed in 32 bits.
    folder
        Is made; one that an earlier export wrote, and nobody changed, is replaced. Its parent exists.
    model
        The network, where the plan came from a file and does not know it.
    data
        What the test vectors are made of: batches as for :func:`qwidgets.calibrate`, of which the first four examples
        are used. Without it, four examples of noise, uniform between the least and the largest value that each input
        was calibrated with, always the same.

    Raises
    ------
    PlanError
        There are drafts, or the plan is of another network or does not know it.
    ExportError
        A tensor is kept in float, or an operation has no integer form, or none in C; the text names them.
    DataError
        ``data`` does not fit the network.
    FileError
        The folder cannot be written, or holds something that was not exported there.

    Examples
    --------
    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> from qwidgets.calibration import calibrate
    >>> network = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
    >>> plan = calibrate(network, [torch.randn(8, 4)], progress=False).propose(word_length=8)
    >>> with tempfile.TemporaryDirectory() as place:
    ...     to_c(plan, Path(place) / "firmware")
    ...     len((Path(place) / "firmware" / "weights.h").read_text()) > 0
    True
    """
    check_folder(folder, PRODUCTS)
    quantized = network_of_fixed_sizes(plan, model, "C")
    parts = lower(quantized)
    network = plan.network_of(model)
    if data is not None:
        leaves, source = vectors.first_call(quantized, network, data), "Made of the data that was given."
    else:
        assert plan.calibration is not None  # without it, there would be no quantized network
        leaves, source = vectors.noise_call(quantized, plan.calibration), "Made of noise, as no data was given."
    codes = vectors.codes_of(quantized, leaves, vectors.counting_examples(quantized))
    title = quantized.network.name
    files = {
        "README.txt": writing.readme(parts, title),
        "network.h": writing.network_header(parts, title),
        "network.c": writing.network_source(parts, title),
        "weights.h": writing.weights_header(parts, title),
        "vectors.h": writing.vectors_header(parts, codes, title, source),
    }
    templates = resources.files("qwidgets.export.c_code") / "source"
    files |= {name: (templates / name).read_text(encoding="utf-8") for name in (*SOURCES, "Makefile")}
    replace_folder(folder, files, PRODUCTS)


register_export(
    Export(
        name="c",
        title="C99",
        suffix="",
        about="A folder of C with the integers, the shifts, and a self-test: make builds and runs it.",
        write=lambda plan, path, model, data: to_c(plan, path, model, data=data),
    )
)
