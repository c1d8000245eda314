"""The bits of a number, and what a format makes of them: the table at the side of the bit explorer.

Every float is a whole number times a power of two, so its bits are read from Python's integers and are exact. What
becomes of many values at once is decided on arrays, by the arithmetic of `qwidgets.formats.fixed_point`.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from qwidgets.formats import FixedPoint, as_array, round_in_place, scale_floats

Floats = npt.NDArray[np.float64]

OUTCOMES = ("exact", "precision loss", "underflow", "overflow", "not a number")
"""What can happen to a value; the first that applies, from the right."""
EXACT, PRECISION_LOSS, UNDERFLOW, OVERFLOW, NOT_A_NUMBER = range(len(OUTCOMES))

MOST_FRACTION_BITS = 12
MOST_PLACES = 32


def msb_of(value: float) -> int | None:
    """The position of the leading one, ``floor(log2(abs(value)))``; None for zero, infinities and NaN.

    Examples
    --------
    >>> msb_of(16.25), msb_of(-0.03125), msb_of(0.0)
    (4, -5, None)
    """
    if not math.isfinite(value) or value == 0:
        return None
    return math.frexp(value)[1] - 1


def msbs_of(values: Floats) -> npt.NDArray[np.int64]:
    """The positions of the leading ones of the finite nonzero values, in their order."""
    finite = values[np.isfinite(values) & (values != 0)]
    exponents: npt.NDArray[np.int64] = np.frexp(finite)[1].astype(np.int64)
    return exponents - 1


def bits_of(value: float, top: int, bottom: int) -> str:
    """The bits of the magnitude at the positions ``top`` down to ``bottom``.

    Examples
    --------
    >>> bits_of(-2.125, 3, -3)
    '0010001'
    """
    numerator, denominator = abs(value).as_integer_ratio()
    places = denominator.bit_length() - 1
    return "".join(str(numerator >> (bit + places) & 1 if bit >= -places else 0) for bit in range(top, bottom - 1, -1))


def goes_on_below(value: float, bottom: int) -> bool:
    """Whether a finite value has a one below the position ``bottom``.

    Examples
    --------
    >>> goes_on_below(0.25, -2), goes_on_below(2.1, -30)
    (False, True)
    """
    numerator, denominator = value.as_integer_ratio()
    lowest = (numerator & -numerator).bit_length() - denominator.bit_length()
    return numerator != 0 and lowest < bottom


def ideal_bits(value: float) -> str:
    """The value in binary as people write it, with a sign apart and an ellipsis where it goes on.

    Numbers far from one are written with a power of two.

    Examples
    --------
    >>> ideal_bits(16.25), ideal_bits(-2.125), ideal_bits(2.1), ideal_bits(1e-20)
    ('10000.01', '-10.001', '10.000110011001…', '1.011110011100… × 2^-67')
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    sign = "-" if value < 0 else ""
    msb = msb_of(value)
    if msb is None:
        return "0"
    if abs(msb) > MOST_FRACTION_BITS + 4:
        return f"{sign}{_with_point(math.ldexp(value, -msb))} × 2^{msb}"
    return f"{sign}{_with_point(value)}"


def _with_point(value: float) -> str:
    """A magnitude with at most twelve bits after the point, or as many as its leading one needs."""
    top = max(msb_of(value) or 0, 0)
    fraction = max(MOST_FRACTION_BITS, -(msb_of(value) or 0))
    digits = bits_of(value, top, -fraction)
    more = "…" if goes_on_below(value, -fraction) else ""
    whole, rest = digits[: top + 1], digits[top + 1 :]
    rest = rest if more else rest.rstrip("0")
    return f"{whole}.{rest}{more}" if rest else whole


def word(code: int, fmt: FixedPoint) -> str:
    """The bits that are stored for an integer code: two's complement where the format is signed.

    Examples
    --------
    >>> word(17, FixedPoint(8, 3)), word(-17, FixedPoint(8, 3))
    ('00010001', '11101111')
    """
    return format(code & ((1 << fmt.word_length) - 1), f"0{fmt.word_length}b")


