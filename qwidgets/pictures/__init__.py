"""What a plan looks like without a widget: the bit heat map as pixels, figures as text, and which of them stand out."""

from qwidgets.pictures.figures import (
    BACKGROUNDS,
    LIMITS,
    Severity,
    escaped,
    first_to_look_at,
    number_text,
    percent_text,
    problems,
    severity_of,
    superscript,
)
from qwidgets.pictures.format_words import format_text, parts
from qwidgets.pictures.heat_picture import (
    MOST_COLUMNS,
    BitRange,
    Pixels,
    Window,
    levels,
    paint_row,
    palette,
    stacked,
    to_png,
)
from qwidgets.pictures.plan_picture import strip, window_of

__all__ = [
    "BACKGROUNDS",
    "LIMITS",
    "MOST_COLUMNS",
    "BitRange",
    "Pixels",
    "Severity",
    "Window",
    "escaped",
    "first_to_look_at",
    "format_text",
    "levels",
    "number_text",
    "paint_row",
    "palette",
    "parts",
    "percent_text",
    "problems",
    "severity_of",
    "stacked",
    "strip",
    "superscript",
    "to_png",
    "window_of",
]
