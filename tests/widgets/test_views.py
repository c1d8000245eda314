"""The parts of the workbench, driven from Python: what they hold is what the browser shows."""

import json
import math
import re
import threading
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np
import pytest
import traitlets

from qwidgets.errors import PlanError
from qwidgets.formats import FixedPoint
from qwidgets.pictures import superscript
from qwidgets.plan import Plan
from qwidgets.widgets import BitHeatMap, LayerTable, WindowEditor
from qwidgets.widgets.controls import PlanView
from qwidgets.widgets.workbench.aligned_heat_map import AlignedHeatMap
from tests.waiting import LONG
from tests.widgets.by_hand import move_to
from tests.widgets.made_up import plan_of, tensors

VIEWS = [LayerTable, BitHeatMap, WindowEditor]
FIRST = "blocks.0.conv.weight"


@pytest.fixture
def plan() -> Plan:
    return plan_of(tensors(9))


def text_of(widget: ipywidgets.Widget) -> str:
    """All that a widget and its children say, without marks."""
    own = re.sub(r"<style>.*?</style>|<[^>]+>", " ", widget.value) if isinstance(widget, ipywidgets.HTML) else ""
    return " ".join([own, *(text_of(child) for child in getattr(widget, "children", ()))])


def window(plan: Plan, name: str = FIRST) -> FixedPoint:
    fmt = plan[name]
    assert isinstance(fmt, FixedPoint)
    return fmt


def shown(table: LayerTable) -> dict[str, dict[str, Any]]:
    """The rows of a table as they were sent to the browser."""
    return {row["name"]: row["cells"] for row in table.rows.get_state("rows")["rows"]}


def tagged(table: LayerTable, tag: str) -> list[str]:
    """The rows that a filter leaves."""
    return [row["name"] for row in table.rows.get_state("rows")["rows"] if tag in row["tags"]]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_something_that_is_no_plan_says_what_it_needs(view: type[PlanView]) -> None:
    with pytest.raises(PlanError, match=rf"{view.__name__} shows a Plan, not 'resnet18'; calibrate"):
        view("resnet18")  # type: ignore[arg-type]


@pytest.mark.parametrize("view", VIEWS)
def test_an_unknown_argument_fails_at_once(view: type[PlanView], plan: Plan) -> None:
    with pytest.raises(TypeError, match="colour"):
        view(plan, colour="blue")  # type: ignore[call-arg]


@pytest.mark.parametrize("view", VIEWS)
def test_an_unknown_tensor_cannot_be_selected(view: type[PlanView], plan: Plan) -> None:
    with pytest.raises(PlanError, match="no tensor 'conv9'"):
        view(plan, ["conv9"])


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_that_was_closed_follows_its_plan_again_when_it_is_shown_again(view: type[PlanView], plan: Plan) -> None:
    shown_again = view(plan, [FIRST])
    shown_again.close()
    shown_again.close()
    before = text_of(shown_again)
    plan[FIRST] = "2^9..2^3"
    assert text_of(shown_again) == before
    assert "application/vnd.jupyter.widget-view+json" in shown_again._repr_mimebundle_()
    plan[FIRST] = "2^8..2^2"
    assert shown_again.problem is None


@pytest.mark.parametrize("view", VIEWS)
def test_without_a_kernel_a_view_leaves_a_table_and_a_picture(view: type[PlanView]) -> None:
    page = view(plan_of({"<script>alert(1)</script>": tensors(1)[FIRST]}))._repr_mimebundle_()["text/html"]
    assert "data:image/png;base64," in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


@pytest.mark.parametrize("view", VIEWS)
def test_a_plan_without_tensors_and_one_without_a_calibration_can_be_shown(
    view: type[PlanView], plan: Plan, tmp_path: Any
) -> None:
    assert view(plan_of({})).problem is None
    plan.save(tmp_path / "plan.json")
    loaded = view(Plan.load(tmp_path / "plan.json"), [FIRST])
    assert loaded.problem is None


