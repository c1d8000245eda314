"""Each cause is told on a network that is made to have it, and what is named as its remedy mends it."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from qwidgets import calibrate, schemes
from qwidgets.formats import ACCUMULATOR, FixedPoint, moved
from qwidgets.plan import Plan
from qwidgets.remedies import CAUSES, find_remedies
from qwidgets.tuning import NumberFormat


@dataclass(frozen=True)
class Case:
    """A network and a plan with one thing wrong.

    Attributes
    ----------
    row
        Where.
    mends
        How the title of what mends it begins.
    """

    model: nn.Module
    data: list[Tensor]
    plan: Plan
    row: str
    mends: str


def _inputs(*size: int, batches: int = 3, scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(16, *size, generator=generator) * scale for _ in range(batches)]


class Layers(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, 8, 3, padding=1)
        self.last = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.second(nn.functional.relu(self.first(x))))
        last: Tensor = self.last(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))
        return last


class Pair(nn.Module):
    """Two linear layers."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.between, self.last = nn.Linear(16, 32), between, nn.Linear(32, 8)

    def forward(self, x: Tensor) -> Tensor:
        last: Tensor = self.last(self.between(self.first(x)))
        return last


def _planned(model: nn.Module, data: list[Tensor], word_length: int = 12) -> Plan:
    """Formats that are fine, so that what a case changes is what costs."""
    return calibrate(model.eval(), data, progress=False).propose(word_length)


def _spoilt(plan: Plan, row: str, scheme: str, word_length: int, *, signed: bool | None = None) -> FixedPoint:
    """Give a row the format that a scheme chooses for a word of another length."""
    assert plan.calibration is not None
    fmt = schemes.choose(scheme, plan.calibration[row], word_length, signed=signed)
    _with(plan, {row: fmt})
    return fmt


def _with(plan: Plan, formats: dict[str, NumberFormat]) -> Plan:
    plan.draft(formats)
    plan.commit("spoilt")
    return plan


def outlier_tail() -> Case:
    """A few large values, which next to nothing reads."""
    model, data = Layers(), _inputs(3, 8, 8)
    model.first.weight.data[:, 2] *= 1e-4
    for batch in data:
        batch[::16, 2, 0, 0] = 60.0
    plan = _planned(model, data)
    _spoilt(plan, "input", "minmax", 8)
    return Case(model, data, plan, "input", "window 3 bits lower, the tail cut off")


def dead_low_bits() -> Case:
    """Weights that are whole numbers, under a window that has three bits below them and cuts the largest off."""
    model, data = Layers(), _inputs(3, 8, 8)
    model.first.weight.data = (model.first.weight.data * 60).round()
    plan = _with(_planned(model, data), {"first.weight": FixedPoint.from_window(2, -3)})
    return Case(model, data, plan, "first.weight", "window 3 bits higher")


def channels_differ() -> Case:
    """Channels of different sizes, each made good by the layer after it."""
    model, data = Layers(), _inputs(3, 8, 8)
    scale = torch.exp2(-torch.arange(8.0))
    model.first.weight.data *= scale.reshape(-1, 1, 1, 1)
    assert model.first.bias is not None
    model.first.bias.data *= scale
    model.second.weight.data /= scale.reshape(1, -1, 1, 1)
    plan = _planned(model, data)
    _spoilt(plan, "first.weight", "mse", 8)
    return Case(model, data, plan, "first.weight", "windows per channel")


def wrong_window() -> Case:
    """A window four bits too high."""
    model, data = Layers(), _inputs(3, 8, 8)
    plan = _planned(model, data, 8)
    fmt = plan["first"]
    assert isinstance(fmt, FixedPoint)
    higher = moved(fmt, 4)
    assert higher is not None
    return Case(model, data, _with(plan, {"first": higher}), "first", "window")


def coarse_bias() -> Case:
    """A bias in steps of one half."""
    model, data = Layers(), _inputs(3, 8, 8)
    plan = _with(_planned(model, data), {"second.bias": FixedPoint(8, 1)})
    return Case(model, data, plan, "second.bias", "bias at the accumulator")


def overflowing_sums() -> Case:
    """Words of 16 bits, and sums of thousands of products in 32."""
    model, data = Layers(channels=512), _inputs(3, 8, 8)
    model.second.weight.data.abs_()
    plan = _planned(model, data, 16)
    _spoilt(plan, "first", "minmax", 16)
    _spoilt(plan, "second.weight", "minmax", 16)
    return Case(model, data, _with(plan, {"second.bias": ACCUMULATOR}), "second", "formats coarser")


