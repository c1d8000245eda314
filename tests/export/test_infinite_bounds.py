"""A clamp whose bound is infinite has none, wherever it is exported to."""

import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from qwidgets import calibrate, quantize
from qwidgets.export import to_c, to_onnx
from tests.export.onnx_runs import integers_in, integers_of

INFINITE = float("inf")


class Clamped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = self.fc(x)
        return y.clip(-INFINITE, 0.5), (y + x).clamp(-0.25, INFINITE), nn.functional.hardtanh(y - x, -INFINITE, 0.25)


@pytest.mark.parametrize("equalized", [False, True])
def test_an_infinite_bound_is_none(equalized: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = nn.Linear(4, 4), nn.Hardtanh(-INFINITE, 0.5), nn.Linear(4, 2)
    model, x = nn.Sequential(*layers) if equalized else Clamped(), torch.randn(32, 4)
    plan = calibrate(model.eval(), [x], device="cpu", progress=False).propose(8, "minmax")
    if equalized:
        plan.equalize([x, x], model, progress=False)
    plan.set_rounding("half_even")
    plan.commit()
    quantized = quantize(model, plan)
    assert not quantized.float_islands
    expected = integers_of(quantized, x)
    to_onnx(plan, tmp_path / "model.onnx")
    found = integers_in(tmp_path / "model.onnx", x, optimized=False)
    assert found.keys() == expected.keys()
    assert all((found[row] == expected[row]).all() for row in expected)
    to_c(plan, tmp_path / "c", data=[x])
    result = subprocess.run(["make", "-C", str(tmp_path / "c")], capture_output=True, text=True)
    assert "every code is equal" in result.stdout, result.stdout + result.stderr
