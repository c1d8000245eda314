"""Leaky ReLU and PReLU where they are exported to: C and hls4ml compute the same codes, AIMET and ESP-DL name them."""

import json
import random
import subprocess
from pathlib import Path

import hls4ml
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.errors import ExportError
from qwidgets.export import hls4ml_model, to_aimet, to_c, to_espdl, to_hls4ml
from qwidgets.formats import FixedPoint
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from tests.export.small_networks import scramble


class Slopes(nn.Module):
    """On the sums of a convolution, a linear layer, an addition, and by itself; one slope, and one for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.each = nn.Conv2d(3, 4, 3, bias=False), nn.PReLU(4)
        self.fc, self.vector = nn.Linear(16, 6), nn.PReLU(6)
        self.one, self.alone = nn.PReLU(), nn.PReLU(3)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.each(self.conv(x))
        z = self.vector(self.fc(y.flatten(1)))
        return self.one(z + 0.5), self.alone(x), self.one(y * y)


def planned(model: nn.Module, x: Tensor, **how: object) -> Plan:
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.PReLU):
                module.weight.uniform_(-0.8, 0.8)
    return calibrate(model.eval(), [x], device="cpu", progress=False).propose(8, "minmax", **how)


@pytest.mark.parametrize(("seed", "shortest", "longest"), [(1, 2, 8), (2, 4, 10), (3, 2, 14)])
def test_c_computes_every_code(seed: int, shortest: int, longest: int, tmp_path: Path) -> None:
    torch.manual_seed(seed)
    model, x = Slopes(), torch.randn(3, 3, 4, 4)
    plan = planned(model, x, per_channel=seed == 2)
    scramble(plan, random.Random(seed), shortest, longest)
    assert not quantize(model, plan).float_islands
    to_c(plan, tmp_path / "c", data=[x])
    result = subprocess.run(["make", "-C", str(tmp_path / "c")], capture_output=True, text=True)
    assert "every code is equal" in result.stdout, result.stdout + result.stderr


def test_c_refuses_slopes_that_are_not_of_the_layers_channels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.PReLU(5))
    plan = planned(model, torch.randn(3, 5, 4))
    with pytest.raises(ExportError, match="'0' has bounds or slopes that differ along another dimension"):
        to_c(plan, tmp_path / "c")


@pytest.mark.slow
def test_hls4ml_computes_every_code(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(2, 3, 3),
        nn.PReLU(),
        nn.Conv1d(3, 2, 1),
        nn.LeakyReLU(0.3),
        nn.Flatten(),
        nn.Linear(8, 5),
        nn.PReLU(5),
    )
    x = torch.randn(64, 2, 6)
    plan = planned(model, x)
    plan["1.weight"], plan["6.weight"] = FixedPoint(5, 4), FixedPoint(7, 6, rounding="half_even")
    plan["0"], plan["2"] = FixedPoint(9, 6, rounding="half_even"), FixedPoint(7, 4, rounding="floor", overflow="wrap")
    plan["5"] = FixedPoint(10, 8)
    plan.commit()
    firmware = hls4ml.converters.convert_from_pytorch_model(
        hls4ml_model(plan),
        hls_config=to_hls4ml(plan),
        backend="Vitis",
        io_type="io_parallel",
        output_dir=str(tmp_path),
    )
    firmware.compile()
    found = firmware.predict(x.numpy())
    assert np.array_equal(found, quantize(model, plan)(x).numpy())


def test_hls4ml_refuses_a_slope_for_each_channel_of_an_image() -> None:
    plan = planned(nn.Sequential(nn.Conv2d(1, 2, 3), nn.PReLU(2)), torch.randn(3, 1, 5, 5))
    with pytest.raises(ExportError, match=r"cannot take '_?1' \(prelu\): a PReLU with a slope for each channel"):
        hls4ml_model(plan)
    hls4ml_model(planned(nn.Sequential(nn.Conv2d(1, 2, 3), nn.PReLU()), torch.randn(3, 1, 5, 5)))


def test_aimet_has_an_encoding_for_slopes_and_for_what_leaves(tmp_path: Path) -> None:
    import onnx

    model, x = nn.Sequential(nn.Conv2d(1, 2, 3), nn.PReLU(2)), torch.randn(3, 1, 5, 5)
    plan = planned(model, x)
    to_aimet(plan, tmp_path / "model.encodings")
    with pytest.warns(DeprecationWarning, match="legacy TorchScript-based ONNX export"):
        torch.onnx.export(model, (x,), tmp_path / "model.onnx", opset_version=18, dynamo=False)
    nodes = {node.op_type: node for node in onnx.load(tmp_path / "model.onnx").graph.node}
    content = json.loads((tmp_path / "model.encodings").read_text())
    scales = {
        entry["name"]: entry["scale"] for kind in ("activation_encodings", "param_encodings") for entry in content[kind]
    }
    for tensor, row in ((nodes["PRelu"].input[1], "1.weight"), (nodes["PRelu"].output[0], "0")):
        fmt = plan[row]
        assert isinstance(fmt, FixedPoint)
        assert scales[tensor] == [fmt.step]


def test_esp_dl_is_told_the_scale_of_what_leaves(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.PReLU(2))
    plan = planned(model, torch.randn(3, 1, 5, 5), signed=True)
    to_espdl(plan, tmp_path / "espdl.json")
    fmt = plan["0"]
    assert isinstance(fmt, FixedPoint)
    content = json.loads((tmp_path / "espdl.json").read_text())
    assert f'"/1/PRelu": {fmt.step}' in json.dumps(content)
