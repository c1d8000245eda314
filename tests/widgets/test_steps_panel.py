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
from qwidgets.widgets.workbench.steps_menu import StepsMenu
from tests.test_adjustments import DATA, MODEL, coarse
from tests.waiting import LONG, until
from tests.widgets.test_views import shown, text_of
from tests.widgets.test_workbench import batches, network

NAMES = [step.title for step in STEPS.values()]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(MODEL, DATA, device="cpu", progress=False)


@pytest.fixture
def plan(calibration: Calibration) -> Plan:
    return calibration.propose(8, per_channel=True)


def menu_of(plan: Plan, data: Any = DATA) -> tuple[StepsMenu, list[str]]:
    told: list[str] = []
    menu = StepsMenu(plan, told.append)
    menu.give(data)
    menu._redraw.flush()
    return menu, told


def press(menu: StepsMenu, name: str) -> None:
    button = menu._buttons[NAMES.index(name)]
    assert not button.disabled
    button.click()


def finished(menu: StepsMenu) -> StepsMenu:
    assert menu.wait(LONG)
    until(lambda: menu._progress.layout.display == "none")
    menu._redraw.flush()
    return menu


@pytest.mark.parametrize(
    ("name", "method", "words"),
    [
        ("Equalize", Plan.equalize, "tensors scaled"),
        ("Correct bias", Plan.correct_bias, "biases corrected; output SQNR"),
        ("Round adaptively", Plan.round_adaptively, "weights rounded"),
    ],
)
def test_a_step_does_what_the_plan_s_method_does_and_undo_takes_it_back(
    plan: Plan, calibration: Calibration, name: str, method: Any, words: str
) -> None:
    other = calibration.propose(8, per_channel=True)
    if name != "Equalize":  # which eight bits leave enough to do
        coarse(plan)
        coarse(other)
    menu, told = menu_of(plan)
    before = dict(plan.committed)
    press(menu, name)
    finished(menu)
    assert menu.problem is None
    assert words in text_of(menu)
    assert words in told[-1]
    assert plan.history[-1].note.partition(": ")[2] in told[-1]
    method(other, DATA, MODEL, progress=False)
    assert dict(plan.committed) == dict(other.committed)
    mine, theirs = (quantize(MODEL, each).codes for each in (plan, other))
    assert all(torch.equal(mine[row], theirs[row]) for row in theirs)
    assert plan.history[-1].note == other.history[-1].note
    plan.undo()
    assert dict(plan.committed) == before
    assert not plan.adjustments
    menu._redraw.flush()
    assert words not in text_of(menu)


def test_a_search_gives_drafts_within_its_budget(plan: Plan, calibration: Calibration) -> None:
    menu, told = menu_of(plan)
    taken = sum(parameter_bytes(row, plan.committed[row.name]) for row in plan.rows)
    assert menu._budget.placeholder == f"now {taken:,} bytes"
    menu._budget.value = f"{taken - 200:,} bytes"
    press(menu, "Search")
    finished(menu)
    assert menu.problem is None
    other = calibration.propose(8, per_channel=True)
    other.search(DATA, taken - 200, MODEL, progress=False)
    assert plan.drafts
    assert dict(plan.drafts) == dict(other.drafts)
    assert sum(parameter_bytes(row, plan[row.name]) for row in plan.rows) <= taken - 200
    assert f"Search: {len(plan.drafts)} drafts; look at them" in text_of(menu)
    assert "drafts" in told[-1]
    assert all(button.disabled for button in menu._buttons)
    plan.undo()
    assert not plan.drafts


def test_a_budget_that_makes_no_sense_or_cannot_be_met_is_answered(plan: Plan) -> None:
    menu, told = menu_of(plan)
    menu._budget.value = "a lot"
    press(menu, "Search")
    assert "cannot read the budget" in text_of(menu)
    menu._budget.value = "7"
    press(menu, "Search")
    finished(menu)
    assert isinstance(menu.problem, PlanError)
    assert not plan.drafts
    assert told == []


def test_the_table_tells_which_tensors_are_adjusted_and_how(plan: Plan) -> None:
    table = LayerTable(plan)
    plan.equalize(DATA, MODEL, progress=False)
    coarse(plan)
    plan.round_adaptively(DATA, MODEL, progress=False)
    table._redraw.flush()
    adjusted = plan.table()["adjusted"]
    (rounded, *_), (shifted, *_) = plan.adjustments.roundings, plan.adjustments.shifts
    assert adjusted[rounded] == "equalized, rounded"
    assert adjusted[shifted] in ("bias corrected", "equalized, bias corrected")
    assert adjusted["input"] == ""
    assert {name: row["adjusted"] for name, row in shown(table).items()} == adjusted.to_dict()
    table._only.value = "adjusted"
    assert list(shown(table)) == list(adjusted[adjusted != ""].index)
    plan[rounded] = "Q1.6"  # for which nothing was rounded on purpose
    assert plan.table().loc[rounded, "adjusted"] == "equalized"


