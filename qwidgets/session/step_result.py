"""What a step did to a plan, in words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qwidgets.adjusting import Step
from qwidgets.tuning import Adjustments, Change, Commit, Format

WORDS = {
    "factors": ("tensor", "tensors", "scaled"),
    "roundings": ("weight", "weights", "rounded"),
    "shifts": ("bias", "biases", "corrected"),
}

Found = Commit | Mapping[str, Format] | None


@dataclass(frozen=True)
class StepResult:
    """What a step did.

    Attributes
    ----------
    found
        What :meth:`qwidgets.Plan.step` gave: an entry of the history, drafts, or None.
    text
        A sentence about it.
    after
        The change of the plan that was the last one then; what came later may have taken the step back.
    """

    found: Found
    text: str
    after: Change | None


def describe(
    step: Step,
    found: Commit | Mapping[str, Format] | None,
    before: Adjustments,
    after: Adjustments,
    reasons: Sequence[str],
) -> str:
    """Give a sentence about what a step did.

    Parameters
    ----------
    found
        What :meth:`qwidgets.Plan.step` gave.
    before, after
        The plan's adjustments.
    reasons
        Why nothing was changed, if so.
    """
    if found is None:
        done = reasons[0] if reasons else "stopped, the plan is as it was"
    elif isinstance(found, Commit):
        done = f"{summary(step.changes, before, after, found)}; {found.note.partition(': ')[2]}"
    elif found:
        done = f"{len(found)} drafts; look at them, then commit or revert"
    else:
        done = "nothing was changed: no other format does better, on the data that were kept aside, too"
    return f"{step.title}: {done}"


def summary(changes: Iterable[str], before: Adjustments, after: Adjustments, entry: Commit) -> str:
    """What a step changed, counted.

    Examples
    --------
    >>> import numpy as np
    >>> after = Adjustments(shifts={"conv.bias": np.array([0.1])})
    >>> summary(["shifts"], Adjustments(), after, Commit.now("biases corrected", {}))
    '1 bias corrected'
    """
    parts = []
    for part in changes:
        old, new = getattr(before, part), getattr(after, part)
        parts.append(_counted(sum(1 for row, what in new.items() if old.get(row) is not what), *WORDS[part]))
    parts.append(_counted(len(entry.changes), "window", "windows", "chosen anew"))
    return ", ".join(filter(None, parts)) or "there was nothing to do"


def _counted(count: int, one: str, many: str, done: str) -> str:
    return f"{count} {one if count == 1 else many} {done}" if count else ""
