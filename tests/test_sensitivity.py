"""sensitivity() equals running the whole network under a plan for each of its figures."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.errors import DataError, PlanError
from qwidgets.examples import digits
from qwidgets.formats import FixedPoint
from qwidgets.plan import Plan
from qwidgets.tuning import Format
from qwidgets.validation import sensitivity, validate
from tests.loud_and_quiet import loud_and_quiet
from tests.networks import Autocast, Block, Recurrent, Reused, TwoInputs, lively


class Overwriting(nn.Module):
    """Reads a tensor before and after it is changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.out = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.fc(x)
        before = x * 3
        x.relu_()
        return self.out(x) + self.out(before), x


def random(*shape: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(*shape, generator=generator) for _ in range(3)]


CASES: dict[str, tuple[Callable[[], nn.Module], list[Any]]] = {
    "residual, in place": (lambda: Block(4), random(4, 4, 6, 6)),
    "shared weights": (Reused, [torch.arange(20).reshape(4, 5) % 10, torch.arange(10).reshape(2, 5)]),
    "several outputs": (Recurrent, random(4, 5, 4)),
    "several inputs": (TwoInputs, [((x[:, :6], x[:, 6:]), 0) for x in random(5, 12)]),
    "autocast": (lambda: Autocast(6, 6, 6), random(7, 6)),
    "overwriting": (Overwriting, random(7, 6)),
}


def planned(make: Callable[[], nn.Module], data: list[Any], per_channel: bool = False) -> tuple[nn.Module, Plan]:
    torch.manual_seed(0)
    model = lively(make())
    return model, calibrate(model, data, device="cpu", progress=False).propose(word_length=6, per_channel=per_channel)


