"""What schemes propose leaves sums the room that they need, whatever the data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import PlanError
from qwidgets.formats import FixedPoint
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from qwidgets.tuning import accumulator_room


def calibrated(model: nn.Module, *inputs: Tensor) -> Calibration:
    return calibrate(model, [inputs], device="cpu", progress=False)


def sqnr_db(model: nn.Module, quantized: nn.Module, *inputs: Tensor) -> float:
    with torch.no_grad():
        reference = model(*inputs)
    noise = (quantized(*inputs) - reference).square().sum()
    return float(10 * torch.log10(reference.square().sum() / noise))


def widest_input(plan: Plan, x: Tensor) -> Tensor:
    """Values of which as many as can be have the largest code, with the signs of noise."""
    fmt = plan["input"]
    assert isinstance(fmt, FixedPoint)
    generator = torch.Generator().manual_seed(3)
    return torch.where(torch.rand(x.shape, generator=generator) < 0.5, fmt.min, fmt.max)


class Residual(nn.Module):
    """As in ResNet-18: wide sums of products, and tensors that two layers read."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, channels, 3, bias=False), nn.BatchNorm2d(channels)
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.short, self.fc = nn.Conv2d(channels, channels, 1), nn.Linear(channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        x = (self.second(self.first(x).relu()) + self.short(x)).relu()
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


class Inverted(nn.Module):
    """As in MobileNetV2: pointwise and depthwise convolutions with clamps between."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU6(),
            nn.Conv2d(16, 96, 1, bias=False),
            nn.BatchNorm2d(96),
            nn.ReLU6(),
            nn.Conv2d(96, 96, 3, padding=1, groups=96, bias=False),
            nn.BatchNorm2d(96),
            nn.ReLU6(),
            nn.Conv2d(96, 16, 1, bias=False),
            nn.BatchNorm2d(16),
        )
        self.fc = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.body(x).mean((2, 3)))
        return out


def settled(model: nn.Module) -> nn.Module:
    """Give batch norms the statistics of what they see, as training does."""
    torch.manual_seed(0)
    model.train()
    with torch.no_grad():
        for _ in range(4):
            model(torch.randn(8, 3, 12, 12))
    return model.eval()


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("network", "word_length", "least_db"), [(Residual, 16, 55.0), (Inverted, 14, 50.0)])
def test_long_words_are_proposed_so_that_no_sum_overflows(
    network: type[nn.Module], word_length: int, least_db: float, per_channel: bool
) -> None:
    model = settled(network())
    x = torch.randn(4, 3, 12, 12)
    plan = calibrated(model, x).propose(word_length, per_channel=per_channel)
    quantized = quantize(model, plan)
    assert sqnr_db(model, quantized, x) > least_db
    quantized(widest_input(plan, x))
    assert quantized.accumulator_overflows == {}


def test_a_wider_accumulator_keeps_the_windows_that_the_scheme_chose() -> None:
    model, x = settled(Residual()), torch.randn(4, 3, 12, 12)
    calibration = calibrated(model, x)
    narrow, wide = calibration.propose(16), calibration.propose(16, accumulator_bits=53)
    assert {fmt.word_length for fmt in wide.committed.values() if isinstance(fmt, FixedPoint)} == {16}
    assert not wide.room.formats
    assert sqnr_db(model, quantize(model, wide, 53), x) > sqnr_db(model, quantize(model, narrow), x) + 10
    needed = narrow.room.needed_bits
    assert str(narrow.room) in narrow.history[-1].note
    assert f"accumulator_bits={needed}" in str(narrow.room)
    told = calibration.propose(16, accumulator_bits=needed)
    assert told.committed == wide.committed
    quantized = quantize(model, told, needed)
    quantized(widest_input(told, x))
    assert quantized.accumulator_overflows == {}


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_bias_fits_the_sums_of_weights_that_are_next_to_nothing(per_channel: bool) -> None:
    torch.manual_seed(0)
    first, x = nn.Conv2d(4, 6, 3), torch.randn(8, 4, 6, 6)
    with torch.no_grad():
        first.weight *= 1e-7
        assert first.bias is not None
        first.bias *= 30
    model = nn.Sequential(first, nn.ReLU(), nn.Conv2d(6, 3, 1)).eval()
    plan = calibrated(model, x).propose(8, per_channel=per_channel)
    quantized = quantize(model, plan)
    assert sqnr_db(model, quantized, x) > 35
    assert quantized.accumulator_overflows == {}
    assert {fmt.word_length for name, fmt in plan.committed.items() if name.endswith("weight") and fmt} == {8}


def test_words_of_8_bits_are_what_the_scheme_chose() -> None:
    plan = calibrated(settled(Residual()), torch.randn(4, 3, 12, 12)).propose(8)
    assert not plan.room.formats
    assert str(plan.room) == ""
    assert plan.history[-1].note == "mse, 8 bits"


LAYERS = st.sampled_from(["conv", "depthwise", "transposed", "linear", "norm", "pool", "product", "total", "turned"])


class Chain(nn.Module):
    """A few layers of any kind, one after the other; sizes are left as they are."""

    def __init__(self, kinds: list[str], scale: float) -> None:
        super().__init__()
        self.kinds = kinds
        self.layers = nn.ModuleList(self._made(kind) for kind in kinds)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("weight"):
                    parameter.mul_(scale)

    def _made(self, kind: str) -> nn.Module:
        made: dict[str, Callable[[], nn.Module]] = {
            "conv": lambda: nn.Conv1d(4, 4, 3, padding=1),
            "depthwise": lambda: nn.Conv1d(4, 4, 3, padding=1, groups=4),
            "transposed": lambda: nn.ConvTranspose1d(4, 4, 3, padding=1, groups=2),
            "linear": lambda: nn.Linear(6, 6),
            "turned": lambda: nn.Linear(6, 6),
            "norm": lambda: nn.BatchNorm1d(4),
        }
        return made.get(kind, nn.Identity)()

    def forward(self, x: Tensor) -> Tensor:
        for kind, layer in zip(self.kinds, self.layers, strict=True):
            if kind == "pool":
                x = nn.functional.avg_pool1d(x, 3, 1, 1)
            elif kind == "product":
                x = x * (x @ x.transpose(1, 2)).softmax(-1)[..., :1]
            elif kind == "turned":
                assert isinstance(layer, nn.Linear)
                x = nn.functional.linear(x, layer.weight.t(), layer.bias)
            elif kind == "total":
                x = x - x.mean(-1, keepdim=True)
            else:
                x = layer(x)
        return x


@settings(max_examples=10, derandomize=True, deadline=None)
@given(
    kinds=st.lists(LAYERS, min_size=1, max_size=3),
    word_length=st.integers(4, 16),
    bits=st.integers(24, 40),
    scheme=st.sampled_from(["minmax", "mse", "percentile"]),
    per_channel=st.booleans(),
    scale=st.sampled_from([1.0, 1e-3, 1e-9]),
)
def test_no_data_can_overflow_what_was_proposed(
    kinds: list[str], word_length: int, bits: int, scheme: str, per_channel: bool, scale: float
) -> None:
    torch.manual_seed(len(kinds))
    model = Chain(kinds, scale).eval()
    x = torch.randn(3, 4, 6)
    plan = calibrated(model, x).propose(word_length, scheme, per_channel=per_channel, accumulator_bits=bits)
    quantized = quantize(model, plan, bits)
    quantized(1e3 * widest_input(plan, x))
    assert quantized.accumulator_overflows == {}
    # The bound that the integers' own rules have of each sum before its register takes it up.
    assert all(accumulator.needed_bits <= bits for accumulator in quantized.program.accumulators.values())


def test_channels_that_lie_far_apart_still_sum_in_integers() -> None:
    torch.manual_seed(0)
    model, x = nn.Linear(2048, 8).eval(), torch.randn(16, 2048)
    with torch.no_grad():
        model.weight *= torch.logspace(0, -12, 8, base=2)[:, None]
    plan = calibrated(model, x).propose(16, per_channel=True, accumulator_bits=53)
    quantized = quantize(model, plan, 53)
    assert not quantized.float_islands
    assert sqnr_db(model, quantized, x) > 80


def test_locked_formats_and_those_that_were_not_asked_for_stay() -> None:
    model, x = settled(Residual()), torch.randn(4, 3, 12, 12)
    plan = calibrated(model, x).propose(16, accumulator_bits=53)
    plan.lock("first.weight")
    before = dict(plan.committed)
    plan.propose(16, names=["second.weight"])
    assert set(plan.drafts) == {"second.weight"}
    plan.propose(16)
    assert plan["first.weight"] == before["first.weight"]
    plan.commit()
    quantized = quantize(model, plan)
    quantized(widest_input(plan, x))
    assert quantized.accumulator_overflows == {}


def test_a_calibration_from_a_file_knows_what_is_summed(tmp_path: Path) -> None:
    model, x = settled(Residual()), torch.randn(4, 3, 12, 12)
    calibration = calibrated(model, x)
    calibration.save(tmp_path / "calibration.safetensors")
    loaded = Calibration.load(tmp_path / "calibration.safetensors")
    assert loaded.sums == calibration.sums
    assert loaded.propose(16).committed == calibration.propose(16).committed


@pytest.mark.parametrize("bits", [1, 54, True, 32.0])
def test_no_accumulator_has_another_width(bits: Any) -> None:
    calibration = calibrated(nn.Linear(2, 2), torch.randn(3, 2))
    with pytest.raises(PlanError, match="an accumulator has 2 to 53 bits"):
        calibration.propose(8, accumulator_bits=bits)


def test_windows_move_no_further_than_a_sum_needs() -> None:
    model, x = nn.Linear(64, 8).eval(), torch.randn(16, 64)
    calibration = calibrated(model, x)
    plan = calibration.propose(16, accumulator_bits=53)
    formats = dict(plan.committed)
    room = accumulator_room.leave(calibration, formats, formats, 32)
    assert {"input", "weight"} == set(room.formats)
    for name, fmt in room.formats.items():
        assert isinstance(fmt, FixedPoint)
        longer = 0 if name == "weight" else 1
        finer = FixedPoint(fmt.word_length + longer, fmt.fraction_length + 1, fmt.signed)
        assert accumulator_room.leave(calibration, {**formats, **room.formats, name: finer}, formats, 32).formats


@pytest.mark.parametrize("bits", [32, 40])
def test_steps_that_choose_windows_anew_leave_the_room_that_there_was(bits: int) -> None:
    torch.manual_seed(0)
    model, data = nn.Sequential(nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, 8)).eval(), [torch.randn(16, 48)]
    calibration = calibrate(model, data, device="cpu", progress=False)
    plan = calibration.propose(16, per_channel=True, accumulator_bits=bits)
    for step in (plan.equalize, plan.round_adaptively):
        step(data, progress=False)
        quantized = quantize(model, plan, bits)
        quantized(widest_input(plan, data[0]))
        assert quantized.accumulator_overflows == {}
        assert all(accumulator.needed_bits <= bits for accumulator in quantized.program.accumulators.values())
