"""The bit explorer without a browser: what its controls do, and that it shows what the functions give."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from qwidgets import FixedPoint
from qwidgets.errors import DataError, PlanError
from qwidgets.teaching import PRESETS, STEPS, bits
from qwidgets.widgets.teaching import BitExplorer
from tests.widgets.by_hand import move_to

WINDOW = FixedPoint.from_window(3, -3)


def settled(explorer: BitExplorer) -> BitExplorer:
    explorer.draw_now()
    assert explorer.problem is None
    return explorer


def shown(explorer: BitExplorer) -> str:
    settled(explorer)
    return " ".join(box.value for box in (explorer._grid, explorer._side, explorer._story, explorer._why))


def test_it_opens_on_the_worked_example() -> None:
    explorer = settled(BitExplorer())
    assert explorer.table()["value"].tolist() == PRESETS["worked example"].values.tolist()
    for part in ("15.875", "2.125", "underflow", "precision loss", "overflow", "00010.001"):
        assert part in shown(explorer)


def test_every_value_has_its_leading_one_marked() -> None:
    assert BitExplorer()._grid.value.count("qw-msb") == 9
    assert BitExplorer(step=1)._grid.value.count("qw-msb") == 0


@pytest.mark.parametrize("step", range(1, 6))
def test_each_step_is_told_and_adds_what_it_is_about(step: int) -> None:
    explorer = settled(BitExplorer(step=step))
    parts = list(explorer._left.children)
    assert (explorer._counts in parts) == (step >= 3)
    assert (explorer._heat in parts) == (step >= 4)
    assert ("qw-out" in explorer._grid.value) == (step == 5)
    if step < 5:
        assert STEPS[step - 1].sentence in explorer.description


def test_back_and_next_go_one_step_and_stop_at_the_ends() -> None:
    explorer = BitExplorer(step=2)
    explorer._back.click()
    explorer._back.click()
    assert settled(explorer).step == 1
    assert explorer._back.disabled
    for _ in range(9):
        explorer._next.click()
    assert settled(explorer).step == 5
    assert explorer._next.disabled


def test_typed_numbers_are_shown_and_what_is_none_is_marked_in_its_place() -> None:
    explorer = BitExplorer()
    explorer._numbers.text.value = "1.5, <b>two</b>, 3"
    assert settled(explorer).values.tolist() == [1.5, 3]
    assert "1.5, <mark title='not a number'>&lt;b&gt;two&lt;/b&gt;</mark>, 3" in explorer._numbers.faults.value
    assert explorer._numbers.text.value == "1.5, <b>two</b>, 3"
    explorer._numbers.text.value = "1.5, 2, 3"
    assert not explorer._numbers.faults.value


def test_without_a_number_it_says_what_to_do() -> None:
    explorer = BitExplorer([])
    assert "type or paste" in settled(explorer).description


def test_nan_and_infinities_are_shown_for_what_they_are() -> None:
    explorer = BitExplorer("nan inf -inf 0")
    assert "no bits stand for it" in shown(explorer)
    assert "2 overflow, 1 not a number" in explorer.description


def test_a_tensor_of_ten_thousand_values_is_summarized() -> None:
    values = torch.from_numpy(np.random.default_rng(3).laplace(0, 1, 10_000))
    explorer = settled(BitExplorer(values))
    assert explorer._grid.value.count("<tr>") <= 26
    counted = bits.count_outcomes(values.numpy(), WINDOW)
    assert all(f"{count:,} {name}" in explorer.description for name, count in counted.items())


def test_values_that_are_none_are_refused_and_those_before_stay() -> None:
    explorer = BitExplorer([1.0])
    with pytest.raises(DataError, match="give numbers"):
        explorer.values = ["one"]
    assert explorer.values.tolist() == [1.0]


def move_slider(explorer: BitExplorer) -> None:
    move_to(explorer._controls, 2)


def brush(explorer: BitExplorer) -> None:
    explorer._on_brush(2, -4)


def write_notation(explorer: BitExplorer) -> None:
    explorer._controls.notation.value = "Q3.4"


@pytest.mark.parametrize("act", [move_slider, brush, write_notation])
def test_the_window_is_moved_by_slider_brush_and_notation_alike(act: Any) -> None:
    explorer = BitExplorer()
    act(explorer)
    assert settled(explorer).format == FixedPoint.from_window(2, -4)
    assert explorer.description.startswith("Window 2^2 … 2^-4")


def test_a_notation_that_makes_no_sense_is_told_and_the_window_stays() -> None:
    explorer = BitExplorer()
    explorer._controls.notation.value = "Q<b>"
    assert "cannot read the format" in str(explorer.problem)
    assert explorer.format == WINDOW
    explorer._controls.notation.value = "Q4.3"
    assert explorer.problem is None


def test_a_rule_proposes_a_window_and_says_why_until_it_is_moved_by_hand() -> None:
    explorer = BitExplorer()
    explorer._scheme.value = "histogram"
    assert settled(explorer).format == WINDOW
    assert "mean position of the 9 MSBs" in shown(explorer)
    move_slider(explorer)
    assert "mean position" not in shown(explorer)
    with pytest.raises(PlanError, match="known are"):
        explorer.propose("best")


def test_wrapping_is_shown_as_it_happens() -> None:
    explorer = BitExplorer([16.25], dataclasses.replace(WINDOW, overflow="wrap"))
    assert "<span class='qw-dropped'>0</span><span class='qw-stored'>10000010</span>" in shown(explorer)
    assert "which stands for -126" in shown(explorer)


def test_presets_bring_their_numbers_and_their_format() -> None:
    explorer = BitExplorer([1.0])
    for name, preset in PRESETS.items():
        explorer._preset.value = name
        assert np.array_equal(settled(explorer).values, preset.values, equal_nan=True)
        assert explorer.format == preset.format


def test_values_far_apart_and_wide_words_still_find_room() -> None:
    explorer = settled(BitExplorer([1e300, 5e-324, -1.0], FixedPoint(32, 20)))
    assert "…" in explorer._grid.value
    assert "1 above the columns · 1 below the columns" in explorer._heat.value
    assert "below 0" in explorer._bars._key.value


def test_without_a_kernel_the_table_is_left() -> None:
    page = BitExplorer()._repr_mimebundle_()["text/html"]
    assert "15.875" in page
    assert "<script" not in page


def test_it_can_be_closed_and_shown_again() -> None:
    explorer = BitExplorer()
    explorer.close()
    explorer.format = FixedPoint(8, 0)
    assert "text/html" in explorer._repr_mimebundle_()
    assert settled(explorer).description.startswith("Window 2^6")
