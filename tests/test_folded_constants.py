"""Weights and other tensors that are made of constants, and layers in other spellings than ``nn.Linear``'s."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.utils import _pytree as pytree

from qwidgets import FixedPoint, Plan, calibrate, export, health, quantize
from qwidgets.errors import CaptureError
from qwidgets.network import capture

VECTORS, IMAGES, SEQUENCES = (16, 4), (16, 4, 6, 6), (16, 5, 4)


class Computing(nn.Module):
    """A forward of one line, over the parameters and modules that it names."""

    def __init__(self, forward: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self._forward = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *given: Tensor) -> Any:
        return self._forward(self, *given)


class Standardized(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / (self.weight.std((1, 2, 3), keepdim=True) + 1e-5)
        return F.conv2d(x, weight, self.bias, padding=1)


class Adapted(nn.Linear):
    """A low-rank adapter, merged when it is called."""

    def __init__(self) -> None:
        super().__init__(4, 4)
        self.down, self.up = _parameter(2, 4), _parameter(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight + self.up @ self.down, self.bias)


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * 0.3)


def _pruned() -> nn.Module:
    layer = nn.Linear(4, 4)
    prune.random_unstructured(layer, "weight", 0.5)
    return layer


def _after(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(4, 3))


MADE: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "spectral norm": (lambda: _after(parametrizations.spectral_norm(nn.Linear(4, 4))), VECTORS),
    "weight norm": (lambda: _after(parametrizations.weight_norm(nn.Linear(4, 4))), VECTORS),
    "orthogonal": (lambda: _after(parametrizations.orthogonal(nn.Linear(4, 4))), VECTORS),
    "pruned": (lambda: _after(_pruned()), VECTORS),
    "low-rank adapter": (lambda: _after(Adapted()), VECTORS),
    "weight standardization": (
        lambda: nn.Sequential(Standardized(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)),
        IMAGES,
    ),
    "masked convolution": (
        lambda: Computing(lambda m, x: F.conv2d(x, m.w * (m.w > 0), m.b), w=_parameter(3, 4, 3, 3), b=_parameter(3)),
        IMAGES,
    ),
    "ones": (lambda: Computing(lambda m, x: m.fc(x) + torch.ones(4), fc=nn.Linear(4, 4)), VECTORS),
    "a number that is no short one": (
        lambda: Computing(lambda m, x: m.fc(x) * torch.full((4,), 0.3), fc=nn.Linear(4, 4)),
        VECTORS,
    ),
    "a ramp": (lambda: Computing(lambda m, x: m.fc(x) + torch.arange(4.0), fc=nn.Linear(4, 4)), VECTORS),
    "zeros as long as the batch": (
        lambda: Computing(
            lambda m, x: m.last(torch.cat([m.fc(x), x.new_zeros(x.shape[0], 2)], 1)),
            fc=nn.Linear(4, 4),
            last=nn.Linear(6, 2),
        ),
        VECTORS,
    ),
    "an exponent of a parameter": (
        lambda: Computing(lambda m, x: m.fc(x) * m.g.exp(), fc=nn.Linear(4, 4), g=_parameter(4)),
        VECTORS,
    ),
}

SPELLED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "addmm": (
        lambda: Computing(lambda m, x: torch.addmm(m.b, x, m.w).relu(), w=_parameter(4, 6), b=_parameter(6)),
        VECTORS,
    ),
    "addmm with factors": (
        lambda: Computing(
            lambda m, x: torch.addmm(m.b, x, m.w, alpha=0.5, beta=2), w=_parameter(4, 6), b=_parameter(6)
        ),
        VECTORS,
    ),
    "a transposed weight": (
        lambda: nn.Sequential(
            Computing(lambda m, x: F.linear(x, m.w.t(), m.b), w=_parameter(4, 6), b=_parameter(6)), nn.BatchNorm1d(6)
        ),
        VECTORS,
    ),
    "a weight read both ways": (
        lambda: Computing(lambda m, x: F.linear(F.linear(x, m.w), m.w.t()), w=_parameter(3, 4)),
        VECTORS,
    ),
    "a convolution's weight in a linear layer": (
        lambda: Computing(
            lambda m, x: F.linear(x.unfold(1, 3, 1).flatten(2), m.conv.weight.flatten(1), m.conv.bias),
            conv=nn.Conv1d(4, 8, 3),
        ),
        SEQUENCES,
    ),
    "a convolution's weight in both": (
        lambda: Computing(
            lambda m, x: (
                F.linear(x.unfold(1, 3, 1).flatten(2), m.conv.weight.flatten(1), m.conv.bias)
                + m.conv(x.transpose(1, 2)).transpose(1, 2)
            ),
            conv=nn.Conv1d(4, 8, 3),
        ),
        SEQUENCES,
    ),
    "one matrix for queries, keys and values": (
        lambda: Computing(
            lambda m, x: F.linear(x, m.w[:4]) @ F.linear(x, m.w[4:8]).mT @ F.linear(x, m.w[8:], m.b[8:]),
            w=_parameter(12, 4),
            b=_parameter(12),
        ),
        SEQUENCES,
    ),
    "a filter in a buffer": (
        lambda: Computing(
            lambda m, x: F.conv2d(x, m.k.expand(4, 1, 3, 3), groups=4), k=nn.Buffer(torch.randn(1, 1, 3, 3))
        ),
        IMAGES,
    ),
    "a kernel that the data makes": (
        lambda: Computing(lambda m, x: F.conv2d(x, m.fc(x.mean((0, 2, 3))).view(2, 4, 1, 1)), fc=nn.Linear(4, 8)),
        IMAGES,
    ),
    "matmul with a parameter": (
        lambda: Computing(
            lambda m, x: (x @ m.w + m.b).relu() @ m.v, w=_parameter(4, 6), b=_parameter(6), v=_parameter(6, 2)
        ),
        VECTORS,
    ),
    "baddbmm": (
        lambda: Computing(lambda m, x: torch.baddbmm(x @ x.mT, m.fc(x), x.mT), fc=nn.Linear(4, 4)),
        SEQUENCES,
    ),
}

FLOAT = {"a kernel that the data makes": ["mean", "conv2d"]}
"""What is computed in float, and says so."""


def _built(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    make, shape = (MADE | SPELLED)[name]
    return make().eval(), torch.randn(*shape)


def _sqnr(model: nn.Module, x: Tensor, computed: Tensor) -> float:
    with torch.no_grad():
        reference = model(x)
    return float(10 * torch.log10(reference.square().sum() / (reference - computed).square().sum()))


@pytest.mark.parametrize("name", MADE | SPELLED)
def test_it_is_computed_in_integers_as_well_as_its_words_are_long(name: str) -> None:
    model, x = _built(name)
    calibration = calibrate(model, [x], device="cpu", progress=False)
    for per_channel in (False, True):
        plan = calibration.propose(word_length=12, per_channel=per_channel, accumulator_bits=53)
        quantized = quantize(model, plan, accumulator_bits=53)
        assert list(quantized.float_islands) == FLOAT.get(name, [])
        assert _sqnr(model, x, quantized(x)) > 45


@pytest.mark.parametrize("name", SPELLED)
def test_the_steps_and_the_check_take_it(name: str) -> None:
    model, x = _built(name)
    data = list(x.split(4))
    plan = calibrate(model, data, device="cpu", progress=False).propose(per_channel=True)
    assert health(model, plan, data).word != "broken"
    for step in (plan.equalize, plan.round_adaptively):
        step(data, progress=False)


@pytest.mark.parametrize("name", MADE)
def test_the_exports_write_what_was_made(name: str, tmp_path: Path) -> None:
    if name in ("zeros as long as the batch", "ones"):
        pytest.skip("joined or added to what no layer gives")
    model, x = _built(name)
    plan = calibrate(model, [x], device="cpu", progress=False).propose()
    export.to_c(plan, tmp_path / "firmware", data=[x])
    plan.set_rounding("half_even")
    plan.commit("for ONNX")
    assert export.to_onnx(plan, tmp_path / "network.onnx").differences == {}


def test_weights_that_are_loaded_later_are_made_anew() -> None:
    model, x = _built("low-rank adapter")
    plan = calibrate(model, [x], device="cpu", progress=False).propose(word_length=16)
    quantized = quantize(model, plan, accumulator_bits=53)
    state = {name: tensor * 0.5 if "up" in name else tensor for name, tensor in model.state_dict().items()}
    model.load_state_dict(state)
    assert _sqnr(model, x, quantized(x)) < 40
    quantized.load_state_dict(state)
    assert _sqnr(model, x, quantized(x)) > 60


def test_a_transposed_weight_is_a_row_with_its_outputs_first() -> None:
    model, x = _built("addmm")
    rows = {row.name: row for row in capture(model, (x,)).rows}
    assert (rows["w"].shape, rows["w"].operation, rows["b"].kind) == ((6, 4), "linear", "bias")


def test_what_is_made_twice_alike_is_one_row() -> None:
    layer = parametrizations.weight_norm(nn.Linear(4, 4))
    network = capture(nn.Sequential(layer, nn.ReLU(), layer).eval(), (torch.randn(*VECTORS),))
    assert [row.name for row in network.rows if row.kind == "weight"] == ["0.weight"]


HOSTILE = ["class", 'a"b', "back\\slash", "new\nline", "None", "1st", "x y", "{brace}"]


def test_modules_may_be_called_what_no_code_can_say() -> None:
    torch.manual_seed(0)
    heads = nn.ModuleDict({name: nn.Linear(4, 4) for name in HOSTILE})
    model = Computing(lambda m, x: sum(head(x) for head in m.heads.values()), heads=heads).eval()
    x = torch.randn(16, 4)
    plan = calibrate(model, [x], device="cpu", progress=False).propose(word_length=16)
    assert [f"heads.{name}.weight" for name in HOSTILE] == [row.name for row in plan.rows if row.kind == "weight"]
    quantized = quantize(model, plan, accumulator_bits=53)
    assert _sqnr(model, x, quantized(x)) > 60
    state = {name: tensor * 0.5 for name, tensor in model.state_dict().items()}
    quantized.load_state_dict(state)
    model.load_state_dict(state)
    assert _sqnr(model, x, quantized(x)) > 55


OUTPUTS: dict[str, Callable[[Tensor], Any]] = {
    "max": lambda y: y.max(1),
    "topk": lambda y: tuple(y.topk(2)),
    "sort": lambda y: {"sorted": y.sort(1)},
    "argmax and a mask": lambda y: (y, y.argmax(1), y > 0),
    "nothing and numbers": lambda y: {"y": y, "none": None, "number": 3, "nested": [{"sign": y.sign().long()}]},
    "where the pool found it": lambda y: F.max_pool1d(y.unsqueeze(1), 2, return_indices=True),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_is_no_tensor_of_codes_is_given_as_it_is(name: str) -> None:
    torch.manual_seed(0)
    model = Computing(lambda m, x: OUTPUTS[name](m.fc(x)), fc=nn.Linear(4, 6)).eval()
    x = torch.randn(16, 4)
    plan = calibrate(model, [x], device="cpu", progress=False).propose()
    quantized = quantize(model, plan)
    given, structure = pytree.tree_flatten(quantized(x))
    values = quantize(Computing(lambda m, x: m.fc(x), fc=model.fc).eval(), _of_layer(plan, model, x))(x)
    reference, its_structure = pytree.tree_flatten(OUTPUTS[name](values))
    assert structure == its_structure
    for mine, its in zip(given, reference, strict=True):
        assert torch.equal(mine, its) and mine.dtype == its.dtype if isinstance(its, Tensor) else mine == its
    health(model, plan, [x])


def _of_layer(plan: Plan, model: nn.Module, x: Tensor) -> Plan:
    """Give the plan's formats to the network that ends with the layer."""
    alone = Computing(lambda m, x: m.fc(x), fc=model.fc).eval()
    formats = calibrate(alone, [x], device="cpu", progress=False).propose()
    for name in formats:
        formats[name] = plan[name]
    if formats.drafts:
        formats.commit("as in the whole")
    return formats


def test_a_table_whose_vectors_are_the_output_is_a_row() -> None:
    torch.manual_seed(0)
    model, ids = nn.Embedding(100, 8), torch.randint(0, 100, (16,))
    plan = calibrate(model, [ids], device="cpu", progress=False).propose()
    assert list(plan) == ["weight"]
    fmt = plan["weight"]
    assert isinstance(fmt, FixedPoint)
    assert torch.equal(quantize(model, plan)(ids), fmt.quantize(model(ids).detach()))


def test_a_network_of_integers_alone_says_that_there_is_nothing_to_format() -> None:
    with pytest.raises(CaptureError, match="has no tensor that a number format can be given to"):
        capture(Computing(lambda m, x: x + 1), (torch.arange(6),))


def test_a_parameter_that_is_only_moved_is_not_made_anew() -> None:
    model = Computing(lambda m, x: x + m.p.view(1, 4), p=_parameter(4))
    network = capture(model, (torch.randn(*VECTORS),))
    assert [operation.target for operation in network.operations if operation.kind == "constant"] == ["p"]
