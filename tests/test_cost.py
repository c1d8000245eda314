"""cost() against figures worked out by hand, and against a count over the model itself."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from qwidgets.calibration import calibrate
from qwidgets.errors import PlanError
from qwidgets.examples import digits
from qwidgets.plan import Plan
from qwidgets.validation import cost
from tests.networks import Recurrent, ResNet, Reused, lively


def planned(model: nn.Module, x: Tensor, word_length: int = 8) -> Plan:
    return calibrate(model, [x], device="cpu", progress=False).propose(word_length=word_length)


class Parts(nn.Module):
    """A strided convolution of groups with ReLU, pooling, a sum, an average, a layer with a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(6)
        self.point = nn.Conv2d(6, 6, 1, bias=False)
        self.vector = nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.norm(self.conv(x)).relu(), 2)
        x = (x + self.point(x)).mean((2, 3))
        return x @ self.vector


# For 4 x 16 x 16 values: the convolution gives 6 x 8 x 8, the pooling 6 x 4 x 4.
BY_HAND: dict[str, dict[str, Any]] = {
    "conv": {
        "operation": "conv2d",
        "parameters": 6 * 2 * 9 + 6,
        "float_bytes": 4 * 114,
        "quantized_bytes": 108 * 5 // 8 + 1 + 4,  # 67.5 and 3.75 bytes
        "input_bytes": 4 * 256 * 5 // 8,
        "output_bytes": 6 * 64 * 5 // 8,
        "macs": 6 * 64 * 2 * 9,
        "operations": 2 * 6912 + 6 * 64,
        "intensity": 14208 / (72 + 640 + 240),
    },
    "point": {"parameters": 36, "input_bytes": 60, "output_bytes": 60, "macs": 96 * 6, "operations": 2 * 576},
    "add": {"parameters": 0, "input_bytes": 120, "output_bytes": 60, "macs": 0, "operations": 96},
    "mean": {"input_bytes": 60, "output_bytes": 4, "macs": 0, "operations": 96},
    "matmul": {"parameters": 6, "quantized_bytes": 4, "input_bytes": 4, "output_bytes": 1, "macs": 6, "operations": 12},
}


def test_the_figures_are_those_that_a_person_works_out() -> None:
    model = lively(Parts())
    report = cost(model, planned(model, torch.randn(3, 4, 16, 16), word_length=5))
    assert list(report.index) == ["Parts", *BY_HAND]
    for name, figures in BY_HAND.items():
        for column, figure in figures.items():
            assert report.loc[name, column] == figure, (name, column)


def test_the_network_as_a_whole_is_the_sum_with_its_own_inputs_and_outputs() -> None:
    model = lively(Parts())
    report = cost(model, planned(model, torch.randn(3, 4, 16, 16), word_length=8))
    whole, layers = report.loc["Parts"], report.iloc[1:]
    for column in ("parameters", "float_bytes", "quantized_bytes", "macs", "operations"):
        assert whole[column] == layers[column].sum()
    assert (whole["input_bytes"], whole["output_bytes"]) == (4 * 256, 1)
    moved = layers[["quantized_bytes", "input_bytes", "output_bytes"]].sum().sum()
    assert whole["intensity"] == layers["operations"].sum() / moved


CASES: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "digits": (lambda: digits().model, torch.rand(2, 1, 8, 8)),
    "residual": (lambda: lively(ResNet()), torch.randn(2, 3, 12, 12)),
    "shared weights": (Reused, torch.zeros(2, 5, dtype=torch.long)),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose1d(3, 4, 5, stride=2)), torch.randn(2, 3, 9)),
    "volumes": (lambda: nn.Sequential(nn.Conv3d(2, 3, 3, dilation=2)), torch.randn(2, 2, 7, 7, 7)),
}


@pytest.mark.parametrize("case", CASES)
def test_multiplications_are_those_that_a_count_over_the_model_finds(case: str) -> None:
    make, x = CASES[case]
    torch.manual_seed(0)
    model: nn.Module = make().eval()
    report = cost(model, planned(model, x))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x[:1])
    assert 2 * report["macs"].iloc[0] == counter.get_total_flops() > 0


def test_attention_and_recurrent_layers_are_counted_whole() -> None:
    torch.manual_seed(0)
    length, width, inner = 5, 8, 16
    encoder = nn.TransformerEncoderLayer(width, 2, inner, batch_first=True).eval()
    report = cost(encoder, planned(encoder, torch.randn(3, length, width)))
    products = 4 * length * width * width + 2 * length * width * inner
    assert report["macs"].iloc[0] == products + 2 * length * length * width
    assert report["parameters"].iloc[0] == sum(parameter.numel() for parameter in encoder.parameters())
    recurrent = Recurrent().eval()
    report = cost(recurrent, planned(recurrent, torch.randn(3, 5, 4)))
    assert report["macs"]["lstm"] == 5 * 4 * 6 * (4 + 6)


def test_what_layers_share_counts_in_each_of_them_and_once_in_the_network() -> None:
    model = Reused().eval()
    report = cost(model, planned(model, torch.zeros(2, 5, dtype=torch.long)))
    assert report["parameters"].to_dict() == {"Reused": 80 + 72, "fc": 80 + 72, "fc@2": 72, "head": 80}


def test_tensors_in_float_take_four_bytes_and_biases_at_accumulators_too() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 8)), torch.randn(3, 4)
    plan = calibrate(model, [x], device="cpu", progress=False).propose(per_channel=True)
    assert cost(model, plan)["quantized_bytes"]["0"] == 32 + 8 * 4
    plan["0.weight"] = plan["0"] = None
    plan.commit()
    report = cost(model, plan)
    assert [report[f"{what}_bytes"]["0"] for what in ("quantized", "input", "output")] == [32 * 4 + 32, 4, 32]


def test_the_model_and_the_plan_stay_as_they_are() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 8)), torch.randn(3, 4)
    plan = planned(model, x)
    model.train()
    plan["0"] = None
    state, before = copy.deepcopy(model.state_dict()), dict(plan.drafts)
    assert cost(model, plan).loc["0", "output_bytes"] == 8  # drafts do not count
    assert model.training
    assert dict(plan.drafts) == before
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_plan_of_another_network_is_refused() -> None:
    plan = planned(nn.Sequential(nn.Linear(4, 8)), torch.randn(3, 4))
    with pytest.raises(PlanError, match="another network"):
        cost(nn.Sequential(nn.Linear(4, 5)), plan)
