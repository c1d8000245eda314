"""Previews say what a format does to the values, exactly or as a bound: held against the values themselves."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qwidgets.formats import OVERFLOWS, ROUNDINGS, FixedPoint
from qwidgets.histograms import BitHistogram
from tests.value_kinds import DATASETS, WORKED_EXAMPLE


@dataclass
class FloatReference:
    """What a format does to values, found from the values."""

    underflow: int
    overflow: int
    mse: float
    max_error: float
    signal: float


def brute_force(values: npt.NDArray[Any], fmt: FixedPoint) -> FloatReference:
    """Round each value by the definition of the rounding, compare with the range, and take errors from `quantize`."""
    finite = values[np.isfinite(values)].astype(np.float64)
    steps = np.ldexp(finite, fmt.fraction_length)
    rounded = {
        "half_away": np.copysign(np.floor(np.abs(steps)) + (np.abs(steps) % 1 >= 0.5), steps),
        "half_even": np.rint(steps),
        "half_up": np.floor(steps) + (steps % 1 >= 0.5),
        "floor": np.floor(steps),
        "ceil": np.ceil(steps),
        "zero": np.trunc(steps),
    }["half_away" if fmt.rounding == "double" else fmt.rounding]
    low, high = fmt.min / fmt.step, fmt.max / fmt.step
    with np.errstate(over="ignore"):
        errors = fmt.quantize(finite) - finite
    return FloatReference(
        underflow=int(((finite != 0) & (rounded == 0)).sum()),
        overflow=int(((rounded < low) | (rounded > high)).sum() + np.isinf(values).sum()),
        mse=float(np.mean(errors**2)),
        max_error=float(np.abs(errors).max()),
        signal=float(np.mean(finite**2)),
    )


def formats(*word_lengths: int) -> st.SearchStrategy[FixedPoint]:
    return st.builds(
        lambda word_length, msb, signed, rounding, overflow: FixedPoint.from_window(
            msb, msb - word_length + 1 + signed, signed, rounding, overflow
        ),
        st.sampled_from(word_lengths),
        st.integers(-152, 132) | st.integers(-6, 6),
        st.booleans(),
        st.sampled_from(ROUNDINGS),
        st.sampled_from(OVERFLOWS),
    )


class TestPreviewsOfUpTo8Bits:
    def test_of_the_worked_example(self) -> None:
        preview = BitHistogram().update(WORKED_EXAMPLE).preview(FixedPoint.from_window(3, -3))
        assert (preview.count, preview.underflow, preview.overflow, preview.exact) == (9, 1, 1, True)
        assert preview.max_error == pytest.approx(16.25 - 15.875)

    @pytest.mark.parametrize("signed", [True, False])
    @pytest.mark.parametrize("name", DATASETS)
    def test_are_exact_in_every_window_from_the_lowest_subnormal_to_the_largest_number(
        self, name: str, signed: bool
    ) -> None:
        x = DATASETS[name]
        histogram = BitHistogram().update(x)
        for word_length in (1 + signed, 3, 5, 8):
            for msb in range(-153, 133):
                fmt = FixedPoint.from_window(msb, msb - word_length + 1 + signed, signed)
                preview, right = histogram.preview(fmt), brute_force(x, fmt)
                assert (preview.underflow, preview.overflow) == (right.underflow, right.overflow), fmt
                assert preview.exact
                assert preview.count == x.size

    def test_know_a_tie_at_the_end_of_the_range_from_the_value_below_it(self) -> None:
        for low, outside in ((-128.25, -128.5), (127.25, 127.5)):
            preview = BitHistogram().update(np.array([low, outside])).preview(FixedPoint(8, 0))
            assert (preview.overflow, preview.exact) == (1, True)
        preview = BitHistogram().update(np.array([255.25, 255.5, -0.25, -0.5])).preview(FixedPoint(8, 0, signed=False))
        assert (preview.underflow, preview.overflow, preview.exact) == (1, 2, True)


class TestPreviewsOfAnyFormat:
    @given(st.sampled_from(sorted(DATASETS)), formats(2, 3, 5, 8, 12, 16, 24, 32))
    @settings(deadline=None, max_examples=600)
    def test_are_exact_when_they_say_so_and_bounds_otherwise(self, name: str, fmt: FixedPoint) -> None:
        x = DATASETS[name]
        preview, right = BitHistogram().update(x).preview(fmt), brute_force(x, fmt)
        if preview.exact:
            assert (preview.underflow, preview.overflow) == (right.underflow, right.overflow)
        assert preview.underflow >= right.underflow
        assert preview.overflow >= right.overflow

    @given(st.sampled_from(sorted(DATASETS)), formats(2, 3, 5, 8, 12, 16, 24, 32))
    @settings(deadline=None, max_examples=300)
    def test_never_show_a_smaller_error_than_the_largest(self, name: str, fmt: FixedPoint) -> None:
        fmt = FixedPoint(fmt.word_length, fmt.fraction_length, fmt.signed, fmt.rounding)
        x = DATASETS[name]
        assert BitHistogram().update(x).preview(fmt).max_error >= brute_force(x, fmt).max_error * (1 - 1e-12)

    @given(formats(4, 8, 12, 16), st.sampled_from(["normal", "laplace", "relu"]))
    @settings(deadline=None, max_examples=200)
    def test_estimate_the_error_within_a_tenth_of_a_decibel(self, fmt: FixedPoint, kind: str) -> None:
        random = np.random.default_rng(0)
        x = random.laplace(size=20_000) if kind == "laplace" else random.normal(size=20_000)
        x = np.ldexp(np.maximum(x, 0) if kind == "relu" else x, fmt.msb)
        assume(-100 < fmt.msb < 100)  # where the values are normal float32 numbers
        preview, right = BitHistogram().update(x).preview(fmt), brute_force(x, fmt)
        assert preview.mse == pytest.approx(right.mse, rel=0.023)
        assert preview.sqnr_db == pytest.approx(10 * math.log10(right.signal / right.mse), abs=0.1)

    def test_split_a_bin_only_where_a_value_can_lie_on_both_sides(self) -> None:
        # 0.5 is a tie: half_even gives 0, and what follows it in its bin gives 1.
        fmt = FixedPoint(8, 0, rounding="half_even")
        preview = BitHistogram().update(np.array([0.5, 0.5001, 3.0])).preview(fmt)
        assert (preview.underflow, preview.exact) == (2, False)

    def test_use_the_exact_extremes(self) -> None:
        fmt = FixedPoint(16, 0)  # its largest value shares a bin with values that overflow
        preview = BitHistogram().update(np.array([32767.25, 1.0])).preview(fmt)
        assert (preview.overflow, preview.exact) == (0, True)

    def test_count_infinities_as_overflow_and_nan_as_neither(self) -> None:
        preview = BitHistogram().update(np.array([np.inf, -np.inf, np.nan, 1.0])).preview(FixedPoint(8, 0))
        assert (preview.count, preview.overflow, preview.underflow, preview.mse) == (4, 2, 0, 0.0)

    def test_count_what_wraps_to_zero_as_overflow(self) -> None:
        x = np.array([16.0, 1.0])
        preview = BitHistogram().update(x).preview(FixedPoint(4, 0, overflow="wrap"))
        assert (preview.overflow, preview.underflow) == (1, 0)
        assert preview.max_error == 16.0

    @pytest.mark.parametrize("scale", [2.0**-149, 2.0**-60, 1.0, 2.0**60, 2.0**126])
    def test_have_finite_errors_at_every_scale(self, scale: float) -> None:
        x = np.array([1.0, 1.3, -1.9]) * scale
        for fraction_length in (-500, 0, 500):
            preview = BitHistogram().update(x).preview(FixedPoint(8, fraction_length))
            assert math.isfinite(preview.mse) and math.isfinite(preview.max_error) and math.isfinite(preview.sqnr_db)


class TestSqnr:
    def test_is_infinite_where_there_is_no_error(self) -> None:
        preview = BitHistogram().update(np.full(10, 0.75)).preview(FixedPoint(8, 4))
        assert (preview.mse, preview.max_error, preview.sqnr_db) == (0.0, 0.0, math.inf)

    @pytest.mark.parametrize("x", [[], [0.0], [np.nan, np.inf]])
    def test_is_nan_where_there_is_no_signal(self, x: list[float]) -> None:
        preview = BitHistogram().update(np.array(x, np.float32)).preview(FixedPoint(8, 4))
        assert math.isnan(preview.sqnr_db)
        assert preview.exact

    def test_is_zero_where_everything_underflows(self) -> None:
        preview = BitHistogram().update(np.array([0.1, -0.2])).preview(FixedPoint(8, -5))
        assert preview.sqnr_db == pytest.approx(0)


class TestAllWindows:
    @pytest.mark.parametrize("signed", [True, False])
    @pytest.mark.parametrize("name", DATASETS)
    def test_are_the_previews_of_each(self, name: str, signed: bool) -> None:
        histogram = BitHistogram().update(DATASETS[name])
        for word_length in (1 + signed, 8, 16):
            table = histogram.previews(word_length, signed)
            for msb, row in zip(table.index, table.itertuples(index=False), strict=True):
                one = histogram.preview(FixedPoint.from_window(msb, msb - word_length + 1 + signed, signed))
                assert repr(tuple(row)) == repr(tuple(vars(one).values()))

    def test_reach_from_no_overflow_to_below_the_lowest_bit(self) -> None:
        table = BitHistogram().update(np.array([6.0, -0.3])).previews(8, signed=True)
        assert table.index.tolist() == [3, 2, 1, 0, -1, -2, -3]
        assert table.overflow.iloc[0] == 0
        assert table.overflow.iloc[-1] == 2

    def test_never_are_none(self) -> None:
        assert len(BitHistogram().previews(8, signed=True)) > 0
        assert BitHistogram().update(np.zeros(3)).previews(8, signed=True)["mse"].eq(0).all()
