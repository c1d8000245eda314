"""Formats whose sums fit an accumulator, whatever the data: the largest sum follows from the weights and the formats.

A scheme looks at one tensor at a time, and products of long words do not fit 32 bits when many are added; nor does a
bias in the steps of weights that are next to nothing. Where that is so, either the windows of the layer's weight are
moved up, or the word of what it reads is shortened from below: bit by bit, each time whichever adds less error.
"""

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from qwidgets.calibration import Calibration
from qwidgets.errors import FormatError, PlanError
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.histograms import BitHistogram
from qwidgets.network import LAYERS, PRODUCTS, TOTALS, Sum
from qwidgets.tuning.snapshot import Format

ACCUMULATOR_BITS = 32
"""The width of a sum, where nothing else is said."""

WIDEST_ACCUMULATOR = 53
"""What float64 holds."""

SHORTEST = 2
"""Bits below which no word is shortened."""

Window = FixedPoint | PerChannel


@dataclasses.dataclass(frozen=True)
class Room:
    """What leaving room for sums changes.

    Attributes
    ----------
    formats
        By row, those that are coarser than what was chosen for the tensor alone.
    bits, needed_bits
        The width of the accumulators, and one in which no format has to be coarser; 0 where only the biases are stored
        in too few bits.

    Examples
    --------
    >>> str(Room({"fc": FixedPoint(13, 9)}, 32, 37))
    '1 format coarser, so that sums fit 32 bits; accumulator_bits=37 needs none'
    """

    formats: Mapping[str, Window] = dataclasses.field(default_factory=dict)
    bits: int = ACCUMULATOR_BITS
    needed_bits: int = 0

    def __str__(self) -> str:
        if not self.formats:
            return ""
        count = f"{len(self.formats)} format{'s' if len(self.formats) > 1 else ''} coarser"
        if not self.needed_bits:
            return f"{count}, so that biases fit"
        return f"{count}, so that sums fit {self.bits} bits; accumulator_bits={self.needed_bits} needs none"


def check_width(bits: object) -> None:
    """Raise a PlanError where no accumulator has a width.

    Examples
    --------
    >>> check_width(64)
    Traceback (most recent call last):
        ...
    qwidgets.errors.PlanError: an accumulator has 2 to 53 bits, not 64
    """
    if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= WIDEST_ACCUMULATOR:
        raise PlanError(f"an accumulator has 2 to {WIDEST_ACCUMULATOR} bits, not {bits!r}")


def leave(
    calibration: Calibration,
    formats: Mapping[str, Format],
    movable: Collection[str],
    bits: int = ACCUMULATOR_BITS,
    may_shorten: Callable[[str, FixedPoint], bool] = lambda row, fmt: True,
    bias_bits: Mapping[str, int] = MappingProxyType({}),
) -> Room:
    """Make formats coarser until no sum can leave its accumulator, or none can be made coarser that has a part in it.

    Parameters
    ----------
    calibration
        Of the network. Where it does not know what is summed, or the values of a weight, nothing is changed.
    formats
        Of all rows.
    movable
        The rows whose formats may be changed.
    bits
        The width of the accumulators, the sign bit counted.
    may_shorten
        Asked for a tensor that a sum reads whether it can have a format whose word is shorter.
    bias_bits
        By the row that leaves a layer, the bits that its bias is stored in at the step of its sums.
    """
    found, needed = dict(formats), 0
    for each in _reading(calibration, movable):
        terms = _of(calibration, each, found, bias_bits.get(each.row, WIDEST_ACCUMULATOR))
        if terms is None or terms.fits(bits):
            continue
        needed = max(needed, terms.bits if terms.bits > bits else 0)
        while not terms.fits(bits):
            coarser = list(terms.coarser(movable, may_shorten, bits))
            if not coarser:
                break
            terms = min(coarser, key=lambda one: one.noise)
        found |= terms.formats
    return Room({row: fmt for row, fmt in _windows(found).items() if fmt != formats[row]}, bits, needed)


def leave_as_before(
    calibration: Calibration,
    before: Mapping[str, Format],
    chosen: Mapping[str, Format],
    after: Calibration | None = None,
) -> dict[str, Format]:
    """Make formats that were chosen for some rows coarser where sums would need more than 32 bits and than before.

    Parameters
    ----------
    calibration, before
        As they are.
    chosen
        What some rows get.
    after
        The statistics then, where they are others.
    """
    known = (_of(calibration, each, before) for each in _reading(calibration, chosen))
    bits = max((terms.bits for terms in known if terms is not None), default=0)
    room = leave(after or calibration, {**before, **chosen}, chosen, max(bits, ACCUMULATOR_BITS))
    return {**chosen, **room.formats}


def _reading(calibration: Calibration, rows: Collection[str]) -> Iterator[Sum]:
    """Give the sums that some rows have a part in."""
    return (each for each in calibration.sums if any(row in rows for row in (*each.reads, each.weight, each.bias)))


