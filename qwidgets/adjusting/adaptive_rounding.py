"""Adaptive rounding: each weight is rounded up or down so that the layer's output is kept, not the weight.

Layer after layer, with inputs taken from the network as quantized so far and outputs from the one in float, the
weights are first refitted to those inputs by least squares, then rounded one input at a time, and what each rounding
does to the output is made up for by the weights that are still to come. The mean error is left to the bias.

Sources: Frantar et al., "GPTQ" (2022), for rounding with the inverse of the Hessian; the refitting to quantized inputs
follows Li et al., "GPTAQ" (2025).
"""

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qwidgets import schemes
from qwidgets.adjusting import layerwise
from qwidgets.adjusting.bias_correction import Correction, corrected, correction, counted, differ
from qwidgets.adjusting.kept_aside import Judging, divide, surely_less
from qwidgets.adjusting.layer_inputs import Moments, moments
from qwidgets.adjusting.step import Adjusted, Step, Unchanged, register_step
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.progress import Progress
from qwidgets.simulation import captured
from qwidgets.tuning import Format, PlanState, Rounding, leave_as_before

DAMPINGS = (0.01, 0.1, 1.0)
"""Shares of the mean of the Hessian's diagonal that are added to it, so that few data do not decide too much."""

BLOCK = 128
"""So many inputs are rounded before the remaining ones are updated at once: the same result, in less time."""


WithRoom = Callable[[Tensor, Format], Format]
"""Makes a format that was chosen for values of a weight coarser where the sums need that."""


def round_adaptively(
    model: nn.Module, plan: PlanState, data: Iterable[Any], progress: Progress
) -> Adjusted | Unchanged:
    """Round the weights of convolutions and linear layers, and correct the biases on the way.

    Formats per channel are chosen anew for the refitted weights; other windows stay as they are.
    """
    before, original = plan.adjustments, captured(model, plan)
    bare = dataclasses.replace(before, shifts={}).parameters(original.parameters)
    network = before.applied(original)
    divided = divide(network, model, data)
    judging = Judging(model, network, plan, divided)
    roundings, shifts = dict(before.roundings), dict(before.shifts)
    formats: dict[str, Format] = {}
    met: set[str] = set()
    with progress.over(len(network.layers), "round"):
        for pair in layerwise.layer_pairs(network, plan.committed, before, bare, divided):
            row = pair.layer.weight_row
            best = correction(pair, plan)
            fmt = plan.committed[row]
            # A weight that several layers share is rounded for the first of them.
            if isinstance(fmt, FixedPoint | PerChannel) and row not in plan.locked and row not in met:
                rounding, best = _better(pair, plan, fmt, best)
                if rounding is not None:
                    roundings[row], formats[row] = rounding, rounding.fmt
            met.add(row)
            best.make(pair, shifts, bare)
            progress.step()
    if not formats and not differ(shifts, before.shifts):
        return Unchanged("no weight is better rounded otherwise, and no bias corrected, than as it is")
    after = dataclasses.replace(before, roundings=roundings, shifts=shifts)
    verdict = judging.verdict(corrected(network, original, after), {**plan.committed, **formats}, after)
    if not verdict.is_better:
        return Unchanged(f"weights are better as they are: rounded adaptively, {verdict}")
    changed = {row: fmt for row, fmt in formats.items() if fmt != plan.committed[row]}
    return Adjusted(counted(plan, original, after), changed, verdict)


def _better(
    pair: layerwise.LayerPair, plan: PlanState, fmt: FixedPoint | PerChannel, best: Correction
) -> tuple[Rounding | None, Correction]:
    """Give the weight of a layer the rounding that does better than the present one, on the data that are kept aside.

    Parameters
    ----------
    best
        The correction of the bias with the weight as it is.

    Returns
    -------
    None where nothing does better; and the correction of the bias that goes with it.
    """
    found = moments(pair)
    if found is None:
        return None, best
    row, chosen = pair.layer.weight_row, None
    weight, kept = pair.adjusted[row], pair.quantized.parameters[row]
    for damping in DAMPINGS:
        rounded, codes = _rounded(weight.double().cpu(), found, fmt, damping, partial(_with_room, plan, row))
        pair.quantized.parameters[row] = rounded.from_integer(codes).to(weight)
        correct = correction(pair, plan)
        if surely_less(correct.errors, best.errors):
            offsets = codes - rounded.to_integer(weight.cpu())
            chosen = Rounding(rounded, offsets.numpy().astype(np.int16))
            best, kept = correct, pair.quantized.parameters[row]
    pair.quantized.parameters[row] = kept
    return chosen, best


