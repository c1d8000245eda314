"""The arithmetic of number formats: against fractions, against two independent libraries, and at its corners."""

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from apytypes import APyFixed, OverflowMode, QuantizationMode
from fxpmath.objects import Fxp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qwidgets.errors import DataError
from qwidgets.formats import OVERFLOWS, ROUNDINGS, FixedPoint

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
BELOW_HALF = math.nextafter(0.5, 0)


@st.composite
def formats(draw: st.DrawFn) -> FixedPoint:
    signed = draw(st.booleans())
    word_length = draw(st.sampled_from([2, 8, 16, 22, 23, 32]) | st.integers(1 + signed, 32))
    rounding, overflow = draw(st.sampled_from(ROUNDINGS)), draw(st.sampled_from(OVERFLOWS))
    return FixedPoint(word_length, draw(st.integers(-4, 12) | st.integers(-512, 512)), signed, rounding, overflow)


@st.composite
def formats_and_numbers(draw: st.DrawFn) -> tuple[FixedPoint, list[float]]:
    """A format, and numbers near its thresholds and ends, or anywhere at all."""
    fmt = draw(formats())
    quarter_steps = st.integers(-(2 ** (fmt.word_length + 3)), 2 ** (fmt.word_length + 3))
    near = quarter_steps.map(lambda quarters: quarters * fmt.step / 4)
    beside = st.tuples(near, st.sampled_from([-math.inf, math.inf])).map(lambda pair: math.nextafter(*pair))
    anywhere = st.floats(allow_nan=False, allow_infinity=False)
    return fmt, draw(st.lists(near | beside | anywhere, min_size=1, max_size=8))


def code_by_fractions(fmt: FixedPoint, x: float) -> int:
    """Do what the design says in words, in rational arithmetic."""
    steps = Fraction(x) / Fraction(fmt.step)
    below = math.floor(steps)
    above = math.ceil(steps)
    if fmt.rounding == "floor":
        code = below
    elif fmt.rounding == "ceil":
        code = above
    elif fmt.rounding == "zero":
        code = below if steps > 0 else above
    elif steps - below != above - steps:
        code = below if steps - below < above - steps else above
    elif fmt.rounding == "half_up":
        code = above
    elif fmt.rounding == "half_even":
        code = below if below % 2 == 0 else above
    else:
        code = below if steps < 0 else above
    codes = 1 << fmt.word_length
    least = -codes // 2 if fmt.signed else 0
    if fmt.overflow == "wrap":
        return (code - least) % codes + least
    return max(least, min(code, least + codes - 1))


class TestAgainstFractions:
    @given(formats_and_numbers())
    @example((FixedPoint(8, 0), [BELOW_HALF, -BELOW_HALF, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5]))
    @example((FixedPoint(8, -200, rounding="ceil"), [5e-324, -5e-324]))
    @example((FixedPoint(8, -200, rounding="floor", overflow="wrap"), [5e-324, -5e-324]))
    @example((FixedPoint(32, 512, overflow="wrap"), [1.7976931348623157e308, -1.7976931348623157e308]))
    @settings(max_examples=300, deadline=None)
    def test_every_number_gets_the_code_that_exact_arithmetic_gives(self, case: tuple[FixedPoint, list[float]]) -> None:
        fmt, numbers = case
        array = np.array(numbers)
        expected = [code_by_fractions(fmt, x) for x in numbers]
        assert [fmt.to_integer(x) for x in numbers] == expected
        assert fmt.to_integer(array).tolist() == expected
        assert fmt.to_integer(torch.from_numpy(array)).tolist() == expected
        values = [code * fmt.step for code in expected]
        assert [fmt.quantize(x) for x in numbers] == values
        assert fmt.quantize(array).tolist() == values
        assert fmt.quantize(torch.from_numpy(array)).tolist() == values

    @pytest.mark.parametrize("dtype", FLOATS, ids=str)
    @given(case=formats_and_numbers(), bits=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=8))
    @settings(max_examples=150, deadline=None)
    def test_narrow_types_are_computed_as_exactly_as_float64(
        self, dtype: torch.dtype, case: tuple[FixedPoint, list[float]], bits: list[int]
    ) -> None:
        fmt, numbers = case
        any_float32 = torch.tensor(bits, dtype=torch.int32).view(torch.float32).double()
        x = torch.cat([torch.tensor(numbers, dtype=torch.float64), any_float32]).to(dtype)
        x = x[x.isfinite()]
        assert fmt.to_integer(x).tolist() == [code_by_fractions(fmt, number) for number in x.tolist()]

    @given(formats(), st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-999, 999), min_size=1, max_size=8))
    @example(FixedPoint(32, -31, rounding="ceil"), [2**62 + 1, 2**62])
    @example(FixedPoint(32, -20, overflow="wrap"), [2**62 + 2**19, -(2**62) - 2**19, -(2**63)])
    @settings(max_examples=200, deadline=None)
    def test_integers_are_exact_beyond_what_float64_holds(self, fmt: FixedPoint, integers: list[int]) -> None:
        expected = [code_by_fractions(fmt, n) for n in integers]
        assert [fmt.to_integer(n) for n in integers] == expected
        assert fmt.to_integer(np.array(integers)).tolist() == expected
        assert fmt.to_integer(torch.tensor(integers)).tolist() == expected

    @pytest.mark.parametrize("n", [10**400, -(10**400) - 1])
    @pytest.mark.parametrize("overflow", OVERFLOWS)
    def test_a_python_int_may_be_larger_than_any_float(self, n: int, overflow: str) -> None:
        fmt = FixedPoint(8, 0, overflow=overflow)
        assert fmt.to_integer(n) == code_by_fractions(fmt, n)

    def test_long_doubles_keep_their_extra_bits(self) -> None:
        above_half = np.longdouble(0.5) + np.finfo(np.longdouble).eps / 2
        even = FixedPoint(8, 0, rounding="half_even")
        assert even.quantize(above_half) == 1
        assert even.quantize(np.longdouble(0.5)) == 0


