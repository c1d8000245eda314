"""The configuration for hls4ml as a file of its own, for who converts in another process."""

import json
import os
from pathlib import Path

from torch import nn

from qwidgets.atomic_file import replacing
from qwidgets.export.to_hls4ml import to_hls4ml
from qwidgets.plan import Plan


def write_hls4ml(plan: Plan, path: str | os.PathLike[str], model: nn.Module | None = None) -> None:
    """Write what :func:`qwidgets.export.to_hls4ml` gives as JSON.

    ``hls4ml.converters.convert_from_pytorch_model`` takes it as ``hls_config``, with the module that
    :func:`qwidgets.export.hls4ml_model` gives.

    Parameters
    ----------
    plan, model
        See :func:`qwidgets.export.to_hls4ml`, also for the errors.
    path
        The file; an existing one stays whole until the new one is.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    content = json.dumps(to_hls4ml(plan, model), indent=2)
    with replacing(Path(path)) as temporary:
        temporary.write_text(content + "\n", encoding="utf-8")
