"""health() says what a run of the whole network shows, and which rows are to blame."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.errors import DataError, PlanError
from qwidgets.examples import Digits, digits
from qwidgets.formats import FixedPoint
from qwidgets.plan import Plan
from qwidgets.validation import health, sensitivity, validate
from qwidgets.validation.weak_rows import SUSPECTS


@pytest.fixture(scope="module")
def example() -> Digits:
    return digits()


@pytest.fixture(scope="module")
def batches(example: Digits) -> list[Any]:
    return list(example.calibration)


@pytest.fixture
def plan(example: Digits, batches: list[Any]) -> Plan:
    return calibrate(example.model, batches[:-1], device="cpu", progress=False).propose(word_length=8)


def test_a_network_that_is_well_is_fine_and_no_row_is_named(example: Digits, batches: list[Any], plan: Plan) -> None:
    found = health(example.model, plan, batches)
    assert found.word == "fine"
    assert found.rows.empty
    assert str(found) == f"fine: {found.sqnr_db:.1f} dB"


def test_only_the_last_batch_is_run(example: Digits, batches: list[Any], plan: Plan) -> None:
    report = validate(example.model, plan, batches[-1:])
    assert health(example.model, plan, batches).sqnr_db == report.loc["DigitsNet", "sqnr_db"]
    assert health(example.model, plan, batches[-1:]).sqnr_db == report.loc["DigitsNet", "sqnr_db"]


def test_a_broken_network_is_said_to_be_with_the_row_that_broke_it_first(
    example: Digits, batches: list[Any], plan: Plan
) -> None:
    plan["blocks.2.conv1.weight"] = FixedPoint.from_window(3, -3)
    plan.commit()
    found = health(example.model, plan, batches)
    assert found.word == "broken"
    assert found.rows.index[0] == "blocks.2.conv1.weight"
    report = sensitivity(example.model, plan, batches[-1:], names=found.rows.index, progress=False)
    assert found.rows.to_dict() == report["alone_sqnr_db"].to_dict()
    assert str(found).startswith(
        f"broken: {found.sqnr_db:.1f} dB; alone: blocks.2.conv1.weight {found.rows.iloc[0]:.1f}"
    )


def test_several_rows_that_break_a_network_together_are_all_named_first(
    example: Digits, batches: list[Any], plan: Plan
) -> None:
    wrong = {"stem.0.weight", "blocks.2.conv1.weight", "blocks.2.conv2.weight"}
    plan.draft(dict.fromkeys(wrong, FixedPoint.from_window(3, -3)))
    plan.commit()
    assert set(health(example.model, plan, batches).rows.index[:3]) == wrong


def test_between_fine_and_broken_one_is_told_to_look(example: Digits, batches: list[Any]) -> None:
    plan = calibrate(example.model, batches, device="cpu", progress=False).propose(word_length=5)
    found = health(example.model, plan, batches)
    assert 10 <= found.sqnr_db < 18
    assert found.word == "look"
    assert {plan.row(name).layer for name in found.rows.index} <= set(plan.names)
    assert len(found.rows) >= SUSPECTS
    assert found.rows.is_monotonic_increasing


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"data": []}, DataError, "there is no batch"),
        ({"data": [torch.zeros(2, 5)]}, DataError, r"\(2, 5\).*\(any, 4\)"),
        ({"model": nn.Sequential(nn.Linear(4, 5))}, PlanError, "another network"),
    ],
)
def test_bad_input_is_named_and_nothing_is_changed(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    model, x = nn.Sequential(nn.Linear(4, 3)), torch.randn(20, 4)
    plan = calibrate(model, [x], device="cpu", progress=False).propose()
    state, committed = copy.deepcopy(model.state_dict()), dict(plan.committed)
    given: dict[str, Any] = {"model": model, "plan": plan, "data": [x], **wrong}
    with pytest.raises(error, match=message):
        health(**given)
    assert dict(plan.committed) == committed
    values: dict[str, Tensor] = model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in values.items())
