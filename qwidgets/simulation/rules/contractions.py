"""Sums of products in their many spellings: squares, outer and inner products, einsum, products that are added to.

All are a product of two tensors, summed over what they share, at the product of their steps. What is added to it, as in
``addmm``, is aligned to that step as a bias is: where it is finer, it is rounded as its own format says.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from qwidgets.formats import round_in_place
from qwidgets.simulation.accumulation import Bilinear, Coded, Codes
from qwidgets.simulation.rules.rule import Call, Exact, Operand, rule

Sizes = tuple[int | None, ...]


@rule("square")
def _square(call: Call) -> Exact | None:
    return _summed(call, torch.mul, call["self"], call["self"], 1)


@rule("pow")
def _power(call: Call) -> Exact | None:
    """``x ** 2``; other powers are no product of two."""
    x, exponent = call["self"], call["exponent"]
    if not isinstance(x, Operand) or isinstance(exponent, Operand) or exponent != 2:
        return None
    return _summed(call, torch.mul, x, x, 1)


@rule("outer")
def _outer(call: Call) -> Exact | None:
    return _summed(call, torch.outer, call["self"], call["vec2"], 1)


@rule("inner")
def _inner(call: Call) -> Exact | None:
    return _summed(call, torch.inner, call["self"], call["other"], _last(call["self"]))


@rule("vdot")
def _vdot(call: Call) -> Exact | None:
    return _summed(call, torch.vdot, call["self"], call["other"], _last(call["self"]))


@rule("tensordot")
def _tensordot(call: Call) -> Exact | None:
    dims = call["dims_self"], call["dims_other"]
    x = call["self"]
    terms = _count([x.shape[dim] for dim in dims[0]]) if isinstance(x, Operand) else None
    return _summed(call, lambda a, b: torch.tensordot(a, b, dims), x, call["other"], terms)


@rule("addmm", "addmv", "baddbmm")
def _added_to_a_product(call: Call) -> Exact | None:
    a, b = {"addmm": ("mat1", "mat2"), "addmv": ("mat", "vec")}.get(call.name, ("batch1", "batch2"))
    return _added(call, torch.matmul, a, b, _last(call[a]))


@rule("addbmm")
def _added_to_all_products(call: Call) -> Exact | None:
    a = call["batch1"]
    terms = _count([a.shape[0], a.shape[2]]) if isinstance(a, Operand) else None
    return _added(call, lambda x, y: torch.einsum("bik,bkj->ij", x, y), "batch1", "batch2", terms)


@rule("addr")
def _added_to_an_outer_product(call: Call) -> Exact | None:
    return _added(call, torch.outer, "vec1", "vec2", 1)


@rule("addcmul")
def _added_to_values(call: Call) -> Exact | None:
    sign = call.arguments.get("value", 1)
    if sign not in (1, -1):
        return None
    return _added(call, lambda x, y: sign * x * y, "tensor1", "tensor2", 1)


def _added(call: Call, operation: Bilinear, a: str, b: str, terms: int | None) -> Exact | None:
    if call.arguments.get("alpha", 1) != 1 or call.arguments.get("beta", 1) not in (0, 1):
        return None
    added = call["self"] if call.arguments.get("beta", 1) else None
    return _summed(call, operation, call[a], call[b], terms, (a, b), added)


def _summed(
    call: Call,
    operation: Bilinear,
    a: object,
    b: object,
    terms: int | None,
    names: tuple[str, str] | None = None,
    added: object = None,
) -> Exact | None:
    """Sum ``terms`` products of values of two operands; None where the sizes differ from call to call."""
    if terms is None or not isinstance(a, Operand) or not isinstance(b, Operand):
        return None
    one, other = names or [name for operand in (a, b) for name, value in call.arguments.items() if value is operand][:2]
    codes = _products(a, b, terms * a.codes.largest * b.codes.largest)
    if added is not None:
        if not isinstance(added, Operand):
            return None
        more = math.ceil(math.ldexp(added.codes.largest, added.codes.lsb - codes.lsb)) + 1
        codes = replace(codes, low=codes.low - more, high=codes.high + more)

    def run(given: Mapping[str, Any]) -> Tensor:
        shift = None if added is None else _aligned(given["self"].double(), added, codes.lsb)
        return call.accumulator.sum(operation, Coded(given[one], a.codes), Coded(given[other], b.codes), shift, codes)

    return Exact(call.accumulator.codes(codes), run)


def _aligned(values: Tensor, operand: Operand, lsb: int) -> Tensor:
    """Round what is added to the step of the sums, where it is finer."""
    if operand.codes.lsb >= lsb:
        return values
    steps = values * math.ldexp(1.0, -lsb)
    round_in_place(torch, steps, operand.rounding)
    return steps * math.ldexp(1.0, lsb)


@rule("einsum")
def _einsum(call: Call) -> Exact | None:
    tensors, equation = call["tensors"], call["equation"]
    if len(tensors) > 2 or not all(isinstance(tensor, Operand) for tensor in tensors):
        return None
    labels = labels_of(equation, [len(tensor.shape) for tensor in tensors])
    if labels is None:
        return None
    *given_labels, kept = labels
    sizes = {
        label: size
        for axes, tensor in zip(given_labels, tensors, strict=True)
        for label, size in zip(axes, tensor.shape, strict=True)
        if size != 1
    }
    terms = _count([size for label, size in sizes.items() if label not in kept])
    if terms is None:
        return None
    if len(tensors) == 1:
        x = tensors[0].codes
        codes = replace(x, low=x.low * terms, high=x.high * terms)
        return call.held(codes, lambda given: torch.einsum(equation, given["tensors"][0].to(codes.carrier)))
    a, b = tensors
    bounds = [terms * a.codes.largest * b.codes.largest]
    for operand, axes, other in ((a, given_labels[0], b), (b, given_labels[1], a)):
        magnitudes = _sum_of_magnitudes(operand, axes, kept, terms)
        if magnitudes is not None:
            bounds.append(magnitudes * other.codes.largest)
    codes = _products(a, b, min(bounds))

    def run(given: Mapping[str, Any]) -> Tensor:
        one, other = given["tensors"]
        factors = Coded(one, a.codes), Coded(other, b.codes)
        return call.accumulator.sum(lambda x, y: torch.einsum(equation, x, y), *factors, None, codes)

    return Exact(call.accumulator.codes(codes), run)


def labels_of(equation: str, ranks: Sequence[int]) -> list[str] | None:
    """Give, for an einsum, the label of each dimension of each operand, and those that are kept.

    Those of an ellipsis are digits. None where what an ellipsis stands for is summed.

    Examples
    --------
    >>> labels_of("b i, ...io -> b...o", [2, 3])
    ['bi', '0io', 'b0o']
    >>> labels_of("ij,jk", [2, 2])
    ['ij', 'jk', 'ik']
    """
    inputs, arrow, kept = equation.replace(" ", "").partition("->")
    parts = inputs.split(",")
    if not arrow:
        letters = inputs.replace(",", "").replace(".", "")
        kept = "..." * ("..." in inputs) + "".join(sorted(letter for letter in letters if letters.count(letter) == 1))
    dots = [rank - len(part.replace("...", "")) for part, rank in zip(parts, ranks, strict=True)]
    most = max((count for part, count in zip(parts, dots, strict=True) if "..." in part), default=0)
    if most > 10 or (most and "..." not in kept):
        return None
    digits = "0123456789"[:most]
    named = [part.replace("...", digits[most - count :]) for part, count in zip(parts, dots, strict=True)]
    return [*named, kept.replace("...", digits)]


def _sum_of_magnitudes(operand: Operand, axes: str, kept: str, terms: int) -> int | None:
    """Bound the sum of the magnitudes of a constant's codes over what is summed; None where it is no constant."""
    if operand.integers is None or operand.shifts is not None or len(set(axes)) < len(axes):
        return None
    summed = [axis for axis, label in enumerate(axes) if label not in kept]
    sums = operand.integers.abs().sum(summed) if summed else operand.integers.abs()
    own = math.prod(operand.integers.shape[axis] for axis in summed)
    return int(sums.max()) * (terms // own)


def _products(a: Operand, b: Operand, largest: int) -> Codes:
    return Codes(a.codes.lsb + b.codes.lsb, -largest, largest)


def _last(operand: object) -> int | None:
    return operand.shape[-1] if isinstance(operand, Operand) else None


def _count(sizes: Sequence[int | None]) -> int | None:
    count = 1
    for size in sizes:
        if size is None:
            return None
        count *= size
    return count
