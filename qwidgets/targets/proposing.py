"""Formats that a target can take, chosen by the schemes."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import partial

from qwidgets import schemes
from qwidgets.calibration import Calibration
from qwidgets.errors import PlanError
from qwidgets.formats import ACCUMULATOR, AccumulatorFormat, FixedPoint
from qwidgets.network import Row
from qwidgets.simulation import captured
from qwidgets.targets import format_rules, graph_rules
from qwidgets.targets.pair_sums import SAFE_WEIGHT_BITS
from qwidgets.targets.registry import find
from qwidgets.targets.target import Target, storage
from qwidgets.tuning import Format, PlanState, Room, has_accumulator, has_one_accumulator, leave_room


def propose(
    plan: PlanState,
    calibration: Calibration,
    target: str | Target,
    names: Sequence[str],
    word_length: int,
    scheme: str,
    per_channel: bool,
    accumulator_bits: int,
    options: dict[str, object],
) -> tuple[dict[str, Format], dict[str, str], Room]:
    """Choose formats that fit a target, for some tensors of a plan.

    Words are as long as was asked for, or else the next shorter that the target has; the sign, the rounding, windows
    per channel and biases are as it takes them. Tensors that a sum or a concatenation joins get one window where it
    takes no other: the highest that was chosen for any of them, or that of one which keeps its format. For that the
    plan must know its network.

    Returns
    -------
    The formats, by name; for each tensor that was left out, why: it is locked in a format that does not fit, or
    whatever its format, the target does not compute it; and what was made coarser for the sums.

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
    chosen: dict[str, Format] = {}
    left_out: dict[str, str] = {}
    for row in map(plan.row, names):
        if against := next(format_rules.of_operation(target, row), None):
            left_out[row.name] = against.reason
        elif row.name not in plan.locked:
            if _sums_with(target, calibration, row):
                fmt: Format = ACCUMULATOR
            else:
                fmt = _fitting(target, calibration, row, word_length, scheme, per_channel, options)
            chosen[row.name] = formats[row.name] = fmt
    if target.shared and plan.model is not None:
        network = captured(plan.model, plan)
        signed = {row.name for row in network.rows if row.operation in target.signed_only}
        _share(graph_rules.sharing(target, network), chosen, formats, signed)
    room = leave_room(
        calibration,
        formats,
        chosen,
        accumulator_bits,
        partial(_may_shorten, target, plan),
        _bias_bits(target, formats),
    )
    chosen |= room.formats
    formats |= room.formats
    for row in map(plan.row, names):  # once what leaves each layer is known
        against = next(format_rules.of_format(target, row, formats[row.name], formats.get(row.layer)), None)
        if against and row.name not in left_out:
            left_out[row.name] = f"is locked, and {against.reason}" if row.name in plan.locked else against.reason
            chosen.pop(row.name, None)
    return chosen, left_out, room


def _bias_bits(target: Target, formats: Mapping[str, Format]) -> dict[str, int]:
    """Give by the row that leaves a layer how many bits the target stores its bias in at the step of its sums."""
    if target.bias == "any":
        return {}
    stored = {row: storage(fmt.word_length) for row, fmt in formats.items() if fmt is not None}
    return {row: target.bias_bits[bits] for row, bits in stored.items() if bits in target.bias_bits}


def _may_shorten(target: Target, plan: PlanState, name: str, fmt: FixedPoint) -> bool:
    """Whether a tensor can have a shorter word, stored as the longer one was; not where others share its window."""
    allowed = fmt.word_length in target.bits(plan.row(name).kind) and not target.shared
    return allowed and storage(fmt.word_length) == storage(fmt.word_length + 1)


def _share(
    pairs: Iterable[tuple[str, str]], chosen: dict[str, Format], formats: dict[str, Format], signed: Set[str]
) -> None:
    """Give tensors that are joined, directly or by way of others, one window, which has a sign if one of them must."""
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
        if not shared.signed and not kept and not signed.isdisjoint(group):
            shared = FixedPoint.from_window(shared.msb, shared.lsb + 1)
        for name in group:
            own = chosen.get(name)
            if isinstance(own, FixedPoint):
                window = (shared.word_length, shared.fraction_length, shared.signed)
                chosen[name] = formats[name] = FixedPoint(*window, own.rounding, own.overflow)


def _sums_with(target: Target, calibration: Calibration, row: Row) -> bool:
    """Whether a tensor is a bias that is to have the step of its layer's sums."""
    if target.bias == "any" or not has_accumulator(row):
        return False
    # A layer that is called again may sum in another step.
    return has_one_accumulator(calibration, row)


def _fitting(
    target: Target,
    calibration: Calibration,
    row: Row,
    word_length: int,
    scheme: str,
    per_channel: bool,
    options: dict[str, object],
) -> Format:
    activation = target.nearest(word_length, "activation")
    channels = per_channel and activation <= target.per_channel.get(row.operation, 0)
    bits = target.nearest(word_length, row.kind)
    if target.pair_bits is not None and row.kind == "weight" and bits == 8:
        bits = SAFE_WEIGHT_BITS  # whatever enters
    if (row.kind == "weight" and not target.unsigned_weights) or row.operation in target.signed_only:
        options = {**options, "signed": True}
    fmt = schemes.propose(scheme, calibration, row, bits, channels, **options)
    if fmt is None or isinstance(fmt, AccumulatorFormat) or not target.quantizes(row.kind):
        return fmt
    roundings = target.rounds(row.operation if row.kind == "activation" else row.kind)
    rounding = fmt.rounding if fmt.rounding in roundings else roundings[0]
    overflow = fmt.overflow if fmt.overflow in target.overflows else target.overflows[0]
    return dataclasses.replace(fmt, rounding=rounding, overflow=overflow)
