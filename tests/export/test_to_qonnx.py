"""to_qonnx() against QONNX's own executor, clean-up and inference of integer types."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.cleanup import cleanup_model

from qwidgets import FixedPoint, Plan, calibrate, quantize
from qwidgets.errors import ExportError, ExtraError
from qwidgets.examples import digits
from qwidgets.export import to_qonnx
from tests.export.onnx_runs import integers_of
from tests.loud_and_quiet import loud_and_quiet

DIGITS = digits()
CALIBRATION = calibrate(DIGITS.model, DIGITS.calibration, device="cpu", progress=False)
IMAGES = torch.cat([images for images, _ in DIGITS.test])[:64]


def executed(path: Path) -> dict[str, Any]:
    """What QONNX computes of every tensor."""
    model = ModelWrapper(str(path))
    # It runs models of one batch size only.
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = len(IMAGES)
    model = model.transform(InferShapes())
    found: dict[str, Any] = execute_onnx(model, {"input": IMAGES.numpy()}, True)
    return found


def equal_in_every_row(plan: Plan, path: Path) -> bool:
    quantized = quantize(plan.network_of(), plan)
    found = executed(path)
    for row, codes in integers_of(quantized, IMAGES).items():
        fmt = plan.committed[row]
        assert isinstance(fmt, FixedPoint)
        values = found["input:values" if row == "input" else row]
        assert np.array_equal(values / fmt.step, codes), row
    return True


@pytest.mark.parametrize(("word_length", "per_channel"), [(8, True), (5, False)])
def test_qonnx_computes_every_code_of_a_plan_as_it_was_proposed(
    tmp_path: Path, word_length: int, per_channel: bool
) -> None:
    plan = CALIBRATION.propose(word_length, per_channel=per_channel)
    export = to_qonnx(plan, tmp_path / "digits.onnx")
    assert list(export.differences) == ["input"]  # whose values may lie as close below a tie as float32 allows
    assert export.ties.empty
    assert equal_in_every_row(plan, export.path)


@pytest.mark.parametrize("rounding", ["half_even", "floor", "ceil", "zero"])
def test_other_roundings_are_carried(tmp_path: Path, rounding: str) -> None:
    plan = CALIBRATION.propose(6)
    plan.set_rounding(rounding)
    plan.commit()
    export = to_qonnx(plan, tmp_path / "digits.onnx")
    assert "input" not in export.differences
    assert equal_in_every_row(plan, export.path)


def test_qonnx_sees_the_integer_type_of_every_row(tmp_path: Path) -> None:
    plan = CALIBRATION.propose(8, per_channel=True)
    plan["pool"] = FixedPoint(5, 3, signed=False)
    plan["blocks.2.conv1.weight"] = FixedPoint(3, 2)
    plan.commit()
    model = ModelWrapper(str(to_qonnx(plan, tmp_path / "digits.onnx").path))
    model = model.transform(InferDataTypes(allow_scaledint_dtypes=True))
    types, scaled = {}, {}
    for node in model.graph.node:
        if node.op_type == "Quant":
            row = node.output[0].removesuffix(":values")
            types[row] = getCustomOp(node).get_integer_datatype(model).name
            scaled[row] = model.get_tensor_datatype(node.output[0]).get_canonical_name()
    for row in plan.rows:
        fmt = plan.committed[row.name]
        assert fmt is not None
        assert types[row.name] == f"{'' if fmt.signed else 'U'}INT{fmt.word_length}"
        assert scaled[row.name] == f"SCALEDINT<{fmt.word_length}>"


def test_cleaning_up_keeps_the_quantizers_and_the_result(tmp_path: Path) -> None:
    plan = CALIBRATION.propose(8, per_channel=True)
    path = to_qonnx(plan, tmp_path / "digits.onnx").path
    model = ModelWrapper(str(path))
    quantizers = [node.op_type for node in model.graph.node].count("Quant")
    model = cleanup_model(model, override_inpsize=len(IMAGES))
    assert [node.op_type for node in model.graph.node].count("Quant") == quantizers
    (scores,) = execute_onnx(model, {model.graph.input[0].name: IMAGES.numpy()}).values()
    assert np.array_equal(scores, quantize(DIGITS.model, plan)(IMAGES).numpy())


def test_an_adjusted_plan_keeps_its_codes(tmp_path: Path) -> None:
    model = loud_and_quiet(DIGITS.model)
    plan = calibrate(model, DIGITS.calibration, device="cpu", progress=False).propose(8, per_channel=True)
    plan.equalize(DIGITS.calibration, progress=False)
    plan.correct_bias(DIGITS.calibration, progress=False)
    assert plan.adjustments.factors
    assert equal_in_every_row(plan, to_qonnx(plan, tmp_path / "digits.onnx").path)


def test_ties_up_are_refused_or_counted(tmp_path: Path) -> None:
    plan = CALIBRATION.propose(6)
    plan.set_rounding("half_up")
    plan.commit()
    with pytest.raises(ExportError, match="half_up"):
        to_qonnx(plan, tmp_path / "digits.onnx")
    assert list(tmp_path.iterdir()) == []
    export = to_qonnx(plan, tmp_path / "digits.onnx", count_ties_over=[IMAGES])
    assert int(export.ties["ties"].sum()) > 0
    modes = {
        onnx.helper.get_attribute_value(attribute)
        for node in onnx.load(export.path).graph.node
        for attribute in node.attribute
        if attribute.name == "rounding_mode"
    }
    assert modes == {b"ROUND"}


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExtraError, match=r"pip install 'qwidgets\[qonnx\]'"):
        to_qonnx(CALIBRATION.propose(8), tmp_path / "digits.onnx")
