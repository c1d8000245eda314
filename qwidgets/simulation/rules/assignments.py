"""Assignments: each value comes from one of two tensors, aligned to one step."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from qwidgets.simulation.accumulation import Codes
from qwidgets.simulation.rules.rule import Call, Exact, Operand, rule

_SOURCES = {
    "diagonal_scatter": "src",
    "index_copy": "source",
    "index_put": "values",
    "masked_scatter": "source",
    "scatter": "src",
    "select_scatter": "src",
    "slice_scatter": "src",
}
"""What the argument with the values that go into ``self`` is called."""


@rule(*_SOURCES)
def _assign(call: Call) -> Exact | None:
    names = "self", _SOURCES[call.name]
    whole, source = (call.arguments.get(name) for name in names)
    if not isinstance(whole, Operand) or not isinstance(source, Operand) or call.arguments.get("accumulate"):
        return None
    lsb = min(whole.codes.lsb, source.codes.lsb)
    parts = [operand.codes.aligned(lsb) for operand in (whole, source)]
    codes = Codes(lsb, min(part.low for part in parts), max(part.high for part in parts))

    def run(given: Mapping[str, Any]) -> Tensor:
        assigned: Tensor = call.operation(**{**given, **{name: given[name].to(codes.carrier) for name in names}})
        return assigned

    return Exact(codes, run)