class _Terms(Protocol):
    """What one sum is made of, under formats that can be made coarser."""

    @property
    def formats(self) -> Mapping[str, Window]:
        """Of all that the sum reads."""
        ...

    @property
    def bits(self) -> int:
        """The width of a register that holds every sum."""
        ...

    def fits(self, bits: int) -> bool:
        """Whether no sum can leave a register of a width."""
        ...

    @property
    def noise(self) -> float:
        """How much rounding adds, as a share of the mean square of what it is added to."""
        ...

    def coarser(
        self, movable: Collection[str], may_shorten: Callable[[str, FixedPoint], bool], bits: int
    ) -> "Iterator[_Terms]":
        """Give the same with each of the formats one bit coarser that can be."""
        ...


def _of(
    calibration: Calibration, of: Sum, formats: Mapping[str, Format], bias_bits: int = WIDEST_ACCUMULATOR
) -> _Terms | None:
    """Give the terms of a sum; None where it is in float, sums nothing, or is not known well enough."""
    constants = [row for row in (of.weight, of.bias) if row is not None]
    if any(formats.get(row) is None for row in (*of.reads, *constants)) or not of.reads or of.terms is None:
        return None
    windows = _windows({row: formats[row] for row in (*of.reads, *constants)})
    if not all(isinstance(windows.get(row), FixedPoint) for row in of.reads):
        return None
    if not all(row in calibration.parameters for row in constants):
        return None
    if of.weight is None:
        squares = {row: _mean_square(calibration[row]) for row in of.reads}
        bias = 0.0 if of.bias is None else float(calibration.values(of.bias).abs().max())
        return _Products(of, windows, squares, bias) if of.operation in PRODUCTS.keys() | TOTALS | LAYERS else None
    return _Layer.of(calibration, of, windows, bias_bits)


class _Products:
    """Products of two tensors, or values of one, added up, and a bias of this magnitude."""

    def __init__(self, of: Sum, formats: dict[str, Window], squares: Mapping[str, float], bias: float) -> None:
        self.formats = formats
        self._of = of
        self._squares = squares
        self._bias = bias

    @property
    def bits(self) -> int:
        ends = [_ends(self.formats[row]) for row in self._of.reads]
        assert self._of.terms is not None
        if len(ends) == 1:
            return max((self._of.terms * end - (end > 0)).bit_length() for end in (-ends[0][0], ends[0][1] + 1)) + 1
        products = self._of.terms * math.prod(max(end) for end in ends)
        lsb = sum(self.formats[row].lsb for row in self._of.reads)
        return (products + math.ceil(math.ldexp(self._bias, -lsb)) + (self._bias > 0)).bit_length() + 1

    def fits(self, bits: int) -> bool:
        return self.bits <= bits

    @property
    def noise(self) -> float:
        return sum(_rounding(self.formats[row]) / self._squares[row] for row in dict.fromkeys(self._of.reads))

    def coarser(
        self, movable: Collection[str], may_shorten: Callable[[str, FixedPoint], bool], bits: int
    ) -> Iterator[_Terms]:
        for row, shorter in _shortened(self.formats, self._of.reads, movable, may_shorten):
            yield _Products(self._of, {**self.formats, row: shorter}, self._squares, self._bias)


