"""validate() against numbers that are computed another way."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.errors import DataError, PlanError
from qwidgets.examples import Digits, digits
from qwidgets.formats import FixedPoint
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from qwidgets.validation import validate


@pytest.fixture(scope="module")
def example() -> Digits:
    return digits()


@pytest.fixture(scope="module")
def plan(example: Digits) -> Plan:
    return calibrate(example.model, example.calibration, device="cpu", progress=False).propose(word_length=8)


def at(report: pd.DataFrame, row: str, column: str) -> Any:
    return report.loc[row, column]


def small(outputs: int = 3) -> tuple[nn.Module, Plan, Tensor]:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, outputs)), torch.randn(20, 4)
    return model, calibrate(model, [x], device="cpu", progress=False).propose(word_length=6), x


def test_top1_in_float_and_quantized_is_what_running_both_gives(example: Digits, plan: Plan) -> None:
    report = validate(example.model, plan, example.test)
    quantized = quantize(example.model, plan)
    right = {"float": 0, "quantized": 0}
    for images, labels in example.test:
        right["float"] += int((example.model(images).argmax(1) == labels).sum())
        right["quantized"] += int((quantized(images).argmax(1) == labels).sum())
    assert at(report, "top1", "float") == right["float"] / 450 > 0.98
    assert at(report, "top1", "quantized") == right["quantized"] / 450 > 0.98


def test_a_bad_window_shows_in_the_accuracy_and_in_the_rows_after_it(example: Digits, plan: Plan) -> None:
    broken = Plan(plan.calibration)  # type: ignore[arg-type]
    broken.draft({**plan.committed, "blocks.2.conv1.weight": FixedPoint.from_window(3, -3)})
    broken.commit()
    good, bad = (validate(example.model, which, example.test) for which in (plan, broken))
    assert at(bad, "top1", "quantized") < at(good, "top1", "quantized") - 0.1
    worse = good["sqnr_db"] - bad["sqnr_db"]
    assert worse["blocks.0.pointwise"] == 0
    assert worse["blocks.2.conv1.weight"] > 20
    assert worse["classifier"] > 10


def test_there_is_a_row_for_each_tensor_in_their_order_after_the_summary(example: Digits, plan: Plan) -> None:
    report = validate(example.model, plan, example.test)
    assert list(report.index) == ["top1", "DigitsNet", *(row.name for row in plan.rows)]
    assert list(report["kind"]) == ["metric", "network", *(row.kind for row in plan.rows)]
    assert list(report["format"][2:]) == [str(plan.committed[row.name]) for row in plan.rows]


def test_sqnr_and_mean_error_are_those_of_the_values() -> None:
    model, plan, x = small()
    report = validate(model, plan, x.split(7))
    layer, quantized = model[0], quantize(model, plan)  # type: ignore[index]
    pairs = {"input": (x, plan.committed["input"].quantize(x)), "0": (model(x), quantized(x))}  # type: ignore[union-attr]
    pairs["0.weight"] = (layer.weight, plan.committed["0.weight"].quantize(layer.weight))  # type: ignore[union-attr]
    for row, (values, its) in pairs.items():
        values, its = values.detach().double().numpy(), its.double().numpy()
        assert at(report, row, "sqnr_db") == pytest.approx(
            10 * np.log10((values**2).mean() / ((its - values) ** 2).mean())
        )
        assert at(report, row, "mean_error") == pytest.approx((its - values).mean(), abs=1e-7)
    assert at(report, "Sequential", "sqnr_db") == at(report, "0", "sqnr_db")


def test_bytes_are_four_a_value_before_and_the_word_length_after() -> None:
    model, plan, x = small()
    plan["0.bias"] = None
    plan.commit()
    report = validate(model, plan, [x])
    assert [at(report, "0.weight", column) for column in ["float_bytes", "quantized_bytes"]] == [
        48,
        9,
    ]  # 12 values of 6 bits
    assert [at(report, "0.bias", column) for column in ["float_bytes", "quantized_bytes"]] == [12, 12]
    assert [at(report, "Sequential", column) for column in ["float_bytes", "quantized_bytes"]] == [60, 21]
    assert report.loc[["input", "0"], "float_bytes"].isna().all()


class Islands(nn.Module):
    """A layer, a function without an integer form, and a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(torch.sigmoid(self.first(x)) + torch.erf(x))
        return y


def test_the_table_says_why_a_row_is_computed_in_float() -> None:
    torch.manual_seed(0)
    model, x = Islands(), torch.randn(20, 4)
    plan = calibrate(model, [x], device="cpu", progress=False).propose(per_channel=True)
    reasons = validate(model, plan, [x])["float_because"]
    assert reasons[reasons != ""].to_dict() == {
        "first": "sigmoid has no integer form",
        "erf": "erf has no integer form",
    }
    plan.draft({"second.weight": None, "add": None})
    plan.commit()
    reasons = validate(model, plan, [x])["float_because"]
    assert reasons["second"] == "linear reads add and second.weight and second.bias in float"
    assert reasons["second.bias"] == "its layer computes in float, so there is no accumulator whose step it could have"
    assert reasons["second.weight"] == reasons["add"] == ""  # the plan wants it so: that is their format


