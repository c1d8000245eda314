"""Bias correction: what rounding adds to a layer's output on the average is taken off its bias.

Rounded weights and inputs move the mean of each output channel. Layer after layer, with the layers before already
corrected, that mean error is measured over data and subtracted. Source: Nagel et al., "Data-Free Quantization through
Weight Equalization and Bias Correction" (2019), the variant with data.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from qwidgets.adjusting import lockstep
from qwidgets.fixed_point import FixedPoint
from qwidgets.network import Network, unwrapped
from qwidgets.per_channel import PerChannel
from qwidgets.plan import Adjusted, Plan
from qwidgets.planning.adjustments import Adjustments
from qwidgets.progress import Progress
from qwidgets.simulation import recapture


def correct_bias(model: nn.Module, plan: Plan, data: Iterable[Any], progress: Progress) -> Adjusted:
    """Shift each bias by the mean error of its channel's output, pre-activation, over the data."""
    network = plan.adjustments.applied(recapture(model, plan))
    leaves = lockstep.leaves_of(network, unwrapped(model), data)
    shifts = dict(plan.adjustments.shifts)
    with progress.over(len(network.layers), "correct bias"):
        for meeting in lockstep.meetings(network, plan.committed, plan.adjustments, leaves):
            correct(meeting, plan, shifts)
            progress.step()
    return Adjusted(shifted(plan, network, dataclasses.replace(plan.adjustments, shifts=shifts)), {})


def shifted(plan: Plan, network: Network, after: Adjustments) -> Adjustments:
    """Give adjustments with the statistics of the biases that they shift beyond those of a network."""
    if plan.calibration is None:
        return after
    values = dict(network.parameters)
    for row, shift in after.shifts.items():
        more = torch.from_numpy(shift - plan.adjustments.shifts.get(row, 0.0)).to(values[row].device)
        values[row] = (values[row].double() + more).to(values[row].dtype)
    return dataclasses.replace(after, calibration=plan.calibration.with_values(values))


def correct(meeting: lockstep.Meeting, plan: Plan, shifts: dict[str, Any]) -> None:
    """Correct the bias of one layer, and note by how much it was shifted in all."""
    row = meeting.layer.bias_row
    if row is None or row in plan.locked:
        return
    shift = meeting.mean_difference()
    wanted = meeting.reference.parameters[row].double().cpu() + shift
    shifts[row] = shifts.get(row, 0.0) + shift.numpy()
    fmt = plan.committed[row]
    kept = fmt.quantize(wanted) if isinstance(fmt, FixedPoint | PerChannel) else wanted
    meeting.quantized.parameters[row] = kept.to(meeting.reference.parameters[row].dtype)