class Joined(nn.Module):
    """Two branches of different sizes, joined and multiplied back to the same size."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.large, self.small = nn.Linear(16, 16), nn.Linear(16, 16)
        self.small.weight.data /= 64
        self.small.bias.data /= 64
        self.out = nn.Linear(32, 8)
        self.out.weight.data[:, 16:] *= 64

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(torch.cat([self.large(x), self.small(x)], 1))
        return out


class Added(Joined):
    """A small tensor to which a large one is added, and taken off again."""

    def forward(self, x: Tensor) -> Tensor:
        large, small = self.large(x), self.small(x)
        both: Tensor = torch.cat([small + large, small - large], 1).unflatten(1, (2, 16)).sum(1)
        return both


def shared_window() -> Case:
    """Two tensors of different sizes in one window."""
    model, data = Joined(), _inputs(16)
    plan = _planned(model, data)
    _spoilt(plan, "cat", "mse", 8)
    return Case(model, data, plan, "cat", "a word of")


def shared_window_of_a_sum() -> Case:
    """The smaller of two tensors that are added has the window of the larger."""
    model, data = Added(), _inputs(16)
    plan = _planned(model, data)
    shared = _spoilt(plan, "large", "mse", 8)
    return Case(model, data, _with(plan, {"small": shared}), "small", "a window of its own")


def cut_off() -> Case:
    """A window that ends below where the network clamps."""
    model, data = Pair(nn.ReLU6()), _inputs(16)
    model.first.weight.data *= 8
    plan = _with(_planned(model, data), {"first": FixedPoint.from_window(0, -7, signed=False)})
    return Case(model, data, plan, "first", "window")


def wrapping() -> Case:
    """Values beyond the window that wrap around."""
    case = cut_off()
    fmt = FixedPoint(8, 6, signed=False, overflow="wrap")
    return dataclasses.replace(case, plan=_with(case.plan, {"first": fmt}))


def shifted_mean() -> Case:
    """Activations rounded down."""
    model, data = Layers(), _inputs(3, 8, 8)
    plan = _planned(model, data)
    fmt = _spoilt(plan, "second", "mse", 6)
    plan = _with(plan, {"second": dataclasses.replace(fmt, rounding="floor")})
    return Case(model, data, plan, "second", "rounded to the nearest")


def wrong_sign() -> Case:
    """A sign for what left a ReLU."""
    model, data = Layers(), _inputs(3, 8, 8)
    plan = _planned(model, data)
    _spoilt(plan, "second", "mse", 6, signed=True)
    return Case(model, data, plan, "second", "without a sign")


def no_sign() -> Case:
    """No sign for what has negative values."""
    model, data = Layers(), _inputs(3, 8, 8)
    plan = _planned(model, data)
    _spoilt(plan, "input", "mse", 8, signed=False)
    return Case(model, data, plan, "input", "with a sign")


def amplified() -> Case:
    """Large means that the next layer takes off again."""
    model, data = Pair(nn.ReLU()), _inputs(16)
    model.first.bias.data += 20
    model.last.weight.data -= model.last.weight.data.mean(1, keepdim=True)
    plan = _planned(model, data, 14)
    _spoilt(plan, "first", "mse", 8)
    return Case(model, data, plan, "first", "a word of")


def few_bits() -> Case:
    """An input of four bits."""
    model, data = Layers(), _inputs(3, 8, 8)
    plan = _planned(model, data)
    _spoilt(plan, "input", "mse", 4)
    return Case(model, data, plan, "input", "a word of 6 bits")


def few_bits_at_the_end() -> Case:
    """A last layer of three bits, which reads what has no mean."""
    model, data = Pair(nn.Tanh()), _inputs(16)
    plan = _planned(model, data)
    _spoilt(plan, "last.weight", "mse", 3)
    return Case(model, data, plan, "last.weight", "a word of 5 bits")


CASES: list[tuple[str, Callable[[], Case]]] = [
    *((each.__name__, each) for each in (outlier_tail, dead_low_bits, channels_differ, wrong_window, coarse_bias)),
    *((each.__name__, each) for each in (overflowing_sums, shared_window, cut_off, shifted_mean, wrong_sign)),
    *((each.__name__, each) for each in (amplified, few_bits)),
    ("few_bits", few_bits_at_the_end),
    ("wrong_sign", no_sign),
    ("cut_off", wrapping),
    ("shared_window", shared_window_of_a_sum),
]


def test_each_cause_has_a_network_that_is_made_to_have_it() -> None:
    assert {name for name, _ in CASES} == set(CAUSES)


@pytest.mark.parametrize(("name", "made"), CASES, ids=[made.__name__ for _, made in CASES])
def test_a_cause_is_told_and_its_remedy_mends(name: str, made: Callable[[], Case]) -> None:
    case = made()
    findings = find_remedies(case.model, case.plan, case.data, names=[case.row], progress=False)
    (finding,) = findings
    assert finding.row == case.row
    assert finding.causes[0].name == name, (finding.why, findings)
    best = next(remedy for remedy in finding.remedies if remedy.title.startswith(case.mends))
    assert best.gain_db > 1, findings
    # What is said of it is what it does.
    trial = case.plan.copy()
    trial.take(best)
    trial.commit()
    after = find_remedies(case.model, trial, case.data, names=[case.row], progress=False).figures
    assert after == best.figures


@pytest.mark.parametrize(("name", "made"), CASES, ids=[made.__name__ for _, made in CASES])
def test_the_dearest_row_is_the_one_that_was_spoilt(name: str, made: Callable[[], Case]) -> None:
    case = made()
    findings = find_remedies(case.model, case.plan, case.data, progress=False)
    assert findings[0].row == case.row, findings
    assert findings[-1].row == "" and findings.complete
    assert not math.isnan(findings[0].cost_db)
