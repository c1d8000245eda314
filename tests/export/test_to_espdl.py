"""ESP-PPQ reads the settings that a plan was written as, and quantizes the digits network with them."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from esp_ppq.api import QuantizationSettingFactory, espdl_quantize_torch
from torch import nn

from qwidgets.calibration import calibrate
from qwidgets.errors import ExportError, ExtraError, FileError, PlanError
from qwidgets.examples import digits
from qwidgets.export import to_espdl
from qwidgets.formats import FixedPoint
from qwidgets.plan import Plan
from qwidgets.tuning import Format

LEAVES = {
    "stem.0": "/stem/stem.2/Relu",
    "blocks.0.depthwise": "/blocks/blocks.0/relu6/Clip",
    "blocks.0.pointwise": "/blocks/blocks.0/relu/Relu",
    "blocks.2.conv1": "/blocks/blocks.2/relu1/Relu",
    "blocks.2.conv2": "/blocks/blocks.2/conv2/Conv",
    "blocks.2.add": "/blocks/blocks.2/relu2/Relu",
    "pool": "/pool/GlobalAveragePool",
    "classifier": "/classifier/Gemm",
}


def plan_of(model: nn.Module, shape: tuple[int, ...], formats: dict[str, Format] | None = None) -> Plan:
    data = [torch.randn(8, *shape)]
    plan = calibrate(model, data, device="cpu", progress=False).propose(8, "minmax", signed=True)
    if formats:
        plan.draft(formats)
        plan.commit()
    return plan


def digits_plan() -> Plan:
    """Eight bits, but sixteen in the middle; the sum and its operands share a format."""
    example = digits()
    plan = calibrate(example.model, example.calibration, progress=False).propose(8, signed=True)
    wide = FixedPoint(16, 11)
    for name in ("blocks.0.pointwise", "blocks.2.conv1", "blocks.2.conv2", "blocks.2.add", "pool"):
        plan[name] = wide
    plan["blocks.2.conv2.weight"] = FixedPoint(16, 14)
    plan.commit()
    return plan


def quantized(plan: Plan, target: str, folder: Path) -> Any:
    """Let ESP-PPQ read the settings and quantize the digits network: its graph."""
    to_espdl(plan, folder / "espdl.json", target=target)  # type: ignore[arg-type]
    setting = QuantizationSettingFactory.from_json((folder / "espdl.json").read_text())
    example = digits()
    images = [images[:1] for images, _ in example.calibration][:2]
    return espdl_quantize_torch(
        example.model,
        str(folder / "digits.espdl"),
        images,
        len(images),
        [1, 1, 8, 8],
        setting=setting,
        target=target,
        error_report=False,
        verbose=0,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("target", "prefix"), [("esp32p4", "ESPDL_"), ("esp32s3", "ESPDL_S3_")])
def test_esp_ppq_gives_every_activation_the_scale_and_the_kernel_of_the_plan(
    target: str, prefix: str, tmp_path: Path
) -> None:
    plan = digits_plan()
    graph = quantized(plan, target, tmp_path)
    assert (tmp_path / "digits.espdl").stat().st_size > 10_000
    for row, name in LEAVES.items():
        fmt = plan.committed[row]
        assert isinstance(fmt, FixedPoint)
        config = graph.operations[name].config.output_quantization_config[0]
        assert (float(config.scale), float(config.offset), config.num_of_bits) == (fmt.step, 0.0, fmt.word_length), row
    kernels = {name: operation.platform.name for name, operation in graph.operations.items()}
    assert kernels["/stem/stem.0/Conv"] == kernels["/stem/stem.2/Relu"] == f"{prefix}INT8"
    assert kernels["/blocks/blocks.2/conv1/Conv"] == f"{prefix}W8A16"
    assert kernels["/blocks/blocks.2/conv2/Conv"] == f"{prefix}INT16"
    assert kernels["/blocks/blocks.1/MaxPool"] == f"{prefix}W8A16"
    assert kernels["/Flatten"] == f"{prefix}INT16"
    assert kernels["/classifier/Gemm"] == f"{prefix}INT8"


@pytest.mark.parametrize(
    ("formats", "target", "why"),
    [
        ({"0": FixedPoint(8, 4, signed=False)}, "esp32p4", r"'0' is unsigned.*propose\(\.\.\., signed=True\)"),
        ({"0": FixedPoint(12, 4)}, "esp32p4", r"'0' has 12 bits.*8 or 16"),
        ({"0": FixedPoint(8, 4, overflow="wrap")}, "esp32p4", r"'0' wraps around"),
        ({"input": None}, "esp32p4", r"'input' stays in float"),
        ({}, "esp8266", r"'esp32p4', 'esp32s3', 'c', not for 'esp8266'"),
        ({"0.weight": FixedPoint(16, 4)}, "esp32p4", r"'0' has 8 bits and its weight 16"),
    ],
)
def test_formats_that_esp_dl_has_not_are_refused_by_name(
    formats: dict[str, Format], target: Any, why: str, tmp_path: Path
) -> None:
    plan = plan_of(nn.Sequential(nn.Linear(3, 2)), (3,), formats)
    with pytest.raises(ExportError, match=why):
        to_espdl(plan, tmp_path / "espdl.json", target=target)
    assert not list(tmp_path.iterdir())


def test_windows_per_channel_are_for_the_p4_only(tmp_path: Path) -> None:
    plan = plan_of(nn.Sequential(nn.Linear(3, 2)), (3,))
    plan.propose(8, per_channel=True, signed=True)
    plan.commit()
    to_espdl(plan, tmp_path / "espdl.json")
    with pytest.raises(ExportError, match=r"'0.weight' has another window for each channel"):
        to_espdl(plan, tmp_path / "s3.json", target="esp32s3")
    assert [path.name for path in tmp_path.iterdir()] == ["espdl.json"]


def test_operands_of_a_sum_must_share_its_format(tmp_path: Path) -> None:
    plan = digits_plan()
    plan["blocks.2.conv2"] = FixedPoint(16, 12)
    plan.commit()
    with pytest.raises(ExportError, match=r"'blocks.2.conv2' has another format than 'blocks.2.add'"):
        to_espdl(plan, tmp_path / "espdl.json")


def test_adjusted_weights_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plan = plan_of(nn.Sequential(nn.Linear(3, 2)), (3,))
    plan["0.weight"] = FixedPoint(8, 0)
    plan.commit()
    plan.correct_bias([torch.randn(64, 3) + 2], progress=False)
    assert plan.adjustments
    with pytest.raises(ExportError, match=r"adjusts weights"):
        to_espdl(plan, tmp_path / "espdl.json")


def test_drafts_a_missing_extra_and_a_missing_folder_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(nn.Sequential(nn.Linear(3, 2)), (3,))
    with pytest.raises(FileError, match="choose a folder that exists"):
        to_espdl(plan, tmp_path / "missing" / "espdl.json")
    monkeypatch.setitem(sys.modules, "esp_ppq.api", None)
    with pytest.raises(ExtraError, match=r"pip install 'qwidgets\[espdl\]'"):
        to_espdl(plan, tmp_path / "espdl.json")
    plan["0"] = FixedPoint(16, 4)
    with pytest.raises(PlanError, match="1 drafts are not"):
        to_espdl(plan, tmp_path / "espdl.json")
    assert not list(tmp_path.iterdir())


def test_a_network_without_a_tensor_for_a_row_is_refused_by_the_rows_name(tmp_path: Path) -> None:
    plan = plan_of(nn.Linear(3, 2), (4, 3))
    with pytest.raises(ExportError, match=r"\(linear\) has no tensor of its own"):
        to_espdl(plan, tmp_path / "espdl.json")
