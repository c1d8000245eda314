"""Each operation that an ONNX export writes, in networks of random weights and formats, run by ONNX Runtime."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwidgets import FixedPoint, Plan, calibrate, quantize
from qwidgets.export import to_onnx
from tests.export.onnx_runs import differing_rows
from tests.networks import lively


def small_plan(model: nn.Module, *inputs: Tensor, seed: int = 0, longest: int = 8) -> Plan:
    """A plan of random word lengths, in which some values overflow and most are rounded, ties to even."""
    plan = calibrate(lively(model), [inputs], device="cpu", progress=False).propose(8, "minmax")
    rng = np.random.default_rng(seed)
    for row in plan.rows:
        fmt = plan.committed[row.name]
        assert isinstance(fmt, FixedPoint)
        length = int(rng.integers(3, (14 if row.kind == "bias" else longest) + 1))
        msb = fmt.msb - int(rng.integers(0, 2))
        plan[row.name] = FixedPoint.from_window(msb, msb - length + 1 + fmt.signed, fmt.signed, "half_even")
    plan.commit()
    return plan


class Sums(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, 1)
        return torch.cat([a + b, a - b, 1.5 - a, b * 0.3, a / 3, a * b, a + 0.125], 1)


class Moves(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 2, 0, 1), value=0.5)
        x = x[:, :, 1:5:2].transpose(1, 3).contiguous()
        first, _, last = x.split([1, 2, 5], 1)
        joined = torch.cat([first, last], 1)
        x = joined.permute(0, 2, 3, 1).reshape(-1, 2, 12)[:, 0]
        y: Tensor = F.leaky_relu(self.fc(x[:, :12].unsqueeze(1).squeeze(1)), 0.25)
        return y


class Clamped(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.clamp(-0.7, 1.1) + x.clamp(min=0.3), x.clamp(max=0.4).mean((2, 3), keepdim=True) - x.sum(
            1, keepdim=True
        )


class Products(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 4), nn.Linear(6, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = self.left(x) @ self.right(x).transpose(1, 2)
        return product


class Called2(nn.Module):
    """One layer called twice, on tensors of other formats: its bias is aligned to two different sums."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.fc(x).relu())
        return y


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(4, 6, 5, 2, 3, 2, 2), nn.ReLU()), (3, 4, 23)),
    "conv2d": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, (3, 2), (1, 2), (2, 1)), nn.BatchNorm2d(4), nn.ReLU6()),
        (3, 3, 9, 8),
    ),
    "same": (lambda: nn.Sequential(nn.Conv2d(3, 4, 4, padding="same", bias=False), nn.Hardtanh(-1, 2)), (3, 3, 9, 8)),
    "conv3d": (lambda: nn.Sequential(nn.Conv3d(2, 4, 3, padding=1), nn.MaxPool3d(2), nn.AvgPool3d(2)), (2, 2, 8, 8, 8)),
    "transposed": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), nn.ReLU(), nn.ConvTranspose2d(6, 3, 2, dilation=2)
        ),
        (2, 4, 5, 6),
    ),
    "transposed 1d": (lambda: nn.Sequential(nn.ConvTranspose1d(4, 2, 4, 3)), (2, 4, 7)),
    "linear": (lambda: nn.Sequential(nn.Linear(6, 5), nn.LeakyReLU(), nn.Linear(5, 3)), (4, 3, 6)),
    "flat linear": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(18, 5, bias=False), nn.BatchNorm1d(5)), (4, 3, 6)),
    "batch norm": (lambda: nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout()), (3, 4, 5, 5)),
    "max pool": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 1), nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.MaxPool2d(2, 1, dilation=2)
        ),
        (2, 2, 11, 12),
    ),
    "average pool": (
        lambda: nn.Sequential(nn.AvgPool2d(2, padding=1), nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)),
        (3, 2, 8, 8),
    ),
    "average pool 1d": (lambda: nn.Sequential(nn.AvgPool1d(4, 2, 1)), (3, 2, 16)),
    "adaptive": (lambda: nn.Sequential(nn.AdaptiveAvgPool2d((2, 4)), nn.AdaptiveAvgPool2d(1)), (5, 6, 8, 8)),
    "hard gates": (lambda: nn.Sequential(nn.Hardswish(), nn.Conv1d(4, 4, 1), nn.Hardsigmoid()), (3, 4, 9)),
    "pixels": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 8, 1), nn.PixelShuffle(2), nn.UpsamplingNearest2d(scale_factor=2), nn.ReflectionPad2d(1)
        ),
        (2, 2, 4, 4),
    ),
    "sums": (Sums, (3, 4, 5, 5)),
    "clamps": (Clamped, (3, 4, 4, 4)),
    "moves": (Moves, (3, 2, 4, 5)),
    "products": (Products, (2, 5, 6)),
    "called twice": (Called2, (4, 6)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_operation_gives_the_codes_of_the_plan(tmp_path: Path, name: str, seed: int) -> None:
    torch.manual_seed(seed)
    make, shape = NETWORKS[name]
    model, x = make(), 2 * torch.randn(shape)
    plan = small_plan(model, x, seed=seed)
    export = to_onnx(plan, tmp_path / "network.onnx")
    assert all("leaky_relu" in reason for reason in export.differences.values())
    more = torch.cat([x, 3 * torch.randn(shape)])
    assert differing_rows(export.path, quantize(model, plan), more) == {}


@pytest.mark.parametrize("coarser", [-3, 0, 2])
def test_global_averages_are_exact_at_ties(tmp_path: Path, coarser: int) -> None:
    """41 is the first count whose inverse in float32 does not give a tie back."""
    values = torch.arange(-127.0, 128.0).reshape(-1, 1, 1).expand(-1, 2, 41).contiguous()
    model = nn.Sequential(nn.AdaptiveAvgPool1d(1))
    plan = calibrate(model, [values], device="cpu", progress=False).propose(8)
    plan.draft({"input": FixedPoint(8, 0, True, "half_even"), "0": FixedPoint(8, -coarser, True, "half_even")})
    plan.commit()
    export = to_onnx(plan, tmp_path / "pool.onnx")
    assert export.differences == {}
    assert differing_rows(export.path, quantize(model, plan), values) == {}


@pytest.mark.parametrize("window", [3, 7, 41, 82])
def test_averages_over_windows_are_exact_at_ties(tmp_path: Path, window: int) -> None:
    values = torch.arange(-127.0, 128.0).reshape(-1, 1, 1).expand(-1, 2, 2 * window).contiguous()
    for model, x in ((nn.Sequential(nn.AvgPool1d(window)), values), (nn.Sequential(nn.AvgPool1d(2 * window)), values)):
        plan = calibrate(model, [x], device="cpu", progress=False).propose(8)
        plan.draft({"input": FixedPoint(8, 0, True, "half_even"), "0": FixedPoint(8, -1, True, "half_even")})
        plan.commit()
        export = to_onnx(plan, tmp_path / "pool.onnx")
        assert export.differences == {}
        assert differing_rows(export.path, quantize(model, plan), x) == {}


def test_a_slope_that_float32_has_no_room_for_is_named(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 32)
    for slope, named in ((0.01, ["0"]), (0.125, [])):
        model = nn.Sequential(nn.Linear(32, 32), nn.LeakyReLU(slope))
        plan = calibrate(model, [x], device="cpu", progress=False).propose(8)
        plan.set_rounding("half_even")
        plan.commit()
        export = to_onnx(plan, tmp_path / "leaky.onnx")
        assert list(export.differences) == named
        assert sum(differing_rows(export.path, quantize(model, plan), x).values()) <= 2 * len(named)
