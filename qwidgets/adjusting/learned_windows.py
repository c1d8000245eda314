"""Windows that are learned: each moves by powers of two, where the gradient of its threshold's logarithm leads it.

A threshold t is where a window ends; what is learned is log2 t, and what is computed with is the nearest power of two.
The gradient of what is rounded with respect to log2 t is, in steps, the rounding error inside the window, and the end
of the window for what saturates.

Source: Jain, Gural, Wu and Dick, "Trained Quantization Thresholds for Accurate and Efficient Fixed-Point Inference of
Deep Neural Networks" (2020), for the gradient.
"""

import dataclasses

import torch
from torch import Tensor

from qwidgets.adjusting.straight_through import steps_of
from qwidgets.formats import FixedPoint, PerChannel

FURTHEST = 4
"""No window moves by more bits."""


class LearnedWindow:
    """The window of a format, or of each channel, that moves by as many bits as are learned.

    Parameters
    ----------
    fmt
        Where it begins.
    device
        Of what is rounded.

    Attributes
    ----------
    shift
        By how many bits it is higher, before these are rounded: one number, or one for each channel.
    """

    def __init__(self, fmt: FixedPoint | PerChannel, device: torch.device) -> None:
        self._fmt = fmt
        self.shift = torch.zeros(len(fmt) if isinstance(fmt, PerChannel) else (), device=device)

    @property
    def format(self) -> FixedPoint | PerChannel:
        """The format with its window where it is now."""
        bits = self._bits().int()
        if isinstance(self._fmt, PerChannel):
            lengths = zip(self._fmt.fraction_lengths, bits.tolist(), strict=True)
            return dataclasses.replace(self._fmt, fraction_lengths=tuple(length - by for length, by in lengths))
        return dataclasses.replace(self._fmt, fraction_length=self._fmt.fraction_length - int(bits))

    def __call__(self, values: Tensor) -> Tensor:
        """Round values; gradients lead to them, and to the shift.

        Examples
        --------
        >>> import math
        >>> window = LearnedWindow(FixedPoint(4, 1), torch.device("cpu"))
        >>> _ = window.shift.requires_grad_(True)
        >>> rounded = window(torch.tensor([0.3, 9.0]))
        >>> rounded.tolist()
        [0.5, 3.5]
        >>> rounded.sum().backward()
        >>> round(window.shift.grad.item() / math.log(2), 3) == round(0.5 - 0.3 + 3.5, 3)
        True
        """
        fmt = self.format
        rounded = fmt.quantize(values.detach())
        moved = self._bits() - self.shift.detach() + self.shift  # as its own rounding, which lets gradients pass
        shaped = moved.reshape(-1, *[1] * (values.ndim - 1)) if isinstance(fmt, PerChannel) else moved
        steps = (torch.exp2(shaped) * steps_of(self._fmt, values)).to(values.dtype)
        codes, exact = values / steps, rounded / steps.detach()
        saturates = (exact - codes.detach()).abs() > 1
        inside = torch.where(saturates, exact, codes)
        return (inside + (exact - inside.detach())) * steps

    def _bits(self) -> Tensor:
        """Give by how many whole bits the window is higher."""
        return self.shift.detach().round().clamp(-FURTHEST, FURTHEST)
