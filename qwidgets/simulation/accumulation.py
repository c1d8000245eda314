"""Exact sums of products of integer codes, whatever floating-point type carries the codes.

A tensor of codes is carried as the values that the codes stand for, multiples of one step. Sums and products of such
values are exact as long as the carrying type holds every partial sum, and :class:`Codes` knows how large those can
become; so neither the order of a sum, nor a fused multiply-add, nor the device can change a code. Sums that no float
type holds are computed in pieces of 16 bits and put together in 64-bit integers.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.tuning import check_width

Bilinear = Callable[[Tensor, Tensor], Tensor]
"""A convolution, a matrix product, a product: linear in each of two tensors."""

FLOAT64_HOLDS = 2**53


@dataclasses.dataclass(frozen=True)
class Codes:
    """What is known of a tensor of codes before it is computed: each value is ``code * 2**lsb / divisor``.

    Parameters
    ----------
    lsb
        Position of the step.
    low, high
        Bounds of the codes.
    divisor
        1, or what every code is still to be divided by: the number of values of an average. Such a tensor is carried
        in float64 as its quotients; each is near enough to the true one that rounding it to a step gives the same code.
    """

    lsb: int
    low: int
    high: int
    divisor: int = 1

    @classmethod
    def of(cls, fmt: FixedPoint | PerChannel) -> Self:
        """Give the codes that a format has; those of formats per channel counted in the finest step."""
        bits = fmt.msb - fmt.lsb + 1
        return cls(fmt.lsb, -(1 << bits) if fmt.signed else 0, (1 << bits) - 1)

    @property
    def largest(self) -> int:
        """The largest magnitude that a code can have."""
        return max(-self.low, self.high)

    @property
    def carrier(self) -> torch.dtype:
        """The smallest of float32 and float64 that holds all these values."""
        return torch.float32 if self.held_by(torch.float32) else torch.float64

    def held_by(self, dtype: torch.dtype) -> bool:
        """Whether a float type holds all these values."""
        info = torch.finfo(dtype)
        bits = 1 - round(math.log2(info.eps))
        lowest, highest = math.log2(info.smallest_normal), math.log2(info.max)
        fits = self.largest <= 1 << bits and lowest <= self.lsb and self.lsb + self.largest.bit_length() < highest
        return fits and self.divisor == 1

    def aligned(self, lsb: int) -> "Codes":
        """Give the same values counted in a finer step."""
        shift = self.lsb - lsb
        return Codes(lsb, self.low << shift, self.high << shift, self.divisor)


class Accumulator:
    """A register of ``bits`` bits in which a layer sums up: it wraps around, and counts how often.

    Parameters
    ----------
    bits
        Its width, the sign bit counted; 2 to 53.

    Attributes
    ----------
    needed_bits
        The width that holds every sum that it was asked about, whatever the data.
    """

    def __init__(self, bits: int) -> None:
        check_width(bits)
        self.needed_bits = 0
        self.limit = 1 << (bits - 1)
        self._overflows = torch.zeros((), dtype=torch.int64)

    @property
    def overflows(self) -> int:
        """How many sums did not fit since it was made."""
        return int(self._overflows)

    def fits(self, codes: Codes) -> bool:
        """Whether it holds all these sums."""
        return codes.low >= -self.limit and codes.high < self.limit

    def codes(self, codes: Codes) -> Codes:
        """Give what is known of sums after they went through it."""
        self.needed_bits = max(self.needed_bits, 1 + max((-1 - codes.low).bit_length(), codes.high.bit_length()))
        if self.fits(codes):
            return codes
        return dataclasses.replace(codes, low=-self.limit, high=self.limit - 1)

    def hold(self, total: Tensor, codes: Codes) -> Tensor:
        """Wrap exact sums ``total``, of which ``codes`` is known, into the register."""
        if self.fits(codes):
            return total
        steps = total.double() * 2.0**-codes.lsb
        wrapped = torch.remainder(steps + self.limit, 2 * self.limit) - self.limit
        self._count(wrapped != steps)
        return wrapped * 2.0**codes.lsb

    def sum(self, operation: Bilinear, a: "Coded", b: "Coded", bias: Tensor | None, codes: Codes) -> Tensor:
        """Sum products of codes and a bias, and wrap what does not fit.

        Parameters
        ----------
        operation
            What multiplies and sums; it is given two tensors of one float type.
        a, b
            The factors, with what is known of them.
        bias
            Values that are multiples of the step of the sums, in a shape that can be added to them.
        codes
            What is known of the sums before they are wrapped; its step is the product of the factors' steps.
        """
        if codes.largest > FLOAT64_HOLDS:
            return self._wide_sum(operation, a, b, bias, codes)
        dtype = torch.float32 if _float32_is_exact(a, b, codes) else torch.float64
        total = operation(a.values.to(dtype), b.values.to(dtype))
        return self.hold(total if bias is None else total + bias.to(dtype), codes)

    def _wide_sum(self, operation: Bilinear, a: "Coded", b: "Coded", bias: Tensor | None, codes: Codes) -> Tensor:
        step = 2.0**codes.lsb
        estimate = operation(a.values.double(), b.values.double()) / step
        total = torch.zeros_like(estimate, dtype=torch.int64)
        for i, a_part in enumerate(a.parts()):
            for j, b_part in enumerate(b.parts()):
                total += operation(a_part, b_part).to(torch.int64) << 16 * (i + j)
        if bias is not None:
            bias_steps = bias.double() / step
            estimate = estimate + bias_steps
            total = total + torch.fmod(bias_steps, 2.0**62).to(torch.int64)
        wrapped = ((total + self.limit) & (2 * self.limit - 1)) - self.limit
        # Beyond 62 bits the integers themselves have wrapped, and only the estimate tells.
        self._count((wrapped != total) | (estimate.abs() >= 2.0**62))
        return wrapped.double() * step

    def _count(self, overflowed: Tensor) -> None:
        # Stays on the device: nothing waits until someone asks.
        self._overflows = self._overflows.to(overflowed.device) + overflowed.sum()


@dataclasses.dataclass(frozen=True)
class Coded:
    """A tensor of values that codes stand for, with what is known of the codes."""

    values: Tensor
    codes: Codes

    def parts(self) -> tuple[Tensor, Tensor]:
        """Give the low 16 bits of each code (0 … 65535) and the rest (signed), in float64."""
        integers = (self.values.double() * 2.0**-self.codes.lsb).to(torch.int64)
        return (integers & 0xFFFF).double(), (integers >> 16).double()


def _float32_is_exact(a: Coded, b: Coded, codes: Codes) -> bool:
    """Whether float32 holds the factors and every partial sum, and the library will not use anything less.

    Elsewhere than in oneDNN on the CPU, convolutions may be done by transforms with fractions, or in TF32.
    """
    holds = all(known.carrier == torch.float32 for known in (a.codes, b.codes, codes))
    return holds and a.values.device.type == "cpu" and _onednn_is_exact()


def _onednn_is_exact() -> bool:
    onednn = torch.backends.mkldnn
    precisions = (onednn.conv.fp32_precision, onednn.matmul.fp32_precision)  # type: ignore[attr-defined]
    used = onednn.is_available() and bool(onednn.enabled)
    return used and all(precision in ("none", "ieee") for precision in precisions)
