"""The sensitivity chart by itself: bars from a report, the dearest first, keys beside them, odd numbers drawn too."""

import math

import pandas as pd
import pytest

from qwidgets.plan import Plan
from qwidgets.widgets import SensitivityChart
from qwidgets.widgets.workbench.sensitivity_chart import ALONE, MOST_BARS
from tests.widgets.made_up import plan_of, tensors
from tests.widgets.test_views import text_of


def report_of(plan: Plan, without: list[float], alone: list[float], whole: float = 20.0) -> pd.DataFrame:
    """A report as `sensitivity` gives it."""
    report = pd.DataFrame(
        {
            "kind": "weight",
            "format": [str(plan[name]) for name in plan],
            "alone_sqnr_db": alone,
            "without_sqnr_db": without,
        },
        index=pd.Index(list(plan), name="name"),
    )
    report.attrs["sqnr_db"] = whole
    return report


@pytest.fixture
def plan() -> Plan:
    return plan_of(tensors(4))


def test_the_dearest_comes_first_and_its_colour_tells_how_dear(plan: Plan) -> None:
    chart = SensitivityChart(plan, report_of(plan, [20.5, 26.0, 19.0, 21.5], [50.0, 25.0, 8.0, 15.0]))
    names = plan.names
    assert chart._shown == [names[1], names[3], names[0], names[2]]
    assert list(chart._bars.y) == [6.0, 1.5, 0.5, -1.0]
    assert len(set(chart._bars.colors[:3])) == 3
    chart._which.value = ALONE
    assert chart._shown == [names[2], names[3], names[1], names[0]]
    assert list(chart._bars.y) == [8.0, 15.0, 25.0, 50.0]


def test_a_bar_and_a_key_select_and_a_selection_moves_the_slider(plan: Plan) -> None:
    chart = SensitivityChart(plan, report_of(plan, [20.5, 26.0, 19.0, 21.5], [50.0, 25.0, 8.0, 15.0]))
    chart._on_click(None, {"data": {"index": 1}})
    assert chart.selection == (plan.names[3],)
    assert chart._row.value == plan.names[3]
    chart._row.value = plan.names[0]
    assert chart.selection == (plan.names[0],)
    assert "0.5 dB" in text_of(chart)
    chart.selection = ()
    assert set(chart._bars.opacities) == {1.0}


def test_rows_that_were_not_measured_have_no_bar_and_infinite_ones_have(plan: Plan) -> None:
    chart = SensitivityChart(plan, report_of(plan, [math.inf, math.nan, 19.0, 21.0], [math.inf, 1, 2, 3]))
    assert len(chart._shown) == 3
    assert all(map(math.isfinite, chart._bars.y))
    chart.selection = (plan.names[0],)
    assert "∞ dB" in text_of(chart)
    assert chart.problem is None


def test_of_many_tensors_the_dearest_are_drawn_and_all_can_be_reached() -> None:
    plan = plan_of(tensors(60))
    chart = SensitivityChart(plan, report_of(plan, [20 + i / 10 for i in range(60)], [20.0] * 60), "measured on it")
    assert len(chart._shown) == MOST_BARS
    assert len(chart._row.options) == 60
    assert "measured on it · the dearest 24 of 60 bars" in text_of(chart)


def test_it_says_when_formats_have_changed_since(plan: Plan) -> None:
    chart = SensitivityChart(plan, report_of(plan, [21.0] * 4, [20.0] * 4))
    assert "changed" not in text_of(chart)
    plan[plan.names[0]] = "2^9 … 2^3"
    chart.draw_now()
    assert "formats have changed since" in text_of(chart)
    plan.undo()
    chart.draw_now()
    assert "changed" not in text_of(chart)


def test_before_anything_was_measured_and_where_nothing_can_be_it_says_so(plan: Plan) -> None:
    assert "Sensitivity measures what each tensor costs" in text_of(SensitivityChart(plan))
    nothing = SensitivityChart(plan, report_of(plan, [math.nan] * 4, [math.nan] * 4))
    assert "No tensor has a format" in text_of(nothing)


def test_what_was_measured_on_is_text_and_no_markup(plan: Plan) -> None:
    report = report_of(plan, [20.5, 26.0, 19.0, 21.5], [50.0, 25.0, 8.0, 15.0])
    chart = SensitivityChart(plan, report, "<img src=x onerror=alert(1)>")
    assert "&lt;img src=x" in text_of(chart)
    assert "<img" not in text_of(chart)
