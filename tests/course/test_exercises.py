"""Each exercise knows its right answer and says something useful of wrong ones."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from qwidgets import FixedPoint
from qwidgets.course import EXERCISES, ask, check, lesson_3, lesson_4, lesson_5
from qwidgets.errors import DataError
from qwidgets.teaching import PRESETS
from qwidgets.widgets.teaching import BitExplorer, Question

QUICK = [key for key in EXERCISES if not key.startswith("5.")]
WORKED = PRESETS["worked example"].values


@pytest.mark.parametrize("key", QUICK)
def test_the_solution_is_right_and_no_answer_is_not(key: str) -> None:
    assert check(key, EXERCISES[key].solve()).right
    for nothing in (..., None, "", " … "):
        assert str(check(key, nothing)) == "Not answered yet."


@pytest.mark.parametrize("key", QUICK)
@pytest.mark.parametrize("nonsense", ["<b>what?</b>", "1 2 3 4 5 6 7", "Q-40.50", math.nan, [], object()])
def test_nonsense_is_answered_with_advice_and_never_with_an_error(key: str, nonsense: Any) -> None:
    verdict = check(key, nonsense)
    assert not verdict.right
    assert verdict.text.startswith("Look again: ")
    assert "<b>" not in verdict._repr_html_().replace("&lt;b>", "")


# What a person works out with paper and pencil.
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("1.1", "-16, 15.875, 0.125"),
        ("1.2", "11101.111"),
        ("1.4", "Q2.2"),
        ("1.3", 7),
        ("2.3", "half_even"),
        ("2.4", -12),
        ("2.2", "0.0625"),
        ("3.1", 2),
        ("4.1", "numerictype(1,16,13)"),
        ("4.2", FixedPoint(19, 13)),
        ("4.4", 8),
        ("6.1", "ap_fixed<8, 5, AP_RND_CONV, AP_SAT>"),
        ("6.2", (2**16 - 1) / 2**18),
        ("6.3", "9 11"),
        ("6.4", 511),
        ("6.5", [58, -70, 26, -38]),
    ],
)
def test_what_paper_and_pencil_give_is_right(key: str, answer: Any) -> None:
    assert check(key, answer).right


@pytest.mark.parametrize(
    ("key", "answer", "advice"),
    [
        ("1.1", "-16 15.875", "3 numbers are asked for"),
        ("1.2", "10010001", "sign and a magnitude"),
        ("1.2", "11101110", "now add one"),
        ("1.4", "Q3.2", "shorter than 6 bits"),
        ("1.4", "Q2.1", "leaves out 0.25"),
        ("1.4", "Q1.2", "reaches from -2.0"),
        ("1.3", -1, "no sign"),
        ("2.3", "half_away", "+0.5"),
        ("2.4", 15.875, "saturates"),
        ("2.2", 0.125, "rounded up"),
        ("3.4", "Q1.4", "another window is"),
        ("4.1", FixedPoint(15, 13), "-128 times -128"),
        ("4.2", FixedPoint(20, 13), "fewer bits"),
        ("4.5", lesson_4.accumulators() >> 8, "rounds down"),
        ("6.1", "ap_fixed<8,5,AP_RND_CONV>", "without a word HLS wraps"),
        ("6.1", "ap_fixed<8,4,AP_RND_CONV,AP_SAT>", "sign bit among them"),
        ("6.4", 512, "one less"),
    ],
)
def test_the_common_mistakes_are_told_apart(key: str, answer: Any, advice: str) -> None:
    verdict = check(key, answer)
    assert not verdict.right
    assert advice in verdict.text


def test_a_widget_can_be_the_answer() -> None:
    explorer = BitExplorer()
    assert not check("2.1", explorer).right
    explorer.format = FixedPoint.from_window(2, -4)
    quantized = explorer.format.quantize(WORKED)
    assert (quantized != 0).all()
    assert check("2.1", explorer).right


def test_the_layer_by_hand_is_what_exact_fractions_give() -> None:
    def code(value: float, fmt: FixedPoint) -> Fraction:
        return Fraction(fmt.quantize(value))

    inputs = [code(value, lesson_4.INPUT) for value in lesson_4.X.tolist()]
    for weights, bias, found in zip(lesson_4.W.tolist(), lesson_4.B.tolist(), lesson_4.output_codes(), strict=True):
        total = sum(code(w, lesson_4.WEIGHT) * x for w, x in zip(weights, inputs, strict=True)) + Fraction(bias)
        assert found == lesson_4.OUTPUT.to_integer(float(total))


def test_the_histogram_of_the_lesson_gives_the_share_that_is_asked_for() -> None:
    best = EXERCISES["3.4"].solve()
    preview = lesson_3.histogram().preview(best)
    assert check("3.5", 100 * preview.underflow / preview.count).right
    assert "in percent" in check("3.5", preview.underflow / preview.count).text


def test_the_failing_layer_is_found_and_mended() -> None:
    assert check("5.1", lesson_5.TENSOR).right
    assert "another has less" in check("5.1", "classifier.weight").text
    assert "no tensor" in check("5.1", "classifer").text
    plan = lesson_5.failing_plan()
    assert "dB better" in check("5.2", plan).text
    plan[lesson_5.TENSOR] = None
    assert "no longer for integer hardware" in check("5.2", plan).text
    plan[lesson_5.TENSOR] = "2^0..2^-6"
    assert "commit it" in check("5.2", plan).text
    plan.commit("mended")
    assert check("5.2", plan).right
    assert check("5.3", EXERCISES["5.3"].solve()).right
    assert "in float" in check("5.3", 4 * EXERCISES["5.3"].solve()).text
    assert "plan is asked for" in check("5.2", "mended").text


def test_an_exercise_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(DataError, match=r"there are 1\.1"):
        check("7.1", 3)


def test_a_question_is_answered_in_its_box() -> None:
    question = ask("2.4")
    assert isinstance(question, Question)
    question._answer.value = "15.875"
    assert "that is where it saturates" in question._verdict.value
    question._answer.value = "-12"
    assert "Right." in question._verdict.value
    assert "20 in the window" in question._repr_mimebundle_()["text/html"]


def test_a_question_about_a_widget_is_checked_with_a_button() -> None:
    explorer = BitExplorer()
    question = ask("2.1", explorer)
    question._check.click()
    assert "still becomes zero" in question._verdict.value
    explorer.format = FixedPoint.from_window(2, -4)
    question._check.click()
    assert "Right." in question._verdict.value


def test_the_answers_do_not_depend_on_how_numbers_are_given() -> None:
    assert check("2.4", np.float32(-12)).right
    assert check("2.4", "-12.0").right
    assert check("2.4", [-12]).right
