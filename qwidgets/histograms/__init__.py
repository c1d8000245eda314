"""Bit histograms: counted on any device, added, asked what a format would do to the values behind them."""

from qwidgets.histograms.bit_histogram import BitHistogram, move_counts
from qwidgets.histograms.kernels.grid import BINS, CELLS
from qwidgets.histograms.preview import Preview

__all__ = ["BINS", "CELLS", "BitHistogram", "Preview", "move_counts"]
