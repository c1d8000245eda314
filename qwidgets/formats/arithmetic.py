"""Scaling, rounding and overflow of numbers of any kind, exactly.

One set of functions serves NumPy arrays and torch tensors: ``xp`` is the module that an array belongs to. Every step
is exact in the floating-point type that it is done in, or changes nothing that the next step looks at; scaling is by
powers of two only. Nothing here knows of formats, and nothing moves data between devices.
"""

import math
from types import ModuleType
from typing import Any

import numpy as np
import torch

from qwidgets.errors import DataError

_TORCH_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def as_array(x: Any) -> tuple[ModuleType, Any]:
    """Give the module to compute with, and the numbers as a detached tensor or an array of at least one dimension.

    Integers become int64. A Python int, which may be too large for any array, stays as it is.

    Raises
    ------
    DataError
        These are not real numbers, or unsigned 64-bit integers of 2**63 and above.
    """
    if isinstance(x, torch.Tensor) and x.layout == torch.strided:
        if x.dtype in _TORCH_FLOATS:
            return torch, x.detach()
        if not (x.is_floating_point() or x.is_complex() or x.is_quantized or x.dtype == torch.bool):
            wide = x.detach().to(torch.int64)
            if x.dtype == torch.uint64:
                _refuse_beyond_int64(bool((wide < 0).any()))
            return torch, wide
    elif isinstance(x, np.ndarray | np.generic) and x.dtype.kind in "fiu":
        array = np.atleast_1d(x)
        if array.dtype.kind == "f":
            return np, array
        if array.dtype.itemsize == 8 and array.dtype.kind == "u":
            _refuse_beyond_int64(bool((array >> 63).any()))
        return np, array.astype(np.int64)
    elif isinstance(x, int) and not isinstance(x, bool):
        return np, x
    elif isinstance(x, float):
        return np, np.array([x])
    raise DataError(
        f"expected a number, a NumPy array or a torch tensor of integers or floats, not {describe(x)}; "
        "convert it with numpy.asarray(x, float) or torch.as_tensor(x) first"
    )


def _refuse_beyond_int64(found: bool) -> None:
    if found:
        raise DataError("unsigned integers of 2**63 and above are not supported; convert them to float64 first")


def is_integer(array: Any) -> bool:
    """Tell whether what `as_array` gave is of integers."""
    if isinstance(array, torch.Tensor):
        return not array.is_floating_point()
    return isinstance(array, int) or array.dtype.kind == "i"


def in_kind_of(x: Any, array: Any) -> Any:
    """Give an array that was computed from ``as_array(x)`` the kind and the shape of ``x``."""
    if isinstance(x, torch.Tensor):
        return array
    if isinstance(x, np.ndarray):
        return array.reshape(x.shape)
    return array[0] if isinstance(x, np.generic) else array.item()


def describe(x: object) -> str:
    """Say in an error what was given: its type, and for anything short what it is."""
    if isinstance(x, torch.Tensor):
        return f"a {x.layout} {x.dtype} tensor".replace("torch.strided ", "")
    if isinstance(x, np.ndarray | np.generic):
        return f"{type(x).__name__} of {x.dtype}"
    return repr(x) if x is None or isinstance(x, bool | complex | str | bytes) else type(x).__name__


def cast(xp: ModuleType, array: Any, dtype: Any) -> Any:
    """Convert an array to another type, without a copy where it is of that type."""
    return array.to(dtype) if xp is torch else array.astype(dtype, copy=False)


