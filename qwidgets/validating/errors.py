"""Sums over batches from which the SQNR and the mean error of a tensor, or of all outputs of a network, follow."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


class Errors:
    """What quantization did to some values, as sums in float64 that stay on the device until they are asked for."""

    def __init__(self) -> None:
        self._sums: Tensor | float = 0.0

    def add(self, reference: Tensor, value: Tensor) -> None:
        """Count the values of one batch; nothing waits for the device."""
        if not reference.is_floating_point():
            return
        finite = reference.isfinite()
        error = torch.where(finite, value - reference, 0)
        signal = torch.where(finite, reference, 0)
        squares = (torch.linalg.vector_norm(part, dtype=torch.float64) ** 2 for part in (signal, error))
        self._sums = self._sums + torch.stack([*squares, error.sum(dtype=torch.float64), finite.sum()])

    def add_outputs(self, reference: Any, outputs: Any) -> None:
        """Count all tensors among the outputs of one batch."""
        for value, its in zip(pytree.tree_leaves(reference), pytree.tree_leaves(outputs), strict=True):
            if isinstance(value, Tensor):
                self.add(value, its)

    def summary(self) -> tuple[float, float]:
        """Give the SQNR in dB and the mean error; NaN where nothing was counted."""
        if not isinstance(self._sums, Tensor):
            return math.nan, math.nan
        signal, noise, error, count = self._sums.tolist()
        if not count:
            return math.nan, math.nan
        if not noise:
            return math.inf, 0.0
        return (10 * math.log10(signal / noise) if signal else -math.inf), error / count

    @property
    def sqnr_db(self) -> float:
        """Mean square of the float values over mean square of the error, in dB."""
        return self.summary()[0]

    @property
    def noise(self) -> float:
        """The sum of the squared errors."""
        return float(self._sums[1]) if isinstance(self._sums, Tensor) else 0.0
