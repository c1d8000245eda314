"""Networks that are fed with batches of several sizes: sequences by length, images of any size."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qwidgets import Calibration, calibrate, export, health, quantize, sensitivity, validate
from qwidgets.errors import CalibrationError, DataError, ExportError


def _signals() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv1d(4, 4, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(4, 2, 3)
    return nn.Sequential(*layers).eval()


def _images() -> nn.Module:
    torch.manual_seed(0)
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU6(), *head).eval()


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(20, 8)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.fc(self.encoder(self.table(ids))[:, 0])
        return out


class Branching(nn.Module):
    """Does something else with long signals."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x * 2 if x.shape[2] > 10 else x)
        return out


def _batches(kind: str) -> tuple[nn.Module, list[Tensor]]:
    torch.manual_seed(1)
    if kind == "signals":
        return _signals(), [torch.randn(4, 4, length) for length in (8, 12, 31)]
    if kind == "images":
        return _images(), [torch.randn(4, 3, *sizes) for sizes in ((8, 8), (8, 12), (17, 9))]
    return Tokens().eval(), [torch.randint(0, 20, (4, length)) for length in (5, 7, 3)]


KINDS = ["signals", "images", "tokens"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_batch_is_counted_whatever_its_size(kind: str) -> None:
    model, data = _batches(kind)
    calibration = calibrate(model, data, device="cpu", progress=False)
    apart = [calibrate(model, [batch], device="cpu", progress=False) for batch in data]
    for row in calibration.rows:
        if row.kind in ("input", "activation"):
            counted = [one[row.name] for one in apart]
            assert calibration[row.name] == counted[0] + counted[1] + counted[2]
    assert calibration.batches == 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_quantized_network_takes_any_size(kind: str, tmp_path: Path) -> None:
    model, data = _batches(kind)
    calibration = calibrate(model, data, device="cpu", progress=False)
    calibration.save(tmp_path / "sizes.safetensors")
    loaded = Calibration.load(tmp_path / "sizes.safetensors")
    assert loaded.inputs == calibration.inputs
    assert loaded.rows == calibration.rows
    quantized = quantize(model, loaded.propose(word_length=16), accumulator_bits=53)
    for batch in data:
        with torch.no_grad():
            reference = model(batch)
        noise = reference - quantized(batch)
        assert 10 * torch.log10(reference.square().sum() / noise.square().sum()) > 60


@pytest.mark.parametrize("kind", KINDS)
def test_what_judges_and_what_mends_takes_batches_of_several_sizes(kind: str) -> None:
    model, data = _batches(kind)
    plan = calibrate(model, data, device="cpu", progress=False).propose(per_channel=True)
    assert len(validate(model, plan, data))
    assert health(model, plan, data).word in ("fine", "look")
    assert len(sensitivity(model, plan, data, progress=False))
    for step in (plan.equalize, plan.correct_bias, plan.round_adaptively):
        step(data, progress=False)


def test_a_later_calibration_takes_up_sizes_that_were_found_free() -> None:
    model, data = _batches("signals")
    whole = calibrate(model, data, device="cpu", progress=False)
    begun = calibrate(model, data[:2], device="cpu", progress=False)
    ended = calibrate(model, data[2:], device="cpu", progress=False, into=begun)
    assert ended.rows == whole.rows
    assert all(ended[name] == whole[name] for name in whole)


def test_a_code_that_does_something_else_for_a_size_is_refused_with_the_condition() -> None:
    data = [torch.randn(2, 4, length) for length in (8, 9, 12)]
    with pytest.raises(
        CalibrationError, match=r"batch 2 failed: .*does something else.*where x.size\(\)\[2\] <= 10"
    ) as e:
        calibrate(Branching().eval(), data, device="cpu", progress=False)
    assert e.value.calibration is not None
    assert e.value.calibration.batches == 2


def test_a_batch_of_a_size_that_a_branch_excludes_is_refused_too() -> None:
    class Halving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.fc(x / 2 if x.shape[0] > 4 else x)
            return out

    model = Halving().eval()
    plan = calibrate(model, [torch.randn(3, 4)], device="cpu", progress=False).propose()
    with pytest.raises(DataError, match=r"does something else: it was captured where x.size\(\)\[0\] <= 4"):
        quantize(model, plan)(torch.randn(8, 4))


def test_a_size_that_the_layers_fix_is_named() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    with pytest.raises(CalibrationError, match=r"batch 1 failed: input 0 is \(2, 3, 5\).*captured for \(any, 3, 4\)"):
        calibrate(model, [torch.randn(2, 3, 4), torch.randn(2, 3, 5)], device="cpu", progress=False)


@pytest.mark.parametrize("write", ["to_c", "to_hls4ml"])
def test_an_export_of_fixed_sizes_refuses_a_network_without(write: str, tmp_path: Path) -> None:
    model, data = _batches("signals")
    plan = calibrate(model, data, device="cpu", progress=False).propose()
    arguments: tuple[Any, ...] = (plan, tmp_path / "firmware") if write == "to_c" else (plan,)
    with pytest.raises(ExportError, match=r"'input' has no fixed size.*calibrate with batches of one size"):
        getattr(export, write)(*arguments)
    assert not (tmp_path / "firmware").exists()
    same = [batch[..., :8] for batch in data]
    fixed = calibrate(model, same, device="cpu", progress=False).propose()
    getattr(export, write)(fixed, *arguments[1:])
