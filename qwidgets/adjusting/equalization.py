"""Equalization: channels scaled so that quiet ones use more of the window that their tensor's loudest one fills.

Every channel of an activation is multiplied by a factor, the layers before and after it are scaled to match, and
clamps move with it: the network computes what it did (`qwidgets.tuning.channel_groups`). Since a factor may be any
number, it does for power-of-two formats what a free scale for each channel would do, and hardware sees nothing of it.

What an activation's channel gains when it is scaled up, the weights that read it lose: beside those of the other
channels they become small. So each channel goes half the way, on a scale of bits, to the loudest one.

Source of the idea: Nagel et al., "Data-Free Quantization through Weight Equalization and Bias Correction" (2019), whose
factors, too, are square roots of ratios of ranges. Theirs balance the weights of two layers; here the output channels
of weights have windows of their own, and the channels of activations are balanced with the weights that read them.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from qwidgets import schemes
from qwidgets.adjusting.kept_aside import Judging, divide
from qwidgets.adjusting.layerwise import NetworkState
from qwidgets.adjusting.step import Adjusted, Step, Unchanged, register_step
from qwidgets.calibration import Calibration
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.histograms import BitHistogram
from qwidgets.network import Network, Operation
from qwidgets.progress import Progress
from qwidgets.simulation import captured
from qwidgets.tuning import (
    Adjustments,
    ChannelGroup,
    Format,
    PlanState,
    find_channel_groups,
    leave_as_before,
    weight_factors,
)

MOST = 64.0
"""A channel that stays below the largest one by more than this factor is treated as if it did so by this: one that is
always near zero."""


def equalize(model: nn.Module, plan: PlanState, data: Iterable[Any], progress: Progress) -> Adjusted | Unchanged:
    """Scale the loudest channel to the top of its tensor's range, and the others half the way to it.

    The windows of all tensors that change are chosen anew, with least squares, at their word lengths.
    """
    original = captured(model, plan)
    groups = [group for group in find_channel_groups(original) if not set(group.rows) & plan.locked]
    before = plan.adjustments
    network = before.applied(original)
    divided = divide(network, model, data)
    seen, aside = ([batch.leaves for batch in part] for part in (divided.seen, divided.aside))
    if not groups:
        return Unchanged("there is nothing to equalize, no activation that is free has channels that can be scaled")
    judging = Judging(model, network, plan, divided)
    reached = _Reached()
    with progress.over(2 * len(seen) + len(aside), "equalize"):
        _run(network, seen, reached, progress)
        after = _scaled(original, before, groups, _scales(groups, plan, reached))
        changed = {row for row in after.factors if after.factors[row] is not before.factors.get(row)}
        adjusted = after.applied(original)
        counted = _Counted(changed)
        _run(adjusted, seen, counted, progress)
        assert plan.calibration is not None  # `captured` asks for one
        calibration = plan.calibration.with_values(adjusted.parameters, counted.histograms)
        chosen = {row: _anew(plan.committed[row], row, calibration) for row in changed}
        formats = leave_as_before(plan.calibration, plan.committed, chosen, calibration)
        verdict = judging.verdict(adjusted, {**plan.committed, **formats}, after)
        if not verdict.is_better:
            return Unchanged(f"channels are better as they are: equalized, {verdict}")
        _run(adjusted, aside, counted, progress)
    calibration = plan.calibration.with_values(adjusted.parameters, counted.histograms)
    return Adjusted(dataclasses.replace(after, calibration=calibration), formats, verdict)


def _scales(groups: list[ChannelGroup], plan: PlanState, reached: "_Reached") -> list[Tensor]:
    """Give the factors of the channels of each group."""
    return [_factors([reached.largest[row] for row in group.rows], *_range(group, plan, reached)) for group in groups]


def _scaled(original: Network, before: Adjustments, groups: list[ChannelGroup], scales: list[Tensor]) -> Adjustments:
    """Give the adjustments with the channels of groups scaled, and the weights and biases before and after them."""
    given: dict[Operation, Tensor] = {}
    factors = dict(before.factors)
    for group, scale in zip(groups, scales, strict=True):
        for row in group.rows:
            factors[row] = _times(factors.get(row), (scale,))
        given.update(dict.fromkeys(group.operations, scale))
    shifts = dict(before.shifts)
    for layer in original.layers:
        shape, node = tuple(original.parameters[layer.weight_row].shape), layer.head
        of_groups = int(node.args[6]) if len(node.args) > 6 and isinstance(node.args[6], int) else 1
        found = weight_factors(layer, given, shape, of_groups)
        if found:
            factors[layer.weight_row] = _times(factors.get(layer.weight_row), found)
        if node in given and layer.bias_row is not None:
            factors[layer.bias_row] = _times(factors.get(layer.bias_row), (given[node],))
            if layer.bias_row in shifts:
                shifts[layer.bias_row] = shifts[layer.bias_row] * given[node].numpy()
    changed = {row for row in factors if factors[row] is not before.factors.get(row)}
    roundings = {row: rounding for row, rounding in before.roundings.items() if row not in changed}
    return Adjustments(factors, shifts, roundings)


class _Reached:
    """The largest magnitude of each channel of each row, and whether any value of the row is negative."""

    def __init__(self) -> None:
        self.largest: dict[str, Tensor] = {}
        self.signed: set[str] = set()

    def __call__(self, row: str, values: Tensor) -> None:
        if values.ndim < 2:
            return
        if bool((values < 0).any()):
            self.signed.add(row)
        top = values.abs().amax([axis for axis in range(values.ndim) if axis != 1]).double().cpu()
        self.largest[row] = torch.maximum(self.largest[row], top) if row in self.largest else top


class _Counted:
    """The histograms of some rows."""

    def __init__(self, rows: set[str]) -> None:
        self._rows = rows
        self.histograms: dict[str, BitHistogram] = {}

    def __call__(self, row: str, values: Tensor) -> None:
        if row in self._rows:
            self.histograms.setdefault(row, BitHistogram()).update(values)


def _run(network: Network, leaves: list[list[Any]], observe: Any, progress: Progress) -> None:
    """Run a network in float, batch by batch, and show its rows."""
    with torch.no_grad():
        for batch in leaves:
            side = NetworkState(network, {row.name: None for row in network.rows}, [batch])
            for node in network.operations:
                if node.kind == "output":
                    break
                side.compute(node)
                if node.slot is not None:
                    observe(node.slot, side.values[node][0])
                side.forget(node)
            progress.step()


def _range(group: ChannelGroup, plan: PlanState, reached: _Reached) -> tuple[float, float]:
    """Give the present largest value of a group, and the end of the window that it should reach."""
    present = max(float(reached.largest[row].max()) for row in group.rows)
    signed = bool(set(group.rows) & reached.signed)
    lengths = [fmt.word_length for row in group.rows if isinstance(fmt := plan.committed[row], FixedPoint)]
    bits = (min(lengths) if lengths else 8) - signed
    return present, math.ldexp(1 - 2.0**-bits, math.frexp(present)[1]) if present else 1.0


def _factors(largest: list[Tensor], present: float, target: float) -> Tensor:
    """Bring the largest channel to the target, and the others half the way, on a scale of bits, to the largest."""
    if not present:
        return torch.ones_like(largest[0])
    tops = torch.stack(largest).amax(0)
    return target / present * (present / tops.clamp_min(present / MOST)).sqrt()


def _times(before: tuple[Any, ...] | None, more: Iterable[Tensor]) -> tuple[Any, ...]:
    """Multiply factors; those that do not broadcast to less stay apart."""
    found = [*(before or ()), *(factor.double().numpy() for factor in more)]
    merged: dict[tuple[bool, ...], Any] = {}
    for factor in found:
        key = tuple(size == 1 for size in factor.shape)
        merged[key] = merged[key] * factor if key in merged else factor
    return tuple(merged.values())


def _anew(fmt: Format, row: str, calibration: Calibration) -> Format:
    if not isinstance(fmt, FixedPoint | PerChannel):
        return fmt
    found: FixedPoint | PerChannel
    if isinstance(fmt, PerChannel):
        found = schemes.least_squares(calibration.values(row), fmt.word_length, calibration[row].negative > 0)
    else:
        found = schemes.mse(calibration[row], fmt.word_length)
    return dataclasses.replace(found, rounding=fmt.rounding, overflow=fmt.overflow)


register_step(
    Step(
        name="equalize",
        title="Equalize",
        about="Scales the channels of activations so that quiet ones use more of the window; weights and clamps are "
        "scaled to match, and the network computes what it did.",
        run=equalize,
        note="equalized",
        changes=("factors",),
    )
)
