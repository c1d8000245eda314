"""What quantization did to one tensor: how much, whether the means of its channels moved, which bits it left unused."""

import math

from torch import Tensor

from qwidgets.formats import FixedPoint
from qwidgets.tuning import Format
from qwidgets.validation import QuantizationError


class TensorErrors(QuantizationError):
    """What quantization did to a tensor, with the shift of its channels' means and the low bits that it leaves unused.

    Parameters
    ----------
    fmt
        Its format.
    operation
        Of its layer: that of a linear layer has its channels last.
    """

    def __init__(self, fmt: Format, operation: str) -> None:
        super().__init__()
        self._format = fmt if isinstance(fmt, FixedPoint) else None
        self._channels_last = operation == "linear"
        self._dead: int | None = None
        self._shift: Tensor | float = 0.0
        self._noise: Tensor | float = 0.0
        self._count = 0

    def add(self, reference: Tensor, value: Tensor) -> None:
        """Count the values of one batch."""
        super().add(reference, value)
        if not reference.is_floating_point() or reference.ndim == 0:
            return
        error = (value.double() - reference.double()).nan_to_num(0.0, 0.0, 0.0)
        axis = error.ndim - 1 if self._channels_last or error.ndim < 2 else 1
        others = [dimension for dimension in range(error.ndim) if dimension != axis]
        self._shift = self._shift + error.sum(others)
        self._noise = self._noise + error.square().sum()
        self._count += error.numel() // max(error.shape[axis], 1)
        if self._format is not None and self._dead != 0:
            dead = _dead_bits(value, self._format)
            self._dead = dead if self._dead is None else min(self._dead, dead)

    @property
    def mean_share(self) -> float:
        """How much of the squared error is a shift of the channels' means."""
        if not self._count or not float(self._noise):
            return 0.0
        assert isinstance(self._shift, Tensor)
        return float((self._shift.square().sum() / self._count) / self._noise)

    @property
    def dead_bits(self) -> int:
        """So many low bits were zero in every code."""
        return self._dead or 0


def _dead_bits(values: Tensor, fmt: FixedPoint) -> int:
    """Count the low bits that are zero in all codes but those that saturate; 0 where all codes are zero."""
    codes = values.double()[(values > fmt.min) & (values < fmt.max)].mul(math.ldexp(1.0, -fmt.lsb)).long()
    if not codes.any():
        return 0
    dead = 0
    while dead < fmt.word_length and not bool((codes & (1 << dead)).any()):
        dead += 1
    return dead