def test_the_table_counts_sums_that_overflow_their_accumulators() -> None:
    layer, x = nn.Linear(64, 2), torch.rand(10, 64)
    model = nn.Sequential(layer, nn.ReLU(), nn.Linear(2, 3))
    nn.init.ones_(layer.weight)
    plan = calibrate(model, [x], device="cpu", progress=False).propose()
    plan.draft({"input": FixedPoint.from_window(-1, -17, signed=False), "0.weight": FixedPoint.from_window(0, -15)})
    plan.commit()
    counted = validate(model, plan, [x])["accumulator_overflows"]
    sums = layer(x)
    register = 2.0 ** (31 - 17 - 15)
    assert counted["0"] == int((sums.abs() >= register).sum()) > 0
    assert counted["2"] == 0
    assert counted["Sequential"] == counted["0"]
    assert counted[["input", "0.weight", "0.bias"]].isna().all()


def test_without_labels_agreement_is_measured() -> None:
    model, plan, x = small()
    report = validate(model, plan, x.split(5))
    agreement = (model(x).argmax(1) == quantize(model, plan)(x).argmax(1)).double().mean().item()
    assert [at(report, "agreement", column) for column in ["float", "quantized"]] == [1.0, agreement]


def test_a_network_with_one_output_and_no_labels_has_no_metric_but_an_sqnr() -> None:
    model, plan, x = small(outputs=1)
    report = validate(model, plan, [(x, torch.randn(20, 1))])
    assert "metric" not in set(report["kind"])
    assert at(report, "Sequential", "sqnr_db") > 10


def test_a_metric_gets_all_outputs_and_targets_at_once_and_may_give_several_numbers() -> None:
    model, plan, x = small()
    targets = torch.randn(20, 3)
    given: list[tuple[Tensor, Tensor]] = []

    def error(outputs: Tensor, targets: Tensor) -> dict[str, Any]:
        given.append((outputs, targets))
        return {
            "mean square": ((outputs - targets) ** 2).mean(),
            "largest": np.float64((outputs - targets).abs().max()),
        }

    report = validate(model, plan, list(zip(x.split(6), targets.split(6), strict=True)), error)
    assert len(given) == 2
    assert all(torch.equal(its, targets) for _, its in given)
    torch.testing.assert_close(given[0][0], model(x))
    assert torch.equal(given[1][0], quantize(model, plan)(x))
    assert at(report, "mean square", "quantized") == pytest.approx(((given[1][0] - targets) ** 2).mean().item())
    assert list(report.index[:3]) == ["mean square", "largest", "Sequential"]


def test_a_metric_of_one_number_bears_the_functions_name() -> None:
    model, plan, x = small()

    def largest(outputs: Tensor, targets: None) -> float:
        assert targets is None
        return outputs.max().item()

    assert validate(model, plan, [x], largest).loc["largest", "float"] == model(x).max()
    assert validate(model, plan, [x], lambda outputs, _: 1).loc["metric", "float"] == 1


def test_batches_may_be_dicts_that_hold_the_labels_too() -> None:
    model, _, x = small()
    labels = model(x).argmax(1)

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = model

        def forward(self, pixels: Tensor) -> Tensor:
            y: Tensor = self.layer(pixels)
            return y

    batches = [{"pixels": x, "labels": labels}]
    named = calibrate(Named(), batches, device="cpu", progress=False).propose(word_length=8)
    assert validate(Named(), named, batches).loc["top1", "float"] == 1


def test_infinities_and_nan_are_left_out_of_the_errors() -> None:
    model, plan, x = small()
    x[0, 0], x[1, 1] = math.inf, math.nan
    report = validate(model, plan, [x])
    assert np.isfinite(report.loc[["input", "0"], ["sqnr_db", "mean_error"]].to_numpy(float)).all()


def test_drafts_do_not_count_and_nothing_is_changed() -> None:
    model, plan, x = small()
    model.train()
    before = validate(model, plan, [x])
    state, committed = copy.deepcopy(model.state_dict()), dict(plan.committed)
    plan["0"] = None
    drafts = dict(plan.drafts)
    assert validate(model, plan, [x]).equals(before)
    assert model.training
    assert (dict(plan.committed), dict(plan.drafts)) == (committed, drafts)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def raising(outputs: Tensor, targets: None) -> float:
    raise KeyError("class 7")


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (raising, "the metric raising failed: KeyError: 'class 7'"),
        (lambda outputs, _: "good", "must give a number .* not 'good'"),
        (lambda outputs, _: None, "must give a number .* not None"),
        (lambda outputs, _: outputs, "must give a number"),
        (lambda outputs, _: {"a": "b"}, "must give a number"),
    ],
)
def test_a_metric_that_raises_or_gives_no_number_is_named(metric: Callable[..., Any], message: str) -> None:
    model, plan, x = small()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(DataError, match=message):
        validate(model, plan, [x], metric)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_batch_of_another_shape_is_named() -> None:
    model, plan, x = small()
    with pytest.raises(DataError, match=r"batch 1 cannot be fed to Sequential: .*\(2, 5\).*\(any, 4\)"):
        validate(model, plan, [x, torch.randn(2, 5)])


def test_a_batch_that_cannot_be_read_is_named() -> None:
    model, plan, x = small()

    def failing() -> Iterator[Tensor]:
        yield x
        raise OSError("the disk is gone")

    with pytest.raises(DataError, match="batch 1 cannot be read: the disk is gone"):
        validate(model, plan, failing())


@pytest.mark.parametrize("data", [[], "batches", 3])
def test_data_without_a_batch_is_refused(data: Any) -> None:
    model, plan, _ = small()
    with pytest.raises(DataError, match="batch"):
        validate(model, plan, data)


def test_a_plan_of_another_network_is_refused() -> None:
    _, plan, x = small()
    with pytest.raises(PlanError, match="another network"):
        validate(nn.Sequential(nn.Linear(4, 5)), plan, [x])
