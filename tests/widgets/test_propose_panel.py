"""A target picked in the workbench: what does not fit is marked, explained, filtered for, and avoided by Propose."""

import html
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from qwidgets.calibration import Calibration, calibrate
from qwidgets.plan import Plan
from qwidgets.targets import TARGETS
from qwidgets.widgets import Workbench
from qwidgets.widgets.workbench.target_picker import TargetPicker
from tests.waiting import LONG
from tests.widgets.test_views import shown, text_of


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    return calibrate(model, [torch.randn(16, 2, 6, 6)], device="cpu", progress=False)


@pytest.fixture
def plan(calibration: Calibration) -> Plan:
    return calibration.propose()


def picker_of(plan: Plan) -> tuple[TargetPicker, dict[str, str]]:
    marked: dict[str, str] = {}

    def mark(misfits: Mapping[str, str]) -> None:
        marked.clear()
        marked.update(misfits)

    return TargetPicker(plan, mark), marked


def finished(picker: TargetPicker) -> TargetPicker:
    picker._redraw.flush()
    assert picker.wait(LONG)
    assert picker.problem is None, picker.problem
    return picker


@pytest.mark.parametrize("name", list(TARGETS))
def test_what_is_marked_is_what_the_plan_s_check_says(name: str, plan: Plan) -> None:
    picker, marked = picker_of(plan)
    picker._choice.value = name
    finished(picker)
    found = plan.check(name)
    expected = [row for row in dict.fromkeys(found.index) if row in plan]
    assert list(marked) == expected
    for row, reasons in marked.items():
        assert all(reason in reasons for reason in found.loc[[row], "reason"])
    told = f"{len(expected)}  of {len(plan)} tensors do not fit" if expected else "every tensor fits"
    assert told in text_of(picker)
    assert "looking" not in text_of(picker)


def test_the_formats_are_checked_at_once_and_the_network_when_things_stand_still(plan: Plan) -> None:
    picker, marked = picker_of(plan)
    picker._look_closer._took = LONG  # so that it looks when that is waited for, and not before
    picker._choice.value = "onnxruntime"
    assert "input" in marked
    assert "looking at the network" in text_of(picker)
    finished(picker)
    plan.set_rounding("half_even")
    picker._redraw.flush()
    assert "input" not in marked
    finished(picker)
    assert list(marked) == [name for name in dict.fromkeys(plan.check("onnxruntime").index) if name in plan]


def test_the_selected_tensor_is_told_why_and_what_mends_it(plan: Plan) -> None:
    picker, _ = picker_of(plan)
    picker._choice.value = "onnxruntime"
    picker.selection = ("input",)
    finished(picker)
    reason, remedy = plan.check("onnxruntime").loc[["input"], ["reason", "remedy"]].to_numpy()[0]
    assert reason in html.unescape(text_of(picker))
    assert remedy in html.unescape(text_of(picker))
    picker.selection = ("0.weight",)
    assert remedy not in html.unescape(text_of(picker))


def test_any_target_marks_nothing(plan: Plan) -> None:
    picker, marked = picker_of(plan)
    picker._choice.value = "onnxruntime"
    assert marked
    picker._choice.value = "any"
    assert not marked
    assert picker.target is None
    assert "Pick what the plan is for" in text_of(picker)


def test_a_plan_that_does_not_know_its_network_is_checked_by_its_formats(
    calibration: Calibration, tmp_path: Path
) -> None:
    calibration.save(tmp_path / "c.safetensors")
    picker, marked = picker_of(Calibration.load(tmp_path / "c.safetensors").propose())
    picker._choice.value = "onnxruntime"
    finished(picker)
    assert "input" in marked
    assert "looking" not in text_of(picker)


def test_the_table_marks_and_filters_what_does_not_fit(plan: Plan) -> None:
    workbench = Workbench(plan)
    table, picker = workbench._table, workbench._target
    table._only.value = "does not fit"
    assert "Every tensor fits the target, or none is picked" in text_of(table)
    picker._choice.value = "onnxruntime"
    finished(picker)
    reasons = picker._found
    assert reasons is not None
    rows = shown(table)
    assert list(rows) == [name for name in plan if name in reasons.index]
    assert all(row["state"] == "no fit" for row in rows.values())
    assert rows["input"]["does not fit"] == reasons.loc["input", "reason"]
    plan["input"] = "Q4.3"
    table._redraw.flush()
    assert shown(table)["input"]["state"] == "draft, no fit"


@pytest.mark.parametrize("per_channel", [False, True])
def test_what_is_proposed_fits_the_target(plan: Plan, per_channel: bool) -> None:
    workbench = Workbench(plan)
    workbench._target._choice.value = "onnxruntime"
    workbench._header._per_channel.value = per_channel
    workbench._header._propose.click()
    finished(workbench._target)
    assert plan.check("onnxruntime").empty
    assert "every tensor fits" in text_of(workbench._target)
    assert "for onnxruntime" in workbench._log.value


def test_what_the_target_cannot_have_is_told_when_it_is_proposed_for(plan: Plan) -> None:
    plan["input"] = "Q4.3"
    plan.commit()
    plan.lock("input")
    workbench = Workbench(plan)
    workbench._target._choice.value = "onnxruntime"
    workbench._header._propose.click()
    assert "input was left out: is locked" in workbench._log.value
