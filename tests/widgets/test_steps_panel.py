"""The steps that look at the network, taken from the workbench: in the background, stoppable, undoable, explained."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from qwidgets.adjusting import STEPS
from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import DataError, PlanError
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from qwidgets.validation import parameter_bytes
from qwidgets.widgets import LayerTable, Workbench
from qwidgets.widgets.workbench import StepsPanel
from tests.test_adjustments import DATA, MODEL, coarse
from tests.waiting import LONG, until
from tests.widgets.test_views import shown, tagged, text_of
from tests.widgets.test_workbench import batches, network


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(MODEL, DATA, device="cpu", progress=False)


@pytest.fixture
def plan(calibration: Calibration) -> Plan:
    return calibration.propose(8, per_channel=True)


def panel_of(plan: Plan, data: Any = DATA) -> StepsPanel:
    panel: StepsPanel = Workbench(plan, data, validation=DATA).panels["Steps"]
    panel.draw_now()
    return panel


def press(panel: StepsPanel, name: str) -> None:
    button = panel.buttons[name]
    assert not button.disabled
    button.click()


def finished(panel: StepsPanel) -> StepsPanel:
    panel.session.wait(LONG)
    panel.draw_now()
    return panel


def told(panel: StepsPanel) -> list[str]:
    return [entry.text for entry in panel.session.log.entries[::-1] if entry.error is None]


@pytest.mark.parametrize(
    ("name", "method", "words"),
    [
        ("equalize", Plan.equalize, "tensors scaled"),
        ("correct_bias", Plan.correct_bias, "biases corrected; output SQNR"),
        ("round_adaptively", Plan.round_adaptively, "weights rounded"),
    ],
)
def test_a_step_does_what_the_plan_s_method_does_and_undo_takes_it_back(
    plan: Plan, calibration: Calibration, name: str, method: Any, words: str
) -> None:
    other = calibration.propose(8, per_channel=True)
    if name != "equalize":  # which eight bits leave enough to do
        coarse(plan)
        coarse(other)
    panel = panel_of(plan)
    before = dict(plan.committed)
    press(panel, name)
    finished(panel)
    assert panel.problem is None
    assert words in text_of(panel)
    assert words in told(panel)[-1]
    assert plan.history[-1].note.partition(": ")[2] in told(panel)[-1]
    method(other, DATA, MODEL, progress=False)
    assert dict(plan.committed) == dict(other.committed)
    mine, theirs = (quantize(MODEL, each).codes for each in (plan, other))
    assert all(torch.equal(mine[row], theirs[row]) for row in theirs)
    assert plan.history[-1].note == other.history[-1].note
    plan.undo()
    assert dict(plan.committed) == before
    assert not plan.adjustments
    panel.draw_now()
    assert words not in text_of(panel)


def test_a_search_gives_drafts_within_its_budget(plan: Plan, calibration: Calibration) -> None:
    panel = panel_of(plan)
    taken = sum(parameter_bytes(row, plan.committed[row.name]) for row in plan.rows)
    assert panel.budget.placeholder == f"now {taken:,} bytes"
    panel.budget.value = f"{taken - 200:,} bytes"
    press(panel, "search")
    finished(panel)
    assert panel.problem is None
    other = calibration.propose(8, per_channel=True)
    other.search(DATA, taken - 200, MODEL, progress=False)
    assert plan.drafts
    assert dict(plan.drafts) == dict(other.drafts)
    assert sum(parameter_bytes(row, plan[row.name]) for row in plan.rows) <= taken - 200
    assert f"Search: {len(plan.drafts)} drafts; look at them" in text_of(panel)
    assert "drafts" in told(panel)[-1]
    assert all(button.disabled for button in panel.buttons.values())
    plan.undo()
    assert not plan.drafts


def test_a_budget_that_makes_no_sense_or_cannot_be_met_is_answered(plan: Plan) -> None:
    panel = panel_of(plan)
    panel.budget.value = "a lot"
    press(panel, "search")
    assert "cannot read the budget" in text_of(panel)
    panel.budget.value = "7"
    press(panel, "search")
    finished(panel)
    assert isinstance(panel.problem, PlanError)
    assert not plan.drafts
    assert told(panel) == []


def test_the_table_tells_which_tensors_are_adjusted_and_how(plan: Plan) -> None:
    table = LayerTable(plan)
    plan.equalize(DATA, MODEL, progress=False)
    coarse(plan)
    plan.round_adaptively(DATA, MODEL, progress=False)
    table.draw_now()
    adjusted = plan.table()["adjusted"]
    (rounded, *_), (shifted, *_) = plan.adjustments.roundings, plan.adjustments.shifts
    assert adjusted[rounded] == "equalized, rounded"
    assert adjusted[shifted] in ("bias corrected", "equalized, bias corrected")
    assert adjusted["input"] == ""
    assert {name: row["adjusted"] for name, row in shown(table).items()} == adjusted.to_dict()
    assert tagged(table, "adjusted") == list(adjusted[adjusted != ""].index)
    plan[rounded] = "Q1.6"  # for which nothing was rounded on purpose
    assert plan.table().loc[rounded, "adjusted"] == "equalized"


def test_stopping_leaves_the_plan_as_it_was(plan: Plan) -> None:
    begun, halt = threading.Event(), threading.Event()

    class Slow:
        def __iter__(self) -> Iterator[Tensor]:
            yield from DATA[:-1]
            begun.set()
            halt.wait(LONG)
            yield DATA[-1]

    workbench = Workbench(plan, Slow(), validation=DATA)
    panel, before = workbench.panels["Steps"], plan.committed
    workbench.wait(LONG)
    panel.draw_now()
    press(panel, "correct_bias")
    assert begun.wait(LONG)
    panel.draw_now()
    assert all(button.disabled for button in panel.buttons.values())
    assert "is at work" in panel.buttons["equalize"].tooltip
    progress = workbench.header.progress
    until(lambda: "Correct bias" in text_of(progress))
    progress.stop.click()
    assert "stopping …" in text_of(progress)
    halt.set()
    finished(panel)
    assert dict(plan.committed) == dict(before)
    assert not plan.adjustments
    assert told(panel)[-1] == "Correct bias: stopped, the plan is as it was"
    assert not panel.buttons["equalize"].disabled


def test_drafts_must_be_committed_first(plan: Plan) -> None:
    panel = panel_of(plan)
    plan["input"] = "Q4.3"
    panel.draw_now()
    assert all(button.disabled for button in panel.buttons.values())
    assert "commit or revert what is drafted first" in text_of(panel)
    plan.commit()
    panel.draw_now()
    assert not any(button.disabled for button in panel.buttons.values())
    assert STEPS["equalize"].about in text_of(panel)


def test_a_plan_that_does_not_know_its_network_says_so(plan: Plan, calibration: Calibration, tmp_path: Path) -> None:
    calibration.save(tmp_path / "c.safetensors")
    panel = panel_of(Calibration.load(tmp_path / "c.safetensors").propose())
    assert "does not know its network" in text_of(panel)
    assert all(button.disabled for button in panel.buttons.values())


def test_data_that_cannot_be_fed_is_answered_and_changes_nothing(plan: Plan) -> None:
    panel = panel_of(plan, [torch.zeros(2, 5, 8, 8)])
    press(panel, "equalize")
    finished(panel)
    assert isinstance(panel.problem, DataError | RuntimeError)
    assert not plan.adjustments
    assert told(panel) == []
    panel = panel_of(plan)
    press(panel, "correct_bias")
    finished(panel)
    assert panel.problem is None


def test_a_plan_that_is_changed_meanwhile_is_not_overwritten(plan: Plan) -> None:
    class Meddling:
        def __iter__(self) -> Iterator[Tensor]:
            plan["input"] = "Q4.3"
            yield from DATA

    panel = panel_of(plan, Meddling())
    press(panel, "correct_bias")
    finished(panel)
    assert "was changed while it was being adjusted" in text_of(panel)
    assert list(plan.drafts) == ["input"]


def test_the_workbench_gives_the_steps_the_data_that_it_calibrated_with() -> None:
    workbench = Workbench(network(), batches())
    plan = workbench.wait(LONG)
    plan.set_rounding("floor")  # which takes half a step off every value
    plan.commit()
    steps = workbench.panels["Steps"]
    steps.draw_now()
    press(steps, "correct_bias")
    finished(steps)
    assert plan.history[-1].note.startswith("biases corrected: output SQNR")
    for tab in ("Log", "History"):
        workbench.panels[tab].draw_now()
        assert "biases corrected" in workbench.panels[tab].page.value
    workbench.wait(LONG)


def test_data_that_was_read_once_is_not_offered_to_the_steps() -> None:
    workbench = Workbench(network(), iter(batches()))
    workbench.wait(LONG)
    workbench.panels["Steps"].draw_now()
    assert "could be read only once" in text_of(workbench.panels["Steps"])


def test_what_is_held_back_is_held_back_from_the_steps() -> None:
    data = batches(5)
    workbench = Workbench(network(), data)
    workbench.wait(LONG)
    given = list(workbench.session.tuning.data or ())
    assert [any(one is batch for one in given) for batch in data] == [True] * 4 + [False]
    assert len(workbench.session.tuning.live.material.held_back) == 1


def test_a_workbench_of_a_plan_alone_says_what_is_missing(plan: Plan) -> None:
    workbench = Workbench(plan)
    workbench.panels["Steps"].draw_now()
    assert "there is no data here to look at" in text_of(workbench.panels["Steps"])
    workbench.wait(LONG)


def test_an_option_of_a_step_is_on_or_off(calibration: Calibration) -> None:
    plan = calibration.propose(3, scheme="minmax")
    panel = panel_of(plan)
    (windows,) = panel.switches["fine_tune"].values()
    assert windows.description == "windows move, too" and not windows.value
    windows.value = True
    press(panel, "fine_tune")
    finished(panel)
    moved = {name for name, (before, after) in plan.history[-1].changes.items() if before != after}
    assert plan.history[-1].note.startswith("fine-tuned: ") and moved