def test_a_filter_for_adjusted_tensors_says_when_there_is_none(plan: Plan) -> None:
    table = LayerTable(plan)
    table._only.value = "adjusted"
    assert "No tensor is adjusted" in text_of(table)


def test_stopping_leaves_the_plan_as_it_was(plan: Plan) -> None:
    menu, told = menu_of(plan)
    before, begun = plan.committed, threading.Event()
    halt = threading.Event()
    advance = menu._on_pace

    def slowly(pace: Any) -> None:
        advance(pace)
        if pace is not None and pace.done:
            begun.set()
            halt.wait(LONG)

    menu._lane._on_pace = slowly
    press(menu, "Correct bias")
    assert begun.wait(LONG)
    menu._redraw.flush()
    assert all(button.disabled for button in menu._buttons)
    assert "a step is at work" in menu._buttons[0].tooltip
    until(lambda: "Correct bias: 1 of 5 in correct bias" in text_of(menu))
    menu._progress.stop.click()
    assert "stopping …" in text_of(menu)
    halt.set()
    finished(menu)
    assert dict(plan.committed) == dict(before)
    assert not plan.adjustments
    assert told == ["Correct bias: stopped, the plan is as it was"]
    assert not menu._buttons[0].disabled


def test_drafts_must_be_committed_first(plan: Plan) -> None:
    menu, _ = menu_of(plan)
    plan["input"] = "Q4.3"
    menu._redraw.flush()
    assert all(button.disabled for button in menu._buttons)
    assert "commit or revert what is drafted first" in text_of(menu)
    plan.commit()
    menu._redraw.flush()
    assert not any(button.disabled for button in menu._buttons)
    assert menu._buttons[0].tooltip == STEPS["equalize"].about


def test_a_plan_that_does_not_know_its_network_says_so(plan: Plan, calibration: Calibration, tmp_path: Path) -> None:
    calibration.save(tmp_path / "c.safetensors")
    menu, _ = menu_of(Calibration.load(tmp_path / "c.safetensors").propose())
    assert "does not know its network" in text_of(menu)
    assert all(button.disabled for button in menu._buttons)


def test_data_that_cannot_be_fed_is_answered_and_changes_nothing(plan: Plan) -> None:
    menu, told = menu_of(plan, [torch.zeros(2, 5, 8, 8)])
    press(menu, "Equalize")
    finished(menu)
    assert isinstance(menu.problem, DataError | RuntimeError)
    assert not plan.adjustments
    assert told == []
    menu.give(DATA)
    menu._redraw.flush()
    press(menu, "Correct bias")
    finished(menu)
    assert menu.problem is None


def test_a_plan_that_is_changed_meanwhile_is_not_overwritten(plan: Plan) -> None:
    class Meddling:
        def __iter__(self) -> Iterator[Tensor]:
            plan["input"] = "Q4.3"
            yield from DATA

    menu, _ = menu_of(plan, Meddling())
    press(menu, "Correct bias")
    finished(menu)
    assert "was changed while it was being adjusted" in text_of(menu)
    assert list(plan.drafts) == ["input"]


def test_the_workbench_gives_the_steps_the_data_that_it_calibrated_with() -> None:
    workbench = Workbench(network(), batches())
    plan = workbench.wait(LONG)
    plan.set_rounding("floor")  # which takes half a step off every value
    plan.commit()
    steps = workbench._steps
    steps._redraw.flush()
    press(steps, "Correct bias")
    finished(steps)
    assert plan.history[-1].note.startswith("biases corrected: output SQNR")
    assert "biases corrected" in workbench._log.value
    assert "biases corrected" in workbench._history.value
    workbench.wait(LONG)


def test_data_that_was_read_once_is_not_offered_to_the_steps() -> None:
    workbench = Workbench(network(), iter(batches()))
    workbench.wait(LONG)
    workbench._steps._redraw.flush()
    assert "could be read only once" in text_of(workbench._steps)


def test_what_is_held_back_is_held_back_from_the_steps() -> None:
    data = batches(5)
    workbench = Workbench(network(), data)
    workbench.wait(LONG)
    given = list(workbench._steps._data or ())
    assert [any(one is batch for one in given) for batch in data] == [True] * 4 + [False]
    assert len(workbench.session.tuning.live.material.held_back) == 1


def test_a_workbench_of_a_plan_alone_says_what_is_missing(plan: Plan) -> None:
    workbench = Workbench(plan)
    workbench._steps._redraw.flush()
    assert "there is no data here to look at" in text_of(workbench._steps)
    workbench.wait(LONG)
