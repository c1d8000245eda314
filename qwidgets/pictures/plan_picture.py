"""The bits of a plan's tensors for a page without scripts: a line for each, as an inline picture."""

import base64

import pandas as pd

from qwidgets.pictures.heat_picture import BitRange, Window, levels, paint_row, to_png
from qwidgets.tuning import Format


def strip(counts: "pd.Series[int]", bits: BitRange, window: Window, committed: Window, height: int = 1) -> str:
    """Give a line of the heat map, so many pixels high, as the address of a picture."""
    png = to_png(paint_row(levels(bits.counts(counts)), bits, window, committed, height))
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def window_of(fmt: Format) -> Window:
    """The edges of a format's window; None for float, and for a format that has no window of its own."""
    return (fmt.msb, fmt.lsb) if fmt and hasattr(fmt, "msb") and hasattr(fmt, "lsb") else None
