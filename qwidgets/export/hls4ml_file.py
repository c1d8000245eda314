"""The configuration for hls4ml as a file of its own, for who converts in another process."""

import os
from pathlib import Path
from pprint import pformat

from torch import nn

from qwidgets.export.registry import Export, register_export
from qwidgets.export.to_hls4ml import to_hls4ml
from qwidgets.files import replacing
from qwidgets.tuning import PlanState

HEAD = '''"""Formats of a network for hls4ml.

hls4ml.converters.convert_from_pytorch_model takes this as hls_config, with the module that
qwidgets.export.hls4ml_model gives.
"""

# The network is {network}.

'''


def write_hls4ml(plan: PlanState, path: str | os.PathLike[str], model: nn.Module | None = None) -> None:
    """Write what :func:`qwidgets.export.to_hls4ml` gives as a Python module with the one name ``hls_config``.

    Python and not JSON, which would make lists of the tuples in it.

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

    Examples
    --------
    >>> import runpy, tempfile, torch
    >>> from qwidgets.calibration import calibrate
    >>> network = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
    >>> plan = calibrate(network, [torch.randn(8, 4)], progress=False).propose(target="hls4ml")
    >>> with tempfile.TemporaryDirectory() as place:
    ...     write_hls4ml(plan, f"{place}/config.py")
    ...     runpy.run_path(f"{place}/config.py")["hls_config"] == to_hls4ml(plan)
    True
    """
    config = pformat(to_hls4ml(plan, model), width=100, sort_dicts=False)
    with replacing(Path(path)) as temporary:
        temporary.write_text(f"{HEAD.format(network=literal(plan.network))}hls_config = {config}\n", encoding="utf-8")


def literal(text: str) -> str:
    r"""Give text as a string of Python in one line of ASCII, which is safe in code and in a comment.

    Names may come from somebody else's calibration, and what is written here is run.

    Examples
    --------
    >>> print(literal('two\nlines'))
    'two\nlines'
    """
    return ascii(text)


register_export(
    Export(
        name="hls4ml",
        title="hls4ml",
        suffix="_hls4ml.py",
        about="The hls_config that hls4ml takes, with the module that export.hls4ml_model gives.",
        write=lambda plan, path, model, _: write_hls4ml(plan, path, model),
        extra="hls4ml",
    )
)
