"""Sums, concatenations and averages: operands aligned to one step."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from qwidgets.formats import in_steps
from qwidgets.simulation.accumulation import Accumulator, Codes
from qwidgets.simulation.rules.rule import Call, Exact, Operand, Run, constant, is_number, rule


@rule("add", "sub", "rsub")
def _add(call: Call) -> Exact | None:
    if call.arguments.get("alpha", 1) != 1:
        return None
    operands = [call["self"], call["other"]]
    signs = {"add": (1, 1), "sub": (1, -1), "rsub": (-1, 1)}[call.name]
    terms = [_term(operand) for operand in operands]
    known = [term for term in terms if term is not None]
    if len(known) < 2:
        return None
    codes = _of_pair(known, signs, call.accumulator)

    def run(given: Mapping[str, Any]) -> Tensor:
        a, b = (_addend(given[name], term, codes) for name, term in zip(("self", "other"), known, strict=True))
        total: Tensor = signs[0] * a + signs[1] * b
        return total

    return call.held(codes, run)


def _of_pair(terms: list[Codes], signs: tuple[int, int], accumulator: Accumulator) -> Codes:
    """Tell what is known of a sum of two, in the finest step in which it fits: at most the coarser one's own."""
    steps = range(min(term.lsb for term in terms), max(term.lsb for term in terms) + 1)
    for lsb in steps:
        ends = [
            (term.low, term.high) if sign > 0 else (-term.high, -term.low)
            for term, sign in zip((_rounded(term, lsb) for term in terms), signs, strict=True)
        ]
        codes = Codes(lsb, ends[0][0] + ends[1][0], ends[0][1] + ends[1][1])
        if accumulator.fits(codes):
            break
    return codes


def _rounded(codes: Codes, lsb: int) -> Codes:
    """Give the same values counted in a finer step, or rounded to a coarser one, ties away from zero."""
    if lsb <= codes.lsb:
        return codes.aligned(lsb)
    low, high = in_steps(torch.tensor([codes.low, codes.high], dtype=torch.float64), lsb - codes.lsb, "half_away")
    return Codes(lsb, int(low), int(high))


def _term(operand: object) -> Codes | None:
    if isinstance(operand, Operand):
        return operand.codes
    if not is_number(operand):
        return None
    factor, lsb = constant(operand)
    return Codes(lsb, min(factor, 0), max(factor, 0))


def _addend(value: Any, term: Codes, codes: Codes) -> Any:
    """Give what is added, a tensor or a number, in steps that are no finer than those of the sum."""
    values = value if isinstance(value, Tensor) else torch.tensor(math.ldexp(*constant(value)), dtype=torch.float64)
    if term.lsb < codes.lsb:
        values = in_steps(values, codes.lsb, "half_away") * math.ldexp(1.0, codes.lsb)
    return values.to(codes.carrier) if isinstance(value, Tensor) else float(values)


@rule("cat", "concat", "concatenate", "stack")
def _cat(call: Call) -> Exact | None:
    parts = call["tensors"]
    if not all(isinstance(part, Operand) for part in parts):
        return None
    lsb = min(part.codes.lsb for part in parts)
    aligned = [part.codes.aligned(lsb) for part in parts]
    codes = Codes(lsb, min(part.low for part in aligned), max(part.high for part in aligned))

    def run(given: Mapping[str, Any]) -> Tensor:
        joined: Tensor = call.operation(tensors=[part.to(codes.carrier) for part in given["tensors"]], dim=given["dim"])
        return joined

    return Exact(codes, run, _steps_along(parts, lsb, call["dim"], stacked=call.name == "stack"))


def _steps_along(parts: list[Operand], lsb: int, dim: int, stacked: bool) -> Tensor | None:
    """Give by how many bits the step of what is joined lies above the finest, along the dimension that joins it."""
    rank = len(parts[0].shape) + stacked
    axis = dim % rank
    sizes = [1 if stacked else part.shape[axis] for part in parts]
    above = [part.codes.lsb - lsb for part in parts]
    if not any(above) or None in sizes:
        return None
    spread = torch.tensor(above).repeat_interleave(torch.tensor(sizes))
    return spread.reshape(-1, *[1] * (rank - 1 - axis))


