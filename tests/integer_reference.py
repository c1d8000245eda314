"""An int64 NumPy computer of small networks, written apart from the package: no torch, no floating point in its sums.

A tensor is `Ints`: codes with a fraction length, and a divisor for a quotient that was not rounded yet.
"""

import math
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from qwidgets.formats import FixedPoint

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Ints:
    codes: Codes
    fraction: int
    divisor: int = 1

    def at(self, fraction: int) -> Codes:
        assert fraction >= self.fraction
        return self.codes << (fraction - self.fraction)


def encode(values: NDArray[np.floating], fmt: FixedPoint) -> Ints:
    """Quantize floating-point numbers by their exact binary digits."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    integers = (mantissa * 2**53).astype(np.int64)
    flat = [
        _one(int(n), int(e) - 53, fmt)
        for n, e in zip(integers.ravel().tolist(), exponent.ravel().tolist(), strict=True)
    ]
    return Ints(np.array(flat, np.int64).reshape(values.shape), fmt.fraction_length)


def rescale(x: Ints, fmt: FixedPoint) -> Ints:
    """Divide, round and limit codes to a format, by integer arithmetic alone."""
    flat = [rescaled(int(n), x.fraction - fmt.fraction_length, fmt, x.divisor) for n in x.codes.ravel().tolist()]
    return Ints(np.array(flat, np.int64).reshape(x.codes.shape), fmt.fraction_length)


def rescale_once(x: Ints, fmt: FixedPoint) -> Ints:
    """The same for what was made of sums, of which no kernel rounds in two steps."""
    return rescale(x, replace(fmt, rounding=_once(fmt.rounding)))


def rescaled(n: int, shift: int, fmt: FixedPoint, divisor: int = 1) -> int:
    """The code of an integer sum over ``2**shift * divisor``."""
    if fmt.rounding == "double" and divisor == 1 and shift > 0:
        n, shift = _in_two_steps(n, shift), 0
    return _one(n, -shift - fmt.fraction_length, fmt, divisor)


def _in_two_steps(n: int, shift: int) -> int:
    """As gemmlowp: a doubling multiplication by 2^30, then a rounding shift to the right."""
    doubled = (n * (1 << 30) + (1 << 30)) >> 31
    if shift == 1:
        return doubled
    mask = (1 << (shift - 1)) - 1
    return (doubled >> (shift - 1)) + ((doubled & mask) > (mask >> 1) + (doubled < 0))


def _one(n: int, exponent: int, fmt: FixedPoint, divisor: int = 1) -> int:
    """The code of ``n * 2**exponent / divisor``."""
    shift = exponent + fmt.fraction_length
    n, divisor = (n << shift, divisor) if shift >= 0 else (n, divisor << -shift)
    whole, rest = divmod(n, divisor)
    up: bool = {
        "floor": False,
        "ceil": rest > 0,
        "zero": n < 0 and rest > 0,
        "half_up": 2 * rest >= divisor,
        "double": 2 * rest > divisor or (2 * rest == divisor and n > 0),
        "half_away": 2 * rest > divisor or (2 * rest == divisor and n > 0),
        "half_even": 2 * rest > divisor or (2 * rest == divisor and whole % 2 == 1),
    }[fmt.rounding]
    code = whole + up
    low = -(1 << (fmt.word_length - 1)) if fmt.signed else 0
    if fmt.overflow == "saturate":
        return min(max(code, low), low + (1 << fmt.word_length) - 1)
    return (code - low) % (1 << fmt.word_length) + low


def wrapped(codes: Codes, bits: int = 32) -> Codes:
    half = np.int64(1 << (bits - 1))
    return ((codes + half) & (2 * half - 1)) - half


def _once(rounding: str) -> str:
    """What a bias, which is no sum, is rounded by."""
    return "half_away" if rounding == "double" else rounding


def with_bias(total: Codes, fraction: int, bias: Ints | None, rounding: str, axis: int) -> Ints:
    if bias is not None:
        finer = bias.fraction > fraction
        aligned = (
            rescale(bias, FixedPoint(32, fraction, rounding=_once(rounding))).codes if finer else bias.at(fraction)
        )
        total = total + aligned.reshape([-1 if i == axis % total.ndim else 1 for i in range(total.ndim)])
    return Ints(wrapped(total), fraction)


def convolution(
    x: Ints,
    w: Ints,
    bias: Ints | None,
    rounding: str,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Ints:
    dims = x.codes.ndim - 2
    padded = np.pad(x.codes, [(0, 0), (0, 0), *[(padding, padding)] * dims])
    kernel, taps = w.codes.shape[2:], math.prod(w.codes.shape[2:])
    sizes = [(n - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(padded.shape[2:], kernel, strict=True)]
    outputs, inputs = w.codes.shape[0] // groups, w.codes.shape[1]
    total = np.zeros((len(padded), w.codes.shape[0], *sizes), np.int64)
    for number, tap in enumerate(product(*map(range, kernel))):
        window = padded[
            (slice(None), slice(None))
            + tuple(slice(t * dilation, t * dilation + stride * n, stride) for t, n in zip(tap, sizes, strict=True))
        ]
        for group in range(groups):
            rows = slice(group * outputs, (group + 1) * outputs)
            taken = window[:, group * inputs : (group + 1) * inputs]
            total[:, rows] += _mixed(taken, w.codes.reshape(-1, inputs, taps)[rows, :, number])
    return with_bias(total, x.fraction + w.fraction, bias, rounding, axis=1)


def transposed_convolution(
    x: Ints, w: Ints, bias: Ints | None, rounding: str, stride: int = 1, padding: int = 0, groups: int = 1
) -> Ints:
    kernel, taps = w.codes.shape[2:], math.prod(w.codes.shape[2:])
    sizes = [(n - 1) * stride + k for n, k in zip(x.codes.shape[2:], kernel, strict=True)]
    inputs, outputs = x.codes.shape[1] // groups, w.codes.shape[1]
    total = np.zeros((len(x.codes), outputs * groups, *sizes), np.int64)
    for number, tap in enumerate(product(*map(range, kernel))):
        places = tuple(slice(t, t + stride * n, stride) for t, n in zip(tap, x.codes.shape[2:], strict=True))
        for group in range(groups):
            rows = slice(group * outputs, (group + 1) * outputs)
            taken = slice(group * inputs, (group + 1) * inputs)
            total[(slice(None), rows, *places)] += _mixed(
                x.codes[:, taken], w.codes.reshape(-1, outputs, taps)[taken, :, number].T
            )
    inner = tuple(slice(padding, n - padding) for n in sizes)
    return with_bias(total[(slice(None), slice(None), *inner)], x.fraction + w.fraction, bias, rounding, axis=1)


def _mixed(x: Codes, w: Codes) -> Codes:
    """Sum over channels: (batch, inputs, ...) by (outputs, inputs) to (batch, outputs, ...)."""
    return np.moveaxis(np.tensordot(x, w, (1, 1)), -1, 1)


def linear(x: Ints, w: Ints, bias: Ints | None, rounding: str) -> Ints:
    return with_bias(x.codes @ w.codes.T, x.fraction + w.fraction, bias, rounding, axis=-1)


def matmul(a: Ints, b: Ints) -> Ints:
    return Ints(wrapped(a.codes @ b.codes), a.fraction + b.fraction)


def multiply(a: Ints, b: Ints) -> Ints:
    return Ints(wrapped(a.codes * b.codes), a.fraction + b.fraction)


def add(a: Ints, b: Ints, sign: int = 1) -> Ints:
    fraction = max(a.fraction, b.fraction)
    return Ints(wrapped(a.at(fraction) + sign * b.at(fraction)), fraction)


def concatenate(parts: list[Ints]) -> Ints:
    fraction = max(part.fraction for part in parts)
    return Ints(np.concatenate([part.at(fraction) for part in parts], axis=1), fraction)


def clamp(x: Ints, low: int | None, high: int | None) -> Ints:
    """Bounds are whole numbers that are multiples of the step, as for every fraction length that is not negative."""
    assert x.fraction >= 0
    codes = x.codes if low is None else np.maximum(x.codes, low << x.fraction)
    return Ints(codes if high is None else np.minimum(codes, high << x.fraction), x.fraction)


def hardswish(x: Ints) -> Ints:
    gate = np.clip(x.codes + (3 << x.fraction), 0, 6 << x.fraction)
    return Ints(x.codes * gate, 2 * x.fraction, 6)


def hardsigmoid(x: Ints) -> Ints:
    return Ints(np.clip(x.codes + (3 << x.fraction), 0, 6 << x.fraction), x.fraction, 6)


def leaky_relu(x: Ints, significand: int, fraction: int) -> Ints:
    """The slope is ``significand * 2**-fraction``."""
    scaled = np.where(x.codes >= 0, x.codes << fraction, x.codes * significand)
    return Ints(scaled, x.fraction + fraction)


def average_pool(x: Ints, kernel: int, stride: int) -> Ints:
    dims = x.codes.ndim - 2
    sizes = [(n - kernel) // stride + 1 for n in x.codes.shape[2:]]
    total = np.zeros((*x.codes.shape[:2], *sizes), np.int64)
    for tap in product(range(kernel), repeat=dims):
        total += x.codes[
            (slice(None), slice(None))
            + tuple(slice(t, t + stride * n, stride) for t, n in zip(tap, sizes, strict=True))
        ]
    return Ints(total, x.fraction, kernel**dims)