def test_the_table_shows_what_the_plan_s_table_says(plan: Plan) -> None:
    plan[FIRST] = "2^1..2^-2"
    plan.lock("blocks.1.conv")
    row, expected = shown(LayerTable(plan))[FIRST], plan.table().loc[FIRST]
    assert (row["state"], row["window"], row["word_length"], row["sign"]) == ("draft", "2¹ … 2⁻²", 5, "signed")
    for figure in ("underflow", "overflow", "underflow_percent", "sqnr_db", "count", "min", "max"):
        assert row[figure] == expected[figure]
    assert shown(LayerTable(plan))["blocks.1.conv"]["state"] == "locked"


def test_the_table_follows_the_plan(plan: Plan) -> None:
    table = LayerTable(plan)
    plan[FIRST] = None
    table.draw_now()
    assert shown(table)[FIRST]["state"] == "draft, float"
    assert shown(table)[FIRST]["window"] == ""


@pytest.mark.parametrize(
    ("tag", "names"),
    [
        ("weights", [f"blocks.{block}.conv.{kind}" for block in range(3) for kind in ("weight", "bias")]),
        ("activations", ["blocks.0.conv", "blocks.1.conv", "blocks.2.conv"]),
        ("drafts", [FIRST]),
        ("locked", ["blocks.1.conv"]),
        ("problems", [FIRST]),
        ("adjusted", []),
    ],
)
def test_the_table_can_be_filtered_by_kinds(plan: Plan, tag: str, names: list[str]) -> None:
    plan[FIRST] = "2^-9..2^-15"
    plan.lock("blocks.1.conv")
    table = LayerTable(plan)
    assert tagged(table, tag) == names
    assert tag in [known for known, *_ in table.rows.filters]


def test_what_deserves_attention_is_marked(plan: Plan) -> None:
    plan[FIRST] = "2^-9..2^-15"
    row = LayerTable(plan).rows.held_rows[0]
    assert row["marks"]["overflow_percent"] == "severe"
    assert "underflow_percent" not in row["marks"]


def test_rows_that_are_selected_in_the_browser_are_selected_by_name(plan: Plan) -> None:
    table = LayerTable(plan)
    table.rows.set_state({"selection": ["blocks.2.conv", "blocks.2.conv.weight"]})
    assert table.selection == ("blocks.2.conv", "blocks.2.conv.weight")
    table.selection = (FIRST,)
    assert table.rows.selection == [FIRST]