def scale_floats(xp: ModuleType, x: Any, exponent: int, narrow: bool, modulus_bits: int | None, sided: bool) -> Any:
    """Give ``x * 2**exponent`` in a new array.

    Parameters
    ----------
    narrow : bool
        Whether float32 will do for an ``x`` that is not wider; it takes half the time and the memory of float64.
    modulus_bits : int, optional
        Keep the result finite and exact modulo ``2**modulus_bits``; infinities, which have no remainder, become NaN.
        Without it a result that is too large is an infinity.
    sided : bool
        Keep a result that is too small for its type on its side of zero, for a rounding that asks for the side only.
    """
    work = x.dtype if x.dtype.itemsize > 8 else xp.float32 if narrow and x.dtype.itemsize <= 4 else xp.float64
    x = cast(xp, x, work)
    if modulus_bits is None:
        y = x * math.ldexp(1.0, exponent)
    else:
        # No mantissa has 64 bits to the right of its leading one: what is clipped has remainder zero before and after.
        bound = min(math.ldexp(1.0, modulus_bits - exponent + 64), float(xp.finfo(work).max))
        y = xp.clip(x, -bound, bound)
        y *= math.ldexp(1.0, exponent)
        y += x - x
    if sided and exponent < 0:
        y = xp.where(y == 0, xp.sign(x) * 0.25, y)
    return y


def scale_integers(xp: ModuleType, n: Any, exponent: int, modulus_bits: int | None) -> Any:
    """Give ``n * 2**exponent`` in float64, so that it rounds to a whole number of up to 33 bits as if it were exact.

    What is larger than that stays larger. With ``modulus_bits``, what rounds so is a number of the same sign and the
    same remainder modulo ``2**modulus_bits``, however large ``n`` is.
    """
    # Below the first two bits after the binary point it only matters whether there is anything: "round to odd".
    shift = max(-exponent - 2, 0)
    shift = shift if isinstance(n, int) else min(shift, 63)
    n = (n >> shift) | ((n & ((1 << shift) - 1)) != 0)
    if modulus_bits is not None:
        modulus = 1 << min(max(modulus_bits - exponent - shift, 0), 62)
        # A negative number stays negative, since ties may go by the sign.
        n = n % modulus - modulus * (n < 0)
    scale = math.ldexp(1.0, exponent + shift)
    if isinstance(n, int):
        return np.array([min(max(n, -(1 << 62)), 1 << 62) * scale])
    return cast(xp, n, xp.float64) * scale


def round_in_place(xp: ModuleType, y: Any, rounding: str) -> None:
    """Round finite numbers to whole ones; NaN stays."""
    if rounding in ("half_away", "double", "zero"):
        # trunc() of torch takes ten times as long as floor().
        magnitude = xp.abs(y)
        round_in_place(xp, magnitude, "floor" if rounding == "zero" else "half_up")
        xp.copysign(magnitude, y, out=y)
    elif rounding == "half_up":
        # Whole halves first, and then an odd one goes up. Adding 0.5 would not be exact.
        y *= 2
        xp.floor(y, out=y)
        y *= 0.5
        xp.ceil(y, out=y)
    else:
        {"half_even": xp.round, "floor": xp.floor, "ceil": xp.ceil}[rounding](y, out=y)


def wrap_in_place(xp: ModuleType, y: Any, bits: int, signed: bool) -> None:
    """Take whole numbers modulo ``2**bits``, into the range of two's complement if ``signed``."""
    # remainder() of torch fails for quotients that do not fit an integer; these differences are exact for any.
    quotient = y * math.ldexp(1.0, -bits)
    y -= xp.floor(quotient, out=quotient) * (1 << bits)
    if signed:
        quotient = y * math.ldexp(1.0, 1 - bits)
        y -= xp.floor(quotient, out=quotient) * (1 << bits)


def toward_zero(xp: ModuleType, values: Any, dtype: Any) -> Any:
    """Convert to a narrower floating type, a number that it does not hold to the next one toward zero that it does."""
    nearest = cast(xp, values, dtype)
    whole = {2: xp.int16, 4: xp.int32}[dtype.itemsize]
    # Read as integers, floating-point numbers of one sign stand in the order of their magnitudes.
    excess = cast(xp, abs(nearest) > abs(values), whole)
    return (nearest.view(whole) - excess).view(dtype)
