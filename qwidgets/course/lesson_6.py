"""From formats to hardware."""

from typing import Any

import numpy as np

from qwidgets.course.exercise import Exercise, a_number, differing, numbers, same
from qwidgets.errors import DataError, FormatError
from qwidgets.formats import FixedPoint

WANTED = FixedPoint.from_window(3, -3, rounding="half_even")
FOREIGN = "fixdt(0,16,18)"
INPUT_FRACTION, WEIGHT_FRACTION, BIAS_FRACTION, OUTPUT_FRACTION = 7, 8, 6, 4
ACCUMULATOR = FixedPoint(24, 0)
TAPS, TAP_FORMAT = np.array([0.9, -1.1, 0.4, -0.6]), FixedPoint(8, 6)


def _ap_fixed(answer: Any) -> FixedPoint:
    if not isinstance(answer, str) or not answer.strip().startswith("ap_"):
        raise DataError("a type of HLS is asked for; it begins with ap_fixed< or ap_ufixed<.")
    return FixedPoint.parse(answer)


def _review_ap_fixed(fmt: FixedPoint) -> str:
    if fmt == WANTED:
        return ""
    if (fmt.word_length, fmt.signed) != (WANTED.word_length, WANTED.signed):
        return f"the word: {WANTED.word_length} bits with a sign."
    if fmt.fraction_length != WANTED.fraction_length:
        return "the second number: HLS counts the bits left of the point, and the sign bit among them."
    if fmt.rounding != WANTED.rounding:
        return f"the rounding: yours is {fmt.rounding}. Ties to even are called convergent, AP_RND_CONV."
    return f"the overflow: yours is {fmt.overflow}; without a word HLS wraps."


def _largest() -> float:
    return FixedPoint.parse(FOREIGN).max


def _review_largest(answer: float) -> str:
    if abs(answer - _largest()) < 1e-6:
        return ""
    fmt = FixedPoint.parse(FOREIGN)
    return f"the largest code is 2^{fmt.word_length} - 1, in steps of 2^{fmt.lsb}: the point lies left of the word."


def _shifts() -> tuple[float, float]:
    product = INPUT_FRACTION + WEIGHT_FRACTION
    return float(product - BIAS_FRACTION), float(product - OUTPUT_FRACTION)


def _review_shifts(answer: Any) -> str:
    wrong = differing(answer, _shifts(), ("the bias shift", "the output shift"))
    return f"{wrong}. The accumulator has the fraction bits of input and weight together." if wrong else ""


def _products() -> float:
    """Add the largest product of two signed 8-bit codes until the accumulator is full."""
    code = FixedPoint(8, 0)
    largest = code.to_integer(code.min) ** 2
    return float(int(ACCUMULATOR.max) // largest)


def _review_products(answer: float) -> str:
    if same(answer, _products()):
        return ""
    if same(answer, _products() + 1):
        return "one less: the largest code is one below the power of two."
    return "which product is the largest, and how often does it go into the largest code of the accumulator?"


def _codes() -> Any:
    return TAP_FORMAT.to_integer(TAPS).astype(float)


def _review_codes(answer: Any) -> str:
    names = tuple(f"the code of {value:g}" for value in TAPS.tolist())
    try:
        wrong = differing(answer, _codes(), names)
    except FormatError as error:
        return str(error)
    return f"{wrong}. Count the value in steps of {TAP_FORMAT.step:g}, and round." if wrong else ""


EXERCISES = (
    Exercise(
        "6.1",
        "Write the window 2^3 … 2^-3, signed, ties to even, saturating, as a type of HLS.",
        _ap_fixed,
        lambda: WANTED.notation("ap_fixed"),
        _review_ap_fixed,
    ),
    Exercise(
        "6.2", f"A colleague's model says {FOREIGN}. What is its largest value?", a_number, _largest, _review_largest
    ),
    Exercise(
        "6.3",
        f"Inputs have {INPUT_FRACTION} fraction bits, weights {WEIGHT_FRACTION}, the bias {BIAS_FRACTION}, the output "
        f"{OUTPUT_FRACTION}. By how many bits is the bias shifted left, and the output right? (two numbers)",
        numbers,
        _shifts,
        _review_shifts,
    ),
    Exercise(
        "6.4",
        "How many products of two signed 8-bit codes can be added in 24 bits before anything can overflow?",
        a_number,
        _products,
        _review_products,
    ),
    Exercise(
        "6.5",
        f"Which integers stand in the C table for the filter {', '.join(f'{tap:g}' for tap in TAPS.tolist())} "
        f"in the format {TAP_FORMAT.notation('numerictype')}?",
        numbers,
        _codes,
        _review_codes,
    ),
)
