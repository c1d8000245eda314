"""Values between those of an image or a sequence that is scaled up by powers of two.

Scaled by s, a value lies a whole number of steps of 1 / 2s from its neighbours, so what they weigh is exact, and so is
the sum of four (or two, or eight) products. Other factors have weights that no fraction of bits holds.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from qwidgets.simulation.rules.rule import Call, Exact, Operand, rule


@rule("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d")
def _between(call: Call) -> Exact | None:
    x, dimensions = call["input"], int(call.name[-2])
    if not isinstance(x, Operand) or call["align_corners"]:
        return None
    factors = _factors(call, x.shape[-dimensions:])
    if factors is None or any(factor < 1 or factor & (factor - 1) for factor in factors):
        return None
    # 1 / 2s for each dimension; one that stays as it is takes no bits.
    fine = sum(factor.bit_length() for factor in factors if factor > 1)
    codes = replace(x.codes, lsb=x.codes.lsb - fine, low=x.codes.low << fine, high=x.codes.high << fine)
    rest = {name: value for name, value in call.arguments.items() if name != "input"}

    def run(given: Mapping[str, Any]) -> Tensor:
        return call.operation(input=given["input"].double(), **rest).to(codes.carrier)

    return call.held(codes, run)


def _factors(call: Call, sizes: tuple[int | None, ...]) -> list[int] | None:
    """Give by how much each dimension grows; None where that is no whole number, or differs from call to call."""
    scales = call.arguments.get("scale_factors")
    if scales is None:
        outputs = call.arguments.get("output_size") or []
        if not all(isinstance(size, int) and size for size in (*sizes, *outputs)):
            return None
        scales = [after / (before or 1) for after, before in zip(outputs, sizes, strict=True)]
    return [int(scale) for scale in scales] if all(scale == int(scale) for scale in scales) else None
