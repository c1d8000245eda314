"""Arguments that make no sense end in an error of the package, and change nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from qwidgets import BitHistogram, Calibration, FixedPoint, PerChannel, Plan, calibrate
from qwidgets.calibration import calibration_steps
from qwidgets.errors import CalibrationError, DataError, FormatError, PlanError
from qwidgets.tuning.plan_previews import count

DATA = [torch.linspace(-1, 1, 32).reshape(8, 4)]


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(4, 2))


def quietly(**options: Any) -> Calibration:
    return calibrate(network(), DATA, device="cpu", progress=False, **options)


@pytest.fixture
def plan() -> Plan:
    return quietly().propose()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_batches": -1}, DataError, "max_batches .* not -1"),
        ({"max_batches": "3"}, DataError, "max_batches .* not '3'"),
        ({"max_batches": 1.5}, DataError, "max_batches .* not 1.5"),
        ({"into": 3}, CalibrationError, "a Calibration, not int"),
        ({"into": "stats.safetensors"}, CalibrationError, "a Calibration, not str"),
        ({"merge_ranks": "x"}, CalibrationError, "merge_ranks is 'auto', True or False, not 'x'"),
        ({"merge_ranks": None}, CalibrationError, "merge_ranks"),
    ],
)
def test_of_calibrate(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        quietly(**options)
    options.pop("merge_ranks", None)
    if options:
        with pytest.raises(error, match=message):
            next(calibration_steps(network(), DATA, device="cpu", **options))


def test_numbers_of_batches_may_be_numpys() -> None:
    assert quietly(max_batches=np.int64(1)).batches == 1


CASES: dict[str, tuple[Callable[[Plan], object], type[Exception], str]] = {
    "a scheme that there is not, for a bias per channel": (
        lambda plan: plan.propose(8, "nope", ["0.bias"], per_channel=True),
        PlanError,
        "there is no scheme 'nope'",
    ),
    "a scheme that is no name": (lambda plan: plan.propose(8, ["mse"]), PlanError, "there is no scheme"),  # type: ignore[arg-type]
    "a plan of no calibration": (lambda plan: Plan(3), CalibrationError, "a Calibration, not int"),  # type: ignore[arg-type]
    "a file for no calibration": (lambda plan: Plan.load("p", "c"), CalibrationError, "a Calibration, not str"),  # type: ignore[arg-type]
    "merging with what is none": (lambda plan: plan.calibration.merge(3), CalibrationError, "not int"),  # type: ignore[arg-type, union-attr]
    "a pattern that is a number": (lambda plan: plan.set(3, None), PlanError, "is a text such as"),  # type: ignore[arg-type]
    "a rounding for a pattern that is a number": (
        lambda plan: plan.set_rounding("floor", 3),  # type: ignore[arg-type]
        PlanError,
        "is a text such as",
    ),
    "a tensor without a name": (lambda plan: plan[["0.weight"]], PlanError, "no tensor"),  # type: ignore[index]
    "a name of a megabyte": (lambda plan: plan["0.weight" * 125_000], PlanError, "no tensor"),
    "a draft of a megabyte": (lambda plan: plan.draft({"0.weight": "Q" * 10**6}), FormatError, "1,000,000 characters"),
    "a preview of no format": (lambda plan: plan.preview("0.weight", 3), FormatError, "was given 3"),  # type: ignore[arg-type]
    "a preview per channel of an activation": (
        lambda plan: plan.preview("0", PerChannel(8, (1, 2))),
        CalibrationError,
        "the values of '0' are not known",
    ),
    "a histogram's preview of no format": (
        lambda plan: BitHistogram().preview("Q4.3"),  # type: ignore[arg-type]
        FormatError,
        "a preview is of a FixedPoint",
    ),
}


@pytest.mark.parametrize(("work", "error", "message"), CASES.values(), ids=CASES)
def test_of_plans(plan: Plan, work: Callable[[Plan], object], error: type[Exception], message: str) -> None:
    before = (dict(plan.committed), dict(plan.drafts), plan.history)
    with pytest.raises(error, match=message) as caught:
        work(plan)
    assert len(str(caught.value)) < 1000
    assert (dict(plan.committed), dict(plan.drafts), plan.history) == before


def test_a_preview_takes_any_notation_as_a_draft_does(plan: Plan) -> None:
    assert plan.preview("0.weight", "Q0.7") == plan.preview("0.weight", FixedPoint(8, 7))


def test_values_far_below_a_step_of_a_channel_are_on_their_side_of_zero() -> None:
    values = torch.tensor([[5e-324], [-5e-324]], dtype=torch.float64)
    for signed, rounding, underflow, overflow in (
        (True, "half_away", 2, 0),
        (True, "ceil", 1, 0),
        (True, "floor", 1, 0),
        (False, "floor", 1, 1),
    ):
        counted = count(values, PerChannel(8, (-12, -12), signed, rounding))
        assert (counted.underflow, counted.overflow) == (underflow, overflow), rounding