APYTYPES_ROUNDINGS = {
    "half_away": QuantizationMode.TIES_AWAY,
    "half_even": QuantizationMode.TIES_EVEN,
    "half_up": QuantizationMode.TIES_POS,
    "floor": QuantizationMode.TO_NEG,
    "ceil": QuantizationMode.TO_POS,
    "zero": QuantizationMode.TO_ZERO,
    "double": QuantizationMode.TIES_AWAY,  # of numbers; what it does to sums is another test's
}
APYTYPES_OVERFLOWS = {"saturate": OverflowMode.SAT, "wrap": OverflowMode.WRAP}
FXPMATH_ROUNDINGS = {
    "half_away": "nearest_away",
    "half_even": "around",
    "half_up": "nearest_posinf",
    "floor": "floor",
    "ceil": "ceil",
    "zero": "trunc",
    "double": "nearest_away",
}
NUMBERS = np.concatenate([np.arange(-600, 601) / 16, np.random.default_rng(5).laplace(0, 40, 300).astype(np.float32)])


def codes_by_fxpmath(fmt: FixedPoint, numbers: np.ndarray) -> list[int]:
    theirs: Any = Fxp(  # type: ignore[no-untyped-call]
        numbers,
        fmt.signed,
        fmt.word_length,
        fmt.fraction_length,
        rounding=FXPMATH_ROUNDINGS[fmt.rounding],
        overflow=fmt.overflow,
    )
    codes: list[int] = theirs.raw().tolist()
    return codes


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("rounding", ROUNDINGS)
class TestAgainstOtherLibraries:
    # APyFixed has all our roundings and both overflows, but is signed only. A source of 64 bits or fewer, because a
    # wider one keeps bits above the word when it wraps (apytypes 0.5.1).
    @pytest.mark.parametrize(("word_length", "fraction_length"), [(2, 0), (8, 3), (8, -2), (6, 11), (32, 3)])
    def test_apytypes_gives_the_same_values(
        self, word_length: int, fraction_length: int, rounding: str, overflow: str
    ) -> None:
        fmt = FixedPoint(word_length, fraction_length, True, rounding, overflow)
        expected = [
            float(
                APyFixed.from_float(x, int_bits=12, frac_bits=52).cast(
                    int_bits=word_length - fraction_length,
                    frac_bits=fraction_length,
                    quantization=APYTYPES_ROUNDINGS[rounding],
                    overflow=APYTYPES_OVERFLOWS[overflow],
                )
            )
            for x in NUMBERS.tolist()
        ]
        assert fmt.quantize(NUMBERS).tolist() == expected

    # fxpmath has all our roundings and both overflows, signed and unsigned.
    @pytest.mark.parametrize("signed", [True, False])
    @pytest.mark.parametrize(("word_length", "fraction_length"), [(2, 0), (8, 3), (8, -2), (6, 11), (32, 3)])
    def test_fxpmath_gives_the_same_codes(
        self, word_length: int, fraction_length: int, signed: bool, rounding: str, overflow: str
    ) -> None:
        fmt = FixedPoint(word_length, fraction_length, signed, rounding, overflow)
        assert fmt.to_integer(NUMBERS).tolist() == codes_by_fxpmath(fmt, NUMBERS)

    def test_fxpmath_agrees_on_a_word_of_one_bit(self, rounding: str, overflow: str) -> None:
        fmt = FixedPoint(1, 0, False, rounding, overflow)
        assert fmt.to_integer(NUMBERS).tolist() == codes_by_fxpmath(fmt, NUMBERS)


