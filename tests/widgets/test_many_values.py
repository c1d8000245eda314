"""A million values in the teaching views: all of them count, and what is drawn of them stays small."""

import numpy as np

from qwidgets import FixedPoint
from qwidgets.teaching import rounding_table
from qwidgets.widgets.teaching import NumberLine, RoundingTable
from qwidgets.widgets.teaching.number_line import MOST_DRAWN
from tests.widgets.test_exhibits import settled

MANY = np.arange(200_000) % 8 / 4


def test_the_number_line_draws_the_first_and_tells_how_many_it_does_not() -> None:
    line = settled(NumberLine(FixedPoint(4, 0), [*MANY, 100.0, np.nan]))
    assert len(line._points.x) == len(line._tips.x) == len(line._arrows.x) == MOST_DRAWN
    assert line._points.x.tolist() == MANY[:MOST_DRAWN].tolist()
    assert "199,501 more values are not drawn" in line._key.value
    assert "overflow" in line._key.value  # which is far behind the first
    assert "and 199993 more. 1 that are infinite" in line._describe()
    line.values = [0.5]
    settled(line)
    assert line._points.x.tolist() == [0.5]
    assert "not drawn" not in line._key.value


def test_the_rounding_table_counts_all_values_as_its_table_has_them() -> None:
    table = settled(RoundingTable([*MANY, np.nan, np.inf], FixedPoint(4, 0)))
    few = rounding_table(np.arange(8) / 4, FixedPoint(4, 0))
    parted = int((few.nunique(axis=1) > 1).sum()) * 25_000
    assert f"the roundings part on {parted} of 200002 values" in table._describe()
    assert "more values" in table._static_page()
