"""Two slopes: what is not negative passes, what is negative is multiplied by a constant code.

The slope of a leaky ReLU is a number of the program, of 15 magnitude bits; those of a PReLU are codes of a row, one for
all channels or one for each.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from qwidgets.simulation.accumulation import Codes
from qwidgets.simulation.rules.rule import Call, Exact, Operand, constant, is_number, rule


@rule("leaky_relu")
def _leaky_relu(call: Call) -> Exact | None:
    if not is_number(call["negative_slope"]):
        return None
    factor, lsb = constant(call["negative_slope"])
    codes = _bent(call["self"].codes, (factor, factor), lsb)
    slope = math.ldexp(factor, lsb)
    return Exact(codes, lambda given: _two_slopes(given["self"].to(codes.carrier), slope))


@rule("prelu")
def _prelu(call: Call) -> Exact | None:
    x, slopes = call["self"], call["weight"]
    if not isinstance(slopes, Operand) or slopes.integers is None:
        return None
    ends = int(slopes.integers.min()), int(slopes.integers.max())
    codes = _bent(x.codes, ends, slopes.codes.lsb)
    by_channel = (-1, *[1] * (len(x.shape) - 2)) if slopes.integers.numel() > 1 else ()

    def run(given: Mapping[str, Any]) -> Tensor:
        return _two_slopes(given["self"].to(codes.carrier), given["weight"].to(codes.carrier).reshape(by_channel))

    return Exact(codes, run)


def _bent(x: Codes, slopes: tuple[int, int], lsb: int) -> Codes:
    """Bound what two slopes give; the negative one lies between ``slopes``, counted in steps of ``2**lsb``."""
    fine = x.aligned(x.lsb + min(lsb, 0))
    products = [(slope << max(lsb, 0)) * min(x.low, 0) for slope in slopes]
    return replace(fine, low=min(*products, 0), high=max(*products, fine.high, 0))


def _two_slopes(values: Tensor, slope: Tensor | float) -> Tensor:
    return torch.where(values >= 0, values, values * slope)
