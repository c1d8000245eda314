"""What is remembered of one tensor: how many of its values lie in each bin of a fixed grid.

A `BitHistogram` counts, adds, and answers questions: where the leading ones are, and what a number format would do to
the values. It depends on the counting kernels and on `preview`, keeps only the occupied bins, and never keeps a
value.
"""

import contextlib
import math
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from qwidgets.errors import DataError, FormatError
from qwidgets.formats import FixedPoint
from qwidgets.histograms import histogram_picture, kernels
from qwidgets.histograms.kernels import grid
from qwidgets.histograms.kernels.table import Counts, Table, add_counts, no_counts, pour
from qwidgets.histograms.preview import Edges, Preview, preview, previews

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_ADVICE = (
    "give floating-point values (float16, bfloat16, float32 or float64), for instance x.float() or x.astype('float32')"
)


class BitHistogram:
    """64-bit counts of values on a grid of sign, octave (-149 to 127) and the eight mantissa bits after the leading
    one.

    The grid does not depend on the data, so histograms add: whatever the order, the batches, the devices and the
    number of processes, the counts are the same. Zeros, NaN and both infinities are counted apart; subnormal values
    have octaves of their own. float64 values are truncated toward zero onto the grid: nonzero magnitudes below
    2**-149 go to the lowest bin, finite ones from 2**128 up to the highest. The extremes are exact, and it is known
    whether there are values below the grid.

    Examples
    --------
    >>> histogram = BitHistogram().update(np.array([0.03125, 0.25, 2.1, -2.125, 16.25, 0.0]))
    >>> histogram.count, histogram.zeros, histogram.negative, histogram.min, histogram.max
    (6, 1, 1, -2.125, 16.25)
    >>> result = histogram.preview(FixedPoint(8, 3))
    >>> result.underflow, result.overflow, result.exact
    (1, 1, True)
    """

    GRID: ClassVar[str] = f"sign, octaves {grid.LOWEST_OCTAVE} to {grid.HIGHEST_OCTAVE}, {grid.STEPS} steps"
    __hash__ = None  # type: ignore[assignment]  # it changes

    def __init__(self) -> None:
        self._counts = no_counts()
        self._tables: dict[torch.device, Table] = {}  # counters on CUDA devices that have not been fetched yet
        self._below_grid = False  # whether they may hold values below the grid
        self._edges: tuple[Counts, Edges] | None = None  # the counts they were made of, and they
        self._lock = threading.Lock()

    def update(self, x: torch.Tensor | npt.NDArray[np.floating[Any]]) -> Self:
        """Count the values of ``x``, and give the histogram back.

        Parameters
        ----------
        x
            float16, bfloat16, float32 or float64 values: a tensor on any device, or an array; any shape and memory
            format. It is read where it lies. On CUDA the counts stay on the device until they are asked for, so
            that nothing waits.

        Raises
        ------
        DataError
            ``x`` holds something other than floating-point values.
        """
        if isinstance(x, np.ndarray):
            x = _native(x)
        elif not isinstance(x, torch.Tensor):
            raise DataError(f"cannot count {type(x).__name__}: pass a torch tensor or a NumPy array; {_ADVICE}")
        elif x.dtype not in _FLOATS or x.layout != torch.strided or x.device.type == "meta":
            kind = "" if x.layout == torch.strided else f"{x.layout} "
            kind += "meta " if x.device.type == "meta" else ""
            raise DataError(
                f"cannot count a {kind}tensor of {x.dtype}: {_ADVICE}; sparse tensors need x.to_dense() first"
            )
        if isinstance(x, torch.Tensor) and x.device.type == "cuda":
            with self._lock:
                table = self._tables.get(x.device)
                if table is None:
                    table = self._tables[x.device] = Table(x.device)
                kernels.count(x, table)
                self._below_grid |= x.dtype == torch.float64
            return self
        try:
            kernels.count(x, _scratch.table)
            counts = _scratch.table.take()
            if x.dtype in (torch.float64, np.float64) and _reaches_below(counts):
                counts = counts._replace(least=_least_below(x))
        except BaseException:  # interrupted half-way: nothing of x may reach another histogram
            _scratch.table = Table(torch.device("cpu"))
            raise
        with self._lock:
            self._counts = add_counts(self._counts, counts)
        return self

    def __add__(self, other: object) -> "BitHistogram":
        if not isinstance(other, BitHistogram):
            return NotImplemented
        total = BitHistogram()
        total._counts = add_counts(self._settled(), other._settled())
        return total

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BitHistogram):
            return NotImplemented
        mine, its = self._settled(), other._settled()
        return all(
            np.array_equal(np.asarray(first), np.asarray(second)) for first, second in zip(mine, its, strict=True)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return BitHistogram.from_arrays, (self.to_arrays(),)

    def __repr__(self) -> str:
        return f"BitHistogram(count={self.count}, min={self.min:g}, max={self.max:g})"

    def _settled(self) -> Counts:
        """Fetch what is still on devices, and give all counts."""
        if self._tables:
            with self._lock:
                counts = self._counts
                for table in self._tables.values():
                    read = table.read()
                    if self._below_grid and _reaches_below(read):
                        read = read._replace(least=math.ulp(0.0))
                    counts = add_counts(counts, read)
                self._counts, self._tables = counts, {}  # at the end, so that an interrupt loses nothing
        return self._counts

    @property
    def count(self) -> int:
        """How many values were counted, of every kind."""
        counts = self._settled()
        return int(counts.counts.sum() + counts.special.sum())

    @property
    def zeros(self) -> int:
        """How many are zero, of either sign."""
        return int(self._settled().special[grid.ZEROS - grid.BINS])

    @property
    def nan(self) -> int:
        """How many are not a number."""
        return int(self._settled().special[grid.NAN - grid.BINS])

    @property
    def infinite(self) -> int:
        """How many are infinite, of either sign."""
        return int(self._settled().special[grid.POSITIVE_INFINITY - grid.BINS :].sum())

    @property
    def nonfinite(self) -> int:
        """How many are infinite or not a number."""
        return self.infinite + self.nan

    @property
    def negative(self) -> int:
        """How many are less than zero."""
        counts = self._settled()
        first = np.searchsorted(counts.bins, grid.MAGNITUDES)
        return int(counts.counts[first:].sum() + counts.special[grid.NEGATIVE_INFINITY - grid.BINS])

    @property
    def min(self) -> float:
        """The lowest finite value, exactly; NaN where there is none."""
        return grid.key_to_value(self._settled().lowest) + 0.0  # there is no negative zero

    @property
    def max(self) -> float:
        """The highest finite value, exactly; NaN where there is none."""
        return grid.key_to_value(self._settled().highest) + 0.0

    def msb_counts(self, sign: Literal["negative", "positive"] | None = None) -> "pd.Series[int]":
        """Count the finite nonzero values by the position of their leading one.

        Parameters
        ----------
        sign
            Count the values of one sign only. The index covers the values of both all the same.

        Returns
        -------
        Series of int64
            Indexed by bit position, without gaps, from the highest to the lowest that occurs; empty if none does.

        Examples
        --------
        >>> BitHistogram().update(np.array([4.0, 7.5, -1.0])).msb_counts().to_dict()
        {2: 2, 1: 0, 0: 1}
        """
        if sign not in (None, "negative", "positive"):
            raise DataError(f"sign is 'negative', 'positive' or None, not {sign!r}")
        counts = self._settled()
        octaves = grid.octave_of(counts.bins)
        highest, lowest = (int(octaves.max()), int(octaves.min())) if octaves.size else (-1, 0)
        totals = np.zeros(highest - lowest + 1, np.int64)
        chosen = slice(None)
        if sign is not None:
            middle = int(np.searchsorted(counts.bins, grid.MAGNITUDES))
            chosen = slice(middle) if sign == "positive" else slice(middle, None)
        np.add.at(totals, highest - octaves[chosen], counts.counts[chosen])
        return pd.Series(totals, index=pd.RangeIndex(highest, lowest - 1, -1, name="bit"), name="count")

    def _prepared(self) -> Edges:
        counts = self._settled()
        prepared = self._edges
        if prepared is None or prepared[0] is not counts:
            prepared = self._edges = counts, Edges.of(counts)
        return prepared[1]

    def preview(self, fmt: FixedPoint) -> Preview:
        """Tell what ``fmt`` would do to the values that were counted, without them."""
        if not isinstance(fmt, FixedPoint):
            raise FormatError(f"a preview is of a FixedPoint, such as FixedPoint.parse('Q4.3'), not of {fmt!r}")
        return preview(self._prepared(), fmt)

    def previews(self, word_length: int, signed: bool) -> pd.DataFrame:
        """Preview every window of a word length: from one where nothing overflows to one below the lowest bit.

        Returns
        -------
        DataFrame
            Indexed by ``msb``, from high to low, with the fields of `Preview` as columns. Rounding is ``half_away`` and
            overflow saturates.
        """
        return previews(self._prepared(), word_length, signed)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Give everything that is remembered as arrays: sorted bins and their counts, special counts, extremes.

        The extremes are the lowest and the highest finite value, and, where nonzero magnitudes lie below the grid, a
        bound of those.
        """
        counts = self._settled()
        extremes = [grid.key_to_value(counts.lowest), grid.key_to_value(counts.highest)]
        if math.isfinite(counts.least):
            extremes.append(counts.least)
        return {
            "bins": counts.bins,
            "counts": counts.counts,
            "special": counts.special,
            "extremes": np.array(extremes),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Make the histogram that `to_arrays` was asked of.

        Raises
        ------
        DataError
            An array is missing, or does not hold what it should.
        """
        if not isinstance(arrays, Mapping):
            raise DataError(f"the arrays of a bit histogram are a dict, not {type(arrays).__name__}; {_FROM}")
        expected = {"bins": np.int32, "counts": np.int64, "special": np.int64, "extremes": np.float64}
        for name, kind in expected.items():
            array = arrays.get(name)
            if not isinstance(array, np.ndarray) or array.dtype != kind or array.ndim != 1:
                given = "is missing" if array is None else f"is {_described(array)}"
                raise DataError(f"not the arrays of a bit histogram: {name!r} {given}; {_FROM}")
        bins, counts, special, extremes = (np.array(arrays[name]) for name in expected)
        sound = (
            bins.size == counts.size
            and special.size == 4
            and extremes.size in (2, 3)
            and (np.diff(bins) > 0).all()
            and (not bins.size or (bins[0] >= 0 and bins[-1] < grid.BINS))
            and (counts > 0).all()
            and (special >= 0).all()
            and counts.sum(dtype=float) + special.sum(dtype=float) < 2**63
        )
        if not sound:
            raise DataError(
                "not the arrays of a bit histogram: bins must ascend within the grid, and counts be positive"
            )
        low, high, least = (*extremes, math.inf)[:3]
        if not _are_ends(low, high, bins, int(special[0])) or not least > 0:
            raise DataError(
                f"not the arrays of a bit histogram: the lowest and the highest value cannot be {low:g} and {high:g} "
                f"with these bins; {_FROM}"
            )
        histogram = cls()
        lowest = grid.NO_LOWEST if np.isnan(low) else grid.value_to_key(low)
        highest = grid.NO_HIGHEST if np.isnan(high) else grid.value_to_key(high)
        histogram._counts = Counts(bins, counts, special, lowest, highest, float(least))
        return histogram

    def _repr_html_(self) -> str:
        return histogram_picture.draw(self.msb_counts("positive"), self.msb_counts("negative"), repr(self))


def move_counts(sources: Iterable[BitHistogram], targets: Iterable[BitHistogram]) -> None:
    """Add to each histogram what another one counted, and leave that empty to count on; no device is waited for."""
    on_devices = defaultdict[torch.device, tuple[list[Table], list[Table]]](lambda: ([], []))
    with contextlib.ExitStack() as locks:
        for source, target in zip(sources, targets, strict=True):
            locks.enter_context(source._lock)
            locks.enter_context(target._lock)
            target._counts, source._counts = add_counts(target._counts, source._counts), no_counts()
            target._below_grid |= source._below_grid
            for device, table in list(source._tables.items()):
                if device in target._tables:
                    on_devices[device][0].append(table)
                    on_devices[device][1].append(target._tables[device])
                else:
                    target._tables[device] = source._tables.pop(device)
        for tables in on_devices.values():
            pour(*tables)


_FROM = "use what to_arrays() gave"


def _described(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    return f"of type {type(value).__name__}"


def _are_ends(low: float, high: float, bins: npt.NDArray[np.int32], zeros: int) -> bool:
    """Whether these can be the extremes of the values that were counted; NaN where none was."""
    negative = int(np.searchsorted(bins, grid.MAGNITUDES))
    if not bins.size and not zeros:
        return math.isnan(low) and math.isnan(high)
    # Along a sign, bins ascend with the magnitude.
    lowest = bins[-1] if negative < bins.size else grid.ZEROS if zeros else bins[0]
    highest = bins[negative - 1] if negative else grid.ZEROS if zeros else bins[0]
    finite = math.isfinite(low) and math.isfinite(high)
    return finite and low <= high and (grid.cell_of(low), grid.cell_of(high)) == (lowest, highest)


def _reaches_below(counts: Counts) -> bool:
    """Whether a bin is occupied that also holds what lies below the grid."""
    return bool(np.isin((0, grid.MAGNITUDES), counts.bins).any())


def _least_below(x: Any) -> float:
    """Give the least nonzero magnitude of an array or a tensor; infinity where it is not below the grid."""
    least = float(abs(x[(x != 0) & (x == x)]).min())  # NaN is not what it is
    return least if least < 2.0**grid.LOWEST_OCTAVE else math.inf


class _Scratch(threading.local):
    """A table on the CPU for each thread, empty between updates."""

    def __init__(self) -> None:
        self.table = Table(torch.device("cpu"))


_scratch = _Scratch()


def _native(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give an array of float16, float32 or float64 in the machine's byte order, and refuse any other."""
    if x.dtype.kind != "f" or x.dtype.itemsize > 8:
        raise DataError(f"cannot count an array of {x.dtype}: {_ADVICE}")
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))
