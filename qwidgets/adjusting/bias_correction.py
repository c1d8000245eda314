"""Bias correction: what rounding adds to a layer's output on the average is taken off its bias.

Rounded weights and inputs move the mean of each output channel. Layer after layer, with the layers before already
corrected, that mean error is measured over data and subtracted. Source: Nagel et al., "Data-Free Quantization through
Weight Equalization and Bias Correction" (2019), the variant with data.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

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
    original = recapture(model, plan)
    network = plan.adjustments.applied(original)
    leaves = lockstep.leaves_of(network, unwrapped(model), data)
    shifts = dict(plan.adjustments.shifts)
    with progress.over(len(network.layers), "correct bias"):
        for meeting in lockstep.meetings(network, plan.committed, plan.adjustments, leaves):
            correct(meeting, plan, shifts)
            progress.step()
    return Adjusted(counted(plan, original, dataclasses.replace(plan.adjustments, shifts=shifts)), {})


def counted(plan: Plan, original: Network, after: Adjustments) -> Adjustments:
    """Give adjustments with the statistics of the weights and biases under them."""
    assert plan.calibration is not None  # recapturing asks for one
    calibration = plan.calibration.with_values(after.parameters(original.parameters))
    return dataclasses.replace(after, calibration=calibration)


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