def word_with_point(code: int, fmt: FixedPoint) -> str:
    """The stored bits with the binary point in its place, or with a power of two where that lies outside the word.

    Examples
    --------
    >>> word_with_point(17, FixedPoint(8, 3)), word_with_point(17, FixedPoint(8, -2))
    ('00010.001', '00010001 × 2^2')
    """
    stored = word(code, fmt)
    if fmt.fraction_length == 0:
        return stored
    if 0 < fmt.fraction_length < fmt.word_length:
        return f"{stored[: -fmt.fraction_length]}.{stored[-fmt.fraction_length :]}"
    return f"{stored} × 2^{fmt.lsb}"


class Wide(NamedTuple):
    """A code that may not fit its format: all its bits, those that the word drops and those that it keeps."""

    code: int
    dropped: str
    kept: str


def wide_code(value: float, fmt: FixedPoint) -> Wide:
    """The rounded value counted in steps, before anything is done about overflow, in two's complement.

    Examples
    --------
    >>> wide_code(16.25, FixedPoint(8, 3))
    Wide(code=130, dropped='0', kept='10000010')
    """
    rounded = float(_rounded(np.array([value]), fmt)[0])
    # Beyond the largest float a value is a whole number of steps.
    code = int(rounded) if math.isfinite(rounded) else int(value) << fmt.fraction_length
    if _fits(code, fmt):
        return Wide(code, "", word(code, fmt))
    magnitude_bits = (code if code >= 0 else -code - 1).bit_length()
    bits = max(magnitude_bits + (fmt.signed or code < 0), fmt.word_length + 1)
    digits = format(code & ((1 << bits) - 1), f"0{bits}b")
    return Wide(code, digits[: -fmt.word_length], digits[-fmt.word_length :])


def outcomes(values: Floats, fmt: FixedPoint) -> npt.NDArray[np.int8]:
    """What happens to each value, as indices into `OUTCOMES`.

    Examples
    --------
    >>> [OUTCOMES[index] for index in outcomes(np.array([0.25, 2.1, 0.03125, 16.25, np.nan]), FixedPoint(8, 3))]
    ['exact', 'precision loss', 'underflow', 'overflow', 'not a number']
    """
    codes = _rounded(values, fmt)
    least, most = _code_range(fmt)
    result = np.full(values.shape, EXACT, np.int8)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        result[codes * fmt.step != values] = PRECISION_LOSS
    result[(codes == 0) & (values != 0)] = UNDERFLOW
    result[(codes < least) | (codes > most) | np.isinf(values)] = OVERFLOW
    result[np.isnan(values)] = NOT_A_NUMBER
    return result


def count_outcomes(values: Floats, fmt: FixedPoint) -> dict[str, int]:
    """How many values meet with each outcome; only those that occur.

    Examples
    --------
    >>> count_outcomes(np.array([0.25, 2.1, 16.25, 99.0]), FixedPoint(8, 3))
    {'exact': 1, 'precision loss': 1, 'overflow': 2}
    """
    counts = np.bincount(outcomes(values, fmt), minlength=len(OUTCOMES))
    return {name: int(count) for name, count in zip(OUTCOMES, counts, strict=True) if count}


def bit_table(values: Floats, fmt: FixedPoint) -> pd.DataFrame:
    """What the bit explorer tells of each value.

    Returns
    -------
    DataFrame
        A row per value: ``value``, its ``ideal_bits``, the ``kept_bits`` (two's complement, with the binary point),
        ``quantized``, ``error`` (quantized minus value), and the ``outcome``, one of `OUTCOMES`.

    Examples
    --------
    >>> bit_table(np.array([2.1]), FixedPoint(8, 3)).loc[0, ["ideal_bits", "kept_bits", "outcome"]].tolist()
    ['10.000110011001…', '00010.001', 'precision loss']
    """
    values = np.asarray(values, np.float64).ravel()
    quantized = fmt.quantize(values)
    with np.errstate(invalid="ignore"):
        error = quantized - values
    return pd.DataFrame(
        {
            "value": values,
            "ideal_bits": [ideal_bits(value) for value in values.tolist()],
            "kept_bits": [_kept(value, fmt) for value in quantized.tolist()],
            "quantized": quantized,
            "error": error,
            "outcome": [OUTCOMES[index] for index in outcomes(values, fmt)],
        }
    )


