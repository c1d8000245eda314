"""Rounding, underflow, overflow."""

import dataclasses

import numpy as np

from qwidgets.course.exercise import Exercise, a_format, a_number, same, words
from qwidgets.formats import FixedPoint
from qwidgets.teaching import PRESETS, RULES, WINDOW, count_outcomes, mean_errors

VALUES = PRESETS["worked example"].values
TIES = np.arange(0.5, 8)
LOUD = 20.0


def _without_underflow() -> FixedPoint:
    """Try every window of 8 signed bits: no underflow first, and then the least overflow."""
    windows = [FixedPoint.from_window(msb, msb - 6) for msb in range(12, -12, -1)]
    return min(windows, key=lambda fmt: (_count("underflow", fmt), _count("overflow", fmt), fmt.lsb))


def _count(outcome: str, fmt: FixedPoint) -> int:
    return count_outcomes(VALUES, fmt).get(outcome, 0)


def _review_window(fmt: FixedPoint) -> str:
    best = _without_underflow()
    if fmt.word_length != 8 or not fmt.signed:
        return f"a signed format of 8 bits is asked for, and this has {fmt.word_length}."
    if _count("underflow", fmt):
        return "a value still becomes zero. Which bit does it need, or the one below which rounding saves it?"
    if _count("overflow", fmt) > _count("overflow", best):
        return f"nothing underflows, but {_count('overflow', fmt)} values overflow; fewer can."
    return ""


def _unbiased() -> str:
    return str(mean_errors(TIES.tolist()).abs().idxmin())


def _review_unbiased(answer: str) -> str:
    if answer not in RULES:
        return f"the roundings are called {', '.join(RULES)}."
    bias = mean_errors(TIES.tolist())[answer]
    return f"the mean error of {answer} over these ties is {bias:+.3g}." if abs(bias) > 1e-12 else ""


def _wrapped() -> float:
    return dataclasses.replace(WINDOW, overflow="wrap").quantize(LOUD)


def _review_wrapped(answer: float) -> str:
    if same(answer, _wrapped()):
        return ""
    if same(answer, WINDOW.quantize(LOUD)):
        return "that is where it saturates."
    return f"{LOUD} is {LOUD / WINDOW.step:g} steps. Take 256 away until the code fits, and count back in steps."


def _smallest() -> float:
    """Halve the distance between what becomes zero and what does not, until no float is left between."""
    below, above = 0.0, WINDOW.step
    while np.nextafter(below, above) < above:
        middle = (below + above) / 2
        below, above = (below, middle) if WINDOW.quantize(middle) else (middle, above)
    return above


def _review_smallest(answer: float) -> str:
    if same(answer, _smallest()):
        return ""
    if same(answer, WINDOW.step):
        return "that is the smallest value that the format has, but smaller ones are rounded up to it."
    return "a value becomes zero when zero is the nearest: where is the middle between zero and the first step?"


EXERCISES = (
    Exercise(
        "2.1",
        "Move the window of the explorer, 8 bits and signed, so that no value becomes zero, "
        "and as few overflow as then can be.",
        a_format,
        _without_underflow,
        _review_window,
    ),
    Exercise(
        "2.2",
        "Which is the smallest positive value that does not become zero in the window 2^3 … 2^-3, "
        "rounded to the nearest, ties away from zero?",
        a_number,
        _smallest,
        _review_smallest,
    ),
    Exercise(
        "2.3",
        "A signal holds nothing but the positive ties 0.5, 1.5, … 7.5. Which rounding has no bias on it?",
        words,
        _unbiased,
        _review_unbiased,
    ),
    Exercise(
        "2.4",
        f"What becomes of {LOUD:g} in the window 2^3 … 2^-3, signed, when overflow wraps?",
        a_number,
        _wrapped,
        _review_wrapped,
    ),
)
