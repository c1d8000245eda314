"""Bits and outcomes, against fractions, which are exact."""

import dataclasses
import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwidgets import FixedPoint
from qwidgets.formats import OVERFLOWS, ROUNDINGS
from qwidgets.teaching import bits

WORKED = np.array([0.03125, 0.25, 0.25, 0.5, 1, 2.1, -2.125, 8.25, 16.25])
HALF = Fraction(1, 2)

finite = st.floats(allow_nan=False, allow_infinity=False)
near = st.one_of(finite, st.floats(-40, 40), st.integers(-600, 600).map(lambda sixteenths: sixteenths / 16))


@st.composite
def formats(draw: st.DrawFn) -> FixedPoint:
    signed = draw(st.booleans())
    return FixedPoint(
        draw(st.integers(1 + signed, 32)),
        draw(st.one_of(st.integers(-6, 12), st.integers(-512, 512))),
        signed,
        draw(st.sampled_from(ROUNDINGS)),
        draw(st.sampled_from(OVERFLOWS)),
    )


def rounded(x: Fraction, rounding: str) -> int:
    """Round a fraction to a whole number, by the definition of each mode."""
    low = math.floor(x)
    rest = x - low
    if rounding == "floor" or rest == 0:
        return low
    if rounding == "ceil":
        return low + 1
    if rounding == "zero":
        return low if x > 0 else low + 1
    if rest != HALF:
        return low + (rest > HALF)
    return {"half_up": low + 1, "half_even": low + low % 2, "half_away": low + (x > 0), "double": low + (x > 0)}[
        rounding
    ]


def steps(value: float, fmt: FixedPoint) -> Fraction:
    return Fraction(value) * Fraction(2) ** fmt.fraction_length


@settings(deadline=None)
@given(near, formats())
def test_an_outcome_is_what_the_definitions_say(value: float, fmt: FixedPoint) -> None:
    exact = steps(value, fmt)
    code = rounded(exact, fmt.rounding)
    fits = fmt.min <= code * Fraction(fmt.step) <= fmt.max
    expected = "overflow" if not fits else "exact" if code == exact else "underflow" if code == 0 else "precision loss"
    assert bits.OUTCOMES[bits.outcomes(np.array([value]), fmt)[0]] == expected


@settings(deadline=None)
@given(near, formats())
def test_a_wide_code_is_the_rounded_value_and_its_bits_read_back_as_it(value: float, fmt: FixedPoint) -> None:
    wide = bits.wide_code(value, fmt)
    assert wide.code == rounded(steps(value, fmt), fmt.rounding)
    pattern = wide.dropped + wide.kept
    assert len(wide.kept) == fmt.word_length
    unsigned = int(pattern, 2)
    is_negative = pattern[0] == "1" and (fmt.signed or wide.code < 0)
    assert unsigned - is_negative * (1 << len(pattern)) == wide.code


@settings(deadline=None)
@given(near, formats())
def test_the_kept_bits_of_a_wrapped_code_are_those_of_its_value(value: float, fmt: FixedPoint) -> None:
    wrapping = dataclasses.replace(fmt, overflow="wrap")
    assert bits.wide_code(value, wrapping).kept == bits.word(wrapping.to_integer(value), wrapping)


@settings(deadline=None)
@given(finite, st.integers(-40, 40), st.integers(0, 40))
def test_the_bits_add_up_to_the_magnitude_cut_off_below(value: float, bottom: int, more: int) -> None:
    msb = bits.msb_of(value)
    top = max(bottom if msb is None else msb, bottom + more)
    digits = bits.bits_of(value, top, bottom)
    total = sum(Fraction(2) ** (top - place) for place, digit in enumerate(digits) if digit == "1")
    rest = abs(Fraction(value)) - total
    assert 0 <= rest < Fraction(2) ** bottom
    assert bits.goes_on_below(value, bottom) == (rest > 0)


@settings(deadline=None)
@given(finite)
def test_the_msb_is_the_leading_one(value: float) -> None:
    msb = bits.msb_of(value)
    if msb is None:
        assert value == 0
    else:
        assert Fraction(2) ** msb <= abs(Fraction(value)) < Fraction(2) ** (msb + 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.03125, "0.00001"),
        (-2.125, "-10.001"),
        (2.1, "10.000110011001…"),
        (1024.0, "10000000000"),
        (2.0**-30, "1 × 2^-30"),
        (-(2.0**100), "-1 × 2^100"),
        (math.inf, "∞"),
        (math.nan, "NaN"),
    ],
)
def test_ideal_bits_are_written_as_people_write_them(value: float, text: str) -> None:
    assert bits.ideal_bits(value) == text


