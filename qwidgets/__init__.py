"""Look at a trained network bit by bit, and choose an integer format for each of its tensors.

The names here are the public ones. What stands in ``widgets`` is loaded when it is first asked for, so that a batch job
on a machine without a notebook pays nothing for it.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from qwidgets import errors, examples, export, remedies, targets
from qwidgets.adjusting import fake_quantized, register_step
from qwidgets.calibration import Calibration, calibrate
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.histograms import BitHistogram, Preview
from qwidgets.network import capture
from qwidgets.plan import Plan
from qwidgets.schemes import register_scheme
from qwidgets.session import Session
from qwidgets.simulation import quantize
from qwidgets.validation import Health, cost, health, sensitivity, validate

if TYPE_CHECKING:
    from qwidgets.widgets import (
        BitExplorer,
        BitHeatMap,
        LayerTable,
        NumberLine,
        RoundingTable,
        SensitivityChart,
        SineScope,
        WindowEditor,
        Workbench,
    )

__version__ = version("qwidgets")

__all__ = [
    "BitExplorer",
    "BitHeatMap",
    "BitHistogram",
    "Calibration",
    "FixedPoint",
    "Health",
    "LayerTable",
    "NumberLine",
    "PerChannel",
    "Plan",
    "Preview",
    "RoundingTable",
    "SensitivityChart",
    "Session",
    "SineScope",
    "WindowEditor",
    "Workbench",
    "calibrate",
    "capture",
    "cost",
    "errors",
    "examples",
    "export",
    "fake_quantized",
    "health",
    "quantize",
    "register_scheme",
    "register_step",
    "remedies",
    "sensitivity",
    "targets",
    "validate",
]

_VIEWS = {
    "BitExplorer",
    "BitHeatMap",
    "LayerTable",
    "NumberLine",
    "RoundingTable",
    "SensitivityChart",
    "SineScope",
    "WindowEditor",
    "Workbench",
}


def __getattr__(name: str) -> object:
    if name in _VIEWS:
        return getattr(import_module("qwidgets.widgets"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
