"""Each step keeps part of its data aside, and leaves the plan as it was unless it does better there."""

import re
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qwidgets.adjusting.kept_aside import divide
from qwidgets.calibration import calibrate
from qwidgets.errors import DataError
from qwidgets.network import capture
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from qwidgets.validation import validate

ADJUSTING = ("equalize", "correct_bias", "round_adaptively", "fine_tune", "mend")
SAMPLE = nn.Linear(3, 2)
CAPTURED = capture(SAMPLE, (torch.zeros(2, 3),))


def quietly(plan: Plan, step: str, data: Any, **how: Any) -> Any:
    return getattr(plan, step)(data, progress=False, on_unchanged=lambda reason: None, **how)


def sensor(samples: int, seed: int) -> Tensor:
    """Correlated inputs, as of any real sensor: few directions hold most of what there is."""
    mix = torch.randn(48, 48, generator=torch.Generator().manual_seed(1)) * torch.logspace(0, -2, 48)
    return torch.randn(samples, 48, generator=torch.Generator().manual_seed(seed)) @ mix.T / 2


def three_layers(word_length: int, data: list[Tensor]) -> tuple[nn.Module, Plan]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 6)).eval()
    return model, calibrate(model, data, device="cpu", progress=False).propose(word_length, per_channel=True)


def sqnr_db(model: nn.Module, plan: Plan, data: Tensor) -> float:
    with torch.no_grad():
        values, its = model(data).double(), quantize(model, plan)(data)
    return float(10 * torch.log10(values.square().sum() / (its - values).square().sum()))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_every_sample_is_either_seen_or_kept_aside(sizes: list[int]) -> None:
    numbers = torch.arange(float(sum(sizes))).unsqueeze(1).expand(-1, 3)
    batches = list(numbers.split(sizes))
    if sum(sizes) == 1:
        with pytest.raises(DataError, match="one batch, of which nothing can be kept aside"):
            divide(CAPTURED, SAMPLE, batches)
        return
    divided = divide(CAPTURED, SAMPLE, batches)
    seen, aside = ([float(x) for batch in part for x in batch.args[0][:, 0]] for part in (divided.seen, divided.aside))
    assert sorted(seen + aside) == numbers[:, 0].tolist()
    assert 0 < len(aside) == divided.samples
    assert seen
    assert divided.leaves == [list(batch.args) for batch in (*divided.seen, *divided.aside)]


