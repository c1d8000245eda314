"""A sum whose operands' steps lie far apart keeps the coarser one, and of the finer one what it can hold."""

import functools
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import ExportError
from qwidgets.export import to_c, to_hls4ml, to_onnx
from qwidgets.formats import FixedPoint
from qwidgets.network import Network, capture
from qwidgets.plan import Plan
from qwidgets.simulation import QuantizedNetwork, quantize
from qwidgets.validation import health


class Pair(nn.Module):
    def __init__(self, operation: str) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return {"add": a + b, "sub": a - b, "mul": a * b}[self.operation]


class Numbers(nn.Module):
    """Sums of a tensor with a number that is far above or far below it."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a + 3e-12) + (b - 1e12) - (3e12 - a)


@functools.cache
def calibrated(model: Callable[..., nn.Module], *how: str) -> Calibration:
    generator = torch.Generator().manual_seed(0)
    data = tuple(torch.randn(4, 6, generator=generator) for _ in range(2))
    return calibrate(model(*how), [data], device="cpu", progress=False)


@functools.cache
def captured(operation: str) -> tuple[nn.Module, Network]:
    model = Pair(operation).eval()
    return model, capture(model, (torch.randn(4, 6), torch.randn(4, 6)))


formats = st.builds(FixedPoint, st.integers(2, 16), st.integers(-40, 60))


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    operation=st.sampled_from(["add", "sub"]),
    a=formats,
    b=formats,
    rounding=st.sampled_from(["half_away", "floor"]),
    seed=st.integers(0, 99),
)
def test_nothing_wraps_and_what_is_lost_is_less_than_2_to_the_minus_29_of_the_range(
    operation: str, a: FixedPoint, b: FixedPoint, rounding: str, seed: int
) -> None:
    highest = max(a.msb, b.msb)
    result = FixedPoint(32, 29 - highest, rounding=rounding)
    quantized = QuantizedNetwork(*captured(operation), {"input.a": a, "input.b": b, operation: result})
    codes = torch.randint(-(1 << 15), 1 << 15, (2, 4, 6), generator=torch.Generator().manual_seed(seed))
    x, y = (fmt.from_integer(each % (1 << (fmt.word_length - 1))) for fmt, each in zip((a, b), codes, strict=True))
    found = quantized(x.float(), -y.float())
    assert quantized.accumulator_overflows == {}
    assert not quantized.float_islands
    exact = x - y if operation == "add" else x + y
    lost = 0 if max(a.msb, b.msb) - min(a.lsb, b.lsb) <= 28 else 2.0 ** (highest - 29)
    assert float((found - exact).abs().max()) <= lost + result.step * (0.5 if rounding == "half_away" else 1)


class Block(nn.Module):
    """A branch behind a layer scale, which begins at next to nothing."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.scale = nn.Conv2d(4, 4, 3, padding=1), nn.Parameter(torch.full((4, 1, 1), scale))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.scale * self.conv(x)
        return out


@pytest.mark.parametrize("scale", [1e-4, 1e-6, 1e-7, 1e-8, 1e-12])
def test_a_layer_scale_of_any_smallness_keeps_the_network(scale: float) -> None:
    model = Block(scale).eval()
    x = torch.randn(8, 4, 8, 8)
    plan = calibrate(model, [x], device="cpu", progress=False).propose(8)
    assert health(model, plan, [x]).sqnr_db > 38
    assert quantize(model, plan).accumulator_overflows == {}


def far_apart(model: Callable[..., nn.Module], *how: str) -> Plan:
    plan = calibrated(model, *how).propose(8)
    plan["input.b"] = FixedPoint(8, 39)
    plan.set_rounding("half_even")
    plan.commit()
    return plan


@pytest.mark.parametrize("how", [("add",), ("sub",), ()])
def test_c_rounds_the_finer_operand_alike(how: tuple[str, ...], tmp_path: Path) -> None:
    plan = far_apart(Pair if how else Numbers, *how)
    to_c(plan, tmp_path / "c")
    made = subprocess.run(["make", "-C", str(tmp_path / "c")], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "every code is equal" in made.stdout


def test_onnx_says_that_float32_does_not_hold_such_a_sum(tmp_path: Path) -> None:
    plan = far_apart(Pair, "add")
    assert "add" in to_onnx(plan, tmp_path / "model.onnx").differences


def test_hls4ml_refuses_it_and_takes_it_once_the_finer_window_is_raised() -> None:
    plan = far_apart(Pair, "add")
    with pytest.raises(ExportError, match="raise the window of the finer one"):
        to_hls4ml(plan)
    plan["input.b"] = FixedPoint(8, 12)
    plan.commit()
    to_hls4ml(plan)


def test_hls4ml_refuses_a_product_that_32_bits_do_not_hold_and_takes_shorter_words() -> None:
    plan = calibrated(Pair, "mul").propose(16)
    plan.draft({name: FixedPoint(17, 14) for name in ("input.a", "input.b")})
    plan.commit()
    with pytest.raises(ExportError, match="may need 34 bits.*give what it reads shorter words"):
        to_hls4ml(plan)
    plan.draft({name: FixedPoint(16, 13) for name in ("input.a", "input.b")})
    plan.commit()
    to_hls4ml(plan)