class Bounded(nn.Module):
    """Layers that channels can be scaled through, a sum among them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 1)
        self.out = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.nn.functional.relu6(self.stem(x))
        y: Tensor = self.out(nn.functional.adaptive_avg_pool2d(x + self.mix(x), 1).flatten(1))
        return y


def adjusted() -> tuple[nn.Module, Plan, list[Tensor]]:
    data = random(8, 3, 8, 8)
    model, plan = planned(lambda: loud_and_quiet(Bounded()), data, per_channel=True)
    plan.equalize(data, model, progress=False)
    plan.propose(3, names=[name for name in plan if name.endswith("weight")], per_channel=True)
    plan.commit("coarse weights: there is something to round")
    plan.round_adaptively(data, model, progress=False)
    assert plan.adjustments.factors and plan.adjustments.roundings and plan.adjustments.shifts
    return model, plan, data


def with_formats(plan: Plan, formats: dict[str, Format]) -> Plan:
    """Give a plan of the same network and adjustments with other formats."""
    path = "plan.json"
    plan.save(path)
    other = Plan.load(path, plan._calibration)
    other.draft(formats)
    if other.drafts:
        other.commit()
    return other


def uncorrected(plan: Plan) -> Plan:
    """Give the same plan without its corrections of biases."""
    other = with_formats(plan, {})
    other._step(dataclasses.replace(other._timeline.now, adjustments=dataclasses.replace(plan.adjustments, shifts={})))
    return other


def check_against_brute_force(model: nn.Module, plan: Plan, data: list[Any], metric: Any = None) -> None:
    report = sensitivity(model, plan, data, metric, progress=False)
    whole = validate(model, plan, data, metric)
    network = whole.index[whole["kind"] == "network"][0]
    assert report.attrs["sqnr_db"] == whole.loc[network, "sqnr_db"]
    in_float: dict[str, Format] = dict.fromkeys(plan.names)
    bare = uncorrected(plan)
    for name in plan.names:
        fmt = plan.committed[name]
        alone, without = {**in_float, name: fmt}, {**plan.committed, name: None}
        for word, of, formats in (("alone", bare, alone), ("without", plan, without)):
            brute = validate(model, with_formats(of, formats), data, metric)
            expected = {"sqnr_db": brute.loc[network, "sqnr_db"], **brute["quantized"][brute["kind"] == "metric"]}
            for figure, number in expected.items():
                assert report.loc[name, f"{word}_{figure}"] == number, (name, word, figure)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("case", CASES)
def test_every_figure_equals_a_run_of_the_whole_network_under_such_a_plan(case: str) -> None:
    make, data = CASES[case]
    model, plan = planned(make, data)
    check_against_brute_force(model, plan, data)


def test_so_do_those_of_formats_per_channel_and_biases_at_accumulators() -> None:
    make, data = CASES["residual, in place"]
    model, plan = planned(make, data, per_channel=True)
    check_against_brute_force(model, plan, data)


def test_so_do_those_of_a_metric_of_ones_own() -> None:
    make, data = CASES["autocast"]
    model, plan = planned(make, data)
    check_against_brute_force(
        model, plan, data, lambda outputs, targets: {"mean": outputs.mean(), "top": outputs.max()}
    )


def test_so_do_those_of_a_plan_with_all_adjustments() -> None:
    model, plan, data = adjusted()
    check_against_brute_force(model, plan, data)


def test_corrections_of_biases_do_not_hide_what_a_row_costs_alone() -> None:
    model, plan, data = adjusted()
    shifted = {f"{name}.bias": np.full(size, 0.5) for name, size in (("stem", 6), ("mix", 6), ("out", 5))}
    before = sensitivity(model, plan, data, progress=False)
    plan._step(
        dataclasses.replace(plan._timeline.now, adjustments=dataclasses.replace(plan.adjustments, shifts=shifted))
    )
    after = sensitivity(model, plan, data, progress=False)
    assert after["alone_sqnr_db"].equals(before["alone_sqnr_db"])
    assert after.attrs["sqnr_db"] < before.attrs["sqnr_db"] - 5


def test_the_row_that_breaks_a_network_stands_out_both_ways() -> None:
    example = digits()
    plan = calibrate(example.model, example.calibration, device="cpu", progress=False).propose(word_length=8)
    plan["blocks.2.conv1.weight"] = FixedPoint.from_window(3, -3)
    plan.commit()
    report = sensitivity(example.model, plan, example.test, progress=False)
    assert report["alone_top1"].idxmin() == report["without_top1"].idxmax() == "blocks.2.conv1.weight"
    assert report["alone_sqnr_db"].idxmin() == report["without_sqnr_db"].idxmax() == "blocks.2.conv1.weight"
    assert report["without_top1"]["blocks.2.conv1.weight"] > 0.97
    assert report.attrs["top1"] < 0.9
    assert list(report.columns) == [
        "kind",
        "format",
        "alone_sqnr_db",
        "without_sqnr_db",
        "alone_top1",
        "without_top1",
    ]


def small() -> tuple[nn.Module, Plan, Tensor]:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1)), torch.randn(20, 4)
    return model, calibrate(model, [x], device="cpu", progress=False).propose(word_length=6), x


def test_rows_that_stay_in_float_have_no_figures() -> None:
    model, plan, x = small()
    plan["0"] = None
    plan.commit()
    report = sensitivity(model, plan, [x], progress=False)
    assert list(report.index) == list(plan.names)
    assert report.loc["0", "format"] == "float"
    assert report.index[report["alone_sqnr_db"].isna()].tolist() == ["0"]
    assert report.index[report["without_sqnr_db"].isna()].tolist() == ["0"]


def test_the_rows_to_measure_can_be_named_and_come_in_the_plans_order() -> None:
    model, plan, x = small()
    every = sensitivity(model, plan, [x], progress=False)
    some = sensitivity(model, plan, [x], names=["2.weight", "0"], progress=False)
    assert some.equals(every.loc[["0", "2.weight"]])
    assert sensitivity(model, plan, [x], names="0", progress=False).equals(every.loc[["0"]])


def test_what_was_measured_before_a_stop_is_given() -> None:
    model, plan, x = small()
    every = sensitivity(model, plan, [x], progress=False)
    asked = iter(range(1000))
    stopped = sensitivity(model, plan, [x], progress=False, stop=lambda: next(asked) == 3)
    figures = ["alone_sqnr_db", "without_sqnr_db"]
    done = stopped[figures].notna().all(axis=1)
    assert done.sum() == 3
    assert stopped[done].equals(every[done])
    assert stopped.loc[~done, figures].isna().all(axis=None)
    assert stopped.attrs == every.attrs


def test_drafts_do_not_count_and_nothing_is_changed() -> None:
    model, plan, x = small()
    model.train()
    before = sensitivity(model, plan, [x], progress=False)
    state, committed = copy.deepcopy(model.state_dict()), dict(plan.committed)
    plan["0"] = None
    assert sensitivity(model, plan, [x], progress=False).equals(before)
    assert model.training
    assert dict(plan.committed) == committed
    assert list(plan.drafts) == ["0"]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def raising(outputs: Tensor, targets: None) -> float:
    raise KeyError("class 7")


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"names": ["0", "1.weight"]}, PlanError, "no tensor '1.weight'; did you mean"),
        ({"data": []}, DataError, "there is no batch"),
        ({"data": [torch.zeros(2, 4), torch.zeros(2, 5)]}, DataError, r"batch 1 cannot be fed .*\(2, 5\).*\(any, 4\)"),
        ({"metric": raising}, DataError, "the metric raising failed: KeyError: 'class 7'"),
        ({"metric": lambda outputs, _: "good"}, DataError, "must give a number .* not 'good'"),
        ({"model": nn.Sequential(nn.Linear(4, 5))}, PlanError, "another network"),
    ],
)
def test_bad_input_is_named_and_nothing_is_changed(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    model, plan, x = small()
    state, committed = copy.deepcopy(model.state_dict()), dict(plan.committed)
    with pytest.raises(error, match=message):
        sensitivity(**{"model": model, "plan": plan, "data": [x], "progress": False, **wrong})
    assert dict(plan.committed) == committed
    assert not plan.drafts
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
