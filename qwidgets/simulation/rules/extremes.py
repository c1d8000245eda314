"""The larger or the smaller of values: maximum, minimum, clamps between tensors, magnitudes.

The operands are aligned to the finest step among them, so nothing is rounded before the format in which it leaves.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from qwidgets.simulation.accumulation import FLOAT64_HOLDS, Codes
from qwidgets.simulation.rules.rule import Call, Exact, Operand, rule

Extreme = Callable[[Any, Any], Any]


@rule("maximum")
def _maximum(call: Call) -> Exact | None:
    return _chosen(call, [("other", max, torch.maximum)])


@rule("minimum")
def _minimum(call: Call) -> Exact | None:
    return _chosen(call, [("other", min, torch.minimum)])


def between(call: Call) -> Exact | None:
    """Clamp values between those of other tensors; either may be missing."""
    bounds: list[tuple[str, Extreme, Extreme]] = [("min", max, torch.maximum), ("max", min, torch.minimum)]
    return _chosen(call, [bound for bound in bounds if call.arguments.get(bound[0]) is not None])


def _chosen(call: Call, others: list[tuple[str, Extreme, Extreme]]) -> Exact | None:
    """Compare with one operand after the other, each named, with the function of its bounds and that of its values."""
    operands = [call["self"], *(call[name] for name, _, _ in others)]
    if not all(isinstance(operand, Operand) for operand in operands):
        return None
    lsb = min(operand.codes.lsb for operand in operands)
    first, *rest = (operand.codes.aligned(lsb) for operand in operands)
    low, high = first.low, first.high
    for (_, extreme, _), codes in zip(others, rest, strict=True):
        low, high = extreme(low, codes.low), extreme(high, codes.high)
    codes = Codes(lsb, low, high)
    # What is not chosen must be held, too, for the comparison.
    widest = Codes(lsb, min(known.low for known in (first, *rest)), max(known.high for known in (first, *rest)))
    if widest.largest > FLOAT64_HOLDS:
        return None

    def run(given: Mapping[str, Any]) -> Tensor:
        values: Tensor = given["self"].to(widest.carrier)
        for name, _, extreme in others:
            values = extreme(values, given[name].to(widest.carrier))
        return values

    return Exact(codes, run)


@rule("abs")
def _abs(call: Call) -> Exact | None:
    x = call["self"].codes
    low = 0 if x.low <= 0 <= x.high else min(abs(x.low), abs(x.high))
    return Exact(replace(x, low=low, high=x.largest), lambda given: given["self"].abs())
