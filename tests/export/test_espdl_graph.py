"""What ESP-PPQ makes of a network by itself: rows share the scales that it would share, or are refused."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from esp_ppq.api import QuantizationSettingFactory, espdl_quantize_torch
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.errors import ExportError
from qwidgets.export import to_espdl
from qwidgets.formats import FixedPoint
from qwidgets.plan import Plan


class Joined(nn.Module):
    """Sums and joins that lead to each other, through pooling and resizing."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1), nn.Conv2d(6, 3, 1)
        self.d, self.last = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        joined = torch.cat([F.interpolate(F.max_pool2d(a, 2), scale_factor=2.0), self.b(x)], 1)
        scaled = F.interpolate(self.d(self.c(joined) + a), scale_factor=2.0)
        out: Tensor = self.last(scaled)
        return out


class Applied(nn.Module):
    def __init__(self, layer: nn.Module, how: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.how = layer, how

    def forward(self, x: Tensor) -> Any:
        return self.how(self.layer, x)


def plan_of(model: nn.Module, data: Tensor) -> Plan:
    return calibrate(model.eval(), [data], device="cpu", progress=False).propose(8, "minmax", signed=True)


def test_rows_that_lead_to_each_other_share_a_format_and_the_advice_gives_them_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plan = plan_of(Joined(), torch.randn(4, 3, 8, 8))
    for number, name in enumerate(("a", "b", "c", "cat", "add")):
        plan[name] = FixedPoint(8, 2 + number)
    plan.commit()
    with pytest.raises(ExportError, match=r"'\w+' has another format than 'add'.* for name in .*'cat'.*") as refused:
        to_espdl(plan, tmp_path / "espdl.json")
    names, result = re.search(r"for name in (\[.*\]): plan\[name\] = plan\['(\w+)'\]", str(refused.value)).groups()  # type: ignore[union-attr]
    for name in re.findall(r"'(\w+)'", names):
        plan[name] = plan[result]
    plan.commit()
    to_espdl(plan, tmp_path / "espdl.json")


@pytest.mark.slow
def test_what_is_resized_and_joined_has_the_scale_of_the_plan_in_esp_ppq(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, data = Joined(), torch.randn(4, 3, 8, 8)
    plan = plan_of(model, data)
    for name in ("a", "b", "c", "cat", "add"):
        plan[name] = FixedPoint(8, 2)  # coarser than what ESP-PPQ would choose
    plan["d"], plan["last"] = FixedPoint(8, 3), FixedPoint(8, 1)
    plan.commit()
    to_espdl(plan, tmp_path / "espdl.json")
    setting = QuantizationSettingFactory.from_json((tmp_path / "espdl.json").read_text())
    graph = espdl_quantize_torch(
        model,
        str(tmp_path / "network.espdl"),
        [data[:1], data[1:2]],
        2,
        [1, 3, 8, 8],
        setting=setting,
        target="esp32p4",
        error_report=False,
        verbose=0,
    )
    scales = {name: float(each.config.output_quantization_config[0].scale) for name, each in graph.operations.items()}
    shared = ("/a/Conv", "/b/Conv", "/c/Conv", "/Concat", "/Add", "/MaxPool", "/Resize")
    assert {name: scales[name] for name in shared} == dict.fromkeys(shared, 2.0**-2)
    assert (scales["/d/Conv"], scales["/Resize_1"], scales["/last/Conv"]) == (2.0**-3, 2.0**-3, 2.0**-1)


@pytest.mark.parametrize(
    ("model", "data", "why"),
    [
        (
            Applied(nn.Conv2d(3, 3, 1), lambda layer, x: layer(layer(x) * 0.5)),
            torch.randn(4, 3, 4, 4),
            r"ESP-PPQ makes 'mul' one with another layer.*a part of that layer's weights, or leave it to the caller",
        ),
        (
            Applied(nn.Conv2d(3, 2, 1), lambda layer, x: layer(x.float())),
            torch.randint(0, 255, (4, 3, 4, 4), dtype=torch.uint8),
            r"some are not of floats, or not used; convert what it reads to floats before it",
        ),
        (
            Applied(nn.Linear(3, 2), lambda layer, x: layer(x) * torch.special.i0(x[:, :2])),
            torch.randn(4, 3),
            r"^PyTorch cannot write this Applied as ONNX: [^\n]*$",
        ),
    ],
)
def test_what_esp_ppq_would_do_otherwise_is_refused_by_name(
    model: nn.Module, data: Tensor, why: str, tmp_path: Path
) -> None:
    plan = plan_of(model, data)
    with pytest.raises(ExportError, match=why):
        to_espdl(plan, tmp_path / "espdl.json")
    assert not list(tmp_path.iterdir())


def test_what_was_refused_is_taken_when_the_advice_was_followed(tmp_path: Path) -> None:
    conv = nn.Conv2d(3, 3, 1)
    halved = nn.Conv2d(3, 3, 1)
    halved.load_state_dict({name: 0.5 * value for name, value in conv.state_dict().items()})
    to_espdl(plan_of(nn.Sequential(halved, conv), torch.randn(4, 3, 4, 4)), tmp_path / "scaled.json")
    to_espdl(plan_of(nn.Sequential(conv), torch.rand(4, 3, 4, 4)), tmp_path / "floats.json")
    assert len(list(tmp_path.iterdir())) == 2
