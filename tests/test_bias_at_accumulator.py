"""A bias at its layer's accumulator: how wide its word is, what a preview says of it, what exports do with it."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.errors import ExportError
from qwidgets.export import to_aimet, to_c, to_json, to_onnx
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from qwidgets.validation import health, validate


def layer() -> tuple[nn.Module, Tensor]:
    """Weights that are next to nothing beside the bias."""
    torch.manual_seed(0)
    linear, x = nn.Linear(6, 4), torch.randn(8, 6)
    with torch.no_grad():
        linear.weight *= 1e-7
        linear.bias.copy_(torch.tensor([9.0, -7.0, 5.0, 1e-3]))
    return nn.Sequential(linear).eval(), x


def too_fine(per_channel: bool) -> tuple[nn.Module, Tensor, Plan]:
    """A plan that sums in steps so fine that three of the four biases do not fit 32 bits."""
    model, x = layer()
    plan = calibrate(model, [x], device="cpu", progress=False).propose(8)
    plan["input"] = FixedPoint(8, 5, rounding="half_even")
    plan["0.weight"] = PerChannel(8, (31, 31, 31, 31)) if per_channel else FixedPoint(8, 31)
    plan["0"] = FixedPoint(16, 10, rounding="half_even")
    plan["0.bias"] = "accumulator"
    plan.commit()
    return model, x, plan


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_wide_accumulator_holds_the_whole_bias(per_channel: bool) -> None:
    model, x, plan = too_fine(per_channel)
    quantized = quantize(model, plan, 53)
    bias = torch.tensor([9.0, -7.0, 5.0, 1e-3]).double()
    assert torch.equal(quantized.codes["0.bias"], (bias.float().double() * 2.0**36).round().long())
    assert torch.equal(quantized(x), torch.tensor([9.0, -7.0, 5.0, 2.0**-10]).expand(8, 4))
    assert quantized.accumulator_overflows == {}


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_bias_that_does_not_fit_its_register_is_counted_at_every_sum(per_channel: bool) -> None:
    model, x, plan = too_fine(per_channel)
    quantized = quantize(model, plan)
    quantized(x)
    assert quantized.accumulator_overflows == {"0": 3 * 8}


@pytest.mark.parametrize("fraction", [36, 40])
def test_a_bias_with_a_window_of_its_own_is_not_cut_to_32_bits_either(fraction: int) -> None:
    model, x, plan = too_fine(per_channel=True)
    plan["0.bias"] = FixedPoint(32, 27)
    plan["0.weight"] = PerChannel(8, (31, 31, 31, fraction - 5))
    plan.commit()
    quantized = quantize(model, plan, 53)
    assert torch.equal(quantized(x), torch.tensor([9.0, -7.0, 5.0, 2.0**-10]).expand(8, 4))
    narrow = quantize(model, plan)
    narrow(x)
    assert narrow.accumulator_overflows == {"0": 3 * 8}


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_preview_counts_what_32_bits_do_not_hold(per_channel: bool) -> None:
    _, _, plan = too_fine(per_channel)
    preview = plan.preview("0.bias")
    assert preview is not None
    assert (preview.count, preview.overflow, preview.underflow) == (4, 3, 0)
    assert plan.committed_preview("0.bias") == preview
    assert plan.table().loc["0.bias", "overflow"] == 3
    plan["0.weight"] = FixedPoint(8, 20)
    draft = plan.preview("0.bias")
    assert draft is not None
    assert draft.overflow == 0
    assert plan.committed_preview("0.bias") == preview
    plan["input"] = None
    assert plan.preview("0.bias") is None


def test_observers_are_told_of_a_bias_whose_step_moves_with_another_window() -> None:
    _, _, plan = too_fine(per_channel=False)
    told = []
    plan.observe(lambda change: told.append(change["new"].names), "change")
    plan["0.weight"] = FixedPoint(8, 20)
    plan["input"] = FixedPoint(8, 4)
    plan["0"] = FixedPoint(16, 9)
    plan["0.bias"] = FixedPoint(8, 3)
    plan["0.weight"] = FixedPoint(8, 21)
    assert told == [{"0.weight", "0.bias"}, {"input", "0.bias"}, {"0"}, {"0.bias"}, {"0.weight"}]


def test_health_names_the_accumulator_and_a_width_that_helps() -> None:
    model, x, plan = too_fine(per_channel=False)
    found = health(model, plan, [x])
    assert found.word == "broken"
    assert found.overflows.to_dict() == {"0": 24}
    assert f"sums that do not fit their accumulators: 0 (24), which would need {found.needed_bits} bits" in str(found)
    wide = health(model, plan, [x], accumulator_bits=found.needed_bits)
    assert wide.word == "fine"
    assert wide.overflows.empty
    report = validate(model, plan, [x], accumulator_bits=found.needed_bits)
    assert report.loc["0", "accumulator_overflows"] == 0
    assert report.loc["Sequential", "sqnr_db"] == wide.sqnr_db
    plan.propose(8)
    plan.commit()
    assert health(model, plan, [x]).overflows.empty


@pytest.mark.parametrize("own_window", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
def test_onnx_refuses_it_with_an_advice_that_helps(per_channel: bool, own_window: bool, tmp_path: Path) -> None:
    model, x, plan = too_fine(per_channel)
    if own_window:
        plan["0.bias"] = FixedPoint(8, 3)
        plan.commit()
    more = ", per_channel=True" if per_channel else ""
    with pytest.raises(ExportError) as caught:
        to_onnx(plan, tmp_path / "model.onnx")
    assert "'0.bias' needs 41 bits at the step of its layer's sums and is stored in 32" in str(caught.value)
    advice = f"plan.propose(8, names=['0.weight']{more}) and plan.commit()"
    assert advice in str(caught.value)
    plan.propose(8, names=["0.weight"], per_channel=per_channel)
    plan.commit()
    assert not to_onnx(plan, tmp_path / "model.onnx").differences
    assert health(model, plan, [x]).overflows.empty


def test_aimet_refuses_it_with_an_advice_that_helps(tmp_path: Path) -> None:
    _, _, plan = too_fine(per_channel=False)
    with pytest.raises(ExportError, match=r"'0\.bias' needs 41 bits.*plan\.propose\(\) and plan\.commit\(\)"):
        to_aimet(plan, tmp_path / "model.encodings")
    plan.propose()
    plan.commit()
    to_aimet(plan, tmp_path / "model.encodings")


@pytest.mark.parametrize("per_channel", [False, True])
def test_c_wraps_around_as_the_simulation_does(per_channel: bool, tmp_path: Path) -> None:
    _, x, plan = too_fine(per_channel)
    to_c(plan, tmp_path / "c", data=[x])
    made = subprocess.run(["make", "-C", str(tmp_path / "c")], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "every code is equal" in made.stdout


def test_a_record_has_the_32_bits_and_what_they_do_not_hold(tmp_path: Path) -> None:
    _, _, plan = too_fine(per_channel=False)
    to_json(plan, tmp_path / "plan.json")
    record = json.loads((tmp_path / "plan.json").read_text())
    (bias,) = (tensor for tensor in record["tensors"] if tensor["name"] == "0.bias")
    assert (bias["format"]["word_length"], bias["format"]["lsb"], bias["format"]["msb"]) == (32, -36, -6)
    assert bias["counts"]["overflow"] == 3
