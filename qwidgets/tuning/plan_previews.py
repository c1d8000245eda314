"""What formats do to the tensors of a plan: read from histograms, or counted on the weights themselves.

A histogram tells what one format does to a whole tensor. Where each output channel has its own, the values are counted;
these are weights only, of which the calibration has a copy.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from qwidgets.calibration import Calibration
from qwidgets.errors import FormatError
from qwidgets.formats import ACCUMULATOR, AccumulatorFormat, FixedPoint, PerChannel, round_in_place
from qwidgets.histograms import Preview
from qwidgets.tuning.snapshot import Format, NumberFormat


class Previews:
    """Answers, each worked out once."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Preview] = {}

    def of(
        self, calibration: Calibration, name: str, fmt: NumberFormat, formats: Callable[[str], Format]
    ) -> Preview | None:
        """Tell what a format would do to a tensor, where the others have theirs; None where its step is not known."""
        if isinstance(fmt, AccumulatorFormat):
            placed = _at_accumulators(calibration, name, formats)
            found = [self._of(calibration, name, each) for each in dict.fromkeys(placed)]
            return max(found, key=lambda preview: preview.overflow, default=None)
        return self._of(calibration, name, fmt)

    def _of(self, calibration: Calibration, name: str, fmt: FixedPoint | PerChannel) -> Preview:
        key = (id(calibration), name, fmt, calibration[name].count)
        if key not in self._known:
            if len(self._known) > 64 * len(calibration):
                self._known.clear()
            self._known[key] = (
                calibration[name].preview(fmt) if isinstance(fmt, FixedPoint) else count(calibration.values(name), fmt)
            )
        return self._known[key]


def _at_accumulators(
    calibration: Calibration, bias: str, formats: Callable[[str], Format]
) -> Iterator[FixedPoint | PerChannel]:
    """Give the formats that a bias has where it is added, one for each call of its layer."""
    for each in calibration.sums:
        if each.bias != bias or each.weight is None or bias not in calibration.parameters:
            continue
        x, weight = formats(each.reads[0]) if each.reads else None, formats(each.weight)
        if isinstance(x, FixedPoint) and isinstance(weight, FixedPoint | PerChannel):
            with contextlib.suppress(FormatError):  # no format has that step, which quantize() says
                yield ACCUMULATOR.at(x.lsb, weight)


def count(values: Tensor, fmt: PerChannel) -> Preview:
    """Tell what formats per channel do to values, by doing it; the errors too are exact."""
    return Effect.of(values, fmt).together()


@dataclass(frozen=True)
class Effect:
    """What formats per channel did to each value, flat, a row per channel.

    Attributes
    ----------
    values
        As they were, float64.
    errors
        What was added to them; 0 where they are not finite.
    underflow, overflow
        Whether they became zero, and whether they lay outside the range.
    """

    values: Tensor
    errors: Tensor
    underflow: Tensor
    overflow: Tensor

    @classmethod
    def of(cls, values: Tensor, fmt: PerChannel) -> Self:
        """Do it."""
        values = values.detach().double()
        quantized = fmt.quantize(values).reshape(len(values), -1)
        values = values.reshape(len(values), -1)
        scaled = values / torch.from_numpy(fmt.steps).reshape(-1, 1)
        scaled = torch.where(scaled == 0, values.sign() * 0.25, scaled)  # too small for a float64, but on its side of 0
        rounded = scaled.numpy().copy()
        round_in_place(np, rounded, fmt.rounding)
        channel = fmt[0]
        outside = (rounded < channel.min / channel.step) | (rounded > channel.max / channel.step)
        over = torch.from_numpy(outside) & ~values.isnan()
        return cls(
            values,
            torch.where(values.isfinite(), quantized - values, 0.0),
            (quantized == 0) & (values != 0) & ~over & ~values.isnan(),
            over,
        )

    def together(self) -> Preview:
        """Sum up all values."""
        return Effect(*(part.reshape(1, -1) for part in vars(self).values())).by_channel()[0]

    def by_channel(self) -> list[Preview]:
        """Sum up the values of each channel."""
        finite = self.values.isfinite()
        counts = [part.sum(1).tolist() for part in (self.underflow, self.overflow, finite)]
        signal = torch.where(finite, self.values, 0.0).square().sum(1).numpy()
        noise = self.errors.square().sum(1).numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            sqnr_db = 10 * np.log10(signal / noise)  # infinite where there is no error, NaN where there is no signal
        largest = self.errors.abs().amax(1).tolist() if self.values.shape[1] else [0.0] * len(noise)
        return [
            Preview(self.values.shape[1], underflow, overflow, float(squares) / max(known, 1), float(db), most, True)
            for underflow, overflow, known, squares, db, most in zip(*counts, noise, sqnr_db, largest, strict=True)
        ]
