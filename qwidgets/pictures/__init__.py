"""What a plan looks like without a widget: the bit heat map as pixels, figures as text, and which of them stand out."""

from qwidgets.pictures.figures import BACKGROUNDS, LIMITS, Severity, escaped, number, percent, problems, severity
from qwidgets.pictures.heat_picture import BitRange, Window
from qwidgets.pictures.plan_picture import picture, window_of
from qwidgets.pictures.written import parts, written

__all__ = [
    "BACKGROUNDS",
    "LIMITS",
    "BitRange",
    "Severity",
    "Window",
    "escaped",
    "number",
    "parts",
    "percent",
    "picture",
    "problems",
    "severity",
    "window_of",
    "written",
]
