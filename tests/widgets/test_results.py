"""What the workbench measures beside the notebook: the numbers of the functions without widgets, and never stale."""

import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.errors import PlanError
from qwidgets.examples import Digits, digits
from qwidgets.plan import Plan
from qwidgets.session.samples import first
from qwidgets.validation import health, sensitivity, validate
from qwidgets.widgets import Workbench
from tests.waiting import LONG, until
from tests.widgets.made_up import plan_of, tensors
from tests.widgets.test_views import shown, text_of
from tests.widgets.test_workbench import Gate, batches, network, result

SPOILT = "blocks.2.conv1.weight"


@pytest.fixture(scope="module")
def example() -> Digits:
    return digits()


@pytest.fixture(scope="module")
def calibrated(example: Digits) -> Plan:
    return calibrate(example.model, list(example.calibration)[:-1], device="cpu", progress=False).propose(8)


@pytest.fixture
def workbench(example: Digits, calibrated: Plan) -> Iterator[Workbench]:
    made = Workbench(calibrated.copy(), validation=example.test)
    made.wait(LONG)
    yield made
    made.close()


def plan_of_workbench(workbench: Workbench) -> Plan:
    assert workbench.plan is not None
    return workbench.plan


def at(report: pd.DataFrame, row: str, column: str) -> Any:
    return report.loc[row, column]


def share(value: Any) -> str:
    return "100 %" if value == 1 else f"{100 * value:.1f} %"


def decibels(value: Any) -> str:
    return f"{float(value):.1f} dB"


def as_drafted(plan: Plan) -> Plan:
    trial = plan.copy()
    trial.commit()
    return trial


def test_the_commit_and_float_show_without_being_asked_on_the_first_samples(
    workbench: Workbench, example: Digits
) -> None:
    report = validate(example.model, plan_of_workbench(workbench), first(example.test, 128))
    quantized, in_float = (share(at(report, "top1", column)) for column in ("quantized", "float"))
    assert result(workbench, "top-1") == ["no draft", quantized, in_float]
    assert result(workbench, "measured on") == ["", *["first 128 of 450 images"] * 2]


def test_the_accuracy_of_a_draft_is_that_of_the_plan_with_the_draft_committed(
    workbench: Workbench, example: Digits
) -> None:
    plan = plan_of_workbench(workbench)
    workbench.session.tuning.live._drafted._took = (
        LONG  # so that it is measured when that is waited for, and not before
    )
    plan[SPOILT] = "2^3 … 2^-3"
    assert result(workbench, "top-1")[0] == "…"
    workbench.wait(LONG)
    report = validate(example.model, as_drafted(plan), first(example.test, 128))
    assert at(report, "top1", "quantized") < 0.9
    assert result(workbench, "top-1")[0] == share(at(report, "top1", "quantized"))
    assert result(workbench, "output SQNR")[0] == decibels(at(report, "DigitsNet", "sqnr_db"))
    assert result(workbench, "measured on")[0] == "draft, first 128 of 450 images"


def test_validate_measures_draft_and_commit_on_all_data_and_fills_the_column(
    workbench: Workbench, example: Digits
) -> None:
    plan = plan_of_workbench(workbench)
    plan[SPOILT] = "2^3 … 2^-3"
    workbench.header.validate.click()
    workbench.wait(LONG)
    draft, commit = (validate(example.model, which, example.test) for which in (as_drafted(plan), plan))
    assert result(workbench, "top-1") == [
        share(at(draft, "top1", "quantized")),
        share(at(commit, "top1", "quantized")),
        share(at(commit, "top1", "float")),
    ]
    assert result(workbench, "measured on") == ["draft, all 450 images", *["all 450 images"] * 2]
    workbench.table.draw_now()
    for name in ("stem.0", SPOILT, "classifier"):
        assert shown(workbench.table)[name]["in_net_db"] == pytest.approx(at(draft, name, "sqnr_db"))


def test_the_column_is_empty_as_soon_as_a_format_changes_and_comes_back_with_it(workbench: Workbench) -> None:
    def in_net() -> float:
        workbench.table.draw_now()
        figure = shown(workbench.table)["classifier"]["in_net_db"]
        return math.nan if figure is None else float(figure)

    plan = plan_of_workbench(workbench)
    until(lambda: not math.isnan(in_net()))
    before = in_net()
    plan["stem.0"] = "2^9 … 2^2 unsigned"
    assert in_net() != before
    plan.undo()
    until(lambda: in_net() == before)