def story_of(value: float, fmt: FixedPoint) -> tuple[str, ...]:
    """Tell in sentences what becomes of one value: divided into steps, rounded, made to fit, read back.

    Examples
    --------
    >>> for sentence in story_of(16.25, FixedPoint(8, 3, overflow="wrap")):
    ...     print(sentence)
    16.25 is 130 steps of 0.125.
    130 does not fit: 8 bits hold -128 to 127. It takes the bits 010000010.
    Wrapping drops the highest 0 and keeps 10000010, which stands for -126.
    -126 steps of 0.125 are -15.75: an error of -32.
    """
    step = _plain(fmt.step)
    if math.isnan(value):
        return ("NaN is not a number: no bits stand for it, and it stays what it is.",)
    if math.isinf(value):
        end = _plain(fmt.max if value > 0 else fmt.min)
        fate = f"It saturates at {end}." if fmt.overflow == "saturate" else "Nothing remains of it when it wraps."
        return (f"{ideal_bits(value)} lies outside every range.", fate)
    wide = wide_code(value, fmt)
    scaled = value / fmt.step
    # Beyond the largest float a value is a whole number of steps.
    whole = wide.code if math.isinf(scaled) else scaled
    rounding = "" if whole == wide.code else f", which {fmt.rounding} rounds to {_plain(wide.code)}"
    told = [f"{_plain(value)} is {_plain(whole)} steps of {step}{rounding}."]
    least, most = _code_range(fmt)
    code = fmt.to_integer(value)
    if code == wide.code:
        told.append(f"{code} fits into {fmt.word_length} bits: {word(code, fmt)}.")
    else:
        bits = wide.dropped + wide.kept
        takes = f" It takes the bits {bits}." if len(bits) <= MOST_PLACES + fmt.word_length else ""
        told.append(f"{_plain(wide.code)} does not fit: {fmt.word_length} bits hold {least} to {most}.{takes}")
        if fmt.overflow == "saturate":
            told.append(f"It saturates at {code}: {word(code, fmt)}.")
        else:
            dropped = wide.dropped if len(wide.dropped) <= MOST_PLACES else f"{len(wide.dropped)} bits"
            told.append(f"Wrapping drops the highest {dropped} and keeps {wide.kept}, which stands for {code}.")
    result = fmt.quantize(value)
    error = result - value
    verdict = f"an error of {_plain(error)}" if error else "no error"
    told.append(f"{code} steps of {step} are {_plain(result)}: {verdict}.")
    return tuple(told)


def _kept(quantized: float, fmt: FixedPoint) -> str:
    return "–" if math.isnan(quantized) else word_with_point(fmt.to_integer(quantized), fmt)


def _rounded(values: Floats, fmt: FixedPoint) -> Floats:
    """The values in steps, rounded as the format does, whatever their size."""
    xp, array = as_array(values)
    with np.errstate(all="ignore"):
        codes = scale_floats(xp, array, fmt.fraction_length, False, None, fmt.rounding in ("floor", "ceil"))
        round_in_place(xp, codes, fmt.rounding)
    result: Floats = codes
    return result


def _code_range(fmt: FixedPoint) -> tuple[int, int]:
    return int(fmt.min / fmt.step), int(fmt.max / fmt.step)


def _fits(code: int, fmt: FixedPoint) -> bool:
    least, most = _code_range(fmt)
    return least <= code <= most


def _plain(number: float) -> str:
    """A number with at most ten digits; one that is too large for a float by the bits it has."""
    if abs(number) >= 2**1000:
        return f"{'-' if number < 0 else ''}2^{int(abs(number)).bit_length() - 1} or more"
    return f"{number:.10g}"
