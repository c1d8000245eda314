"""What targets can take: the facts against the tools themselves, and what of a plan does not fit."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from qwidgets import examples
from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import PlanError
from qwidgets.formats import ACCUMULATOR, FixedPoint, PerChannel
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from qwidgets.targets import TARGETS, Target, check_formats
from tests.networks import Recurrent, Reused


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    example = examples.digits()
    return calibrate(example.model, example.calibration, device="cpu", progress=False)


@pytest.fixture
def plan(calibration: Calibration) -> Plan:
    return calibration.propose(8, per_channel=True)


def reasons(plan: Plan, target: str, name: str) -> list[str]:
    found = plan.check(target)
    return list(found.loc[found.index == name, "reason"])


# Facts, as the tools have them


@pytest.mark.parametrize("name", ["esp32s3", "esp32p4"])
@pytest.mark.parametrize("bits", [8, 16])
def test_esp_ppq_quantizes_as_the_target_says(name: str, bits: int) -> None:
    pytest.importorskip("esp_ppq")
    from esp_ppq.core import QuantizationProperty, RoundingPolicy
    from esp_ppq.IR import BaseGraph, Operation, Variable
    from esp_ppq.quantization import quantizer as quantizers

    kind = f"Espdl{'S3' if name == 'esp32s3' else ''}{'Int16' if bits == 16 else ''}Quantizer"
    quantizer = getattr(quantizers, kind)(BaseGraph("one convolution"))
    shapes = {"x": [1, 1, 8, 8], "w": [4, 1, 3, 3], "b": [4]}
    given = [Variable(x, torch.zeros(shape), is_parameter=x != "x", shape=shape) for x, shape in shapes.items()]
    convolution = Operation("c", "Conv", {"group": 1}, quantizer.target_platform, given, [Variable("y")])
    config = quantizer.init_quantize_config(convolution)
    (activation, weight, bias), (output,) = config.input_quantization_config, config.output_quantization_config

    target = TARGETS[name]
    assert activation.num_of_bits == output.num_of_bits == weight.num_of_bits == bits
    assert bits in target.activation_bits & target.weight_bits
    assert (activation.quant_min, activation.quant_max) == (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    assert not target.unsigned
    assert all(part.policy.has_property(QuantizationProperty.POWER_OF_2) for part in (activation, weight, output))
    assert weight.policy.has_property(QuantizationProperty.PER_CHANNEL) == ("conv2d" in target.per_channel)
    assert bias.num_of_bits == target.bias_bits[bits]
    rounding = {RoundingPolicy.ROUND_HALF_UP: "half_up", RoundingPolicy.ROUND_HALF_EVEN: "half_even"}
    assert target.roundings == (rounding[activation.rounding],) == (rounding[weight.rounding],)


def test_esp_ppq_has_every_operation_of_its_targets() -> None:
    pytest.importorskip("esp_ppq")
    from esp_ppq.IR import BaseGraph
    from esp_ppq.quantization.quantizer import EspdlQuantizer

    # fmt: off
    onnx = {
        "adaptive_avg_pool1d": "GlobalAveragePool", "adaptive_avg_pool2d": "GlobalAveragePool", "add": "Add",
        "avg_pool1d": "AveragePool", "avg_pool2d": "AveragePool", "bmm": "MatMul", "cat": "Concat", "clamp": "Clip",
        "clamp_max": "Clip", "clamp_min": "Clip", "concat": "Concat", "concatenate": "Concat", "conv1d": "Conv",
        "conv2d": "Conv", "conv_transpose1d": "ConvTranspose", "conv_transpose2d": "ConvTranspose", "div": "Div",
        "hardsigmoid": "HardSigmoid", "hardswish": "HardSwish", "hardtanh": "Clip", "leaky_relu": "LeakyRelu",
        "linear": "Gemm", "matmul": "MatMul", "mean": "ReduceMean", "mm": "MatMul", "mul": "Mul", "neg": "Neg",
        "prelu": "PRelu", "relu": "Relu", "relu6": "Clip", "sub": "Sub", "sum": "ReduceSum",
    }
    # fmt: on
    assert frozenset(onnx) == TARGETS["esp32s3"].operations == TARGETS["esp32p4"].operations
    assert set(onnx.values()) <= EspdlQuantizer(BaseGraph("empty")).quant_operation_types


def test_hls4ml_reads_the_layers_that_its_target_is_made_of() -> None:
    pytest.importorskip("hls4ml")
    from hls4ml.converters.pytorch_to_hls import get_supported_pytorch_layers

    layers = {"batch_norm": "BatchNorm2d", "conv1d": "Conv1d", "conv2d": "Conv2d", "linear": "Linear"}
    layers |= dict.fromkeys(["clamp", "clamp_max", "clamp_min", "hardtanh", "relu", "relu6"], "ReLU")
    layers |= dict.fromkeys(["avg_pool1d", "adaptive_avg_pool1d"], "AvgPool1d")
    layers |= dict.fromkeys(["avg_pool2d", "adaptive_avg_pool2d", "mean"], "AvgPool2d")
    layers |= {name: name for name in ("add", "cat", "concat", "concatenate", "mul", "sub")}
    layers |= {"leaky_relu": "LeakyReLU", "prelu": "PReLU"}
    assert frozenset(layers) == TARGETS["hls4ml"].operations
    assert set(layers.values()) <= set(get_supported_pytorch_layers())


def test_hls4ml_has_the_modes_that_ap_fixed_can_write() -> None:
    target = TARGETS["hls4ml"]
    for rounding in TARGETS["integer"].roundings:
        fmt = FixedPoint(8, 3, rounding=rounding)
        if rounding in target.roundings:
            assert FixedPoint.parse(fmt.notation("ap_fixed")) == fmt
        else:
            with pytest.raises(ValueError, match="no rounding mode"):
                fmt.notation("ap_fixed")


@pytest.mark.parametrize("storage", ["int8", "uint8", "int16", "uint16"])
def test_onnx_runtime_quantizes_as_the_target_says(storage: str) -> None:
    onnx, session_of = pytest.importorskip("onnx"), pytest.importorskip("tests.export.onnx_runs").session_of
    node = onnx.helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"])
    kind = getattr(onnx.TensorProto, storage.upper())
    graph = onnx.helper.make_graph(
        [node],
        "quantize",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None])],
        [onnx.helper.make_tensor_value_info("q", kind, [None])],
        [
            onnx.numpy_helper.from_array(np.array(0.25, np.float32), "scale"),
            onnx.numpy_helper.from_array(np.array(0, storage), "zero"),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    session = session_of(model)
    values = np.arange(-9000, 20000, 0.125, dtype=np.float32)  # every other one is a tie
    target, bits = TARGETS["onnxruntime"], np.iinfo(storage).bits
    assert bits in target.activation_bits & target.weight_bits
    fmt = FixedPoint(bits, 2, storage.startswith("int"), target.roundings[0], target.overflows[0])
    np.testing.assert_array_equal(session.run(None, {"x": values})[0], fmt.to_integer(values))


def _requantized(value: int, multiplier: int, shift: int) -> int:
    """The default build of CMSIS-NN: a doubling high product, halves going up; then a shift, halves away from zero."""
    high = ((value << max(shift, 0)) * multiplier + (1 << 30)) >> 31
    right = max(-shift, 0)
    magnitude = (abs(high) + ((1 << right) >> 1)) >> right
    return magnitude if high >= 0 else -magnitude


@given(st.integers(-(2**30), 2**30), st.integers(1, 31))
def test_cmsis_nn_shifts_with_ties_going_up(value: int, right: int) -> None:
    (rounding,) = TARGETS["cmsis_nn"].roundings
    fmt = FixedPoint(32, 0, rounding=rounding)
    assert _requantized(value, 2 ** (31 - right), 0) == fmt.to_integer(value / 2.0**right)


def test_the_usual_pair_of_cmsis_nn_rounds_twice() -> None:
    assert _requantized(1, 2**30, 1 - 2) == 1  # a quarter, whose nearest integer is 0
    assert _requantized(1, 2 ** (31 - 2), 0) == 0


# What does not fit


def test_all_that_the_simulation_computes_fits_integer_hardware(plan: Plan) -> None:
    assert plan.check("integer").empty


def test_each_reason_is_a_line_with_its_remedy(plan: Plan) -> None:
    found = plan.check("esp32s3")
    assert list(found.columns) == ["kind", "format", "reason", "remedy"]
    stem = found[found.index == "stem.0.weight"]
    assert len(stem) == 2
    assert stem["reason"].str.contains("half_away|window for each channel").all()
    assert (stem["kind"] == "weight").all()
    assert list(found.index.unique()) == [name for name in plan if name in set(found.index)]


@pytest.mark.parametrize(
    ("target", "name", "fmt", "reason"),
    [
        ("cmsis_nn", "stem.0", FixedPoint(8, 5, signed=False), "is unsigned, and CMSIS-NN takes signed formats only"),
        ("cmsis_nn", "stem.0.weight", FixedPoint(12, 5), "has 12 bits, and CMSIS-NN takes 2 to 8 bits for weights"),
        ("onnxruntime", "pool", FixedPoint(24, 5), "has 24 bits, and ONNX Runtime takes 1 to 16 bits for activations"),
        ("onnxruntime", "pool", FixedPoint(8, 5, overflow="wrap"), "wraps around, and ONNX Runtime saturates"),
        (
            "hls4ml",
            "stem.0",
            FixedPoint(8, 5, rounding="ceil"),
            "rounds ceil, and hls4ml rounds half_away, half_",
        ),
        ("hls4ml", "stem.0.weight", PerChannel(8, (5,) * 16), "window for each channel, and hls4ml takes one for the"),
        ("hls4ml", "stem.0", None, "stays in float, and hls4ml has no float"),
        ("esp32p4", "stem.0.weight", FixedPoint(16, 5), "16 bits where 'stem.0' has 8"),
        ("esp32p4", "stem.0", FixedPoint(10, 5), "has 10 bits, and ESP-DL on the ESP32-P4 takes 8 or 16 bits"),
        ("esp32p4", "stem.0.bias", FixedPoint(8, 5), "rounds a bias to the step of its layer's sums"),
        (
            "cmsis_nn",
            "pool",
            FixedPoint(16, 5),
            "in 16 bits and 'blocks.2.add', which it is computed of, in 8",
        ),
        ("cmsis_nn", "stem.0", FixedPoint(8, -60), "its sums would be shifted right by"),
        ("cmsis_nn", "stem.0", FixedPoint(8, 60), "its sums would be shifted right by -"),
        ("cmsis_nn", "stem.0.weight", FixedPoint(8, 40), "at the step of its layer's sums, and CMSIS-NN stores 32"),
    ],
)
def test_what_does_not_fit_is_named(
    plan: Plan, target: str, name: str, fmt: FixedPoint | PerChannel | None, reason: str
) -> None:
    plan[name] = fmt
    found = plan.check(target)
    assert found["reason"].str.contains(reason, regex=False).any(), found.to_string()
    assert (found["remedy"].str.len() > 10).all()


def test_a_bias_too_long_for_the_sums_of_the_s3_is_found_by_its_integers(calibration: Calibration) -> None:
    plan = calibration.propose(8, target="esp32s3")
    assert plan.check("esp32s3").empty
    plan["stem.0.weight"] = FixedPoint(8, 24, rounding="half_up")
    (reason,) = reasons(plan, "esp32s3", "stem.0.bias")
    plan.commit("too fine")
    model = calibration.model
    assert model is not None
    largest = int(quantize(model, plan).codes["stem.0.bias"].abs().max())
    assert f"needs {largest.bit_length() + 1} bits" in reason
    assert largest >= 2**19


def without(target: str, operation: str) -> Target:
    """A target that lacks an operation."""
    known = TARGETS[target]
    assert known.operations is not None
    return dataclasses.replace(known, operations=known.operations - {operation})


def test_what_is_fused_into_a_row_is_judged_too(plan: Plan) -> None:
    target = without("integer", "hardtanh")
    (line,) = plan.check(target).to_dict("records")
    assert "has a hardtanh in it" in line["reason"]
    assert list(plan.check(target).index) == ["blocks.0.depthwise"]
    assert check_formats(plan, target).empty


@pytest.mark.parametrize("function", [nn.LeakyReLU(), nn.PReLU(), nn.Hardswish(), nn.Hardsigmoid()])
def test_functions_that_a_target_computes_only_after_rounding_are_named(function: nn.Module) -> None:
    torch.manual_seed(0)
    for target in ("esp32s3", "esp32p4"):
        for applied, reasons in ((function, 1), (nn.ReLU(), 0)):
            model = nn.Sequential(nn.Linear(4, 4), applied, nn.Linear(4, 2))
            plan = calibrate(model, [torch.randn(8, 4)], device="cpu", progress=False).propose(8, target=target)
            found = plan.check(target)
            assert list(found.index) == ["0"] * reasons, found
            assert found["reason"].str.contains("rounds those before it").all()


def test_what_a_sum_joins_has_one_window_where_the_target_takes_no_other(calibration: Calibration) -> None:
    plan = calibration.propose(8, target="esp32p4")
    joined = {plan["blocks.0.pointwise"], plan["blocks.2.conv2"], plan["blocks.2.add"]}
    assert len(joined) == 1
    fmt = plan["blocks.2.add"]
    assert isinstance(fmt, FixedPoint)
    plan["blocks.2.conv2"] = dataclasses.replace(fmt, fraction_length=fmt.fraction_length + 1)
    (line,) = plan.check("esp32p4").to_dict("records")
    assert "has another window than 'blocks.2.add', which it enters" in line["reason"]
    plan.commit()
    plan.lock("blocks.2.conv2")
    assert plan.propose(8, target="esp32p4") == {}
    assert plan["blocks.2.add"] == plan["blocks.0.pointwise"] == plan["blocks.2.conv2"]
    assert plan.check("esp32p4").empty


def test_an_operation_in_float_does_not_fit_where_there_is_no_float() -> None:
    torch.manual_seed(0)
    plan = calibrate(Recurrent().eval(), [torch.randn(2, 5, 4)], device="cpu", progress=False).propose(8)
    assert "does not compute lstm" in reasons(plan, "integer", "lstm")[0]
    assert not plan.check("onnxruntime")["reason"].str.contains("lstm").any()


def test_what_reads_a_tensor_in_float_is_named_as_well(plan: Plan) -> None:
    plan["pool"] = None
    assert reasons(plan, "integer", "pool") == ["stays in float, and integer hardware has no float"]
    assert "is computed in float, since linear reads pool" in reasons(plan, "integer", "classifier")[0]


def test_a_bias_beside_its_accumulator_is_counted_at_the_accumulator_s_step(plan: Plan) -> None:
    plan["stem.0.bias"] = FixedPoint(8, 3)
    assert not reasons(plan, "onnxruntime", "stem.0.bias")
    plan["stem.0.bias"] = FixedPoint(8, -30)
    plan["stem.0.weight"] = FixedPoint(8, 7)
    assert not reasons(plan, "onnxruntime", "stem.0.bias")  # all its integers are zero
    plan["stem.0.bias"] = FixedPoint(32, 31)
    plan["stem.0.weight"] = FixedPoint(8, 40)
    assert "ONNX Runtime stores 32" in reasons(plan, "onnxruntime", "stem.0.bias")[0]


def test_drafts_count_and_nothing_is_changed(plan: Plan) -> None:
    before = plan.committed["pool"], plan.history
    plan["pool"] = FixedPoint(32, 5)
    assert "has 32 bits" in reasons(plan, "onnxruntime", "pool")[0]
    assert (plan.committed["pool"], plan.history) == before


def test_a_rule_of_one_s_own_is_a_target_like_any_other(plan: Plan) -> None:
    narrow = dataclasses.replace(TARGETS["integer"], name="narrow", title="the FIR block", weight_bits=frozenset([6]))
    assert plan.check(narrow)["reason"].str.contains("the FIR block takes 6 bits for weights").sum() == 6


def test_without_its_network_a_plan_says_what_was_not_looked_at(
    plan: Plan, calibration: Calibration, tmp_path: Any
) -> None:
    plan.save(tmp_path / "plan.json")
    calibration.save(tmp_path / "calibration.safetensors")
    loaded = Plan.load(tmp_path / "plan.json", Calibration.load(tmp_path / "calibration.safetensors"))
    found = loaded.check("integer")
    assert found["kind"].to_dict() == {"DigitsNet": "network"}
    assert "not looked at" in found["reason"].iloc[0]
    assert loaded.check("integer", calibration.model).empty


@pytest.mark.parametrize(
    ("asked", "hint"), [("cmsisnn", "did you mean 'cmsis_nn'"), ("tpu", "known are integer, onnx")]
)
def test_an_unknown_target_is_refused_with_a_suggestion(plan: Plan, asked: str, hint: str) -> None:
    for ask in (plan.check, lambda target: plan.propose(target=target)):
        with pytest.raises(PlanError, match=f"no target '{asked}'.*{hint}"):
            ask(asked)
    assert not plan.drafts


# Proposals


@pytest.mark.parametrize("target", ["integer", "onnxruntime", "cmsis_nn", "esp32s3", "esp32p4"])
@pytest.mark.parametrize("word_length", [4, 12, 16])
def test_what_is_proposed_for_a_target_fits_it(calibration: Calibration, target: str, word_length: int) -> None:
    plan = Plan(calibration)
    assert plan.propose(word_length, target=target, per_channel=True) == {}
    plan.commit()
    assert plan.check(target).empty


def test_words_are_clipped_to_what_the_target_has(calibration: Calibration) -> None:
    plan = calibration.propose(12, target="cmsis_nn", per_channel=True)
    lengths = {row.kind: fmt.word_length for row in plan.rows if (fmt := plan[row.name]) is not None}
    assert lengths == {"input": 12, "weight": 8, "bias": 32, "activation": 12}
    assert plan["stem.0.bias"] == ACCUMULATOR
    assert isinstance(plan["stem.0.weight"], PerChannel)
    assert isinstance(plan["classifier.weight"], FixedPoint)  # per channel only with activations of 8 bits
    assert plan.history[0].note == "mse, 12 bits, for cmsis_nn"


def test_rounding_is_the_target_s_where_it_rounds(calibration: Calibration) -> None:
    def roundings(target: str) -> dict[str, set[str]]:
        plan = calibration.propose(8, target=target)
        found: dict[str, set[str]] = {}
        for row in plan.rows:
            fmt = plan[row.name]
            assert fmt is not None
            found.setdefault(row.kind, set()).add(getattr(fmt, "rounding", "at the accumulator"))
        return found

    accumulating = {"at the accumulator"}
    given = {"half_away"}  # made before the target sees them
    assert roundings("onnxruntime") == {
        "input": {"half_even"},
        "weight": given,
        "bias": accumulating,
        "activation": {"half_even"},
    }
    assert roundings("esp32s3")["weight"] == {"half_up"}
    assert roundings("esp32p4")["weight"] == {"half_even"}


def test_what_the_target_cannot_have_is_left_out_and_named(calibration: Calibration) -> None:
    plan = Plan(calibration)
    left_out = plan.propose(8, target=without("hls4ml", "adaptive_avg_pool2d"))
    assert list(left_out) == ["pool"]
    assert "does not compute adaptive_avg_pool2d" in left_out["pool"]
    assert "pool" not in plan.drafts
    assert len(plan.drafts) == len(plan) - 1


def test_a_locked_tensor_that_does_not_fit_is_named(calibration: Calibration) -> None:
    plan = calibration.propose(8)
    plan.lock("stem.0", "blocks.2.conv2.weight")
    left_out = plan.propose(8, target="cmsis_nn")
    assert list(left_out) == ["stem.0"]
    assert left_out["stem.0"] == "is locked, and is unsigned, and CMSIS-NN takes signed formats only"


def test_a_weight_is_not_proposed_longer_than_the_activations_that_stay(calibration: Calibration) -> None:
    plan = calibration.propose(8, target="esp32p4")
    left_out = plan.propose(16, names=["stem.0.weight"], target="esp32p4")
    assert "16 bits where 'stem.0' has 8" in left_out["stem.0.weight"]
    assert not plan.drafts


def test_unsigned_formats_cannot_be_asked_of_a_signed_target(calibration: Calibration) -> None:
    plan = Plan(calibration)
    with pytest.raises(PlanError, match="CMSIS-NN takes signed formats only"):
        plan.propose(8, target="cmsis_nn", signed=False)
    assert not plan.drafts


def test_the_bias_of_a_layer_that_is_called_again_has_a_window_where_it_may() -> None:
    plan = calibrate(Reused().eval(), [torch.randint(0, 10, (2, 3))], device="cpu", progress=False).propose(
        8, target="onnxruntime"
    )
    assert isinstance(plan["fc.bias"], FixedPoint)
    assert plan.check("onnxruntime").empty
    plan["fc.bias"] = "accumulator"
    (line,) = plan.check("onnxruntime").to_dict("records")
    assert line["kind"] == "network"
    assert "'fc.bias' is added to accumulators of different steps" in line["reason"]


class Sums(nn.Module):
    """A weight that two layers share, and a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(x).relu()) + x
        return result


def test_biases_and_shifts_are_seen_of_shared_weights_too() -> None:
    torch.manual_seed(0)
    plan = calibrate(Sums(), [torch.randn(8, 4)], device="cpu", progress=False).propose(8, target="cmsis_nn")
    assert plan.check("cmsis_nn").empty
    plan["first.weight"] = FixedPoint(8, 50)
    found = plan.check("cmsis_nn")
    assert {"first.bias", "second.bias"} <= set(found.index[found["reason"].str.contains("stores 32")])
    assert {"first", "second"} <= set(found.index[found["reason"].str.contains("shifted right")])
