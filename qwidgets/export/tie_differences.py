"""What becomes of a network where a runtime rounds ties to even and the plan rounds them otherwise: counted over data.

Both are computed side by side from one program each. Counts are exact, and belong to the data that was given.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.fx import Node

from qwidgets.adjusting.lockstep import leaves_of
from qwidgets.fixed_point import FixedPoint
from qwidgets.integers.program import Parameter, Program
from qwidgets.simulation import QuantizedNetwork

COLUMNS = ("rounding", "values", "ties", "differing")


def tie_differences(
    quantized: QuantizedNetwork, rows: Mapping[str, FixedPoint], model: nn.Module, data: Iterable[Any]
) -> pd.DataFrame:
    """Count what rounding the ties of some rows to even changes.

    Parameters
    ----------
    quantized
        The network under its plan.
    rows
        The rows that the plan rounds otherwise, with their formats.
    model
        The network that the batches are for.
    data
        Batches, as for :func:`qwidgets.calibrate`.

    Returns
    -------
    pandas.DataFrame
        Indexed by row, for each input and activation row that differs or could: its ``rounding`` in the plan; how many
        ``values`` it had; how many of these are ``ties`` that become another code, given what the plan computes up to
        there; how many are ``differing`` in the end, since what differs is read by later layers.

    Raises
    ------
    DataError
        There is no batch, or one cannot be fed: its number is named.
    """
    leaves = leaves_of(quantized.network, model, data)
    program = quantized.program
    formats = {**program.formats, **{row: dataclasses.replace(fmt, rounding="half_even") for row, fmt in rows.items()}}
    even = Program(quantized.network, formats, 32, quantized.adjustments)
    seen = dict.fromkeys(program.rows.values(), 0)
    ties, differing = dict(seen), dict(seen)
    for batch in leaves:
        ours: dict[Node, Any] = {}
        theirs: dict[Node, Any] = {}
        inputs = iter(batch)
        for node in quantized.network.graph.graph.nodes:
            if node.op == "output":
                break
            if node.op == "placeholder":
                ours[node] = theirs[node] = next(inputs)
            elif node.op == "get_attr":
                ours[node] = theirs[node] = quantized.tensor(str(node.target)) if node not in program.steps else None
            with torch.no_grad():
                alone = (
                    even.steps[node](_looking(quantized, ours)) if node in program.rows and node in even.steps else None
                )
                if node in program.steps:
                    ours[node] = program.steps[node](_looking(quantized, ours))
                    theirs[node] = even.steps[node](_looking(quantized, theirs))
            if node in program.rows:
                row = program.rows[node]
                seen[row] += ours[node].numel()
                ties[row] += 0 if alone is None else _unequal(ours[node], alone)
                differing[row] += _unequal(ours[node], theirs[node])
    roundings = {row: getattr(program.formats[row], "rounding", "float") for row in seen}
    table = pd.DataFrame(
        {
            "rounding": pd.Series(roundings),
            "values": pd.Series(seen),
            "ties": pd.Series(ties),
            "differing": pd.Series(differing),
        },
        index=list(seen),
    )
    return table[[row in rows or differing[row] > 0 for row in seen]]


def _looking(quantized: QuantizedNetwork, values: Mapping[Node, Any]) -> Callable[[Any], Any]:
    def look(value: Any) -> Any:
        if isinstance(value, Parameter):
            return quantized.values(value)
        return quantized.device if isinstance(value, torch.device) else values[value]

    return look


def _unequal(values: Tensor, others: Tensor) -> int:
    return int((values != others).sum())
