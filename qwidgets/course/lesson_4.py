"""Quantizing one layer by hand: products, the growth of the accumulator, the rescale."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from qwidgets.course.exercise import Exercise, a_format, a_number, differing, numbers, same
from qwidgets.formats import FixedPoint

INPUT, WEIGHT, OUTPUT = FixedPoint(8, 7), FixedPoint(8, 6), FixedPoint(8, 5)
X = np.array([0.50, -0.25, 0.99, 0.125, -0.70, 0.33, 0.0, 0.81, -0.99])
W = np.array([[0.8, -1.1, 0.4, 0.0, 0.7, -0.2, 1.3, 0.05, -0.6], [-0.3, 0.8, 1.9, -1.2, 0.1, 0.5, -0.9, 1.6, -1.7]])
B = np.array([0.75, -0.25])
"""The layer: nine inputs, two outputs, a bias for each."""


def _extremes(fmt: FixedPoint) -> tuple[int, int]:
    return fmt.to_integer(fmt.min), fmt.to_integer(fmt.max)


def _product_extremes() -> tuple[int, int]:
    products = [x * w for x in _extremes(INPUT) for w in _extremes(WEIGHT)]
    return min(products), max(products)


def _holding(low: int, high: int, fraction_length: int) -> FixedPoint:
    """The shortest signed format whose codes go from ``low`` to ``high``."""
    for length in range(2, 33):
        least, most = _extremes(FixedPoint(length, 0))
        if least <= low and high <= most:
            return FixedPoint(length, fraction_length)
    raise AssertionError("32 bits are enough for this layer")


def product_format() -> FixedPoint:
    """The format that holds every product of an input and a weight."""
    return _holding(*_product_extremes(), INPUT.fraction_length + WEIGHT.fraction_length)


def accumulator_format() -> FixedPoint:
    """The format that holds every sum of the nine products."""
    low, high = (extreme * X.size for extreme in _product_extremes())
    return _holding(low, high, product_format().fraction_length)


def _review_format(name: str, best: FixedPoint, fmt: FixedPoint, too_short: str) -> str:
    if fmt.fraction_length != best.fraction_length:
        return f"the fraction length. Steps multiply: the step of a product is {INPUT.step:g} times {WEIGHT.step:g}."
    if not fmt.signed:
        return "a product can be negative."
    if fmt.word_length < best.word_length:
        return too_short
    return "" if fmt == best or fmt.word_length == best.word_length else f"{name} needs fewer bits than that."


def _review_product(fmt: FixedPoint) -> str:
    return _review_format("a product", product_format(), fmt, "one product does not fit: -128 times -128.")


def _review_accumulator(fmt: FixedPoint) -> str:
    count, product = X.size, product_format()
    told = f"{count} products of {product.word_length} bits may need {math.log2(count):.1f} bits more than one."
    return _review_format("the sum", accumulator_format(), fmt, told)


def _shift() -> float:
    return float(accumulator_format().fraction_length - OUTPUT.fraction_length)


def _review_shift(answer: float) -> str:
    if same(answer, _shift()):
        return ""
    return "the accumulator has so many bits after the point, the output so many: the difference is shifted out."


def accumulators() -> npt.NDArray[np.int64]:
    """The two sums of integers, bias included."""
    bias = np.round(B / accumulator_format().step).astype(np.int64)
    return WEIGHT.to_integer(W) @ INPUT.to_integer(X) + bias


def output_codes() -> npt.NDArray[np.int64]:
    """The codes of the two outputs: rescaled by integers only, ties away from zero, saturated."""
    shift = int(_shift())
    low, high = _extremes(OUTPUT)
    codes = []
    for total in accumulators().tolist():
        magnitude = (abs(total) + (1 << (shift - 1))) >> shift
        codes.append(min(max(magnitude if total >= 0 else -magnitude, low), high))
    return np.array(codes)


def _review_accumulators(answer: Any) -> str:
    wrong = differing(answer, accumulators(), ("the first sum", "the second sum"))
    if not wrong:
        return ""
    without = accumulators() - np.round(B / accumulator_format().step).astype(np.int64)
    if same(answer, without):
        return "the bias is missing. It is counted in the accumulator's steps."
    return f"{wrong}. Codes times codes, added up, and the bias in steps of 2^{accumulator_format().lsb}."


def _review_codes(answer: Any) -> str:
    wrong = differing(answer, output_codes(), ("the first output", "the second output"))
    if not wrong:
        return ""
    if same(answer, accumulators() >> int(_shift())):
        return f"{wrong}. A shift alone rounds down; add half a step before it, to the magnitude."
    return f"{wrong}. Shift {_shift():g} bits out of the sum, rounding ties away from zero, and saturate to 8 bits."


EXERCISES = (
    Exercise(
        "4.1",
        "Inputs are numerictype(1,8,7), weights numerictype(1,8,6). "
        "Which is the shortest format that holds every product of the two?",
        a_format,
        product_format,
        _review_product,
    ),
    Exercise(
        "4.2",
        f"And which is the shortest that holds every sum of {X.size} such products?",
        a_format,
        accumulator_format,
        _review_accumulator,
    ),
    Exercise(
        "4.3",
        "Which two integers stand in the accumulators of the layer when all is added up, the bias too?",
        numbers,
        lambda: accumulators().astype(float),
        _review_accumulators,
    ),
    Exercise(
        "4.4",
        "The output is numerictype(1,8,5). By how many bits is the accumulator shifted to the right?",
        a_number,
        _shift,
        _review_shift,
    ),
    Exercise(
        "4.5",
        "Which two 8-bit codes leave the layer? (ties away from zero)",
        numbers,
        lambda: output_codes().astype(float),
        _review_codes,
    ),
)