@dataclasses.dataclass(frozen=True)
class _Layer:
    """Products with a constant weight, added up with a bias.

    Attributes
    ----------
    summed, formats
        What is summed, and under which formats.
    magnitudes, squares, bias
        Of each output channel: the sums of the magnitudes and of the squares of its weights, its bias's magnitude.
    x_square, y_square
        The mean squares of what enters and of what leaves.
    bias_bits
        Those that the bias is stored in.
    """

    summed: Sum
    formats: dict[str, Window]
    magnitudes: Tensor
    squares: Tensor
    bias: Tensor
    x_square: float
    y_square: float
    bias_bits: int

    @classmethod
    def of(cls, calibration: Calibration, of: Sum, formats: dict[str, Window], bias_bits: int) -> "_Layer":
        """Give it for the values that a calibration knows."""
        assert of.weight is not None
        weight = _by_output(calibration.values(of.weight).double(), of)
        bias = torch.zeros(len(weight)) if of.bias is None else calibration.values(of.bias).double().abs().flatten()
        magnitudes, squares = weight.abs().sum(1), weight.square().sum(1)
        x_square = _mean_square(calibration[of.reads[0]])
        y_square = _mean_square(calibration[of.row]) if of.row in calibration else x_square * float(squares.mean())
        return cls(of, formats, magnitudes, squares, bias, x_square, y_square, bias_bits)

    @property
    def bits(self) -> int:
        return max(map(_width, self._sums()), default=0)

    def fits(self, bits: int) -> bool:
        return not any(self._too_fine(bits))

    @property
    def noise(self) -> float:
        x = self.formats[self.summed.reads[0]]
        assert self.summed.terms is not None
        lost = torch.minimum(self.summed.terms * self._steps().square() / 12, self.squares).mean()
        return _rounding(x) / self.x_square + float(lost) * self.x_square / self.y_square

    def coarser(
        self, movable: Collection[str], may_shorten: Callable[[str, FixedPoint], bool], bits: int
    ) -> Iterator[_Terms]:
        for row, shorter in _shortened(self.formats, self.summed.reads, movable, may_shorten):
            yield self._with(row, shorter)
        if self.summed.weight in movable:
            raised = _raised(self._weight, self._too_fine(bits))
            if raised is not None:
                yield self._with(self.summed.weight, raised)

    def _with(self, row: str | None, fmt: Window) -> "_Layer":
        assert row is not None
        return dataclasses.replace(self, formats={**self.formats, row: fmt})

    @property
    def _weight(self) -> Window:
        assert self.summed.weight is not None
        return self.formats[self.summed.weight]

    def _steps(self) -> Tensor:
        """Give the step of the weight, or of each output channel."""
        fmt = self._weight
        return torch.from_numpy(fmt.steps) if isinstance(fmt, PerChannel) else torch.tensor(fmt.step).double()

    def _too_fine(self, bits: int) -> list[bool]:
        """Tell of each channel whether its sums do not fit, or not together with the steps of the coarsest channel."""
        widths = [_width(each) for each in self._sums()]
        biases = [_width(each) for each in self._biases().tolist()]
        lengths = self._weight.fraction_lengths if isinstance(self._weight, PerChannel) else (0,) * len(widths)
        apart = max(lengths) - min(lengths) + min(bits, max(widths)) > WIDEST_ACCUMULATOR
        return [
            width > bits or bias > self.bias_bits or (apart and length == max(lengths))
            for width, bias, length in zip(widths, biases, lengths, strict=True)
        ]

    def _biases(self) -> Tensor:
        """Give the magnitude of each channel's bias in the steps of its sums, and what rounding may add."""
        return self.bias / (self._steps() * math.ldexp(1.0, self.formats[self.summed.reads[0]].lsb)) + 0.5

    def _sums(self) -> list[float]:
        """Bound the magnitudes of each channel's sums, in its own steps."""
        x, steps = self.formats[self.summed.reads[0]], self._steps()
        assert self.summed.terms is not None
        # Rounded up or down, a weight's code is less than one more than its value in steps.
        most = float(self.summed.terms * max(_ends(self._weight)))
        codes = (self.magnitudes / steps + self.summed.terms).clamp(max=most)
        sums: list[float] = (codes * max(_ends(x)) + self._biases() + 1).tolist()
        return sums


def _by_output(weight: Tensor, of: Sum) -> Tensor:
    """Give a weight as a matrix with a row for each output channel."""
    if of.operation == "batch_norm":
        return weight.unsqueeze(1)
    if "transpose" in of.operation:  # (in, out / groups, ...): an output sums over the inputs of its group
        weight = weight.reshape(of.groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
    return weight.flatten(1)


def _windows(formats: Mapping[str, Format]) -> dict[str, Window]:
    """Give the formats that have a step of their own."""
    return {row: fmt for row, fmt in formats.items() if isinstance(fmt, FixedPoint | PerChannel)}


def _ends(fmt: Window) -> tuple[int, int]:
    """Give the largest magnitudes of a format's codes, below and above zero."""
    magnitude_bits = fmt.word_length - fmt.signed
    return (1 << magnitude_bits if fmt.signed else 0), (1 << magnitude_bits) - 1


def _width(largest: float) -> int:
    """Give the bits of a register for integers up to a magnitude."""
    return math.frexp(largest)[1] + 1


def _rounding(fmt: Window) -> float:
    """Give the mean square of what rounding to a format's step adds."""
    return math.ldexp(1.0, 2 * fmt.lsb) / 12


def _mean_square(histogram: BitHistogram) -> float:
    """Estimate it, with the values spread evenly between powers of two; never zero."""
    counts = histogram.msb_counts()
    squares = math.fsum(counts.to_numpy() * np.ldexp(7 / 3, 2 * counts.index.to_numpy()))
    return max(squares / max(histogram.count, 1), math.ldexp(1.0, -1000))


def _shortened(
    formats: Mapping[str, Window],
    rows: Collection[str],
    movable: Collection[str],
    may_shorten: Callable[[str, FixedPoint], bool],
) -> Iterator[tuple[str, FixedPoint]]:
    """Give for each row that can have one its format with the lowest bit dropped."""
    for row in dict.fromkeys(rows):
        fmt = formats[row]
        if row in movable and isinstance(fmt, FixedPoint) and fmt.word_length > SHORTEST:
            shorter = dataclasses.replace(fmt, word_length=fmt.word_length - 1, fraction_length=fmt.fraction_length - 1)
            if may_shorten(row, shorter):
                yield row, shorter


def _raised(fmt: Window, which: list[bool]) -> Window | None:
    """Move a window one bit up, or those of some channels; None where formats end."""
    try:
        if isinstance(fmt, PerChannel):
            lengths = tuple(n - moves for n, moves in zip(fmt.fraction_lengths, which, strict=True))
            return dataclasses.replace(fmt, fraction_lengths=lengths)
        return dataclasses.replace(fmt, fraction_length=fmt.fraction_length - 1)
    except FormatError:
        return None