def test_beside_a_draft_on_few_samples_stands_what_the_commit_gives_on_the_same(
    workbench: Workbench, example: Digits
) -> None:
    plan = plan_of_workbench(workbench)
    workbench.header.validate.click()
    workbench.wait(LONG)
    plan[SPOILT] = "2^3 … 2^-3"
    workbench.wait(LONG)
    few = at(validate(example.model, plan, first(example.test, 128)), "top1", "quantized")
    assert result(workbench, "measured on")[0] == f"draft, first 128 of 450 images; the commit gives {share(few)} there"
    assert result(workbench, "measured on")[1] == "all 450 images"


def test_what_was_measured_is_remembered_when_a_step_is_undone(workbench: Workbench) -> None:
    plan = plan_of_workbench(workbench)
    workbench.header.validate.click()
    workbench.wait(LONG)
    known = result(workbench, "top-1")[1]
    plan[SPOILT] = "2^3 … 2^-3"
    plan.commit()
    workbench.wait(LONG)
    assert result(workbench, "top-1")[1] != known
    plan.undo()
    plan.undo()
    assert result(workbench, "top-1")[1] == known
    assert result(workbench, "measured on")[1] == "all 450 images"


def test_a_proposal_is_checked_on_what_was_held_back_and_names_the_rows_that_cost_most(example: Digits) -> None:
    workbench = Workbench(example.model, example.calibration)
    plan = workbench.wait(LONG)
    assert "7 batches" in text_of(workbench)
    workbench.panels["Result"].draw_now()
    assert re.search(r"short check\s+✓\s+fine\s+output SQNR", text_of(workbench))
    assert "on 64 held-back images" in text_of(workbench)
    workbench.panels["Propose"].word_length.value = 3
    workbench.panels["Propose"].propose.click()
    workbench.wait(LONG)
    workbench.panels["Result"].draw_now()
    expected = health(example.model, as_drafted(plan), list(example.calibration)[-1:])
    assert expected.word == "broken"
    assert f"output SQNR {expected.sqnr_db:.1f} dB" in text_of(workbench)
    worst, *_ = (str(name) for name in expected.rows.index)
    button = workbench.panels["Result"].costly.children[0]
    assert worst in button.tooltip
    button.click()
    assert workbench.selection == (worst,)
    plan[worst] = None
    workbench.panels["Result"].draw_now()
    assert "formats have changed since" in text_of(workbench.panels["Result"])


def test_sensitivity_draws_a_bar_for_each_tensor_and_a_bar_selects_it(workbench: Workbench, example: Digits) -> None:
    plan = plan_of_workbench(workbench)
    plan[SPOILT] = "2^3 … 2^-3"
    workbench.panels["Result"].sense.click()
    workbench.wait(LONG)
    report = sensitivity(example.model, as_drafted(plan), first(example.test, 128), progress=False)
    gains = (report["without_sqnr_db"] - report.attrs["sqnr_db"]).sort_values(ascending=False)
    chart = workbench.panels["Result"].chart
    assert gains.index[0] == SPOILT
    assert chart._shown[0] == SPOILT
    assert float(chart._bars.y[0]) == pytest.approx(gains.iloc[0])
    chart._on_click(None, {"data": {"index": 2}})
    assert workbench.selection == (chart._shown[2],) == workbench.panels["Window"].selection
    chart._row.value = chart._shown[0]
    assert workbench.selection == (SPOILT,)
    assert chart._bars.opacities[0] == 1.0 > chart._bars.opacities[1]
    assert "measured on first 128 of 450 images" in text_of(chart)
    plan["stem.0"] = "2^9 … 2^2 unsigned"
    chart.draw_now()
    assert "formats have changed since" in text_of(chart)


def test_validating_can_be_stopped_and_keeps_what_was_measured() -> None:
    plan = calibrate(model := network(), batches(), device="cpu", progress=False).propose(8)
    gate = Gate([torch.randn(200, 4) for _ in range(5)])
    workbench = Workbench(plan, validation=gate)
    gate.open.release(1)
    workbench.wait(LONG)
    assert result(workbench, "measured on")[1] == "first 128 samples"
    gate.open.release(2)
    workbench.header.validate.click()
    until(lambda: "400 samples" in text_of(workbench) or "600 samples" in text_of(workbench))
    workbench.header.progress._draw.flush()
    assert not workbench.header.progress.stop.disabled
    workbench.header.progress.stop.click()
    gate.open.release(5)
    workbench.wait(LONG)
    stopped = re.fullmatch(r"first ([\d,]+) samples", result(workbench, "measured on")[1])
    assert stopped is not None
    assert 128 < int(stopped.group(1).replace(",", "")) < 1000
    assert workbench.problem is None
    assert model is plan.model


