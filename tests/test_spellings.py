"""A plain sum, product or choice has an integer form in any spelling, code for code that of an int64 reference."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.formats import OVERFLOWS, ROUNDINGS, FixedPoint
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from tests import integer_reference as reference
from tests.integer_reference import Ints

MASK = np.arange(16).reshape(4, 4) % 3 == 0
HALF = Ints(np.array(1), 1)
INFINITE = float("inf")


class Two(nn.Module):
    """Any function of two square matrices, with a mask to use."""

    def __init__(self, function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("mask", torch.from_numpy(MASK))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        assert isinstance(self.mask, Tensor)
        return self.function(x[0], y[0], self.mask)


def formatted(plan: Plan, seed: int) -> Plan:
    """Give each tensor another word length, rounding and overflow, with windows in which some values overflow."""
    rng = np.random.default_rng(seed)
    for name in plan.names:
        fmt = plan.committed[name]
        assert isinstance(fmt, FixedPoint)
        length = int(rng.integers(3, 11))
        window = FixedPoint.from_window(fmt.msb - int(rng.integers(0, 2)), fmt.msb - length + 2, fmt.signed)
        plan[name] = dataclasses.replace(
            window, rounding=str(rng.choice(ROUNDINGS)), overflow=str(rng.choice(OVERFLOWS))
        )
    plan.commit()
    return plan


def aligned(function: Callable[..., Any]) -> Callable[..., Ints]:
    """A function of codes that were brought to one step."""

    def compute(*parts: Ints) -> Ints:
        fraction = max(part.fraction for part in parts)
        return Ints(function(*(part.at(fraction) for part in parts)), fraction)

    return compute


def summed(equation: str) -> Callable[[Ints, Ints], Ints]:
    return lambda a, b: Ints(reference.wrapped(np.einsum(equation, a.codes, b.codes)), a.fraction + b.fraction)


def plus(added: Ints, product: Ints) -> Ints:
    """Add what is rounded to the step of the products first, where it is finer."""
    if added.fraction > product.fraction:
        added = reference.rescale(added, FixedPoint(32, product.fraction))
    return Ints(reference.wrapped(added.at(product.fraction) + product.codes), product.fraction)


def first(x: Ints) -> Ints:
    return Ints(x.codes[0], x.fraction)


def heads(x: Ints) -> Ints:
    return Ints(x.codes.reshape(4, 2, 2), x.fraction)


Spelling = tuple[Callable[[Tensor, Tensor, Tensor], Tensor], Callable[[Ints, Ints], Ints]]
# fmt: off
SPELLINGS: dict[str, Spelling] = {
    "square": (lambda x, y, m: x.square(), lambda x, y: reference.multiply(x, x)),
    "pow": (lambda x, y, m: x**2, lambda x, y: reference.multiply(x, x)),
    "abs": (lambda x, y, m: x.abs(), lambda x, y: Ints(abs(x.codes), x.fraction)),
    "absolute": (lambda x, y, m: torch.absolute(x), lambda x, y: Ints(abs(x.codes), x.fraction)),
    "maximum": (lambda x, y, m: torch.maximum(x, y), aligned(np.maximum)),
    "max of two": (lambda x, y, m: torch.max(x, y), aligned(np.maximum)),
    "minimum": (lambda x, y, m: torch.minimum(x, y), aligned(np.minimum)),
    "min of two": (lambda x, y, m: torch.min(x, y), aligned(np.minimum)),
    "fmin": (lambda x, y, m: torch.fmin(x, y), aligned(np.minimum)),
    "clamp between": (lambda x, y, m: torch.clamp(x, y, x), aligned(lambda x, y: np.minimum(np.maximum(x, y), x))),
    "clamp from": (lambda x, y, m: torch.clamp(x, min=y), aligned(np.maximum)),
    "clamp to": (lambda x, y, m: x.clamp_max(y), aligned(np.minimum)),
    "clip": (lambda x, y, m: x.clip(-1), lambda x, y: aligned(lambda x, h: np.maximum(x, -2 * h))(x, HALF)),
    "clamp from minus infinity": (
        lambda x, y, m: x.clamp(-INFINITE, 1), lambda x, y: aligned(lambda x, h: np.minimum(x, 2 * h))(x, HALF)
    ),
    "threshold": (lambda x, y, m: F.threshold(x, 0.0, 0.0), aligned(lambda x, y: np.maximum(x, 0))),
    "threshold with a value": (
        lambda x, y, m: F.threshold(x, 0.0, 0.5), lambda x, y: aligned(lambda x, h: np.where(x > 0, x, h))(x, HALF)
    ),
    "multiply": (lambda x, y, m: torch.multiply(x, y), reference.multiply),
    "subtract": (lambda x, y, m: torch.subtract(x, y), lambda x, y: reference.add(x, y, -1)),
    "true_divide": (lambda x, y, m: torch.true_divide(x, 4), lambda x, y: Ints(x.codes, x.fraction + 2)),
    "negative": (lambda x, y, m: torch.negative(x), lambda x, y: Ints(-x.codes, x.fraction)),
    "outer": (lambda x, y, m: torch.outer(x[0], y[0]), lambda x, y: summed("i,j->ij")(first(x), first(y))),
    "inner": (lambda x, y, m: torch.inner(x, y), summed("ij,kj->ik")),
    "vdot": (lambda x, y, m: torch.vdot(x[0], y[0]), lambda x, y: summed("i,i->")(first(x), first(y))),
    "tensordot": (lambda x, y, m: torch.tensordot(x, y, ([0], [1])), summed("ji,kj->ik")),
    "einsum, a product of matrices": (lambda x, y, m: torch.einsum("ij,jk->ik", x, y), summed("ij,jk->ik")),
    "einsum, value by value": (lambda x, y, m: torch.einsum("ij,ij->i", x, y), summed("ij,ij->i")),
    "einsum, all of it": (lambda x, y, m: torch.einsum("ij,ij->", x, y), summed("ij,ij->")),
    "einsum, a diagonal": (lambda x, y, m: torch.einsum("ii,ij->j", x, y), summed("ii,ij->j")),
    "einsum, implicit": (lambda x, y, m: torch.einsum("ji,kj", x, y), summed("ji,kj->ik")),
    "einsum with an ellipsis": (lambda x, y, m: torch.einsum("...j, k j -> k ...", x, y), summed("ij,kj->ki")),
    "einsum of heads": (
        lambda x, y, m: torch.einsum("bhd,bhe->bde", x.reshape(4, 2, 2), y.reshape(4, 2, 2)),
        lambda x, y: summed("bhd,bhe->bde")(heads(x), heads(y)),
    ),
    "einsum of one": (lambda x, y, m: torch.einsum("ij->j", x), lambda x, y: Ints(x.codes.sum(0), x.fraction)),
    "addmm": (lambda x, y, m: torch.addmm(x, x, y), lambda x, y: plus(x, reference.matmul(x, y))),
    "addmm without what is added": (lambda x, y, m: torch.addmm(x, x, y, beta=0), reference.matmul),
    "addmv": (lambda x, y, m: torch.addmv(x[0], x, y[0]), lambda x, y: plus(first(x), summed("ij,j->i")(x, first(y)))),
    "baddbmm": (
        lambda x, y, m: torch.baddbmm(y.reshape(4, 2, 2), x.reshape(4, 2, 2), y.reshape(4, 2, 2)),
        lambda x, y: plus(heads(y), summed("bij,bjk->bik")(heads(x), heads(y))),
    ),
    "addbmm": (
        lambda x, y, m: torch.addbmm(x[:2, :2], x.reshape(4, 2, 2), y.reshape(4, 2, 2)),
        lambda x, y: plus(Ints(x.codes[:2, :2], x.fraction), summed("bij,bjk->ik")(heads(x), heads(y))),
    ),
    "addr": (lambda x, y, m: torch.addr(x, x[0], y[0]), lambda x, y: plus(x, summed("i,j->ij")(first(x), first(y)))),
    "addcmul": (lambda x, y, m: torch.addcmul(x, x, y), lambda x, y: plus(x, reference.multiply(x, y))),
    "addcmul, subtracted": (
        lambda x, y, m: torch.addcmul(x, x, y, value=-1),
        lambda x, y: plus(x, reference.multiply(Ints(-x.codes, x.fraction), y)),
    ),
    "where": (lambda x, y, m: torch.where(m, x, y), aligned(lambda x, y: np.where(MASK, x, y))),
    "where with a number": (
        lambda x, y, m: torch.where(m, x, 0.5), lambda x, y: aligned(lambda x, h: np.where(MASK, x, h))(x, HALF)
    ),
    "a number where": (
        lambda x, y, m: torch.where(m, 0.5, x), lambda x, y: aligned(lambda x, h: np.where(MASK, h, x))(x, HALF)
    ),
    "where one is larger": (lambda x, y, m: torch.where(x > y, x, y), aligned(np.maximum)),
}
# fmt: on


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_spelling_gives_the_codes_of_the_int64_reference(name: str) -> None:
    function, expected = SPELLINGS[name]
    torch.manual_seed(len(name))
    model, inputs = Two(function).eval(), (torch.randn(2, 4, 4) * 2, torch.randn(2, 4, 4))
    plan = calibrate(model, [inputs], device="cpu", progress=False).propose(8, "minmax")
    rows = [row.name for row in plan.rows]
    given = {row: x[0].numpy() for row, x in zip(rows[:-1], inputs, strict=False)}
    for seed in range(4):
        formatted(plan, seed)
        quantized = quantize(model, plan)
        assert not quantized.float_islands
        fmt = {row: plan.committed[row] for row in rows}
        assert all(isinstance(one, FixedPoint) for one in fmt.values())
        x, *more = (reference.encode(values, fmt[row]) for row, values in given.items())  # type: ignore[arg-type]
        found = quantized(*inputs)
        rescale = reference.rescale_once if name in ("abs", "absolute") else reference.rescale
        wanted = rescale(expected(x, more[0] if more else x), fmt[rows[-1]])  # type: ignore[arg-type]
        np.testing.assert_array_equal(fmt[rows[-1]].to_integer(found).numpy(), wanted.codes)  # type: ignore[union-attr]


def test_an_einsum_with_a_weight_is_what_the_matrix_product_is() -> None:
    class Weighted(nn.Module):
        def __init__(self, spelled: bool) -> None:
            super().__init__()
            self.weight, self.spelled = nn.Parameter(torch.linspace(-1, 1, 24).reshape(6, 4)), spelled

        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("bti,io->bto", x, self.weight) if self.spelled else x @ self.weight

    torch.manual_seed(0)
    x = torch.randn(5, 3, 6)
    outputs = []
    for spelled in (True, False):
        model = Weighted(spelled).eval()
        quantized = quantize(model, calibrate(model, [x], device="cpu", progress=False).propose(8))
        assert not quantized.float_islands
        outputs.append(quantized(x))
    assert torch.equal(*outputs)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x, y, m: torch.addr(x, x[0], y[0], beta=0.3), "addr has no integer form with these arguments"),
        (lambda x, y, m: F.leaky_relu(x, INFINITE), "leaky_relu has no integer form with these arguments"),
        (lambda x, y, m: x**3, "pow has no integer form with these arguments"),
        (lambda x, y, m: torch.einsum("ij,jk,kl->il", x, y, x), "einsum has no integer form with these arguments"),
        (lambda x, y, m: torch.where(m, x, float("nan")), "where has no integer form with these arguments"),
    ],
)
def test_what_is_no_single_product_stays_in_float_and_says_so(
    function: Callable[[Tensor, Tensor, Tensor], Tensor], why: str
) -> None:
    torch.manual_seed(0)
    model, inputs = Two(function).eval(), (torch.randn(2, 4, 4), torch.randn(2, 4, 4))
    plan = calibrate(model, [inputs], device="cpu", progress=False).propose(8)
    assert list(quantize(model, plan).float_islands.values()) == [why]


def test_rows_are_called_by_the_usual_name_of_an_operation() -> None:
    model = Two(lambda x, y, m: torch.multiply(torch.max(x, y), y).clip(-1, 1)).eval()
    inputs = torch.randn(2, 4, 4), torch.randn(2, 4, 4)
    plan = calibrate(model, [inputs], device="cpu", progress=False).propose(8)
    assert [row.name for row in plan.rows if row.kind == "activation"] == ["maximum", "mul"]
    assert plan.row("mul").fused == ("mul", "clamp")
