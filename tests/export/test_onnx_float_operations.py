"""What has no integer form is written in float32 between its formats: the codes of ``quantize``, or one beside them."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qwidgets import calibrate, quantize
from qwidgets.export import OnnxExport, to_onnx
from qwidgets.simulation import QuantizedNetwork
from tests.export.onnx_runs import checked, integers_in, integers_of, session_of


class Net(nn.Module):
    """A convolution and what is made of it, with modules that it may need."""

    def __init__(self, function: Callable[..., object], *modules: nn.Module) -> None:
        super().__init__()
        self.conv, self.function, self.parts = nn.Conv2d(4, 4, 1), function, nn.ModuleList(modules)

    def forward(self, x: Tensor) -> object:
        return self.function(self.conv(x), *self.parts)


def exported(model: nn.Module, folder: Path, *inputs: Tensor) -> tuple[OnnxExport, QuantizedNetwork]:
    plan = calibrate(model.eval(), [inputs], device="cpu", progress=False).propose(8, "minmax")
    plan.set_rounding("half_even")
    if plan.drafts:
        plan.commit()
    return to_onnx(plan, folder / "network.onnx"), quantize(model, plan)


def assert_same(export: OnnxExport, quantized: QuantizedNetwork, *inputs: Tensor) -> None:
    """Each code is that of ``quantize``; where the export says that it may differ, a few are those next to it."""
    expected = integers_of(quantized, *inputs)
    outputs = [value for value in pytree.tree_leaves(quantized(*inputs)) if value is not None]
    for optimized in (False, True):
        found = integers_in(export.path, *inputs, optimized=optimized)
        assert set(found) == set(expected)
        for row, codes in expected.items():
            assert np.abs(codes - found[row]).max(initial=0) <= (row in export.differences), row
            assert np.mean(codes != found[row]) <= 0.02, row
        session = session_of(checked(export.path), optimized)
        fed = {given.name: values.numpy() for given, values in zip(session.get_inputs(), inputs, strict=False)}
        for ours, theirs in zip(outputs, session.run(None, fed), strict=True):
            assert theirs.dtype == ours.numpy().dtype
            assert theirs.shape == tuple(ours.shape)
            if ours.is_floating_point():
                tolerance = 1e-5 if not export.differences else 0.01 + 0.02 * float(ours.abs().max())
                assert np.allclose(theirs, ours.numpy(), atol=tolerance, equal_nan=True)
            else:
                assert np.array_equal(theirs, ours.numpy())


Case = tuple[Callable[..., object], *tuple[nn.Module, ...]]

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "acos": lambda x: torch.acos(x.clamp(-0.9, 0.9)),
    "asinh": torch.asinh,
    "atan": torch.atan,
    "ceil": torch.ceil,
    "celu": lambda x: F.celu(x, 0.7),
    "cos": torch.cos,
    "elu": lambda x: F.elu(x, 0.8),
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "expm1": torch.expm1,
    "floor": torch.floor,
    "fmod": lambda x: torch.fmod(x, 0.75),
    "frac": torch.frac,
    "gelu": F.gelu,
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "glu": lambda x: F.glu(x, 1),
    "hardshrink": lambda x: F.hardshrink(x, 0.25),
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardtanh": lambda x: F.hardtanh(x, -0.5, 0.5),
    "leaky relu": lambda x: F.leaky_relu(x, 0.125),
    "log": lambda x: torch.log(x.abs() + 1),
    "log sigmoid": F.logsigmoid,
    "log softmax": lambda x: F.log_softmax(x, 1),
    "log10": lambda x: torch.log10(x.abs() + 1),
    "log1p": lambda x: torch.log1p(x.abs()),
    "log2": lambda x: torch.log2(x.abs() + 1),
    "logit": lambda x: torch.logit(x, 0.1),
    "mish": F.mish,
    "pow": lambda x: x.abs() ** 1.5,
    "reciprocal": lambda x: torch.reciprocal(x.abs() + 1),
    "remainder": lambda x: torch.remainder(x, 0.75),
    "round": torch.round,
    "rrelu": F.rrelu,
    "rsqrt": lambda x: torch.rsqrt(x.abs() + 1),
    "selu": F.selu,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "silu": F.silu,
    "sin": torch.sin,
    "softmin": lambda x: F.softmin(x, 1),
    "softplus": lambda x: F.softplus(x, 2.0, 1.0),
    "softshrink": lambda x: F.softshrink(x, 0.25),
    "softsign": F.softsign,
    "sqrt": lambda x: torch.sqrt(x.abs()),
    "square": torch.square,
    "tanh": torch.tanh,
    "tanhshrink": F.tanhshrink,
    "threshold": lambda x: F.threshold(x, 0.25, -0.5),
    "trunc": lambda x: torch.trunc(3 * x),
}

ARITHMETIC: dict[str, Callable[[Tensor], object]] = {
    "alpha": lambda x: torch.add(x, x.flip(1), alpha=0.5) + torch.sub(1.5, x, alpha=2),
    "addcmul": lambda x: torch.addcmul(x, x, x.tanh(), value=0.5),
    "clamp by tensors": lambda x: torch.clamp(x, min=-x.abs() / 2, max=x.sigmoid()),
    "comparison": lambda x: (x > 0.1) * x + (x <= -0.1).float() * 0.5,
    "division": lambda x: x / (x.abs() + 1),
    "floor division": lambda x: torch.div(x, 0.3, rounding_mode="floor") + torch.div(x, 0.3, rounding_mode="trunc"),
    "integers": lambda x: x * torch.arange(x.shape[0], device=x.device)[:, None, None, None] // 2,
    "lerp": lambda x: torch.lerp(x, x.tanh(), 0.25),
    "masks": lambda x: x.masked_fill((x < 0) & ~(x > -0.5) | (x == 1), 0.25),
    "maximum": lambda x: torch.maximum(x, x.flip(2)) + torch.minimum(x, x.roll(1, 3)),
    "mean of squares": lambda x: x.square().mean(1, keepdim=True).sqrt() + x.pow(2).sum((1, 2, 3), keepdim=True),
    "where": lambda x: torch.where(x > 0, x, x.flip(1)) + torch.where(x > 0.5, x, 0.0),
}

REDUCTIONS: dict[str, Callable[[Tensor], object]] = {
    "amax": lambda x: x.amax((2, 3)) - x.amin(1).mean((1, 2))[:, None],
    "cosine": lambda x: F.cosine_similarity(x, x.flip(1) + 0.25, 1),
    "cumsum": lambda x: x.cumsum(2),
    "logsumexp": lambda x: x.logsumexp((1, 2)),
    "max": lambda x: x.max(1).values + x.min(2, keepdim=True).values[:, 0],
    "max of all": lambda x: x - x.max(),
    "norm": lambda x: x.norm(dim=1) + x.norm(1, dim=1) + torch.linalg.vector_norm(x, float("inf"), 1),
    "norm of order 3": lambda x: torch.linalg.vector_norm(x, 3, (1, 2)),
    "normalize": lambda x: F.normalize(x, dim=1),
    "prod": lambda x: x.prod(1),
    "std": lambda x: x.std(1) + x.var((2, 3), correction=0)[:, :1, None],
    "sort": lambda x: x.sort(1).values,
    "topk": lambda x: x.flatten(1).topk(3).values,
}

MOVES: dict[str, Callable[[Tensor], object]] = {
    "channel shuffle": lambda x: F.channel_shuffle(x, 2),
    "circular": lambda x: F.pad(x, (1, 2, 0, 3), mode="circular"),
    "circular, cut off": lambda x: F.pad(x, (-1, 2, 1, -2), mode="circular"),
    "diagonal": lambda x: x.diagonal(0, 2, 3),
    "expand": lambda x: x[:, :1].expand(-1, 3, -1, -1),
    "flip": lambda x: x.flip(1, 3),
    "gather": lambda x: x.gather(1, (x[:, :2] > 0).long()),
    "index": lambda x: x[:, [0, 2]],
    "index of several": lambda x: x[:, [0, 2], :, [1, 3]],
    "index side by side": lambda x: x[:, torch.tensor([[0], [2]]), torch.tensor([1, 3, -1])],
    "index select": lambda x: x.index_select(2, torch.tensor([3, 0, 0])),
    "negative index": lambda x: x[:, -1] + x[:, [-2]].squeeze(1),
    "pixel unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "reflect": lambda x: F.pad(x, (1, 2, 3, 0), mode="reflect"),
    "repeat": lambda x: x.repeat(1, 2, 1, 3).tile(2, 1),
    "repeat interleave": lambda x: x.repeat_interleave(2, 1),
    "replicate": lambda x: F.pad(x, (1, 2, 3, 0), mode="replicate"),
    "roll": lambda x: x.roll((1, -2), (1, 3)),
    "rot90": lambda x: x.rot90(1, (2, 3)),
    "split": lambda x: x.unbind(1)[2] + x.tensor_split(3, 3)[1].sum(-1).sum(1)[:, None, None],
    "stack": lambda x: torch.stack([x, x.flip(1)], -1),
    "triangle": lambda x: x.tril() + x.triu(1) * 0.5,
    "unfold": lambda x: F.unfold(x, 3, padding=1, stride=2),
    "unfold a dimension": lambda x: x.unfold(2, 3, 2),
}

IMAGES: dict[str, Callable[[Tensor], object]] = {
    "adaptive, of no whole windows": lambda x: F.adaptive_avg_pool2d(x, (4, 5)) + F.adaptive_max_pool2d(x, (4, 5)),
    "adaptive, of whole windows": lambda x: F.adaptive_max_pool2d(x, (2, 3)),
    "bicubic": lambda x: F.interpolate(x, scale_factor=2.0, mode="bicubic"),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear"),
    "bilinear, corners": lambda x: F.interpolate(x, size=(9, 11), mode="bilinear", align_corners=True),
    "bilinear to a size": lambda x: F.interpolate(x, size=(9, 4), mode="bilinear"),
    "bilinear, uneven": lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear"),
    "ceil pool": lambda x: F.avg_pool2d(x, 4, 4, ceil_mode=True),
    "ceil pool, padded": lambda x: F.avg_pool2d(x, 4, 3, 1, ceil_mode=True),
    "divided": lambda x: F.avg_pool2d(x, 2, divisor_override=3),
    "global max": lambda x: F.adaptive_max_pool2d(x, 1),
    "line": lambda x: F.avg_pool1d(x.flatten(2), 5, 3, 2, ceil_mode=True),
    "linear": lambda x: F.interpolate(x.flatten(2), scale_factor=2.0, mode="linear"),
    "local response": lambda x: F.local_response_norm(x, 3),
    "nearest": lambda x: F.interpolate(x, scale_factor=3.0),
    "nearest to a size": lambda x: F.interpolate(x, size=(4, 9)),
    "nearest, exact": lambda x: F.interpolate(x, size=(4, 9), mode="nearest-exact"),
}

LAYERS: dict[str, Case] = {
    "addmm": (lambda x, m: torch.addmm(x[:, 1, 0], x[:, 0, 0], m.weight.T), nn.Linear(6, 6)),
    "addmm with factors": (
        lambda x, m: torch.addmm(x[:, 1, 0], x[:, 0, 0], m.weight.T, beta=0.5, alpha=2),
        nn.Linear(6, 6),
    ),
    "baddbmm": (lambda x: torch.baddbmm(x[:, 0], x[:, 1], x[:, 2]),),
    "attention": (lambda x, m: m(*[x[:, 0]] * 3, need_weights=False)[0], nn.MultiheadAttention(6, 2, batch_first=True)),
    "attention by hand": (lambda x: F.scaled_dot_product_attention(x, x.flip(1), x, is_causal=True),),
    "attention with a mask": (lambda x: F.scaled_dot_product_attention(x, x, x, x > -1),),
    "einsum": (lambda x: torch.einsum("bchw,bdhw->bcd", x, x.sigmoid()),),
    "group norm": (lambda x, m: m(x), nn.GroupNorm(2, 4)),
    "gru": (lambda x, m: m(x[:, 0])[0], nn.GRU(6, 3, batch_first=True)),
    "gru of all": (lambda x, m: m(x[:, 0].transpose(0, 1)), nn.GRU(6, 3, 2, bidirectional=True)),
    "gru cell": (lambda x, m: m(x[:, 0, 0]), nn.GRUCell(6, 3)),
    "inner": (lambda x: torch.inner(x[:, 0], torch.tensor([[1.0, -0.5, 2.0, 0.25, 0.0, 1.0]])),),
    "instance norm": (lambda x, m: m(x), nn.InstanceNorm2d(4, affine=True)),
    "layer norm": (lambda x, m: m(x), nn.LayerNorm([6, 6])),
    "lstm": (lambda x, m: m(x[:, 0])[0], nn.LSTM(6, 3, 2, bidirectional=True, batch_first=True)),
    "lstm of all": (lambda x, m: m(x[:, 0].transpose(0, 1)), nn.LSTM(6, 3, bias=False)),
    "lstm cell": (lambda x, m: m(x[:, 0, 0]), nn.LSTMCell(6, 3)),
    "outer": (lambda x: torch.einsum("bi,bj->bij", x[:, 0, 0], x[:, 1, 1]),),
    "prelu": (lambda x, m: m(x), nn.PReLU(4)),
    "prelu of one": (lambda x, m: m(x), nn.PReLU()),
    "rms norm": (lambda x, m: m(x), nn.RMSNorm(6)),
    "rnn": (lambda x, m: m(x[:, 0])[0], nn.RNN(6, 3, 2, nonlinearity="relu", batch_first=True, bidirectional=True)),
    "tanh rnn": (lambda x, m: m(x[:, 0])[0], nn.RNN(6, 3, batch_first=True)),
    "tensordot": (lambda x, m: torch.tensordot(x[:, 0], m.weight, ([2], [1])), nn.Linear(6, 3)),
    "transformer": (lambda x, m: m(x[:, 0]), nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, activation="gelu")),
}

CASES: dict[str, Case] = {
    **{name: (function,) for name, function in (FUNCTIONS | ARITHMETIC | REDUCTIONS | MOVES | IMAGES).items()},
    **LAYERS,
}


@pytest.mark.parametrize("name", CASES)
def test_an_operation_gives_the_codes_of_the_plan_or_is_named(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    function, *modules = CASES[name]
    for parameter in (parameter for module in modules for parameter in module.parameters()):
        nn.init.normal_(parameter, std=0.4)
    x = torch.randn(6, 4, 6, 6)
    export, quantized = exported(Net(function, *modules), tmp_path, x)
    assert_same(export, quantized, x)
    assert_same(export, quantized, torch.randn(3, 4, 6, 6))


@pytest.mark.parametrize("name", MOVES)
def test_what_moves_values_is_exact(tmp_path: Path, name: str) -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 4, 6, 6)
    moved = MOVES[name]

    class Moving(nn.Module):
        def forward(self, x: Tensor) -> object:
            return moved(x.relu())

    export, quantized = exported(Moving(), tmp_path, x)
    assert export.differences == {}
    assert_same(export, quantized, torch.randn(5, 4, 6, 6))


POSITIONS: dict[str, Callable[[Tensor], object]] = {
    "all": lambda x: ((x > -1).all(2, keepdim=True), (x > 1).all()),
    "any": lambda x: ((x > 1).any(1), (x > -1).any()),
    "argmax": lambda x: (x.argmax(1), x.argmin(2, keepdim=True), x.flatten(1).argmax(1)),
    "comparison": lambda x: (x > 0, x.abs().ge(0.5), x != 0, x == x.flip(1), torch.logical_xor(x > 0, x > 1)),
    "integers": lambda x: (x.long() // 2, x.int() % 3, x.argmax(1) * 2 - 1, torch.arange(x.shape[0])),
    "max": lambda x: (*x.max(1), *x.min(2, keepdim=True)),
    "mask of what is chosen": lambda x: (torch.where(x > 0, x > 1, x < -1), F.one_hot(x.argmax(1), 4)),
    "not a number": lambda x: (x.isnan(), x.isinf(), x.isfinite()),
    "places of a pool": lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True),
    "places of a pool over all": lambda x: F.max_pool2d(x, 6, return_indices=True),
    "sort": lambda x: x.sort(stable=True, dim=1, descending=True),
}


@pytest.mark.parametrize("name", POSITIONS)
def test_positions_masks_and_integers_leave_as_what_they_are(tmp_path: Path, name: str) -> None:
    """Those of the codes: what torch finds in the values that the file itself gives beside them."""
    torch.manual_seed(2)
    found = POSITIONS[name]
    model = Net(lambda y: (y, *pytree.tree_leaves(found(y)))).eval()
    x = torch.randn(4, 4, 6, 6)
    plan = calibrate(model, [x], device="cpu", progress=False).propose(4, "minmax")  # so that many values are equal
    plan.set_rounding("half_even")
    plan.commit()
    export = to_onnx(plan, tmp_path / "network.onnx")
    for optimized in (False, True):
        session = session_of(checked(export.path), optimized)
        y, *left = session.run(None, {"input": torch.randn(3, 4, 6, 6).numpy()})
        for mine, expected in zip(left, pytree.tree_leaves(found(torch.from_numpy(y))), strict=True):
            assert mine.dtype == expected.numpy().dtype
            assert np.array_equal(mine, expected.numpy())


def test_positions_that_a_runtime_may_choose_otherwise_are_named(tmp_path: Path) -> None:
    x = torch.randn(4, 4, 6, 6)
    assert list(exported(Net(lambda y: y.flatten(1).topk(3)[0]), tmp_path, x)[0].differences) == []
    differences = exported(Net(lambda y: tuple(y.flatten(1).topk(3))), tmp_path, x)[0].differences
    assert list(differences) == ["conv:topk.indices"]
    assert "of equal values topk gives any" in differences["conv:topk.indices"]


CHAINED = [
    *("abs", "celu", "clamp by tensors", "comparison", "floor", "gelu", "hardswish", "leaky relu", "masks", "maximum"),
    *("circular, cut off", "flip", "reflect", "roll", "square", "where"),
]
"""What takes a picture and gives one, of whatever size."""


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(CHAINED), min_size=2, max_size=5), st.integers(3, 8))
def test_a_chain_of_operations_differs_behind_what_is_named_only(names: list[str], bits: int) -> None:
    torch.manual_seed(len(names))
    functions = [CASES[name][0] for name in names]

    def chain(x: object) -> object:
        for function in functions:
            x = function(x)
        return x

    model, x = Net(chain).eval(), torch.randn(3, 4, 9, 9)
    plan = calibrate(model, [x], device="cpu", progress=False).propose(bits, "minmax")
    plan.set_rounding("half_even")
    plan.commit()
    with tempfile.TemporaryDirectory() as folder:
        export, quantized = to_onnx(plan, Path(folder) / "network.onnx"), quantize(model, plan)
        expected = integers_of(quantized, x)
        found = integers_in(export.path, x, optimized=True)
    for row, codes in expected.items():  # in the order in which they run
        if row in export.differences:
            break
        assert np.array_equal(codes, found[row]), row
