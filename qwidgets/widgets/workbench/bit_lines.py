"""The bits of a plan's tensors as lines of pixels, under their windows, in columns that stay where they are."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from qwidgets.pictures import MOST_COLUMNS, BitRange, Pixels, Window, levels, paint_row, superscript, window_of
from qwidgets.plan import Plan
from qwidgets.widgets.controls import escaped, percent_text, tick_spacing

NOT_CALIBRATED = "This plan has no calibration, so there is nothing to draw; Plan.load(path, calibration)."


class BitLines:
    """Lines of pixels of a plan's tensors.

    Parameters
    ----------
    plan
        It must have a calibration.
    height
        Of a line, in pixels.

    Attributes
    ----------
    bits
        The bits that have a column. They only grow, so that nothing moves under the mouse while a window does.
    lines
        By the tensor's name, indices into the palette.
    """

    def __init__(self, plan: Plan, height: int) -> None:
        self.bits = BitRange(0, 0)
        self.lines: dict[str, Pixels] = {}
        self._plan, self._height = plan, height
        self._counted: dict[str, tuple[int, Any]] = {}
        self._windows: dict[str, tuple[Window, Window]] = {}
        self._reach: dict[str, Window] = {}

    def paint(self, changed: Iterable[str]) -> bool:
        """Paint tensors anew, all of them where other bits must have columns; say whether that was so."""
        recounted = self._count(changed)
        for name in changed:
            self._windows[name] = window_of(self._plan[name]), window_of(self._plan.committed[name])
            self._reach[name] = _reach(self._counted[name][1], self._windows[name])
        bits = self._enough_bits(recounted)
        anew = bits != self.bits or not self.lines
        if anew:
            self.bits, changed = bits, self._plan.names
        for name in changed:
            level = levels(bits.counts(self._counted[name][1]))
            self.lines[name] = paint_row(level, bits, *self._windows[name], self._height)
        return anew

    def describe(self, name: str, column: int) -> str:
        """What a cell says, as HTML: tensor, bit and count."""
        bit, below, values = self._cell(name, column)
        place = superscript(f"2^{bit}") + (" and below" if below else "")
        share = percent_text(values, self._counted[name][0])
        return f"<b>{escaped(name)}</b> · {place} · {values:,} values ({share})"

    def in_words(self, name: str, column: int) -> str:
        """What a cell says, to be spoken."""
        bit, below, values = self._cell(name, column)
        return f"two to the {bit}{' and below' if below else ''}: {values} values"

    def _cell(self, name: str, column: int) -> tuple[int, bool, int]:
        """The bit of a column, whether all lower ones are in it, and how many values have their leading one there."""
        bit = self.bits.top - column
        _, series = self._counted[name]
        return bit, self.bits.bottom_is_open and bit == self.bits.bottom, int(self.bits.counts(series)[column])

    def ticks(self, most: int) -> dict[float, str]:
        """The labels of the columns' middles, so many at most, by their place."""
        spacing = tick_spacing(len(self.bits), most)
        bits = [bit for bit in range(self.bits.top, self.bits.bottom - 1, -1) if bit % spacing == 0]
        return {self.bits.column(bit) + 0.5: superscript(f"2^{bit}") for bit in bits}

    def _count(self, names: Iterable[str]) -> bool:
        """Read the counts of tensors of which more values were counted, and say whether there are any."""
        recounted = False
        assert self._plan.calibration is not None
        for name in names:
            histogram = self._plan.calibration[name]
            total = histogram.count
            if name not in self._counted or self._counted[name][0] != total:
                self._counted[name] = (total, histogram.msb_counts())
                recounted = True
        return recounted

    def _enough_bits(self, recounted: bool) -> BitRange:
        needed = BitRange.over([], list(self._reach.values()))
        if not self.lines or recounted:
            return needed
        top = max(needed.top, self.bits.top)
        bottom = max(min(needed.bottom, self.bits.bottom), top - MOST_COLUMNS + 1)
        return BitRange(top, bottom, needed.bottom_is_open or bottom > min(needed.bottom, self.bits.bottom))


def _reach(counts: "pd.Series[int]", windows: Iterable[Window]) -> Window:
    """The highest and the lowest bit of a tensor and its windows; None where there is none."""
    needed = [bit for window in windows if window for bit in window]
    needed += [int(counts.index[0]), int(counts.index[-1])] if len(counts) else []
    return (max(needed), min(needed)) if needed else None


def cell_at(value: float, count: int) -> int:
    """The row or column of a place in a picture of so many."""
    return int(np.clip(value, 0, max(count - 1, 0)))
