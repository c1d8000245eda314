"""Windows per channel, with the biases at their accumulators: for one weight, or for all of a network."""

from collections.abc import Collection

from qwidgets import schemes
from qwidgets.calibration import Calibration
from qwidgets.formats import ACCUMULATOR, FixedPoint
from qwidgets.network import Row
from qwidgets.tuning import (
    Format,
    PlanState,
    has_accumulator,
    has_one_accumulator,
    has_output_channels_first,
    why_not_per_channel,
)


def windows_per_channel(
    plan: PlanState, calibration: Calibration, names: Collection[str], movable: Collection[str]
) -> dict[str, Format]:
    """Give windows per channel to each weight that may have them and has not, and its bias the accumulator's step.

    Parameters
    ----------
    names
        The rows that are asked for.
    movable
        The rows whose formats may be changed, those of the biases among them.
    """
    found: dict[str, Format] = {}
    for name in names:
        row, fmt = plan.row(name), plan.committed[name]
        whole = why_not_per_channel(row) or not has_output_channels_first(calibration, row)
        if row.kind == "weight" and isinstance(fmt, FixedPoint) and not whole and name in calibration.parameters:
            found[name] = schemes.anew(calibration, row, fmt, per_channel=True)
    for bias in {each.bias for each in calibration.sums if each.bias is not None and each.weight in found}:
        is_window = isinstance(plan.committed[bias], FixedPoint)
        if is_window and bias in movable and may_accumulate(calibration, plan.row(bias)):
            found[bias] = ACCUMULATOR
    return found


def may_accumulate(calibration: Calibration, row: Row) -> bool:
    """Whether a row is a bias that can have the step of its layer's accumulator."""
    return has_accumulator(row) and has_one_accumulator(calibration, row)
