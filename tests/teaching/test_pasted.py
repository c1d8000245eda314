"""Numbers from text, and from whatever else people have."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qwidgets.errors import DataError
from qwidgets.teaching import as_values, read_numbers, values_text


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False)))
def test_what_is_written_is_read_again(values: list[float]) -> None:
    pasted = read_numbers(values_text(np.array(values, np.float64)))
    assert pasted.values.tolist() == values
    assert not pasted.faults


def test_anything_may_stand_between_numbers() -> None:
    pasted = read_numbers("[1,2;\t3]\n(4)  -5e-1\N{MINUS SIGN}")
    assert pasted.values.tolist() == [1, 2, 3, 4]
    assert read_numbers("\N{MINUS SIGN}5").values.tolist() == [-5]


def test_what_is_no_number_is_marked_in_its_place_and_the_others_stay() -> None:
    text = "0.5, two, 1e999, <b>3</b>, 4"
    pasted = read_numbers(text)
    assert pasted.values.tolist() == [0.5, 4]
    assert [(text[fault.start : fault.stop], fault.reason) for fault in pasted.faults] == [
        ("two", "not a number"),
        ("1e999", "too large for a 64-bit float"),
        ("<b>3</b>", "not a number"),
    ]


def test_nan_and_infinities_are_read() -> None:
    first, second, third = read_numbers("nan inf -Infinity").values.tolist()
    assert math.isnan(first)
    assert (second, third) == (math.inf, -math.inf)


def test_empty_text_holds_nothing() -> None:
    assert read_numbers("  , ;").values.size == 0


@pytest.mark.parametrize(
    "data",
    [3, [1, 2], np.arange(6).reshape(2, 3), torch.ones(2, 2, dtype=torch.bfloat16, requires_grad=True), [], True],
)
def test_values_come_from_numbers_sequences_arrays_and_tensors(data: Any) -> None:
    values = as_values(data)
    assert values.dtype == np.float64
    assert values.ndim == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("1 two", "'two' at character 2: not a number"),
        (["a"], "give numbers"),
        ([[1], [2, 3]], "ragged"),
        (np.array([1j]), "complex128"),
        (torch.ones(2, dtype=torch.complex64), "complex64"),
        (np.zeros(1_000_001), "1,000,001 values"),
        (None, "NoneType"),
    ],
)
def test_what_holds_no_numbers_is_refused_with_advice(data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_values(data)
