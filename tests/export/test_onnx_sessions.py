"""Exports under the session option that keeps 8-bit sums exact on every x86 processor."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwidgets import FixedPoint, calibrate, quantize
from qwidgets.export import to_onnx
from tests.export.onnx_runs import differing_rows


class Twice(nn.Module):
    """A convolution and a linear layer that are called twice, and a table of embeddings that scores again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv1d(3, 3, 3, padding=1), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(torch.relu(self.conv(x)))
        y: Tensor = self.fc(torch.relu(self.fc(x)))
        return y


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 8)

    def forward(self, ids: Tensor) -> Tensor:
        return F.linear(torch.relu(self.table(ids)), self.table.weight)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("make", [Twice, Tied])
def test_a_weight_that_is_read_twice_can_be_loaded(
    tmp_path: Path, make: Callable[[], nn.Module], per_channel: bool
) -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 3, 8) if make is Twice else torch.randint(0, 9, (6, 5))
    model = make().eval()
    plan = calibrate(model, [x], device="cpu", progress=False).propose(8, per_channel=per_channel)
    # At an accumulator a bias has a step for each call.
    plan.draft({name: FixedPoint(12, 9) for name in plan.names if name.endswith("bias")})
    plan.set_rounding("half_even")
    plan.commit()
    export = to_onnx(plan, tmp_path / "network.onnx")
    assert export.differences == {}
    assert differing_rows(export.path, quantize(model, plan), x) == {}
    graph = onnx.load(export.path).graph
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    weights = [node.input[1] for node in layers]
    assert len(set(weights)) == len(weights)
