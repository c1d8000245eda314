"""Reading a bit histogram."""

import numpy as np

from qwidgets.course.exercise import Exercise, a_format, a_number, same
from qwidgets.formats import FixedPoint
from qwidgets.histograms import BitHistogram
from qwidgets.teaching import PRESETS, count_outcomes, msbs_of, sqnr_db

VALUES = PRESETS["worked example"].values
WEIGHTS = PRESETS["ten thousand weights"].values
SHORT = 6
BIT = -2


def histogram() -> BitHistogram:
    """The bit histogram of the ten thousand weights that the notebook looks at."""
    return BitHistogram().update(WEIGHTS)


def _values_at_bit() -> float:
    return float((msbs_of(VALUES) == BIT).sum())


def _review_values(answer: float) -> str:
    if same(answer, _values_at_bit()):
        return ""
    return f"only a leading one counts: the values from {2.0**BIT} up to, but without, {2.0 ** (BIT + 1)}."


def _finest_safe() -> FixedPoint:
    """Try every window of 8 signed bits from below, until no value overflows."""
    windows = (FixedPoint.from_window(msb, msb - 6) for msb in range(-20, 20))
    return next(fmt for fmt in windows if not count_outcomes(WEIGHTS, fmt).get("overflow"))


def _review_safe(fmt: FixedPoint) -> str:
    best = _finest_safe()
    if fmt.word_length != 8 or not fmt.signed:
        return f"a signed format of 8 bits is asked for, and this has {fmt.word_length}."
    overflow = count_outcomes(WEIGHTS, fmt).get("overflow", 0)
    if overflow:
        return f"{overflow} values overflow."
    return "" if fmt.msb == best.msb else "nothing overflows, but a finer window does not either."


def _sqnr(fmt: FixedPoint) -> float:
    return sqnr_db(WEIGHTS, fmt.quantize(WEIGHTS) - WEIGHTS)


def _best_short() -> FixedPoint:
    """Quantize the weights themselves in every window."""
    return max((FixedPoint.from_window(msb, msb - SHORT + 2) for msb in range(-12, 12)), key=_sqnr)


def _review_short(fmt: FixedPoint) -> str:
    best = _best_short()
    if fmt.word_length != SHORT or not fmt.signed:
        return f"a signed format of {SHORT} bits is asked for, and this has {fmt.word_length}."
    if fmt.msb == best.msb:
        return ""
    return f"{fmt} gives {_sqnr(fmt):.1f} dB; another window is {_sqnr(best) - _sqnr(fmt):.1f} dB better."


def _share_lost() -> float:
    found = count_outcomes(WEIGHTS, _best_short())
    return 100 * found["underflow"] / WEIGHTS.size


def _review_share(answer: float) -> str:
    solution = _share_lost()
    if abs(answer - solution) < 0.05:
        return ""
    if abs(answer - solution / 100) < 0.0005:
        return "that is the share; in percent it is a hundred times as much."
    return "preview() of the histogram counts the values that become zero; divide by how many there are."


def most_common_msb() -> int:
    """The bit that most of the weights have their leading one at."""
    positions, counts = np.unique(msbs_of(WEIGHTS), return_counts=True)
    return int(positions[counts.argmax()])


def _review_common(answer: float) -> str:
    return "" if answer == most_common_msb() else "the darkest cell of the heat map, or the largest of msb_counts()."


EXERCISES = (
    Exercise(
        "3.1",
        f"How many values of the worked example are counted in the column 2^{BIT}?",
        a_number,
        _values_at_bit,
        _review_values,
    ),
    Exercise(
        "3.2",
        "At which bit position do most of the ten thousand weights have their leading one? (the exponent)",
        a_number,
        lambda: float(most_common_msb()),
        _review_common,
    ),
    Exercise(
        "3.3",
        "Which is the finest window of 8 signed bits in which none of the weights overflows?",
        a_format,
        _finest_safe,
        _review_safe,
    ),
    Exercise(
        "3.4",
        f"With only {SHORT} bits, signed: which window gives the weights the highest SQNR?",
        a_format,
        _best_short,
        _review_short,
    ),
    Exercise(
        "3.5",
        "How many percent of the weights become zero in that window?",
        a_number,
        _share_lost,
        _review_share,
    ),
)