class TestProperties:
    @given(formats_and_numbers())
    def test_a_quantized_value_is_in_the_range_and_stays_as_it_is(self, case: tuple[FixedPoint, list[float]]) -> None:
        fmt, numbers = case
        for x in numbers:
            value = fmt.quantize(x)
            assert fmt.min <= value <= fmt.max
            assert fmt.quantize(value) == value
            assert fmt.from_integer(fmt.to_integer(x)) == value

    @pytest.mark.parametrize("dtype", FLOATS, ids=str)
    @given(case=formats_and_numbers())
    @settings(deadline=None)
    def test_in_every_float_type_the_result_is_a_value_of_the_format(
        self, dtype: torch.dtype, case: tuple[FixedPoint, list[float]]
    ) -> None:
        fmt, numbers = case
        x = torch.tensor(numbers, dtype=torch.float64).to(dtype)
        x = x[x.isfinite()]
        exact = fmt.quantize(x.double())
        result = fmt.quantize(x)
        assert result.dtype == dtype
        assert torch.equal(fmt.quantize(result.double()), result.double())
        assert (result.double().abs() <= exact.abs()).all()
        assert torch.equal(torch.where(exact.to(dtype) == exact, exact, result.double()), result.double())

    @given(formats())
    def test_every_corner_of_a_format_is_exact(self, fmt: FixedPoint) -> None:
        assert Fraction(fmt.step) == Fraction(2) ** fmt.lsb
        assert Fraction(fmt.max) == Fraction(2) ** (fmt.msb + 1) - Fraction(2) ** fmt.lsb
        assert Fraction(fmt.min) == (-(Fraction(2) ** (fmt.msb + 1)) if fmt.signed else 0)
        assert fmt.quantize(fmt.min) == fmt.min
        assert fmt.quantize(fmt.max) == fmt.max

    @given(formats())
    def test_a_window_makes_the_format_it_came_from(self, fmt: FixedPoint) -> None:
        assert FixedPoint.from_window(fmt.msb, fmt.lsb, fmt.signed, fmt.rounding, fmt.overflow) == fmt


