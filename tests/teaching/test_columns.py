"""Which columns and which rows are drawn."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qwidgets import BitHistogram, FixedPoint
from qwidgets.teaching import Columns, MsbCounts, examples
from qwidgets.teaching.columns import MOST_COLUMNS, MOST_ROWS

values_of_any_size = st.lists(st.floats(width=64), max_size=60).map(lambda numbers: np.array(numbers, np.float64))
windows = st.tuples(st.integers(-60, 60), st.integers(0, 30)).map(lambda w: FixedPoint.from_window(w[0], w[0] - w[1]))


@settings(deadline=None)
@given(values_of_any_size, windows)
def test_the_window_always_has_its_columns_and_there_are_not_too_many(values: np.ndarray, fmt: FixedPoint) -> None:
    columns = Columns.covering(values, fmt)
    assert columns.top >= fmt.msb + 1
    assert columns.bottom < fmt.lsb
    assert len(columns.positions) <= max(MOST_COLUMNS, len(fmt.bits) + 9)


@settings(deadline=None)
@given(values_of_any_size, windows)
def test_every_value_is_counted_once(values: np.ndarray, fmt: FixedPoint) -> None:
    counts = MsbCounts.of(values, Columns.covering(values, fmt))
    assert sum(counts.counts) + counts.above + counts.below + counts.without == values.size


def test_the_counts_are_those_of_the_bit_histogram() -> None:
    values = np.random.default_rng(1).normal(0, 3, 500)
    columns = Columns.covering(values, FixedPoint(8, 3))
    by_column = dict(zip(columns.positions, MsbCounts.of(values, columns).counts, strict=True))
    expected = BitHistogram().update(values).msb_counts()
    assert {bit: count for bit, count in by_column.items() if count} == expected[expected > 0].to_dict()


def test_columns_stay_where_they_are_while_they_will_do() -> None:
    values = np.array([0.25, 16.25])
    before = Columns.covering(values, FixedPoint.from_window(3, -3))
    assert Columns.covering(values, FixedPoint.from_window(2, -3), before) == before
    assert Columns.covering(values, FixedPoint.from_window(20, 14), before).top == 21


def test_the_darkest_column_is_the_fullest() -> None:
    counts = MsbCounts.of(np.array([1.0, 1.5, 4.0]), Columns(2, 0))
    assert counts.shades == (0.5, 0.0, 1.0)
    assert MsbCounts.of(np.array([]), Columns(1, 0)).shades == (0.0, 0.0)


@settings(deadline=None)
@given(st.lists(st.floats(), min_size=MOST_ROWS + 1, max_size=200))
def test_a_few_rows_stand_for_many_values(numbers: list[float]) -> None:
    rows = examples(np.array(numbers))
    assert 0 < len(rows) <= MOST_ROWS
    assert sum(count for _, count in rows) <= len(numbers)


def test_rows_that_stand_for_others_have_their_sign_and_msb() -> None:
    values = np.tile([3.0, 2.0, -2.5, 0.0, math.nan, math.inf, 0.3], 10)
    rows = examples(values)
    assert all(count == (20 if values[index] == 3 else 10) for index, count in rows)
    assert str(values[[index for index, _ in rows]].tolist()) == "[nan, inf, -2.5, 3.0, 0.3, 0.0]"


def test_ten_thousand_values_are_summarized_in_few_rows() -> None:
    values = np.random.default_rng(0).normal(0, 100, 10_000)
    rows = examples(values)
    assert len(rows) <= 24
    assert sum(count for _, count in rows) > 9_900