class OfFour(nn.Module):
    """Its code fixes the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.reshape(4, 6))
        return y


@pytest.mark.parametrize("step", [*ADJUSTING, "search"])
def test_of_one_sample_nothing_can_be_kept_aside_and_what_is_advised_helps(step: str) -> None:
    one = [torch.randn(1, 48)]
    model, plan = three_layers(4, [*one, sensor(8, 0)])
    how = {} if step == "search" else {"on_unchanged": lambda reason: None}
    with pytest.raises(DataError, match="two batches at least or, where the network takes batches of any size, two"):
        getattr(plan, step)(one, progress=False, **how)
    assert not plan.drafts
    assert len(plan.history) == 1
    for enough in (one * 2, [torch.cat(one * 2)]):
        getattr(plan, step)(enough, model=model, progress=False, **how)
        plan.revert()


def test_a_network_that_fixes_its_batch_keeps_a_whole_one_aside() -> None:
    model, data = OfFour(), [torch.randn(4, 6), torch.randn(4, 6)]
    plan = calibrate(model, data, device="cpu", progress=False).propose(3)
    with pytest.raises(DataError, match="two batches at least"):
        plan.correct_bias(data[:1], progress=False)
    quietly(plan, "correct_bias", data)


def test_a_network_of_two_inputs_keeps_the_same_samples_of_both_aside() -> None:
    class Sum(nn.Module):
        def forward(self, first: Tensor, *, second: Tensor, factor: float = 2.0) -> Tensor:
            return first + factor * second

    numbers = torch.arange(12.0).reshape(6, 2)
    network = capture(Sum(), (), {"first": numbers, "second": -numbers})
    divided = divide(network, Sum(), [{"second": -numbers, "first": numbers}])
    (aside,) = divided.aside
    assert {name: value.tolist() for name, value in aside.kwargs.items()} == {
        "first": [[10.0, 11.0]],
        "second": [[-10.0, -11.0]],
    }


@pytest.mark.parametrize("samples", [8, 24, 64])
@pytest.mark.parametrize("step", ADJUSTING)
def test_few_samples_make_nothing_worse_for_all_others(samples: int, step: str) -> None:
    data, others = [sensor(samples, 2)], sensor(2000, 3)
    model, plan = three_layers(8, data)
    before = sqnr_db(model, plan, others)
    quietly(plan, step, data)
    assert sqnr_db(model, plan, others) > before - 0.2


def test_many_samples_still_make_it_better_for_all_others() -> None:
    data, others = [sensor(1500, 2)], sensor(1500, 3)
    model, plan = three_layers(4, data)
    before = sqnr_db(model, plan, others)
    quietly(plan, "round_adaptively", data)
    assert plan.adjustments.roundings
    assert sqnr_db(model, plan, others) > before + 0.5


FIGURES = re.compile(r"output SQNR (-?\d+\.\d) -> (-?\d+\.\d) dB on (\d+) samples? kept aside$")


@given(
    step=st.sampled_from(ADJUSTING),
    word_length=st.integers(3, 9),
    rounding=st.sampled_from(["half_away", "floor"]),
    samples=st.integers(2, 40),
    seed=st.integers(0, 99),
)
@settings(max_examples=7, deadline=None, derandomize=True, phases=[Phase.generate])  # to shrink it would take minutes
def test_what_the_history_says_is_what_validating_on_the_data_kept_aside_gives(
    step: str, word_length: int, rounding: str, samples: int, seed: int
) -> None:
    batch = sensor(samples, seed)
    model, plan = three_layers(word_length, [batch])
    if rounding != "half_away":
        plan.set_rounding(rounding)
        plan.commit()
    aside = batch[-max(samples // 4, 1) :]
    history, before = plan.history, validate(model, plan, [aside])["sqnr_db"]["Sequential"]
    reasons: list[str] = []
    entry = getattr(plan, step)([batch], progress=False, on_unchanged=reasons.append)
    after = validate(model, plan, [aside])["sqnr_db"]["Sequential"]
    if entry is None:
        assert reasons[0].startswith("nothing was changed: ")
        assert plan.history == history
        assert after == before
        assert not plan.adjustments
        return
    found = FIGURES.search(entry.note)
    assert found is not None
    assert [float(found[1]), float(found[2])] == pytest.approx([before, after], abs=0.0501)
    assert int(found[3]) == len(aside)
    assert after > before
    assert plan.history == (*history, entry)


@pytest.mark.parametrize("step", ADJUSTING)
def test_a_step_that_finds_nothing_to_do_says_so_at_the_line_that_asked_and_writes_no_entry(step: str) -> None:
    data = [sensor(16, 0)]
    _, plan = three_layers(8, data)
    plan.set("*", None)
    plan.commit()
    history = plan.history
    with pytest.warns(UserWarning, match="nothing was changed: ") as warned:
        assert getattr(plan, step)(data, progress=False) is None
    assert warned[0].filename == __file__
    assert plan.history == history
    plan.undo()  # the step, not the commit before it
    assert plan.history == history
    assert not plan.drafts


def test_a_network_without_channels_to_scale_has_nothing_to_equalize() -> None:
    data = [torch.randn(20, 3)]
    plan = calibrate(SAMPLE, data, device="cpu", progress=False).propose()
    with pytest.warns(UserWarning, match="there is nothing to equalize"):
        plan.equalize(data, progress=False)


def test_correcting_biases_again_does_not_correct_them_twice() -> None:
    data = [sensor(256, 0)]
    model, plan = three_layers(6, data)
    plan.set_rounding("floor")  # takes half a step off every activation
    plan.commit()
    quietly(plan, "correct_bias", data)
    first, once = dict(plan.adjustments.shifts), sqnr_db(model, plan, sensor(500, 1))
    assert set(first) == {"0.bias", "2.bias", "4.bias"}
    quietly(plan, "correct_bias", data)
    for row, shift in plan.adjustments.shifts.items():
        assert abs(shift - first[row]).max() < 0.3 * abs(first[row]).max()
    assert sqnr_db(model, plan, sensor(500, 1)) > once - 0.2


def test_the_commit_of_what_was_searched_says_what_it_does_to_the_data_kept_aside() -> None:
    data = list(sensor(80, 0).split(10))
    model, plan = three_layers(3, data)
    aside = [data[1], data[5]]
    before = validate(model, plan, aside)["sqnr_db"]["Sequential"]
    assert plan.search(data, progress=False)
    entry = plan.commit("as found")
    found = FIGURES.fullmatch(entry.note.removeprefix("as found; searched: "))
    assert found is not None
    after = validate(model, plan, aside)["sqnr_db"]["Sequential"]
    assert [float(found[1]), float(found[2])] == pytest.approx([before, after], abs=0.0501)
    assert after >= before
    assert int(found[3]) == 20


def test_drafts_that_were_changed_after_a_search_are_not_said_to_be_what_it_found() -> None:
    data = list(sensor(80, 0).split(10))
    _, plan = three_layers(3, data)
    plan.search(data, progress=False)
    plan["0"] = "Q9.3"
    assert plan.commit("by hand").note == "by hand"