def test_only_rows_that_changed_are_sent(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    table = LayerTable(plan)
    table.draw_now()
    sent: list[tuple[Any, Any]] = []
    monkeypatch.setattr(table.rows, "send", lambda content, buffers: sent.append((content, buffers)))
    monkeypatch.setattr(table.rows, "send_state", lambda *_: sent.append(("state", None)))
    plan["blocks.1.conv.weight"] = "2^9..2^3"
    table.draw_now()
    ((content, _),) = sent
    assert [(place, row["name"]) for place, row in content["rows"]] == [(3, "blocks.1.conv.weight")]
    assert shown(table)["blocks.1.conv.weight"]["window"] == "2⁹ … 2³"
    table.refresh()
    table.draw_now()
    assert len(sent) == 1


def test_figures_that_json_cannot_say_are_said_otherwise(plan: Plan) -> None:
    plan[FIRST] = None
    table = LayerTable(plan)
    table.show_measured({FIRST: math.inf, "blocks.1.conv": -math.inf})
    table.draw_now()
    rows = shown(table)
    assert rows[FIRST]["in_net_db"] == "∞"
    assert rows["blocks.1.conv"]["in_net_db"] == "−∞"
    assert rows[FIRST]["sqnr_db"] is rows["blocks.2.conv"]["in_net_db"] is None
    json.dumps(table.rows.get_state("rows")["rows"], allow_nan=False)


def aligned(plan: Plan) -> tuple[LayerTable, AlignedHeatMap]:
    table = LayerTable(plan)
    return table, AlignedHeatMap(plan, table.rows)


def test_each_row_has_its_line_of_pixels_and_one_that_changes_is_sent_alone(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, heat = aligned(plan)
    heat.draw_now()
    held = table.rows.held_strips
    assert held.shape == (9, table.rows.strip_width)
    assert bytes(table.rows.get_state("strips")["strips"]) == held.tobytes()
    before = held.copy()
    sent: list[tuple[Any, Any]] = []
    monkeypatch.setattr(table.rows, "send", lambda content, buffers: sent.append((content, buffers)))
    fmt = window(plan, "blocks.1.conv.weight")
    plan["blocks.1.conv.weight"] = FixedPoint.from_window(fmt.msb - 1, fmt.lsb)
    heat.draw_now()
    content, buffers = sent[-1]
    assert content["strips"] == [3]
    assert buffers[0] == held[3].tobytes() != before[3].tobytes()
    assert (np.delete(held, 3, axis=0) == np.delete(before, 3, axis=0)).all()


def test_a_click_beside_the_list_is_about_the_line_that_lies_there(plan: Plan) -> None:
    table, heat = aligned(plan)
    heat.draw_now()
    table.rows.set_state({"order": ["", *reversed(plan.names)]})
    click = {"click_x": 2.5, "click_y": -1.5}
    heat.image._handle_custom_msgs(None, {"event": "element_click", "data": click}, None)
    assert heat.selection == (plan.names[-1],)
    heat.image._handle_custom_msgs(None, {"event": "element_click", "data": {**click, "click_y": -0.5}}, None)
    assert heat.selection == (plan.names[-1],)


def test_a_bit_that_is_pointed_at_is_read_out_for_as_long_as_it_is(plan: Plan) -> None:
    table, heat = aligned(plan)
    heat.draw_now()
    heat.tell("look here")
    assert heat._lines is not None
    assert plan.calibration is not None
    bits = heat._lines.bits
    counted = plan.calibration[FIRST].msb_counts()
    for bit in (int(counted.index[0]), bits.top):
        table.rows.set_state({"asked": [FIRST, bits.top - bit]})
        expected = int(counted.get(bit, 0))
        assert f"<b>{FIRST}</b> · {superscript(f'2^{bit}')} · {expected:,} values" in heat.readout.value
        assert table.rows.said == f"two to the {bit}: {expected} values"
    for nowhere in (["no such tensor", 0], [FIRST, len(bits)], [FIRST, -1], None):
        table.rows.set_state({"asked": nowhere})
        assert heat.readout.value == "look here"
    heat.selection = ("blocks.1.conv",)
    assert "Point at a bit" in heat.readout.value


def heat_clicked(heat: BitHeatMap, name: str, bit: int) -> None:
    assert heat._lines is not None
    bits = heat._lines.bits
    row = len(heat.plan) - heat.plan.names.index(name) - 0.5
    heat._image._handle_custom_msgs(
        None, {"event": "element_click", "data": {"click_x": bits.column(bit) + 0.5, "click_y": row}}, None
    )


def test_a_click_in_the_heat_map_selects_the_row_and_reads_out_the_bit(plan: Plan) -> None:
    heat = BitHeatMap(plan)
    heat_clicked(heat, "blocks.2.conv", -3)
    assert plan.calibration is not None
    count = plan.calibration["blocks.2.conv"].msb_counts()[-3]
    assert heat.selection == ("blocks.2.conv",)
    assert re.search(rf"blocks.2.conv\s+· 2⁻³ · {count:,} values", text_of(heat))


def test_several_selected_rows_are_outlined_together_where_they_touch(plan: Plan) -> None:
    heat = BitHeatMap(plan, plan.names[2:4])
    heat.selection = (*plan.names[2:4], plan.names[7])
    assert [(float(line[0]), float(line[2])) for line in heat._marks.y] == [(7.0, 5.0), (2.0, 1.0)]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is sent to the browser: the class of the widget and the trait."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(LONG)  # what views of other tests still had to draw
    messages: list[tuple[str, str]] = []
    original = ipywidgets.Widget.notify_change

    def notify_change(self: ipywidgets.Widget, change: Any) -> None:
        if change["name"] in self.keys:
            messages.append((type(self).__name__, change["name"]))
        original(self, change)

    monkeypatch.setattr(ipywidgets.Widget, "notify_change", notify_change)
    return messages


def test_the_heat_map_sends_one_picture_and_nothing_else_when_a_window_moves(
    plan: Plan, sent: list[tuple[str, str]]
) -> None:
    heat = BitHeatMap(plan, [FIRST])
    sent.clear()
    plan[FIRST] = "2^3..2^-3"
    heat.draw_now()
    assert sent[-1] == ("Image", "image")
    assert {kind for kind, _ in sent} == {"Image"}  # the new picture itself, and the mark that holds it
    sent.clear()
    heat.selection = ("blocks.1.conv",)
    assert set(sent) <= {("Lines", "x"), ("Lines", "y"), ("HTML", "value")}


def test_the_editor_is_not_drawn_when_another_tensor_changes(plan: Plan, sent: list[tuple[str, str]]) -> None:
    editor = WindowEditor(plan, [FIRST])
    sent.clear()
    plan["blocks.1.conv"] = "2^2..2^-4"
    editor.draw_now()
    assert not sent


def test_everything_in_the_editor_moves_the_same_window(plan: Plan) -> None:
    plan[FIRST] = "2^3..2^-3"
    editor = WindowEditor(plan, [FIRST])
    controls = editor._controls
    steps: list[tuple[Callable[[], None], str]] = [
        (lambda: move_to(controls, 2), "2^2 … 2^-4"),
        (lambda: controls.slider.set_state({"window": [2, -2]}), "2^2 … 2^-2"),
        (lambda: setattr(controls._msb, "value", 0), "2^0 … 2^-4"),
        (lambda: setattr(controls._hold, "value", False), "2^0 … 2^-4"),
        (lambda: setattr(controls._lsb, "value", -6), "2^0 … 2^-6"),
        (lambda: setattr(controls._word_length, "value", 6), "2^0 … 2^-4"),
        (lambda: setattr(controls._sign, "value", "unsigned"), "2^0 … 2^-5 unsigned"),
        (lambda: editor._on_brush(1, -3), "2^1 … 2^-3 unsigned"),
        (lambda: setattr(controls.notation, "value", "ap_fixed<8,5>"), "2^3 … 2^-3"),
    ]
    for act, expected in steps:
        act()
        editor.draw_now()
        assert str(plan[FIRST]) == expected
        fmt = window(plan)
        assert (controls._msb.value, controls._lsb.value, controls._word_length.value) == (
            fmt.msb,
            fmt.lsb,
            fmt.word_length,
        )
        assert controls.slider.window == (fmt.msb, fmt.lsb)
    assert (controls._rounding.value, controls._overflow.value) == ("floor", "wrap")
    controls._rounding.value = "half_even"
    assert plan[FIRST] == FixedPoint(8, 3, rounding="half_even", overflow="wrap")
    assert editor.problem is None


def test_several_tensors_move_together_each_from_where_it_stands(plan: Plan) -> None:
    plan.draft({FIRST: "2^3..2^-3", "blocks.1.conv": "2^0..2^-8", "blocks.2.conv": "2^1..2^-5"})
    plan.lock("blocks.2.conv")
    editor = WindowEditor(plan, [FIRST, "blocks.1.conv", "blocks.2.conv"])
    move_to(editor._controls, 5)
    assert [str(plan[name]) for name in editor.selection] == ["2^5 … 2^-1", "2^2 … 2^-6", "2^1 … 2^-5"]
    assert "1 locked, left alone" in text_of(editor)


def test_moves_in_one_motion_are_one_step_for_undo(plan: Plan) -> None:
    before = window(plan)
    editor = WindowEditor(plan, [FIRST])
    for msb in (before.msb - 1, before.msb - 2, before.msb - 3):
        move_to(editor._controls, msb)
    plan.undo()
    assert plan[FIRST] == before


def test_a_move_that_makes_no_sense_is_answered_and_the_controls_go_back(plan: Plan) -> None:
    plan[FIRST] = "2^3..2^-3"
    editor = WindowEditor(plan, [FIRST])
    editor._controls._hold.value = False
    editor._controls._lsb.value = 9
    assert "msb must be an integer from 9 to" in text_of(editor)
    assert editor._controls._lsb.value == -3
    editor._controls._lsb.value = -4
    assert "msb must be" not in text_of(editor)
    assert str(plan[FIRST]) == "2^3 … 2^-4"


def test_a_tensor_is_kept_in_float_and_given_a_format_again(plan: Plan) -> None:
    editor = WindowEditor(plan, [FIRST])
    editor._float.value = True
    assert plan[FIRST] is None
    editor.draw_now()
    assert editor._controls._msb.disabled
    assert editor._controls.notation.value == "float"
    editor._float.value = False
    assert plan[FIRST] == plan.committed[FIRST]
    plan[FIRST] = None
    plan.commit()
    editor.draw_now()
    editor._float.value = False
    assert plan[FIRST] is not None


def test_a_locked_tensor_cannot_be_moved(plan: Plan) -> None:
    editor = WindowEditor(plan, [FIRST])
    editor._lock.value = True
    assert plan.locked == {FIRST}
    editor.draw_now()
    assert editor._controls.slider.disabled
    editor._lock.value = False
    assert not plan.locked


def test_the_arrows_go_through_the_tensors_and_round(plan: Plan) -> None:
    editor = WindowEditor(plan)
    assert "Select a tensor" in text_of(editor)
    for button, name in ((editor._next, 0), (editor._next, 1), (editor._previous, 0), (editor._previous, -1)):
        button.click()
        assert editor.selection == (plan.names[name],)


def test_a_bound_is_called_one_and_an_estimate_looks_like_one() -> None:
    plan = plan_of({FIRST: np.linspace(-8, 8, 129, dtype=np.float32)})
    plan[FIRST] = FixedPoint(8, 1, rounding="half_even")
    text = text_of(WindowEditor(plan, [FIRST]))
    assert "at most" in text
    assert re.search(r"≈ [\d.]+ dB", text)


def test_an_unsigned_window_over_negative_values_counts_them_as_above_it(plan: Plan) -> None:
    plan[FIRST] = "2^9..2^2 unsigned"
    assert plan.calibration is not None
    negative = plan.calibration[FIRST].negative
    assert f"above {negative:,}" in text_of(WindowEditor(plan, [FIRST]))


def test_an_error_of_a_callback_is_shown_and_goes_when_the_next_thing_works(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = WindowEditor(plan, [FIRST])
    with monkeypatch.context() as broken:
        broken.setattr(plan, "lock", lambda *_: 1 / 0)
        editor._lock.value = True
    assert "ZeroDivisionError: division by zero" in text_of(editor)
    assert isinstance(editor.problem, ZeroDivisionError)
    editor._float.value = True
    assert "ZeroDivisionError" not in text_of(editor)


def test_names_full_of_html_are_escaped_wherever_they_stand() -> None:
    name = "<img src=x onerror=alert(1)>"
    plan = plan_of({name: tensors(1)[FIRST]})
    for view in VIEWS:
        each = view(plan, [name])
        assert each.problem is None
        html = " ".join(
            child.value for child in list(ipywidgets.Widget.widgets.values()) if isinstance(child, ipywidgets.HTML)
        )
        assert "<img src=x" not in html


def test_views_of_one_plan_can_be_used_from_several_threads(plan: Plan) -> None:
    table, heat, editor = LayerTable(plan, [FIRST]), BitHeatMap(plan, [FIRST]), WindowEditor(plan, [FIRST])
    views: list[PlanView] = [table, heat, editor]
    for view in views[1:]:
        traitlets.link((views[0], "selection"), (view, "selection"))

    def draft() -> None:
        for msb in range(-3, 9):
            plan[FIRST] = FixedPoint.from_window(msb, msb - 6)

    def select() -> None:
        for name in plan.names * 3:
            heat.selection = (name,)

    threads = [threading.Thread(target=target) for target in (draft, select, draft)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()
    for view in views:
        view.draw_now()
        assert view.problem is None
    assert shown(table)[FIRST]["window"] == "2⁸ … 2²"
