"""Sums over batches from which the SQNR and the mean error of a tensor follow."""

import math

import torch
from torch import Tensor

PIECE = 1 << 17
"""Values that a processor's cache holds with all that is made of them here: together they take half the time."""


class QuantizationError:
    """What quantization did to some values, as sums in float64 that stay on the device until they are asked for."""

    def __init__(self) -> None:
        self._sums: Tensor | float = 0.0

    def add(self, reference: Tensor, value: Tensor) -> None:
        """Count the values of one batch; nothing waits for the device. Integers and truth values are not counted."""
        reference, value = as_real(reference), as_real(value)
        if not reference.is_floating_point():
            return
        pieces = zip(reference.flatten().split(PIECE), value.flatten().split(PIECE), strict=True)
        for piece in pieces if reference.device.type == "cpu" else [(reference.flatten(), value.flatten())]:
            self._sums = self._sums + _sums(*piece)

    def summary(self) -> tuple[float, float]:
        """Give the SQNR in dB and the mean error; NaN where nothing was counted.

        Where a finite value became infinite or NaN, nothing is left of the signal: the SQNR is minus infinity.
        """
        if not isinstance(self._sums, Tensor):
            return math.nan, math.nan
        signal, noise, error, count = self._sums.tolist()
        if not count:
            return math.nan, math.nan
        if not noise:
            return math.inf, 0.0
        lost = not signal or not math.isfinite(noise)
        return (-math.inf if lost else 10 * math.log10(signal / noise)), error / count

    @property
    def sqnr_db(self) -> float:
        """Mean square of the float values over mean square of the error, in dB."""
        return self.summary()[0]

    @property
    def relative_noise(self) -> float:
        """The squared error as a share of the squared values; of values that are all zero, the squared error itself."""
        if not isinstance(self._sums, Tensor):
            return 0.0
        signal, noise, *_ = self._sums.tolist()
        return math.inf if math.isnan(noise) else float(noise / (signal or 1.0))


def as_real(values: Tensor) -> Tensor:
    """Give complex values as pairs of real ones; others as they are."""
    return torch.view_as_real(values) if values.is_complex() else values


def finite_errors(reference: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give values and their errors, both zero where a value is not finite, and where they are finite.

    In float64, as the difference of two float16 values may be beyond the largest of them.
    """
    values = reference.double()
    error = value.double() - values
    finite = values.isfinite()
    lost = finite.logical_not()
    return values.masked_fill(lost, 0), error.masked_fill_(lost, 0), finite


def _sums(reference: Tensor, value: Tensor) -> Tensor:
    """Sum up the squares of the finite values, the errors' squares and the errors; give their number beside that."""
    values, error, finite = finite_errors(reference, value)
    return torch.stack([values.dot(values), error.dot(error), error.sum(), finite.count_nonzero()])