def test_evaluating_can_be_stopped_between_two_calls_of_the_network() -> None:
    plan = calibrate(network(), batches(), device="cpu", progress=False).propose(8)
    calls, go = [0], threading.Semaphore(0)

    def evaluate(module: nn.Module) -> float:
        for batch in batches(100):
            calls[0] += 1
            module(batch)
            go.acquire(timeout=LONG)
        return 1.0

    workbench = Workbench(plan, None, evaluate)
    until(lambda: calls[0] == 1)
    workbench.header.progress.stop.click()
    go.release(100)
    workbench.wait(LONG)
    assert calls[0] < 10
    assert result(workbench, "evaluate") == ["no draft", "…", "…"]
    assert workbench.problem is None


def test_the_users_function_takes_the_place_of_the_metric_and_is_asked_for_a_draft_too(
    example: Digits, calibrated: Plan
) -> None:
    def accuracy(module: nn.Module) -> Tensor:
        images, labels = next(iter(example.test))
        right: Tensor = module(images).argmax(1) == labels
        return right.double().mean()

    workbench = Workbench(calibrated.copy(), None, accuracy, example.test)  # type: ignore[arg-type]
    plan = workbench.wait(LONG)
    plan[SPOILT] = "2^3 … 2^-3"
    workbench.wait(LONG)
    draft, commit, in_float = map(float, result(workbench, "accuracy"))
    assert in_float == float(f"{accuracy(example.model):.4g}")
    assert draft < commit
    assert "top-1" not in text_of(workbench)


def test_without_labels_it_is_agreement() -> None:
    workbench = Workbench(network(), batches())
    workbench.wait(LONG)
    assert result(workbench, "agreement")[2] == "100 %"
    assert result(workbench, "measured on")[1] == "all 48 samples"


@pytest.mark.parametrize("from_file", [True, False])
def test_without_data_or_a_network_the_buttons_say_why_they_are_dead(from_file: bool, tmp_path: Path) -> None:
    if from_file:
        plan_of(tensors(3)).save(tmp_path / "plan.json")
        workbench = Workbench(Plan.load(tmp_path / "plan.json"), validation=batches())
        why = "does not know its network"
    else:
        workbench = Workbench(calibrate(network(), batches(), device="cpu", progress=False).propose(8))
        why = "There is no data to measure on"
    for button in (workbench.header.validate, workbench.panels["Result"].sense):
        assert button.disabled
        assert why in button.tooltip
    assert why in text_of(workbench.panels["Result"])
    plan_of_workbench(workbench).draft(dict.fromkeys(plan_of_workbench(workbench).names, None))
    workbench.wait(LONG)
    assert workbench.problem is None


def test_data_that_can_be_read_only_once_leaves_what_was_held_back() -> None:
    workbench = Workbench(network(), (batch for batch in batches(6)))
    workbench.wait(LONG)
    assert result(workbench, "measured on")[1] == "all 16 samples"
    assert "5 batches" in text_of(workbench)


def test_data_to_validate_with_that_can_be_read_only_once_is_refused() -> None:
    with pytest.raises(PlanError, match="again and again"):
        Workbench(network(), batches(), validation=iter(batches()))


def test_what_goes_wrong_stands_in_the_strip_and_in_the_log_and_changes_nothing() -> None:
    plan = calibrate(model := network(), batches(), device="cpu", progress=False).propose(8)
    state, committed = {k: v.clone() for k, v in model.state_dict().items()}, dict(plan.committed)
    workbench = Workbench(plan, validation=[torch.randn(16, 5)])
    workbench.wait(LONG)
    assert "batch 0 cannot be fed to Sequential" in text_of(workbench.panels["Result"])
    assert "batch 0 cannot be fed to Sequential" in workbench.panels["Log"].page.value
    assert dict(plan.committed) == committed
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_weights_that_were_changed_are_captured_anew() -> None:
    model, data = network(), batches()
    plan = calibrate(model, data, device="cpu", progress=False).propose(8)
    workbench = Workbench(plan, validation=data)
    workbench.wait(LONG)
    with torch.no_grad():
        model[0].weight.mul_(-1)  # type: ignore[index]
    workbench.header.validate.click()
    workbench.wait(LONG)
    expected = at(validate(model, plan, data), "Sequential", "sqnr_db")
    assert result(workbench, "output SQNR")[1] == decibels(expected)
