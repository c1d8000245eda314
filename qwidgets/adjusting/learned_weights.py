"""Which weights and biases can be learned under a plan's formats, where that begins, and how it gets into the plan.

What was learned becomes roundings of the weights, codes above or below the nearest, and shifts of the biases.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from qwidgets.adjusting.straight_through import steps_of
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.network import Network
from qwidgets.tuning import Adjustments, Format, PlanState, Rounding

WIDEST = 16
"""A weight of more bits is as good as one in float, and its codes could move further than a rounding can tell."""

NEAREST = 0.49
"""So many steps from its code a value may be, and be rounded to it."""


def learnable(
    network: Network, formats: Mapping[str, FixedPoint | PerChannel | None], plan: PlanState
) -> frozenset[str]:
    """Give the weights and biases that may change."""
    kinds = {row.name: row.kind for row in network.rows}
    return frozenset(
        row
        for row in network.parameters
        if (fmt := formats[row]) is not None
        and row not in plan.locked
        and (kinds[row] == "bias" or fmt.word_length <= WIDEST)
    )


def begin(network: Network, plan: PlanState) -> dict[str, Tensor]:
    """Give weights and biases whose codes are those that they have now, each as far from its code as it is in float.

    What saturates, or was rounded up or down on purpose, lies within half a step of its code. All are in float32 or
    wider.
    """
    found = {}
    for row, values in network.parameters.items():
        fmt = plan.committed[row]
        found[row] = values.detach().clone()
        if isinstance(fmt, FixedPoint | PerChannel):
            now, exact = fmt.from_integer(plan.adjustments.codes(row, fmt, values)), values.double()
            reach = NEAREST * steps_of(fmt, exact)
            found[row] = (now + (exact - fmt.quantize(exact)).clamp(-reach, reach)).to(wide_type(values))
    return found


def wide_type(values: Tensor) -> torch.dtype:
    """Give a float type that holds every code of 16 bits, and these values."""
    return torch.promote_types(values.dtype, torch.float32)


def as_adjustments(
    learned: Mapping[str, Tensor],
    network: Network,
    plan: PlanState,
    bare: Mapping[str, Tensor],
    formats: Mapping[str, Format] = MappingProxyType({}),
) -> Adjustments:
    """Give what was learned as roundings of the weights and shifts of the biases.

    Parameters
    ----------
    learned
        The values of the rows that were, before any rounding, float64.
    network
        As the plan has adjusted it.
    bare
        The weights and biases without any shift.
    formats
        Of the rows that have others than the plan has committed.
    """
    before = plan.adjustments
    roundings, shifts = dict(before.roundings), dict(before.shifts)
    kinds = {row.name: row.kind for row in network.rows}
    for row, now in learned.items():
        fmt, values = formats.get(row, plan.committed[row]), network.parameters[row].cpu()
        if kinds[row] == "bias":
            shifts[row] = (now.cpu() - bare[row].double().cpu()).numpy()
        elif isinstance(fmt, FixedPoint | PerChannel):
            offsets = (fmt.to_integer(now.cpu()) - fmt.to_integer(values)).numpy()
            limits = np.iinfo(np.int16)
            roundings[row] = Rounding(fmt, offsets.clip(limits.min, limits.max).astype(np.int16))
    return dataclasses.replace(before, roundings=roundings, shifts=shifts)
