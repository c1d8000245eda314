"""The table of counters that every kernel adds to, and how it is emptied into sorted, sparse counts.

A table is dense (1.1 MB) and lies on the device of the values that are counted. What is kept of a tensor is sparse:
``take`` empties the table into a ``Counts`` of the occupied bins. On the CPU one table serves all tensors in turn.
"""

import math
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from qwidgets.histograms.kernels.grid import BINS, CELLS, NO_HIGHEST, NO_LOWEST, STEPS


class Counts(NamedTuple):
    """Occupied bins in ascending order, how often each occurred, and what is counted apart from the bins."""

    bins: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int64]
    special: npt.NDArray[np.int64]  # zeros, NaN, +inf, -inf
    lowest: int  # sortable keys of the finite extremes, see grid.key_to_value
    highest: int
    least: float = math.inf  # no nonzero magnitude is below it; infinite where none is below the grid


class Arrays(NamedTuple):
    """The counters of a table on the CPU, as the compiled loops take them."""

    cells: npt.NDArray[np.int64]
    touched: npt.NDArray[np.uint8]
    extremes: npt.NDArray[np.int64]


def no_counts() -> Counts:
    """Give the counts of no values at all."""
    return Counts(np.empty(0, np.int32), np.empty(0, np.int64), np.zeros(4, np.int64), NO_LOWEST, NO_HIGHEST)


def add_counts(first: Counts, second: Counts) -> Counts:
    """Add two sets of counts, bin by bin; the order does not matter."""
    bins, counts = _loops().merge(first.bins, first.counts, second.bins, second.counts)
    return Counts(
        bins,
        counts,
        first.special + second.special,
        min(first.lowest, second.lowest),
        max(first.highest, second.highest),
        min(first.least, second.least),
    )


class Table:
    """Counters of one device: 64-bit, a cell for each bin and four for zeros, NaN and the infinities.

    Parameters
    ----------
    device
        Where the counters lie. A device that cannot hold 64-bit integers and float64 gets its table on the CPU.

    Attributes
    ----------
    cells : int64 tensor of grid.CELLS
    extremes : int64 tensor of two sortable keys, the lowest and the highest finite value
    touched : uint8 tensor: octaves, negative after positive, that may hold a count; kept for tables on the CPU only
    arrays : the three as arrays, for tables on the CPU
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device if device.type == "cuda" else torch.device("cpu")
        with torch.inference_mode(False):  # the table outlives a pass in inference mode, and changes after it
            self.cells = torch.zeros(CELLS, dtype=torch.int64, device=self.device)
            self.extremes = torch.zeros(2, dtype=torch.int64, device=self.device)
            self.touched = torch.zeros(BINS // STEPS, dtype=torch.uint8, device="cpu")
        self.arrays: Arrays | None = None
        if self.device.type == "cpu":
            self.arrays = Arrays(self.cells.numpy(), self.touched.numpy(), self.extremes.numpy())
        self._forget_extremes()

    def _forget_extremes(self) -> None:
        self.extremes[0].fill_(NO_LOWEST)
        self.extremes[1].fill_(NO_HIGHEST)

    def take(self) -> Counts:
        """Empty the table, and give what was in it. Waits for the device."""
        if self.arrays is not None:
            return Counts(*_loops().take(*self.arrays))
        counts = self.read()
        self.cells.zero_()
        self._forget_extremes()
        return counts

    def read(self) -> Counts:
        """Give what is in the table, and leave it there. Waits for the device."""
        lowest, highest = self.extremes.tolist()
        special = np.array(self.cells[BINS:].tolist())
        occupied = torch.nonzero(self.cells[:BINS]).squeeze(1)
        bins = occupied.to(torch.int32).cpu().numpy()
        counts = self.cells[occupied].cpu().numpy()
        return Counts(bins, counts, special, lowest, highest)


def pour(sources: Sequence[Table], targets: Sequence[Table]) -> None:
    """Add to each table on a CUDA device what is in another one there, and set that to zero; waits for no device.

    A source keeps its extremes, which the target has now, too: it is to be poured into no other one.
    """
    torch._foreach_add_([table.cells for table in targets], [table.cells for table in sources])
    torch._foreach_zero_([table.cells for table in sources])
    for least, end in ((torch._foreach_minimum_, slice(1)), (torch._foreach_maximum_, slice(1, 2))):
        least([table.extremes[end] for table in targets], [table.extremes[end] for table in sources])


def _loops() -> ModuleType:
    """Import the compiled loops when they are first needed: Numba takes half a second."""
    from qwidgets.histograms.kernels import table_loops

    return table_loops