@settings(deadline=None)
@given(st.integers(2, 32).flatmap(lambda n: st.tuples(st.just(n), st.integers(-(1 << (n - 1)), (1 << (n - 1)) - 1))))
def test_a_word_is_twos_complement_as_the_machine_stores_it(case: tuple[int, int]) -> None:
    length, code = case
    machine = format(struct.unpack(">I", struct.pack(">i", code))[0], "032b")[-length:]
    assert bits.word(code, FixedPoint(length)) == machine


@pytest.mark.parametrize(
    ("fmt", "text"),
    [
        (FixedPoint(8, 0), "00010001"),
        (FixedPoint(8, 7), "0.0010001"),
        (FixedPoint(8, 8), "00010001 × 2^-8"),
        (FixedPoint(8, -1), "00010001 × 2^1"),
    ],
)
def test_the_point_is_written_where_it_lies_in_the_word(fmt: FixedPoint, text: str) -> None:
    assert bits.word_with_point(17, fmt) == text


def test_the_table_of_the_worked_example() -> None:
    table = bits.bit_table(WORKED, FixedPoint.from_window(3, -3)).set_index("value")
    assert list(table.loc[0.03125, ["quantized", "error", "outcome"]]) == [0, -0.03125, "underflow"]
    assert list(table.loc[2.1, ["quantized", "outcome", "kept_bits"]]) == [2.125, "precision loss", "00010.001"]
    assert list(table.loc[16.25, ["quantized", "error", "outcome"]]) == [15.875, -0.375, "overflow"]
    assert list(table.loc[-2.125, ["quantized", "outcome", "kept_bits"]]) == [-2.125, "exact", "11101.111"]
    assert bits.count_outcomes(WORKED, FixedPoint.from_window(3, -3)) == {
        "exact": 6,
        "precision loss": 1,
        "underflow": 1,
        "overflow": 1,
    }


def test_what_is_no_number_and_what_is_infinite_has_an_outcome_too() -> None:
    values = np.array([math.nan, math.inf, -math.inf])
    saturating = bits.bit_table(values, FixedPoint(8, 3))
    assert saturating["outcome"].tolist() == ["not a number", "overflow", "overflow"]
    assert saturating["kept_bits"].tolist() == ["–", "01111.111", "10000.000"]
    wrapping = bits.bit_table(values, FixedPoint(8, 3, overflow="wrap"))
    assert wrapping["kept_bits"].tolist() == ["–", "–", "–"]


def test_a_negative_value_overflows_an_unsigned_format() -> None:
    table = bits.bit_table(np.array([-1.0, -0.01]), FixedPoint(8, 3, signed=False))
    assert table["outcome"].tolist() == ["overflow", "underflow"]


@pytest.mark.parametrize(
    ("value", "fmt", "told"),
    [
        (2.1, FixedPoint(8, 3), "2.1 is 16.8 steps of 0.125, which half_away rounds to 17."),
        (2.1, FixedPoint(8, 3), "17 steps of 0.125 are 2.125: an error of 0.025."),
        (16.25, FixedPoint(8, 3), "It saturates at 127: 01111111."),
        (16.25, FixedPoint(8, 3, overflow="wrap"), "which stands for -126."),
        (-1.0, FixedPoint(8, 3, signed=False, overflow="wrap"), "keeps 11111000, which stands for 248."),
        (math.nan, FixedPoint(8, 3), "NaN"),
        (-math.inf, FixedPoint(8, 3), "It saturates at -16."),
        (math.inf, FixedPoint(8, 3, overflow="wrap"), "Nothing remains"),
        (1e300, FixedPoint(8, 3, overflow="wrap"), "which stands for 0."),
        (1e300, FixedPoint(8, 512), "saturates at 127"),
        (0.0, FixedPoint(8, 3), "no error"),
    ],
)
def test_the_story_of_a_value_tells_its_steps(value: float, fmt: FixedPoint, told: str) -> None:
    assert told in " ".join(bits.story_of(value, fmt))