class TestSpecialValues:
    @pytest.mark.parametrize("dtype", FLOATS, ids=str)
    @pytest.mark.parametrize("rounding", ROUNDINGS)
    def test_nan_stays_and_infinities_saturate(self, dtype: torch.dtype, rounding: str) -> None:
        x = torch.tensor([math.nan, math.inf, -math.inf], dtype=dtype)
        result = FixedPoint(8, 3, rounding=rounding).quantize(x)
        assert result[0].isnan()
        assert result[1:].tolist() == [15.875, -16.0]

    def test_an_infinity_has_no_remainder_so_wrapping_gives_nan(self) -> None:
        wrapping = FixedPoint(8, 3, overflow="wrap")
        assert math.isnan(wrapping.quantize(math.inf))
        assert torch.isnan(wrapping.quantize(torch.tensor([-math.inf]))).all()
        with pytest.raises(DataError, match="1 of 2 values, which are NaN or infinite"):
            wrapping.to_integer(np.array([1.0, math.inf], np.float32))

    @pytest.mark.parametrize("x", [math.nan, np.array([math.nan]), np.float32(math.nan), torch.tensor([math.nan])])
    def test_no_integer_stands_for_nan(self, x: Any) -> None:
        with pytest.raises(DataError, match="1 of 1 values, which are NaN"):
            FixedPoint().to_integer(x)

    def test_the_lowest_power_of_two_does_not_overflow_but_the_highest_does(self) -> None:
        fmt = FixedPoint.from_window(3, -3)
        assert fmt.quantize(-16.0) == -16
        assert fmt.quantize(16.0) == 15.875
        assert replace(fmt, overflow="wrap").quantize(16.0) == -16

    def test_ties_of_both_signs(self) -> None:
        ties = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
        results = {rounding: FixedPoint(8, 0, rounding=rounding).to_integer(ties).tolist() for rounding in ROUNDINGS}
        assert results == {
            "half_away": [-3, -2, -1, 1, 2, 3],
            "half_even": [-2, -2, 0, 0, 2, 2],
            "half_up": [-2, -1, 0, 1, 2, 3],
            "floor": [-3, -2, -1, 0, 1, 2],
            "ceil": [-2, -1, 0, 1, 2, 3],
            "zero": [-2, -1, 0, 0, 1, 2],
            "double": [-3, -2, -1, 1, 2, 3],
        }

    @pytest.mark.parametrize("tiny", [np.float32(1e-45), np.float64(5e-324), np.float16(6e-8)])
    def test_the_smallest_subnormal_is_one_step_up_or_down(self, tiny: np.floating[Any]) -> None:
        for fraction_length in (-60, 0, 8):
            assert FixedPoint(8, fraction_length, rounding="ceil").to_integer(tiny) == 1
            assert FixedPoint(8, fraction_length, rounding="floor").to_integer(-tiny) == -1
            assert FixedPoint(8, fraction_length).to_integer(tiny) == 0

    def test_subnormals_of_float32_can_be_the_steps_of_a_format(self) -> None:
        x = np.arange(-140, 140, dtype=np.float32) * np.float32(1e-45)
        assert FixedPoint(8, 149).to_integer(x).tolist() == np.clip(np.arange(-140, 140), -128, 127).tolist()

    @pytest.mark.parametrize("rounding", ROUNDINGS)
    def test_there_is_no_negative_zero(self, rounding: str) -> None:
        zeros = FixedPoint(8, 0, rounding=rounding).quantize(torch.tensor([-0.0, -0.25, 0.0]))
        assert not torch.signbit(zeros[zeros == 0]).any()

    def test_a_type_too_narrow_for_the_end_of_the_range_gives_the_next_value_it_holds(self) -> None:
        x = torch.tensor([1e6, -1e6], dtype=torch.bfloat16)
        assert FixedPoint(16, 0).quantize(x).tolist() == [32640, -32768]
        half = torch.tensor([65504, -65504, math.inf], dtype=torch.float16)
        assert FixedPoint(8, -10).quantize(half).tolist() == [64512, -64512, 64512]
        assert FixedPoint(8, -20).quantize(half).tolist() == [0, 0, 0]
        finer_than_its_smallest = FixedPoint(8, 30).quantize(half)
        assert finer_than_its_smallest.tolist() == [2**-24, -(2**-23), 2**-24]
        assert FixedPoint(16, 0).quantize(np.array([6e4], ">f2")).tolist() == [32752]


class TestFromInteger:
    @given(formats())
    @settings(deadline=None)
    def test_codes_of_both_ends_come_back(self, fmt: FixedPoint) -> None:
        least, most = fmt.to_integer(fmt.min), fmt.to_integer(fmt.max)
        for codes in (np.array([least, most]), torch.tensor([least, most])):
            assert fmt.from_integer(codes).tolist() == [fmt.min, fmt.max]
            assert fmt.to_integer(fmt.from_integer(codes)).tolist() == [least, most]
        for outside in (least - 1, most + 1):
            with pytest.raises(DataError, match=f"codes must lie in {least} to {most}"):
                fmt.from_integer(outside)

    def test_the_kind_is_kept_and_the_values_are_float64(self) -> None:
        fmt = FixedPoint(8, 3)
        array = fmt.from_integer(np.full((2, 0), 1, np.int8))
        assert array.dtype == np.float64
        assert array.shape == (2, 0)
        assert fmt.from_integer(torch.tensor(17, dtype=torch.int8)).dtype == torch.float64
        assert type(fmt.from_integer(np.int8(17))) is np.float64
        assert isinstance(fmt.from_integer(np.array(17)), np.ndarray)

    def test_fractions_are_not_codes(self) -> None:
        with pytest.raises(DataError, match="codes are integers, not ndarray of float64"):
            FixedPoint().from_integer(np.array([1.0]))
