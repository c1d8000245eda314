"""Functions of one tensor, value by value: clamps, hard gates, turned signs."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from qwidgets.formats import round_in_place
from qwidgets.network import CLAMPS, clamp_bounds
from qwidgets.simulation.accumulation import Codes
from qwidgets.simulation.rules.extremes import between
from qwidgets.simulation.rules.rule import Call, Exact, Operand, constant, is_number, rule


@rule(*CLAMPS)
def _clamp(call: Call) -> Exact | None:
    least, most = clamp_bounds(call.name, call.arguments)
    if isinstance(least, Operand) or isinstance(most, Operand):
        return between(call)
    return _clamped(call["self"], least, most)


@rule("threshold")
def _threshold(call: Call) -> Exact | None:
    """``x if x > threshold else value``: a clamp where both are the same number."""
    x, threshold, value = call["self"].codes, call["threshold"], call["value"]
    if not is_number(threshold) or not is_number(value):
        return None
    if threshold == value:
        return _clamped(call["self"], threshold, None)
    factor, lsb = constant(value)
    fine, least = x.aligned(min(x.lsb, lsb)), factor << max(lsb - x.lsb, 0)
    codes = replace(fine, low=min(fine.low, least), high=max(fine.high, least))

    def run(given: Mapping[str, Any]) -> Tensor:
        values = given["self"].double()
        return torch.where(values > threshold, values, math.ldexp(factor, lsb)).to(codes.carrier)

    return Exact(codes, run)


def _clamped(x: Operand, least: object, most: object) -> Exact | None:
    if isinstance(least, Tensor) or isinstance(most, Tensor):
        return _clamped_by_channel(x, least, most)
    least, most = None if least == -math.inf else least, None if most == math.inf else most
    if not all(bound is None or is_number(bound) for bound in (least, most)):
        return None
    step = math.ldexp(1.0, x.codes.lsb)
    low, high = (_nearest(bound / step) if is_number(bound) else None for bound in (least, most))

    def within(code: int) -> int:
        code = code if low is None else max(code, low)
        return code if high is None else min(code, high)

    bounds = [None if code is None else code * step for code in (low, high)]
    codes = Codes(x.codes.lsb, within(x.codes.low), within(x.codes.high))
    return Exact(codes, lambda given: torch.clamp(given["self"], *bounds), x.sums_in)


def _clamped_by_channel(x: Operand, least: object, most: object) -> Exact | None:
    """Clamp with bounds of one value for each channel, each rounded to the nearest code."""
    if not all(bound is None or isinstance(bound, Tensor) for bound in (least, most)):
        return None
    step = math.ldexp(1.0, x.codes.lsb)
    low, high = (_nearest_codes(bound, x.codes) if isinstance(bound, Tensor) else None for bound in (least, most))
    lowest = x.codes.low if low is None else max(x.codes.low, int(low.min()))
    highest = x.codes.high if high is None else min(x.codes.high, int(high.max()))
    codes = Codes(x.codes.lsb, min(lowest, highest), max(lowest, highest))
    bounds = [None if bound is None else bound * step for bound in (low, high)]

    def run(given: Mapping[str, Any]) -> Tensor:
        values = given["self"]
        return torch.clamp(values, *[None if bound is None else bound.to(values) for bound in bounds])

    return Exact(codes, run, x.sums_in)


def _nearest_codes(bounds: Tensor, codes: Codes) -> Tensor:
    nearest = bounds.double() * math.ldexp(1.0, -codes.lsb)
    round_in_place(torch, nearest, "half_away")
    return nearest.clamp(codes.low, codes.high)


@rule("hardswish", "hardsigmoid")
def _hard_gate(call: Call) -> Exact | None:
    x = call["self"].codes.aligned(min(call["self"].codes.lsb, 0))
    six = 6 << -x.lsb
    low, high = (min(max(code + six // 2, 0), six) for code in (x.low, x.high))
    codes = Codes(x.lsb, low, high)
    if call.name == "hardswish":
        codes = Codes(2 * x.lsb, -x.largest * high, x.largest * high)

    def run(given: Mapping[str, Any]) -> Tensor:
        values = given["self"].double()
        gate = (values + 3).clamp(0, 6)
        return torch.div(values * gate if call.name == "hardswish" else gate, 6)

    return Exact(replace(codes, divisor=6), run)


@rule("neg")
def _neg(call: Call) -> Exact | None:
    x = call["self"].codes
    return Exact(replace(x, low=-x.high, high=-x.low), lambda given: -given["self"])


def _nearest(steps: float) -> int:
    """Round to the nearest whole number, ties away from zero."""
    whole = math.floor(abs(steps))
    return int(math.copysign(whole + (abs(steps) - whole >= 0.5), steps))
