"""What hls4ml makes of a plan: its C simulation, compiled with g++, gives the integers of quantize()."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import hls4ml
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.errors import ExportError, ExtraError, PlanError
from qwidgets.examples import digits
from qwidgets.export import hls4ml_model, to_hls4ml
from qwidgets.formats import OVERFLOWS, ROUNDINGS, FixedPoint
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from qwidgets.tuning import Format
from tests.networks import lively

Values = npt.NDArray[np.float64]


class Crossing(nn.Module):
    """Beside what hls4ml has, what it has no layer for: groups, clamps, a batch norm that follows no convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((2, 0, 1, 1))
        self.conv = nn.Conv2d(2, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.relu6 = nn.ReLU6()
        self.grouped = nn.Conv2d(4, 4, (1, 3), padding="same", groups=2, bias=False)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.scale = nn.BatchNorm2d(4)
        self.average = nn.AvgPool2d(2, 1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu6(self.norm(self.conv(self.pad(x))))
        y = self.grouped(x)
        product = (x + y).relu() * (x - y).clamp(-1.0, 1.75)
        out: Tensor = self.fc(self.flatten(self.average(self.scale(self.pool(product.clamp_max(0.8))))))
        return out


class Sequence(nn.Module):
    """One dimension: a strided convolution, pooling, the mean of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ConstantPad1d((0, 1), 0.0)
        self.conv = nn.Conv1d(2, 3, 3, stride=2)
        self.pool = nn.MaxPool1d(2)
        self.same = nn.Conv1d(3, 3, 3, padding=1, groups=3)
        self.fc = nn.Linear(3, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.conv(self.pad(x)).relu())
        out: Tensor = self.fc(self.same(x).clamp_min(-0.5).mean(2))
        return out


def plan_of(model: nn.Module, *inputs: Tensor, formats: dict[str, Format] | None = None) -> Plan:
    plan = calibrate(model, [inputs], device="cpu", progress=False).propose(8, "minmax")
    if formats:
        plan.draft(formats)
        plan.commit()
    return plan


def randomized(plan: Plan, seed: int) -> Plan:
    """Give each tensor another word length, rounding and overflow, and move some windows so that values overflow."""
    rng = np.random.default_rng(seed)
    for row in plan.rows:
        fmt = plan[row.name]
        assert isinstance(fmt, FixedPoint)
        constant = row.kind in ("weight", "bias")
        length = int(rng.integers(3, 25 if row.kind == "bias" else 13))  # a long bias has a finer step than its sums
        window = FixedPoint.from_window(fmt.msb - int(rng.integers(0, 2)), fmt.msb - length + 2, fmt.signed)
        roundings = [name for name in ROUNDINGS if constant or name not in ("ceil", "double")]
        plan[row.name] = dataclasses.replace(
            window, rounding=str(rng.choice(roundings)), overflow=str(rng.choice(OVERFLOWS))
        )
    plan.commit()
    return plan


def simulated(plan: Plan, inputs: Tensor, folder: Path) -> dict[str, Values]:
    """Convert, compile and run a network in hls4ml: the values that leave each layer, channels last."""
    config = to_hls4ml(plan)
    for layer in config["LayerName"].values():
        layer["Trace"] = True
    firmware = hls4ml.converters.convert_from_pytorch_model(
        hls4ml_model(plan), hls_config=config, backend="Vitis", io_type="io_parallel", output_dir=str(folder)
    )
    outputs, layers = firmware.trace(inputs.numpy())  # compiles it
    assert np.array_equal(outputs.ravel(), layers[list(config["LayerName"])[-1]].ravel())
    return layers  # type: ignore[no-any-return]


def assert_same(plan: Plan, inputs: Tensor, folder: Path) -> None:
    """Every row that leaves a layer has the same codes in hls4ml's firmware as in quantize()."""
    layers = simulated(plan, inputs, folder)
    expected: dict[str, Tensor] = {}
    quantize(plan.network_of(), plan).run((inputs,), {}, lambda row, values: expected.update({row: values.clone()}))
    compared = 0
    for row in plan.rows:
        if row.kind != "activation":
            continue
        fmt = plan.committed[row.name]
        assert isinstance(fmt, FixedPoint)
        paths = [path.replace(".", "_") for path in reversed(row.fused)]
        layer = next(name for path in paths for name in (path, f"_{path}") if name in layers)
        codes = fmt.to_integer(expected[row.name].movedim(1, -1).numpy())
        found = fmt.to_integer(layers[layer].reshape(codes.shape))
        assert np.array_equal(found, codes), f"{row.name}: {(found != codes).mean():.1%} of the codes differ"
        assert len(np.unique(codes)) > 1, f"{row.name} tells nothing"
        compared += 1
    assert compared == sum(row.kind == "activation" for row in plan.rows)


@pytest.mark.slow
def test_the_whole_digits_network_gives_the_codes_of_quantize_on_every_test_image(tmp_path: Path) -> None:
    example = digits()
    plan = calibrate(example.model, example.calibration, progress=False).propose(word_length=8)
    images = torch.cat([images for images, _ in example.test])
    assert len(images) == 450
    assert_same(plan, images, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_random_formats_give_the_same_codes_in_every_layer(seed: int, tmp_path: Path) -> None:
    torch.manual_seed(seed)
    inputs = torch.randn(64, 2, 6, 6)
    assert_same(randomized(plan_of(lively(Crossing()), inputs), seed), inputs, tmp_path)


@pytest.mark.slow
def test_sequences_give_the_same_codes_too(tmp_path: Path) -> None:
    torch.manual_seed(2)
    inputs = torch.randn(64, 2, 19)
    assert_same(randomized(plan_of(Sequence().eval(), inputs), 2), inputs, tmp_path)


def test_sums_that_do_not_fit_32_bits_wrap_around_alike(tmp_path: Path) -> None:
    torch.manual_seed(4)
    model, inputs = nn.Sequential(nn.Linear(64, 3)), 100 * torch.randn(256, 64)
    formats: dict[str, Format] = {
        "input": FixedPoint(16, 8),
        "0.weight": FixedPoint(16, 18),
        "0.bias": FixedPoint(20, 19),
        "0": FixedPoint(16, 6),
    }
    plan = plan_of(model, inputs, formats=formats)
    quantized = quantize(model, plan)
    quantized(inputs)
    assert quantized.accumulator_overflows["0"] > 10
    assert_same(plan, inputs, tmp_path)


def test_equalized_and_corrected_weights_are_what_is_converted(tmp_path: Path) -> None:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU6(), nn.Conv2d(3, 2, 1), nn.ReLU()).eval()
    with torch.no_grad():
        model[0].weight.mul_(torch.tensor([0.1, 1.0, 9.0]).reshape(3, 1, 1, 1))  # type: ignore[operator]
        model[2].weight.mul_(torch.tensor([10, 1.0, 0.1]).reshape(1, 3, 1, 1))  # type: ignore[operator]
    inputs = torch.randn(128, 1, 2, 2)
    plan = plan_of(model, inputs)
    plan.equalize([inputs], progress=False)
    plan.correct_bias([inputs], progress=False)
    assert plan.adjustments.factors and plan.adjustments.shifts
    assert_same(plan, inputs, tmp_path)


def test_the_configuration_names_layers_by_their_paths_and_writes_each_format_with_its_modes() -> None:
    plan = plan_of(
        nn.Sequential(nn.Linear(3, 2), nn.ReLU()),
        torch.randn(9, 3),
        formats={
            "input": FixedPoint(9, 4, rounding="half_even", overflow="wrap"),
            "0.weight": FixedPoint(6, 5, rounding="floor"),
            "0.bias": FixedPoint(8, 4, rounding="half_up"),
            "0": FixedPoint(7, -2, signed=False, rounding="zero"),
        },
    )
    layers = to_hls4ml(plan)["LayerName"]
    assert list(layers) == ["input_1", "_0", "_1"]
    assert layers["input_1"]["Precision"]["result"] == "ap_fixed<9,5,AP_RND_CONV,AP_WRAP>"
    assert layers["_0"]["Precision"]["weight"] == "ap_fixed<6,1,AP_TRN,AP_SAT>"
    assert layers["_0"]["Precision"]["bias"] == "ap_fixed<8,4,AP_RND,AP_SAT>"
    assert layers["_1"]["Precision"]["result"] == "ap_ufixed<7,9,AP_TRN_ZERO,AP_SAT>"


def test_the_module_computes_the_network_with_quantized_weights() -> None:
    example = digits()
    plan = calibrate(example.model, example.calibration, progress=False).propose(word_length=16)
    images, _ = next(iter(example.test))
    exact = hls4ml_model(plan)(images.double())
    with torch.no_grad():
        torch.testing.assert_close(exact.float(), example.model(images), atol=0.01, rtol=0)


def test_drafts_are_not_exported() -> None:
    plan = plan_of(nn.Sequential(nn.Linear(3, 2)), torch.randn(9, 3))
    plan["0"] = FixedPoint(4, 1)
    with pytest.raises(PlanError, match=r"only what is committed is exported, and 1 drafts are not, '0'"):
        to_hls4ml(plan)


def test_a_missing_extra_is_told_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(nn.Sequential(nn.Linear(3, 2)), torch.randn(9, 3))
    monkeypatch.setitem(sys.modules, "hls4ml", None)
    with pytest.raises(ExtraError, match=r"pip install 'qwidgets\[hls4ml\]'"):
        to_hls4ml(plan)


@pytest.mark.parametrize("name", ["input", "0.weight", "0.bias", "0"])
def test_a_tensor_in_float_is_named(name: str) -> None:
    plan = plan_of(nn.Sequential(nn.Linear(3, 2)), torch.randn(9, 3), formats={name: None})
    with pytest.raises(ExportError, match=f"'{name}' stays in float"):
        to_hls4ml(plan)


def test_windows_per_channel_are_refused_by_the_name_of_the_weight() -> None:
    plan = plan_of(nn.Sequential(nn.Linear(3, 2)), torch.randn(9, 3))
    plan.propose(8, per_channel=True)
    plan.commit()
    with pytest.raises(ExportError, match=r"'0.weight' has another window for each channel.*per_channel=False"):
        to_hls4ml(plan)


@pytest.mark.parametrize(
    ("model", "shape", "why"),
    [
        (nn.Sequential(nn.Linear(3, 2), nn.Sigmoid()), (3,), r"'0': sigmoid has no integer form"),
        (nn.Sequential(nn.Linear(3, 2), nn.Hardswish()), (3,), r"'_?1' \(hardswish\): it has no layer there"),
        (nn.Conv2d(1, 2, 2, dilation=2), (1, 5, 5), r"no dilation"),
        (nn.AvgPool2d(3), (1, 6, 6), r"it divides by 9"),
        (nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 2, 1)), (1, 6, 6), r"pad an unsigned tensor"),
        (nn.Linear(3, 2), (4, 3), r"\(batch, features\)"),
    ],
)
def test_what_hls4ml_has_not_is_refused_by_name(model: nn.Module, shape: tuple[int, ...], why: str) -> None:
    plan = plan_of(model.eval(), torch.randn(8, *shape))
    with pytest.raises(ExportError, match=why):
        to_hls4ml(plan)


def test_a_rounding_that_ap_fixed_has_not_is_refused_for_activations_but_not_for_constants() -> None:
    model, inputs = nn.Sequential(nn.Linear(3, 2)), torch.randn(9, 3)
    to_hls4ml(plan_of(model, inputs, formats={"0.weight": FixedPoint(8, 6, rounding="ceil")}))
    plan = plan_of(model, inputs, formats={"0": FixedPoint(8, 6, rounding="ceil")})
    with pytest.raises(ExportError, match=r"the format of '0': ap_fixed has no rounding mode 'ceil'"):
        to_hls4ml(plan)


def test_an_output_that_another_layer_reads_is_refused() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Any]:
            x = self.a(x)
            return x, self.b(x)

    with pytest.raises(ExportError, match=r"the output 'a': what another layer reads"):
        to_hls4ml(plan_of(Both(), torch.randn(9, 3)))
