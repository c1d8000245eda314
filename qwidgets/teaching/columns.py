"""Which columns of bits are drawn, and which rows stand for many values."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qwidgets.formats import FixedPoint
from qwidgets.teaching.bits import msbs_of

Floats = npt.NDArray[np.float64]

MOST_COLUMNS = 32
MOST_ROWS = 24
BELOW = 3
"""Columns below the lowest MSB, where a value's bits go on."""


@dataclass(frozen=True)
class Columns:
    """The bit positions that have a column, from ``top`` down to ``bottom``."""

    top: int
    bottom: int

    @property
    def positions(self) -> tuple[int, ...]:
        """The positions, from the highest to the lowest."""
        return tuple(range(self.top, self.bottom - 1, -1))

    @classmethod
    def covering(cls, values: Floats, fmt: FixedPoint, now: "Columns | None" = None) -> "Columns":
        """The columns for some values and a window.

        Where they spread over more than 32, those near the window. ``now`` stays as long as it will do, so that nothing
        moves that need not.

        Examples
        --------
        >>> Columns.covering(np.array([0.25, 16.0]), FixedPoint(8, 3))
        Columns(top=5, bottom=-5)
        """
        msbs = msbs_of(values)
        top = max([fmt.msb, *([int(msbs.max())] if msbs.size else [])]) + 1
        bottom = min([fmt.lsb - 2, *([int(msbs.min()) - BELOW] if msbs.size else [])])
        if top - bottom >= MOST_COLUMNS:
            spare = max(MOST_COLUMNS - (fmt.msb - fmt.lsb + 1), 8)
            above = min(top - fmt.msb, max(spare // 2, spare - (fmt.lsb - bottom)))
            top, bottom = fmt.msb + above, max(bottom, fmt.lsb - (spare - above))
        if now and now.top >= top and now.bottom <= bottom and now.top - now.bottom <= max(top - bottom + 6, 12):
            return now
        return cls(top, bottom)


@dataclass(frozen=True)
class MsbCounts:
    """How many values have their leading one in each column, beyond the columns, or nowhere."""

    counts: tuple[int, ...]
    above: int
    below: int
    without: int

    @classmethod
    def of(cls, values: Floats, columns: Columns) -> "MsbCounts":
        """Count values by their leading ones.

        Examples
        --------
        >>> MsbCounts.of(np.array([0.0, 1.0, 1.5, 64.0]), Columns(1, -1))
        MsbCounts(counts=(0, 2, 0), above=1, below=0, without=1)
        """
        msbs = msbs_of(values)
        inside = msbs[(msbs <= columns.top) & (msbs >= columns.bottom)]
        counts = np.bincount(columns.top - inside, minlength=len(columns.positions))
        return cls(
            tuple(counts.tolist()),
            int((msbs > columns.top).sum()),
            int((msbs < columns.bottom).sum()),
            int(values.size - msbs.size),
        )

    @property
    def shades(self) -> tuple[float, ...]:
        """How dark each column of the heat map is: its count as a share of the largest one."""
        most = max(self.counts, default=0)
        return tuple(count / most if most else 0.0 for count in self.counts)


def examples(values: Floats) -> list[tuple[int, int]]:
    """Choose the values that get a row of their own, and how many each stands for.

    Up to 24 values each stand for themselves. Of more, the first of each sign and MSB stands for all of its kind; where
    there are more than 24 kinds, the most frequent ones are shown.

    Returns
    -------
    list of (index, count)
        In the order of the values, or from the largest to the smallest where they stand for others.

    Examples
    --------
    >>> examples(np.array([1.0, 2.0]))
    [(0, 1), (1, 1)]
    >>> examples(np.array([1.0, 1.5] * 20 + [8.0]))
    [(40, 1), (0, 40)]
    """
    if values.size <= MOST_ROWS:
        return [(index, 1) for index in range(values.size)]
    finite = np.isfinite(values) & (values != 0)
    exponent = np.where(finite, np.frexp(np.where(finite, values, 1.0))[1], 0)
    rank = np.select([np.isnan(values), np.isinf(values), values == 0], [9000, 8000, -8000], default=exponent)
    kind = rank * 2 + np.signbit(values)
    _, first, counts = np.unique(kind, return_index=True, return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_ROWS])[::-1]
    return [(int(first[place]), int(counts[place])) for place in kept]
