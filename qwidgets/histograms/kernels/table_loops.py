"""The compiled loops of a table: emptying it into the occupied bins, and adding two sets of those."""

import numpy as np
import numpy.typing as npt

from qwidgets.histograms.kernels.compiled import compiled
from qwidgets.histograms.kernels.grid import BINS, NO_HIGHEST, NO_LOWEST, STEPS


@compiled
def take(
    cells: npt.NDArray[np.int64], touched: npt.NDArray[np.uint8], extremes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64], int, int]:
    """Empty the counters: give occupied bins, their counts, the special counts and the extremes."""
    occupied = 0
    for octave in range(touched.size):
        if touched[octave]:
            for cell in cells[octave * STEPS : (octave + 1) * STEPS]:
                occupied += cell != 0
    bins = np.empty(occupied, np.int32)
    counts = np.empty(occupied, np.int64)
    taken = 0
    for octave in range(touched.size):
        if touched[octave]:
            touched[octave] = 0
            for cell in range(octave * STEPS, (octave + 1) * STEPS):
                if cells[cell]:
                    bins[taken] = cell
                    counts[taken] = cells[cell]
                    cells[cell] = 0
                    taken += 1
    special = cells[BINS:].copy()
    cells[BINS:] = 0
    lowest, highest = extremes
    extremes[0] = NO_LOWEST
    extremes[1] = NO_HIGHEST
    return bins, counts, special, lowest, highest


@compiled
def merge(
    bins: npt.NDArray[np.int32],
    counts: npt.NDArray[np.int64],
    other_bins: npt.NDArray[np.int32],
    other_counts: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Add two sets of ascending bins and their counts."""
    merged_bins = np.empty(bins.size + other_bins.size, np.int32)
    merged_counts = np.empty(bins.size + other_bins.size, np.int64)
    i = j = merged = 0
    while i < bins.size or j < other_bins.size:
        if j == other_bins.size or (i < bins.size and bins[i] < other_bins[j]):
            merged_bins[merged] = bins[i]
            merged_counts[merged] = counts[i]
            i += 1
        elif i == bins.size or other_bins[j] < bins[i]:
            merged_bins[merged] = other_bins[j]
            merged_counts[merged] = other_counts[j]
            j += 1
        else:
            merged_bins[merged] = bins[i]
            merged_counts[merged] = counts[i] + other_counts[j]
            i += 1
            j += 1
        merged += 1
    return merged_bins[:merged].copy(), merged_counts[:merged].copy()
