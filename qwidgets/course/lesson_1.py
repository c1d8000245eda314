"""Words, signs and binary points."""

from fractions import Fraction
from typing import Any

from qwidgets.course.exercise import Exercise, a_format, a_number, differing, same, words
from qwidgets.course.exercise import numbers as several
from qwidgets.formats import FixedPoint
from qwidgets.teaching import ideal_bits, word

WORD = FixedPoint(8, 3)
NEGATIVE = -2.125
STEP, REACH = Fraction(1, 4), Fraction(7, 2)
STORED, UNSIGNED = 0b11100000, FixedPoint(8, 5, signed=False)


def _range() -> tuple[float, float, float]:
    return WORD.min, WORD.max, WORD.step


def _review_range(answer: Any) -> str:
    wrong = differing(answer, _range(), ("the smallest", "the largest", "the step"))
    if not wrong:
        return ""
    why = {
        "the smallest": "The smallest code of 8 signed bits is -128; how much is a step?",
        "the largest": "The codes of 8 bits go from -128 to 127, not to 128.",
        "the step": "Three bits lie right of the binary point: what is the last of them worth?",
    }
    return f"{wrong}. {why.get(wrong, '')}".strip()


def _pattern() -> str:
    return word(WORD.to_integer(NEGATIVE), WORD)


def _review_pattern(answer: str) -> str:
    bits = answer.replace(".", "")
    if set(bits) - {"0", "1"} or len(bits) != WORD.word_length:
        return f"{WORD.word_length} bits are asked for, each 0 or 1."
    if bits == _pattern():
        return ""
    if bits == "1" + word(WORD.to_integer(-NEGATIVE), WORD)[1:]:
        return "that is a sign and a magnitude. In two's complement, write the magnitude, flip every bit, and add one."
    flipped = format(~WORD.to_integer(-NEGATIVE) & 0xFF, "08b")
    if bits == flipped:
        return "every bit is flipped; now add one."
    return f"{-NEGATIVE} is {ideal_bits(-NEGATIVE)}, which is how many steps of {WORD.step}?"


def _shortest() -> FixedPoint:
    """Try every short format, and keep the first that holds every multiple of the step within reach."""
    wanted = [STEP * k for k in range(-int(REACH / STEP), int(REACH / STEP) + 1)]
    for length in range(2, 33):
        for fraction in range(length + 1):
            fmt = FixedPoint(length, fraction)
            if all(fmt.quantize(float(value)) == value for value in wanted):
                return fmt
    raise AssertionError("32 bits are enough")


def _review_shortest(fmt: FixedPoint) -> str:
    best = _shortest()
    if fmt.step > STEP:
        return f"its step is {fmt.step}, which leaves out {float(STEP)}."
    if fmt.min > -REACH or fmt.max < REACH:
        return f"it reaches from {fmt.min} to {fmt.max}, and both {-float(REACH)} and {float(REACH)} are wanted."
    if fmt.word_length > best.word_length:
        return f"it holds them all, but so does a word shorter than {fmt.word_length} bits."
    return ""


def _stored_value() -> float:
    return UNSIGNED.from_integer(STORED)


def _review_stored(answer: float) -> str:
    if same(answer, _stored_value()):
        return ""
    if same(answer, FixedPoint(8, 5).from_integer(STORED - 256)):
        return "that is what it stands for in two's complement; the u of ufix says that there is no sign."
    return "read the word as a whole number, then count it in steps of 2^-5."


EXERCISES = (
    Exercise(
        "1.1",
        "A signed word of 8 bits has 3 of them right of the binary point. "
        "Which are its smallest value, its largest value, and its step? (three numbers)",
        several,
        _range,
        _review_range,
    ),
    Exercise(
        "1.2",
        f"Which bits stand for {NEGATIVE} in the format Q4.3? (8 bits of two's complement)",
        words,
        _pattern,
        _review_pattern,
    ),
    Exercise(
        "1.3",
        f"A memory holds the word {STORED:08b} in the format ufix8_En5. Which value is that?",
        a_number,
        _stored_value,
        _review_stored,
    ),
    Exercise(
        "1.4",
        f"Which is the shortest signed format that holds every multiple of {float(STEP)} "
        f"from {-float(REACH)} to {float(REACH)}? (a format, in any notation)",
        a_format,
        _shortest,
        _review_shortest,
    ),
)
