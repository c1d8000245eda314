"""Sums over batches from which the SQNR and the mean error of a tensor follow."""

import math

import torch
from torch import Tensor


class QuantizationError:
    """What quantization did to some values, as sums in float64 that stay on the device until they are asked for."""

    def __init__(self) -> None:
        self._sums: Tensor | float = 0.0

    def add(self, reference: Tensor, value: Tensor) -> None:
        """Count the values of one batch; nothing waits for the device. Integers and truth values are not counted."""
        if reference.is_complex():
            reference, value = torch.view_as_real(reference), torch.view_as_real(value)
        if not reference.is_floating_point():
            return
        # The difference of two float16 values may be beyond the largest of them.
        reference = reference.to(torch.promote_types(reference.dtype, torch.float32))
        finite = reference.isfinite()
        error = torch.where(finite, value - reference, 0)
        signal = torch.where(finite, reference, 0)
        squares = (torch.linalg.vector_norm(part, dtype=torch.float64) ** 2 for part in (signal, error))
        self._sums = self._sums + torch.stack([*squares, error.sum(dtype=torch.float64), finite.sum()])

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