def _with_room(plan: PlanState, row: str, fitted: Tensor, fmt: Format) -> Format:
    """Make a format that was chosen for refitted values coarser where the sums need that."""
    assert plan.calibration is not None  # recapturing asks for one
    values = fitted.to(plan.calibration.values(row).dtype)
    after = plan.calibration.with_values({row: values})
    return leave_as_before(plan.calibration, plan.committed, {row: fmt}, after)[row]


def _rounded(
    weight: Tensor, found: Moments, fmt: FixedPoint | PerChannel, damping: float, with_room: WithRoom
) -> tuple[FixedPoint | PerChannel, Tensor]:
    """Give the format and the codes of a weight."""
    groups, inputs = found.hessian.shape[:2]
    rows = weight.reshape(groups, -1, inputs)
    damped = found.hessian + damping * _mean_diagonal(found.hessian) * torch.eye(inputs, dtype=torch.float64)
    drift = found.cross - found.hessian
    fitted = rows + torch.linalg.solve(damped, (rows @ drift).transpose(1, 2)).transpose(1, 2)
    shaped = fitted.reshape(weight.shape)
    if isinstance(fmt, PerChannel):
        windows = schemes.least_squares(shaped, fmt.word_length, fmt.signed)
        chosen = with_room(shaped, dataclasses.replace(fmt, fraction_lengths=windows.fraction_lengths))
        assert isinstance(chosen, PerChannel)
        fmt = chosen
        steps = torch.from_numpy(fmt.steps).reshape(groups, -1)
        one = fmt[0]
    else:
        steps = torch.full(rows.shape[:2], fmt.step, dtype=torch.float64)
        one = fmt
    ends = one.min / one.step, one.max / one.step
    codes = fit_codes(fitted, damped, steps, ends)
    nearest = (rows / steps.unsqueeze(2)).round().clamp(*ends)
    # Where weights saturate, what cannot be made up for piles up: then nearest is better.
    away = [kept * steps.unsqueeze(2) - fitted for kept in (codes, nearest)]
    errors = [((part @ found.hessian) * part).sum(2, keepdim=True) for part in away]
    codes = torch.where(errors[0] <= errors[1], codes, nearest)
    return fmt, codes.reshape(weight.shape).to(torch.int64)


def _mean_diagonal(matrices: Tensor) -> Tensor:
    mean = matrices.diagonal(dim1=1, dim2=2).mean(1)
    return mean.clamp_min(torch.finfo(torch.float32).tiny).reshape(-1, 1, 1)


def fit_codes(rows: Tensor, hessian: Tensor, steps: Tensor, ends: tuple[float, float]) -> Tensor:
    """Round rows of weights so that little changes of what they give for inputs of known second moments.

    Parameters
    ----------
    rows
        Weights, (groups, outputs, inputs), float64.
    hessian
        Second moments of the inputs, (groups, inputs, inputs), positive definite.
    steps
        The step of each output, (groups, outputs).
    ends
        The least and the greatest code.

    Returns
    -------
    Tensor
        Codes as whole float64 numbers, in the shape of ``rows``.

    Examples
    --------
    >>> rows, inputs = torch.tensor([[[0.4, 0.4]]]).double(), torch.tensor([[[1.0, 0.9], [0.9, 1.0]]]).double()
    >>> fit_codes(rows, inputs, torch.ones(1, 1).double(), (-8, 7)).sum()
    tensor(1., dtype=torch.float64)
    """
    inputs = rows.shape[2]
    order = hessian.diagonal(dim1=1, dim2=2).argsort(1, descending=True)
    across = order.unsqueeze(1).expand_as(rows)
    hessian = hessian.gather(1, order.unsqueeze(2).expand_as(hessian)).gather(2, order.unsqueeze(1).expand_as(hessian))
    left = rows.gather(2, across).clone()
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True)
    codes = torch.zeros_like(left)
    for start in range(0, inputs, BLOCK):
        stop = min(start + BLOCK, inputs)
        errors = torch.zeros_like(left[:, :, start:stop])
        for place in range(start, stop):
            code = (left[:, :, place] / steps).round().clamp(*ends)
            codes[:, :, place] = code
            error = (left[:, :, place] - code * steps) / factor[:, place, place].unsqueeze(1)
            left[:, :, place:stop] -= error.unsqueeze(2) * factor[:, place, place:stop].unsqueeze(1)
            errors[:, :, place - start] = error
        left[:, :, stop:] -= errors @ factor[:, start:stop, stop:]
    return torch.zeros_like(codes).scatter(2, across, codes)


register_step(
    Step(
        name="round_adaptively",
        title="Round adaptively",
        about="Rounds each weight up or down so that its layer's output over the data is kept, and corrects the "
        "biases.",
        run=round_adaptively,
        note="weights rounded adaptively",
        changes=("roundings", "shifts"),
    )
)
