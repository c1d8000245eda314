"""What an ONNX export is fed and what it makes of nothing: integers, masks, images of bytes, zeros, positions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qwidgets import calibrate, quantize
from qwidgets.errors import ExportError
from qwidgets.export import to_onnx, to_qonnx
from tests.export.onnx_runs import checked, session_of


class Net(nn.Module):
    """Two layers and a table, with anything made of them."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.fc, self.table, self.function = nn.Linear(4, 4), nn.Embedding(9, 4), function
        self.lstm = nn.LSTM(4, 4)
        self.register_buffer("offset", torch.tensor([0.5, -1.0, 0.25, 2.0]))
        self.register_buffer("places", torch.tensor([3, 0]))

    def forward(self, first: Tensor, second: Tensor) -> object:
        return self.function(self, first, second)


class OfOne(Net):
    def forward(self, first: Tensor) -> object:  # type: ignore[override]
        return self.function(self, first)


X, IDS = torch.randn(6, 4), torch.randint(0, 9, (6, 4))

FED: dict[str, tuple[Callable[..., object], tuple[Tensor, ...]]] = {
    "bytes": (lambda net, x: net.fc(x.float()), (torch.randint(0, 255, (6, 4), dtype=torch.uint8),)),
    "bytes, scaled": (lambda net, x: net.fc(x.float() / 256), (torch.randint(0, 255, (6, 4), dtype=torch.uint8),)),
    "ids": (lambda net, ids: net.fc(net.table(ids)), (IDS,)),
    "ids of 32 bits": (lambda net, ids: net.table(ids).relu(), (IDS.int(),)),
    "ids and values": (lambda net, ids, x: net.fc(net.table(ids[:, 0]) + x), (IDS, X)),
    "mask": (lambda net, x, mask: torch.where(mask, net.fc(x), 0.0), (X, X > 0)),
    "mask of numbers": (lambda net, x, mask: net.fc(x).masked_fill(mask == 0, 0.0), (X, (X > 0).long())),
    "numbers": (lambda net, x, n: net.fc(x) * n[:, None], (X, torch.arange(6))),
}

MADE: dict[str, Callable[..., object]] = {
    "buffer": lambda net, x: net.fc(x) * net.offset,
    "buffer of places": lambda net, x: net.fc(x)[:, net.places],
    "eye": lambda net, x: net.fc(x) @ torch.eye(4),
    "full": lambda net, x: net.fc(x) + torch.full((4,), 0.5),
    "like": lambda net, x: torch.cat([net.fc(x), torch.zeros_like(x), torch.ones_like(x[:, :1])], 1),
    "linspace": lambda net, x: net.fc(x) - torch.linspace(0, 1, 4),
    "of the batch": lambda net, x: torch.cat([net.fc(x), x.new_zeros(x.shape[0], 2)], 1),
    "ones": lambda net, x: net.fc(x) + torch.ones(4),
    "positions": lambda net, x: net.fc(x) + net.table(torch.arange(4))[:, 0],
    "places of the batch": lambda net, x: net.fc(x) + torch.arange(x.shape[0])[:, None],
    "rows of the batch": lambda net, x: net.fc(x).view(x.shape[0], 2, 2).transpose(1, 2).reshape(-1, 4),
    "size": lambda net, x: net.fc(x) / x.shape[0],
    "state": lambda net, x: net.lstm(x[None].expand(3, -1, -1))[0],
    "stack": lambda net, x: torch.stack([net.fc(x).mean(0), torch.zeros(4)]).sum(0),
    "table": lambda net, x: net.fc(x) + torch.tensor([[1.0, 2.0, 3.0, 4.0]])[0],
}


def assert_same(folder: Path, function: Callable[..., object], *inputs: Tensor) -> None:
    model = (OfOne if len(inputs) == 1 else Net)(function).eval()
    plan = calibrate(model, [inputs], device="cpu", progress=False).propose(8, "minmax")
    plan.set_rounding("half_even")
    if plan.drafts:
        plan.commit()
    export, expected = to_onnx(plan, folder / "network.onnx"), pytree.tree_leaves(quantize(model, plan)(*inputs))
    for optimized in (False, True):
        session = session_of(checked(export.path), optimized)
        fed = {given.name: values.numpy() for given, values in zip(session.get_inputs(), inputs, strict=True)}
        for ours, theirs in zip(expected, session.run(None, fed), strict=True):
            step = 1e-6 if not export.differences else 0.07
            assert theirs.shape == tuple(ours.shape)
            assert np.abs(theirs - ours.numpy()).max() <= step


@pytest.mark.parametrize("name", FED)
def test_integers_and_masks_are_fed_as_what_they_are(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    function, inputs = FED[name]
    assert_same(tmp_path, function, *inputs)
    types = [given.type.tensor_type.elem_type for given in onnx.load(tmp_path / "network.onnx").graph.input]
    assert types == [onnx.helper.np_dtype_to_tensor_dtype(values.numpy().dtype) for values in inputs]


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_of_constants_is_in_the_file(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    assert_same(tmp_path, MADE[name], X)


def test_a_buffer_of_places_does_not_end_an_export_to_qonnx(tmp_path: Path) -> None:
    plan = calibrate(OfOne(MADE["buffer of places"]), [X], device="cpu", progress=False).propose(8)
    plan.set_rounding("half_even")
    plan.commit()
    assert to_qonnx(plan, tmp_path / "network.onnx").path.exists()


REFUSED: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "a fraction of sizes": (
        lambda x: x / x.shape[0] ** 0.5,
        "'1' cannot .* reads a fraction that is computed of sizes",
    ),
    "a mask that takes": (lambda x: x[x[:, 0] > 0], "'1.index' cannot .*use torch.where"),
    "a number": (lambda x: (x, 3), "the network gives back 3"),
    "a random choice": (lambda x: torch.bernoulli(x.sigmoid()), "'1.*' cannot .* no operator for bernoulli"),
    "a size": (lambda x: (x, x.shape[0]), "the network gives back a size"),
    "bits": (lambda x: x.view(torch.int32), "'1.view' cannot .* convert them with to"),
    "no operator": (lambda x: x.median(1).values, "'1.*' cannot .* no operator for median"),
    "other floats": (lambda x: x.double() * 2, "'1.*' computes in torch.float64"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_onnx_form_is_named_by_the_path_of_its_module(tmp_path: Path, name: str) -> None:
    function, match = REFUSED[name]

    class Odd(nn.Module):
        def forward(self, x: Tensor) -> object:
            return function(x)

    plan = calibrate(nn.Sequential(nn.Linear(4, 4), Odd()), [X], device="cpu", progress=False).propose(8)
    plan.set_rounding("half_even")
    plan.commit()
    with pytest.raises(ExportError, match=match) as refused:
        to_onnx(plan, tmp_path / "network.onnx")
    assert "None" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
