"""What is said of 8-bit sums in 16 bits, against ONNX Runtime on a processor without VNNI, which valgrind is."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qwidgets import FixedPoint, Plan, calibrate, quantize
from qwidgets.export import to_onnx
from qwidgets.targets import TARGETS

TARGET = "onnxruntime_avx2"
ON_AN_OLD_PROCESSOR = """
import sys
import numpy, onnxruntime
path, inputs, outputs, precision = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.add_session_config_entry("session.x64quantprecision", precision)
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
numpy.save(outputs, session.run(None, {session.get_inputs()[0].name: numpy.load(inputs)})[0])
"""


class Heavy(nn.Module):
    """Layers whose weights are nearly all as large as they can be: a plain one, a depthwise one, a linear one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.depthwise = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8)
        self.fc = nn.Linear(8, 5)
        for parameter in self.parameters():
            parameter.data = parameter.data.sign() * (1.9 + 0.05 * torch.rand_like(parameter))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.depthwise(torch.relu(self.conv(x)))).mean((2, 3))
        y: Tensor = self.fc(x)
        return y


def heavy(**options: object) -> tuple[nn.Module, Plan, Tensor]:
    torch.manual_seed(0)
    model, x = Heavy().eval(), 7.9 * torch.rand(6, 3, 9, 9)
    plan = calibrate(model, [x], device="cpu", progress=False).propose(8, "minmax")
    plan.set_rounding("half_even")
    plan.commit()
    return model, plan, x


def computed(plan: Plan, x: Tensor, folder: Path, precision: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    path, inputs, outputs = to_onnx(plan, folder / "x.onnx").path, folder / "x.npy", folder / "y.npy"
    np.save(inputs, x.numpy())
    emulated = ["valgrind", "--tool=none", "--quiet", sys.executable, "-c", ON_AN_OLD_PROCESSOR]
    subprocess.run([*emulated, path, inputs, outputs, precision], check=True, capture_output=True)
    found: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = np.load(outputs)
    return found


def test_layers_that_may_saturate_are_named_with_what_they_may_reach() -> None:
    _, plan, _ = heavy()
    found = plan.check(TARGET)
    assert list(found.index) == ["conv.weight", "fc.weight"]
    reason = str(found.loc["conv.weight", "reason"])
    assert "may add two products to" in reason
    assert "session.x64quantprecision" in reason
    assert plan.check("onnxruntime").empty


@pytest.mark.parametrize("options", [{}, {"signed": True}])
def test_what_is_proposed_for_such_a_processor_fits_it(options: dict[str, Any]) -> None:
    _, plan, _ = heavy()
    plan.propose(8, target=TARGET, **options)
    assert plan.check(TARGET).empty
    assert plan["conv.weight"].word_length == 7  # type: ignore[union-attr]


def test_the_remedies_help() -> None:
    _, plan, _ = heavy()
    for remedy in plan.check(TARGET)["remedy"]:
        exec(str(remedy), {"plan": plan, "dataclasses": dataclasses})
    assert plan.check(TARGET).empty


def test_a_sign_that_nothing_needs_is_given_for_a_plan_that_fits_and_computes_the_same() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 3, 9, 9)
    deeper = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1)).eval()
    plan = calibrate(deeper, [x], device="cpu", progress=False).propose(8, "minmax", signed=True)
    plan["2.weight"] = FixedPoint(8, 9)
    plan.commit()
    expected = quantize(deeper, plan)(x)
    (remedy,) = map(str, plan.check(TARGET).loc[["2.weight"], "remedy"])
    statement, _, claim = remedy.partition("), ")
    assert claim == "which holds the same values"
    exec(f"{statement})", {"plan": plan, "dataclasses": dataclasses})
    plan.commit()
    assert "2.weight" not in plan.check(TARGET).index
    assert torch.equal(quantize(deeper, plan)(x), expected)


def test_words_of_16_bits_are_summed_otherwise() -> None:
    _, plan, _ = heavy()
    plan.propose(12, target=TARGET)
    assert plan.check(TARGET).empty
    assert plan["conv.weight"].word_length == 12  # type: ignore[union-attr]
    assert TARGETS[TARGET].pair_bits == 16


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind emulates a processor without VNNI")
def test_a_processor_without_vnni_saturates_where_it_is_said_and_nowhere_else(tmp_path: Path) -> None:
    model, plan, x = heavy()
    expected = quantize(model, plan)(x).numpy()
    assert not np.array_equal(computed(plan, x, tmp_path, "0"), expected)
    assert np.array_equal(computed(plan, x, tmp_path, "1"), expected)
    plan.propose(8, target=TARGET)
    plan.commit()
    assert np.array_equal(computed(plan, x, tmp_path, "0"), quantize(model, plan)(x).numpy())
