"""plan.search(): formats that bring the output nearer to float, on this data and on other, within a budget."""

import copy
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qwidgets.adjusting.format_search import SHIFTS
from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import DataError, PlanError
from qwidgets.examples import digits
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.plan import Plan
from qwidgets.validation import validate

EXAMPLE = digits()
SEEN = list(EXAMPLE.calibration)[:2]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(EXAMPLE.model, SEEN, device="cpu", progress=False)


def whole(plan: Plan, data: Any, column: str = "sqnr_db") -> float:
    return float(validate(EXAMPLE.model, plan, data)[column]["DigitsNet"])


def test_windows_by_the_output_are_better_on_this_data_and_on_data_not_seen(calibration: Calibration) -> None:
    plan = calibration.propose(word_length=5)
    lengths = {name: fmt.word_length for name, fmt in plan.committed.items() if fmt is not None}
    before = [whole(plan, data) for data in (SEEN, EXAMPLE.test)]
    found = plan.search(SEEN, progress=False)
    assert found
    assert found == dict(plan.drafts)
    plan.commit()
    after = [whole(plan, data) for data in (SEEN, EXAMPLE.test)]
    assert after[0] > before[0] + 0.5
    assert after[1] > before[1] + 0.5
    assert {name: fmt.word_length for name, fmt in plan.committed.items() if fmt is not None} == lengths


def test_words_of_mixed_lengths_do_better_than_words_of_one_length_in_as_many_bytes(calibration: Calibration) -> None:
    plan, even = calibration.propose(word_length=6), calibration.propose(word_length=6)
    even.propose(4, names=[row.name for row in even.rows if row.kind == "weight"])
    even.commit()
    budget = int(whole(even, SEEN, "quantized_bytes"))
    plan.search(SEEN[:1], budget, progress=False)
    plan.commit()
    assert whole(plan, SEEN, "quantized_bytes") <= budget
    formats = {row.name: plan.committed[row.name] for row in plan.rows}
    lengths = {row.name: fmt.word_length for row in plan.rows if (fmt := formats[row.name]) is not None}
    assert len({lengths[row.name] for row in plan.rows if row.kind == "weight"}) > 1
    assert {lengths[row.name] for row in plan.rows if row.kind != "weight"} == {6}
    assert whole(plan, SEEN) > whole(even, SEEN)
    assert whole(plan, EXAMPLE.test) > whole(even, EXAMPLE.test)


def small(word_length: int = 4, per_channel: bool = False) -> tuple[nn.Module, Plan, list[Tensor]]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    data = list(torch.randn(60, 4).split(20))
    calibration = calibrate(model, data, device="cpu", progress=False)
    return model, calibration.propose(word_length, "minmax", per_channel=per_channel), data


def noise(model: nn.Module, plan: Plan, data: list[Tensor]) -> float:
    return -float(validate(model, plan, data)["sqnr_db"]["Sequential"])


@pytest.mark.parametrize("per_channel", [False, True])
def test_no_window_that_is_moved_by_a_bit_or_two_would_do_better(per_channel: bool) -> None:
    model, plan, data = small(per_channel=per_channel)
    start = noise(model, plan, data)
    plan.search(data, progress=False)
    plan.commit()
    assert noise(model, plan, data) < start
    seen, aside = [batch[:15] for batch in data], [batch[15:] for batch in data]
    least = noise(model, plan, seen), noise(model, plan, aside)
    for name, fmt in dict(plan.committed).items():
        for bits in SHIFTS:
            if isinstance(fmt, FixedPoint):
                plan[name] = FixedPoint.from_window(fmt.msb + bits, fmt.lsb + bits, fmt.signed)
            elif isinstance(fmt, PerChannel):
                lengths = tuple(length - bits for length in fmt.fraction_lengths)
                plan[name] = PerChannel(fmt.word_length, lengths, fmt.signed)
            else:
                continue
            plan.commit()
            assert noise(model, plan, seen) >= least[0] or noise(model, plan, aside) > least[1]
            plan.undo()
            plan.undo()


def test_where_nothing_is_better_nothing_is_drafted() -> None:
    _, plan, data = small()
    plan.search(data, progress=False)
    plan.commit()
    assert plan.search(data, progress=False) == {}
    assert not plan.drafts


