"""Counting on the CPU with Numba: one read of each value from memory, in blocks that stay in cache.

Small tensors are added to the table value by value. Larger ones go through private 32-bit counters, which are folded
into the table once, and only where they can have changed. The largest are shared between as many threads as torch uses
(``torch.set_num_threads``), each with counters of its own.
"""

import numpy as np
import numpy.typing as npt
import torch

from qwidgets.histograms.kernels import cpu_loops as loops
from qwidgets.histograms.kernels.cpu_threads import Share, sweep_together
from qwidgets.histograms.kernels.table import Table
from qwidgets.histograms.kernels.walk import array_blocks

SMALL = 1024  # values: below it, clearing and scanning counters costs more than it saves
SHARE = 1 << 17  # values that are worth waking another thread for
LARGEST_SHARE = 1 << 31  # a 32-bit counter cannot overflow within it
COPY = 1 << 20

_WORDS = {2: np.uint16, 4: np.uint32, 8: np.uint64}


def count(x: npt.NDArray[np.generic] | torch.Tensor, table: Table) -> None:
    """Add the values of ``x``, an array or a tensor on the CPU, to ``table``."""
    if isinstance(x, torch.Tensor):
        half = x.dtype == torch.float16
        words = x.view(_INTEGERS[x.element_size()]).numpy()
        words = words.view(_WORDS[x.element_size()])
    else:
        half = x.dtype.itemsize == 2
        words = x.view(_WORDS[x.dtype.itemsize])
    for run in array_blocks(words, COPY):
        _count_run(run, half, table)


_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def _count_run(words: npt.NDArray[np.generic], half: bool, table: Table) -> None:
    if words.size <= SMALL:
        _tally(words, half, table)
        return
    threads = max(1, min(torch.get_num_threads(), words.size // SHARE))
    share = min(-(-words.size // threads), LARGEST_SHARE)
    shares = [words[first : first + share] for first in range(0, words.size, share)]
    for first in range(0, len(shares), threads):
        together = shares[first : first + threads]
        taken = [_take_share() for _ in together]
        for mine, part in zip(taken, together, strict=True):
            mine.assign(part)
        sweep_together(taken)
        for mine in taken:
            _fold(mine, half, table)
            _spare.append(mine)


def _tally(words: npt.NDArray[np.generic], half: bool, table: Table) -> None:
    assert table.arrays is not None
    if words.itemsize == 2:
        loops.tally16(words, half, *table.arrays)
    elif words.itemsize == 4:
        loops.tally32(words, *table.arrays)
    else:
        loops.tally64(words, *table.arrays)


def _fold(share: Share, half: bool, table: Table) -> None:
    assert table.arrays is not None
    if share.words.itemsize == 2:
        loops.fold16(share.private, half, *table.arrays)
    elif share.words.itemsize == 4:
        loops.fold32(share.private, share.notes, *table.arrays)
    else:
        loops.fold64(share.private, share.notes, *table.arrays)
    for first in share.odd[: share.notes[loops.ODD]]:
        _tally(share.words[first : first + loops.BLOCK], half, table)
    share.assign(share.words[:0])


_spare: list[Share] = []


def _take_share() -> Share:
    try:
        return _spare.pop()
    except IndexError:
        return Share()
