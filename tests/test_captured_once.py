"""A model is captured once for all that is done with it, and anew as soon as anything of it has changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qwidgets import calibrate, cost, examples, export, health, quantize, sensitivity, validate
from qwidgets.simulation import captured


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that are captured, in turn."""
    found: list[str] = []
    real = torch.export.export

    def counting(model: nn.Module, *args: Any, **kwargs: Any) -> Any:
        found.append(type(model).__name__)
        return real(model, *args, **kwargs)

    monkeypatch.setattr(torch.export, "export", counting)
    return found


def test_one_capture_serves_everything(captures: list[str], tmp_path: Path) -> None:
    digits = examples.digits()
    model, data = digits.model, list(digits.calibration)
    plan = calibrate(model, data, progress=False).propose(8)
    quantize(model, plan)
    validate(model, plan, data)
    sensitivity(model, plan, data[:1], progress=False)
    health(model, plan, data[:1])
    cost(model, plan)
    plan.check("cmsis_nn")
    plan.propose(8, target="esp32s3")
    plan.revert()
    plan.equalize(data, progress=False)
    plan.correct_bias(data, progress=False)
    plan.round_adaptively(data[:4], progress=False)
    plan.search(data[:4], progress=False)
    plan.revert()
    plan.set_rounding("half_even")
    plan.commit()
    export.to_onnx(plan, tmp_path / "digits.onnx")
    export.to_qonnx(plan, tmp_path / "digits.qonnx")
    export.to_json(plan, tmp_path / "digits.json")
    export.to_c(plan, tmp_path / "c", data=data)
    plan.report(tmp_path / "report.html")
    assert captures == ["DigitsNet"]


class Scaled(nn.Module):
    """A small network with all that a capture may depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 3, 3))
        self.norm = nn.BatchNorm2d(3)
        self.activation: nn.Module = nn.ReLU()
        self.shift = nn.Parameter(torch.tensor([0.5]))
        self.gain = 2.0
        self.places = [1]
        self.plain = torch.tensor([0.25])

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm(self.conv(x))) * self.gain + self.shift
        return torch.roll(x + self.plain, self.places, 3)


def _double(tensor: Tensor) -> None:
    with torch.no_grad():
        tensor.mul_(2)


def _reload(model: Scaled) -> None:
    model.load_state_dict({name: value * 1.5 for name, value in model.state_dict().items()})


CHANGES: dict[str, Callable[[Scaled], object]] = {
    "a weight": lambda model: _double(model.conv.parametrizations.weight.original0),
    "a weight behind torch's back": lambda model: model.norm.weight.data.mul_(3),
    "all weights": _reload,
    "a parameter put in the place of another": lambda model: setattr(model, "shift", nn.Parameter(torch.ones(1))),
    "a running mean": lambda model: _double(model.norm.running_mean.add_(1)),  # type: ignore[union-attr]
    "a tensor that is no buffer": lambda model: _double(model.plain),
    "a number": lambda model: setattr(model, "gain", 3.0),
    "a number in a list": lambda model: model.places.__setitem__(0, 2),
    "a number of a layer": lambda model: setattr(model.norm, "eps", 0.5),
    "a layer": lambda model: setattr(model, "activation", nn.Hardtanh()),
    "a hook": lambda model: model.activation.register_forward_hook(lambda module, args, output: output.flip(3)),
    "another forward": lambda model: setattr(model.activation, "forward", torch.sigmoid),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_in_the_model_is_seen(change: Callable[[Scaled], object], captures: list[str]) -> None:
    torch.manual_seed(0)
    model, x = Scaled().eval(), torch.randn(4, 1, 9, 9)
    plan = calibrate(model, [x], progress=False).propose(8)
    before = model(x)
    assert torch.allclose(captured(model, plan).run((x,), {}, lambda row, values: None), before)
    assert len(captures) == 1
    change(model)
    now = model(x)
    assert not torch.allclose(now, before)
    assert torch.allclose(captured(model, plan).run((x,), {}, lambda row, values: None), now, rtol=1e-5, atol=1e-6)
    captured(model, plan)
    assert len(captures) == 2


def test_a_run_in_training_mode_and_back_changes_nothing() -> None:
    model, x = nn.Sequential(nn.Linear(4, 3), nn.Dropout()), torch.randn(8, 4)
    plan = calibrate(model, [x], progress=False).propose(8)
    first = captured(model, plan)
    model.train()
    assert captured(model.eval(), plan) is first


def test_another_model_is_captured_for_itself() -> None:
    model, x = nn.Linear(4, 3), torch.randn(8, 4)
    plan = calibrate(model, [x], progress=False).propose(8)
    other = nn.Linear(4, 3)
    assert torch.equal(captured(other, plan).run((x,), {}, lambda row, values: None), other(x))
    assert torch.equal(captured(model, plan).run((x,), {}, lambda row, values: None), model(x))
