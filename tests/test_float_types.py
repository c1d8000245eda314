"""Networks in float16, bfloat16 and float64 are judged and mended as those in float32 are."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from qwidgets.validation import cost, health, sensitivity, validate

TYPES = [torch.float16, torch.bfloat16, torch.float64]


class Mixed(nn.Module):
    """Layers, clamps that channels are scaled through, a constant in a sum, and what has no integer form."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.mix = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 1)
        self.position = nn.Parameter(torch.randn(6))
        self.inner, self.out = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = nn.functional.relu6(self.norm(self.conv(x)))
        z = (y + self.mix(y)).mean((2, 3)) + self.position
        return self.out(torch.sigmoid(self.inner(z))), z


def planned(dtype: torch.dtype, word_length: int = 5) -> tuple[nn.Module, Plan, list[Tensor]]:
    """Weights and data have so few bits that they are the same numbers in every float type."""
    torch.manual_seed(0)
    model = Mixed().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
        model.conv.weight.mul_(torch.tensor([1, 2, 16, 0.25, 0.5, 4]).reshape(-1, 1, 1, 1))
    data = [batch.to(dtype) for batch in torch.randn(48, 3, 6, 6).bfloat16().split(8)]
    plan = calibrate(model.to(dtype), data, device="cpu", progress=False).propose(word_length, per_channel=True)
    return model, plan, data


def figures(model: nn.Module, plan: Plan, data: list[Tensor]) -> Any:
    return validate(model, plan, data)["sqnr_db"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("step", ["equalize", "correct_bias", "round_adaptively", "fine_tune", "mend", "search"])
def test_a_step_says_of_a_network_of_any_float_type_what_validate_finds(dtype: torch.dtype, step: str) -> None:
    model, plan, data = planned(dtype, word_length=4)
    aside, before = [data[1], data[5]], figures(model, plan, [data[1], data[5]])["Mixed"]
    if step == "search":
        keep = [name for name in plan.names if not name.startswith("out")]
        plan.lock(*keep)  # there is enough to try with the others
        plan.search(data, progress=False)
        note = plan.commit().note if plan.drafts else ""
    else:
        reasons: list[str] = []
        entry = getattr(plan, step)(data, progress=False, on_unchanged=reasons.append)
        note = entry.note if entry is not None else reasons[0]
    after = figures(model, plan, aside)["Mixed"]
    if note and not note.startswith("nothing was changed"):
        assert f"output SQNR {before:.1f} -> {after:.1f} dB on 16 samples kept aside" in note
        assert after >= before
    else:
        assert after == before
    assert all(row.isfinite().all() for row in quantize(model, plan)(data[0]))


@pytest.mark.parametrize("dtype", TYPES)
def test_sensitivity_and_health_give_what_validate_gives(dtype: torch.dtype) -> None:
    model, plan, data = planned(dtype)
    plan.draft({"inner.weight": None, "position": None})
    plan.commit("a layer and a sum in float")
    found = figures(model, plan, data[-1:])
    assert health(model, plan, data).sqnr_db == found["Mixed"]
    report = sensitivity(model, plan, data[-1:], names=["conv.weight", "position", "out"], progress=False)
    assert report.attrs["sqnr_db"] == found["Mixed"]
    for name in ("conv.weight", "out"):
        trial = plan.copy()
        trial[name] = None
        trial.commit()
        assert report.loc[name, "without_sqnr_db"] == figures(model, trial, data[-1:])["Mixed"]


def test_a_float64_network_comes_to_the_codes_and_costs_of_the_same_one_in_float32() -> None:
    (single, plan, data), (double, other, wide) = planned(torch.float32), planned(torch.float64)
    assert dict(plan.committed) == dict(other.committed)
    for each, batches in ((plan, data), (other, wide)):
        each.correct_bias(batches, progress=False, on_unchanged=lambda reason: None)
    assert plan.adjustments.shifts.keys() == other.adjustments.shifts.keys()
    mine, its = quantize(single, plan), quantize(double, other)
    assert all(torch.equal(codes, its.codes[row]) for row, codes in mine.codes.items())
    assert cost(single, plan).equals(cost(double, other))


@pytest.mark.parametrize("dtype", TYPES)
def test_what_a_network_of_any_float_type_costs_is_told(dtype: torch.dtype) -> None:
    model, plan, _ = planned(dtype)
    assert cost(model, plan).loc["Mixed", "parameters"] == 6 * 27 + 6 + 36 + 6 + 6 + 36 + 6 + 24 + 4
