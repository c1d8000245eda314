"""What becomes of a network where a runtime rounds ties to even and the plan rounds them otherwise: counted over data.

Both are computed side by side from one program each. Counts are exact, and belong to the data that was given.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from qwidgets.adjusting import leaves_of
from qwidgets.formats import FixedPoint
from qwidgets.network import AutocastScope, Operation
from qwidgets.simulation import Parameter, Program, QuantizedNetwork

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
    program, network = quantized.program, quantized.network
    to_even = {row: dataclasses.replace(fmt, rounding="half_even") for row, fmt in rows.items()}
    even = Program(quantized.network, {**program.formats, **to_even}, 32, quantized.adjustments)
    counts = {row: dict.fromkeys(COLUMNS[1:], 0) for row in network.producers}
    for batch in leaves_of(quantized.network, model, data):
        inputs = dict(zip(network.given, batch, strict=True))
        ours: dict[Operation, Any] = {}
        theirs: dict[Operation, Any] = {}
        our_scope, their_scope = AutocastScope(), AutocastScope()
        for node in network.operations:
            if node.kind in ("input", "constant"):
                ours[node] = theirs[node] = inputs[node] if node in inputs else quantized.tensor(node.target)
            if node.kind == "output" or node not in program.steps:
                continue
            with torch.no_grad(), our_scope:
                alone = even.steps[node](_looking(quantized, ours)) if node.slot is not None else None
                ours[node] = program.steps[node](_looking(quantized, ours))
            with torch.no_grad(), their_scope:
                theirs[node] = even.steps[node](_looking(quantized, theirs))
            if node.slot is not None and alone is not None:
                count = counts[node.slot]
                count["values"] += ours[node].numel()
                count["ties"] += _unequal(ours[node], alone)
                count["differing"] += _unequal(ours[node], theirs[node])
    shown = [row for row, count in counts.items() if row in rows or count["differing"]]
    roundings = {row: getattr(program.formats[row], "rounding", "float") for row in shown}
    table = [{"rounding": roundings[row], **counts[row]} for row in shown]
    return pd.DataFrame(table, index=shown, columns=list(COLUMNS))


def _looking(quantized: QuantizedNetwork, values: Mapping[Operation, Any]) -> Callable[[Any], Any]:
    def look(value: Any) -> Any:
        if isinstance(value, Parameter):
            return quantized.values(value)
        return quantized.device if isinstance(value, torch.device) else values[value]

    return look


def _unequal(values: Tensor, others: Tensor) -> int:
    return int((values != others).sum())
