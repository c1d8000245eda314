"""Bias correction: what rounding adds to a layer's output is taken off its bias, as far as one number a channel can.

Layer after layer, with the layers before already corrected, each bias is shifted so that the squared error of what
leaves the layer, after its activation function, is least. Without such a function that is the mean error. With one,
only values that it lets through count: to correct the mean of what a ReLU cuts off would spoil what it does not. What
one half of the data asks for is done only where it helps the other half, too, and a channel keeps its bias where the
data that are kept aside are better off with it.

Source of the idea: Nagel et al., "Data-Free Quantization through Weight Equalization and Bias Correction" (2019), which
corrects the mean before the activation function.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from qwidgets.adjusting import layerwise
from qwidgets.adjusting.kept_aside import Judging, divide, surely_less
from qwidgets.adjusting.step import Adjusted, Step, Unchanged, register_step
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.network import Network
from qwidgets.progress import Progress
from qwidgets.simulation import captured
from qwidgets.tuning import Adjustments, Array, PlanState

TURNS = 4
"""Newton steps towards the least squared error; the activation function bends between them."""

TINY = torch.finfo(torch.float64).tiny


def correct_bias(model: nn.Module, plan: PlanState, data: Iterable[Any], progress: Progress) -> Adjusted | Unchanged:
    """Shift each bias by what its channel's output lacks over the data."""
    before, original = plan.adjustments, captured(model, plan)
    bare = dataclasses.replace(before, shifts={}).parameters(original.parameters)
    network = before.applied(original)
    divided = divide(network, model, data)
    judging = Judging(model, network, plan, divided)
    shifts = dict(before.shifts)
    with progress.over(len(network.layers), "correct bias"):
        for pair in layerwise.layer_pairs(network, plan.committed, before, bare, divided):
            correction(pair, plan).make(pair, shifts, bare)
            progress.step()
    if not differ(shifts, before.shifts):
        return Unchanged("no bias is better corrected than as it is")
    after = dataclasses.replace(before, shifts=shifts)
    verdict = judging.verdict(corrected(network, original, after), plan.committed, after)
    if not verdict.is_better:
        return Unchanged(f"biases are better as they are: corrected, {verdict}")
    return Adjusted(counted(plan, original, after), {}, verdict)


def differ(shifts: Mapping[str, Array], before: Mapping[str, Array]) -> bool:
    """Tell whether any bias got another shift."""
    return any(shift is not before.get(row) for row, shift in shifts.items())


def corrected(network: Network, original: Network, after: Adjustments) -> Network:
    """Give a network that is scaled as adjustments say, its weights and biases as they say too."""
    return dataclasses.replace(network, parameters=after.parameters(original.parameters))


def counted(plan: PlanState, original: Network, after: Adjustments) -> Adjustments:
    """Give adjustments with the statistics of the weights and biases under them."""
    assert plan.calibration is not None  # recapturing asks for one
    calibration = plan.calibration.with_values(after.parameters(original.parameters))
    return dataclasses.replace(after, calibration=calibration)


@dataclasses.dataclass(frozen=True)
class Correction:
    """What is done to the bias of a layer.

    Attributes
    ----------
    bias
        What it becomes, before rounding, float64; None where it stays.
    rounded
        The same in its format.
    errors
        The squared error of what leaves the layer then, after its activation function, of each sample kept aside.
    """

    bias: Tensor | None
    rounded: Tensor | None
    errors: Tensor

    def make(self, pair: layerwise.LayerPair, shifts: dict[str, Array], bare: dict[str, Tensor]) -> None:
        """Give the quantized side this bias, and note by how much it differs from what it was without corrections."""
        row = pair.layer.bias_row
        if row is not None and self.bias is not None and self.rounded is not None:
            shifts[row] = (self.bias - bare[row].double().cpu()).numpy()
            pair.quantized.parameters[row] = self.rounded.to(pair.adjusted[row].dtype)


