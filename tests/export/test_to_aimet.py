"""The encodings name the tensors of an ONNX file and say what the plan says; AIMET reads them if it is there."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from qwidgets.calibration import calibrate
from qwidgets.errors import ExportError, FileError, PlanError
from qwidgets.examples import Digits, digits
from qwidgets.export import to_aimet
from qwidgets.formats import FixedPoint
from qwidgets.plan import Plan
from qwidgets.simulation import QuantizedNetwork, quantize
from qwidgets.tuning import Format


def digits_plan(example: Digits, per_channel: bool) -> Plan:
    plan = calibrate(example.model, example.calibration, progress=False).propose(word_length=8)
    if per_channel:
        plan.propose(8, per_channel=True)
        plan.commit()
    return plan


def plan_of(model: nn.Module, formats: dict[str, Format]) -> Plan:
    plan = calibrate(model, [torch.randn(8, 3)], device="cpu", progress=False).propose(8, "minmax")
    plan.draft(formats)
    plan.commit()
    return plan


def parameter_rows(plan: Plan) -> list[str]:
    return [row.name for row in plan.rows if row.kind in ("weight", "bias")]


def as_onnx(model: nn.Module) -> Any:
    content = io.BytesIO()
    with pytest.warns(DeprecationWarning, match="legacy TorchScript-based ONNX export"):
        torch.onnx.export(model, (torch.zeros(1, 1, 8, 8),), content, opset_version=18, dynamo=False)  # type: ignore[arg-type]
    return onnx.load_from_string(content.getvalue())


def written(plan: Plan, folder: Path) -> dict[str, Any]:
    to_aimet(plan, folder / "model.encodings")
    content: dict[str, Any] = json.loads((folder / "model.encodings").read_text())
    return content


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_encodings_of_weights_give_the_codes_of_quantize(per_channel: bool, tmp_path: Path) -> None:
    example = digits()
    plan = digits_plan(example, per_channel)
    content = written(plan, tmp_path)
    assert content["version"] == "1.0.0"
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in as_onnx(example.model).graph.initializer}
    codes = quantize(example.model, plan).codes
    assert len(codes) == 12
    for encoding, row in zip(content["param_encodings"], parameter_rows(plan), strict=True):
        expected = codes[row].numpy()
        values = held[encoding["name"]].astype(np.float64)
        along = [-1, *[1] * (values.ndim - 1)]
        scale, offset = (np.array(encoding[key]).reshape(along) for key in ("scale", "offset"))
        assert encoding["dtype"] == "INT" and encoding["is_sym"] is True
        per = "PER_CHANNEL" if per_channel else "PER_TENSOR"
        assert (encoding["enc_type"], scale.size) == (per, len(values) if per_channel else 1)
        steps = values / scale
        rounded = np.sign(steps) * np.floor(np.abs(steps) + 0.5)
        found = np.clip(rounded - offset, 0, 2.0 ** encoding["bw"] - 1)
        # PyTorch folds batch norms in float32, so that a value next to a tie may fall on its other side.
        assert np.abs(found + offset - expected).max() <= 1
        assert (found + offset == expected).mean() > 0.99


def test_the_encodings_of_activations_have_the_steps_of_the_plan(tmp_path: Path) -> None:
    example = digits()
    plan = digits_plan(example, per_channel=False)
    found = {encoding["name"]: encoding for encoding in written(plan, tmp_path)["activation_encodings"]}
    graph = as_onnx(example.model).graph
    assert found.keys() <= {graph.input[0].name, *(name for node in graph.node for name in node.output)}
    for row, name in {
        "input": "input.1",
        "stem.0": "/stem/stem.2/Relu_output_0",
        "blocks.0.depthwise": "/blocks/blocks.0/relu6/Clip_output_0",
        "blocks.2.conv2": "/blocks/blocks.2/conv2/Conv_output_0",
        "blocks.2.add": "/blocks/blocks.2/relu2/Relu_output_0",
        "pool": "/pool/GlobalAveragePool_output_0",
        "classifier": graph.output[0].name,
    }.items():
        fmt = plan.committed[row]
        assert isinstance(fmt, FixedPoint)
        encoding = found[name]
        assert (encoding["scale"], encoding["bw"], encoding["is_sym"]) == ([fmt.step], 8, fmt.signed)
        assert encoding["offset"] == [-128 if fmt.signed else 0]


@pytest.mark.slow
@pytest.mark.parametrize("per_channel", [False, True])
def test_aimet_loads_the_encodings_and_simulates_nearly_the_same_codes(per_channel: bool, tmp_path: Path) -> None:
    quantsim = pytest.importorskip(
        "aimet_onnx.quantsim", reason="aimet-onnx is not installed; pip install aimet-onnx runs this test"
    )
    example = digits()
    plan = digits_plan(example, per_channel)
    content = written(plan, tmp_path)
    quantized = quantize(example.model, plan)
    model = with_rounded_parameters(as_onnx(example.model), content, plan, quantized)
    simulation = quantsim.QuantizationSimModel(model, providers=["CPUExecutionProvider"])
    quantsim.load_encodings_to_sim(simulation, str(tmp_path / "model.encodings"), strict=False)
    loaded = {
        name: [(each.delta, each.offset, each.bw) for each in quantizer.get_encodings()]
        for name, quantizer in simulation.qc_quantize_op_dict.items()
        if quantizer.enabled
    }
    expected = {
        encoding["name"]: [
            (scale, offset, encoding["bw"]) for scale, offset in zip(encoding["scale"], encoding["offset"], strict=True)
        ]
        for encoding in content["activation_encodings"] + content["param_encodings"]
        if encoding["bw"] < 32  # AIMET keeps longer biases as they are
    }
    assert loaded == expected
    images = torch.cat([images for images, _ in example.test])
    outputs = [simulation.session.run(None, {"input.1": image[None].numpy()})[0] for image in images]
    fmt = plan.committed["classifier"]
    assert isinstance(fmt, FixedPoint)
    steps = np.abs(np.concatenate(outputs) - quantized(images).numpy()) / fmt.step
    assert (steps == 0).mean() > 0.98
    assert steps.max() <= 1


def with_rounded_parameters(model: Any, content: dict[str, Any], plan: Plan, quantized: QuantizedNetwork) -> Any:
    """Put the values of the codes in the place of weights and biases: AIMET does not round the 32-bit ones."""
    rounded = {}
    for encoding, row in zip(content["param_encodings"], parameter_rows(plan), strict=True):
        fmt = quantized.program.formats[row]
        assert fmt is not None
        rounded[encoding["name"]] = fmt.from_integer(quantized.codes[row]).float().numpy()
    for tensor in model.graph.initializer:
        if tensor.name in rounded:
            tensor.CopyFrom(numpy_helper.from_array(rounded[tensor.name], tensor.name))
    return model


def test_tensors_in_float_have_no_encoding(tmp_path: Path) -> None:
    plan = plan_of(nn.Sequential(nn.Linear(3, 2)), {"0": None, "0.bias": None})
    content = written(plan, tmp_path)
    assert [encoding["name"] for encoding in content["param_encodings"]] == ["0.weight"]
    assert len(content["activation_encodings"]) == 1


def test_a_format_that_wraps_around_is_refused_by_name(tmp_path: Path) -> None:
    plan = plan_of(nn.Sequential(nn.Linear(3, 2)), {"0": FixedPoint(8, 4, overflow="wrap")})
    with pytest.raises(ExportError, match=r"'0' wraps around"):
        to_aimet(plan, tmp_path / "model.encodings")
    assert not list(tmp_path.iterdir())


def test_drafts_adjusted_weights_and_a_missing_folder_are_told(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plan = plan_of(nn.Sequential(nn.Linear(3, 2)), {"0": FixedPoint(8, 4)})
    with pytest.raises(FileError, match="choose a folder that exists"):
        to_aimet(plan, tmp_path / "missing" / "model.encodings")
    plan["0.weight"] = FixedPoint(3, 0)
    plan.commit()
    plan.correct_bias([torch.randn(64, 3) + 2], progress=False)
    assert plan.adjustments
    with pytest.raises(ExportError, match="adjusts weights"):
        to_aimet(plan, tmp_path / "model.encodings")
    plan["0"] = FixedPoint(8, 3)
    with pytest.raises(PlanError, match="1 drafts are not"):
        to_aimet(plan, tmp_path / "model.encodings")
    assert not list(tmp_path.iterdir())
