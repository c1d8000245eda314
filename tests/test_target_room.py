"""What is proposed for a target leaves its sums and its biases room, too."""

import pytest
import torch
from torch import Tensor, nn

from qwidgets.calibration import Calibration, calibrate
from qwidgets.formats import FixedPoint
from qwidgets.simulation import quantize
from qwidgets.targets import TARGETS


class Network(nn.Module):
    """Sums of many products, and a layer of next to no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.faint, self.fc = nn.Linear(300, 32), nn.Linear(32, 16), nn.Linear(16, 4)
        with torch.no_grad():
            self.faint.weight *= 1e-5

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.faint(self.wide(x).relu()))
        return out


def made() -> tuple[nn.Module, Tensor, Calibration]:
    torch.manual_seed(0)
    model, x = Network().eval(), torch.randn(64, 300)
    return model, x, calibrate(model, [x], device="cpu", progress=False)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_no_sum_overflows_and_every_bias_fits(target: str, per_channel: bool) -> None:
    model, x, calibration = made()
    for word_length in (8, 16):
        plan = calibration.propose(word_length, target=target, per_channel=per_channel)
        assert plan.check(target).empty
        quantized = quantize(model, plan)
        fmt = plan["input"]
        assert isinstance(fmt, FixedPoint)
        quantized(torch.where(x < 0, fmt.min, fmt.max))
        assert quantized.accumulator_overflows == {}
        noise = (quantized(x) - model(x)).square().mean()
        assert noise < model(x).square().mean() / 100
        words = {fmt.word_length for fmt in plan.committed.values() if isinstance(fmt, FixedPoint)}
        assert words <= TARGETS[target].activation_bits | TARGETS[target].weight_bits


@pytest.mark.parametrize("remedied", ["faint.weight", "wide"])
def test_what_is_advised_for_a_bias_that_does_not_fit_helps(remedied: str) -> None:
    _, _, calibration = made()
    plan = calibration.propose(8, target="cmsis_nn")
    plan["faint.weight"] = FixedPoint(8, 40)
    (line,) = plan.check("cmsis_nn").loc[["faint.bias"]].to_dict("records")
    assert "at the step of its layer's sums, and CMSIS-NN stores 32" in line["reason"]
    assert line["remedy"].startswith("raise the window of 'faint.weight' or of what 'faint' reads by ")
    bits = int(line["remedy"].split()[-2])
    fmt = plan[remedied]
    assert isinstance(fmt, FixedPoint)
    plan[remedied] = FixedPoint(8, fmt.fraction_length - bits)
    assert "faint.bias" not in plan.check("cmsis_nn").index