def correction(pair: layerwise.LayerPair, plan: PlanState) -> Correction:
    """Find what is best done to the bias of a layer, whose weight may have been changed before."""
    row = pair.layer.bias_row
    seen, aside = ([(pair.activated(left), right) for left, right in pairs] for pairs in pair.outputs())
    present = _errors(aside, None, pair)
    if row is None or row in plan.locked:
        return Correction(None, None, present.sum(1))
    fmt = plan.committed[row]
    rounded = pair.quantized.parameters[row].double().cpu()
    wanted = rounded + least_squares_shift(seen, pair)
    becomes = fmt.quantize(wanted) if isinstance(fmt, FixedPoint | PerChannel) else wanted
    moved = _errors(aside, becomes - rounded, pair)
    better = surely_less(moved, present)
    errors = torch.where(better, moved, present).sum(1)
    if not better.any():
        return Correction(None, None, errors)
    bias = torch.where(better, wanted, pair.adjusted[row].double().cpu())
    return Correction(bias, torch.where(better, becomes, rounded), errors)


def least_squares_shift(pairs: layerwise.Pairs, pair: layerwise.LayerPair) -> Tensor:
    """Give by how much each output channel of the quantized layer is best shifted, float64, (channels,).

    Parameters
    ----------
    pairs
        What leaves the layer: in float after its activation function, quantized before that.
    """
    axis = _channels(pair)
    shift = torch.zeros(pairs[0][1].shape[axis], dtype=torch.float64)
    agreed = torch.ones_like(shift)
    for turn in range(TURNS if pair.layer.activation else 1):
        sums = torch.zeros(2, 2, len(shift), dtype=torch.float64)
        seen = 0
        for outputs, quantized in pairs:
            first, second = _derivatives(outputs, quantized, shift, pair)
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


def _derivatives(outputs: Tensor, quantized: Tensor, shift: Tensor, pair: layerwise.LayerPair) -> tuple[Tensor, Tensor]:
    """Give half the first and second derivative of each sample's squared error by each channel's shift."""
    with torch.enable_grad():
        moved = _moved(quantized, shift, pair).requires_grad_()
        activated = pair.activated(moved)
        (gains,) = torch.autograd.grad(activated.sum(), moved)
    errors = activated.detach() - outputs
    return _by_channel(errors * gains, pair), _by_channel(gains.square(), pair)


def _errors(pairs: layerwise.Pairs, shift: Tensor | None, pair: layerwise.LayerPair) -> Tensor:
    """Give the squared error after the activation function, float64, (samples of all batches, channels)."""
    errors = []
    for outputs, quantized in pairs:
        activated = pair.activated(_moved(quantized, shift, pair))
        errors.append(_by_channel((activated - outputs).square(), pair))
    return torch.cat(errors)


def _moved(values: Tensor, shift: Tensor | None, pair: layerwise.LayerPair) -> Tensor:
    """Give values with each channel shifted, in float32 at least: a shift may be less than a float16 can tell."""
    wide = values.to(torch.promote_types(values.dtype, torch.float32))
    if shift is None:
        return wide
    channel = _channels(pair) % values.ndim
    return wide + shift.reshape(-1, *[1] * (values.ndim - 1 - channel)).to(wide)


def _by_channel(values: Tensor, pair: layerwise.LayerPair) -> Tensor:
    """Sum up each channel of each sample, float64."""
    channel = _channels(pair) % values.ndim
    places = [other for other in range(1, values.ndim) if other != channel]
    return (values.sum(places, dtype=torch.float64) if places else values.double()).cpu()


def _channels(pair: layerwise.LayerPair) -> int:
    return -1 if pair.layer.operation == "linear" else 1


register_step(
    Step(
        name="correct_bias",
        title="Correct bias",
        about="Takes off each bias what quantization adds to its channel on the average over the data.",
        run=correct_bias,
        note="biases corrected",
        changes=("shifts",),
    )
)
