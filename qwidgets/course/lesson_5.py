"""A whole network in the workbench, with a depthwise layer that fails."""

from functools import cache
from typing import Any

from qwidgets.calibration import Calibration, calibrate
from qwidgets.course.exercise import Exercise, a_number, words
from qwidgets.errors import DataError
from qwidgets.examples import digits
from qwidgets.formats import FixedPoint
from qwidgets.plan import Plan

TENSOR = "blocks.0.depthwise.weight"
WRONG = FixedPoint.from_window(7, 1)
ENOUGH_DB = 1.0


@cache
def calibration() -> Calibration:
    """The calibrated network of handwritten digits; computed once, since it takes seconds."""
    example = digits()
    return calibrate(example.model, example.calibration, progress=False)


def failing_plan() -> Plan:
    """A plan of 8 bits in which the depthwise layer keeps the bits that its neighbour in another network needed."""
    plan = calibration().propose(8, "mse")
    plan[TENSOR] = WRONG
    plan.commit("copied from another network")
    return plan


def _worst() -> str:
    return str(failing_plan().table()["sqnr_db"].astype(float).idxmin())


def _review_worst(answer: str) -> str:
    plan = failing_plan()
    if answer not in plan:
        return "that is no tensor of this network; plan.names lists them."
    if answer == _worst():
        return ""
    return f"{answer} has an SQNR of {_ratio(plan, answer):.1f} dB, and another has less. Sort the table by SQNR."


def _ratio(plan: Plan, name: str) -> float:
    preview = plan.preview(name)
    return float("inf") if preview is None else preview.sqnr_db


def _mended() -> Plan:
    plan = failing_plan()
    plan.propose(8, "mse", names=[TENSOR])
    plan.commit("as the values need it")
    return plan


def _plan(answer: Any) -> Plan:
    plan = answer if isinstance(answer, Plan) else getattr(answer, "plan", None)
    if not isinstance(plan, Plan):
        raise DataError("a plan is asked for, or the workbench that shows it.")
    return plan


def _review_mended(plan: Plan) -> str:
    if TENSOR not in plan:
        return f"this is another network; it has no {TENSOR}."
    fmt = plan[TENSOR]
    if fmt is None:
        return "kept in float it is no longer for integer hardware; find a window for it."
    if fmt.word_length > WRONG.word_length:
        return f"{fmt.word_length} bits do not fit the hardware; {WRONG.word_length} are enough."
    missing = _ratio(_mended(), TENSOR) - _ratio(plan, TENSOR)
    if missing > ENOUGH_DB:
        return f"its SQNR can still be {missing:.1f} dB better. Where are its values, and where is the window?"
    return "the window is right; commit it." if TENSOR in plan.drafts else ""


def _kilobytes() -> float:
    """The parameters of the network, each with the word length that the plan gives it."""
    plan = failing_plan()
    sizes = {row.name: calibration()[row.name].count for row in plan.rows if row.kind in ("weight", "bias")}
    formats = {name: plan[name] for name in sizes}
    return sum(sizes[name] * (fmt.word_length if fmt else 32) for name, fmt in formats.items()) / 8 / 1000


def _review_kilobytes(answer: float) -> str:
    solution = _kilobytes()
    if abs(answer - solution) <= 0.05 * solution:
        return ""
    if abs(answer - 4 * solution) <= 0.2 * solution:
        return "that is what they take in float."
    return "count the values of all weights and biases, times 8 bits, over 8 bits a byte, over 1000."


EXERCISES = (
    Exercise("5.1", "Which tensor has the lowest SQNR? (its name)", words, _worst, _review_worst),
    Exercise(
        "5.2",
        "Mend it in the workbench: give the tensor a window of at most 8 bits that suits its values, and commit it.",
        _plan,
        _mended,
        _review_mended,
    ),
    Exercise(
        "5.3",
        "How many kilobytes do all weights and biases take in this plan? (1 kB is 1000 bytes; two digits will do)",
        a_number,
        _kilobytes,
        _review_kilobytes,
    ),
)