@rule("sum", "mean")
def _sum(call: Call) -> Exact | None:
    x, dims = call["self"], call.arguments.get("dim")
    sizes = [x.shape[dim] for dim in dims] if dims else list(x.shape)
    if any(size is None for size in sizes):
        return None
    count = math.prod(sizes)
    keep = bool(call.arguments.get("keepdim", False))
    codes = _scaled(x.codes, count)

    def total(given: Mapping[str, Any], dtype: torch.dtype) -> Tensor:
        summed: Tensor = given["self"].to(dtype).sum(dims or None, keepdim=keep)
        return summed

    if call.name == "sum":
        return call.held(codes, lambda given: total(given, codes.carrier))
    return _average(call, codes, count, lambda given: total(given, torch.float64), lambda given: count)


@rule("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(call: Call) -> Exact | None:
    dimensions = int(call.name[-2])
    kernel = _per_dimension(call["kernel_size"], dimensions)
    how = {
        "kernel_size": kernel,
        "stride": _per_dimension(call["stride"] or kernel, dimensions),
        "padding": _per_dimension(call["padding"], dimensions),
        "ceil_mode": call["ceil_mode"],
    }
    pool, lift = torch.nn.functional.avg_pool3d if dimensions == 3 else torch.nn.functional.avg_pool2d, dimensions == 1
    if lift:  # the sum itself is to be had of the others only
        how = {key: value if key == "ceil_mode" else [int(key != "padding"), *value] for key, value in how.items()}
    divisor = call.arguments.get("divisor_override")

    def pooled(values: Tensor, **more: Any) -> Tensor:
        result: Tensor = pool(values.unsqueeze(-2) if lift else values, **how, **more)
        return result.squeeze(-2) if lift else result

    def counts(given: Mapping[str, Any]) -> Tensor | int:
        if divisor is not None:
            return int(divisor)
        # How many were summed, over the share that their average is of one: the divisor at each place.
        ones = torch.ones_like(given["self"][:1], dtype=torch.float64)
        average = pooled(ones, count_include_pad=call["count_include_pad"])
        return (pooled(ones, divisor_override=1) / average).round()

    codes = _scaled(call["self"].codes, math.prod(kernel))
    largest = math.prod(kernel) if divisor is None else divisor
    return _average(call, codes, largest, lambda given: pooled(given["self"].double(), divisor_override=1), counts)


@rule("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def _adaptive_avg_pool(call: Call) -> Exact | None:
    x, sizes = call["self"], list(call["output_size"])
    spans = x.shape[-len(sizes) :]
    if any(span is None or span % size for span, size in zip(spans, sizes, strict=True)):
        return None
    kernel = [span // size for span, size in zip(spans, sizes, strict=True)]
    count = math.prod(kernel)

    def total(given: Mapping[str, Any]) -> Tensor:
        values = given["self"].double()
        blocks = [part for size, span in zip(sizes, kernel, strict=True) for part in (size, span)]
        inner = [values.ndim - len(sizes) + 2 * position + 1 for position in range(len(sizes))]
        summed: Tensor = values.reshape(*values.shape[: -len(sizes)], *blocks).sum(inner)
        return summed

    return _average(call, _scaled(x.codes, count), count, total, lambda given: count)


def _average(call: Call, codes: Codes, divisor: int, total: Run, count: Callable[[Mapping[str, Any]], Any]) -> Exact:
    def run(given: Mapping[str, Any]) -> Tensor:
        average: Tensor = call.accumulator.hold(total(given), codes) / count(given)
        return average

    return Exact(replace(call.accumulator.codes(codes), divisor=divisor), run)


def _scaled(codes: Codes, count: int) -> Codes:
    return replace(codes, low=codes.low * count, high=codes.high * count)


def _per_dimension(size: Any, dimensions: int) -> list[int]:
    sizes = [size] if isinstance(size, int) else list(size)
    return sizes * dimensions if len(sizes) == 1 else sizes
