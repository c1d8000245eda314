"""A target picked in the workbench: what does not fit is marked, explained, filtered for, and avoided by Propose."""

import html
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import PlanError
from qwidgets.plan import Plan
from qwidgets.targets import TARGETS
from qwidgets.widgets import Workbench
from qwidgets.widgets.workbench import ProposePanel
from tests.waiting import LONG
from tests.widgets.test_views import shown, tagged, text_of


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    return calibrate(model, [torch.randn(16, 2, 6, 6)], device="cpu", progress=False)


@pytest.fixture
def plan(calibration: Calibration) -> Plan:
    return calibration.propose()


def panel_of(plan: Plan) -> ProposePanel:
    panel: ProposePanel = Workbench(plan).panels["Propose"]
    return panel


def marked(panel: ProposePanel) -> Mapping[str, str]:
    return panel.session.tuning.check.misfits


def finished(panel: ProposePanel) -> ProposePanel:
    panel.session.wait(LONG)
    panel.draw_now()
    assert panel.problem is None, panel.problem
    return panel


@pytest.mark.parametrize("name", list(TARGETS))
def test_what_is_marked_is_what_the_plan_s_check_says(name: str, plan: Plan) -> None:
    panel = panel_of(plan)
    panel.target.value = name
    finished(panel)
    found = plan.check(name)
    expected = [row for row in dict.fromkeys(found.index) if row in plan]
    assert list(marked(panel)) == expected
    for row, reasons in marked(panel).items():
        assert all(reason in reasons for reason in found.loc[[row], "reason"])
    told = f"{len(expected)}  of {len(plan)} tensors do not fit" if expected else "every tensor fits"
    assert told in text_of(panel)
    assert "looking" not in text_of(panel)


def test_the_formats_are_checked_at_once_and_the_network_when_things_stand_still(plan: Plan) -> None:
    panel = panel_of(plan)
    panel.session.tuning.check._look_closer._took = LONG  # so that it looks when that is waited for, and not before
    panel.target.value = "onnxruntime"
    assert "input" in marked(panel)
    panel.draw_now()
    assert "looking at the network" in text_of(panel)
    finished(panel)
    plan.set_rounding("half_even")
    panel.draw_now()
    assert "input" not in marked(panel)
    finished(panel)
    assert list(marked(panel)) == [name for name in dict.fromkeys(plan.check("onnxruntime").index) if name in plan]


def test_the_selected_tensor_is_told_why_and_what_mends_it(plan: Plan) -> None:
    panel = panel_of(plan)
    panel.target.value = "onnxruntime"
    panel.selection = ("input",)
    finished(panel)
    reason, remedy = plan.check("onnxruntime").loc[["input"], ["reason", "remedy"]].to_numpy()[0]
    assert reason in html.unescape(text_of(panel))
    assert remedy in html.unescape(text_of(panel))
    panel.selection = ("0.weight",)
    assert remedy not in html.unescape(text_of(panel))


def test_any_target_marks_nothing(plan: Plan) -> None:
    panel = panel_of(plan)
    panel.target.value = "onnxruntime"
    assert marked(panel)
    panel.target.value = "any"
    panel.draw_now()
    assert not marked(panel)
    assert panel.session.tuning.check.target is None
    assert "Pick what the plan is for" in text_of(panel)


def test_a_plan_that_does_not_know_its_network_is_checked_by_its_formats(
    calibration: Calibration, tmp_path: Path
) -> None:
    calibration.save(tmp_path / "c.safetensors")
    panel = panel_of(Calibration.load(tmp_path / "c.safetensors").propose())
    panel.target.value = "onnxruntime"
    finished(panel)
    assert "input" in marked(panel)
    assert "looking" not in text_of(panel)


def test_the_table_marks_and_filters_what_does_not_fit(plan: Plan) -> None:
    workbench = Workbench(plan)
    table, panel = workbench.table, workbench.panels["Propose"]
    assert tagged(table, "does not fit") == []
    panel.target.value = "onnxruntime"
    finished(panel)
    table.draw_now()
    reasons = panel.session.tuning.check.found
    assert reasons is not None
    unfit = [name for name in plan if name in reasons.index]
    assert tagged(table, "does not fit") == unfit
    assert all(shown(table)[name]["state"] == "no fit" for name in unfit)
    assert shown(table)["input"]["misfit"] == reasons.loc["input", "reason"]
    plan["input"] = "Q4.3"
    table.draw_now()
    assert shown(table)["input"]["state"] == "draft, no fit"


def test_a_check_that_fails_is_told_and_looks_no_longer(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = panel_of(plan)

    def failing(*_: object) -> None:
        raise PlanError("the network has changed")

    monkeypatch.setattr(plan, "check", failing)
    panel.target.value = "onnxruntime"
    panel.session.wait(LONG)
    panel.draw_now()
    assert isinstance(panel.problem, PlanError)
    assert "the network has changed" in text_of(panel)
    assert "looking" not in text_of(panel)
    monkeypatch.undo()
    panel.target.value = "hls4ml"
    finished(panel)


def test_what_changed_while_it_was_closed_is_checked_when_it_is_shown_again(plan: Plan) -> None:
    workbench = Workbench(plan)
    panel = workbench.panels["Propose"]
    panel.target.value = "onnxruntime"
    finished(panel)
    assert "input" in marked(panel)
    workbench.close()
    plan.propose(target="onnxruntime")
    workbench.open()
    finished(panel)
    assert marked(panel) == {}
    assert "every tensor fits" in text_of(panel)


@pytest.mark.parametrize("per_channel", [False, True])
def test_what_is_proposed_fits_the_target(plan: Plan, per_channel: bool) -> None:
    workbench = Workbench(plan)
    workbench.panels["Propose"].target.value = "onnxruntime"
    workbench.panels["Propose"].per_channel.value = per_channel
    workbench.panels["Propose"].propose.click()
    finished(workbench.panels["Propose"])
    assert plan.check("onnxruntime").empty
    assert "every tensor fits" in text_of(workbench.panels["Propose"])
    assert "for onnxruntime" in workbench.panels["Log"].page.value


def test_what_the_target_cannot_have_is_told_when_it_is_proposed_for(plan: Plan) -> None:
    plan["input"] = "Q4.3"
    plan.commit()
    plan.lock("input")
    workbench = Workbench(plan)
    workbench.panels["Propose"].target.value = "onnxruntime"
    workbench.panels["Propose"].propose.click()
    assert "input was left out: is locked" in workbench.panels["Log"].page.value
