"""The counts of most significant bits as bars that stand exactly over the columns of the bit explorer's table."""

from collections.abc import Callable

import pandas as pd

from qwidgets.formats import FixedPoint
from qwidgets.teaching import Columns
from qwidgets.widgets.controls import CELL, LEFT, MORE, BitBars, width

HEIGHT = 110
INSET = CELL // 2 + 1
"""bqplot keeps half a bar and a pixel free on either side of its bars."""


class ColumnBars(BitBars):
    """Bars with a brush, as wide as the table's columns.

    Attributes
    ----------
    columns
        The columns to stand over; to be set before :meth:`show`.
    """

    def __init__(self, on_brush: Callable[[int, int], None]) -> None:
        super().__init__(on_brush)
        self.columns = Columns(0, -7)
        self._figure.fig_margin = {"top": 6, "bottom": 4, "left": LEFT - INSET, "right": MORE - INSET}
        self._figure.axes = [self._count_axis]
        self._figure.layout.height = f"{HEIGHT}px"
        self.widget.layout.overflow = "hidden"

    def _fit(self, name: str, counts: "pd.Series[int]", windows: list[FixedPoint]) -> None:
        self.top, self.bottom = self.columns.top, self.columns.bottom
        self._x.max = self.top - self.bottom + 0.5
        self._figure.layout.width = f"{width(self.columns)}px"
