"""The sentences that say why a rule chose a window, and the table of roundings."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwidgets import BitHistogram, FixedPoint
from qwidgets.errors import PlanError
from qwidgets.schemes import SCHEMES, register_scheme
from qwidgets.teaching import RULES, TIES, mean_errors, propose, rounding_table

LOGGED = BitHistogram().update(np.array([0.03125, 0.25, 0.25, 0.5, 1, 2.1, -2.125, 8.25, 16.25]))


@pytest.mark.parametrize("scheme", ["minmax", "mse", "histogram", "percentile"])
@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(width=32), max_size=20), st.integers(2, 16), st.sampled_from([True, False, None]))
def test_a_proposal_is_the_windows_of_the_scheme_with_a_reason_that_names_it(
    scheme: str, values: list[float], word_length: int, signed: bool | None
) -> None:
    histogram = BitHistogram().update(np.array(values))
    proposal = propose(scheme, histogram, word_length, signed)
    assert proposal.format == SCHEMES[scheme](histogram, word_length, signed=signed)
    assert str(proposal.format) in proposal.reason
    assert "nan" not in proposal.reason


def test_the_reasons_hold_the_figures_that_decided() -> None:
    assert "from -2.125 to 16.25" in propose("minmax", LOGGED, 8).reason
    assert "mean position of the 9 MSBs is -0.11" in propose("histogram", LOGGED, 8).reason
    mse = propose("mse", LOGGED, 8)
    errors = LOGGED.previews(8, signed=True)["mse"]
    assert f"{errors.min():.3g}; one bit higher it is {errors[mse.format.msb + 1]:.3g}" in mse.reason
    assert "0 do, and one bit lower 1 would" in propose("percentile", LOGGED, 8).reason


def test_without_a_bit_to_go_by_the_reason_says_so() -> None:
    assert "No value has a bit to go by" in propose("mse", BitHistogram(), 8).reason


def test_a_rule_of_ones_own_is_told_by_its_docstring() -> None:
    @register_scheme
    def whole_numbers(histogram: BitHistogram, word_length: int, signed: bool | None = None) -> FixedPoint:
        """Keep whole numbers."""
        return FixedPoint(word_length, 0)

    try:
        assert propose("whole_numbers", LOGGED, 8).reason == "whole_numbers chose 2^6 … 2^0: keep whole numbers."
    finally:
        del SCHEMES["whole_numbers"]


def test_a_rule_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(PlanError, match="known are"):
        propose("best", LOGGED, 8)


def test_the_six_roundings_differ_on_ties_as_the_textbooks_say() -> None:
    table = rounding_table()
    assert tuple(table.index) == TIES
    assert {name: [int(value) for value in table[name]] for name in RULES} == {
        "half_away": [-3, -2, -1, 1, 2, 3],
        "half_even": [-2, -2, 0, 0, 2, 2],
        "half_up": [-2, -1, 0, 1, 2, 3],
        "floor": [-3, -2, -1, 0, 1, 2],
        "ceil": [-2, -1, 0, 1, 2, 3],
        "zero": [-2, -1, 0, 0, 1, 2],
    }


def test_the_bias_of_a_rounding_is_its_mean_error() -> None:
    bias = mean_errors([*TIES, math.nan])
    assert bias["half_away"] == bias["half_even"] == bias["zero"] == 0
    assert (bias["floor"], bias["ceil"], bias["half_up"]) == (-0.5, 0.5, 0.5)
