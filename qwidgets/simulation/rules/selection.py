"""Values chosen from two tensors by a mask: where."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from qwidgets.simulation.accumulation import Codes
from qwidgets.simulation.rules.rule import Call, Exact, Operand, constant, is_number, rule


@rule("where")
def _where(call: Call) -> Exact | None:
    """Both are aligned to the finer step; a number is a constant of 15 magnitude bits."""
    known = [_codes(call.arguments.get(name)) for name in ("self", "other")]
    sides = [codes for codes in known if codes is not None]
    if len(sides) < 2:
        return None
    lsb = min(codes.lsb for codes in sides)
    aligned = [codes.aligned(lsb) for codes in sides]
    codes = Codes(lsb, min(side.low for side in aligned), max(side.high for side in aligned))

    def run(given: Mapping[str, Any]) -> Tensor:
        condition: Tensor = given["condition"]
        one, other = (_values(given[name], codes, condition) for name in ("self", "other"))
        return torch.where(condition, one, other)

    return Exact(codes, run)


def _codes(value: object) -> Codes | None:
    if isinstance(value, Operand):
        return value.codes
    if not is_number(value):
        return None
    factor, lsb = constant(value)
    return Codes(lsb, min(factor, 0), max(factor, 0))


def _values(value: Any, codes: Codes, condition: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return value.to(codes.carrier)
    return torch.tensor(math.ldexp(*constant(value)), dtype=codes.carrier, device=condition.device)
