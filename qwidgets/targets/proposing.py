"""Formats that a target can take, chosen by the schemes."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from qwidgets import schemes
from qwidgets.accumulator_format import ACCUMULATOR, AccumulatorFormat
from qwidgets.errors import PlanError
from qwidgets.fixed_point import FixedPoint
from qwidgets.planning import plan_formats
from qwidgets.planning.plan_state import Format, NumberFormat
from qwidgets.simulation import recapture
from qwidgets.targets import misfits, wiring
from qwidgets.targets.pair_sums import SAFE_WEIGHT_BITS
from qwidgets.targets.registry import find
from qwidgets.targets.target import Target

if TYPE_CHECKING:
    from qwidgets.calibration import Calibration
    from qwidgets.capturing.rows import Row
    from qwidgets.plan import Plan


def propose(
    plan: "Plan",
    calibration: "Calibration",
    target: str | Target,
    names: Sequence[str],
    word_length: int,
    scheme: str,
    per_channel: bool,
    options: dict[str, object],
) -> tuple[dict[str, NumberFormat], dict[str, str]]:
    """Choose formats that fit a target, for some tensors of a plan.

    Words are as long as was asked for, or else the next shorter that the target has; the sign, the rounding, windows
    per channel and biases are as it takes them. Tensors that a sum or a concatenation joins get one window where it
    takes no other: the highest that was chosen for any of them, or that of one which keeps its format. For that the
    plan must know its network.

    Returns
    -------
    The formats, by name, and for each tensor that was left out, why: it is locked in a format that does not fit, or
    whatever its format, the target does not compute it.

    Raises
    ------
    PlanError
        There is no such target or scheme, or ``signed=False`` was asked of a target without unsigned formats.
    """
    target = find(target)
    if not target.unsigned:
        if options.get("signed") is False:
            raise PlanError(f"{target.title} takes signed formats only; leave signed=False out")
        options = {**options, "signed": True}
    formats: dict[str, Format] = {name: plan[name] for name in plan}
    calls = Counter(row.layer for row in plan.rows if row.kind == "activation")
    chosen: dict[str, NumberFormat] = {}
    left_out: dict[str, str] = {}
    for row in map(plan.row, names):
        if against := next(misfits.of_operation(target, row), None):
            left_out[row.name] = against.reason
        elif row.name not in plan.locked:
            if _sums_with(target, row, calls):
                fmt: NumberFormat = ACCUMULATOR
            else:
                fmt = _fitting(target, calibration, row, word_length, scheme, per_channel, options)
            chosen[row.name] = formats[row.name] = fmt
    if target.shared and plan.model is not None:
        _share(wiring.sharing(target, recapture(plan.model, plan)), chosen, formats)
    for row in map(plan.row, names):  # once what leaves each layer is known
        against = next(misfits.of_format(target, row, formats[row.name], formats.get(row.layer)), None)
        if against and row.name not in left_out:
            left_out[row.name] = f"is locked, and {against.reason}" if row.name in plan.locked else against.reason
            chosen.pop(row.name, None)
    return chosen, left_out


def _share(pairs: Iterable[tuple[str, str]], chosen: dict[str, NumberFormat], formats: dict[str, Format]) -> None:
    """Give tensors that are joined, directly or by way of others, one format."""
    groups: dict[str, set[str]] = {}
    for pair in pairs:
        joined = set().union(*(groups.get(name, {name}) for name in pair))
        groups.update(dict.fromkeys(joined, joined))
    for group in {id(group): sorted(group) for group in groups.values()}.values():
        members = [(name, fmt) for name in group if isinstance(fmt := formats[name], FixedPoint)]
        if not members:
            continue
        kept = [fmt for name, fmt in members if name not in chosen]
        shared = kept[0] if kept else max((fmt for _, fmt in members), key=lambda fmt: fmt.msb)
        for name in group:
            if name in chosen:
                chosen[name] = formats[name] = shared


def _sums_with(target: Target, row: "Row", calls: Mapping[str, int]) -> bool:
    """Whether a tensor is a bias that is to have the step of its layer's sums."""
    if row.kind != "bias" or row.operation not in plan_formats.ACCUMULATING:
        return False
    # A layer that is called again may sum in another step.
    return target.bias == "accumulator" or (target.bias == "aligned" and calls[row.layer] == 1)


def _fitting(
    target: Target,
    calibration: "Calibration",
    row: "Row",
    word_length: int,
    scheme: str,
    per_channel: bool,
    options: dict[str, object],
) -> NumberFormat:
    activation = target.nearest(word_length, "activation")
    channels = per_channel and activation <= target.per_channel.get(row.operation, 0)
    bits = target.nearest(word_length, row.kind)
    if target.pair_bits is not None and row.kind == "weight" and bits == 8:
        bits = SAFE_WEIGHT_BITS  # whatever enters
    fmt = schemes.propose(scheme, calibration, row, bits, channels, **options)
    if isinstance(fmt, AccumulatorFormat) or not target.quantizes(row.kind):
        return fmt
    rounding = fmt.rounding if fmt.rounding in target.roundings else target.roundings[0]
    overflow = fmt.overflow if fmt.overflow in target.overflows else target.overflows[0]
    return dataclasses.replace(fmt, rounding=rounding, overflow=overflow)
