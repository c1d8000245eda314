"""Bias correction: what rounding adds to a layer's output is taken off its bias, as far as one number a channel can.

Layer after layer, with the layers before already corrected, each bias is shifted so that the squared error of what
leaves the layer, after its activation function, is least. Without such a function that is the mean error. With one,
only values that it lets through count: to correct the mean of what a ReLU cuts off would spoil what it does not. What
one half of the data asks for is done only where it helps the other half, too.

Source of the idea: Nagel et al., "Data-Free Quantization through Weight Equalization and Bias Correction" (2019), which
corrects the mean before the activation function.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from qwidgets.adjusting import lockstep
from qwidgets.fixed_point import FixedPoint
from qwidgets.network import Network, unwrapped
from qwidgets.per_channel import PerChannel
from qwidgets.plan import Adjusted, Plan
from qwidgets.planning.adjustments import Adjustments
from qwidgets.progress import Progress
from qwidgets.simulation import recapture

TURNS = 4
"""Newton steps towards the least squared error; the activation function bends between them."""

TINY = torch.finfo(torch.float64).tiny


def correct_bias(model: nn.Module, plan: Plan, data: Iterable[Any], progress: Progress) -> Adjusted:
    """Shift each bias by what its channel's output lacks over the data."""
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
    shift = least_squares_shift(meeting)
    wanted = meeting.reference.parameters[row].double().cpu() + shift
    shifts[row] = shifts.get(row, 0.0) + shift.numpy()
    fmt = plan.committed[row]
    kept = fmt.quantize(wanted) if isinstance(fmt, FixedPoint | PerChannel) else wanted
    meeting.quantized.parameters[row] = kept.to(meeting.reference.parameters[row].dtype)


def least_squares_shift(meeting: lockstep.Meeting) -> Tensor:
    """Give by how much each output channel of the quantized layer is best shifted, float64, (channels,)."""
    axis = -1 if meeting.layer.operation == "linear" else 1
    pairs = [(meeting.activated(reference), quantized) for reference, quantized in meeting.outputs]
    shift = torch.zeros(pairs[0][1].shape[axis], dtype=torch.float64)
    agreed = torch.ones_like(shift)
    for turn in range(TURNS if meeting.layer.activation_node else 1):
        sums = torch.zeros(2, 2, len(shift), dtype=torch.float64)
        seen = 0
        for outputs, quantized in pairs:
            first, second = _derivatives(outputs, quantized, shift, meeting, axis)
            for half in (0, 1):  # sample after sample in turn
                own = slice((half + seen) % 2, None, 2)
                sums[half] += torch.stack([first[own].sum(0), second[own].sum(0)])
            seen += len(outputs)
        slope, curvature = sums.sum(0)
        if turn == 0:
            # By the second-order expansion: what shifting one half by the other one's optimum would do to its error.
            wanted = (-sums[:, 0] / sums[:, 1].clamp_min(TINY)).flip(0)
            agreed = (wanted * (2 * sums[:, 0] + wanted * sums[:, 1]) < 0).all(0).double()
        shift = shift - agreed * slope / curvature.clamp_min(TINY)
    return shift


def _derivatives(
    outputs: Tensor, quantized: Tensor, shift: Tensor, meeting: lockstep.Meeting, axis: int
) -> tuple[Tensor, Tensor]:
    """Give half the first and second derivative of each sample's squared error by each channel's shift."""
    channel = axis % quantized.ndim
    with torch.enable_grad():
        moved = quantized + shift.reshape(-1, *[1] * (quantized.ndim - 1 - channel)).to(quantized)
        moved.requires_grad_()
        activated = meeting.activated(moved)
        (gains,) = torch.autograd.grad(activated.sum(), moved)
    errors = activated.detach() - outputs
    places = [other for other in range(1, quantized.ndim) if other != channel]

    def summed(values: Tensor) -> Tensor:
        return (values.sum(places, dtype=torch.float64) if places else values.double()).cpu()

    return summed(errors * gains), summed(gains.square())