def test_the_drafts_are_one_step_and_rounding_overflow_and_sign_stay() -> None:
    _, plan, data = small()
    plan["0.weight"] = FixedPoint(4, 9, rounding="half_even")
    plan.commit()
    before = dict(plan.committed)
    plan.search(data, 500, progress=False)
    assert dict(plan.committed) == before
    for name, fmt in plan.drafts.items():
        old = before[name]
        assert isinstance(fmt, FixedPoint)
        assert isinstance(old, FixedPoint)
        assert (fmt.signed, fmt.rounding, fmt.overflow) == (old.signed, old.rounding, old.overflow)
    assert plan.drafts["0.weight"] is not None
    plan.undo()
    assert not plan.drafts


def test_locked_rows_and_rows_in_float_are_untouched() -> None:
    _, plan, data = small()
    everything = set(plan.search(data, 40, progress=False) or {})
    plan.undo()
    plan["2"] = None
    plan.commit()
    plan.lock("0.weight", "4.weight")
    assert {"0.weight", "4.weight"} & everything
    assert not {"0.weight", "4.weight", "2"} & set(plan.search(data, 60, progress=False) or {})


def test_a_budget_that_the_start_meets_makes_nothing_worse() -> None:
    model, plan, data = small()
    bytes_ = int(validate(model, plan, data)["quantized_bytes"]["Sequential"])
    plan.search(data, progress=False)
    plan.commit()
    windows = noise(model, plan, data)
    plan.undo()
    plan.undo()
    plan.search(data, bytes_, progress=False)
    plan.commit()
    assert noise(model, plan, data) <= windows
    assert int(validate(model, plan, data)["quantized_bytes"]["Sequential"]) <= bytes_


def test_a_budget_that_cannot_be_met_is_refused_with_the_least_that_can() -> None:
    model, plan, data = small()
    before = dict(plan.committed)
    with pytest.raises(PlanError, match=r"a budget of 20 bytes cannot be met: the least is (\d+)") as raised:
        plan.search(data, 20, progress=False)
    assert dict(plan.committed) == before
    assert not plan.drafts
    found = re.search(r"least is (\d+)", str(raised.value))
    assert found is not None
    plan.search(data, int(found[1]), progress=False)
    plan.commit()
    assert validate(model, plan, data)["quantized_bytes"]["Sequential"] == int(found[1])


@pytest.mark.parametrize("after", [0, 3, 9, 12])
def test_a_search_that_is_stopped_leaves_the_plan_as_it_was(after: int) -> None:
    _, plan, data = small()
    before, asked = dict(plan.committed), iter(range(1000))
    assert plan.search(data, 60, progress=False, stop=lambda: next(asked) == after) is None
    assert next(asked) == after + 1
    assert dict(plan.committed) == before
    assert not plan.drafts


def test_a_plan_that_was_changed_meanwhile_is_left_alone() -> None:
    _, plan, data = small()

    def change() -> bool:
        if "0" not in plan.drafts:
            plan["0"] = None
        return False

    with pytest.raises(PlanError, match="changed while"):
        plan.search(data, progress=False, stop=change)
    assert dict(plan.drafts) == {"0": None}


def test_drafts_must_be_decided_on_first() -> None:
    _, plan, data = small()
    plan["0"] = None
    with pytest.raises(PlanError, match="1 drafts are not committed"):
        plan.search(data, progress=False)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"budget": 12.5}, PlanError, "a budget is a whole number of bytes, not 12.5"),
        ({"data": []}, DataError, "there is no batch"),
        ({"data": [torch.zeros(2, 5)]}, DataError, r"batch 0 .*\(2, 5\).*\(any, 4\)"),
        ({"model": nn.Sequential(nn.Linear(4, 5))}, PlanError, "another network"),
    ],
)
def test_bad_input_is_named_and_nothing_is_changed(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    model, plan, data = small()
    state, before = copy.deepcopy(model.state_dict()), dict(plan.committed)
    with pytest.raises(error, match=message):
        plan.search(**{"data": data, "progress": False, **wrong})
    assert dict(plan.committed) == before
    assert not plan.drafts
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_there_must_be_something_to_search_for() -> None:
    _, plan, data = small()
    plan.lock(*plan.names)
    with pytest.raises(PlanError, match="nothing to search for"):
        plan.search(data, progress=False)
