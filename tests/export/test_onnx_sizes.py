"""Sizes beside the batch that differ from call to call: an export has them free, and computes what depends on them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwidgets import calibrate, quantize
from qwidgets.export import to_onnx
from tests.export.onnx_runs import checked, session_of


class Net(nn.Module):
    """Layers for sequences and pictures, and what is made of them."""

    def __init__(self, function: Callable[["Net", Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.fc, self.conv, self.norm = nn.Linear(8, 8), nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4)
        self.table, self.places = nn.Embedding(9, 8), nn.Embedding(40, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def _masked(net: Net, x: Tensor) -> Tensor:
    ones = torch.ones(x.shape[1], x.shape[1])
    scores: Tensor = (net.fc(x) @ x.transpose(1, 2)).masked_fill(ones.tril() == 0, float("-inf"))
    return scores.softmax(-1) @ x


SEQUENCES: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "attention": lambda net, x: F.scaled_dot_product_attention(net.fc(x), x, x, is_causal=True),
    "last": lambda net, x: net.fc(x)[:, -1],
    "mask": _masked,
    "mean": lambda net, x: net.fc(x).mean(1),
    "turned round": lambda net, x: net.fc(x).flip(1)[:, 1:],
}
PICTURES: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "as large as another": lambda net, x: F.interpolate(F.avg_pool2d(net.conv(x), 2), x.shape[-2:], mode="bilinear"),
    "as large, nearest": lambda net, x: F.interpolate(F.max_pool2d(net.conv(x), 3, 2, 1), size=x.shape[-2:]),
    "global pools": lambda net, x: F.adaptive_max_pool2d(net.conv(x), 1) - F.adaptive_avg_pool2d(net.conv(x), 1),
    "group norm": lambda net, x: net.norm(net.conv(x)).flatten(2).transpose(1, 2),
    "nearest": lambda net, x: F.interpolate(F.max_pool2d(net.conv(x), 2), scale_factor=2),
    "padded": lambda net, x: F.pad(net.conv(x), (1, 2, 1, 0), mode="reflect"),
    "upsampled": lambda net, x: F.interpolate(net.conv(x).relu(), scale_factor=2, mode="bilinear"),
}
IDS: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "positions": lambda net, ids: net.fc(net.table(ids) + net.places(torch.arange(ids.shape[1])))
}


def fed(name: str, samples: int, size: int) -> Tensor:
    if name in IDS:
        return torch.randint(0, 9, (samples, size))
    return torch.randn(samples, size, 8) if name in SEQUENCES else torch.randn(samples, 3, size, size + 1)


@pytest.mark.parametrize("name", [*SEQUENCES, *PICTURES, *IDS])
def test_other_sizes_than_those_that_were_calibrated_with_give_the_codes_of_the_plan(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    model = Net((SEQUENCES | PICTURES | IDS)[name]).eval()
    data = [fed(name, 3, 6), fed(name, 3, 9), fed(name, 2, 10)]
    plan = calibrate(model, data, device="cpu", progress=False).propose(8, "minmax")
    plan.set_rounding("half_even")
    plan.commit()
    export, quantized = to_onnx(plan, tmp_path / "network.onnx"), quantize(model, plan)
    (given,) = onnx.load(export.path).graph.input
    assert not given.type.tensor_type.shape.dim[-2 if name in PICTURES else 1].dim_value
    session = session_of(checked(export.path))
    for size in (7, 12):
        x = fed(name, 4, size)
        (found,), expected = session.run(None, {given.name: x.numpy()}), quantized(x).numpy()
        assert found.shape == expected.shape
        assert np.mean(found != expected) <= (0.02 if export.differences else 0)
