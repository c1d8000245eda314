"""The picture of a network's bits: a row per tensor, a column per power of two, painted as a PNG.

Pure functions from counts and windows to pixels; nothing here knows of widgets or plans. Darker blue is more values,
gray lies over the bits that a window cannot represent, and where a draft moved a window the edges of the committed one
stay visible as dark bars.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Window = tuple[int, int] | None
"""The highest and the lowest bit that is kept; None for a tensor in float, which keeps them all."""

CELL_WIDTH = 10
LEVELS = 32
LEAST_SHARE = 1e-4
MOST_COLUMNS = 64

COVERED = LEVELS + 1  # the levels again, under gray
EDGE = 2 * COVERED
GAP = EDGE + 1


@dataclass(frozen=True)
class BitRange:
    """The bits that have a column: ``top`` down to ``bottom``. Where more occur, the last counts all below, too."""

    top: int
    bottom: int
    bottom_is_open: bool = False

    @classmethod
    def over(cls, counts: Sequence["pd.Series[int]"], windows: Sequence[Window]) -> "BitRange":
        """The bits that occur in any tensor or window, at most 64 of them from the top."""
        occurring = [bit for series in counts if len(series) for bit in (int(series.index[0]), int(series.index[-1]))]
        kept = [bit for window in windows if window for bit in window]
        positions = (occurring + kept) or [0]
        top, bottom = max(positions), min(positions)
        lowest = max(bottom, top - MOST_COLUMNS + 1)
        return cls(top, lowest, lowest > bottom)

    def __len__(self) -> int:
        return self.top - self.bottom + 1

    def column(self, bit: int) -> int:
        """The column of a bit, counted from the left."""
        return min(self.top - bit, len(self) - 1)

    def counts(self, series: "pd.Series[int]") -> npt.NDArray[np.int64]:
        """A tensor's counts by column."""
        totals = np.zeros(len(self), np.int64)
        np.add.at(totals, np.clip(self.top - series.index.to_numpy(), 0, len(self) - 1), series.to_numpy())
        return totals


def levels(counts: npt.NDArray[np.int64]) -> Pixels:
    """How dark each cell is: 0 where nothing is, then by the logarithm of its share of the row's nonzero values."""
    total = counts.sum(axis=-1, keepdims=True)
    share = counts / np.maximum(total, 1)
    depth = 1 + np.log10(np.maximum(share, LEAST_SHARE)) / -np.log10(LEAST_SHARE)
    return np.where(counts > 0, np.maximum(np.ceil(depth * LEVELS), 1), 0).astype(np.uint8)


def paint_row(level: Pixels, bits: BitRange, window: Window, committed: Window, height: int) -> Pixels:
    """Paint one tensor as indices into the palette, ``height`` pixels high and ten wide for each column."""
    cells = level.copy()
    if window:
        columns = np.arange(len(bits))
        outside = (columns < bits.top - window[0]) | (columns > bits.top - window[1])
        cells = np.where(outside, cells + COVERED, cells).astype(np.uint8)
    row = np.repeat(np.repeat(cells[None, :], CELL_WIDTH, axis=1), height, axis=0)
    if height > 3:
        row[-1, :] = GAP
    if committed and committed != window:
        for position in (bits.top - committed[0], bits.top - committed[1] + 1):
            left = min(max(position * CELL_WIDTH - 1, 0), row.shape[1] - 2)
            if 0 <= position <= len(bits):
                row[:, left : left + 2] = EDGE
    return row


def stacked(rows: Sequence[Pixels]) -> Pixels:
    """All rows as one picture."""
    return np.concatenate(rows)


def to_png(pixels: Pixels) -> bytes:
    """Pack painted rows as a PNG, white where nothing is."""
    image = Image.fromarray(pixels)
    image = image.convert("P")
    image.putpalette(palette().tobytes())
    packed = io.BytesIO()
    image.save(packed, format="PNG", compress_level=1)
    return packed.getvalue()


def palette() -> Pixels:
    """The colours that pixels are indices of: red, green and blue of each."""
    share = np.arange(LEVELS + 1)[:, None] / LEVELS
    pale, dark = np.array([222, 235, 250.0]), np.array([8, 48, 122.0])
    blues = pale + (dark - pale) * share**1.3
    blues[0] = 255
    gray = np.array([190, 190, 190.0])
    covered = 0.42 * blues + 0.58 * gray
    return np.concatenate([blues, covered, [[20, 20, 20]], [[255, 255, 255]]]).round().astype(np.uint8)
